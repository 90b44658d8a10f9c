/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts.h - what has happened since the server began, as numbers that only grow. Any thread.
 */
#ifndef SNUG_SERVER_COUNTS_H
#define SNUG_SERVER_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

#include <snug/session.h>

typedef enum server_count_of {
    SERVER_COUNT_REQUESTS = 0,   /* for an answer, accepted */
    SERVER_COUNT_ANSWERED = 1,   /* to their end */
    SERVER_COUNT_REFUSED = 2,    /* whatever was refused, before or after it was accepted */
    SERVER_COUNT_QUEUE_FULL = 3, /* of them, because the queue was full */
    SERVER_COUNT_NO_MEMORY = 4,  /* of them, because memory was short */
    SERVER_COUNT_ABANDONED = 5,  /* by clients that went away */
    SERVER_COUNT_PROMPT_TOKENS = 6,
    SERVER_COUNT_CACHED_TOKENS = 7, /* of them, not computed again */
    SERVER_COUNT_GENERATED_TOKENS = 8,
    SERVER_COUNT_SUSPENDED = 9,
    SERVER_COUNT_PLANNED = 10, /* times that the whole catalogue was planned */
    SERVER_COUNT_COUNT,
} server_count_of;

#define SERVER_BUCKETS 12

/* How long things took: nanoseconds up to each bound, as Prometheus counts them. */
typedef struct server_histogram {
    _Atomic uint64_t bucket[SERVER_BUCKETS + 1]; /* the last: longer */
    _Atomic uint64_t sum_ns;
} server_histogram;

typedef struct server_counts {
    _Atomic uint64_t of[SERVER_COUNT_COUNT];
    _Atomic uint64_t relief_steps[SNUG_RELIEF_RECOVER + 1];
    _Atomic uint64_t relief_bytes[SNUG_RELIEF_RECOVER + 1];
    _Atomic uint64_t predicted_peak_bytes;    /* the highest of any request, at its full length */
    _Atomic uint64_t predicted_reached_bytes; /* the highest for lengths that were reached */
    server_histogram queue_time;
    server_histogram first_token_time;
    server_histogram answer_time;
} server_counts;

struct server;

void server_count(struct server *server, server_count_of what);
void server_count_more(struct server *server, server_count_of what, uint64_t count);
/* The higher of both stays. */
void server_count_most(_Atomic uint64_t *most, uint64_t bytes);
void server_count_time(server_histogram *histogram, uint64_t ns);
void server_count_relief(struct server *server, const snug_relief_event *event);

/* Upper bound of a bucket, in seconds. */
double server_bucket_seconds(unsigned bucket);

#endif /* SNUG_SERVER_COUNTS_H */
