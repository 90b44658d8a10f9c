/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - a timeline of tokens: makes the cache and the scratch, and appends tokens chunk by chunk.
 */
#include "session/session.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/machine.h"
#include "plan/plan.h"

/* One that is lent has room when there is something to compute; of its own it is there from the beginning. */
static snug_status take_bench(snug_session *session, const snug_plan_settings *settings, snug_workbench *lent,
                              snug_error *error)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = settings->context_tokens,
                                           .prefill_chunk = settings->prefill_chunk,
                                           .threads = settings->threads,
                                           .logits_rows = settings->logits_rows };

    session->bench = lent;
    if (!lent)
        SNUG_TRY(
            snug_workbench_create(&session->own_bench, session->model, session->memory, &options, error));
    else if (lent->model != session->model || settings->prefill_chunk > lent->most_tokens ||
             settings->logits_rows > lent->logits_rows)
        SNUG_FAIL(
            error, SNUG_ERR_ARGUMENT,
            "the workbench is of another model, or for at most %u tokens and %u rows of logits together",
            lent->most_tokens, lent->logits_rows);
    if (session->own_bench) {
        session->bench = session->own_bench;
        SNUG_TRY(snug_session_set_scratch(session, settings->prefill_chunk, error));
    }
    session->pass.work = session->bench->work;
    session->pass.span_tokens = settings->context_tokens;
    return SNUG_OK;
}

/* `from`: whose cache the new one shares; NULL: a new cache. `lent`: NULL: a workbench of its own. */
static snug_status make_parts(snug_session *session, const snug_plan_settings *settings, snug_workbench *lent,
                              snug_session *from, snug_error *error)
{
    const snug_kv_options kv = snug_plan_kv_options(settings);

    session->ids = snug_memory_alloc(session->memory, SNUG_MEMORY_TEXT,
                                     (uint64_t)settings->context_tokens * sizeof *session->ids,
                                     "the ids of a conversation", error);
    if (!session->ids)
        return error->status;
    SNUG_TRY(take_bench(session, settings, lent, error));
    if (from)
        SNUG_TRY(snug_kv_fork(&session->kv, from->kv, error));
    else
        SNUG_TRY(snug_kv_create(&session->kv, snug_model_kv_shape(session->model), session->memory,
                                &session->model->kernels, &kv, error));
    session->pass.kv = session->kv;
    return SNUG_OK;
}

static snug_status make(snug_session **session_out, const snug_model *model, snug_memory *memory,
                        const snug_plan_settings *settings, snug_workbench *lent, snug_session *from,
                        snug_error *error)
{
    snug_session *session =
        snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *session, "the session", error);
    snug_status status;

    if (!session)
        return error->status;
    session->model = model;
    session->memory = memory;
    session->context_tokens = settings->context_tokens;
    session->prefill_chunk = settings->prefill_chunk;
    session->logits_rows = settings->logits_rows;
    status = make_parts(session, settings, lent, from, error);
    if (status != SNUG_OK) {
        snug_session_destroy(session);
        return status;
    }
    *session_out = session;
    return SNUG_OK;
}

/* The last step of making one; what is not whole is none. */
static snug_status adapt(snug_session **session_out, const snug_session_options *options, snug_error *error)
{
    snug_status status;

    if (!options || !options->adapt)
        return SNUG_OK;
    status = snug_relief_init(*session_out, options, error);
    if (status != SNUG_OK) {
        snug_session_destroy(*session_out);
        *session_out = NULL;
    }
    return status;
}

/* What is 0 or AUTO stays so. */
static snug_plan_settings settings_of(const snug_session_options *options)
{
    if (!options)
        return (snug_plan_settings){ 0 };
    return (snug_plan_settings){ .context_tokens = options->context_tokens,
                                 .prefill_chunk = options->prefill_chunk,
                                 .threads = options->threads,
                                 .logits_rows = options->logits_rows,
                                 .kv = options->kv };
}

/* Weights that stay in memory beside the session may lie there in huge pages. Where they do not, or are read
 * in windows, each read would bring, and push out, more than was asked for. The plan is made until it has
 * been said once: sessions are made by the thousand. */
