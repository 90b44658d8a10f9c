/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thrash.h - whether the working set does not fit, from counters of the kernel: a pure state machine.
 *
 * Two signs. Refaults: file pages read again soon after they were dropped, as a part of the weights, per pass
 * over them; above 5 % for 4 passes. Stalls: time in which some thread waited for memory; 10 % of at least
 * 200 ms. Stalls alone misjudge mapped weights both ways (much for harmless readahead, little for a slow
 * random walk), refaults see both within 100 ms.
 */
#ifndef SNUG_SRC_MEMORY_THRASH_H
#define SNUG_SRC_MEMORY_THRASH_H

#include <snug/base.h>

#define SNUG_THRASH_REFAULT_SHARE 0.05
#define SNUG_THRASH_PASSES        4
#define SNUG_THRASH_STALL_SHARE   0.10
#define SNUG_THRASH_WINDOW_NS     ((uint64_t)200000000)

/* Totals; UINT64_MAX: not known. */
typedef struct snug_thrash_input {
    uint64_t now_ns;
    uint64_t refault_bytes;
    uint64_t stall_us;
    uint64_t passes; /* over all weights */
    uint64_t weight_bytes;
} snug_thrash_input;

typedef struct snug_thrash {
    bool is_started;
    snug_thrash_input refaults_from; /* the totals that the next differences begin at */
    snug_thrash_input stalls_from;
    uint64_t bad_passes; /* in a row */
    double refault_share;
    double stall_share;
} snug_thrash;

/* True while it thrashes. All zero at the begin. */
/* Whether a step now would use how long threads waited: only once in a window. */
bool snug_thrash_needs_stalls(const snug_thrash *thrash, uint64_t now_ns);

bool snug_thrash_step(snug_thrash *thrash, const snug_thrash_input *input);

#endif /* SNUG_SRC_MEMORY_THRASH_H */
