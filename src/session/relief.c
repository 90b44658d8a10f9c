/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief.c - when a session gives memory back: it looks before each chunk, and while one is computed, does
 * the steps that the ladder orders, and tells each as an event with what the ledger lost by it.
 */
#include "session/relief.h"

#include "base/size.h"
#include "base/status.h"
#include "memory/monitor.h"
#include "os/machine.h"
#include "os/thread.h"
#include "plan/plan.h"
#include "session/session.h"
#include "session/steps.h"

/* How far ahead the request is looked at: no bits are given away for tokens that may never come. */
#define HORIZON_TOKENS 256u

/* By this part of the limit, and so much, less may be left at the end than was. The kernel's figures are
 * never still: in a group of 10 MiB in which nobody else was they moved by 0.3 MiB. */
#define DRIFT_PART  16u
#define DRIFT_BYTES ((uint64_t)1 << 20)

/* Tokens before which a demotion is done that will be needed anyway, and as much room as it will hardly
 * take. */
#define SOON_TOKENS 64u
/* Tokens that this is not asked for again. */
#define FORESEEN_TOKENS 16u
#define ROOM_BYTES      ((uint64_t)1 << 20)

/* So far ahead is seen what others take: in that time a cache of some hundred MiB becomes one of codes. Where
 * others have the processors, too, that takes longer, and is seen further ahead, but not more than so many
 * times: who slowed us down may be gone. It is told by so much time in which this thread could have run. */
#define TREND_NS      ((uint64_t)400 * 1000 * 1000)
#define SLOWDOWN_MOST 4u
#define SHARE_NS      ((uint64_t)50 * 1000 * 1000)

/* Unless memory is really missing, not for a part of what is wanted that nobody would feel. */
#define FELT_PART 16u

/* Of so many parts of a product one is a time to look: in decode they are 4 MiB of weights, or a few
 * milliseconds of a disk. With 1 MiB a token of 2 ms looked at the clock 54 times. */
#define ASKED_PARTS 16u

/* So often in a row a pass is given up: a limit that goes up and down must not keep it from its end. */
#define STOPS_MOST 16u

/*
 * The ladder, cheapest first. Where the weights do not stay in memory each chunk reads them from the disk, so
 * that a smaller one costs more than fewer bits.
 */
#define STEP_COUNT 9
static const snug_relief_step usual_steps[STEP_COUNT] = {
    SNUG_RELIEF_SLACK,   SNUG_RELIEF_PREFIX, SNUG_RELIEF_CHUNK, SNUG_RELIEF_IDLE,   SNUG_RELIEF_DEMOTE,
    SNUG_RELIEF_WEIGHTS, SNUG_RELIEF_WINDOW, SNUG_RELIEF_MODEL, SNUG_RELIEF_REFUSE,
};
static const snug_relief_step reading_steps[STEP_COUNT] = {
    SNUG_RELIEF_SLACK,   SNUG_RELIEF_PREFIX, SNUG_RELIEF_IDLE,  SNUG_RELIEF_DEMOTE, SNUG_RELIEF_CHUNK,
    SNUG_RELIEF_WEIGHTS, SNUG_RELIEF_WINDOW, SNUG_RELIEF_MODEL, SNUG_RELIEF_REFUSE,
};

/* How far a descent may go. */
typedef enum reach {
    REACH_UNFELT = SNUG_RELIEF_PREFIX, /* nothing that the conversation feels */
    REACH_KEPT = SNUG_RELIEF_DEMOTE,   /* all that it holds stays known */
    REACH_ALL = SNUG_RELIEF_REFUSE,
} reach;

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
    relief->goes_on = snug_relief_goes_on;
    relief->ahead_ns = TREND_NS;
    relief->keeps_format = options->keeps_format || snug_kv_config_has_layers(&options->kv);
    relief->keeps_chunk = options->keeps_chunk;
    relief->chunk_most = session->prefill_chunk;
    relief->first = *snug_kv_made_of(session->kv);
    relief->end_tokens = session->context_tokens;
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

