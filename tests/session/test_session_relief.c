/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations that memory runs out on, at every point at which it can: each ends finished, in fewer
 * bits, or suspended and resumable; none is lost, and the ledger never has more than the limit that was set.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "session/session.h"
#include "tests/os/tree.h"
#include "tests/support/sanitizer.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

#define CONTEXT 768
#define PROMPT  300 /* tokens */
#define WANTED  200

typedef struct rig {
    tree folder;
    snug_memory *memory;
    snug_model *model;
    uint32_t prompt[PROMPT];
} rig;

static void open_model(rig *r, uint64_t fail_after)
{
    const snug_memory_options options = { .struct_size = sizeof options, .fail_after = fail_after };
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_memory_create(&r->memory, &options), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, MODEL, NULL, &error) != SNUG_OK && fail_after == 0)
        fail_msg("%s", error.text);
}

static void close_model(rig *r)
{
    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    assert_int_equal(snug_memory_read_all(r->memory).blocks, 0);
    snug_memory_destroy(r->memory);
    r->model = NULL;
}

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    snug_text *text;
    size_t count;
    const char *sentence = "Once upon a time there was a little dog. The secret number of Mia is 2202. ";
    char whole[4096] = "";

    assert_non_null(r);
    tree_create(&r->folder);
    open_model(r, 0);
    assert_int_equal(snug_text_open(&text, r->memory, MODEL, NULL), SNUG_OK);
    while (strlen(whole) + strlen(sentence) < sizeof whole)
        memcpy(whole + strlen(whole), sentence, strlen(sentence) + 1);
    {
        uint32_t *ids = calloc(4096, sizeof *ids);

        assert_non_null(ids);
        assert_int_equal(snug_text_encode(text, ids, 4096, &count, whole, strlen(whole), 0, NULL), SNUG_OK);
        assert_true(count >= PROMPT);
        memcpy(r->prompt, ids, sizeof r->prompt);
        free(ids);
    }
    snug_text_close(text);
    close_model(r);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;

    tree_remove(&r->folder);
    free(r);
    return 0;
}

/* --- a run ---------------------------------------------------------------------------------------------- */

typedef struct run {
    rig *r;
    snug_session *session;
    uint32_t id[WANTED];
    uint32_t count;
    uint32_t events;
    snug_relief_event event[64];
    /* At this token the limit becomes that. */
    uint32_t lower_at; /* 0: never */
    uint64_t lower_to;
    uint64_t over_bytes; /* the most beyond it, seen when the token after next came */
} run;

static bool hear(void *user, uint32_t id, const char *text, size_t bytes)
{
    run *h = user;
    const uint64_t used = snug_memory_read_all(h->r->memory).used_bytes;

    (void)text;
    (void)bytes;
    if (id == SNUG_ID_NONE)
        return true;
    if (h->lower_at > 0 && h->count >= h->lower_at && used > h->lower_to &&
        used - h->lower_to > h->over_bytes)
        h->over_bytes = used - h->lower_to;
    h->id[h->count++] = id;
    if (h->count == h->lower_at)
        assert_int_equal(snug_memory_set_limits(h->r->memory, 0, h->lower_to), SNUG_OK);
    return true;
}

static uint32_t fewest_bits(const snug_kv_side_info *side)
{
    uint32_t bits = 32;

    for (uint32_t i = 0; i < side->width_count; i++)
        bits = side->width[i].bits < bits ? side->width[i].bits : bits;
    return bits;
}

/* Last layers bear the loss of bits least: none has fewer than the one before it. */
static void check_layers(const snug_kv *kv)
{
    snug_kv_layer_info before = { .struct_size = sizeof before }, layer = before;

    for (uint32_t i = 0; i < snug_kv_layer_count(kv); i++, before = layer) {
        assert_int_equal(snug_kv_describe(&layer, kv, i, NULL), SNUG_OK);
        if (i == 0)
            continue;
        assert_true(fewest_bits(&layer.key) >= fewest_bits(&before.key));
        assert_true(fewest_bits(&layer.value) >= fewest_bits(&before.value));
    }
}

