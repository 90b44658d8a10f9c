/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.c - the steps of the ladder, down and up. Each knows what it will return before it is done. None
 * takes memory that was not there, but for the window, which is only done where there is room.
 */
#include "session/steps.h"

#include <limits.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "plan/plan.h"
#include "session/session.h"

#define CHUNK_LEAST 32u

/* Less than this of the heap is no step: its pages come and go. */
#define SLACK_LEAST_BYTES ((uint64_t)256 * 1024)

/* What stays exact when f16 becomes codes, unless nothing else helps: as in a cache that is made so. */
#define EXACT_FIRST_TOKENS  16u
#define EXACT_RECENT_TOKENS 128u

/* A window keeps the first tokens, and of the others at least so many. */
#define WINDOW_SINK_TOKENS  4u
#define WINDOW_LEAST_TOKENS 256u

/* More bits again cost a decoding and encoding of all: not where the next token would wait long for it. */
#define PROMOTED_MOST_BYTES ((uint64_t)64 << 20)

/* --- the ledger ----------------------------------------------------------------------------------------- */

uint64_t snug_steps_used_bytes(const snug_session *session)
{
    return snug_memory_read_all(session->memory).used_bytes;
}

uint64_t snug_steps_over_bytes(const snug_session *session)
{
    const uint64_t hard = snug_memory_hard_limit(session->memory);
    const uint64_t used = snug_steps_used_bytes(session);

    return used > hard ? used - hard : 0;
}

/* --- the cache in fewer bits ---------------------------------------------------------------------------- */

/* The planner's formats below 16 bits, each a demotion of the one before. Returns how many. */
static size_t list_rungs(const snug_plan_bits **rungs_out)
{
    const size_t count = snug_plan_formats(rungs_out);

    SNUG_ASSERT_DEBUG((*rungs_out)->key == 16);
    ++*rungs_out;
    return count - 1;
}

static uint64_t foresee(const snug_session *session, const snug_kv_target *target)
{
    snug_kv_demotion demotion = { .struct_size = sizeof demotion };

    return snug_kv_foresee_demotion(&demotion, session->kv, target, NULL) == SNUG_OK ? demotion.returned_bytes
                                                                                     : 0;
}

/* The fewest layers, from the first one on, that return `want` bytes: the last ones bear it least
 * (docs/decisions/0012). */
static uint64_t choose_layers(snug_kv_target *target, const snug_session *session, uint64_t want)
{
    const uint32_t layers = snug_model_kv_shape(session->model)->layer_count;
    uint32_t few = 1, many = layers;
    uint64_t bytes;

    while (few < many) {
        const uint32_t middle = few + (many - few) / 2;

        target->layer_count = middle;
        bytes = foresee(session, target);
        if (bytes >= want)
            many = middle;
        else
            few = middle + 1;
    }
    target->layer_count = many;
    return foresee(session, target);
}

/* The first rung that returns something; 0 when none does. */
static uint64_t choose_demotion(snug_kv_target *target, const snug_session *session, uint64_t want,
                                bool keeps_recent)
{
    const snug_strategy_rules *rules = session->relief.rules;
    const snug_plan_bits *rungs;
    const size_t count = list_rungs(&rungs);

    for (size_t i = 0; i < count; i++) {
        if (rungs[i].key < rules->floor_key_bits || rungs[i].value < rules->floor_value_bits)
            break;
        *target = (snug_kv_target){ .struct_size = sizeof *target,
                                    .key_bits = rungs[i].key,
                                    .value_bits = rungs[i].value,
                                    .first_exact_tokens = keeps_recent ? EXACT_FIRST_TOKENS : 0,
                                    .recent_exact_tokens = keeps_recent ? EXACT_RECENT_TOKENS : 0 };
        if (foresee(session, target) > 0)
            return choose_layers(target, session, want);
    }
    return 0;
}