static void choose_weight_pages(const snug_model *model, const snug_memory *memory,
                                const snug_plan_settings *settings)
{
    const snug_plan_options options = snug_plan_options_of(settings);
    snug_plan plan = { .struct_size = sizeof plan };

    if (model->reading_bytes == SNUG_MEMORY_NO_LIMIT &&
        !snug_checkpoint_is_in_huge_pages(model->checkpoint) &&
        snug_plan_make(&plan, model, memory, 0, &options, NULL) == SNUG_OK && plan.weights_fit)
        snug_checkpoint_in_huge_pages(model->checkpoint);
}

snug_status snug_session_create(snug_session **session_out, const snug_model *model, snug_memory *memory,
                                const snug_session_options *options, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    snug_plan_settings settings = settings_of(options);

    *session_out = NULL;
    if (!error)
        error = &own;
    if (snug_checkpoint_is_outline(model->checkpoint))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%.300s has no weights: it can be planned, not run",
                  snug_checkpoint_path(model->checkpoint));
    SNUG_TRY(snug_plan_resolve(&settings, model, error));
    choose_weight_pages(model, memory, &settings);
    SNUG_TRY(make(session_out, model, memory, &settings, options ? options->workbench : NULL, NULL, error));
    return adapt(session_out, options, error);
}

static bool is_cache_set(const snug_kv_config *kv)
{
    return kv->key.format != SNUG_KV_FORMAT_AUTO || kv->value.format != SNUG_KV_FORMAT_AUTO ||
           kv->retention.kind != SNUG_KV_RETENTION_AUTO || snug_kv_config_has_layers(kv);
}

snug_status snug_session_create_adaptive(snug_session **session_out, snug_plan *plan_out,
                                         const snug_model *model, snug_memory *memory,
                                         const snug_session_options *options, snug_error *error)
{
    snug_session_options chosen = { .struct_size = sizeof chosen };
    snug_plan_settings settings = settings_of(options);
    snug_error own = { SNUG_OK, "" };
    snug_plan own_plan;

    *session_out = NULL;
    if (!error)
        error = &own;
    if (options)
        chosen = *options;
    SNUG_TRY(
        snug_plan_choose(&settings, model, memory, chosen.strategy, plan_out ? plan_out : &own_plan, error));
    chosen.adapt = true;
    chosen.keeps_format = chosen.keeps_format || is_cache_set(&chosen.kv);
    chosen.keeps_chunk = chosen.keeps_chunk || chosen.prefill_chunk > 0;
    chosen.context_tokens = settings.context_tokens;
    chosen.prefill_chunk = settings.prefill_chunk;
    chosen.threads = settings.threads;
    chosen.logits_rows = settings.logits_rows;
    chosen.kv = settings.kv;
    return snug_session_create(session_out, model, memory, &chosen, error);
}

snug_status snug_session_fork(snug_session **session_out, snug_session *from, snug_error *error)
{
    const snug_plan_settings settings = {
        .context_tokens = from->context_tokens,
        .prefill_chunk = from->prefill_chunk,
        .threads = snug_session_threads(from),
        .logits_rows = from->logits_rows,
    };
    const snug_session_options options = snug_relief_options(from);
    snug_error own = { SNUG_OK, "" };
    snug_session *session;

    *session_out = NULL;
    if (!error)
        error = &own;
    SNUG_TRY(make(&session, from->model, from->memory, &settings, from->own_bench ? NULL : from->bench, from,
                  error));
    SNUG_TRY(adapt(&session, &options, error));
    session->pass.span_tokens = from->pass.span_tokens;
    session->tokens = from->tokens;
    session->pending = from->pending;
    memcpy(session->ids, from->ids, ((size_t)from->tokens + from->pending) * sizeof *from->ids);
    /* At one workbench they stay the other's. */
    session->has_logits = session->own_bench && snug_session_has_logits(from);
    if (session->has_logits) {
        memcpy(session->bench->logits, from->bench->logits,
               from->model->shape.vocabulary * sizeof *from->bench->logits);
        session->bench->logits_of = session;
    }
    session->is_unfinished = from->is_unfinished;
    session->unfinished = from->unfinished;
    *session_out = session;
    return SNUG_OK;
}