static void note(void *user, const snug_relief_event *event)
{
    run *h = user;

    assert_true(h->events < 64);
    h->event[h->events++] = *event;
    if (event->step != SNUG_RELIEF_SUSPEND && event->step != SNUG_RELIEF_RECOVER) {
        assert_true(event->returned_bytes > 0);
        /* What it says is what the ledger lost. */
        assert_int_equal(event->used_before_bytes - event->used_after_bytes, event->returned_bytes);
        if (event->step == SNUG_RELIEF_DEMOTE || event->step == SNUG_RELIEF_CHUNK)
            assert_int_equal(event->promised_bytes, event->returned_bytes);
    }
    if (event->step == SNUG_RELIEF_DEMOTE)
        check_layers(snug_session_kv(h->session));
}

static snug_session_options adaptive(snug_strategy strategy)
{
    return (snug_session_options){ .struct_size = sizeof(snug_session_options),
                                   .context_tokens = CONTEXT,
                                   .prefill_chunk = 128,
                                   .threads = 2,
                                   .adapt = true,
                                   .strategy = strategy };
}

static snug_generate_options generate_options(run *h)
{
    return (snug_generate_options){ .struct_size = sizeof(snug_generate_options),
                                    .max_tokens = WANTED,
                                    .ignore_eos = true,
                                    .on_token = hear,
                                    .on_relief = note,
                                    .user = h };
}

static snug_status begin(run *h)
{
    const snug_generate_options options = generate_options(h);
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };
    const snug_status status =
        snug_session_generate(&result, h->session, NULL, h->r->prompt, PROMPT, NULL, &options, &error);

    if (status != SNUG_OK)
        assert_true(strlen(error.text) > 20);
    return status;
}

