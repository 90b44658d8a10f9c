/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_number.c - decimal digits to integers and doubles.
 *
 * strtod() reads the decimal point of the user's locale, so doubles are made here. A number is first reduced
 * to digits x 10^power with at most 19 digits. Then one of two ways:
 *   - digits below 2^53 and |power| <= 22: both are exact doubles, and one division or multiplication
 *     rounds once, to the nearest double (Clinger, PLDI 1990). Nearly every number of a checkpoint.
 *   - otherwise `power` multiplications by 10 or 1/10 on a 64-bit mantissa. Each is off by at most one unit
 *     of 2^-64, a 2048th of a double's unit; 340 of them stay below a fifth of it before the last rounding.
 */
#include "base/json_number.h"

#include <math.h>

/* digits x 10^power; further digits than 19 are dropped, which is below 2^-59 of the value. */
typedef struct decimal {
    uint64_t digits;
    int64_t power;
    bool is_negative;
} decimal;

/* Beyond these the value is infinite or zero whatever the 19 digits are. */
#define POWER_MAX 310
#define POWER_MIN (-345)

/* mantissa x 2^exponent, the mantissa's top bit set. */
typedef struct wide_float {
    uint64_t mantissa;
    int exponent;
} wide_float;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool snug_json_number_integer(uint64_t *magnitude_out, bool *is_negative_out, snug_str text)
{
    const bool is_negative = text.data[0] == '-';
    uint64_t magnitude = 0;

    for (size_t i = is_negative; i < text.bytes; i++) {
        const unsigned digit = (unsigned)(text.data[i] - '0');

        if (!is_digit(text.data[i]) || magnitude > (UINT64_MAX - digit) / 10)
            return false;
        magnitude = magnitude * 10 + digit;
    }
    *magnitude_out = magnitude;
    *is_negative_out = is_negative;
    return true;
}

/* The exponent behind the e. Clamped far outside the range of doubles, and far inside that of int64_t. */
static int64_t read_exponent(const char *at, const char *end)
{
    const bool is_negative = *at == '-';
    int64_t exponent = 0;

    if (*at == '-' || *at == '+')
        at++;
    for (; at < end; at++)
        if (exponent < INT64_MAX / 1000)
            exponent = exponent * 10 + (*at - '0');
    return is_negative ? -exponent : exponent;
}

static decimal read_decimal(snug_str text)
{
    decimal number = { .is_negative = text.data[0] == '-' };
    const char *end = text.data + text.bytes;
    const char *at = text.data + number.is_negative;
    bool is_fraction = false;

    for (; at < end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') {
            is_fraction = true;
            continue;
        }
        if (number.digits <= (UINT64_MAX - 9) / 10) {
            number.digits = number.digits * 10 + (uint64_t)(*at - '0');
            number.power -= is_fraction;
        } else {
            number.power += !is_fraction;
        }
    }
    if (at < end)
        number.power += read_exponent(at + 1, end);
    return number;
}

/* The upper 64 bits of a x b, from 32-bit halves; the lower ones decide the rounding. */
static wide_float multiply(wide_float a, wide_float b)
{
    const uint64_t a_high = a.mantissa >> 32, a_low = a.mantissa & 0xffffffffu;
    const uint64_t b_high = b.mantissa >> 32, b_low = b.mantissa & 0xffffffffu;
    const uint64_t low_low = a_low * b_low;
    const uint64_t middle = a_high * b_low + (low_low >> 32);
    const uint64_t middle_low = (middle & 0xffffffffu) + a_low * b_high;
    uint64_t high = a_high * b_high + (middle >> 32) + (middle_low >> 32);
    uint64_t low = (middle_low << 32) | (low_low & 0xffffffffu);
    int exponent = a.exponent + b.exponent + 64;

    if (!(high >> 63)) {
        high = high << 1 | low >> 63;
        low <<= 1;
        exponent--;
    }
    if (low >> 63 && high != UINT64_MAX)
        high++;
    return (wide_float){ high, exponent };
}

static double scale_slowly(uint64_t digits, int power)
{
    const wide_float ten = { 0xa000000000000000u, -60 };
    const wide_float tenth = { 0xcccccccccccccccdu, -67 };
    wide_float value = { digits, 0 };

    while (!(value.mantissa >> 63)) {
        value.mantissa <<= 1;
        value.exponent--;
    }
    for (; power > 0; power--)
        value = multiply(value, ten);
    for (; power < 0; power++)
        value = multiply(value, tenth);
    return ldexp((double)value.mantissa, value.exponent);
}

static double scale(uint64_t digits, int64_t power)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

    if (digits == 0 || power < POWER_MIN)
        return 0.0;
    if (power > POWER_MAX)
        return HUGE_VAL;
    if (digits <= 1ull << 53 && power >= -22 && power <= 22)
        return power < 0 ? (double)digits / powers[-power] : (double)digits * powers[power];
    return scale_slowly(digits, (int)power);
}

bool snug_json_number_double(double *out, snug_str text)
{
    const decimal number = read_decimal(text);
    const double magnitude = scale(number.digits, number.power);

    if (isinf(magnitude))
        return false;
    *out = number.is_negative ? -magnitude : magnitude;
    return true;
}
