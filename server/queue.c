/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - see the header.
 */
#include "server/queue.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "server/answer.h"
#include "server/heap.h"
#include "server/state.h"

/* Address space; what is touched counts. Reading the machine's state takes 64 KiB, suspending some 300. */
#define STACK_BYTES ((size_t)4 << 20)

/* Of the stack of a thread that answers, what it touches; and what an errand does, with its heap: planning
 * the catalogue left 304 KiB (x86-64, glibc 2.36). One at a time is counted. */
#define TOUCHED_BYTES ((uint64_t)128 << 10)
#define ERRAND_BYTES  ((uint64_t)320 << 10)

static uint64_t thread_bytes(const struct server *server)
{
    return server->options.answers * TOUCHED_BYTES + ERRAND_BYTES;
}

void server_job_free(server_job *job)
{
    if (!job)
        return;
    server_request_free(&job->request);
    server_outlet_release(job->outlet);
    server_free(job);
}

/* --- the list, with the lock held ---------------------------------------------------------------------- */

static server_job *take_first(server_queue *queue)
{
    server_job *job = queue->first;

    queue->first = job->next;
    if (!queue->first)
        queue->last = NULL;
    queue->waiting--;
    return job;
}

/* Those whose clients went away; as a list of their own. */
static server_job *take_gone(server_queue *queue)
{
    server_job **at = &queue->first;
    server_job *gone = NULL;

    queue->last = NULL;
    while (*at) {
        server_job *job = *at;

        if (atomic_load(&job->outlet->is_gone)) {
            *at = job->next;
            job->next = gone;
            gone = job;
            queue->waiting--;
        } else {
            queue->last = job;
            at = &job->next;
        }
    }
    return gone;
}

/* --- threads that answer ------------------------------------------------------------------------------- */

static void *answer_jobs(void *user)
{
    struct server *server = user;
    server_queue *queue = &server->queue;

    for (;;) {
        server_job *job;

        (void)pthread_mutex_lock(&queue->lock);
        queue->idle++;
        while (!queue->first && !queue->is_stopped)
            (void)pthread_cond_wait(&queue->job_came, &queue->lock);
        queue->idle--;
        job = queue->first ? take_first(queue) : NULL;
        (void)pthread_mutex_unlock(&queue->lock);
        if (!job)
            return NULL;
        server_answer_job(server, job);
        server_job_free(job);
    }
}

static bool start_thread(pthread_t *thread, struct server *server)
{
    pthread_attr_t small;
    bool is_started;

    if (pthread_attr_init(&small) != 0)
        return false;
    (void)pthread_attr_setstacksize(&small, STACK_BYTES);
    is_started = pthread_create(thread, &small, answer_jobs, server) == 0;
    (void)pthread_attr_destroy(&small);
    return is_started;
}