/* --- events --------------------------------------------------------------------------------------------- */

static void tell(snug_session *session, snug_relief_event *event)
{
    snug_relief *relief = &session->relief;
    snug_kv_info info = { .struct_size = sizeof info };

    snug_kv_read_info(&info, session->kv);
    event->struct_size = sizeof *event;
    event->level = relief->reading.level;
    event->used_after_bytes = snug_steps_used_bytes(session);
    event->limit_bytes = snug_memory_hard_limit(session->memory);
    event->tokens = session->tokens;
    event->key_bits = snug_steps_bits(&info.config.key);
    event->value_bits = snug_steps_bits(&info.config.value);
    event->prefill_chunk = session->prefill_chunk;
    relief->steps++;
    relief->returned_bytes += event->returned_bytes;
    if (relief->on_relief)
        relief->on_relief(relief->user, event);
}

/* Every chunk reads the weights again, because they do not stay in memory beside what is needed. */
static bool are_weights_read_again(const snug_relief *relief)
{
    return relief->reading.container_vote >= 1.0 || relief->reading.is_thrashing;
}

/* The next step within reach that returns anything; how much. 0: none is left. */
static uint64_t descend(snug_session *session, const snug_ladder_order *order, reach last)
{
    const snug_relief_step *steps = are_weights_read_again(&session->relief) ? reading_steps : usual_steps;

    for (size_t i = 0; i < STEP_COUNT; i++) {
        snug_relief_event event = { .step = steps[i],
                                    .reason = order->reason,
                                    .used_before_bytes = snug_steps_used_bytes(session) };
        const uint64_t start = snug_os_clock_ns();

        if ((int)event.step > (int)last)
            continue;
        event.returned_bytes = snug_step_do(session, event.step, order, &event.promised_bytes);
        event.duration_ns = snug_os_clock_ns() - start;
        if (event.returned_bytes > 0) {
            tell(session, &event);
            return event.returned_bytes;
        }
    }
    return 0;
}

/* Steps until what is wanted is there, or none is left; how much came back. */
static uint64_t descend_until(snug_session *session, snug_ladder_order order, reach last)
{
    const uint64_t want = order.want_bytes;
    uint64_t sum = 0;
    uint64_t returned;

    while (sum < want && (returned = descend(session, &order, last)) > 0) {
        sum += returned;
        order.want_bytes = want - snug_min_size(sum, want);
        order.is_first = false;
    }
    return sum;
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
    const uint64_t held = snug_kv_committed_bytes(session->kv);
    const uint64_t then = end <= session->tokens ? held : snug_kv_projected_bytes(session->kv, end);

    return then > held ? then - held : 0;
}

/* The buffers for the tokens that wait, as far as they are not there. */
static uint64_t scratch_to_come(const snug_session *session)
{
    const uint32_t tokens = (uint32_t)snug_min_size(session->pending, session->prefill_chunk);

    if (tokens <= session->bench->scratch_tokens)
        return 0;
    return snug_session_scratch_bytes(session, tokens) - session->bench->scratch.committed_bytes;
}

/* In use when the request ends, by the measure of the limit that binds: the user's is for the ledger. */
static uint64_t used_at_end(const snug_session *session)
{
    const snug_pressure_reading *reading = &session->relief.reading;
    const uint64_t used =
        reading->binding == SNUG_MEMORY_SOURCE_USER ? snug_steps_used_bytes(session) : reading->used_bytes;

    return used + growth_to(session, session->relief.end_tokens) + scratch_to_come(session);
}

/*
 * The request fits to its end, and no less is left then than when this was first seen: what was planned
 * happens, however full it makes the limit. When it ceases to hold, others have taken memory.
 */
