/* SPDX-License-Identifier: Apache-2.0 */
/* What the products of the reference are made of (body/product.inc): one float at a time. */
#include "kernels/body/product.inc"

#define PRODUCT_SET(n)       ((float)(n))
#define PRODUCT_ADD(s, a, b) ((s) + (a) * (b))
#define PRODUCT_JOIN(a, b)   ((a) + (b))
PRODUCT_LOOP(multiply_floats, float, float, 0.5f)

const snug_product snug_product_floats_c = { "plain C, floats", PRODUCT_OPERATIONS(1), multiply_floats };
