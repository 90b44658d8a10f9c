/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief.c - the steps of the ladder. Each knows what it will return before it is done, is measured by the
 * ledger afterwards, and is told as an event. None takes memory that was not there, but for the window, which
 * is only done where there is room.
 */
#include "session/relief.h"

#include <limits.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/machine.h"
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

/* How far ahead the request is looked at: no bits are given away for tokens that may never come. */
#define HORIZON_TOKENS 256u

/* Tokens before which a demotion is done that will be needed anyway, and as much room as it will hardly
 * take. */
#define SOON_TOKENS 64u
#define ROOM_BYTES  ((uint64_t)1 << 20)

/* More bits again cost a decoding and encoding of all: not where the next token would wait long for it. */
#define PROMOTED_MOST_BYTES ((uint64_t)64 << 20)

/* Unless memory is really missing, not for a part of what is wanted that nobody would feel. */
#define FELT_PART 16u

#define LAST_STEP SNUG_RELIEF_REFUSE

static const char *const step_names[] = { "none",    "slack",  "prefix", "chunk",  "idle",    "demote",
                                          "weights", "window", "model",  "refuse", "suspend", "recover" };

const char *snug_relief_step_name(snug_relief_step step)
{
    return (size_t)step < SNUG_COUNT(step_names) ? step_names[step] : "unknown";
}

const char *snug_relief_reason_name(snug_relief_reason reason)
{
    static const char *const names[] = { "none", "pressure", "forecast", "limit", "refused", "recovery" };

    return (size_t)reason < SNUG_COUNT(names) ? names[reason] : "unknown";
}

snug_status snug_relief_init(snug_session *session, const snug_session_options *options, snug_error *error)
{
    const snug_monitor_options monitor = { .struct_size = sizeof monitor,
                                           .follows_limits = true,
                                           .strategy = options->strategy };
    snug_relief *relief = &session->relief;

    relief->is_on = true;
    relief->keeps_format = options->keeps_format || snug_kv_config_has_layers(&options->kv);
    relief->keeps_chunk = options->keeps_chunk;
    relief->chunk_most = session->prefill_chunk;
    relief->first = *snug_kv_made_of(session->kv);
    relief->strategy = options->strategy;
    relief->rules = snug_strategy_rules_of(options->strategy);
    relief->ladder.relief_from = relief->rules->relief_from;
    relief->release = options->on_release;
    relief->release_user = options->release_user;
    return snug_monitor_create(&relief->monitor, session->memory, &monitor, error);
}

snug_session_options snug_relief_options(const snug_session *session)
{
    const snug_relief *relief = &session->relief;

    return (snug_session_options){ .struct_size = sizeof(snug_session_options),
                                   .adapt = relief->is_on,
                                   .strategy = relief->strategy,
                                   .keeps_format = relief->keeps_format,
                                   .keeps_chunk = relief->keeps_chunk,
                                   .on_release = relief->release,
                                   .release_user = relief->release_user };
}

snug_status snug_session_set_strategy(snug_session *session, snug_strategy strategy, snug_error *error)
{
    if (!session->relief.is_on || strategy < SNUG_STRATEGY_AUTO || strategy > SNUG_STRATEGY_AGGRESSIVE)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  session->relief.is_on ? "there is no strategy %d"
                                        : "strategy %d: the session does not adapt",
                  (int)strategy);
    session->relief.strategy = strategy;
    session->relief.rules = snug_strategy_rules_of(strategy);
    session->relief.ladder.relief_from = session->relief.rules->relief_from;
    return SNUG_OK;
}

void snug_relief_deinit(snug_session *session)
{
    snug_monitor_destroy(session->relief.monitor);
}

/* --- the ledger
 * ------------------------------------------------------------------------------------------ */

static uint64_t ledger_used(const snug_session *session)
{
    return snug_memory_read_all(session->memory).used_bytes;
}

static uint64_t hard_limit(const snug_session *session)
{
    snug_memory_limits limits;

    snug_memory_read_limits(&limits, session->memory);
    return limits.hard_bytes;
}

