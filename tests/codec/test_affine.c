/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_affine.c - the affine format against numbers that mlx.core.quantize made, and against the published
 * algorithm written down once more.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"
#include "codec/tile.h"
#include "codec/affine.h"

static const uint32_t widths[] = { 2, 3, 4, 5, 6, 8 };

/*
 * Made with mlx 0.32.4 for CPU, mx.quantize(group as float16, group_size, bits): scale and bias as bits of
 * f16, and FNV-1a of the codes, one byte a code. The groups are those of fill_group().
 */
static const struct {
    uint32_t bits;
    uint32_t group;
    uint32_t seed;
    uint16_t scale;
    uint16_t bias;
    uint64_t codes;
} from_mlx[] = {
    { 2, 32, 32788, 0x3fdf, 0xc3df, 0x8d1c2b1a09ad50d8u },
    { 2, 32, 32789, 0xbcaf, 0x4307, 0xf1f4c63b90de3c80u },
    { 2, 32, 32790, 0x4f04, 0xd304, 0x6efe9a7f7d761167u },
    { 2, 32, 32791, 0x22a6, 0xbc28, 0x5289249c5a16bf6au },
    { 2, 64, 65556, 0x3ff4, 0xc3f4, 0xd8c7614c812bd5bau },
    { 2, 64, 65557, 0xbd45, 0x43e8, 0x875683d21dcad000u },
    { 2, 64, 65558, 0x4ffe, 0xd3fe, 0x3da810f490bf5b0bu },
    { 2, 64, 65559, 0x22d4, 0xbc29, 0xf757ce0b84df9e31u },
    { 2, 128, 131092, 0xbfdc, 0x43dc, 0xb6ff0abd1eb86e30u },
    { 2, 128, 131093, 0xbd42, 0x43e3, 0xab5b98c224944a49u },
    { 2, 128, 131094, 0x4ff7, 0xd3f7, 0xd31b2238e1e17b9du },
    { 2, 128, 131095, 0x22d4, 0xbc29, 0x904954ba18b21e3du },
    { 3, 32, 32796, 0x3bf6, 0xc3f6, 0x54a1b6cc39dcd75fu },
    { 3, 32, 32797, 0xb889, 0x43f0, 0xeb4ce86121baa45fu },
    { 3, 32, 32798, 0xcb50, 0x5350, 0x54233dbbbcd5657du },
    { 3, 32, 32799, 0x1dda, 0xbc29, 0xe34ba9d1a395b3afu },
    { 3, 64, 65564, 0xbbff, 0x43ff, 0xb644514bcb39ade5u },
    { 3, 64, 65565, 0xb872, 0x43c7, 0xae2f48667350a672u },
    { 3, 64, 65566, 0xcb87, 0x5387, 0x7070c58566b5223au },
    { 3, 64, 65567, 0x1d91, 0xbc27, 0x315400cad2295cd3u },
    { 3, 128, 131100, 0x3be1, 0xc3e1, 0xda85c8eddec52abbu },
    { 3, 128, 131101, 0xb87c, 0x43d9, 0x8bddfdf4d7b07ce2u },
    { 3, 128, 131102, 0x4bfd, 0xd3fd, 0xe285135dc985b0f1u },
    { 3, 128, 131103, 0x1db8, 0xbc28, 0x1e0956875598b080u },
    { 4, 32, 32804, 0xb7a7, 0x43a7, 0xcf756d30ac1a73f9u },
    { 4, 32, 32805, 0xb3ed, 0x43ed, 0x8686bcbe37ca1d64u },
    { 4, 32, 32806, 0xc71c, 0x5400, 0xced8fbba155e7913u },
    { 4, 32, 32807, 0x1911, 0xbc28, 0x3fe9e73225aa1e40u },
    { 4, 64, 65572, 0x37e9, 0xc3e9, 0x60ae253fcd6a991au },
    { 4, 64, 65573, 0xb3fc, 0x43fc, 0xe86e3e088b85d753u },
    { 4, 64, 65574, 0x47dc, 0xd3dc, 0x183968edcb561120u },
    { 4, 64, 65575, 0x1957, 0xbc29, 0x2164c9462a57e590u },
    { 4, 128, 131108, 0xb7f8, 0x43f8, 0x5e0e013926a0f4acu },
    { 4, 128, 131109, 0xb432, 0x43de, 0x36998a2776d4267fu },
    { 4, 128, 131110, 0xc7fd, 0x53fd, 0x70ffde0b66d873deu },
    { 4, 128, 131111, 0x1976, 0xbc29, 0x6e5f6bab772bc79eu },
    { 5, 32, 32812, 0xb3ed, 0x43ed, 0xc9c7b9f3453e80aau },
    { 5, 32, 32813, 0xb00b, 0x43d5, 0x202057a9c5d14cb4u },
    { 5, 32, 32814, 0x4378, 0xd3f0, 0xc5bb7ee15eed6232u },
    { 5, 32, 32815, 0x1508, 0xbc28, 0xab91ce81dc67b6c0u },
    { 5, 64, 65580, 0xb3fe, 0x43fe, 0xe11047fc3dcc8bf7u },
    { 5, 64, 65581, 0xafe7, 0x43e7, 0xa017446e63dc7513u },
    { 5, 64, 65582, 0x4327, 0xd399, 0xc4e88e8156342665u },
    { 5, 64, 65583, 0x154b, 0xbc29, 0x0184418c8feb219bu },
    { 5, 128, 131116, 0xb3e7, 0x43e7, 0x22acf544a61b2a72u },
    { 5, 128, 131117, 0xaffb, 0x43fb, 0x4d5dc184fbbbf13eu },
    { 5, 128, 131118, 0xc3e9, 0x53e9, 0x31c7a389b958e75fu },
    { 5, 128, 131119, 0x154b, 0xbc29, 0x3af91085f4c74f45u },
    { 6, 32, 32820, 0xae77, 0x43e1, 0xb54c407653a5db93u },
    { 6, 32, 32821, 0xabd3, 0x43d3, 0x3171b52b6c7d366bu },
    { 6, 32, 32822, 0x3ff4, 0xd3f4, 0xc8e610465b5e82eau },
    { 6, 32, 32823, 0x10d3, 0xbc26, 0x4297a0f93965abe9u },
    { 6, 64, 65588, 0xafaa, 0x43aa, 0xc52c55cf6853053au },
    { 6, 64, 65589, 0xabcf, 0x43cf, 0x41840d30d3edd5fcu },
    { 6, 64, 65590, 0xbfdb, 0x53db, 0xce865a2922462c6bu },
    { 6, 64, 65591, 0x10d3, 0xbc28, 0xc911ef1240ad97b0u },
    { 6, 128, 131124, 0xb000, 0x4400, 0x9fec33bfd6f3d4c5u },
    { 6, 128, 131125, 0xabba, 0x439b, 0x938872127e11442au },
    { 6, 128, 131126, 0x3ff0, 0xd3f0, 0x7fb4162fae1717deu },
    { 6, 128, 131127, 0x1135, 0xbc29, 0x1aae63aee9417fcbu },
    { 8, 32, 32836, 0xa7a0, 0x43ce, 0x607e5734be23e575u },
    { 8, 32, 32837, 0xa307, 0x4338, 0xbcf409673e0ae6d8u },
    { 8, 32, 32838, 0x366c, 0xd37a, 0xff4e41621d52a0f1u },
    { 8, 32, 32839, 0x08e5, 0xbc28, 0x0822ecec9c6743b0u },
    { 8, 64, 65604, 0xa7e7, 0x43f7, 0x4f2b2fa7e40e6585u },
    { 8, 64, 65605, 0xa37a, 0x43ae, 0xbfa841993bfb06f1u },
    { 8, 64, 65606, 0xb7a7, 0x53f4, 0x0374eed0c31d9657u },
    { 8, 64, 65607, 0x08e5, 0xbc28, 0xa9202f94ce994208u },
    { 8, 128, 131140, 0xa7a4, 0x43c3, 0x6c54004c843140ceu },
    { 8, 128, 131141, 0xa3fc, 0x43fc, 0xdcb22266d27a8145u },
    { 8, 128, 131142, 0x36f9, 0xd315, 0x104339b0bfca85d9u },
    { 8, 128, 131143, 0x0905, 0xbc29, 0x99e39a54e13e2aa3u },
};