static bool is_promise_kept(snug_session *session)
{
    snug_relief *relief = &session->relief;
    const uint64_t limit = relief->reading.limit_bytes;
    const uint64_t end = used_at_end(session);

    if (end > limit)
        return false;
    if (!relief->is_promised) {
        relief->is_promised = true;
        relief->left_bytes = limit - end;
    }
    return limit - end + limit / DRIFT_PART + DRIFT_BYTES >= relief->left_bytes;
}

/*
 * What is missing until the request ends, if it is about to be missed: a demotion needs some room itself,
 * so it comes while there is some.
 */
static uint64_t missing_soon(const snug_session *session, uint64_t room)
{
    const uint64_t near = growth_to(session, (uint64_t)session->tokens + session->pending + SOON_TOKENS);
    uint64_t extra;

    if (room >= growth_to(session, session->relief.end_tokens) || room / 4 > near + ROOM_BYTES)
        return 0;
    extra = snug_steps_demotion_extra(session);
    if (extra == UINT64_MAX || room >= near + extra)
        return 0;
    return near + extra - room;
}

static uint64_t room_left(const snug_session *session)
{
    const uint64_t hard = snug_memory_hard_limit(session->memory);
    const uint64_t used = snug_steps_used_bytes(session);

    return hard > used ? hard - used : 0;
}

/* Nothing will be missed soon, and that was found some tokens ago, with no more room than there is. */
static bool is_foreseen(const snug_session *session, uint64_t room)
{
    const snug_relief *relief = &session->relief;

    return session->tokens < relief->foreseen_until && session->pending == 1 && room >= relief->foreseen_room;
}

/* The same. Foreseeing takes a walk over all layers, so an answer of none holds for some tokens, until there
 * is less room than it was given for. */
static uint64_t about_to_miss(snug_session *session)
{
    snug_relief *relief = &session->relief;
    const uint64_t room = room_left(session);
    const bool may_miss =
        snug_memory_hard_limit(session->memory) < SNUG_MEMORY_NO_LIMIT && !relief->keeps_format;
    uint64_t missing;

    if (is_foreseen(session, room))
        return 0;
    missing = may_miss ? missing_soon(session, room) : 0;
    relief->foreseen_until = missing > 0 ? 0 : session->tokens + FORESEEN_TOKENS;
    relief->foreseen_room = room;
    return missing;
}

/*
 * A look would find what the last one found, which was nothing to do. So what a look must not miss bounds how
 * long this holds: of the ledger's room not one byte less is left; what others take is seen by samples only,
 * and none is due; and fewer than FORESEEN_TOKENS have come, of the SOON_TOKENS ahead that a demotion needs.
 */
static bool is_quiet(const snug_session *session, uint64_t now_ns)
{
    const snug_relief *relief = &session->relief;
    const uint64_t room = room_left(session);

    return relief->is_quiet && now_ns < relief->due_ns && room > 0 && is_foreseen(session, room);
}

/* How far ahead, by what this thread had of the processors since the last time. */
static void see_ahead(snug_relief *relief)
{
    const uint64_t ran_before = relief->ran_ns, waited_before = relief->waited_ns;
    uint64_t ran, waited;

    if (!snug_os_thread_read_times(&ran, &waited))
        return;
    if (ran >= ran_before && waited >= waited_before && ran - ran_before + waited - waited_before < SHARE_NS)
        return;
    relief->ran_ns = ran;
    relief->waited_ns = waited;
    if (ran <= ran_before || waited < waited_before) /* another thread than last time */
        return;
    ran -= ran_before;
    waited = snug_min_size(waited - waited_before, (SLOWDOWN_MOST - 1) * ran);
    relief->ahead_ns = TREND_NS + TREND_NS / 1000 * (waited * 1000 / ran);
}

