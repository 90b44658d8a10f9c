/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd/inline.h - how the vector kernels keep their sums in registers. Block sizes are arguments that are
 * constant at each call: functions are inlined, and what depends on the size is written as a condition on it.
 *
 * Sums are named variables, sum_0 to sum_11, and a step over all of them is a macro handed to EACH_OF_12. As
 * arrays in unrolled loops they stayed in memory at -O2, for clang 14 in one kernel and for gcc 12 in
 * another, at 0.4 of the speed. UNROLL stands before a loop whose count is a constant of at most 32.
 */
#ifndef SNUG_SRC_KERNELS_SIMD_INLINE_H
#define SNUG_SRC_KERNELS_SIMD_INLINE_H

#define KERNEL_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#    define UNROLL _Pragma("clang loop unroll(full)")
#else
#    define UNROLL _Pragma("GCC unroll 32")
#endif

#define EACH_OF_4(X)  X(0) X(1) X(2) X(3)
#define EACH_OF_8(X)  EACH_OF_4(X) X(4) X(5) X(6) X(7)
#define EACH_OF_12(X) EACH_OF_8(X) X(8) X(9) X(10) X(11)
#define EACH_OF_16(X) EACH_OF_12(X) X(12) X(13) X(14) X(15)

#endif /* SNUG_SRC_KERNELS_SIMD_INLINE_H */