static uint64_t demote(snug_session *session, const snug_ladder_order *order, uint64_t *promised_out)
{
    const uint64_t before = snug_kv_committed_bytes(session->kv);
    snug_kv_demotion demotion = { .struct_size = sizeof demotion };
    snug_kv_target target;
    uint64_t bytes = 0;

    if (session->relief.keeps_format)
        return 0;
    *promised_out = choose_demotion(&target, session, order->want_bytes, true);
    if (*promised_out == 0 && order->is_forced)
        *promised_out = choose_demotion(&target, session, order->want_bytes, false);
    if (*promised_out == 0)
        return 0;
    /* Where nothing is left, a little more must be had first. */
    if (order->is_forced && snug_kv_foresee_demotion(&demotion, session->kv, &target, NULL) == SNUG_OK)
        snug_memory_allow(session->memory, snug_steps_over_bytes(session) + demotion.extra_bytes);
    if (snug_session_demote(session, &target, &bytes, NULL) != SNUG_OK)
        bytes = before - snug_kv_committed_bytes(session->kv); /* layers before the one that failed */
    snug_memory_allow(session->memory, 0);
    return bytes;
}

/* --- the other steps ------------------------------------------------------------------------------------ */

/* Scratch beyond what the pending tokens need. */
static uint64_t release_scratch(snug_session *session, uint64_t *promised_out)
{
    const size_t before = session->bench->scratch.committed_bytes;
    const uint32_t tokens =
        (uint32_t)snug_max_size(1, snug_min_size(session->pending, session->prefill_chunk));

    if (tokens >= session->bench->scratch_tokens)
        return 0;
    *promised_out = before - snug_session_scratch_bytes(session, tokens);
    if (snug_session_set_scratch(session, tokens, NULL) != SNUG_OK)
        return 0;
    return before - session->bench->scratch.committed_bytes;
}

uint64_t snug_session_trim(snug_session *session)
{
    uint64_t promised;

    return release_scratch(session, &promised);
}

/* The ledger's relievers of those ranks, for what `bytes` leave missing. They promise what they return. */
static uint64_t ask_relievers(const snug_session *session, uint64_t bytes, uint64_t want, int from, int to,
                              uint64_t *promised_out)
{
    uint64_t given;

    if (bytes >= want)
        return bytes;
    given = snug_memory_relieve_ranks(session->memory, want - bytes, from, to);
    *promised_out += given;
    return bytes + given;
}

/* What nobody misses. The heap's takes some milliseconds, so once in a descent. */
static uint64_t release_slack(snug_session *session, const snug_ladder_order *order, uint64_t *promised_out)
{
    uint64_t bytes = release_scratch(session, promised_out);
    uint64_t slack;

    bytes = ask_relievers(session, bytes, order->want_bytes, INT_MIN, SNUG_MEMORY_RANK_PREFIX, promised_out);
    if (!order->is_first || bytes >= order->want_bytes)
        return bytes;
    slack = snug_memory_cleanup(NULL);
    if (slack >= SLACK_LEAST_BYTES)
        bytes += slack;
    return bytes;
}

static uint64_t halve_chunk(snug_session *session, uint64_t *promised_out)
{
    const size_t before = session->bench->scratch.committed_bytes;
    const uint32_t half = session->bench->scratch_tokens / 2;

    if (session->relief.keeps_chunk || half < CHUNK_LEAST)
        return 0;
    *promised_out = before - snug_session_scratch_bytes(session, half);
    if (snug_session_set_scratch(session, half, NULL) != SNUG_OK)
        return 0;
    session->prefill_chunk = half;
    return before - session->bench->scratch.committed_bytes;
}

