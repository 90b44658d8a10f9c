/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.c - the pool of work.h.
 *
 * All hangs on one counter, `parts_left`. The caller writes down the job and then sets the counter to the
 * number of parts; whoever takes the counter from n to n - 1, n > 0, has claimed part `parts - n`.
 * Invariants:
 *
 * - A claim is always one on the job that runs now, however late the thread comes: the job cannot end before
 *   the claimed part is done, so what a thread reads of the job after its claim stays as it is.
 * - Nobody reads the job without a claim. So the caller may write the next one as soon as all parts are done.
 * - A job ends when `parts_done` reaches its number of parts; a thread adds its parts there when it finds no
 *   more to claim, and does not touch the job after that.
 *
 * The counter may go below zero by one for each thread that came too late, until the next job sets it.
 *
 * Sleeping: who wants to sleep first says so, and then looks once more whether it should; who has news
 * first makes them visible, and then looks whether someone sleeps. All four steps are sequentially
 * consistent, so at least one of the two sees the other.
 */
#include "work/work.h"

#include <stdatomic.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"
#include "os/machine.h"
#include "os/pages.h"
#include "os/thread.h"

/* Longer than what one thread does alone between two tokens, and in a layer where the cache gets new pages. A
 * 0.6B shape, two threads: one slept through 4.5 of a token's 140 jobs with 50 us, through 2.8 with 200. */
#define SPIN_NS ((uint64_t)200 * 1000)

/* Between two looks at the clock, which costs as much as some pauses. */
#define PAUSES_PER_LOOK 16

/*
 * What a thread touches of its stack and thread-local storage, in pages: two at the top for storage and first
 * frames, and two for the frames of kernels, whose large arrays live in scratch. Measured with glibc 2.36 on
 * x86-64: 8 KiB for a thread that does nothing.
 */
#define STACK_PAGES 4

typedef struct worker {
    snug_work *work;
    uint32_t index;
    snug_os_thread thread;
} worker;

/* Counters that different threads write are kept on different cache lines. */
struct snug_work {
    snug_memory *memory;
    uint32_t threads;
    uint32_t started; /* threads that run, the caller not counted */
    uint64_t spin_ns;
    uint64_t stack_bytes; /* charged for all stacks */

    /* The job: see above for who may read it. */
    snug_work_fn fn;
    void *user;
    size_t parts;
    bool is_watched;
    _Atomic bool is_running; /* to notice two jobs at a time */

    /* The caller's alone. */
    snug_work_going_fn going;
    void *going_user;
    bool is_given_up;
    bool is_charging;
    uint32_t account; /* that the time since charged_ns goes to */
    uint64_t charged_ns;
    uint64_t account_ns[SNUG_ACCOUNT_COUNT];

    _Alignas(64) _Atomic int64_t parts_left;
    _Alignas(64) _Atomic size_t parts_done;
    _Alignas(64) _Atomic uint32_t job_number; /* counts jobs: who waits for another one waits for this */
    _Atomic uint32_t sleepers;                /* workers that sleep or are about to */
    _Atomic bool is_caller_asleep;
    _Atomic bool is_stopping;

    _Alignas(64) snug_os_mutex mutex; /* held only around sleeping and waking */
    snug_os_condition job_came;
    snug_os_condition job_ended;
    worker worker[]; /* threads - 1 */
};

/* --- accounts of time --------------------------------------------------------------------------------- */

void snug_work_start_accounts(snug_work *work)
{
    for (uint32_t i = 0; i < SNUG_ACCOUNT_COUNT; i++)
        work->account_ns[i] = 0;
    work->account = SNUG_ACCOUNT_REST;
    work->is_charging = true;
    work->charged_ns = snug_os_clock_ns();
}

void snug_work_stop_accounts(snug_work *work)
{
    work->is_charging = false;
}

uint32_t snug_work_charge(snug_work *work, uint32_t account)
{
    const uint32_t before = work->account;
    uint64_t now;

    if (!work->is_charging)
        return account;
    now = snug_os_clock_ns();
    work->account_ns[before] += now - work->charged_ns;
    work->charged_ns = now;
    work->account = account;
    return before;
}

const uint64_t *snug_work_read_accounts(snug_work *work)
{
    if (!work->is_charging)
        return NULL;
    (void)snug_work_charge(work, work->account);
    return work->account_ns;
}

/* --- running parts ------------------------------------------------------------------------------------ */

static void wake(snug_work *work, snug_os_condition *condition)
{
    snug_os_mutex_lock(&work->mutex);
    snug_os_condition_wake_all(condition);
    snug_os_mutex_unlock(&work->mutex);
}

