/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_heap.h - the memory of the JSON library, which builds what is printed: bounded, and counted in a
 * ledger like all else, so that a plan knows it. (What is read goes through the library's own reader.)
 *
 * Threads: values may be built and freed on any; the rest is for the thread that begins and ends.
 */
#ifndef SNUG_CLI_JSON_HEAP_H
#define SNUG_CLI_JSON_HEAP_H

#include <snug/memory.h>

/* More than the ids of 10 MB of text take. */
#define CLI_JSON_BYTES_MAX ((uint64_t)256 << 20)

/* The ledger is charged in steps of this; one of them from the begin, for a report when all else is taken. */
#define CLI_JSON_STEP_BYTES ((uint64_t)64 << 10)

/* Before anything else is done with JSON. */
void cli_json_init(void);

/* Count in this ledger from now on, what there is already too; unless another one counts: one does, for all
 * of a program. Errors: OVER_LIMIT, with a sentence. */
SNUG_MUST_CHECK snug_status cli_json_count_in(snug_memory *memory, snug_error *error);
/* Keep so many charged, whatever is in use, until cli_json_count_no_more(): what is printed within them is
 * never refused. Errors: OVER_LIMIT. */
SNUG_MUST_CHECK snug_status cli_json_hold(uint64_t bytes, snug_error *error);
/* Before the ledger goes; of one that does not count nothing changes. */
void cli_json_count_no_more(const snug_memory *memory);

/* A text that the JSON library made: free() does not know it. NULL is allowed. */
void cli_json_free(void *text);

/* What is in use, its overhead included. */
uint64_t cli_json_bytes(void);

/* Whether anything was refused: then what was printed may lack something. The sentence says why. */
const char *cli_json_refusal(void);

#endif /* SNUG_CLI_JSON_HEAP_H */
