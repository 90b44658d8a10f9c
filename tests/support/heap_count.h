/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_count.h - how often this process has asked for memory: from the heap (malloc and its kin) or from the
 * system (mmap). Counted by wrappers that the linker puts around these functions (--wrap), whoever calls
 * them.
 */
#ifndef SNUG_TESTS_SUPPORT_HEAP_COUNT_H
#define SNUG_TESTS_SUPPORT_HEAP_COUNT_H

unsigned long long heap_count(void);

#endif /* SNUG_TESTS_SUPPORT_HEAP_COUNT_H */
