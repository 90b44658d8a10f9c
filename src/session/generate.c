/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generate.c - an answer to a prompt: prefill what is new, then choose, show and compute one token after
 * the other.
 */
#include "session/session.h"

#include <string.h>

#include "base/status.h"
#include "os/machine.h"

typedef struct generation {
    snug_session *session;
    const snug_text *text;
    const snug_generate_options *options;
    snug_generate_result *result;
    snug_sampler *sampler;
    snug_decoder decoder;
    char *piece; /* snug_decoder_bound() bytes; NULL without text */
    uint32_t *ids_out;
    uint32_t last_id; /* chosen, not yet computed */
} generation;

const char *snug_stop_name(snug_stop stop)
{
    switch (stop) {
    case SNUG_STOP_EOS:
        return "eos";
    case SNUG_STOP_MAX_TOKENS:
        return "max_tokens";
    case SNUG_STOP_CONTEXT:
        return "context";
    case SNUG_STOP_INTERRUPTED:
        return "interrupted";
    }
    return "unknown";
}

static bool keep_going(const generation *g)
{
    return !g->options->keep_going || g->options->keep_going(g->options->user);
}

static bool poll_caller(void *user)
{
    return keep_going(user);
}

/* Counted and passed on. */
static void note_recompute(void *user, const snug_recompute *recompute)
{
    generation *g = user;

    g->result->recomputed_tokens += recompute->tokens;
    g->result->recompute_reason = recompute->reason;
    if (g->options->on_recompute)
        g->options->on_recompute(g->options->user, recompute);
}

static snug_status eval(generation *g, const uint32_t *ids, size_t count, snug_error *error)
{
    const snug_eval_options options = {
        .struct_size = sizeof options, .keep_going = poll_caller, .user = g, .on_recompute = note_recompute
    };

    return snug_session_eval(g->session, ids, count, &options, error);
}

static bool is_stop_id(const generation *g, uint32_t id)
{
    size_t count;
    const uint32_t *ids = snug_model_stop_ids(g->session->model, &count);

    if (g->options->ignore_eos)
        return false;
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return g->text && id == snug_text_eos_id(g->text);
}

/* Tell the caller one token, or with SNUG_ID_NONE what the decoder still held back. */
static bool emit(generation *g, uint32_t id)
{
    size_t bytes = 0;

    if (g->piece)
        bytes = id == SNUG_ID_NONE ? snug_decoder_finish(&g->decoder, g->piece)
                                   : snug_decoder_push(&g->decoder, id, g->piece);
    if (!g->options->on_token || (id == SNUG_ID_NONE && bytes == 0))
        return true;
    return g->options->on_token(g->options->user, id, g->piece ? g->piece : "", bytes);
}

/* The length that this request may reach; a conversation that has grown long does not become short again. */
static uint32_t expected_tokens(const generation *g, size_t prompt_tokens, uint32_t common)
{
    const uint32_t context = g->session->context_tokens;
    uint64_t expected = (uint64_t)prompt_tokens + g->options->max_tokens;

    if (g->options->max_tokens == 0 || expected > context)
        expected = context;
    if (common > 0 && expected < g->session->pass.span_tokens)
        expected = g->session->pass.span_tokens;
    return (uint32_t)expected;
}

/* From here on the session knows what is wanted, whatever stops it. */
static void begin_answer(const generation *g, const uint32_t *ids, size_t count)
{
    snug_session *session = g->session;
    const snug_generate_options *options = g->options;

    session->pending = (uint32_t)count - session->tokens;
    memmove(session->ids + session->tokens, ids + session->tokens, session->pending * sizeof *ids);
    session->unfinished = (snug_unfinished){ .told_tokens = options->told_tokens,
                                             .max_tokens = options->max_tokens,
                                             .ignore_eos = options->ignore_eos,
                                             .show_special = options->show_special,
                                             .sample = options->sample };
    session->is_unfinished = true;
}