/* The number of parts that were left, this one included; 0 when there is none to claim. */
static size_t claim_part(snug_work *work)
{
    int64_t left;

    if (atomic_load_explicit(&work->parts_left, memory_order_relaxed) <= 0)
        return 0;
    left = atomic_fetch_sub_explicit(&work->parts_left, 1, memory_order_acquire);
    return left > 0 ? (size_t)left : 0;
}

/* Asked by the caller between its parts. */
static bool is_going(snug_work *work)
{
    if (!work->is_given_up && !work->going(work->going_user))
        work->is_given_up = true;
    return !work->is_given_up;
}

/* Claims all parts that are left; returns how many. */
static size_t claim_rest(snug_work *work)
{
    const int64_t left = atomic_exchange_explicit(&work->parts_left, 0, memory_order_acquire);

    return left > 0 ? (size_t)left : 0;
}

static void run_parts(snug_work *work, uint32_t index)
{
    size_t left = claim_part(work);
    size_t parts;
    size_t done = 0;

    if (left == 0)
        return;
    parts = work->parts;
    do {
        work->fn(work->user, parts - left, index);
        done++;
        if (index == 0 && work->is_watched && !is_going(work))
            done += claim_rest(work);
    } while ((left = claim_part(work)) > 0);

    done += atomic_fetch_add(&work->parts_done, done);
    if (done == parts && atomic_load(&work->is_caller_asleep))
        wake(work, &work->job_ended);
}

/* --- waiting ------------------------------------------------------------------------------------------ */

static bool has_job_come(const snug_work *work, uint64_t last_job)
{
    return atomic_load(&work->job_number) != (uint32_t)last_job || atomic_load(&work->is_stopping);
}

static bool has_job_ended(const snug_work *work, uint64_t parts)
{
    return atomic_load(&work->parts_done) == parts;
}

/* False when spinning did not help. */
static bool spin_until(const snug_work *work, bool (*is_true)(const snug_work *, uint64_t), uint64_t number)
{
    uint64_t begin;

    if (is_true(work, number))
        return true;
    if (work->spin_ns == 0)
        return false;
    begin = snug_os_clock_ns();
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            snug_os_pause();
            if (is_true(work, number))
                return true;
        }
    } while (snug_os_clock_ns() - begin < work->spin_ns);
    return false;
}

static void sleep_until_job(snug_work *work, uint32_t last_job)
{
    snug_os_mutex_lock(&work->mutex);
    atomic_fetch_add(&work->sleepers, 1);
    while (!has_job_come(work, last_job))
        snug_os_condition_wait(&work->job_came, &work->mutex);
    atomic_fetch_sub(&work->sleepers, 1);
    snug_os_mutex_unlock(&work->mutex);
}

static void sleep_until_end(snug_work *work, size_t parts)
{
    snug_os_mutex_lock(&work->mutex);
    atomic_store(&work->is_caller_asleep, true);
    while (!has_job_ended(work, parts))
        snug_os_condition_wait(&work->job_ended, &work->mutex);
    atomic_store(&work->is_caller_asleep, false);
    snug_os_mutex_unlock(&work->mutex);
}

static void run_worker(void *user)
{
    const worker *self = user;
    snug_work *work = self->work;

    while (!atomic_load(&work->is_stopping)) {
        /* Read before looking for parts: a job that comes in between has another number. */
        uint32_t last_job = atomic_load(&work->job_number);

        run_parts(work, self->index);
        if (!spin_until(work, has_job_come, last_job))
            sleep_until_job(work, last_job);
    }
}

static void run_alone(snug_work *work, snug_work_fn fn, void *user, size_t parts, bool is_watched)
{
    for (size_t part = 0; part < parts; part++) {
        fn(user, part, 0);
        if (is_watched && !is_going(work))
            return;
    }
}

static void run(snug_work *work, snug_work_fn fn, void *user, size_t parts, bool is_watched)
{
    bool was_running;
    uint32_t account;

    if (parts <= 1 || work->threads == 1) {
        run_alone(work, fn, user, parts, is_watched);
        return;
    }
    SNUG_ASSERT(parts <= INT64_MAX);
    was_running = atomic_exchange_explicit(&work->is_running, true, memory_order_acquire);
    SNUG_ASSERT(!was_running);
    work->fn = fn;
    work->user = user;
    work->parts = parts;
    work->is_watched = is_watched;
    atomic_store_explicit(&work->parts_done, 0, memory_order_relaxed);
    atomic_store_explicit(&work->parts_left, (int64_t)parts, memory_order_release);
    atomic_fetch_add(&work->job_number, 1);
    if (atomic_load(&work->sleepers) > 0)
        wake(work, &work->job_came);

    run_parts(work, 0);
    account = snug_work_charge(work, SNUG_ACCOUNT_WAITING);
    if (!spin_until(work, has_job_ended, parts))
        sleep_until_end(work, parts);
    (void)snug_work_charge(work, account);
    atomic_store_explicit(&work->is_running, false, memory_order_release);
}