void snug_session_destroy(snug_session *session)
{
    if (!session)
        return;
    snug_relief_deinit(session);
    snug_kv_destroy(session->kv);
    snug_workbench_destroy(session->own_bench);
    snug_memory_free(session->memory, session->ids);
    snug_memory_free(session->memory, session);
}

static snug_status check_tokens(const snug_session *session, const uint32_t *ids, size_t count,
                                snug_error *error)
{
    const uint32_t vocabulary = session->model->shape.vocabulary;

    if (count > session->context_tokens - session->tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL, "%zu more tokens after %u do not fit into the context of %u", count,
                  session->tokens, session->context_tokens);
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= vocabulary)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                      "token %zu has the id %u, but the model's vocabulary ends at %u", i, ids[i],
                      vocabulary - 1);
    return SNUG_OK;
}

/* Logits of the chunk's tokens from `first` on, a few rows at a time, to the caller. */
static bool report_logits(snug_session *session, uint32_t first, const snug_eval_options *options)
{
    const size_t vocabulary = session->model->shape.vocabulary;

    session->bench->logits_of = NULL;
    for (uint32_t t = first; t < session->pass.tokens; t += session->logits_rows) {
        const uint32_t rows = (uint32_t)snug_min_size(session->logits_rows, session->pass.tokens - t);

        snug_model_logits(session->bench->logits, &session->pass, t, rows);
        for (uint32_t r = 0; r < rows; r++)
            if (!options->on_logits(options->user, session->pass.first_position + t + r,
                                    session->bench->logits + r * vocabulary))
                return false;
    }
    return true;
}

/* A pass that is over sooner than memory can be taken needs no watch: looking between tokens is enough then.
 * One of few tokens is taken to last as long as the last such one. */
#define SHORT_NS     ((uint64_t)10000000)
#define SHORT_TOKENS 32u

static bool is_watch_needed(const snug_session *session)
{
    const bool was_short = session->few_tokens_ns > 0 && session->few_tokens_ns < SHORT_NS;
    const bool is_short = session->pass.tokens < SHORT_TOKENS && was_short;

    return session->relief.is_on && (!is_short || session->relief.goes_on != snug_relief_goes_on);
}

static void begin_watch(snug_session *session)
{
    snug_work_begin_watch(session->bench->work, session->relief.goes_on, session);
}

/* Whether what was begun came to its end. If not the `count` tokens from `first` on are not there, but known
 * and to be computed again. */
static bool end_watch(snug_session *session, uint32_t first, uint32_t count)
{
    const uint32_t known = session->tokens + session->pending;

    if (snug_work_end_watch(session->bench->work))
        return true;
    snug_kv_set_tokens(session->kv, first + count); /* in some layers they were written */
    session->tokens = snug_kv_truncate(session->kv, first);
    session->pending = known - session->tokens;
    session->has_logits = false;
    return false;
}

/* The kernel is asked after each chunk of a prompt, but after few tokens not more often than this: what it
 * says grows with the tokens, and asking takes a tenth of a small model's token. */
#define SAMPLED_NS ((uint64_t)20000000)

static void end_chunk(snug_session *session, uint32_t count, uint64_t begun_ns)
{
    const uint64_t now = snug_os_clock_ns();

    session->relief.stops = 0;
    if (count < SHORT_TOKENS) {
        session->few_tokens_ns = now - begun_ns;
        if (now - session->sampled_ns < SAMPLED_NS)
            return;
    }
    session->sampled_ns = now;
    snug_memory_sample(session->memory);
}

/*
 * One chunk, which the cache has room for: compute, and only then count the tokens as there. Where that was
 * given up they are pending as before.
 */
