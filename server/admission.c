/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission.c - whether a request can begin: what it will need at its end must fit beside what those that run
 * hold and will still take. What is kept for later does not count, it goes first.
 *
 * The cache format is chosen once for each model and strategy, for a conversation that fills the context and
 * is alone. So an answer does not depend on who else is there: a request waits rather than lose bits.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "server/answer.h"
#include "server/memory.h"
#include "server/state.h"

/* --- what it will be --------------------------------------------------------------------------------- */

/* Of the workbench of a model, once those that run have had their largest chunks. With the lock held. */
static uint64_t bench_bytes(struct server *server, size_t model)
{
    uint64_t bytes = server_models_bench_bytes(server, model);

    for (const server_share *share = server->queue.shares; share; share = share->next)
        if (share->model == model && share->bench_bytes > bytes)
            bytes = share->bench_bytes;
    return bytes;
}

/* Of it, what it has not yet. */
static uint64_t bench_growth_of(struct server *server, size_t model)
{
    const uint64_t there = server_models_bench_bytes(server, model);
    const uint64_t wanted = bench_bytes(server, model);

    return wanted > there ? wanted - there : 0;
}

/* What those that run will still take, their workbenches counted once. With the lock held. */
static uint64_t growth_bytes(struct server *server)
{
    uint64_t growth = 0;

    for (const server_share *share = server->queue.shares; share; share = share->next) {
        const server_share *before = server->queue.shares;

        growth += atomic_load(&share->growth_bytes);
        while (before->model != share->model)
            before = before->next;
        if (before == share)
            growth += bench_growth_of(server, share->model);
    }
    return growth;
}

uint64_t server_queue_growth(struct server *server)
{
    uint64_t growth;

    (void)pthread_mutex_lock(&server->queue.admission);
    growth = growth_bytes(server);
    (void)pthread_mutex_unlock(&server->queue.admission);
    return growth;
}

/* What runs and what is kept, as if it had ended. With the lock held. */
static uint64_t leaving_bytes(struct server *server, uint64_t *growth_out)
{
    uint64_t held = server_kept_bytes(server);

    *growth_out = growth_bytes(server);
    for (const server_share *share = server->queue.shares; share; share = share->next)
        held += atomic_load(&share->held_bytes);
    return held;
}

static bool is_cache_set(const snug_kv_config *kv)
{
    return kv->key.format != SNUG_KV_FORMAT_AUTO || kv->value.format != SNUG_KV_FORMAT_AUTO ||
           kv->retention.kind != SNUG_KV_RETENTION_AUTO;
}

static snug_plan_options plan_options(const server_answer *answer, uint64_t leaving)
{
    const server_options *options = &answer->server->options;
    const server_request *request = &answer->job->request;
    snug_model_info info = { .struct_size = sizeof info };
    uint32_t id_count = snug_text_id_count(answer->loaded.text);

    snug_model_read_info(&info, answer->loaded.model);
    return (snug_plan_options){
        .struct_size = sizeof(snug_plan_options),
        .context_tokens = request->context_tokens ? request->context_tokens : options->context_tokens,
        .prefill_chunk = options->prefill_chunk,
        .threads = options->threads,
        .kv = is_cache_set(&request->kv) ? request->kv : options->kv,
        .id_count = id_count < info.vocabulary ? id_count : info.vocabulary,
        .user_limit_bytes = atomic_load(&answer->server->memory_limit),
        .leaving_bytes = leaving,
        .has_workbench = true,
        .workbench_scratch_bytes = bench_bytes(answer->server, answer->model),
    };
}

static bool is_same_question(const server_profile *a, const server_profile *b)
{
    return a->model == b->model && a->strategy == b->strategy && a->context_tokens == b->context_tokens &&
           memcmp(&a->kv, &b->kv, sizeof a->kv) == 0;
}

/* How long a choice holds: the machine may have more memory, or less, than it had. */
#define CHOICE_NS ((uint64_t)60 * 1000000000u)

