/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_planes.c - codes that nest: every order of demotions against direct encoding, bit for bit; error
 * against published figures for Gaussian vectors; levels and the place of every bit from their definitions.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"
#include "codec/tile.h"
#include "codec/planes.h"

#define NIBBLE_BYTES (SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX / 2)
#define VALUES       (SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX)

static const uint32_t widths[] = { 8, 6, 5, 4, 3, 2 };
static const size_t head_dims[] = { 2, 50, 64, 80, 96, 128, 160, 256, 512 };
static const double edges[] = { 0, 12, 24, 36, 48, 60, 80, 100, 128 };

/* Two tiles with planes of their own: one to be demoted, one to be encoded directly. */
typedef struct rig {
    snug_planes_tile tile;
    snug_planes_tile direct;
    unsigned char plane[2][SNUG_CODES_PLANE_COUNT][NIBBLE_BYTES];
    uint16_t scale[2][SNUG_TILE_TOKENS];
    float x[VALUES];
    float out[VALUES];
    float expected[VALUES];
    uint8_t codes[VALUES];
    uint8_t loaded[VALUES];
} rig;

static void reset_tile(rig *r, snug_planes_tile *tile, size_t which)
{
    memset(r->plane[which], 0xa5, sizeof r->plane[which]);
    for (size_t p = 0; p < SNUG_CODES_PLANE_COUNT; p++)
        tile->codes.plane[p] = r->plane[which][p];
    tile->scale = r->scale[which];
}

static int rig_open(void **state)
{
    rig *r = calloc(1, sizeof *r);

    assert_non_null(r);
    reset_tile(r, &r->tile, 0);
    reset_tile(r, &r->direct, 1);
    *state = r;
    return 0;
}

static int rig_close(void **state)
{
    free(*state);
    return 0;
}

/* Box and Muller's. */
static void fill_gaussian(float *x, size_t n, snug_random *random)
{
    for (size_t i = 0; i < n; i++) {
        const double radius = sqrt(-2.0 * log(1.0 - snug_random_unit(random)));

        x[i] = (float)(radius * cos(6.283185307179586 * snug_random_unit(random)));
    }
}

/* Leave the planes of `bits` alone and spoil all others, as if their pages were gone. */
static void drop_planes(rig *r, uint32_t bits)
{
    for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++) {
        if (snug_codes_has_plane(bits, (snug_codes_plane)p))
            continue;
        memset(r->plane[0][p], 0x5a, NIBBLE_BYTES);
        r->tile.codes.plane[p] = NULL;
    }
}

static void repack(rig *r, size_t head_dim)
{
    for (unsigned p = SNUG_CODES_T2; p <= SNUG_CODES_T1B; p++)
        r->tile.codes.plane[p] = r->plane[0][p];
    snug_codes_repack(&r->tile.codes, head_dim);
    r->tile.codes.plane[SNUG_CODES_N4] = NULL;
}

static void expect_as_direct(rig *r, snug_codes_side side, size_t head_dim, uint32_t bits)
{
    reset_tile(r, &r->direct, 1);
    snug_planes_encode(&r->direct, side, r->x, head_dim, bits);
    snug_planes_decode(r->expected, &r->direct, side, head_dim, bits);
    snug_planes_decode(r->out, &r->tile, side, head_dim, bits);
    assert_memory_equal(r->scale[0], r->scale[1], sizeof r->scale[0]);
    assert_memory_equal(r->out, r->expected, SNUG_TILE_TOKENS * head_dim * sizeof *r->out);
    for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++) {
        if (snug_codes_has_plane(bits, (snug_codes_plane)p))
            assert_memory_equal(r->plane[0][p], r->plane[1][p],
                                snug_codes_plane_bytes((snug_codes_plane)p, head_dim));
    }
}

