/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - makes the n-th call that may fail do so: of the heap, of the kernel's memory, of files, of
 * threads. Wrappers that the linker puts around these functions (--wrap; tests/session/CMakeLists.txt has the
 * list) count them; what shared libraries call among themselves is not wrapped.
 */
#ifndef SNUG_TESTS_SUPPORT_FAULT_H
#define SNUG_TESTS_SUPPORT_FAULT_H

#include <stdbool.h>

typedef enum fault_kind {
    FAULT_ONCE = 0,         /* only the n-th */
    FAULT_FROM_THEN_ON = 1, /* the n-th and all after it */
} fault_kind;

/* Begin to count; nth 1: the next call fails. 0: none fails. */
void fault_arm(unsigned long long nth, fault_kind kind);

/* No call fails any more. Returns the function that failed first, or NULL when none did. */
const char *fault_disarm(void);

/* As fault_disarm() would return, without disarming. */
const char *fault_seen(void);

#endif /* SNUG_TESTS_SUPPORT_FAULT_H */