/* One that was made lately; NULL. */
static const server_choice *find_choice(const server_queue *queue, const server_profile *asked)
{
    for (uint32_t i = 0; i < queue->choice_count; i++)
        if (is_same_question(&queue->choice[i].asked, asked) &&
            server_clock_ns() - queue->choice[i].made_ns < CHOICE_NS)
            return &queue->choice[i];
    return NULL;
}

/* In place of the same question's, or of the oldest. */
static void keep_choice(server_queue *queue, const server_choice *choice)
{
    uint32_t place = 0;

    for (uint32_t i = 0; i < queue->choice_count; i++) {
        if (is_same_question(&queue->choice[i].asked, &choice->asked)) {
            queue->choice[i] = *choice;
            return;
        }
        if (queue->choice[i].made_ns < queue->choice[place].made_ns)
            place = i;
    }
    if (queue->choice_count < SERVER_CHOICES_MAX)
        place = queue->choice_count++;
    queue->choice[place] = *choice;
}

void server_queue_forget_choices(struct server *server)
{
    (void)pthread_mutex_lock(&server->queue.admission);
    server->queue.choice_count = 0;
    (void)pthread_mutex_unlock(&server->queue.admission);
}

/* The cache, the chunk and the context of all requests of this kind. */
static bool choose_profile(server_answer *answer)
{
    struct server *server = answer->server;
    const server_request *request = &answer->job->request;
    uint64_t growth;
    const uint64_t leaving = leaving_bytes(server, &growth);
    const snug_plan_options options = plan_options(answer, leaving);
    const snug_strategy strategy = request->strategy != SNUG_STRATEGY_AUTO
                                       ? request->strategy
                                       : (snug_strategy)atomic_load(&server->strategy);
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };
    server_profile *profile = &answer->profile;
    const server_choice *made;
    server_choice choice;

    *profile = (server_profile){ .model = answer->model,
                                 .strategy = strategy,
                                 .context_tokens = options.context_tokens,
                                 .kv = options.kv,
                                 .keeps_format = is_cache_set(&options.kv) };
    made = find_choice(&server->queue, profile);
    if (made) {
        *profile = made->chosen;
        return true;
    }
    choice.asked = *profile;
    /* A plan is for the process and counts what lies outside the ledger; it is held against the limit that
     * was set, not against the ledger's, from which that was taken already. */
    server_limit_lift(server);
    error.status =
        snug_plan_search(&plan, answer->loaded.model, server->options.memory, 0, &options, strategy, &error);
    server_limit_apply(server);
    if (error.status != SNUG_OK)
        return server_refuse_error(&answer->refusal, &error);
    profile->context_tokens = plan.context_tokens;
    profile->prefill_chunk = plan.prefill_chunk;
    profile->threads = plan.threads;
    profile->kv = plan.kv;
    choice.chosen = *profile;
    choice.made_ns = server_clock_ns();
    keep_choice(&server->queue, &choice);
    return true;
}

/* Of the conversation, at the end of the answer. */
static uint32_t end_tokens(const snug_plan *plan, const snug_session *session)
{
    const uint32_t tokens = snug_session_tokens(session);

    return tokens > plan->cache_tokens ? tokens : plan->cache_tokens;
}

/* Of what the plan adds, what the workbench is to get. */
static uint64_t bench_growth(const server_answer *answer)
{
    const snug_plan *plan = &answer->plan;
    const uint64_t sampler = snug_sampler_estimate_bytes(answer->id_kinds);
    const uint64_t added = plan->use_bytes[SNUG_MEMORY_SCRATCH] - plan->load_use_bytes[SNUG_MEMORY_SCRATCH];

    return added > sampler ? added - sampler : 0;
}

/*
 * What the request adds to what is there, beside the workbench. Where it goes on from a conversation only
 * what its cache still grows by, and the sampler: what it reads there, alone or with others, is in the
 * ledger. A fork has been cut to what both have in common, so its cache can say exactly; one that is not cut
 * yet, and shares, may have to copy some of that.
 */