/* f16 values by kind seed % 4: even in -4 .. 4, one-sided, with long tails, in a narrow band far from
 * zero. */
static void fill_group(float *x, size_t n, uint64_t seed)
{
    snug_random random = { .state = seed };

    for (size_t i = 0; i < n; i++) {
        double value = ((double)(snug_random_next(&random) >> 40) - 0x1p23) / 0x1p21;

        if (seed % 4 == 1)
            value = fabs(value);
        if (seed % 4 == 2)
            value = value * value * value;
        if (seed % 4 == 3)
            value = -fabs(value) * 0.01 - 1.0;
        x[i] = snug_f32_from_f16(snug_f16_from_f32((float)value));
    }
}

static uint64_t hash_of(const uint8_t *codes, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ codes[i]) * 0x100000001b3u;
    return hash;
}

static void makes_the_numbers_of_mlx(void **state)
{
    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(from_mlx); i++) {
        float x[128];
        uint8_t codes[128];
        uint16_t scale;
        uint16_t bias;

        fill_group(x, from_mlx[i].group, from_mlx[i].seed);
        snug_affine_encode_group(codes, &scale, &bias, x, from_mlx[i].group, from_mlx[i].bits);
        assert_int_equal(scale, from_mlx[i].scale);
        assert_int_equal(bias, from_mlx[i].bias);
        assert_true(hash_of(codes, from_mlx[i].group) == from_mlx[i].codes);
    }
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;

    return (x > y) - (x < y);
}

