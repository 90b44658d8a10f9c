/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch.c - a conversation moves to another model: plan, admit, load, read again, and only then let the old
 * session go. Whatever fails on the way is undone; a session that had to leave memory for it is read back.
 */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "catalog/conversation.h"
#include "catalog/fit.h"
#include "catalog/pool.h"
#include "os/machine.h"
#include "os/store.h"
#include "plan/plan.h"
#include "session/session.h"

#define CHUNK_LEAST 32u /* of a session that is read back where memory is short */

/* One move, under way. */
typedef struct move {
    snug_conversation *conversation;
    const snug_switch_options *options;
    snug_switch_report *report;
    const char *name;
    snug_switch_reason reason;
    snug_plan plan; /* without the old session */
    snug_loaded loaded;
    snug_session *session;
    uint32_t *ids;
    size_t count;
} move;

const char *snug_switch_reason_name(snug_switch_reason reason)
{
    static const char *const names[] = { "none", "asked", "pressure", "room" };

    return (size_t)reason < SNUG_COUNT(names) ? names[reason] : "unknown";
}

/* --- progress ------------------------------------------------------------------------------------------- */

static uint64_t ledger_used(const snug_conversation *conversation)
{
    return snug_memory_read_all(conversation->memory).used_bytes;
}

static bool is_over_limit(const snug_conversation *conversation)
{
    snug_memory_limits limits;

    snug_memory_read_limits(&limits, conversation->memory);
    return limits.used_bytes > limits.hard_bytes;
}

static void say(move *m, snug_switch_phase phase, uint64_t done, uint64_t total)
{
    const snug_switch_progress progress = {
        .phase = phase, .fraction = total > 0 ? (double)done / (double)total : 0, .done = done, .total = total
    };
    const uint64_t used = ledger_used(m->conversation);

    if (used > m->report->most_bytes)
        m->report->most_bytes = used;
    if (m->options->on_progress)
        m->options->on_progress(m->options->user, &progress);
}

static bool is_going(const move *m)
{
    return !m->options->keep_going || m->options->keep_going(m->options->user);
}

static bool load_is_going(void *user)
{
    return is_going(user);
}

static void load_progress(void *user, const snug_load_progress *progress)
{
    say(user, SNUG_SWITCH_LOAD, progress->done_bytes, progress->total_bytes);
}

/* Between chunks of the prefill. */
static bool prefill_is_going(void *user)
{
    move *m = user;

    say(m, SNUG_SWITCH_PREFILL, snug_session_tokens(m->session), m->count);
    return is_going(m);
}

/* --- planning ------------------------------------------------------------------------------------------- */

/* What the old session holds of the ledger, but for a few small things. */
static void take_out_session(snug_plan_situation *situation, const snug_session *session)
{
    const uint64_t bytes[SNUG_MEMORY_USE_COUNT] = {
        [SNUG_MEMORY_KV] = snug_kv_committed_bytes(session->kv),
        [SNUG_MEMORY_SCRATCH] = session->bench->scratch.committed_bytes,
        [SNUG_MEMORY_TEXT] =
            snug_memory_block_bytes((uint64_t)session->context_tokens * sizeof *session->ids),
    };
    uint64_t sum = 0;

    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++) {
        const uint64_t part = bytes[use] < situation->use_bytes[use] ? bytes[use] : situation->use_bytes[use];

        situation->use_bytes[use] -= part;
        sum += part;
    }
    situation->own_bytes -= sum < situation->own_bytes ? sum : situation->own_bytes;
    if (situation->comfort_bytes < SNUG_MEMORY_NO_LIMIT)
        situation->comfort_bytes += sum;
}

/* The session that the options and the strategy want, as if there were no other. prompt_tokens 0: any. */
static snug_status plan_alone(move *m, const snug_model *model, uint64_t text_bytes, uint32_t prompt_tokens,
                              snug_error *error)
{
    const snug_session_options *wanted = &m->conversation->options.session;
    const snug_plan_options options = {
        .struct_size = sizeof options,
        .context_tokens = wanted->context_tokens,
        .prompt_tokens = prompt_tokens,
        .prefill_chunk = wanted->prefill_chunk,
        .threads = wanted->threads,
        .kv = wanted->kv,
        .logits_rows = wanted->logits_rows,
    };
    snug_plan_situation situation;

    snug_plan_look(&situation, m->conversation->memory, 0, 0);
    situation.use_bytes[SNUG_MEMORY_TEXT] += text_bytes;
    if (m->conversation->session)
        take_out_session(&situation, m->conversation->session);
    m->plan.struct_size = sizeof m->plan;
    if (wanted->adapt)
        SNUG_TRY(snug_plan_search_in(&m->plan, &situation, model, &options, wanted->strategy, error));
    else
        SNUG_TRY(snug_plan_predict(&m->plan, &situation, model, &options, error));
    snug_plan_complete(&m->plan, &situation, model);
    return SNUG_OK;
}