/* `steps` says which of the widths are stopped at: bit i for widths[i]. */
static void demote_by(rig *r, snug_codes_side side, size_t head_dim, unsigned steps)
{
    bool is_repacked = false;
    uint32_t bits = 0;

    reset_tile(r, &r->tile, 0);
    for (unsigned i = 0; i < SNUG_COUNT(widths); i++) {
        if (!(steps >> i & 1))
            continue;
        if (bits == 0) {
            snug_planes_encode(&r->tile, side, r->x, head_dim, widths[i]);
            is_repacked = widths[i] < 4;
        } else if (widths[i] < 4 && !is_repacked) {
            repack(r, head_dim);
            snug_planes_decode(r->out, &r->tile, side, head_dim, 4); /* T2 T1A T1B serve 4 bits */
            reset_tile(r, &r->direct, 1);
            snug_planes_encode(&r->direct, side, r->x, head_dim, 4);
            snug_planes_decode(r->expected, &r->direct, side, head_dim, 4);
            assert_memory_equal(r->out, r->expected, SNUG_TILE_TOKENS * head_dim * sizeof *r->out);
            is_repacked = true;
        }
        bits = widths[i];
        drop_planes(r, bits);
        expect_as_direct(r, side, head_dim, bits);
    }
}

static void demoted_is_directly_encoded_in_every_order_of_steps(void **state)
{
    rig *r = *state;
    snug_random random = { .state = 11 };

    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        const bool all_orders = head_dims[h] <= 80;

        fill_gaussian(r->x, SNUG_TILE_TOKENS * head_dims[h], &random);
        r->x[3] = 40.0f;
        memset(r->x + head_dims[h], 0, head_dims[h] * sizeof *r->x);
        for (unsigned steps = all_orders ? 1 : 0x3f; steps < 0x40; steps++) {
            demote_by(r, SNUG_CODES_KEY, head_dims[h], steps);
            demote_by(r, SNUG_CODES_VALUE, head_dims[h], steps);
        }
    }
}

/* One bit of a code, found by the order that codes.h describes. `bit` counts from 7, the highest. */
static unsigned bit_at(const snug_codes_tile *tile, snug_codes_side side, size_t padded, size_t token,
                       size_t dim, unsigned bit, bool low_width)
{
    const size_t lane = side == SNUG_CODES_KEY ? token : dim;
    const size_t step = side == SNUG_CODES_KEY ? dim : token;
    const size_t quads = (side == SNUG_CODES_KEY ? padded : 64) / 4;
    const size_t block = lane / 16 * quads + step / 4;
    const size_t i = lane % 16 * 4 + step % 4;
    const size_t one_bit = block * 8 + i / 8;
    const size_t two_bits = block * 16 + i % 16;

    if (bit >= 6 && low_width)
        return tile->plane[SNUG_CODES_T2][two_bits] >> (i / 16 * 2 + bit - 6) & 1;
    if (bit == 5 && low_width)
        return tile->plane[SNUG_CODES_T1A][one_bit] >> (i % 8) & 1;
    if (bit >= 4)
        return tile->plane[SNUG_CODES_N4][block / 2 * 64 + i] >> (block % 2 * 4 + bit - 4) & 1;
    if (bit >= 2)
        return tile->plane[bit == 3 ? SNUG_CODES_P1A : SNUG_CODES_P1B][one_bit] >> (i % 8) & 1;
    return tile->plane[SNUG_CODES_P2][two_bits] >> (i / 16 * 2 + bit) & 1;
}