/* A sample, if one is due. */
static bool sample(snug_relief *relief)
{
    bool is_new = true;

    snug_monitor_count_passes(relief->monitor, relief->passes);
    relief->passes = 0;
    /* A reading is copied only when it is new. */
    if (relief->read)
        relief->read(relief->read_user, &relief->reading);
    else if ((is_new = snug_monitor_sample(relief->monitor, NULL)))
        (void)snug_monitor_sample(relief->monitor, &relief->reading);
    relief->due_ns = relief->read ? 0 : snug_monitor_due_ns(relief->monitor);
    if (!is_new)
        return false;
    snug_trend_add(&relief->trend, relief->reading.time_ns, relief->reading.limit_bytes);
    if (!relief->read && snug_trend_lost(&relief->trend) > 0)
        see_ahead(relief);
    return true;
}

/* A new reading, if there is one; it may have come while tokens were computed. */
static bool read_pressure(snug_relief *relief)
{
    const bool was_read = relief->is_unread;

    relief->is_unread = false;
    return sample(relief) || was_read;
}

/*
 * What will be beyond the limit in a moment, if others go on to take as much as they did. What half the
 * reserve is enough for is left to it: in small groups the kernel's own pages make the limit fall so.
 */
static uint64_t over_soon(const snug_session *session)
{
    const snug_relief *relief = &session->relief;
    const uint64_t fall = snug_trend_fall(&relief->trend, relief->ahead_ns);
    const uint64_t hard = snug_memory_hard_limit(session->memory);
    const uint64_t soon_used = snug_steps_used_bytes(session) + fall;

    if (fall == 0 || snug_trend_lost(&relief->trend) <= relief->reading.reserve_bytes / 2)
        return 0;
    return soon_used > hard ? soon_used - hard : 0;
}

/*
 * More is in use than the limit, and none can go back. For the user's limit that is the end. Below the one of
 * a control group or the machine lies the reserve: it is the end when half of that is gone too, for then the
 * kernel may kill at any moment.
 */
static bool must_end(const snug_session *session, const snug_memory_limits *limits)
{
    const snug_pressure_reading *reading = &session->relief.reading;

    if (limits->used_bytes <= limits->hard_bytes)
        return false;
    return limits->limited_by[0] == '\0' || reading->hard_bytes < reading->reserve_bytes / 2;
}

static snug_status enforce_limit(snug_session *session, snug_error *error)
{
    const uint64_t over = snug_steps_over_bytes(session);
    const uint64_t soon_over = over_soon(session);
    const snug_ladder_order order = { SNUG_LADDER_DOWN, over > 0 ? SNUG_RELIEF_LIMIT : SNUG_RELIEF_FORECAST,
                                      snug_max_size(over, soon_over + soon_over / 2), true, true };
    snug_relief_event event = { .step = SNUG_RELIEF_SUSPEND, .reason = SNUG_RELIEF_LIMIT };
    snug_memory_limits limits;

    session->relief.is_spent = false;
    session->relief.is_quiet = order.want_bytes == 0;
    if (session->relief.is_quiet)
        return SNUG_OK;
    /* Limits are no wishes. */
    session->relief.is_spent =
        descend_until(session, order, over > 0 ? REACH_ALL : REACH_KEPT) < order.want_bytes;
    snug_memory_read_limits(&limits, session->memory);
    if (!must_end(session, &limits))
        return SNUG_OK;
    event.used_before_bytes = snug_steps_used_bytes(session);
    tell(session, &event);
    SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT,
              "the memory limit is %llu bytes now%s%s, %llu are in use, and nothing more can be given back",
              (unsigned long long)limits.hard_bytes, limits.limited_by[0] ? ", set by " : "",
              limits.limited_by, (unsigned long long)limits.used_bytes);
}

/* --- recovery ------------------------------------------------------------------------------------------- */

static void recover(snug_session *session)
{
    const uint64_t roof = snug_ladder_roof(&session->relief.ladder, session->relief.reading.limit_bytes);
    snug_relief_event event = { .step = SNUG_RELIEF_RECOVER,
                                .reason = SNUG_RELIEF_RECOVERY,
                                .used_before_bytes = snug_steps_used_bytes(session) };
    const uint64_t start = snug_os_clock_ns();

    if (!snug_step_undo(session, roof))
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
    relief->is_promised = false;
    relief->is_quiet = false;
    (void)snug_os_thread_read_times(&relief->ran_ns, &relief->waited_ns);
    relief->steps = 0;
    relief->returned_bytes = 0;
}