static snug_status check_fits(const move *m, snug_error *error)
{
    if (m->plan.fits)
        return SNUG_OK;
    SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT,
              "%.200s needs %s at %u tokens of context, and %s may be used, limited by %s", m->name,
              snug_catalog_size(m->plan.peak_bytes).text, m->plan.context_tokens,
              snug_catalog_size(m->plan.limit_bytes).text, m->plan.limited_by);
}

/* Moving back is a choice, not a need: only into what is comfortable. */
static bool is_comfortable(const move *m)
{
    return m->plan.weights_fit && !m->plan.is_tight;
}

/* Whether the new session with so many tokens fits while the old one is there. */
static bool fits_beside(const move *m, const snug_model *model, uint64_t text_bytes, uint32_t tokens)
{
    const snug_strategy_rules *rules = snug_strategy_rules_of(m->conversation->options.session.strategy);
    const snug_plan_options options = {
        .struct_size = sizeof options,
        .context_tokens = m->plan.context_tokens,
        .prompt_tokens = (uint32_t)snug_min_size(snug_max_size(tokens, 1), m->plan.context_tokens),
        .max_tokens = 1,
        .prefill_chunk = m->plan.prefill_chunk,
        .threads = m->plan.threads,
        .kv = m->plan.kv,
        .logits_rows = m->plan.logits_rows,
    };
    snug_plan_situation situation;
    snug_plan both = { .struct_size = sizeof both };

    snug_plan_look(&situation, m->conversation->memory, 0, 0);
    situation.use_bytes[SNUG_MEMORY_TEXT] += text_bytes;
    return snug_plan_predict(&both, &situation, model, &options, NULL) == SNUG_OK &&
           (double)both.peak_bytes <= rules->warn_share * (double)both.limit_bytes;
}

/* --- the old session to disk and back ------------------------------------------------------------------- */

/* What lay on disk is needed no more. A file that cannot be deleted stays: it harms nobody. */
static void delete_checkpoint(const snug_conversation *conversation)
{
    const snug_status status = snug_os_delete(conversation->options.checkpoint_path, NULL);

    (void)status;
}

static snug_status write_checkpoint(const snug_conversation *conversation, snug_error *error)
{
    const snug_conversation_options *options = &conversation->options;
    const snug_suspend_options suspend = {
        .struct_size = sizeof suspend,
        .note = options->checkpoint_note ? options->checkpoint_note(options->user) : NULL,
        .reason = "it moves to another model",
    };
    snug_suspend_result result = { .struct_size = sizeof result };

    SNUG_TRY(snug_session_suspend(&result, conversation->session, options->checkpoint_path, &suspend, error));
    if (result.has_cache || snug_session_tokens(conversation->session) == 0)
        return SNUG_OK;
    /* Computed again it need not be what it was, bit for bit: rather no move. */
    delete_checkpoint(conversation);
    SNUG_FAIL(error, SNUG_ERR_IO, "%s", result.cache_error);
}

static snug_status release_session(move *m, snug_error *error)
{
    snug_conversation *conversation = m->conversation;
    snug_session *session = conversation->session;
    const uint64_t bytes = snug_kv_committed_bytes(session->kv);

    if (!conversation->options.checkpoint_path)
        SNUG_FAIL(
            error, SNUG_ERR_OVER_LIMIT,
            "%.200s does not fit beside the conversation as it is, and no file was named to keep that in "
            "meanwhile",
            m->name);
    say(m, SNUG_SWITCH_SAVE, 0, bytes);
    SNUG_TRY(write_checkpoint(conversation, error));
    conversation->sleep =
        (conversation_sleep){ .is_asleep = true,
                              .tokens = session->tokens,
                              .chunk_most =
                                  session->relief.is_on ? session->relief.chunk_most : session->prefill_chunk,
                              .options = snug_relief_options(session) };
    conversation->sleep.options.threads = snug_session_threads(session);
    snug_session_destroy(session);
    conversation->session = NULL;
    m->report->was_released = true;
    say(m, SNUG_SWITCH_SAVE, bytes, bytes);
    return SNUG_OK;
}