/* The algorithm again, from its description, over sorted values; f32 steps where MLX rounds to f32. */
static void expect_group(uint8_t *codes, double *scale_out, double *bias_out, const float *x, size_t n,
                         uint32_t bits)
{
    float sorted[128];
    const double last = (double)(1u << bits) - 1;
    float scale;
    float bias = 0.0f;

    memcpy(sorted, x, n * sizeof *x);
    qsort(sorted, n, sizeof *sorted, by_value);
    const double low = sorted[0];
    const double high = sorted[n - 1];
    const double edge = fabs(low) > fabs(high) ? low : high;

    scale = (float)((float)(high - low) / last);
    scale = scale > 1e-7f ? scale : 1e-7f;
    scale = fabs(low) > fabs(high) ? scale : -scale;
    const double zero = rint((double)((float)edge / scale));

    if (zero != 0) {
        scale = (float)(edge / zero);
        bias = (float)edge;
    }
    for (size_t i = 0; i < n; i++) {
        const double code = rint((double)((x[i] - bias) / scale));

        codes[i] = (uint8_t)(code < 0 ? 0 : code > last ? last : code);
    }
    *scale_out = snug_f32_from_f16(snug_f16_from_f32(scale));
    *bias_out = snug_f32_from_f16(snug_f16_from_f32(bias));
}

/* A tile with planes of its own, for any size. */
typedef struct rig {
    snug_affine_tile tile;
    unsigned char plane[SNUG_CODES_PLANE_COUNT][SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX / 2];
    uint16_t scale[SNUG_HEAD_DIM_MAX / 32 * SNUG_TILE_TOKENS];
    uint16_t bias[SNUG_HEAD_DIM_MAX / 32 * SNUG_TILE_TOKENS];
    float x[SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX];
    float out[SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX];
} rig;

static int rig_open(void **state)
{
    rig *r = calloc(1, sizeof *r);

    assert_non_null(r);
    for (size_t p = 0; p < SNUG_CODES_PLANE_COUNT; p++)
        r->tile.codes.plane[p] = r->plane[p];
    r->tile.scale = r->scale;
    r->tile.bias = r->bias;
    *state = r;
    return 0;
}

static int rig_close(void **state)
{
    free(*state);
    return 0;
}

static void check_tile(rig *r, snug_codes_side side, size_t head_dim, uint32_t bits, uint32_t group)
{
    for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i += group)
        fill_group(r->x + i, group, 1000 * i + bits);
    snug_affine_encode(&r->tile, side, r->x, head_dim, bits, group);
    snug_affine_decode(r->out, &r->tile, side, head_dim, bits, group);
    for (size_t first = 0; first < SNUG_TILE_TOKENS * head_dim; first += group) {
        uint8_t codes[128];
        double scale;
        double bias;

        expect_group(codes, &scale, &bias, r->x + first, group, bits);
        for (size_t i = 0; i < group; i++) {
            const double expected = (double)(float)((float)(scale * codes[i]) + (float)bias);

            assert_true((double)r->out[first + i] == expected);
        }
    }
}