static void follow(snug_session *session)
{
    snug_relief *relief = &session->relief;
    const snug_pressure_reading *reading = &relief->reading;
    const bool is_promised = is_promise_kept(session);
    const snug_ladder_input input = { .now_ns = reading->time_ns,
                                      .level = reading->level,
                                      .usage = reading->hard_usage,
                                      .limit_bytes = reading->limit_bytes,
                                      .soon_bytes = is_promised ? 0 : soon(session),
                                      .is_promised = is_promised };
    const snug_ladder_order order = snug_ladder_decide(&relief->ladder, &input);
    const uint64_t start = snug_os_clock_ns();
    uint64_t returned;

    if (order.move == SNUG_LADDER_UP)
        recover(session);
    if (order.move != SNUG_LADDER_DOWN)
        return;
    /* What the ledger says came back is known at once, so those steps need no waiting for an effect. */
    if (snug_steps_all_bytes(session) < order.want_bytes / FELT_PART)
        returned = descend_until(session, order, REACH_UNFELT);
    else if ((returned = descend_until(session, order, REACH_KEPT)) == 0)
        returned = descend(session, &order, REACH_ALL);
    snug_ladder_done(&relief->ladder, input.now_ns, snug_os_clock_ns() - start, returned > 0);
}

snug_status snug_relief_look(snug_session *session, uint64_t now_ns, snug_error *error)
{
    snug_relief *relief = &session->relief;
    snug_ladder_order order = { SNUG_LADDER_DOWN, SNUG_RELIEF_FORECAST, 0, false, false };

    if (!relief->is_on)
        return SNUG_OK;
    relief->tokens_since++;
    if (is_quiet(session, now_ns))
        return SNUG_OK;
    if (relief->tokens_since >= relief->interval_tokens) {
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
        (void)descend(session, &order, REACH_ALL);
    relief->is_quiet = relief->is_quiet && order.want_bytes == 0;
    return SNUG_OK;
}

bool snug_relief_goes_on(void *user)
{
    snug_session *session = user;
    snug_relief *relief = &session->relief;

    if (++relief->asked % ASKED_PARTS != 0)
        return true;
    if (relief->interval_tokens <= 1 && !relief->read && sample(relief)) {
        relief->is_unread = true;
        relief->is_quiet = false;
    }
    if ((snug_steps_over_bytes(session) == 0 && over_soon(session) == 0) || relief->stops >= STOPS_MOST)
        return true;
    /* Nothing was left to give: only to end before the kernel does it. */
    if (relief->is_spent && (snug_steps_over_bytes(session) == 0 ||
                             relief->reading.hard_bytes >= relief->reading.reserve_bytes / 2))
        return true;
    relief->stops++;
    return false;
}

bool snug_relief_refused(snug_session *session, snug_status status, uint64_t missing)
{
    const uint64_t hard = snug_memory_hard_limit(session->memory);
    const uint64_t used = snug_steps_used_bytes(session);
    const uint64_t room = hard < SNUG_MEMORY_NO_LIMIT && hard > used ? hard - used : 0;
    const snug_ladder_order order = { SNUG_LADDER_DOWN, SNUG_RELIEF_REFUSED,
                                      missing > room ? missing - room : missing, true, false };
    snug_relief_event event = { .step = SNUG_RELIEF_SUSPEND, .reason = SNUG_RELIEF_REFUSED };

    if (!session->relief.is_on || (status != SNUG_ERR_OVER_LIMIT && status != SNUG_ERR_NO_MEMORY))
        return false;
    if (descend(session, &order, REACH_ALL) > 0)
        return true;
    event.used_before_bytes = used;
    tell(session, &event);
    return false;
}
