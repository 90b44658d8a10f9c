/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errands.c - see the header.
 */
#include "server/errands.h"

#include <string.h>

#include "base/status.h"
#include "server/state.h"

/* Address space; what is touched counts. Planning as the tool does takes some 400 KiB, more sanitized. */
#define STACK_BYTES   ((size_t)4 << 20)
#define RETRY_SECONDS 1

void server_errands_init(struct server *server)
{
    SNUG_ASSERT(pthread_mutex_init(&server->errands.lock, NULL) == 0);
    SNUG_ASSERT(pthread_cond_init(&server->errands.ended, NULL) == 0);
}

void server_errands_end(struct server *server)
{
    server_errands *errands = &server->errands;

    (void)pthread_mutex_lock(&errands->lock);
    while (errands->running > 0)
        (void)pthread_cond_wait(&errands->ended, &errands->lock);
    (void)pthread_mutex_unlock(&errands->lock);
    (void)pthread_cond_destroy(&errands->ended);
    (void)pthread_mutex_destroy(&errands->lock);
}

static bool take_place(server_errands *errands)
{
    bool is_there;

    (void)pthread_mutex_lock(&errands->lock);
    is_there = errands->running < SERVER_ERRANDS_MAX;
    if (is_there)
        errands->running++;
    (void)pthread_mutex_unlock(&errands->lock);
    return is_there;
}

static void leave_place(server_errands *errands)
{
    (void)pthread_mutex_lock(&errands->lock);
    errands->running--;
    (void)pthread_cond_broadcast(&errands->ended);
    (void)pthread_mutex_unlock(&errands->lock);
}

static void free_errand(server_errand *errand)
{
    if (!errand)
        return;
    server_buffer_free(&errand->body);
    server_outlet_release(errand->outlet);
    server_free(errand);
}

static void *run_errand(void *user)
{
    server_errand *errand = user;
    struct server *server = errand->server;

    errand->run(errand);
    free_errand(errand);
    leave_place(&server->errands);
    return NULL;
}

static bool start_thread(server_errand *errand)
{
    pthread_attr_t small;
    pthread_t thread;
    bool is_started;

    if (pthread_attr_init(&small) != 0)
        return false;
    (void)pthread_attr_setstacksize(&small, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    is_started = pthread_create(&thread, &small, run_errand, errand) == 0;
    (void)pthread_attr_destroy(&small);
    return is_started;
}

static server_errand *make_errand(server_call *call, void (*run)(server_errand *errand))
{
    struct server *server = call->server;
    snug_error error = { SNUG_OK, "" };
    server_errand *errand = server_alloc(server->options.memory, sizeof *errand, "a request", &error);

    if (errand) {
        errand->server = server;
        errand->run = run;
        errand->body = call->body;
        call->body = (server_buffer){ .memory = call->body.memory };
        errand->outlet = server_outlet_create(server, "errand", &error);
    }
    if (errand && errand->outlet)
        return errand;
    free_errand(errand);
    (void)server_refuse_error(&call->refusal, &error);
    return NULL;
}

enum MHD_Result server_errand_start(server_call *call, void (*run)(server_errand *errand))
{
    server_errands *errands = &call->server->errands;
    server_errand *errand = NULL;
    server_outlet *outlet;
    enum MHD_Result result;

    if (atomic_load(&call->server->is_ending)) {
        server_refuse(&call->refusal, 503, "server_stopping", NULL, "this server is stopping");
    } else if (!take_place(errands)) {
        server_refuse(&call->refusal, 429, "busy", NULL,
                      "%d requests of this kind are being answered: try again in a moment",
                      SERVER_ERRANDS_MAX);
        call->refusal.retry_seconds = RETRY_SECONDS;
    } else {
        errand = make_errand(call, run);
        if (!errand)
            leave_place(errands);
    }
    if (!errand)
        return server_reply_refusal(call);
    outlet = errand->outlet;
    server_outlet_hold(outlet);
    if (start_thread(errand)) {
        result = server_reply_later(call, outlet);
    } else {
        free_errand(errand);
        leave_place(errands);
        server_refuse(&call->refusal, 503, "out_of_memory", NULL, "the system refuses another thread");
        result = server_reply_refusal(call);
    }
    server_outlet_release(outlet);
    return result;
}

bool server_errand_goes_on(const server_errand *errand)
{
    return !atomic_load(&errand->outlet->is_gone) && !atomic_load(&errand->server->is_ending);
}

void server_errand_refuse(server_errand *errand, server_refusal *refusal)
{
    server_count(errand->server, SERVER_COUNT_REFUSED);
    server_outlet_refuse(errand->outlet, refusal);
}
