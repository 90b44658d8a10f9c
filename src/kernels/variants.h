/* SPDX-License-Identifier: Apache-2.0 */
/*
 * variants.h - what each file of kernels puts into the table. A fill function writes the entries that its
 * file has and leaves the others alone, so dispatch.c calls them from the plainest to the newest level.
 */
#ifndef SNUG_SRC_KERNELS_VARIANTS_H
#define SNUG_SRC_KERNELS_VARIANTS_H

#include "kernels/kernels.h"

void snug_attend_fill_c(snug_kernels *kernels);
void snug_convert_fill_c(snug_kernels *kernels);
void snug_matmul_fill_c(snug_kernels *kernels);
void snug_plain_fill_c(snug_kernels *kernels);
void snug_unpack_fill_c(snug_kernels *kernels);

/* The C reference of snug_kernels.unpack for quantized types, for products that start from it. */
extern snug_unpack_fn *const snug_unpack_c[SNUG_TYPE_COUNT];

/* What products are made of, for snug_kernels.product. */
extern const snug_product snug_product_floats_c;
extern const snug_product snug_product_floats_avx2;
extern const snug_product snug_product_bytes_avx2;
extern const snug_product snug_product_floats_avx512;
extern const snug_product snug_product_words_avx512;
extern const snug_product snug_product_bytes_avx512;
extern const snug_product snug_product_floats_neon;
extern const snug_product snug_product_bytes_neon;
extern const snug_product snug_product_matrices_i8mm;

void snug_attend_fill_avx2(snug_kernels *kernels);
void snug_attend_coded_fill_avx2(snug_kernels *kernels);
void snug_matmul_fill_avx2(snug_kernels *kernels);
void snug_plain_fill_avx2(snug_kernels *kernels);

void snug_attend_fill_avx512(snug_kernels *kernels);
void snug_attend_coded_fill_avx512(snug_kernels *kernels);
void snug_attend_coded_fill_vbmi(snug_kernels *kernels);
/* What snug_attend_coded_fill_vbmi() puts there: the same bits as with AMX, faster for few queries. */
void snug_attend_coded_vbmi(const snug_attend_coded_task *task);
void snug_attend_coded_fill_amx(snug_kernels *kernels);
void snug_matmul_fill_avx512(snug_kernels *kernels);
void snug_plain_fill_avx512(snug_kernels *kernels);

/* Only the products with many tokens whose activations are rounded: not for exact mode. */
void snug_matmul_fixed_fill_avx512(snug_kernels *kernels);
void snug_integer_few_fill_avx2(snug_kernels *kernels);
void snug_integer_few_fill_avx512(snug_kernels *kernels);
void snug_integer_many_fill_avx2(snug_kernels *kernels);
void snug_integer_many_fill_avx512(snug_kernels *kernels);

void snug_attend_fill_neon(snug_kernels *kernels);
void snug_attend_coded_fill_neon(snug_kernels *kernels);
void snug_matmul_fill_neon(snug_kernels *kernels);
void snug_plain_fill_neon(snug_kernels *kernels);
void snug_integer_few_fill_neon(snug_kernels *kernels);
void snug_integer_many_fill_neon(snug_kernels *kernels);

void snug_attend_coded_fill_i8mm(snug_kernels *kernels);
void snug_integer_many_fill_i8mm(snug_kernels *kernels);

#endif /* SNUG_SRC_KERNELS_VARIANTS_H */
