/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_heap.c - see the header. A few words in front of each block say how large it is.
 */
#include "cli/json_heap.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>
#include <pthread.h>

#define FRONT_BYTES (sizeof(max_align_t))

/* The heap's own: 8 bytes a block, and rounding to 16. */
#define HEAP_BYTES ((uint64_t)16)

/* The server builds JSON on several threads. Held while the ledger is asked, which never asks back. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    uint64_t used_bytes;
    uint64_t charged_bytes; /* in `memory` */
    uint64_t held_bytes;    /* at least so many are charged */
    snug_memory *memory;
    char refusal[SNUG_ERROR_TEXT_BYTES];
} heap;

static uint64_t steps_for(uint64_t bytes)
{
    const uint64_t steps = (bytes + CLI_JSON_STEP_BYTES - 1) / CLI_JSON_STEP_BYTES;

    return (steps > 0 ? steps : 1) * CLI_JSON_STEP_BYTES;
}

/* The ledger holds what `bytes` in use need. */
static snug_status charge(uint64_t bytes, snug_error *error)
{
    const uint64_t wanted = steps_for(bytes > heap.held_bytes ? bytes : heap.held_bytes);

    if (!heap.memory || wanted == heap.charged_bytes)
        return SNUG_OK;
    if (wanted < heap.charged_bytes) {
        snug_memory_unreserve(heap.memory, SNUG_MEMORY_OTHER, heap.charged_bytes - wanted);
    } else {
        const snug_status status = snug_memory_reserve(heap.memory, SNUG_MEMORY_OTHER,
                                                       wanted - heap.charged_bytes, "JSON to print", error);

        if (status != SNUG_OK)
            return status;
    }
    heap.charged_bytes = wanted;
    return SNUG_OK;
}

/* With the lock held. */
static void *take(size_t bytes)
{
    const uint64_t cost = (uint64_t)bytes + FRONT_BYTES + HEAP_BYTES;
    snug_error error = { SNUG_OK, "" };
    size_t *block;

    if (cost > CLI_JSON_BYTES_MAX - heap.used_bytes) {
        snprintf(heap.refusal, sizeof heap.refusal,
                 "JSON to print needs more than the %u MiB that are allowed for it; print less, or in parts",
                 (unsigned)(CLI_JSON_BYTES_MAX >> 20));
        return NULL;
    }
    if (charge(heap.used_bytes + cost, &error) != SNUG_OK) {
        snprintf(heap.refusal, sizeof heap.refusal, "%s", error.text);
        return NULL;
    }
    block = malloc(bytes + FRONT_BYTES);
    if (!block) {
        snprintf(heap.refusal, sizeof heap.refusal, "the system has no memory left for JSON to print");
        return NULL;
    }
    heap.used_bytes += cost;
    *block = bytes;
    return (char *)block + FRONT_BYTES;
}

static void *allocate(size_t bytes)
{
    void *block;

    (void)pthread_mutex_lock(&lock);
    block = take(bytes);
    (void)pthread_mutex_unlock(&lock);
    return block;
}

static void give_back(void *given)
{
    size_t *block;

    if (!given)
        return;
    block = (void *)((char *)given - FRONT_BYTES);
    (void)pthread_mutex_lock(&lock);
    heap.used_bytes -= (uint64_t)*block + FRONT_BYTES + HEAP_BYTES;
    free(block);
    (void)charge(heap.used_bytes, NULL); /* lower: cannot be refused */
    (void)pthread_mutex_unlock(&lock);
}

void cli_json_free(void *text)
{
    give_back(text);
}

void cli_json_init(void)
{
    json_set_alloc_funcs(allocate, give_back);
}

snug_status cli_json_count_in(snug_memory *memory, snug_error *error)
{
    snug_status status;

    if (heap.memory)
        return SNUG_OK;
    (void)pthread_mutex_lock(&lock);
    heap.memory = memory;
    status = charge(heap.used_bytes, error);
    if (status != SNUG_OK)
        heap.memory = NULL;
    (void)pthread_mutex_unlock(&lock);
    return status;
}

snug_status cli_json_hold(uint64_t bytes, snug_error *error)
{
    snug_status status;

    (void)pthread_mutex_lock(&lock);
    heap.held_bytes = bytes;
    status = charge(heap.used_bytes, error);
    if (status != SNUG_OK)
        heap.held_bytes = 0;
    (void)pthread_mutex_unlock(&lock);
    return status;
}

void cli_json_count_no_more(const snug_memory *memory)
{
    if (!heap.memory || heap.memory != memory)
        return;
    (void)pthread_mutex_lock(&lock);
    snug_memory_unreserve(heap.memory, SNUG_MEMORY_OTHER, heap.charged_bytes);
    heap.memory = NULL;
    heap.charged_bytes = 0;
    heap.held_bytes = 0;
    (void)pthread_mutex_unlock(&lock);
}

uint64_t cli_json_bytes(void)
{
    return heap.used_bytes;
}

const char *cli_json_refusal(void)
{
    return heap.refusal[0] ? heap.refusal : NULL;
}