static uint64_t new_bytes(const server_answer *answer)
{
    const snug_plan *plan = &answer->plan;
    const uint64_t all = plan->peak_bytes - plan->load_peak_bytes - answer->bench_growth;
    uint64_t end = plan->use_bytes[SNUG_MEMORY_KV] - plan->load_use_bytes[SNUG_MEMORY_KV];
    uint64_t held, grown;
    const snug_kv *kv;

    if (!answer->reuse.session)
        return all;
    kv = snug_session_kv(answer->reuse.session);
    held = snug_kv_committed_bytes(kv);
    if (!answer->reuse.whole || snug_kv_shared_bytes(kv) == 0)
        end = snug_kv_projected_bytes(kv, end_tokens(plan, answer->reuse.session));
    grown = (end > held ? end - held : 0) + snug_sampler_estimate_bytes(answer->id_kinds);
    return grown < all ? grown : all;
}

/* Of the prompt, what a fork has not. */
static uint32_t rest_tokens(const server_answer *answer)
{
    const uint32_t prompt = (uint32_t)answer->id_count;
    const uint32_t known = answer->reuse.session ? snug_session_tokens(answer->reuse.session) : 0;

    return known < prompt ? prompt - known : 1;
}

static bool make_plan(server_answer *answer, uint64_t leaving)
{
    const server_profile *profile = &answer->profile;
    const uint32_t rest = rest_tokens(answer);
    snug_plan_options options = plan_options(answer, leaving);
    snug_error error = { SNUG_OK, "" };

    options.context_tokens = profile->context_tokens;
    options.prefill_chunk = profile->prefill_chunk;
    options.threads = profile->threads;
    options.kv = profile->kv;
    options.prompt_tokens = (uint32_t)answer->id_count;
    options.max_tokens = answer->max_tokens;
    if (answer->reuse.session && !answer->reuse.whole && rest < options.prefill_chunk)
        options.prefill_chunk = rest; /* of a fork's cache it says nothing: that is asked itself */
    answer->id_kinds = options.id_count;
    answer->plan = (snug_plan){ .struct_size = sizeof answer->plan };
    server_limit_lift(answer->server);
    error.status = snug_plan_make(&answer->plan, answer->loaded.model, answer->server->options.memory, 0,
                                  &options, &error);
    server_limit_apply(answer->server);
    if (error.status != SNUG_OK)
        return server_refuse_error(&answer->refusal, &error);
    answer->bench_growth = bench_growth(answer);
    answer->new_bytes = new_bytes(answer);
    return true;
}

/* --- whether it fits ----------------------------------------------------------------------------------- */