static snug_status eval_chunk(snug_session *session, uint32_t count, uint64_t begun_ns,
                              const snug_eval_options *options, snug_error *error)
{
    snug_pass *pass = &session->pass;
    const uint32_t first = session->tokens;
    const bool is_last = count == session->pending;
    bool is_watched;

    pass->ids = session->ids + first;
    pass->tokens = count;
    pass->first_position = first;
    is_watched = is_watch_needed(session);
    if (is_watched)
        begin_watch(session);
    snug_model_forward(pass);
    session->relief.passes++;
    if (is_watched && !end_watch(session, first, count))
        return SNUG_OK;
    session->tokens = first + count;
    session->pending -= count;
    snug_kv_set_tokens(session->kv, session->tokens);
    snug_kv_settle(session->kv, count);
    if (options && options->on_logits && options->logits_from < session->tokens) {
        const uint32_t from = options->logits_from > first ? options->logits_from - first : 0;

        if (!report_logits(session, from, options))
            SNUG_FAIL(error, SNUG_ERR_CANCELLED, "stopped while logits were read");
    }
    if (is_last) {
        is_watched = is_watched && (!options || !options->on_logits); /* else they would be told twice */
        if (is_watched)
            begin_watch(session);
        snug_model_logits(session->bench->logits, pass, count - 1, 1);
        session->bench->logits_of = session;
        session->has_logits = true;
        if (is_watched && !end_watch(session, first, count))
            return SNUG_OK;
    }
    end_chunk(session, count, begun_ns);
    return SNUG_OK;
}

static bool is_long(const snug_session *session, uint32_t tokens)
{
    const uint32_t short_tokens = session->model->shape.rope_short_tokens;

    return short_tokens > 0 && tokens > short_tokens;
}

const char *snug_recompute_reason_name(snug_recompute_reason reason)
{
    switch (reason) {
    case SNUG_RECOMPUTE_NONE:
        return "none";
    case SNUG_RECOMPUTE_LONGER:
        return "longer";
    case SNUG_RECOMPUTE_SHORTER:
        return "shorter";
    case SNUG_RECOMPUTE_REWOUND:
        return "rewound";
    }
    return "unknown";
}

snug_recompute snug_session_expect(snug_session *session, uint32_t tokens)
{
    const bool becomes_long = is_long(session, tokens);
    snug_recompute recompute = { SNUG_RECOMPUTE_NONE, 0, session->model->shape.rope_short_tokens };

    if (becomes_long != is_long(session, session->pass.span_tokens) && session->tokens > 0) {
        recompute.reason = becomes_long ? SNUG_RECOMPUTE_LONGER : SNUG_RECOMPUTE_SHORTER;
        recompute.tokens = session->tokens;
        session->pending += session->tokens;
        session->tokens = snug_kv_truncate(session->kv, 0);
        session->has_logits = false;
    }
    session->pass.span_tokens = tokens;
    return recompute;
}

/* Memory for the next chunk: a smaller one, or a smaller cache, where there is none otherwise. */
static snug_status make_room(uint32_t *chunk_out, snug_session *session, uint64_t now_ns, snug_error *error)
{
    SNUG_TRY(snug_relief_look(session, now_ns, error));
    for (;;) {
        snug_status status = snug_session_fit_chunk(chunk_out, session, error);
        uint64_t missing = snug_session_scratch_bytes(session, session->prefill_chunk);

        if (status == SNUG_OK) {
            const uint32_t tokens = session->tokens + *chunk_out;

            missing = snug_kv_projected_bytes(session->kv, tokens) - snug_kv_committed_bytes(session->kv);
            status = snug_kv_grow(session->kv, tokens, error);
        }
        if (status == SNUG_OK || !snug_relief_refused(session, status, missing))
            return status;
    }
}

/* Compute the ids that are known and pending. */
static snug_status eval_pending(snug_session *session, const snug_eval_options *options, snug_error *error)
{
    const uint32_t count = session->pending;
    uint32_t chunk;

    while (session->pending > 0) {
        const uint64_t begun_ns = snug_os_clock_ns();

        if (options && options->keep_going && !options->keep_going(options->user))
            SNUG_FAIL(error, SNUG_ERR_CANCELLED, "stopped after %u of %u tokens", count - session->pending,
                      count);
        session->has_logits = false;
        SNUG_TRY(make_room(&chunk, session, begun_ns, error));
        SNUG_TRY(eval_chunk(session, chunk, begun_ns, options, error));
    }
    return SNUG_OK;
}

/* What comes after the tokens that are computed. An unfinished answer stays one if that was expected. */
static void set_pending(snug_session *session, const uint32_t *ids, size_t count)
{
    uint32_t *next = session->ids + session->tokens;

    if (session->pending != count || memcmp(next, ids, count * sizeof *ids) != 0)
        session->is_unfinished = false;
    memmove(next, ids, count * sizeof *ids);
    session->pending = (uint32_t)count;
}