/*
 * Keep what the session and the prompt have in common, compute the rest. The last token is always computed:
 * it gives the logits to start from.
 */
static snug_status prefill(generation *g, const uint32_t *ids, size_t count, snug_error *error)
{
    snug_session *session = g->session;
    const uint64_t start = snug_os_clock_ns();
    uint32_t common = 0;
    snug_recompute recompute = { SNUG_RECOMPUTE_REWOUND, 0, session->model->shape.rope_short_tokens };
    snug_status status;

    while (common < session->tokens && common + 1 < count && session->ids[common] == ids[common])
        common++;
    if (snug_session_truncate(session, common) < common) {
        recompute.tokens = common;
        note_recompute(g, &recompute);
    }
    if (!session->model->kernels.exact) {
        recompute = snug_session_expect(session, expected_tokens(g, count, common));
        if (recompute.reason != SNUG_RECOMPUTE_NONE)
            note_recompute(g, &recompute);
    }
    common = session->tokens;
    begin_answer(g, ids, count);
    g->result->prompt_tokens = (uint32_t)count;
    status = eval(g, ids + common, count - common, error);
    g->result->reused_tokens = g->result->recomputed_tokens > 0 ? 0 : common;
    g->result->prefill_ns = snug_os_clock_ns() - start;
    return status;
}

/* The answer so far, and how it goes on: for whoever has to stop here. */
static void note_answer(const generation *g)
{
    snug_session *session = g->session;
    const uint32_t max_tokens = g->options->max_tokens;

    if (session->tokens < session->context_tokens) {
        session->ids[session->tokens] = g->last_id;
        session->pending = 1;
    }
    session->unfinished.told_tokens = g->options->told_tokens + g->result->generated_tokens;
    session->unfinished.max_tokens = max_tokens > 0 ? max_tokens - g->result->generated_tokens : 0;
    session->unfinished.sample.seed = snug_sampler_seed(g->sampler);
}

/* One token chosen from the logits at hand. Sets result->stop when it was the last. */
static snug_status choose_token(generation *g, snug_error *error)
{
    snug_session *session = g->session;
    snug_generate_result *result = g->result;
    const uint32_t account = snug_work_charge(session->bench->work, SNUG_ACCOUNT_SAMPLING);
    uint32_t id;
    const snug_status status =
        snug_sampler_pick(&id, g->sampler, session->bench->logits, session->ids, session->tokens, error);

    (void)snug_work_charge(session->bench->work, account);
    SNUG_TRY(status);
    if (is_stop_id(g, id)) {
        result->stop = SNUG_STOP_EOS;
        return SNUG_OK;
    }
    if (g->ids_out)
        g->ids_out[result->generated_tokens] = id;
    result->generated_tokens++;
    g->last_id = id;
    note_answer(g);
    if (!emit(g, id))
        result->stop = SNUG_STOP_INTERRUPTED;
    else if (result->generated_tokens == g->options->max_tokens)
        result->stop = SNUG_STOP_MAX_TOKENS;
    else if (session->tokens == session->context_tokens)
        result->stop = SNUG_STOP_CONTEXT;
    else if (!keep_going(g))
        result->stop = SNUG_STOP_INTERRUPTED;
    return SNUG_OK;
}

static snug_status decode(generation *g, uint64_t start, snug_error *error)
{
    snug_generate_result *result = g->result;
    uint64_t first_token;

    SNUG_TRY(choose_token(g, error));
    first_token = snug_os_clock_ns();
    result->first_token_ns = first_token - start;
    while (result->stop == 0) {
        const snug_status status = eval(g, &g->last_id, 1, error);

        if (status == SNUG_OK)
            SNUG_TRY(choose_token(g, error));
        result->decode_ns = snug_os_clock_ns() - first_token;
        if (status == SNUG_ERR_CANCELLED) /* while tokens were computed again */
            result->stop = SNUG_STOP_INTERRUPTED;
        else if (status != SNUG_OK)
            return status;
    }
    (void)emit(g, SNUG_ID_NONE);
    return SNUG_OK;
}