/* A session as the one on disk was; where memory is short with a smaller prefill chunk. */
static snug_status make_sleeper(snug_session **out, const snug_conversation *conversation,
                                const snug_suspended_info *info, snug_error *error)
{
    const conversation_sleep *sleep = &conversation->sleep;
    snug_session_options options = sleep->options;
    snug_status status;

    options.context_tokens = info->session.context_tokens;
    options.logits_rows = info->session.logits_rows;
    options.kv = info->session.kv;
    options.prefill_chunk = sleep->chunk_most;
    for (;;) {
        status = snug_session_create(out, conversation->loaded.model, conversation->memory, &options, error);
        if (!snug_is_memory_out(status) || options.keeps_chunk || options.prefill_chunk / 2 < CHUNK_LEAST)
            return status;
        options.prefill_chunk /= 2;
    }
}

snug_status snug_conversation_wake(snug_conversation *conversation, snug_error *error)
{
    snug_suspended_info info = { .struct_size = sizeof info };
    snug_session *session = NULL;
    snug_suspended *suspended;
    snug_status status;

    if (!conversation->sleep.is_asleep)
        return SNUG_OK;
    SNUG_TRY(
        snug_suspended_open(&suspended, conversation->memory, conversation->options.checkpoint_path, error));
    snug_suspended_read(&info, suspended);
    status = make_sleeper(&session, conversation, &info, error);
    if (status == SNUG_OK)
        status = snug_session_resume(session, suspended, error);
    snug_suspended_close(suspended);
    if (status != SNUG_OK) {
        snug_session_destroy(session);
        return status;
    }
    conversation->session = session;
    conversation->sleep.is_asleep = false;
    delete_checkpoint(conversation);
    return SNUG_OK;
}

/* --- the new session ------------------------------------------------------------------------------------ */

/* Asked when the other model's headers are open: the last moment before anything large. */
static snug_status admit(void *user, const snug_model *model, uint64_t text_bytes, snug_error *error)
{
    move *m = user;
    const snug_session *old = m->conversation->session;

    if (model == m->conversation->loaded.model)
        return SNUG_OK;
    SNUG_TRY(plan_alone(m, model, text_bytes, 0, error));
    SNUG_TRY(check_fits(m, error));
    if (m->reason == SNUG_SWITCH_ROOM && !is_comfortable(m))
        SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT, "there is not enough memory for %.200s yet", m->name);
    if (!old || (m->options->mode != SNUG_SWITCH_RELEASE && fits_beside(m, model, text_bytes, old->tokens)))
        return SNUG_OK;
    if (m->options->mode == SNUG_SWITCH_BESIDE)
        SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT, "%.200s does not fit beside the conversation as it is",
                  m->name);
    return release_session(m, error);
}

static snug_status load(move *m, snug_error *error)
{
    snug_load_options options = m->conversation->options.load;

    options.struct_size = sizeof options;
    options.keep_going = load_is_going;
    options.on_progress = load_progress;
    options.user = m;
    return snug_pool_load(&m->loaded, m->conversation->pool, m->name, &options, admit, m, error);
}

/* The conversation by the other model's template and tokenizer; of an answer that is written what there
 * is of it. */
static snug_status encode(move *m, snug_error *error)
{
    const snug_conversation *conversation = m->conversation;
    snug_error reason = { SNUG_OK, "" };

    if (!snug_text_has_chat(m->loaded.text, &reason))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%.200s cannot chat: %s", m->name,
                  reason.text[0] ? reason.text : "it has no chat template");
    if (conversation->count == 0)
        return SNUG_OK;
    return snug_conversation_encode(&m->ids, &m->count, conversation, m->loaded.text,
                                    conversation->asked ? conversation->answer.data : NULL, error);
}