/* To disk, and out of memory; then in a new session, without a limit, to its end. */
static void suspend_and_go_on(run *h, snug_session_options options)
{
    const snug_suspend_options how = { .struct_size = sizeof how, .reason = "a test" };
    snug_suspend_result result = { .struct_size = sizeof result };
    snug_generate_options generate = generate_options(h);
    snug_generate_result generated = { .struct_size = sizeof generated };
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };
    snug_suspended_info info = { .struct_size = sizeof info };
    snug_suspended *suspended;
    snug_error error = { SNUG_OK, "" };
    char path[TREE_PATH_BYTES + 32];
    const uint32_t told = h->count;
    uint32_t id[WANTED];

    memcpy(id, h->id, sizeof id);
    snprintf(path, sizeof path, "%s/kept", h->r->folder.root);
    (void)unlink(path);
    if (snug_session_suspend(&result, h->session, path, &how, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    snug_session_destroy(h->session);
    assert_int_equal(snug_memory_set_limits(h->r->memory, 0, 0), SNUG_OK);
    assert_int_equal(snug_suspended_open(&suspended, h->r->memory, path, &error), SNUG_OK);
    snug_suspended_read(&info, suspended);
    assert_int_equal(info.unfinished.told_tokens, told);
    assert_memory_equal(info.ids, h->r->prompt, sizeof h->r->prompt);
    options.kv = info.session.kv;
    if (snug_session_create(&h->session, h->r->model, h->r->memory, &options, &error) != SNUG_OK ||
        snug_session_resume(h->session, suspended, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    snug_suspended_close(suspended);
    assert_true(snug_session_unfinished(h->session, &unfinished));
    generate.max_tokens = unfinished.max_tokens;
    generate.told_tokens = unfinished.told_tokens;
    generate.sample = unfinished.sample;
    h->lower_at = 0;
    assert_int_equal(snug_session_generate(&generated, h->session, NULL, snug_session_ids(h->session),
                                           unfinished.known_tokens, NULL, &generate, &error),
                     SNUG_OK);
    assert_memory_equal(h->id, id, told * sizeof *id);
}

static void open_session(run *h, const snug_session_options *options)
{
    snug_error error = { SNUG_OK, "" };

    if (snug_session_create(&h->session, h->r->model, h->r->memory, options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
}

/* What nothing stops. */
static void run_whole(run *h, const snug_session_options *options, uint64_t *full_out)
{
    open_session(h, options);
    assert_int_equal(begin(h), SNUG_OK);
    *full_out = snug_memory_read_all(h->r->memory).peak_bytes;
    snug_session_destroy(h->session);
}

/* --- limits
 * ---------------------------------------------------------------------------------------------- */

typedef struct tally {
    int finished;
    int degraded;
    int suspended;
    int refused;
} tally;

static void count_end(tally *t, run *h, const run *whole, snug_status status, const snug_session_options *o)
{
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };
    bool is_degraded = false;

    for (uint32_t i = 0; i < h->events; i++)
        is_degraded = is_degraded || h->event[i].step == SNUG_RELIEF_DEMOTE ||
                      h->event[i].step == SNUG_RELIEF_CHUNK || h->event[i].step == SNUG_RELIEF_WINDOW;
    if (status == SNUG_OK) {
        t->finished += !is_degraded;
        t->degraded += is_degraded;
    } else {
        assert_int_equal(status, SNUG_ERR_OVER_LIMIT);
        assert_int_equal(h->event[h->events - 1].step, SNUG_RELIEF_SUSPEND);
        if (!snug_session_unfinished(h->session, &unfinished)) {
            t->refused++; /* before anything was computed: the caller still has the prompt */
            assert_int_equal(snug_session_tokens(h->session), 0);
            snug_session_destroy(h->session);
            return;
        }
        t->suspended++;
        suspend_and_go_on(h, *o);
    }
    assert_int_equal(h->count, WANTED);
    if (!is_degraded)
        assert_memory_equal(h->id, whole->id, sizeof h->id);
    snug_session_destroy(h->session);
}

/* Hundreds of requests: minutes under the thread sanitizer, which sees the same threads elsewhere. */
static void skip_under_tsan(void)
{
    if (TEST_UNDER_TSAN) {
        printf("SKIPPED: takes minutes under the thread sanitizer\n");
        skip();
    }
}

static void a_limit_lowered_at_any_token_is_kept_and_nothing_is_lost(void **state)
{
    static const double parts[] = { 0.95, 0.7, 0.5, 0.3, 0.1 };
    const snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    run whole = { .r = r };
    tally t = { 0, 0, 0, 0 };
    uint64_t empty, full;

    skip_under_tsan();
    open_model(r, 0);
    empty = snug_memory_read_all(r->memory).used_bytes; /* without a session */
    run_whole(&whole, &options, &full);
    for (size_t part = 0; part < 5; part++)
        for (uint32_t at = 1; at < WANTED; at += at < 3 ? 1 : 39) {
            run h = { .r = r,
                      .lower_at = at,
                      .lower_to = empty + (uint64_t)(int64_t)(parts[part] * (double)(full - empty)) };
            snug_status status;

            assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
            open_session(&h, &options);
            status = begin(&h);
            /* Under it before the next token was there, or stopped there. */
            assert_int_equal(h.over_bytes, 0);
            count_end(&t, &h, &whole, status, &options);
        }
    printf("%d finished, %d in fewer bits or smaller chunks, %d suspended and resumed, %d refused at first\n",
           t.finished, t.degraded, t.suspended, t.refused);
    assert_true(t.finished > 0 && t.degraded > 0 && t.suspended > 0);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    close_model(r);
}

static void a_limit_from_the_begin_is_never_passed(void **state)
{
    const snug_session_options options = adaptive(SNUG_STRATEGY_AGGRESSIVE);
    rig *r = *state;
    run whole = { .r = r };
    tally t = { 0, 0, 0, 0 };
    uint64_t full;

    skip_under_tsan();
    open_model(r, 0);
    run_whole(&whole, &options, &full);
    for (int part = 0; part < 24; part += 2) {
        run h = { .r = r };
        uint64_t limit, bare;
        snug_status status;

        open_session(&h, &options);
        bare = snug_memory_read_all(r->memory).used_bytes - h.session->bench->scratch.committed_bytes;
        limit = bare + (full - bare) * (uint64_t)part / 20;
        assert_int_equal(snug_memory_set_limits(r->memory, 0, limit), SNUG_OK);
        status = begin(&h);
        assert_true(status != SNUG_OK || snug_memory_read_all(r->memory).used_bytes <= limit);
        count_end(&t, &h, &whole, status, &options);
        assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    }
    printf("%d finished, %d in fewer bits or smaller chunks, %d suspended and resumed, %d refused at first\n",
           t.finished, t.degraded, t.suspended, t.refused);
    assert_true(t.degraded > 0 && t.suspended > 0);
    close_model(r);
}

/* The n-th reservation is refused, for every n: a step is done and it is tried again, or it is refused with a
 * sentence before anything was computed. */
static void every_reservation_may_be_refused(void **state)
{
    const snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    uint64_t n = 0;
    bool is_through = false;
    int relieved = 0;

    skip_under_tsan();
    while (!is_through) {
        run h = { .r = r };
        snug_error error = { SNUG_OK, "" };
        const uint64_t due = ++n;

        open_model(r, due);
        if (r->model && snug_session_create(&h.session, r->model, r->memory, &options, &error) == SNUG_OK) {
            const snug_status status = begin(&h);

            relieved += h.events > 0;
            is_through = h.events == 0 && status == SNUG_OK;
            if (status != SNUG_OK) {
                snug_unfinished unfinished = { .struct_size = sizeof unfinished };

                assert_int_equal(status, SNUG_ERR_OVER_LIMIT);
                if (snug_session_unfinished(h.session, &unfinished))
                    suspend_and_go_on(&h, options);
            }
        }
        snug_session_destroy(h.session);
        close_model(r);
        assert_true(n < 2000);
    }
    printf("%llu reservations, %d of them made a step\n", (unsigned long long)n - 1, relieved);
    assert_true(relieved > 3);
}

/* --- relievers of the ledger ---------------------------------------------------------------------------- */

/* Something else in the same ledger, in pieces that can go. */
typedef struct holder {
    snug_memory *memory;
    uint64_t bytes;
    uint64_t first_want; /* what it was asked for first; 0: nothing yet */
    snug_memory_reliever reliever;
} holder;

#define PIECE_BYTES ((uint64_t)64 << 10)

static uint64_t give_pieces(void *user, uint64_t want)
{
    holder *h = user;
    uint64_t given = 0;

    if (h->first_want == 0)
        h->first_want = want;
    for (; given < want && h->bytes > 0; given += PIECE_BYTES, h->bytes -= PIECE_BYTES)
        snug_memory_unreserve(h->memory, SNUG_MEMORY_CACHE, PIECE_BYTES);
    return given;
}

static void hold(holder *h, snug_memory *memory, uint64_t bytes, int rank)
{
    *h = (holder){ .memory = memory, .bytes = bytes };
    h->reliever = (snug_memory_reliever){ .name = "held", .rank = rank, .release = give_pieces, .user = h };
    assert_int_equal(snug_memory_reserve(memory, SNUG_MEMORY_CACHE, bytes, "held", NULL), SNUG_OK);
    snug_memory_add_reliever(memory, &h->reliever);
}

static void let_go(holder *h)
{
    snug_memory_remove_reliever(h->memory, &h->reliever);
    snug_memory_unreserve(h->memory, SNUG_MEMORY_CACHE, h->bytes);
}

/* A prefix cache is asked before the conversation feels anything, for what is missing and no more; idle
 * models only when that was not enough, and still before it loses bits. */
static void others_give_by_rank_before_the_cache_loses_bits(void **state)
{
    const snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    run whole = { .r = r }, h = { .r = r, .lower_at = 50 };
    holder prefix, idle;
    uint64_t full;

    skip_under_tsan(); /* and pressure lasts as long as the answer: more is asked for */
    open_model(r, 0);
    run_whole(&whole, &options, &full);
    open_session(&h, &options);
    hold(&idle, r->memory, 64 * PIECE_BYTES, SNUG_MEMORY_RANK_IDLE);
    hold(&prefix, r->memory, 64 * PIECE_BYTES, SNUG_MEMORY_RANK_PREFIX);
    h.lower_to = full + 112 * PIECE_BYTES; /* 16 pieces fewer than there are, and scratch */
    assert_int_equal(begin(&h), SNUG_OK);
    assert_memory_equal(h.id, whole.id, sizeof h.id);
    /* How much goes in the end depends on how long the answer goes on under pressure. */
    assert_true(prefix.first_want > 0 && prefix.first_want < 64 * PIECE_BYTES);
    assert_int_equal(idle.bytes, 64 * PIECE_BYTES);
    assert_int_equal(idle.first_want, 0);
    snug_session_destroy(h.session);

    /* Less than both hold together. */
    h = (run){ .r = r, .lower_at = 50, .lower_to = full };
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    open_session(&h, &options);
    assert_int_equal(begin(&h), SNUG_OK);
    assert_memory_equal(h.id, whole.id, sizeof h.id);
    assert_int_equal(prefix.bytes, 0);
    assert_true(idle.first_want > 0);
    for (uint32_t i = 0, seen = SNUG_RELIEF_SLACK; i < h.events; i++) {
        assert_true(h.event[i].step >= seen && h.event[i].step <= SNUG_RELIEF_IDLE);
        seen = h.event[i].step;
    }
    snug_session_destroy(h.session);
    let_go(&prefix);
    let_go(&idle);
    close_model(r);
}

/* --- what the user set
 * ----------------------------------------------------------------------------------- */

static void what_was_set_is_kept_or_the_request_ends(void **state)
{
    snug_session_options options = adaptive(SNUG_STRATEGY_AGGRESSIVE);
    rig *r = *state;
    run whole = { .r = r }, h = { .r = r, .lower_at = 50 };
    uint64_t full;

    options.keeps_format = options.keeps_chunk = true;
    open_model(r, 0);
    run_whole(&whole, &options, &full);
    open_session(&h, &options);
    h.lower_to = snug_memory_read_all(r->memory).used_bytes;
    assert_int_equal(begin(&h), SNUG_OK); /* scratch that decode does not need is enough */
    assert_memory_equal(h.id, whole.id, sizeof h.id);
    assert_true(h.events > 0);
    for (uint32_t i = 0; i < h.events; i++)
        assert_int_equal(h.event[i].step, SNUG_RELIEF_SLACK);
    snug_session_destroy(h.session);
    /* The prefill needs it, and may not be smaller. */
    h = (run){ .r = r };
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    open_session(&h, &options);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, snug_memory_read_all(r->memory).used_bytes + 70000),
                     SNUG_OK);
    assert_int_equal(begin(&h), SNUG_ERR_OVER_LIMIT);
    assert_int_equal(snug_session_prefill_chunk(h.session), 128);
    suspend_and_go_on(&h, options);
    assert_memory_equal(h.id, whole.id, sizeof h.id);
    snug_session_destroy(h.session);
    close_model(r);
}

/* --- pressure
 * --------------------------------------------------------------------------------------------- */

/* A machine with a limit, of which others use a part: seen by the session's own bytes. */
typedef struct machine {
    const rig *r;
    uint64_t now_ns;
    uint64_t limit_bytes;
    uint64_t others_bytes;
    uint64_t step_ns;  /* between two looks; 0: 20 ms */
    uint64_t quiet_ns; /* when the others end; 0: never */
    uint64_t come_ns;  /* when more of them come; 0: never */
    uint64_t coming_bytes;
    uint64_t fall_bytes; /* of the limit, at each look from half a second on */
    uint64_t reserve_bytes;
} machine;

static void read_machine(void *user, snug_pressure_reading *out)
{
    machine *m = user;

    m->now_ns += m->step_ns ? m->step_ns : 20000000;
    if (m->now_ns > m->quiet_ns && m->quiet_ns > 0)
        m->others_bytes = 0;
    if (m->now_ns > m->come_ns && m->come_ns > 0) {
        m->others_bytes += m->coming_bytes;
        m->come_ns = 0;
    }
    if (m->now_ns > 500000000)
        m->limit_bytes -= m->fall_bytes;
    out->time_ns = m->now_ns;
    out->reserve_bytes = m->reserve_bytes;
    out->used_bytes = snug_memory_read_all(m->r->memory).used_bytes + m->others_bytes;
    out->limit_bytes = m->limit_bytes;
    out->usage = (double)out->used_bytes / (double)m->limit_bytes;
    out->hard_usage = out->usage;
    out->level = snug_pressure_of_usage(out->usage);
}

static snug_pressure highest_told;

static void on_pressure(void *user, const snug_pressure_reading *reading)
{
    (void)user;
    assert_true(reading->usage > 0);
    if (reading->level > highest_told)
        highest_told = reading->level;
}

/* At the end the limit would be full up to that part. */
static void what_fits_to_its_end_runs_as_it_was_made(void **state)
{
    static const double parts[] = { 0.55, 0.72, 0.9, 1.0 };
    rig *r = *state;

    for (snug_strategy strategy = SNUG_STRATEGY_CONSERVATIVE; strategy <= SNUG_STRATEGY_AGGRESSIVE;
         strategy++) {
        const snug_session_options options = adaptive(strategy);
        run whole = { .r = r };
        uint64_t full;

        open_model(r, 0);
        run_whole(&whole, &options, &full);
        for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
            machine m = { .r = r, .limit_bytes = (uint64_t)((double)full / parts[part]) + 1 };
            run h = { .r = r };

            open_session(&h, &options);
            h.session->relief.read = read_machine;
            h.session->relief.read_user = &m;
            assert_int_equal(begin(&h), SNUG_OK);
            assert_int_equal(h.events, 0);
            assert_memory_equal(h.id, whole.id, sizeof h.id);
            snug_session_destroy(h.session);
        }
        close_model(r);
    }
}

/* It would have fitted, had others not taken some meanwhile. */
static void relief_comes_before_the_threshold_is_crossed(void **state)
{
    snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    machine m = { .r = r, .come_ns = (uint64_t)200000000 };
    run whole = { .r = r }, h = { .r = r };
    snug_generate_options generate = generate_options(&h);
    snug_generate_result result = { .struct_size = sizeof result };
    uint64_t full;

    open_model(r, 0);
    run_whole(&whole, &options, &full);
    open_session(&h, &options);
    m.limit_bytes = 4 * full;
    m.coming_bytes = (uint64_t)(1.88 * (double)full); /* at the end it would be at 72 % */
    h.session->relief.read = read_machine;
    h.session->relief.read_user = &m;
    generate.on_pressure = on_pressure;
    highest_told = SNUG_PRESSURE_LOW;
    assert_int_equal(
        snug_session_generate(&result, h.session, NULL, r->prompt, PROMPT, NULL, &generate, NULL), SNUG_OK);
    assert_true(h.events > 0);
    assert_int_equal(result.relief_steps, h.events);
    assert_int_equal(h.event[0].reason, SNUG_RELIEF_FORECAST);
    for (uint32_t i = 0; i < h.events; i++)
        assert_true(h.event[i].level < SNUG_PRESSURE_HIGH);
    assert_true((double)snug_memory_read_all(r->memory).used_bytes < 0.70 * (double)m.limit_bytes);
    assert_int_equal(highest_told, SNUG_PRESSURE_MEDIUM);
    snug_session_destroy(h.session);
    close_model(r);
}

/* A limit that falls by 50 KiB or by 1 MiB at each look, over a reserve of 4 MiB. The ledger's own is just
 * enough, and stays. */
static void a_fall_by_less_than_half_the_reserve_costs_nothing(void **state)
{
    static const uint64_t falls[] = { (uint64_t)50 << 10, (uint64_t)1 << 20 };
    snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    run whole = { .r = r };
    uint64_t full;

    skip_under_tsan();
    open_model(r, 0);
    run_whole(&whole, &options, &full);
    for (size_t i = 0; i < 2; i++) {
        machine m = { .r = r,
                      .limit_bytes = (uint64_t)64 << 30,
                      .fall_bytes = falls[i],
                      .reserve_bytes = (uint64_t)4 << 20 };
        run h = { .r = r };

        open_session(&h, &options);
        assert_int_equal(snug_memory_set_limits(r->memory, 0, full + 64 * 1024), SNUG_OK);
        h.session->relief.read = read_machine;
        h.session->relief.read_user = &m;
        assert_int_equal(begin(&h), SNUG_OK);
        assert_int_equal(h.events > 0, i == 1);
        if (h.events > 0)
            assert_int_equal(h.event[0].reason, SNUG_RELIEF_FORECAST);
        snug_session_destroy(h.session);
        assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    }
    close_model(r);
}

/* Bits come back, one step a second, for the tokens that come then. */
static void recovery_gives_new_tokens_more_bits_again(void **state)
{
    const snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    machine m = { .r = r, .step_ns = 100000000, .quiet_ns = (uint64_t)5000000000 };
    run whole = { .r = r }, h = { .r = r };
    uint64_t full;
    uint32_t bits = 16, recovered = 0;

    open_model(r, 0);
    run_whole(&whole, &options, &full);
    open_session(&h, &options);
    m.limit_bytes = 4 * full;
    m.others_bytes = (uint64_t)(3.1 * (double)full); /* it does not fit to its end */
    h.session->relief.read = read_machine;
    h.session->relief.read_user = &m;
    assert_int_equal(begin(&h), SNUG_OK);
    for (uint32_t i = 0; i < h.events; i++) {
        if (h.event[i].step == SNUG_RELIEF_DEMOTE)
            assert_true(recovered == 0 && h.event[i].key_bits <= bits);
        recovered += h.event[i].step == SNUG_RELIEF_RECOVER;
        if (h.event[i].step == SNUG_RELIEF_RECOVER)
            assert_true(h.event[i].key_bits >= bits);
        bits = h.event[i].key_bits;
    }
    assert_true(recovered > 0);
    assert_int_equal(bits, 16);
    assert_int_equal(h.count, WANTED);
    snug_session_destroy(h.session);
    close_model(r);
}

/* At the floor of its bits an aggressive session forgets the older half, but for its first tokens, where
 * there is room to do so; others never forget. */
static void the_older_half_is_forgotten_only_where_that_is_allowed(void **state)
{
    const struct {
        snug_strategy strategy;
        bool forgets;
    } rows[] = { { SNUG_STRATEGY_AGGRESSIVE, true }, { SNUG_STRATEGY_BALANCED, false } };
    rig *r = *state;
    uint32_t prompt[2 * PROMPT];

    memcpy(prompt, r->prompt, sizeof r->prompt);
    memcpy(prompt + PROMPT, r->prompt, sizeof r->prompt);
    for (size_t i = 0; i < 2; i++) {
        snug_session_options options = adaptive(rows[i].strategy);
        machine m = { .r = r, .step_ns = 100000000 };
        run h = { .r = r };
        const snug_generate_options generate = generate_options(&h);
        snug_generate_result result = { .struct_size = sizeof result };
        snug_kv_info info = { .struct_size = sizeof info };
        bool has_forgotten = false;

        options.context_tokens = 1024;
        open_model(r, 0);
        open_session(&h, &options);
        m.limit_bytes = snug_memory_read_all(r->memory).used_bytes / 3 * 2;
        h.session->relief.read = read_machine;
        h.session->relief.read_user = &m;
        assert_int_equal(
            snug_session_generate(&result, h.session, NULL, prompt, 2 * PROMPT, NULL, &generate, NULL),
            SNUG_OK);
        assert_int_equal(h.count, WANTED);
        for (uint32_t e = 0; e < h.events; e++)
            has_forgotten = has_forgotten || h.event[e].step == SNUG_RELIEF_WINDOW;
        snug_kv_read_info(&info, snug_session_kv(h.session));
        assert_int_equal(has_forgotten, rows[i].forgets);
        assert_int_equal(info.config.retention.kind == SNUG_KV_RETENTION_ROTATING, rows[i].forgets);
        if (has_forgotten)
            assert_int_equal(info.config.retention.sink_tokens, 4);
        snug_session_destroy(h.session);
        close_model(r);
    }
}

/* Others take all memory: what this session has is no part of it that anyone would feel. */
static void nobody_loses_bits_for_what_would_not_be_felt(void **state)
{
    snug_session_options options = adaptive(SNUG_STRATEGY_BALANCED);
    rig *r = *state;
    machine m = { .r = r, .limit_bytes = (uint64_t)64 << 30, .others_bytes = (uint64_t)60 << 30 };
    run h = { .r = r };

    open_model(r, 0);
    open_session(&h, &options);
    h.session->relief.read = read_machine;
    h.session->relief.read_user = &m;
    assert_int_equal(begin(&h), SNUG_OK);
    assert_int_equal(h.events, 0);
    snug_session_destroy(h.session);
    close_model(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_lowered_at_any_token_is_kept_and_nothing_is_lost),
        cmocka_unit_test(a_limit_from_the_begin_is_never_passed),
        cmocka_unit_test(every_reservation_may_be_refused),
        cmocka_unit_test(others_give_by_rank_before_the_cache_loses_bits),
        cmocka_unit_test(what_was_set_is_kept_or_the_request_ends),
        cmocka_unit_test(what_fits_to_its_end_runs_as_it_was_made),
        cmocka_unit_test(relief_comes_before_the_threshold_is_crossed),
        cmocka_unit_test(a_fall_by_less_than_half_the_reserve_costs_nothing),
        cmocka_unit_test(recovery_gives_new_tokens_more_bits_again),
        cmocka_unit_test(the_older_half_is_forgotten_only_where_that_is_allowed),
        cmocka_unit_test(nobody_loses_bits_for_what_would_not_be_felt),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