/*
 * Exact mode does as the reference does: the length reached at every step decides. Otherwise a sequence is
 * computed anew only when it outgrows what was expected. Logits of tokens that had been there are not
 * reported a second time.
 */
snug_status snug_session_eval(snug_session *session, const uint32_t *ids, size_t count,
                              const snug_eval_options *options, snug_error *error)
{
    const uint32_t before = session->tokens;
    snug_eval_options only_new = { .struct_size = sizeof only_new };
    snug_recompute recompute = { SNUG_RECOMPUTE_NONE, 0, 0 };
    uint32_t total;

    SNUG_TRY(check_tokens(session, ids, count, error));
    SNUG_RETURN_IF(count == 0, SNUG_OK);
    set_pending(session, ids, count);
    total = before + (uint32_t)count;
    if (session->model->kernels.exact || total > session->pass.span_tokens)
        recompute = snug_session_expect(session, total);
    if (recompute.reason == SNUG_RECOMPUTE_NONE)
        return eval_pending(session, options, error);
    if (options)
        only_new = *options;
    if (only_new.on_recompute)
        only_new.on_recompute(only_new.user, &recompute);
    only_new.logits_from = only_new.logits_from > before ? only_new.logits_from : before;
    return eval_pending(session, &only_new, error);
}

uint32_t snug_session_truncate(snug_session *session, uint32_t tokens)
{
    if (tokens < session->tokens) {
        session->tokens = snug_kv_truncate(session->kv, tokens);
        session->has_logits = false;
        session->pending = 0;
        session->is_unfinished = false;
    }
    return session->tokens;
}

snug_status snug_session_convert(snug_session *session, const snug_kv_config *config, snug_error *error)
{
    snug_plan_settings settings = {
        .context_tokens = session->context_tokens,
        .prefill_chunk = session->prefill_chunk,
        .threads = snug_session_threads(session),
        .logits_rows = session->logits_rows,
        .kv = *config,
    };
    snug_kv_options options;
    snug_kv *kv;
    snug_status status;

    SNUG_TRY(snug_plan_resolve(&settings, session->model, error));
    options = snug_plan_kv_options(&settings);
    SNUG_TRY(snug_kv_create(&kv, snug_model_kv_shape(session->model), session->memory,
                            &session->model->kernels, &options, error));
    snug_session_come(session);
    status = snug_kv_convert(kv, session->kv, session->bench->work, session->pass.thread_scratch, error);
    if (status != SNUG_OK) {
        snug_kv_destroy(kv);
        return status;
    }
    snug_kv_destroy(session->kv);
    session->kv = session->pass.kv = kv;
    return SNUG_OK;
}

bool snug_session_unfinished(const snug_session *session, snug_unfinished *unfinished_out)
{
    const size_t struct_size = unfinished_out->struct_size;

    *unfinished_out = session->unfinished;
    unfinished_out->struct_size = struct_size;
    unfinished_out->known_tokens = session->tokens + session->pending;
    return session->is_unfinished;
}

snug_status snug_session_demote(snug_session *session, const snug_kv_target *target, uint64_t *bytes_out,
                                snug_error *error)
{
    snug_status status;

    snug_session_come(session);
    status = snug_kv_demote_rows(session->kv, target, session->bench->work, session->pass.thread_scratch,
                                 bytes_out, error);
    if (snug_kv_tokens(session->kv) < session->tokens) { /* known all the same: computed again */
        session->pending += session->tokens;
        session->tokens = snug_kv_truncate(session->kv, 0);
        session->has_logits = false;
    }
    return status;
}

uint32_t snug_session_tokens(const snug_session *session)
{
    return session->tokens;
}

const uint32_t *snug_session_ids(const snug_session *session)
{
    return session->ids;
}

uint32_t snug_session_context_tokens(const snug_session *session)
{
    return session->context_tokens;
}

uint32_t snug_session_prefill_chunk(const snug_session *session)
{
    return session->prefill_chunk;
}

uint32_t snug_session_threads(const snug_session *session)
{
    return snug_work_threads(session->bench->work);
}

const snug_kv *snug_session_kv(const snug_session *session)
{
    return session->kv;
}

const float *snug_session_logits(const snug_session *session)
{
    return snug_session_has_logits(session) ? session->bench->logits : NULL;
}