/* What a window would return, where the strategy allows one; *config_out is the cache with it. */
static uint64_t foresee_window(snug_kv_config *config_out, const snug_session *session)
{
    const uint64_t before = snug_kv_committed_bytes(session->kv);
    snug_kv_config config = *snug_kv_made_of(session->kv);
    snug_kv_info info = { .struct_size = sizeof info };
    snug_plan_settings settings = { .context_tokens = session->context_tokens,
                                    .prefill_chunk = session->relief.chunk_most };
    snug_kv_options options;
    uint64_t after = before;

    if (session->relief.keeps_format || !session->relief.rules->may_slide ||
        config.retention.kind != SNUG_KV_RETENTION_ALL || session->tokens < 2 * WINDOW_LEAST_TOKENS)
        return 0;
    snug_kv_read_info(&info, session->kv);
    config.key = info.config.key;
    config.value = info.config.value;
    memcpy(config.layer, info.config.layer, sizeof config.layer);
    config.retention = (snug_kv_retention){ .kind = SNUG_KV_RETENTION_ROTATING,
                                            .max_tokens = session->tokens / 2 / 64 * 64,
                                            .sink_tokens = WINDOW_SINK_TOKENS };
    settings.kv = *config_out = config;
    options = snug_plan_kv_options(&settings);
    if (snug_kv_estimate(&after, snug_model_kv_shape(session->model), &options, session->tokens, NULL) !=
            SNUG_OK ||
        after >= before)
        return 0;
    return before - after;
}

/* The older half of the conversation is forgotten, but for its first tokens. Needs room for the newer
 * half. */
static uint64_t slide(snug_session *session, uint64_t *promised_out)
{
    const uint64_t before = snug_kv_committed_bytes(session->kv);
    snug_kv_config config;

    *promised_out = foresee_window(&config, session);
    if (*promised_out == 0 || snug_session_convert(session, &config, NULL) != SNUG_OK)
        return 0;
    return before - snug_kv_committed_bytes(session->kv);
}

/* And whoever else holds memory in this ledger. */
static uint64_t ask_embedder(const snug_session *session, snug_relief_step step, uint64_t want,
                             uint64_t *promised_out)
{
    const snug_relief *relief = &session->relief;
    uint64_t bytes = 0;

    if (step == SNUG_RELIEF_PREFIX)
        bytes = ask_relievers(session, 0, want, SNUG_MEMORY_RANK_PREFIX, SNUG_MEMORY_RANK_IDLE, promised_out);
    if (step == SNUG_RELIEF_IDLE)
        bytes = ask_relievers(session, 0, want, SNUG_MEMORY_RANK_IDLE, INT_MAX, promised_out);
    if (bytes < want && relief->release) {
        const uint64_t given = relief->release(relief->release_user, step, want - bytes);

        *promised_out += given;
        bytes += given;
    }
    return bytes;
}

uint64_t snug_step_do(snug_session *session, snug_relief_step step, const snug_ladder_order *order,
                      uint64_t *promised_out)
{
    switch (step) {
    case SNUG_RELIEF_SLACK:
        return release_slack(session, order, promised_out);
    case SNUG_RELIEF_CHUNK:
        return halve_chunk(session, promised_out);
    case SNUG_RELIEF_DEMOTE:
        return demote(session, order, promised_out);
    case SNUG_RELIEF_WINDOW:
        return slide(session, promised_out);
    case SNUG_RELIEF_PREFIX:
    case SNUG_RELIEF_IDLE:
    case SNUG_RELIEF_WEIGHTS:
    case SNUG_RELIEF_MODEL:
    case SNUG_RELIEF_REFUSE:
        return ask_embedder(session, step, order->want_bytes, promised_out);
    case SNUG_RELIEF_NONE:
    case SNUG_RELIEF_SUSPEND:
    case SNUG_RELIEF_RECOVER:
        break;
    }
    return 0;
}

/* --- all together -------------------------------------------------------------------------------------- */