static void every_bit_lies_where_kernels_look_for_it(void **state)
{
    rig *r = *state;
    snug_random random = { .state = 13 };

    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        const size_t head_dim = head_dims[h];
        const size_t padded = (head_dim + 15) / 16 * 16;

        for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i++)
            r->codes[i] = (uint8_t)snug_random_next(&random);
        for (int s = 0; s < 2; s++) {
            const snug_codes_side side = s == 0 ? SNUG_CODES_KEY : SNUG_CODES_VALUE;

            for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
                snug_codes_store(&r->tile.codes, side, r->codes, head_dim, widths[w]);
                snug_codes_load(r->loaded, &r->tile.codes, side, head_dim, widths[w]);
                for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i++) {
                    const size_t token = i / head_dim;
                    unsigned code = 0;

                    for (unsigned b = 0; b < widths[w]; b++)
                        code = code * 2 + bit_at(&r->tile.codes, side, padded, token, i % head_dim, 7 - b,
                                                 widths[w] < 4);
                    assert_int_equal(code, r->codes[i] >> (8 - widths[w]));
                    assert_int_equal(code, r->loaded[i]);
                }
            }
        }
    }
}

static void planes_have_the_bytes_they_should(void **state)
{
    (void)state;
    assert_int_equal(snug_codes_bytes(8, 128), 64 * 128);
    assert_int_equal(snug_codes_bytes(4, 128), 64 * 128 / 2);
    assert_int_equal(snug_codes_bytes(3, 50), 64 * 64 * 3 / 8);
    for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
        size_t sum = 0;

        for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++) {
            if (snug_codes_has_plane(widths[w], (snug_codes_plane)p))
                sum += snug_codes_plane_bytes((snug_codes_plane)p, 80);
        }
        assert_int_equal(sum, snug_codes_bytes(widths[w], 80));
    }
    assert_false(snug_codes_bits_ok(7));
    assert_false(snug_codes_bits_ok(1));
    assert_false(snug_codes_bits_ok(9));
}

static double normal_density(double z)
{
    return exp(-z * z / 2) / sqrt(6.283185307179586);
}

/* Integral of the normal density from 0 to z. */
static double normal_mass(double z)
{
    return erf(z / sqrt(2.0)) / 2;
}

/* In scales: where 128 normal values all stay below 128 with even odds. */
static double sigma_of_a_head_of_128(void)
{
    double low = 1.0;
    double high = 5.0;

    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;

        if (pow(2 * normal_mass(middle), 128) < 0.5)
            low = middle;
        else
            high = middle;
    }
    return 128.0 / low;
}

static void levels_follow_from_their_formulas(void **state)
{
    const double sigma = sigma_of_a_head_of_128();

    (void)state;
    for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
        const uint32_t bits = widths[w];
        const uint32_t half = 1u << (bits - 1);

        for (uint32_t cell = 0; cell < half; cell++) {
            /* The cell's ends: cells of 8 bits are sixteenths of a segment. */
            const uint32_t first = cell * 128 / half;
            const uint32_t last = (cell + 1) * 128 / half;
            const double a =
                edges[first / 16] + (edges[first / 16 + 1] - edges[first / 16]) * (first % 16) / 16;
            const double b = last % 16 == 0 ? edges[last / 16]
                                            : edges[last / 16] + (edges[last / 16 + 1] - edges[last / 16]) *
                                                                     (last % 16) / 16;
            /* 127 values cut off at 128, and one that stands there. */
            const double others = 127 / normal_mass(128 / sigma);
            const double top = last == 128 ? 1 : 0;
            const double mass = top + others * (normal_mass(b / sigma) - normal_mass(a / sigma));
            const double moment =
                128 * top + others * sigma * (normal_density(a / sigma) - normal_density(b / sigma));
            const double expected = bits <= 4 ? 8 * rint(moment / mass) : 8 * (a + b) / 2;

            assert_true((double)snug_planes_level(bits, half + cell) == expected);
            assert_true((double)snug_planes_level(bits, half - 1 - cell) == -expected);
        }
    }
}

