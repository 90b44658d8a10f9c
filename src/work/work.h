/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h - a thread pool for short jobs: one function over many parts, a few microseconds each.
 *
 * A job is split into parts by its caller, the same way for any number of threads; threads only take parts as
 * they come. So results do not depend on the number of threads, as long as parts write to different places.
 *
 * Cost: starting and ending a job takes one to a few microseconds while the workers are awake. They stay
 * awake for about 0.2 ms after a job, spinning, and then sleep; waking them takes one system call and tens
 * of microseconds. Where there are fewer processors than threads nobody spins.
 *
 * Threads: one job runs at a time; from inside a part no other may be run.
 */
#ifndef SNUG_SRC_WORK_WORK_H
#define SNUG_SRC_WORK_WORK_H

#include <snug/memory.h>

#include "base/type.h"

typedef struct snug_work snug_work;

#define SNUG_WORK_THREADS_MAX 1024

/*
 * `threads` includes the caller; 0: one for each core that this process may use (snug_os_cpu_count()).
 * Charges the ledger with snug_work_estimate_bytes(). Errors: ARGUMENT (above SNUG_WORK_THREADS_MAX),
 * OVER_LIMIT, NO_MEMORY.
 */
SNUG_MUST_CHECK snug_status snug_work_create(snug_work **out, snug_memory *memory, uint32_t threads,
                                             snug_error *error);
void snug_work_destroy(snug_work *work); /* NULL is allowed */

uint32_t snug_work_threads(const snug_work *work);

/* `worker` is below snug_work_threads(), and no two parts run with the same one at a time: an index into
 * scratch per thread. The caller is 0. */
typedef void (*snug_work_fn)(void *user, size_t part, uint32_t worker);

/* Run fn(user, part, worker) once for each part below `parts`. Returns when all have run; what they wrote is
 * then visible. One part, or one thread, runs without any other thread noticing. */
void snug_work_run(snug_work *work, snug_work_fn fn, void *user, size_t parts);

/*
 * Jobs that may be given up. Between begin and end of a watch the caller asks `going` after each part that it
 * runs itself of a snug_work_run_watched(). Once the answer is false, what is left of that job is not run,
 * nor any later watched job: the caller gets out with what it has, none of which counts.
 * snug_work_run() always runs whole.
 */
typedef bool (*snug_work_going_fn)(void *user);
void snug_work_begin_watch(snug_work *work, snug_work_going_fn going, void *user);
/* Returns true when nothing was given up since it began. */
bool snug_work_end_watch(snug_work *work);
bool snug_work_is_given_up(const snug_work *work);

/* As snug_work_run(), while the watch is going. Outside of one it is the same. */
void snug_work_run_watched(snug_work *work, snug_work_fn fn, void *user, size_t parts);

/*
 * Where the caller's time goes. From a start on every nanosecond is charged to one account, which
 * snug_work_charge() chooses: so the accounts add up to the time since then. Of a job the time after the
 * caller's last part is waiting. Off until started: no look at a clock then.
 * On, each change is one look. All by the caller's thread.
 */
typedef enum snug_account {
    SNUG_ACCOUNT_REST = 0,
    SNUG_ACCOUNT_WAITING = 1,
    SNUG_ACCOUNT_ATTENTION = 2,
    SNUG_ACCOUNT_ELEMENTWISE = 3,
    SNUG_ACCOUNT_INPUTS = 4,
    SNUG_ACCOUNT_SAMPLING = 5,
    SNUG_ACCOUNT_MATMUL = 6, /* + the type of its weights: an account for each */
    SNUG_ACCOUNT_COUNT = SNUG_ACCOUNT_MATMUL + SNUG_TYPE_COUNT
} snug_account;

/* From zero, on the account of the rest. */
void snug_work_start_accounts(snug_work *work);
void snug_work_stop_accounts(snug_work *work);
/* Until now, [SNUG_ACCOUNT_COUNT]; NULL while they are off. */
const uint64_t *snug_work_read_accounts(snug_work *work);
/* What comes next goes to that account. Returns the one until now, which the caller puts back. */
uint32_t snug_work_charge(snug_work *work, uint32_t account);

/*
 * Unreclaimable memory that a pool of `threads` threads holds: its own struct, and what of each stack is
 * touched, thread-local storage included. For 0 threads as for snug_work_create().
 */
uint64_t snug_work_estimate_bytes(uint32_t threads);

#endif /* SNUG_SRC_WORK_WORK_H */