static uint64_t share_of(uint64_t limit, double share)
{
    return limit >= SNUG_MEMORY_NO_LIMIT ? limit : (uint64_t)((double)limit * share);
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Of the process, if nobody else were there. */
static uint64_t alone_bytes(const server_answer *answer)
{
    return answer->plan.load_peak_bytes + answer->bench_growth + answer->new_bytes;
}

/* It would not fit if it were alone: waiting does not help. */
static void refuse_for_good(server_answer *answer, uint64_t allowed)
{
    const snug_plan *plan = &answer->plan;
    const uint64_t need = alone_bytes(answer);

    server_refuse(
        &answer->refusal, 400, "does_not_fit", NULL,
        "this request does not fit: %u tokens of prompt and up to %u of answer need %.1f MiB, and "
        "%.1f MiB may be used (limited by %.100s). Ask for fewer max_tokens, send a shorter prompt, "
        "or give snug.kv_bits or snug.max_kv_size",
        plan->prompt_tokens, plan->cache_tokens - plan->prompt_tokens, mib(need), mib(allowed),
        plan->limited_by);
    answer->refusal.need_bytes = need;
    answer->refusal.limit_bytes = allowed;
    server_count(answer->server, SERVER_COUNT_NO_MEMORY);
}

typedef enum verdict {
    VERDICT_REFUSED = -1,
    VERDICT_WAIT = 0,
    VERDICT_BEGIN = 1,
} verdict;

/* What is there, and what a request that was just planned would make of it. */
typedef struct outlook {
    uint64_t kept;    /* what goes when what is kept is dropped */
    uint64_t allowed; /* alone */
    uint64_t planned; /* beside others */
    uint64_t beside;  /* of the process at the end of all that run, if what is kept is dropped */
} outlook;

/* False: the request cannot be planned. */
static bool look(outlook *o, server_answer *answer)
{
    struct server *server = answer->server;
    const snug_strategy_rules *rules = snug_strategy_rules_of(answer->profile.strategy);
    uint64_t growth;
    const uint64_t leaving = leaving_bytes(server, &growth);

    *o = (outlook){ .kept = server_kept_bytes(server) };
    if (!make_plan(answer, leaving))
        return false;
    o->allowed = share_of(answer->plan.limit_bytes, rules->warn_share);
    o->planned = share_of(answer->plan.limit_bytes, rules->plan_share);
    o->beside = alone_bytes(answer) + leaving - o->kept + growth;
    return true;
}

/* If so much more went with what is kept. */
static verdict judge(const server_answer *answer, const outlook *o, uint64_t shared)
{
    if (alone_bytes(answer) > o->allowed + shared)
        return VERDICT_REFUSED;
    return answer->server->queue.shares && o->beside > o->planned + shared ? VERDICT_WAIT : VERDICT_BEGIN;
}

/* What is kept goes, as far as it must, and what there will be then is the prediction. */
static void make_room(server_answer *answer, const outlook *o)
{
    struct server *server = answer->server;
    const uint64_t all = o->beside + o->kept;

    answer->plan.is_tight = alone_bytes(answer) > o->planned;
    if (all > o->allowed)
        (void)server_kept_drop(server, all - o->allowed);
    atomic_store(&answer->predicted_peak_bytes, o->beside + server_kept_bytes(server));
    server_limit_apply(server);
}

/* With the lock held, and the turn. */
static verdict try_to_begin(server_answer *answer)
{
    struct server *server = answer->server;
    verdict found = VERDICT_REFUSED;
    outlook o;

    server_kept_take(&answer->reuse, server, &answer->profile, answer->ids, answer->id_count);
    if (look(&o, answer)) {
        const uint64_t shared = server_kept_shared_bytes(server);

        found = judge(answer, &o, 0);
        if (found != VERDICT_BEGIN && judge(answer, &o, shared) == VERDICT_BEGIN) {
            (void)server_kept_drop(server, UINT64_MAX); /* what they read together goes with the last */
            found = look(&o, answer) ? judge(answer, &o, 0) : VERDICT_REFUSED;
        }
    }
    if (found == VERDICT_BEGIN) {
        make_room(answer, &o);
        answer->session = server_kept_use(server, &answer->reuse);
        return found;
    }
    server_kept_return(server, &answer->reuse);
    if (found == VERDICT_REFUSED && !answer->refusal.status)
        refuse_for_good(answer, o.allowed);
    return found;
}

/* Those that run come to as much as it does together with them. */
static void raise_predictions(server_answer *answer)
{
    struct server *server = answer->server;
    const uint64_t bytes = answer->predicted_peak_bytes;

    for (const server_share *share = server->queue.shares; share; share = share->next)
        if (bytes > atomic_load(&share->answer->predicted_peak_bytes))
            atomic_store(&share->answer->predicted_peak_bytes, bytes);
    server_count_most(&server->counts.predicted_peak_bytes, bytes);
}

static void begin(server_answer *answer)
{
    server_queue *queue = &answer->server->queue;
    const uint64_t bench = answer->bench_growth;

    answer->share.answer = answer;
    answer->share.model = answer->model;
    answer->share.bench_bytes = bench > 0 ? bench_bytes(answer->server, answer->model) + bench : 0;
    atomic_store(&answer->share.held_bytes, 0);
    atomic_store(&answer->share.growth_bytes, answer->new_bytes);
    answer->share.next = queue->shares;
    queue->shares = &answer->share;
    queue->running++;
    answer->is_admitted = true;
    answer->admitted_ns = server_clock_ns();
    raise_predictions(answer);
}

static bool is_hopeless(const server_answer *answer)
{
    return atomic_load(&answer->job->outlet->is_gone) || atomic_load(&answer->server->is_over);
}

/* With the lock held: until something changes, or the machine may have more memory. */
static void wait_a_while(server_queue *queue)
{
    struct timespec until;

    SNUG_ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += 1;
    (void)pthread_cond_timedwait(&queue->changed, &queue->admission, &until);
}

/* An answer that was begun comes before those that were not. */
static void join(server_answer *answer)
{
    server_answer **at = &answer->server->queue.admitting;

    while (*at && answer->tokens == 0)
        at = &(*at)->next_admitted;
    answer->next_admitted = *at;
    *at = answer;
}

static void leave(server_answer *answer)
{
    server_answer **at = &answer->server->queue.admitting;

    while (*at != answer)
        at = &(*at)->next_admitted;
    *at = answer->next_admitted;
}

bool server_admit(server_answer *answer)
{
    server_queue *queue = &answer->server->queue;
    bool is_chosen = false;
    verdict found = VERDICT_WAIT;

    (void)pthread_mutex_lock(&queue->admission);
    join(answer);
    while (found == VERDICT_WAIT && !is_hopeless(answer)) {
        if (queue->admitting != answer) { /* those that came before begin before */
            (void)pthread_cond_wait(&queue->changed, &queue->admission);
            continue;
        }
        /* With the turn nobody is in the middle of a chunk: what they hold is what they said they do. */
        (void)pthread_mutex_unlock(&queue->admission);
        server_turn_take(&answer->server->turn);
        (void)pthread_mutex_lock(&queue->admission);
        if (queue->admitting == answer) {
            is_chosen = is_chosen || choose_profile(answer);
            found = is_chosen ? try_to_begin(answer) : VERDICT_REFUSED;
        }
        answer->has_turn = true;
        if (found != VERDICT_BEGIN) /* else nobody comes between the plan and the session */
            server_answer_leave_turn(answer);
        if (found == VERDICT_WAIT)
            wait_a_while(queue);
    }
    if (found == VERDICT_BEGIN)
        begin(answer);
    leave(answer);
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->admission);
    return found == VERDICT_BEGIN;
}

