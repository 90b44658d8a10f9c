/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - threads, a mutex, a condition; just what the thread pool needs.
 */
#ifndef SNUG_SRC_OS_THREAD_H
#define SNUG_SRC_OS_THREAD_H

#include <snug/base.h>

#include <pthread.h>

/* Stays where it is from start to join: the thread reads it. */
typedef struct snug_os_thread {
    pthread_t id;
    void (*run)(void *user);
    void *user;
} snug_os_thread;

/* Bytes of address space for a worker's stack; kernels need little, and a small stack keeps the plan
 * exact. */
#define SNUG_OS_STACK_BYTES ((size_t)256 * 1024)

/* Runs `run(user)` on a new thread that receives none of the program's signals. Errors: NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_os_thread_start(snug_os_thread *thread_out, void (*run)(void *), void *user,
                                                 snug_error *error);
void snug_os_thread_join(snug_os_thread *thread);
void snug_os_thread_yield(void);

/* How long this thread has run, and how long it could have, while others did. False where the kernel does not
 * tell. Opens and reads a small file. */
bool snug_os_thread_read_times(uint64_t *ran_ns_out, uint64_t *waited_ns_out);

/* Tells the processor that this thread spins: saves power, and leaves more to the core's other thread. */
static inline void snug_os_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most cores */
#endif
}

typedef struct snug_os_mutex {
    pthread_mutex_t handle;
} snug_os_mutex;
typedef struct snug_os_condition {
    pthread_cond_t handle;
} snug_os_condition;

void snug_os_mutex_init(snug_os_mutex *mutex);
void snug_os_mutex_deinit(snug_os_mutex *mutex);
void snug_os_mutex_lock(snug_os_mutex *mutex);
bool snug_os_mutex_try_lock(snug_os_mutex *mutex); /* false: somebody has it */
void snug_os_mutex_unlock(snug_os_mutex *mutex);
void snug_os_condition_init(snug_os_condition *condition);
void snug_os_condition_deinit(snug_os_condition *condition);
void snug_os_condition_wait(snug_os_condition *condition, snug_os_mutex *mutex);
void snug_os_condition_wake_all(snug_os_condition *condition);

#endif /* SNUG_SRC_OS_THREAD_H */
