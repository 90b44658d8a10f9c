/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - how the library itself gets bytes: reservations, blocks and arenas, all in the ledger.
 *
 * Small things are blocks (snug_memory_alloc): below 64 KiB from malloc, else whole pages of their own.
 * Big things that grow are arenas: address space reserved once, committed piece by piece after the ledger
 * agreed, given back with the pages really returned to the system.
 *
 * Threads: as in snug/memory.h. An arena is used by one thread at a time.
 */
#ifndef SNUG_SRC_MEMORY_MEMORY_H
#define SNUG_SRC_MEMORY_MEMORY_H

#include <snug/memory.h>

/*
 * Reserve `bytes` for `use`, or refuse: SNUG_ERR_OVER_LIMIT with a sentence that says what was needed,
 * used and allowed. `what` names the thing in that sentence ("attention cache for 64 more tokens").
 */
SNUG_MUST_CHECK snug_status snug_memory_take(snug_memory *memory, snug_memory_use use, uint64_t bytes,
                                             const char *what, snug_error *error);
void snug_memory_give(snug_memory *memory, snug_memory_use use, uint64_t bytes);

/* The hard limit that counts now, the user's or the adaptive one; SNUG_MEMORY_NO_LIMIT. Takes no lock. */
uint64_t snug_memory_hard_limit(const snug_memory *memory);

/* So much may be reserved beyond the hard limit, by a step that will have given back more when it is done:
 * the way down where nothing is left. 0 ends it. */
void snug_memory_allow(snug_memory *memory, uint64_t bytes);

/* Ask the relievers of the ranks [from, to) for `want` bytes, cheapest first; returns what they gave back. */
uint64_t snug_memory_relieve_ranks(snug_memory *memory, uint64_t want, int from, int to);

/*
 * A zeroed block of `bytes`, 64-byte aligned, charged with its overhead. NULL when the ledger or the system
 * refuses; `error` (may be NULL) then has the status and the sentence. bytes 0 gives a valid block.
 */
void *snug_memory_alloc(snug_memory *memory, snug_memory_use use, uint64_t bytes, const char *what,
                        snug_error *error);
/* Give a block back. NULL is allowed. */
void snug_memory_free(snug_memory *memory, void *block);

/* A model that is open: its mapped weights of that size are read for each token. */
void snug_memory_want_weights(snug_memory *memory, uint64_t bytes);
void snug_memory_unwant_weights(snug_memory *memory, uint64_t bytes);

/*
 * How much of mapped files may be on its way from the disk at once. The kernel charges such pages to the
 * group and cannot drop them before they have arrived: a group whose room they fill is out of memory. It is
 * half the least reserve of a group, or NO_LIMIT where reserves hold what the system itself reads ahead.
 */
uint64_t snug_memory_reading_bytes(const snug_memory_state *state);

/* What snug_memory_alloc() charges for a block of that size: lets a plan be exact. */
uint64_t snug_memory_block_bytes(uint64_t bytes);

/* Bytes [begin, end) of an arena. */
typedef struct snug_arena_range {
    size_t begin;
    size_t end;
} snug_arena_range;

/* Bytes taken from the ledger ahead, so that a run of steps that give and take is not refused half way:
 * arenas that point to it leave there what they give back, and take from there what they need first. */
typedef struct snug_arena_credit {
    uint64_t bytes;
} snug_arena_credit;

#define SNUG_ARENA_RANGES_MAX 8

/*
 * A run of address space of which some ranges are usable: mostly one that begins at 0, more where pieces
 * were released from its middle. Invariants: ranges are of whole pages, ascend and do not touch;
 * committed_bytes is the sum of them, and exactly what the ledger was charged, or the credit;
 * settled_bytes is a multiple of the huge page, at most where the last range ends, and no huge page lies
 * beyond it.
 */
typedef struct snug_arena {
    snug_memory *memory;
    snug_memory_use use;
    unsigned char *base; /* page aligned; NULL before init */
    size_t reserved_bytes;
    size_t committed_bytes;
    size_t settled_bytes;      /* for which huge pages have been tried */
    snug_arena_credit *credit; /* NULL: the ledger is asked */
    uint32_t range_count;
    snug_arena_range range[SNUG_ARENA_RANGES_MAX]; /* usable */

    /* Pages that other arenas read, too, at the same offsets: what lies in [shared_begin, shared_end) and in
     * none of the ranges. NULL, 0 and 0: none. */
    struct snug_arena_shared *shared;
    size_t shared_begin;
    size_t shared_end;
} snug_arena;

/* Reserve address space only: costs no memory. Errors: NO_MEMORY (RLIMIT_AS and the like). */
SNUG_MUST_CHECK snug_status snug_arena_init(snug_arena *arena, snug_memory *memory, snug_memory_use use,
                                            size_t reserved_bytes, const char *what, snug_error *error);
