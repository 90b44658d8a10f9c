/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts.c - see the header.
 */
#include "server/counts.h"

#include "server/state.h"

static const double bounds[SERVER_BUCKETS] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60 };

double server_bucket_seconds(unsigned bucket)
{
    return bounds[bucket];
}

void server_count_more(struct server *server, server_count_of what, uint64_t count)
{
    atomic_fetch_add_explicit(&server->counts.of[what], count, memory_order_relaxed);
}

void server_count(struct server *server, server_count_of what)
{
    server_count_more(server, what, 1);
}

void server_count_most(_Atomic uint64_t *most, uint64_t bytes)
{
    uint64_t now = atomic_load(most);

    while (bytes > now && !atomic_compare_exchange_weak(most, &now, bytes))
        ;
}

void server_count_time(server_histogram *histogram, uint64_t ns)
{
    unsigned bucket = 0;

    while (bucket < SERVER_BUCKETS && (double)ns > bounds[bucket] * 1e9)
        bucket++;
    atomic_fetch_add_explicit(&histogram->bucket[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

void server_count_relief(struct server *server, const snug_relief_event *event)
{
    if ((unsigned)event->step > SNUG_RELIEF_RECOVER)
        return;
    atomic_fetch_add_explicit(&server->counts.relief_steps[event->step], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->counts.relief_bytes[event->step], event->returned_bytes,
                              memory_order_relaxed);
}