void server_admit_update(server_answer *answer)
{
    const snug_plan *plan = &answer->plan;
    const snug_kv *kv = snug_session_kv(answer->session);
    const uint64_t committed = snug_kv_committed_bytes(kv);
    const uint64_t end = snug_kv_projected_bytes(kv, end_tokens(plan, answer->session));
    const uint64_t reached =
        plan->fixed_bytes + snug_memory_read_all(answer->server->options.memory).used_bytes;
    const uint64_t cache = plan->use_bytes[SNUG_MEMORY_KV] - plan->load_use_bytes[SNUG_MEMORY_KV];
    const uint64_t beside = plan->peak_bytes - plan->load_peak_bytes - cache - answer->bench_growth;

    atomic_store(&answer->share.held_bytes, committed + beside);
    atomic_store(&answer->share.growth_bytes, end > committed ? end - committed : 0);
    if (reached > answer->predicted_reached_bytes) {
        answer->predicted_reached_bytes = reached;
        server_count_most(&answer->server->counts.predicted_reached_bytes, reached);
    }
}

void server_admit_end(server_answer *answer)
{
    server_queue *queue = &answer->server->queue;
    server_share **at = &queue->shares;

    if (!answer->is_admitted)
        return;
    (void)pthread_mutex_lock(&queue->admission);
    while (*at != &answer->share)
        at = &(*at)->next;
    *at = answer->share.next;
    queue->running--;
    answer->is_admitted = false;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->admission);
}