static void a_tile_gives_back_what_its_groups_mean(void **state)
{
    static const size_t head_dims[] = { 32, 64, 96, 128, 256, 512 };

    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
            for (uint32_t group = 32; group <= 128; group *= 2) {
                if (!snug_affine_ok(head_dims[h], widths[w], group))
                    continue;
                check_tile(*state, SNUG_CODES_KEY, head_dims[h], widths[w], group);
                check_tile(*state, SNUG_CODES_VALUE, head_dims[h], widths[w], group);
            }
        }
    }
}

static void refuses_heads_that_groups_do_not_divide(void **state)
{
    (void)state;
    assert_true(snug_affine_ok(96, 4, 32));
    assert_false(snug_affine_ok(96, 4, 64));
    assert_false(snug_affine_ok(80, 4, 32));
    assert_false(snug_affine_ok(64, 4, 128));
    assert_false(snug_affine_ok(128, 7, 64));
    assert_false(snug_affine_ok(128, 1, 64));
    assert_false(snug_affine_ok(128, 4, 16));
    assert_false(snug_affine_ok(0, 4, 32));
    assert_false(snug_affine_ok(1024, 4, 32));
    assert_int_equal(snug_affine_scale_bytes(128, 64), 2 * 64 * 2);
}

static void keeps_zero_and_the_larger_end(void **state)
{
    (void)state;
    for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
        float x[32] = { 0 };
        uint8_t codes[32];
        uint16_t scale;
        uint16_t bias;

        snug_affine_encode_group(codes, &scale, &bias, x, 32, widths[w]);
        assert_int_equal(bias, 0); /* all zeros: exact at any code 0 */
        assert_int_equal(codes[0], 0);
        x[3] = -6.0f;
        x[4] = 1.0f;
        snug_affine_encode_group(codes, &scale, &bias, x, 32, widths[w]);
        assert_true(snug_f32_from_f16(bias) == -6.0f);
        assert_int_equal(codes[3], 0);
        assert_true(fabsf(snug_f32_from_f16(scale) * (float)codes[0] - 6.0f) < 6.0f * 0x1p-11f);
    }
}

static void not_a_number_stays_in_its_group(void **state)
{
    const float strange[] = { NAN, INFINITY, -INFINITY };
    rig *r = *state;

    for (size_t s = 0; s < SNUG_COUNT(strange); s++) {
        for (size_t i = 0; i < SNUG_TILE_TOKENS * 64; i++)
            r->x[i] = (float)(i % 13);
        r->x[5 * 64 + 40] = strange[s];
        snug_affine_encode(&r->tile, SNUG_CODES_KEY, r->x, 64, 4, 32);
        snug_affine_decode(r->out, &r->tile, SNUG_CODES_KEY, 64, 4, 32);
        for (size_t i = 0; i < SNUG_TILE_TOKENS * 64; i++)
            assert_true(isnan(r->out[i]) == (i / 32 == (5 * 64 + 40) / 32));
    }
}

static void extremes_do_no_harm(void **state)
{
    const float extremes[] = { 65504.0f, -65504.0f, 0x1p-24f, -0x1p-24f, 3.0e38f, -3.0e38f, 1e-45f };

    (void)state;
    for (size_t a = 0; a < SNUG_COUNT(extremes); a++) {
        for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
            float x[32] = { 0 };
            uint8_t codes[32];
            uint16_t scale;
            uint16_t bias;

            x[0] = extremes[a];
            x[1] = extremes[(a + 1) % SNUG_COUNT(extremes)];
            snug_affine_encode_group(codes, &scale, &bias, x, 32, widths[w]);
            for (size_t i = 0; i < 32; i++)
                assert_true(codes[i] < 1u << widths[w]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_the_numbers_of_mlx),
        cmocka_unit_test_setup_teardown(a_tile_gives_back_what_its_groups_mean, rig_open, rig_close),
        cmocka_unit_test(refuses_heads_that_groups_do_not_divide),
        cmocka_unit_test(keeps_zero_and_the_larger_end),
        cmocka_unit_test_setup_teardown(not_a_number_stays_in_its_group, rig_open, rig_close),
        cmocka_unit_test(extremes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