/* Bytes beyond a hard limit that was lowered. */
static uint64_t over_limit(const snug_session *session)
{
    const uint64_t hard = hard_limit(session);
    const uint64_t used = ledger_used(session);

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

/* The fewest layers, from the last one back, that return `want` bytes: the first ones bear it least. */
static uint64_t choose_layers(snug_kv_target *target, const snug_session *session, uint64_t want)
{
    const uint32_t layers = snug_model_kv_shape(session->model)->layer_count;
    uint32_t few = 1, many = layers;
    uint64_t bytes;

    while (few < many) {
        const uint32_t middle = few + (many - few) / 2;

        target->first_layer = layers - middle;
        target->layer_count = middle;
        bytes = foresee(session, target);
        if (bytes >= want)
            many = middle;
        else
            few = middle + 1;
    }
    target->first_layer = layers - many;
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
        snug_memory_allow(session->memory, over_limit(session) + demotion.extra_bytes);
    if (snug_session_demote(session, &target, &bytes, NULL) != SNUG_OK)
        bytes = before - snug_kv_committed_bytes(session->kv); /* layers before the one that failed */
    snug_memory_allow(session->memory, 0);
    return bytes;
}

/* --- the other steps ------------------------------------------------------------------------------------ */

/* Scratch beyond what the pending tokens need. */
static uint64_t release_scratch(snug_session *session, uint64_t *promised_out)
{
    const size_t before = session->scratch.committed_bytes;
    const uint32_t tokens =
        (uint32_t)snug_max_size(1, snug_min_size(session->pending, session->prefill_chunk));

    if (tokens >= session->scratch_tokens)
        return 0;
    *promised_out = before - snug_session_scratch_bytes(session, tokens);
    if (snug_session_set_scratch(session, tokens, NULL) != SNUG_OK)
        return 0;
    return before - session->scratch.committed_bytes;
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
    const size_t before = session->scratch.committed_bytes;
    const uint32_t half = session->scratch_tokens / 2;

    if (session->relief.keeps_chunk || half < CHUNK_LEAST)
        return 0;
    *promised_out = before - snug_session_scratch_bytes(session, half);
    if (snug_session_set_scratch(session, half, NULL) != SNUG_OK)
        return 0;
    session->prefill_chunk = half;
    return before - session->scratch.committed_bytes;
}

/* The older half of the conversation is forgotten, but for its first tokens. Needs room for the newer
 * half. */
static uint64_t slide(snug_session *session, uint64_t *promised_out)
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
    settings.kv = config;
    options = snug_plan_kv_options(&settings);
    if (snug_kv_estimate(&after, snug_model_kv_shape(session->model), &options, session->tokens, NULL) !=
            SNUG_OK ||
        after >= before)
        return 0;
    *promised_out = before - after;
    if (snug_session_convert(session, &config, NULL) != SNUG_OK)
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

static uint64_t do_step(snug_session *session, snug_relief_step step, const snug_ladder_order *order,
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

/* --- events --------------------------------------------------------------------------------------------- */

static uint32_t bits_of(const snug_kv_coding *coding)
{
    return coding->bits > 0 ? coding->bits : coding->format == SNUG_KV_FORMAT_F32 ? 32 : 16;
}

static void tell(snug_session *session, snug_relief_event *event)
{
    snug_relief *relief = &session->relief;
    snug_kv_info info = { .struct_size = sizeof info };

    snug_kv_read_info(&info, session->kv);
    event->struct_size = sizeof *event;
    event->level = relief->reading.level;
    event->used_after_bytes = ledger_used(session);
    event->limit_bytes = hard_limit(session);
    event->tokens = session->tokens;
    event->key_bits = bits_of(&info.config.key);
    event->value_bits = bits_of(&info.config.value);
    event->prefill_chunk = session->prefill_chunk;
    relief->steps++;
    relief->returned_bytes += event->returned_bytes;
    if (relief->on_relief)
        relief->on_relief(relief->user, event);
}

/* The next step up to `last` that returns anything; how much. 0: none is left. */
static uint64_t descend(snug_session *session, const snug_ladder_order *order, snug_relief_step last)
{
    for (int step = SNUG_RELIEF_SLACK; step <= (int)last; step++) {
        snug_relief_event event = { .step = (snug_relief_step)step,
                                    .reason = order->reason,
                                    .used_before_bytes = ledger_used(session) };
        const uint64_t start = snug_os_clock_ns();

        event.returned_bytes = do_step(session, event.step, order, &event.promised_bytes);
        event.duration_ns = snug_os_clock_ns() - start;
        if (event.returned_bytes > 0) {
            tell(session, &event);
            return event.returned_bytes;
        }
    }
    return 0;
}

/* --- what would be felt --------------------------------------------------------------------------------- */

/* All that the steps could return now: scratch, and the cache at the strategy's floor. */
static uint64_t all_there_is(const snug_session *session)
{
    const snug_strategy_rules *rules = session->relief.rules;
    const snug_kv_target floor = { .struct_size = sizeof floor,
                                   .key_bits = rules->floor_key_bits,
                                   .value_bits = rules->floor_value_bits,
                                   .first_exact_tokens = EXACT_FIRST_TOKENS,
                                   .recent_exact_tokens = EXACT_RECENT_TOKENS };

    return session->scratch.committed_bytes - snug_session_scratch_bytes(session, 1) +
           (session->relief.keeps_format ? 0 : foresee(session, &floor));
}

/* --- looking -------------------------------------------------------------------------------------------- */

/* In use in a moment: what there is, and the growth of the cache until the horizon. */
static uint64_t soon(const snug_session *session)
{
    const snug_relief *relief = &session->relief;
    const uint64_t horizon = (uint64_t)session->tokens + session->pending + HORIZON_TOKENS;
    uint64_t tokens = relief->end_tokens < horizon ? relief->end_tokens : horizon;
    snug_projection projection = { .struct_size = sizeof projection };

    if (tokens < session->tokens)
        tokens = session->tokens;
    if (tokens > session->context_tokens)
        tokens = session->context_tokens;
    snug_plan_project(&projection, session->memory, session->kv, (uint32_t)tokens, 0);
    return relief->reading.used_bytes + projection.growth_bytes;
}

static uint64_t growth_to(const snug_session *session, uint64_t tokens)
{
    const uint32_t end = (uint32_t)snug_min_size((size_t)tokens, session->context_tokens);

    return end <= session->tokens
               ? 0
               : snug_kv_projected_bytes(session->kv, end) - snug_kv_committed_bytes(session->kv);
}

/*
 * What is missing until the request ends, if it is about to be missed: a demotion needs some room itself,
 * so it comes while there is some.
 */
static uint64_t about_to_miss(const snug_session *session)
{
    const uint64_t hard = hard_limit(session);
    const uint64_t used = ledger_used(session);
    const uint64_t room = hard > used ? hard - used : 0;
    snug_kv_target target;
    snug_kv_demotion demotion = { .struct_size = sizeof demotion };
    uint64_t near;

    if (hard >= SNUG_MEMORY_NO_LIMIT || session->relief.keeps_format)
        return 0;
    near = growth_to(session, (uint64_t)session->tokens + session->pending + SOON_TOKENS);
    if (room >= growth_to(session, session->relief.end_tokens) || room / 4 > near + ROOM_BYTES)
        return 0;
    if (choose_demotion(&target, session, UINT64_MAX, true) == 0 ||
        snug_kv_foresee_demotion(&demotion, session->kv, &target, NULL) != SNUG_OK ||
        room >= near + demotion.extra_bytes)
        return 0;
    return near + demotion.extra_bytes - room;
}

/* A new reading, if there is one. */
static bool read_pressure(snug_relief *relief)
{
    if (!relief->read)
        return snug_monitor_sample(relief->monitor, &relief->reading);
    relief->read(relief->read_user, &relief->reading);
    return true;
}

/* All that is wanted and must be: limits are no wishes. */
static bool descend_until(snug_session *session, snug_ladder_order order)
{
    uint64_t left = order.want_bytes;

    while (left > 0) {
        const uint64_t returned = descend(session, &order, LAST_STEP);

        if (returned == 0)
            return false;
        left = returned < left ? left - returned : 0;
        order.want_bytes = left;
        order.is_first = false;
    }
    return true;
}

static snug_status enforce_limit(snug_session *session, snug_error *error)
{
    const uint64_t over = over_limit(session);
    const snug_ladder_order order = { SNUG_LADDER_DOWN, SNUG_RELIEF_LIMIT, over, true, true };
    snug_relief_event event = { .step = SNUG_RELIEF_SUSPEND, .reason = SNUG_RELIEF_LIMIT };

    if (over == 0 || (descend_until(session, order) && over_limit(session) == 0))
        return SNUG_OK;
    event.used_before_bytes = ledger_used(session);
    tell(session, &event);
    SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT,
              "the memory limit is %llu bytes now, %llu are in use, and nothing more can be given back",
              (unsigned long long)hard_limit(session), (unsigned long long)ledger_used(session));
}

/* --- recovery ------------------------------------------------------------------------------------------- */

static bool double_chunk(snug_session *session, uint64_t roof)
{
    const snug_relief *relief = &session->relief;
    const uint32_t twice = (uint32_t)snug_min_size(2 * (size_t)session->prefill_chunk, relief->chunk_most);
    const size_t bytes = snug_session_scratch_bytes(session, twice);

    if (session->prefill_chunk >= relief->chunk_most ||
        relief->reading.used_bytes + bytes - snug_min_size(bytes, session->scratch.committed_bytes) > roof)
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
    if (bits_of(&info.config.key) >= bits_of(&first->key) &&
        bits_of(&info.config.value) >= bits_of(&first->value))
        return false;
    while (rung < count &&
           (rungs[rung].key > bits_of(&info.config.key) || rungs[rung].value > bits_of(&info.config.value)))
        rung++;
    if (rung == 0)
        return true;
    if (bits_of(&first->key) > rungs[rung - 1].key)
        config_out->key = (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = rungs[rung - 1].key };
    if (bits_of(&first->value) > rungs[rung - 1].value)
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

static void recover(snug_session *session)
{
    const uint64_t roof = snug_ladder_roof(&session->relief.ladder, session->relief.reading.limit_bytes);
    snug_relief_event event = { .step = SNUG_RELIEF_RECOVER,
                                .reason = SNUG_RELIEF_RECOVERY,
                                .used_before_bytes = ledger_used(session) };
    const uint64_t start = snug_os_clock_ns();

    if (!promote(session, roof) && !double_chunk(session, roof))
        return;
    event.duration_ns = snug_os_clock_ns() - start;
    tell(session, &event);
}

/* --- for the session ------------------------------------------------------------------------------------ */

void snug_relief_begin(snug_session *session, const snug_generate_options *options, size_t prompt_tokens)
{
    snug_relief *relief = &session->relief;

    relief->on_relief = options->on_relief;
    relief->on_pressure = options->on_pressure;
    relief->user = options->user;
    relief->interval_tokens = options->monitor_interval_tokens;
    relief->end_tokens =
        snug_plan_end_tokens(session->context_tokens, (uint32_t)prompt_tokens, options->max_tokens);
    relief->steps = 0;
    relief->returned_bytes = 0;
}

static void follow(snug_session *session)
{
    snug_relief *relief = &session->relief;
    const snug_pressure_reading *reading = &relief->reading;
    const snug_ladder_input input = { .now_ns = reading->time_ns,
                                      .level = reading->level,
                                      .usage = reading->hard_usage,
                                      .limit_bytes = reading->limit_bytes,
                                      .soon_bytes = soon(session) };
    const snug_ladder_order order = snug_ladder_decide(&relief->ladder, &input);
    const uint64_t start = snug_os_clock_ns();
    bool has_effect;

    if (order.move == SNUG_LADDER_UP)
        recover(session);
    if (order.move != SNUG_LADDER_DOWN)
        return;
    has_effect =
        descend(session, &order,
                all_there_is(session) >= order.want_bytes / FELT_PART ? LAST_STEP : SNUG_RELIEF_PREFIX) > 0;
    snug_ladder_done(&relief->ladder, input.now_ns, snug_os_clock_ns() - start, has_effect);
}

snug_status snug_relief_look(snug_session *session, snug_error *error)
{
    snug_relief *relief = &session->relief;
    snug_ladder_order order = { SNUG_LADDER_DOWN, SNUG_RELIEF_FORECAST, 0, false, false };

    if (!relief->is_on)
        return SNUG_OK;
    if (++relief->tokens_since >= relief->interval_tokens) {
        relief->tokens_since = 0;
        if (read_pressure(relief)) {
            if (relief->reading.level != relief->told_level && relief->on_pressure)
                relief->on_pressure(relief->user, &relief->reading);
            relief->told_level = relief->reading.level;
            follow(session);
        }
    }
    SNUG_TRY(enforce_limit(session, error));
    order.want_bytes = about_to_miss(session);
    if (order.want_bytes > 0)
        (void)descend(session, &order, LAST_STEP);
    return SNUG_OK;
}

bool snug_relief_refused(snug_session *session, snug_status status, uint64_t missing)
{
    const uint64_t hard = hard_limit(session);
    const uint64_t used = ledger_used(session);
    const uint64_t room = hard < SNUG_MEMORY_NO_LIMIT && hard > used ? hard - used : 0;
    const snug_ladder_order order = { SNUG_LADDER_DOWN, SNUG_RELIEF_REFUSED,
                                      missing > room ? missing - room : missing, true, false };
    snug_relief_event event = { .step = SNUG_RELIEF_SUSPEND, .reason = SNUG_RELIEF_REFUSED };

    if (!session->relief.is_on || (status != SNUG_ERR_OVER_LIMIT && status != SNUG_ERR_NO_MEMORY))
        return false;
    if (descend(session, &order, LAST_STEP) > 0)
        return true;
    event.used_before_bytes = used;
    tell(session, &event);
    return false;
}
