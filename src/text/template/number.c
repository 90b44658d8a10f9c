/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.c - floats to text and back, to the last digit as Python has them. C's own functions are exact but
 * follow the locale of the process: its decimal point is put in and taken out here.
 */
#include "text/template/run.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool snug_float_read(double *out, snug_str text)
{
    const char *point = localeconv()->decimal_point;
    char copy[160];
    size_t bytes = 0;
    char *end;

    if (text.bytes + strlen(point) >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '.') {
            memcpy(copy + bytes, point, strlen(point));
            bytes += strlen(point);
        } else
            copy[bytes++] = text.data[i];
    }
    copy[bytes] = '\0';
    *out = strtod(copy, &end);
    return bytes != 0 && *end == '\0' && isfinite(*out);
}

/* The digits and the decimal exponent of the shortest number that reads back as `number` (finite, > 0). */
static size_t shortest_digits(char digits[24], int *exponent, double number)
{
    char text[40];
    size_t count = 0;
    const char *at;

    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, number);
        if (strtod(text, NULL) == number) /* both in the locale of the process: it cancels out */
            break;
    }
    for (at = text; *at != '\0' && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            digits[count++] = *at;
    *exponent = *at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

double snug_float_round(double number, int places)
{
    char text[400]; /* up to 309 digits before the point; printf rounds the exact value */

    if (places < 0) {
        const double scale = pow(10, -places);

        return nearbyint(number / scale) * scale;
    }
    if (places > 40)
        return number;
    snprintf(text, sizeof text, "%.*f", places, number);
    return strtod(text, NULL);
}

static bool add_zeros(snug_builder *builder, int count)
{
    for (int i = 0; i < count; i++)
        if (!snug_builder_add_byte(builder, '0'))
            return false;
    return true;
}

/* As repr(float): 1.0, 0.1, 1e+16, 1e-05. */
bool snug_float_repr(snug_builder *builder, double number)
{
    char digits[24];
    char tail[16];
    int exponent;
    size_t count;

    if (isnan(number))
        return snug_builder_add_text(builder, "nan");
    if (signbit(number) && !snug_builder_add_byte(builder, '-'))
        return false;
    number = fabs(number);
    if (isinf(number))
        return snug_builder_add_text(builder, "inf");
    if (number == 0)
        return snug_builder_add_text(builder, "0.0");
    count = shortest_digits(digits, &exponent, number);
    if (exponent < -4 || exponent >= 16) {
        snprintf(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return snug_builder_add_byte(builder, digits[0]) &&
               (count == 1 || (snug_builder_add_byte(builder, '.') &&
                               snug_builder_add(builder, (snug_str){ digits + 1, count - 1 }))) &&
               snug_builder_add_text(builder, tail);
    }
    if (exponent < 0)
        return snug_builder_add_text(builder, "0.") && add_zeros(builder, -exponent - 1) &&
               snug_builder_add(builder, (snug_str){ digits, count });
    if (count <= (size_t)exponent + 1)
        return snug_builder_add(builder, (snug_str){ digits, count }) &&
               add_zeros(builder, exponent + 1 - (int)count) && snug_builder_add_text(builder, ".0");
    return snug_builder_add(builder, (snug_str){ digits, (size_t)exponent + 1 }) &&
           snug_builder_add_byte(builder, '.') &&
           snug_builder_add(builder, (snug_str){ digits + exponent + 1, count - (size_t)exponent - 1 });
}