static snug_status make_session(move *m, snug_error *error)
{
    snug_conversation *conversation = m->conversation;
    snug_session_options options = conversation->options.session;

    if (m->count >= m->plan.context_tokens && options.context_tokens == 0 && options.adapt) {
        SNUG_TRY(plan_alone(m, m->loaded.model, 0, (uint32_t)m->count, error));
        SNUG_TRY(check_fits(m, error));
    }
    if (m->count >= m->plan.context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL,
                  "with %.200s the conversation has %zu tokens, and its context holds %u", m->name, m->count,
                  m->plan.context_tokens);
    options.struct_size = sizeof options;
    options.keeps_format = options.keeps_format || options.kv.key.format != SNUG_KV_FORMAT_AUTO ||
                           options.kv.value.format != SNUG_KV_FORMAT_AUTO ||
                           options.kv.retention.kind != SNUG_KV_RETENTION_AUTO;
    options.keeps_chunk = options.keeps_chunk || options.prefill_chunk > 0;
    options.context_tokens = m->plan.context_tokens;
    options.prefill_chunk = m->plan.prefill_chunk;
    options.kv = m->plan.kv;
    options.on_release = snug_conversation_release;
    options.release_user = conversation;
    return snug_session_create(&m->session, m->loaded.model, conversation->memory, &options, error);
}

static snug_status read_again(move *m, snug_error *error)
{
    const snug_eval_options options = { .struct_size = sizeof options,
                                        .keep_going = prefill_is_going,
                                        .user = m };
    snug_status status = make_session(m, error);

    if (status == SNUG_OK)
        status = snug_session_eval(m->session, m->ids, m->count, &options, error);
    if (status == SNUG_OK)
        say(m, SNUG_SWITCH_PREFILL, m->count, m->count);
    return status;
}

static void drop_session(move *m)
{
    snug_session_destroy(m->session);
    m->session = NULL;
}

/* What the forecast did not see (an uneven system, a neighbour) is met by what is refused: then the old
 * session makes room after all. */
static snug_status read_somehow(move *m, snug_error *error)
{
    const snug_status status = read_again(m, error);

    if (!snug_is_memory_out(status) || !m->conversation->session || m->options->mode == SNUG_SWITCH_BESIDE)
        return status;
    drop_session(m);
    SNUG_TRY(release_session(m, error));
    return read_again(m, error);
}

/* --- the end -------------------------------------------------------------------------------------------- */

/* Of a path its last part. */
static const char *short_name(char *out, size_t capacity, const char *name)
{
    size_t end = strlen(name), begin;

    while (end > 1 && name[end - 1] == '/')
        end--;
    begin = end;
    while (begin > 0 && name[begin - 1] != '/')
        begin--;
    snprintf(out, capacity, "%.*s", (int)(end - begin), name + begin);
    return out;
}

static void say_it(snug_switch_report *report)
{
    const char *const reasons[] = { "", "as asked", "memory is critical", "there is memory for it again" };
    char cost[160] = "";

    if (report->tokens > 0)
        snprintf(cost, sizeof cost, "; %u token%s read again in %.2f s%s", report->tokens,
                 report->tokens == 1 ? "" : "s", (double)report->duration_ns / 1e9,
                 report->was_released ? ", the old session on disk meanwhile" : "");
    snprintf(report->sentence, sizeof report->sentence, "%s %s%s (%s)%s; memory %s before, %s now",
             report->to, report->from[0] ? "goes on instead of " : "answers", report->from,
             reasons[report->reason], cost, snug_catalog_size(report->before_bytes).text,
             snug_catalog_size(report->after_bytes).text);
}

/* The other session is there, the old one may go. */
static void settle(move *m)
{
    snug_conversation *conversation = m->conversation;

    if (conversation->session)
        m->report->from_tokens = conversation->session->tokens;
    else if (conversation->sleep.is_asleep)
        m->report->from_tokens = conversation->sleep.tokens;
    snug_session_destroy(conversation->session);
    if (conversation->sleep.is_asleep)
        delete_checkpoint(conversation);
    conversation->sleep.is_asleep = false;
    if (conversation->loaded.model)
        snug_pool_release(conversation->pool, &conversation->loaded);
    conversation->session = m->session;
    conversation->loaded = m->loaded;
    conversation->is_smaller_known = false;
    snug_fall_forget(&conversation->fall);
    if (m->reason == SNUG_SWITCH_PRESSURE)
        (void)snug_pool_trim(conversation->pool, 0); /* the other's tokenizer, too */
}

/* As it was. The sentence of what failed stays; that it could not be undone comes behind it. */
static void undo(move *m, snug_error *error)
{
    snug_conversation *conversation = m->conversation;
    snug_error reason = { SNUG_OK, "" };

    drop_session(m);
    if (m->loaded.model)
        snug_pool_release(conversation->pool, &m->loaded);
    if (!conversation->sleep.is_asleep || snug_conversation_wake(conversation, NULL) == SNUG_OK)
        return;
    (void)snug_pool_trim(conversation->pool, 0);
    if (snug_conversation_wake(conversation, &reason) != SNUG_OK) {
        const snug_error why = *error;

        (void)snug_fail(error, why.status,
                        "%.160s; and there is no memory now for what it was: it is in %.200s", why.text,
                        conversation->options.checkpoint_path);
    }
}