uint64_t snug_steps_all_bytes(const snug_session *session)
{
    const snug_strategy_rules *rules = session->relief.rules;
    const snug_kv_target floor = { .struct_size = sizeof floor,
                                   .key_bits = rules->floor_key_bits,
                                   .value_bits = rules->floor_value_bits,
                                   .first_exact_tokens = EXACT_FIRST_TOKENS,
                                   .recent_exact_tokens = EXACT_RECENT_TOKENS };

    snug_kv_config window;
    uint64_t bytes = session->bench->scratch.committed_bytes - snug_session_scratch_bytes(session, 1);

    if (!session->relief.keeps_format)
        bytes += snug_max_size(foresee(session, &floor), foresee_window(&window, session));
    return bytes;
}

uint64_t snug_steps_demotion_extra(const snug_session *session)
{
    snug_kv_demotion demotion = { .struct_size = sizeof demotion };
    snug_kv_target target;

    if (choose_demotion(&target, session, UINT64_MAX, true) == 0 ||
        snug_kv_foresee_demotion(&demotion, session->kv, &target, NULL) != SNUG_OK)
        return UINT64_MAX;
    return demotion.extra_bytes;
}

uint32_t snug_steps_bits(const snug_kv_coding *coding)
{
    return coding->bits > 0 ? coding->bits : coding->format == SNUG_KV_FORMAT_F32 ? 32 : 16;
}

/* --- back up -------------------------------------------------------------------------------------------- */

static bool double_chunk(snug_session *session, uint64_t roof)
{
    const snug_relief *relief = &session->relief;
    const uint32_t twice = (uint32_t)snug_min_size(2 * (size_t)session->prefill_chunk, relief->chunk_most);
    const size_t bytes = snug_session_scratch_bytes(session, twice);

    if (session->prefill_chunk >= relief->chunk_most ||
        relief->reading.used_bytes + bytes - snug_min_size(bytes, session->bench->scratch.committed_bytes) >
            roof)
        return false;
    session->prefill_chunk = twice;
    return true;
}

/* The bits one rung above those of now, at most those the cache was made with. */
static bool choose_promotion(snug_kv_config *config_out, const snug_session *session)
{
    const snug_kv_config *first = &session->relief.first;
    snug_kv_info info = { .struct_size = sizeof info };
    const snug_plan_bits *rungs;
    const size_t count = list_rungs(&rungs);
    size_t rung = 0;

    snug_kv_read_info(&info, session->kv);
    *config_out = *snug_kv_made_of(session->kv);
    config_out->key = first->key;
    config_out->value = first->value;
    if (snug_steps_bits(&info.config.key) >= snug_steps_bits(&first->key) &&
        snug_steps_bits(&info.config.value) >= snug_steps_bits(&first->value))
        return false;
    while (rung < count && (rungs[rung].key > snug_steps_bits(&info.config.key) ||
                            rungs[rung].value > snug_steps_bits(&info.config.value)))
        rung++;
    if (rung == 0)
        return true;
    if (snug_steps_bits(&first->key) > rungs[rung - 1].key)
        config_out->key = (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = rungs[rung - 1].key };
    if (snug_steps_bits(&first->value) > rungs[rung - 1].value)
        config_out->value =
            (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = rungs[rung - 1].value };
    return true;
}

/* New tokens get more bits again; old ones stay as exact as they are. There is room for both caches. */
static bool promote(snug_session *session, uint64_t roof)
{
    snug_plan_settings settings = { .context_tokens = session->context_tokens,
                                    .prefill_chunk = session->relief.chunk_most };
    snug_kv_options options;
    uint64_t bytes;

    if (session->relief.keeps_format || snug_kv_committed_bytes(session->kv) > PROMOTED_MOST_BYTES ||
        !choose_promotion(&settings.kv, session))
        return false;
    options = snug_plan_kv_options(&settings);
    return snug_kv_estimate(&bytes, snug_model_kv_shape(session->model), &options, session->tokens, NULL) ==
               SNUG_OK &&
           session->relief.reading.used_bytes + bytes <= roof &&
           snug_session_convert(session, &settings.kv, NULL) == SNUG_OK;
}

bool snug_step_undo(snug_session *session, uint64_t roof)
{
    return promote(session, roof) || double_chunk(session, roof);
}