void snug_arena_deinit(snug_arena *arena);

/* Make the first `bytes` usable (rounded up to pages; zeroed when new). Keeps what was committed on
 * failure. */
SNUG_MUST_CHECK snug_status snug_arena_commit(snug_arena *arena, size_t bytes, const char *what,
                                              snug_error *error);
/* The same for [begin, end); what is shared stays so. */
SNUG_MUST_CHECK snug_status snug_arena_extend(snug_arena *arena, size_t begin, size_t end, const char *what,
                                              snug_error *error);
/* The same for the pages that [begin, end) touches, of which none is shared. */
SNUG_MUST_CHECK snug_status snug_arena_commit_range(snug_arena *arena, size_t begin, size_t end,
                                                    const char *what, snug_error *error);

/*
 * Let the first `filled_bytes`, of which every page has been written to, lie in huge pages; what is given
 * back later goes back as exactly as before, and faster. Makes one at most; true when one was tried, so call
 * again. Takes no memory, but for an instant the kernel needs another huge page: where the limit does not
 * leave that much nothing is done. Cost: the time to copy it, 0.4 to 5 ms for 2 MiB.
 */
bool snug_arena_settle(snug_arena *arena, size_t filled_bytes);

/* Return all pages beyond the first `bytes` (rounded up) to the system and the ledger. Cannot fail. */
void snug_arena_decommit(snug_arena *arena, size_t bytes);
/* The same for the pages that lie in [begin, end) as a whole. */
void snug_arena_release(snug_arena *arena, size_t begin, size_t end);

/* Bytes of the pages of `ranges` (ascending, not overlapping) together: what an arena of just these has. */
uint64_t snug_arena_ranges_bytes(const snug_arena_range *ranges, size_t count);

/* Return all pages that none of `ranges` (as above) touches. Of shared ones the arena then has those from the
 * first range to the last. */
void snug_arena_keep(snug_arena *arena, const snug_arena_range *ranges, size_t count);

/* Of the pages of `ranges` those that are usable, its own or shared. */
uint64_t snug_arena_usable_bytes(const snug_arena *arena, const snug_arena_range *ranges, size_t count);

/* What snug_arena_held_bytes() would be when it had kept just `ranges`. */
uint64_t snug_arena_kept_bytes(const snug_arena *arena, const snug_arena_range *ranges, size_t count);

/* Whether exactly the pages that `ranges` touch are usable. */
bool snug_arena_has_just(const snug_arena *arena, const snug_arena_range *ranges, size_t count);

/* --- arenas that share pages --- */

/*
 * Make `to` another arena with the content of `from`: both share its pages, at no cost, and write nothing to
 * them before snug_arena_own(). Each page is charged once, until the last arena that has it lets go of it.
 * What is usable must be one run of bytes.
 * `unit_bytes`, whole pages: content moves from shared pages to own ones by so many, so that things no
 * larger, which begin at multiples of what divides it, never lie partly in both. On failure nothing changed.
 * Errors: OVER_LIMIT, NO_MEMORY. Threads: arenas that share pages may be used by different threads.
 */
SNUG_MUST_CHECK snug_status snug_arena_fork(snug_arena *to, snug_arena *from, size_t unit_bytes,
                                            const char *what, snug_error *error);

/* The same as a copy, of an arena that shares nothing: of any ranges. Errors: OVER_LIMIT, NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_arena_copy(snug_arena *to, const snug_arena *from, const char *what,
                                            snug_error *error);

/* Where the byte at `offset` lies, which is usable. Where nothing is shared: base + offset. */
unsigned char *snug_arena_find(const snug_arena *arena, size_t offset);

static inline unsigned char *snug_arena_at(const snug_arena *arena, size_t offset)
{
    return arena->shared ? snug_arena_find(arena, offset) : arena->base + offset;
}

/* Before [begin, end) is written to: copies of those units of it that are shared. On failure the content is
 * as it was. Errors: OVER_LIMIT, NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_arena_own(snug_arena *arena, size_t begin, size_t end, size_t unit_bytes,
                                           const char *what, snug_error *error);

/* What that would take for good. */
uint64_t snug_arena_own_bytes(const snug_arena *arena, size_t begin, size_t end, size_t unit_bytes);

/* Bytes that would go back if the arena were emptied: its own, and those of shared pages that no other arena
 * has any more. */
uint64_t snug_arena_held_bytes(const snug_arena *arena);
/* Of its usable bytes, those that other arenas have, too. */
uint64_t snug_arena_shared_bytes(const snug_arena *arena);

#endif /* SNUG_SRC_MEMORY_MEMORY_H */
