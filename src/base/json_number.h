/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_number.h - digits to numbers, apart from json.c because the arithmetic is a subject of its own.
 * `text` is a whole JSON number, already checked. Nothing here depends on the locale.
 */
#ifndef SNUG_SRC_BASE_JSON_NUMBER_H
#define SNUG_SRC_BASE_JSON_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Magnitude and sign of an integer; false when it has a fraction or exponent or exceeds 64 bits. "-0" is
 * negative. */
bool snug_json_number_integer(uint64_t *magnitude_out, bool *is_negative_out, snug_str text);

/* The nearest double or one of its neighbours; exactly the nearest for up to 15 digits and powers of ten up
 * to 22. False when it would be infinite. */
bool snug_json_number_double(double *out, snug_str text);

#endif /* SNUG_SRC_BASE_JSON_NUMBER_H */