void snug_work_run(snug_work *work, snug_work_fn fn, void *user, size_t parts)
{
    run(work, fn, user, parts, false);
}

void snug_work_run_watched(snug_work *work, snug_work_fn fn, void *user, size_t parts)
{
    if (!work->is_given_up)
        run(work, fn, user, parts, work->going != NULL);
}

void snug_work_begin_watch(snug_work *work, snug_work_going_fn going, void *user)
{
    work->going = going;
    work->going_user = user;
}

bool snug_work_end_watch(snug_work *work)
{
    const bool is_whole = !work->is_given_up;

    work->going = NULL;
    work->is_given_up = false;
    return is_whole;
}

bool snug_work_is_given_up(const snug_work *work)
{
    return work->is_given_up;
}

/* --- making and ending -------------------------------------------------------------------------------- */

static uint32_t choose_threads(uint32_t threads)
{
    return threads ? threads : (uint32_t)snug_min_size(snug_os_cpu_count(), SNUG_WORK_THREADS_MAX);
}

static uint64_t stack_bytes(uint32_t threads)
{
    return (uint64_t)(threads - 1) * STACK_PAGES * snug_os_page_bytes();
}

static uint64_t struct_bytes(uint32_t threads)
{
    return sizeof(snug_work) + (uint64_t)(threads - 1) * sizeof(worker);
}

uint64_t snug_work_estimate_bytes(uint32_t threads)
{
    threads = choose_threads(threads);
    return snug_memory_block_bytes(struct_bytes(threads)) + stack_bytes(threads);
}

uint32_t snug_work_threads(const snug_work *work)
{
    return work->threads;
}

static snug_status start_workers(snug_work *work, snug_error *error)
{
    for (uint32_t i = 0; i < work->threads - 1; i++) {
        worker *next = &work->worker[i];

        next->work = work;
        next->index = i + 1;
        SNUG_TRY(snug_os_thread_start(&next->thread, run_worker, next, error));
        work->started++;
    }
    return SNUG_OK;
}

snug_status snug_work_create(snug_work **out, snug_memory *memory, uint32_t threads, snug_error *error)
{
    const char *what = "the thread pool";
    snug_status status;
    snug_error ignored;
    snug_work *work;

    if (!error)
        error = &ignored;
    threads = choose_threads(threads);
    if (threads > SNUG_WORK_THREADS_MAX)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%u threads are more than %u, the most that are supported",
                  (unsigned)threads, (unsigned)SNUG_WORK_THREADS_MAX);
    work = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, struct_bytes(threads), what, error);
    if (!work)
        return error->status;
    status = snug_memory_take(memory, SNUG_MEMORY_OTHER, stack_bytes(threads), what, error);
    if (status != SNUG_OK) {
        snug_memory_free(memory, work);
        return status;
    }
    work->memory = memory;
    work->threads = threads;
    work->stack_bytes = stack_bytes(threads);
    work->spin_ns = threads <= snug_os_cpu_count() ? SPIN_NS : 0;
    snug_os_mutex_init(&work->mutex);
    snug_os_condition_init(&work->job_came);
    snug_os_condition_init(&work->job_ended);
    status = start_workers(work, error);
    if (status != SNUG_OK) {
        snug_work_destroy(work);
        return status;
    }
    *out = work;
    return SNUG_OK;
}

void snug_work_destroy(snug_work *work)
{
    snug_memory *memory;
    uint64_t stacks;

    if (!work)
        return;
    atomic_store(&work->is_stopping, true);
    wake(work, &work->job_came);
    for (uint32_t i = 0; i < work->started; i++)
        snug_os_thread_join(&work->worker[i].thread);
    snug_os_condition_deinit(&work->job_ended);
    snug_os_condition_deinit(&work->job_came);
    snug_os_mutex_deinit(&work->mutex);
    memory = work->memory;
    stacks = work->stack_bytes;
    snug_memory_free(memory, work);
    snug_memory_give(memory, SNUG_MEMORY_OTHER, stacks);
}
