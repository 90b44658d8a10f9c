/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.c - thread.h on POSIX threads.
 *
 * Locking calls fail only when they are used wrongly, so their results are asserted, not handed on.
 */
#define _POSIX_C_SOURCE 200809L

#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "base/status.h"
#include "os/read.h"

static void *run_thread(void *user)
{
    const snug_os_thread *thread = user;

    thread->run(thread->user);
    return NULL;
}

/*
 * The program's signals belong to the program's threads: ours take none of them. Left open are the signals
 * that a thread sends itself by a fault, so that the program's handler for them sees ours too.
 */
static void block_signals(sigset_t *before_out)
{
    sigset_t blocked;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGABRT);
    sigdelset(&blocked, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &blocked, before_out);
}

snug_status snug_os_thread_start(snug_os_thread *thread_out, void (*run)(void *), void *user,
                                 snug_error *error)
{
    pthread_attr_t attributes;
    sigset_t before;
    char reason[128];
    int code = pthread_attr_init(&attributes);

    if (code == 0) {
        code = pthread_attr_setstacksize(&attributes, SNUG_OS_STACK_BYTES);
        thread_out->run = run;
        thread_out->user = user;
        block_signals(&before); /* a new thread inherits the mask */
        if (code == 0)
            code = pthread_create(&thread_out->id, &attributes, run_thread, thread_out);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
    }
    if (code == 0)
        return SNUG_OK;
    snug_os_error_text(code, reason, sizeof reason);
    SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "cannot start a thread: %s", reason);
}

void snug_os_thread_join(snug_os_thread *thread)
{
    int code = pthread_join(thread->id, NULL);

    SNUG_ASSERT(code == 0);
}

void snug_os_thread_yield(void)
{
    sched_yield();
}

/* "ran waited slices\n", nanoseconds. */
bool snug_os_thread_read_times(uint64_t *ran_ns_out, uint64_t *waited_ns_out)
{
    char text[96];
    const char *at = text;

    if (!snug_os_read_text("/proc/thread-self/schedstat", text, sizeof text) ||
        !snug_os_parse_u64(ran_ns_out, &at))
        return false;
    at += *at == ' ';
    return snug_os_parse_u64(waited_ns_out, &at);
}

void snug_os_mutex_init(snug_os_mutex *mutex)
{
    int code = pthread_mutex_init(&mutex->handle, NULL);

    SNUG_ASSERT(code == 0);
}

void snug_os_mutex_deinit(snug_os_mutex *mutex)
{
    int code = pthread_mutex_destroy(&mutex->handle);

    SNUG_ASSERT(code == 0);
}

void snug_os_mutex_lock(snug_os_mutex *mutex)
{
    int code = pthread_mutex_lock(&mutex->handle);

    SNUG_ASSERT(code == 0);
}

bool snug_os_mutex_try_lock(snug_os_mutex *mutex)
{
    int code = pthread_mutex_trylock(&mutex->handle);

    SNUG_ASSERT(code == 0 || code == EBUSY);
    return code == 0;
}

void snug_os_mutex_unlock(snug_os_mutex *mutex)
{
    int code = pthread_mutex_unlock(&mutex->handle);

    SNUG_ASSERT(code == 0);
}

void snug_os_condition_init(snug_os_condition *condition)
{
    int code = pthread_cond_init(&condition->handle, NULL);

    SNUG_ASSERT(code == 0);
}

void snug_os_condition_deinit(snug_os_condition *condition)
{
    int code = pthread_cond_destroy(&condition->handle);

    SNUG_ASSERT(code == 0);
}

void snug_os_condition_wait(snug_os_condition *condition, snug_os_mutex *mutex)
{
    int code = pthread_cond_wait(&condition->handle, &mutex->handle);

    SNUG_ASSERT(code == 0);
}

void snug_os_condition_wake_all(snug_os_condition *condition)
{
    int code = pthread_cond_broadcast(&condition->handle);

    SNUG_ASSERT(code == 0);
}