/* What planes.h tells kernels: levels put together from 16-entry tables and masks. */
static void levels_are_sums_of_small_tables(void **state)
{
    (void)state;
    for (int32_t code = 0; code < 256; code++) {
        const int n = code >> 4;
        const int edge = (int)(n >= 8 ? edges[n - 8] : -edges[8 - n]);
        const int w = (int)(n >= 8 ? edges[n - 7] - edges[n - 8] : edges[8 - n] - edges[7 - n]) / 4;
        const int p1a = code >> 3 & 1;
        const int p1b = code >> 2 & 1;
        const int p2 = code & 3;
        const int five = edge + w + 2 * w * p1a;
        const int six = edge + (w - 1) / 2 + 2 * w * p1a + w * p1b;
        const int eight = edge + 2 * w * p1a + w * p1b;

        assert_in_range(five + 128, 0, 255);
        assert_in_range(six + 128, 0, 255);
        assert_in_range(eight + 128, 0, 255);
        assert_int_equal(snug_planes_level(5, (uint32_t)code >> 3), 8 * five);
        assert_int_equal(snug_planes_level(6, (uint32_t)code >> 2), 8 * six + 4);
        assert_int_equal(snug_planes_level(8, (uint32_t)code), 8 * eight + w * (2 * p2 + 1));
    }
}

static double signal_to_noise(rig *r, size_t head_dim, uint32_t bits, snug_random *random)
{
    double signal = 0.0;
    double noise = 0.0;

    for (int tile = 0; tile < 8; tile++) {
        fill_gaussian(r->x, SNUG_TILE_TOKENS * head_dim, random);
        snug_planes_encode(&r->tile, SNUG_CODES_VALUE, r->x, head_dim, bits);
        snug_planes_decode(r->out, &r->tile, SNUG_CODES_VALUE, head_dim, bits);
        for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i++) {
            const double x = (double)r->x[i];

            signal += x * x;
            noise += (x - (double)r->out[i]) * (x - (double)r->out[i]);
        }
    }
    return 10 * log10(signal / noise);
}

/* Figures of a simulation apart from this code: docs/decisions/0004-cache-codes-in-segments.md. */
static void gaussian_vectors_lose_what_they_should(void **state)
{
    static const struct {
        size_t head_dim;
        double decibel[6]; /* by widths[] */
    } expected[] = {
        { 64, { 45.21, 32.83, 26.76, 20.77, 14.86, 9.23 } },
        { 128, { 44.79, 32.57, 26.53, 20.57, 14.73, 9.18 } },
        { 256, { 44.49, 32.36, 26.32, 20.32, 14.50, 8.99 } },
    };
    snug_random random = { .state = 14 };

    for (size_t e = 0; e < SNUG_COUNT(expected); e++) {
        for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
            const double found = signal_to_noise(*state, expected[e].head_dim, widths[w], &random);

            print_message("head of %zu at %u bits: %.2f dB, expected %.2f\n", expected[e].head_dim, widths[w],
                          found, expected[e].decibel[w]);
            assert_true(fabs(found - expected[e].decibel[w]) < 0.15);
        }
    }
}

/* At 8 bits no value is further from its code than half a cell, f16 rounding of the scale included. */
static void values_lie_in_their_cells(void **state)
{
    rig *r = *state;
    snug_random random = { .state = 15 };

    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        const size_t head_dim = head_dims[h];

        fill_gaussian(r->x, SNUG_TILE_TOKENS * head_dim, &random);
        snug_planes_encode(&r->tile, SNUG_CODES_KEY, r->x, head_dim, 8);
        snug_planes_decode(r->out, &r->tile, SNUG_CODES_KEY, head_dim, 8);
        for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i++) {
            const double scale = (double)snug_f32_from_f16(r->scale[0][i / head_dim]);
            const double x = fabs((double)r->x[i]) / scale;
            const double half_cell = x < 60 ? 3 / 8.0 : x < 100 ? 5 / 8.0 : 7 / 8.0;

            /* The largest may stand out a little: the scale is the best for all, not the one that covers. */
            assert_true(x < 130.0);
            if (x < 128.0)
                assert_true(fabs((double)r->x[i] - (double)r->out[i]) / scale <= half_cell + 1e-4);
        }
    }
}