void server_queue_init(struct server *server)
{
    server_queue *queue = &server->queue;
    pthread_condattr_t monotonic;

    SNUG_ASSERT(pthread_condattr_init(&monotonic) == 0);
    SNUG_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    SNUG_ASSERT(pthread_mutex_init(&queue->lock, NULL) == 0);
    SNUG_ASSERT(pthread_mutex_init(&queue->admission, NULL) == 0);
    SNUG_ASSERT(pthread_cond_init(&queue->job_came, NULL) == 0);
    SNUG_ASSERT(pthread_cond_init(&queue->changed, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
}

void server_queue_deinit(struct server *server)
{
    server_queue *queue = &server->queue;

    (void)pthread_cond_destroy(&queue->changed);
    (void)pthread_cond_destroy(&queue->job_came);
    (void)pthread_mutex_destroy(&queue->admission);
    (void)pthread_mutex_destroy(&queue->lock);
}

snug_status server_queue_start(struct server *server, snug_error *error)
{
    server_queue *queue = &server->queue;
    const uint32_t count = server->options.answers;

    SNUG_TRY(snug_memory_reserve(server->options.memory, SNUG_MEMORY_OTHER, thread_bytes(server),
                                 "the threads of the server", error));
    queue->threads = server_alloc(server->options.memory, count * sizeof *queue->threads,
                                  "the threads of the server", error);
    if (!queue->threads)
        return error->status;
    while (queue->thread_count < count) {
        if (!start_thread(&queue->threads[queue->thread_count], server))
            SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system refuses threads for the server");
        queue->thread_count++;
    }
    return SNUG_OK;
}

void server_queue_close(struct server *server)
{
    (void)pthread_mutex_lock(&server->queue.lock);
    server->queue.is_closed = true;
    (void)pthread_mutex_unlock(&server->queue.lock);
}

static void refuse_waiting(struct server *server)
{
    server_queue *queue = &server->queue;
    server_refusal refusal;
    server_job *job;

    server_refuse(&refusal, 503, "server_stopping", NULL,
                  "this server is stopping and did not come to your request: send it again later");
    do {
        (void)pthread_mutex_lock(&queue->lock);
        job = queue->first ? take_first(queue) : NULL;
        (void)pthread_mutex_unlock(&queue->lock);
        if (job) {
            server_count(server, SERVER_COUNT_REFUSED);
            server_outlet_refuse(job->outlet, &refusal);
        }
        server_job_free(job);
    } while (job);
}

void server_queue_stop(struct server *server)
{
    server_queue *queue = &server->queue;

    server_queue_close(server);
    refuse_waiting(server);
    (void)pthread_mutex_lock(&queue->lock);
    queue->is_stopped = true;
    (void)pthread_cond_broadcast(&queue->job_came);
    (void)pthread_mutex_unlock(&queue->lock);
    server_queue_look(server);
    for (uint32_t i = 0; i < queue->thread_count; i++)
        (void)pthread_join(queue->threads[i], NULL);
    if (queue->threads)
        snug_memory_unreserve(server->options.memory, SNUG_MEMORY_OTHER, thread_bytes(server));
    server_free(queue->threads);
    queue->threads = NULL;
}

/* --- for HTTP ------------------------------------------------------------------------------------------ */

#define FULL_RETRY_SECONDS 2

bool server_queue_push(struct server *server, server_job *job, server_refusal *refusal)
{
    server_queue *queue = &server->queue;
    bool is_closed, is_full;

    (void)pthread_mutex_lock(&queue->lock);
    is_closed = queue->is_closed;
    is_full = queue->waiting >= server->options.queue + queue->idle;
    if (!is_closed && !is_full) {
        job->next = NULL;
        *(queue->last ? &queue->last->next : &queue->first) = job;
        queue->last = job;
        queue->waiting++;
        (void)pthread_cond_signal(&queue->job_came);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    if (is_closed)
        return server_refuse(refusal, 503, "server_stopping", NULL, "this server is stopping");
    if (is_full) {
        server_count(server, SERVER_COUNT_QUEUE_FULL);
        server_refuse(refusal, 429, "queue_full", NULL,
                      "%u requests are waiting already: try again in %d seconds", server->options.queue,
                      FULL_RETRY_SECONDS);
        refusal->retry_seconds = FULL_RETRY_SECONDS;
        return false;
    }
    server_count(server, SERVER_COUNT_REQUESTS);
    return true;
}

void server_queue_look(struct server *server)
{
    server_queue *queue = &server->queue;
    server_job *gone;

    (void)pthread_mutex_lock(&queue->lock);
    gone = take_gone(queue);
    (void)pthread_mutex_unlock(&queue->lock);
    while (gone) {
        server_job *next = gone->next;

        server_count(server, SERVER_COUNT_ABANDONED);
        server_job_free(gone);
        gone = next;
    }
    (void)pthread_mutex_lock(&queue->admission);
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->admission);
}

server_queue_count server_queue_read(struct server *server)
{
    server_queue *queue = &server->queue;
    server_queue_count count = { .capacity = server->options.queue };

    (void)pthread_mutex_lock(&queue->lock);
    count.waiting = queue->waiting;
    (void)pthread_mutex_unlock(&queue->lock);
    (void)pthread_mutex_lock(&queue->admission);
    count.running = queue->running;
    for (const server_answer *answer = queue->admitting; answer; answer = answer->next_admitted)
        count.waiting++;
    (void)pthread_mutex_unlock(&queue->admission);
    return count;
}