static snug_status run(move *m, snug_error *error)
{
    snug_status status = load(m, error);

    if (status != SNUG_OK || m->loaded.model == m->conversation->loaded.model)
        return status;
    SNUG_TRY(encode(m, error));
    return read_somehow(m, error);
}

snug_status snug_conversation_move(snug_switch_report *report_out, snug_conversation *conversation,
                                   const char *name, const char *shown_name, snug_switch_reason reason,
                                   const snug_switch_options *options, snug_error *error)
{
    move m = {
        .conversation = conversation, .options = options, .report = report_out, .name = name, .reason = reason
    };
    const uint64_t start = snug_os_clock_ns();
    snug_status status;

    *report_out = (snug_switch_report){ .struct_size = sizeof *report_out,
                                        .reason = reason,
                                        .before_bytes = ledger_used(conversation) };
    (void)short_name(report_out->from, sizeof report_out->from, conversation->name);
    (void)short_name(report_out->to, sizeof report_out->to, shown_name);
    /* Beyond the limit nothing is granted, no header of a model either. */
    status = conversation->session && is_over_limit(conversation) && options->mode != SNUG_SWITCH_BESIDE
                 ? release_session(&m, error)
                 : SNUG_OK;
    if (status == SNUG_OK)
        status = run(&m, error);
    snug_memory_free(conversation->memory, m.ids);
    if (status != SNUG_OK) {
        undo(&m, error);
        return status;
    }
    if (m.session) {
        settle(&m);
        snprintf(conversation->name, sizeof conversation->name, "%s", shown_name);
    } else { /* it is there already */
        snug_pool_release(conversation->pool, &m.loaded);
        SNUG_TRY(snug_conversation_wake(conversation, error));
    }
    report_out->tokens = m.session ? (uint32_t)m.count : 0;
    report_out->plan = m.plan;
    report_out->duration_ns = snug_os_clock_ns() - start;
    report_out->after_bytes = ledger_used(conversation);
    say_it(report_out);
    return SNUG_OK;
}

snug_status snug_conversation_switch(snug_switch_report *report_out, snug_conversation *conversation,
                                     const char *name, const snug_switch_options *options, snug_error *error)
{
    const snug_switch_options none = { .struct_size = sizeof none };
    snug_error own = { SNUG_OK, "" };
    snug_switch_report report;

    if (!error)
        error = &own;
    SNUG_TRY(snug_conversation_move(report_out ? report_out : &report, conversation, name, name,
                                    SNUG_SWITCH_ASKED, options ? options : &none, error));
    conversation->home[0] = '\0'; /* chosen: not to be left for another by itself */
    conversation->fall.is_down = false;
    return SNUG_OK;
}

/* --- foreseen ------------------------------------------------------------------------------------------- */

typedef struct foresight {
    move move;
    bool is_beside;
    bool is_done;
} foresight;

/* In place of admit(): looks, and lets nothing be loaded. */
static snug_status foresee(void *user, const snug_model *model, uint64_t text_bytes, snug_error *error)
{
    foresight *f = user;
    const snug_session *old = f->move.conversation->session;

    SNUG_TRY(plan_alone(&f->move, model, text_bytes, 0, error));
    f->is_beside = fits_beside(&f->move, model, text_bytes, old ? old->tokens : 0);
    f->is_done = true;
    SNUG_FAIL(error, SNUG_ERR_CANCELLED, "only looked at");
}

snug_status snug_conversation_foresee(snug_plan *plan_out, bool *is_beside_out,
                                      snug_conversation *conversation, const char *name, snug_error *error)
{
    foresight f = { .move = { .conversation = conversation, .name = name } };
    snug_load_options options = conversation->options.load;
    snug_error own = { SNUG_OK, "" };
    snug_loaded none;
    snug_status status;

    options.struct_size = sizeof options;
    options.may_pull = false;
    status = snug_pool_load(&none, conversation->pool, name, &options, foresee, &f, &own);
    if (!f.is_done)
        SNUG_FAIL(error, status, "%s", own.text);
    *plan_out = f.move.plan;
    if (is_beside_out)
        *is_beside_out = f.is_beside;
    return SNUG_OK;
}