static void set_vector(rig *r, size_t token, size_t head_dim, float fill, float first)
{
    for (size_t i = 0; i < head_dim; i++)
        r->x[token * head_dim + i] = fill;
    r->x[token * head_dim] = first;
}

/* Strange vectors among Gaussian ones, at every width. */
static void strange_vectors_do_no_harm(void **state)
{
    rig *r = *state;
    const size_t n = 64;
    snug_random random = { .state = 16 };

    fill_gaussian(r->x, SNUG_TILE_TOKENS * n, &random);
    set_vector(r, 0, n, 0.0f, 0.0f);
    set_vector(r, 1, n, 1e-45f, -1e-45f);
    set_vector(r, 2, n, 0.0f, 1000.0f);
    set_vector(r, 3, n, 1.0f, NAN);
    set_vector(r, 4, n, 1.0f, -INFINITY);
    set_vector(r, 5, n, 3e38f, -3e38f);
    set_vector(r, 6, n, 0x1p-18f, -0x1p-18f);
    set_vector(r, 7, n, -0.0f, 1.0f);
    set_vector(r, 8, n, 60000.0f, -65504.0f);
    for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
        snug_planes_encode(&r->tile, SNUG_CODES_KEY, r->x, n, widths[w]);
        snug_planes_decode(r->out, &r->tile, SNUG_CODES_KEY, n, widths[w]);
        for (size_t i = 0; i < SNUG_TILE_TOKENS * n; i++)
            assert_true(isnan(r->out[i]) == (i / n == 3 || i / n == 4));
        for (size_t i = 0; i < 2 * n; i++)
            assert_true(r->out[i] == 0.0f);
        assert_true(fabsf(r->out[2 * n] - 1000.0f) < (widths[w] == 2 ? 460.0f : 260.0f));
        assert_true(r->out[5 * n] < -4e6f && r->out[5 * n + 1] > 4e6f);
        assert_true(fabsf(r->out[5 * n]) <= 128.0f * 65504.0f);
        assert_true(fabsf(r->out[8 * n + 1] - 60000.0f) < 0.5f * 60000.0f);
    }
}

/* One huge value: at 8 bits it is kept well, and the others stay within one cell of zero. */
static void a_huge_value_is_kept(void **state)
{
    rig *r = *state;
    const size_t n = 128;
    snug_random random = { .state = 17 };

    fill_gaussian(r->x, SNUG_TILE_TOKENS * n, &random);
    r->x[5] = -3000.0f;
    snug_planes_encode(&r->tile, SNUG_CODES_VALUE, r->x, n, 8);
    snug_planes_decode(r->out, &r->tile, SNUG_CODES_VALUE, n, 8);
    assert_true(fabsf(r->out[5] + 3000.0f) < 30.0f);
    for (size_t i = 0; i < n; i++) {
        if (i != 5)
            assert_true(fabsf(r->out[i] - r->x[i]) < 18.0f);
    }
    for (size_t i = n; i < SNUG_TILE_TOKENS * n; i++)
        assert_true(fabsf(r->out[i] - r->x[i]) < 0.06f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(demoted_is_directly_encoded_in_every_order_of_steps, rig_open,
                                        rig_close),
        cmocka_unit_test_setup_teardown(every_bit_lies_where_kernels_look_for_it, rig_open, rig_close),
        cmocka_unit_test(planes_have_the_bytes_they_should),
        cmocka_unit_test(levels_follow_from_their_formulas),
        cmocka_unit_test(levels_are_sums_of_small_tables),
        cmocka_unit_test_setup_teardown(gaussian_vectors_lose_what_they_should, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(values_lie_in_their_cells, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(strange_vectors_do_no_harm, rig_open, rig_close),
        cmocka_unit_test_setup_teardown(a_huge_value_is_kept, rig_open, rig_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
