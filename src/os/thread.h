/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - threads, a mutex, a condition; just what the thread pool needs.
 */
#ifndef SNUG_SRC_OS_THREAD_H
#define SNUG_SRC_OS_THREAD_H

#include <snug/base.h>

#include <pthread.h>

typedef struct snug_os_thread {
    pthread_t id;
} snug_os_thread;

/* Bytes of address space for a worker's stack; kernels need little, and a small stack keeps the plan
 * exact. */
#define SNUG_OS_STACK_BYTES ((size_t)256 * 1024)

SNUG_MUST_CHECK snug_status snug_os_thread_start(snug_os_thread *thread_out, void (*run)(void *), void *user,
                                                 snug_error *error);
void snug_os_thread_join(snug_os_thread *thread);
void snug_os_thread_yield(void);

typedef struct snug_os_mutex {
    pthread_mutex_t handle;
} snug_os_mutex;
typedef struct snug_os_condition {
    pthread_cond_t handle;
} snug_os_condition;

void snug_os_mutex_init(snug_os_mutex *mutex);
void snug_os_mutex_deinit(snug_os_mutex *mutex);
void snug_os_mutex_lock(snug_os_mutex *mutex);
void snug_os_mutex_unlock(snug_os_mutex *mutex);
void snug_os_condition_init(snug_os_condition *condition);
void snug_os_condition_deinit(snug_os_condition *condition);
void snug_os_condition_wait(snug_os_condition *condition, snug_os_mutex *mutex);
void snug_os_condition_wake_all(snug_os_condition *condition);

#endif /* SNUG_SRC_OS_THREAD_H */