static snug_status prepare(generation *g, const uint32_t *ids, size_t count, snug_error *error)
{
    const uint32_t vocabulary = g->session->model->shape.vocabulary;
    uint32_t id_count = g->text ? snug_text_id_count(g->text) : vocabulary;
    snug_sample_options sample = g->options->sample;

    if (id_count > vocabulary || id_count == 0)
        id_count = vocabulary;
    sample.prompt_tokens = (uint32_t)count - g->options->told_tokens;
    SNUG_TRY(snug_sampler_create(&g->sampler, g->session->memory, id_count, &sample, error));
    if (!g->text)
        return SNUG_OK;
    snug_decoder_init(&g->decoder, g->text, g->options->show_special ? 0 : SNUG_DECODE_SKIP_SPECIAL);
    g->piece = snug_memory_alloc(g->session->memory, SNUG_MEMORY_TEXT, snug_decoder_bound(g->text),
                                 "the text of one token", error);
    if (!g->piece)
        return error->status;
    for (size_t i = count - g->options->told_tokens; i < count; i++)
        (void)snug_decoder_push(&g->decoder, ids[i], g->piece);
    return SNUG_OK;
}

static void dispose(generation *g)
{
    snug_memory_free(g->session->memory, g->piece);
    snug_sampler_destroy(g->sampler);
    g->piece = NULL;
    g->sampler = NULL;
}

/* What is refused at first may be there after relief. */
static snug_status prepare_somehow(generation *g, const uint32_t *ids, size_t count, snug_error *error)
{
    const uint64_t bytes = snug_sampler_estimate_bytes(g->session->model->shape.vocabulary);
    snug_status status;

    do {
        dispose(g);
        status = prepare(g, ids, count, error);
    } while (status != SNUG_OK && snug_relief_refused(g->session, status, bytes));
    return status;
}

static snug_status check_prompt(const snug_session *session, size_t count,
                                const snug_generate_options *options, snug_error *error)
{
    if (count == 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "the prompt is empty: at least one token is needed to start from");
    if (count > session->context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL,
                  "the prompt has %zu tokens, but the context holds %u: raise the context or shorten it",
                  count, session->context_tokens);
    if (options->told_tokens > count)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%u tokens were told, but the prompt has %zu",
                  options->told_tokens, count);
    return SNUG_OK;
}

snug_status snug_session_generate(snug_generate_result *result_out, snug_session *session,
                                  const snug_text *text, const uint32_t *ids, size_t count, uint32_t *ids_out,
                                  const snug_generate_options *options, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    generation g = {
        .session = session, .text = text, .options = options, .result = result_out, .ids_out = ids_out
    };
    const uint64_t start = snug_os_clock_ns();
    snug_status status;

    if (!error)
        error = &own;
    *result_out = (snug_generate_result){ .struct_size = result_out->struct_size };
    snug_relief_begin(session, options, count);
    SNUG_TRY(check_prompt(session, count, options, error));
    status = prepare_somehow(&g, ids, count, error);
    if (status == SNUG_OK)
        status = prefill(&g, ids, count, error);
    if (status == SNUG_OK)
        status = decode(&g, start, error);
    if (status ==
        SNUG_ERR_CANCELLED) { /* stopped by the caller while reading the prompt: an end like any other */
        result_out->stop = SNUG_STOP_INTERRUPTED;
        status = SNUG_OK;
    }
    session->is_unfinished =
        session->is_unfinished && (result_out->stop == 0 || result_out->stop == SNUG_STOP_INTERRUPTED);
    result_out->relief_steps = session->relief.steps;
    result_out->relief_bytes = session->relief.returned_bytes;
    dispose(&g);
    return status;
}
