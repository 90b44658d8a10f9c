/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Norm, rotation, SwiGLU, add and scale at every level: against formulas in double, with ragged lengths up
 * to guard pages.
 */
#include "tests/kernels/kernel_test.h"

enum {
    LENGTH_MAX = 3079,
};

static const size_t lengths[] = { 1,  2,  3,  4,  5,   6,   7,   8,    9,    15,        16,
                                  17, 31, 32, 33, 47,  48,  49,  63,   64,   65,        66,
                                  67, 70, 80, 96, 128, 255, 256, 1000, 3072, LENGTH_MAX };

typedef struct vectors {
    guarded out, x, y;
} vectors;

static vectors vectors_create(void)
{
    const size_t bytes = 2 * LENGTH_MAX * sizeof(float);

    return (vectors){ guarded_alloc(bytes), guarded_alloc(bytes), guarded_alloc(bytes) };
}

static void vectors_destroy(vectors *v)
{
    guarded_free(&v->out);
    guarded_free(&v->x);
    guarded_free(&v->y);
}

static float *last_floats(const guarded *memory, size_t n)
{
    return guarded_last(memory, n * sizeof(float));
}

static void check_rms_norm(const snug_kernels *kernels)
{
    vectors v = vectors_create();

    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const size_t n = lengths[k];
        float *out = last_floats(&v.out, n);
        float *x = last_floats(&v.x, n);
        float *weight = last_floats(&v.y, n);
        double sum = 0.0;

        fill_random(x, n, k % 2 == 0 ? VALUES_NORMAL : VALUES_SPIKES, n);
        fill_random(weight, n, VALUES_NORMAL, n + 1);
        for (size_t i = 0; i < n; i++)
            sum += (double)x[i] * (double)x[i];
        kernels->rms_norm(out, x, weight, n, 1e-5f);
        for (size_t i = 0; i < n; i++) {
            const double expected = (double)x[i] / sqrt(sum / (double)n + 1e-5) * (double)weight[i];

            assert_true(fabs((double)out[i] - expected) <= 2e-6 * fabs(expected));
        }
        kernels->rms_norm(x, x, weight, n, 1e-5f); /* in place */
        assert_memory_equal(x, out, n * sizeof *x);
        memset(x, 0, n * sizeof *x);
        kernels->rms_norm(out, x, weight, n, 1e-6f);
        for (size_t i = 0; i < n; i++)
            assert_true(out[i] == 0.0f);
    }
    vectors_destroy(&v);
}

static void norms_agree_with_double(void **state)
{
    (void)state;
    for_each_level(check_rms_norm);
}

static void check_rope(const snug_kernels *kernels)
{
    vectors v = vectors_create();

    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const size_t half = lengths[k];
        float *x = last_floats(&v.x, 2 * half);
        float *cosine = last_floats(&v.y, half);
        float *sine = last_floats(&v.out, half);
        double *before = calloc(2 * half, sizeof *before);

        assert_non_null(before);
        fill_random(x, 2 * half, VALUES_NORMAL, half);
        for (size_t i = 0; i < 2 * half; i++)
            before[i] = (double)x[i];
        for (size_t i = 0; i < half; i++) {
            cosine[i] = cosf((float)i * 0.37f);
            sine[i] = sinf((float)i * 0.37f);
        }
        kernels->rope_half(x, cosine, sine, half);
        for (size_t i = 0; i < half; i++) {
            const double c = (double)cosine[i];
            const double s = (double)sine[i];

            assert_true(fabs((double)x[i] - (before[i] * c - before[half + i] * s)) <= 4 * EPSILON);
            assert_true(fabs((double)x[half + i] - (before[half + i] * c + before[i] * s)) <= 4 * EPSILON);
        }
        free(before);
    }
    vectors_destroy(&v);
}

static void rotates_both_halves(void **state)
{
    (void)state;
    for_each_level(check_rope);
}

static float silu_by_libm(float x)
{
    return x == -INFINITY ? -0.0f : x / (1.0f + expf(-x));
}

/* Every sign and exponent with a few thousand fractions each, and all of the range where exp moves. */
static void check_swiglu_range(const snug_kernels *kernels)
{
    enum {
        COUNT = 4096
    };
    float gate[COUNT];
    float up[COUNT];
    float out[COUNT];

    for (size_t i = 0; i < COUNT; i++)
        up[i] = i % 2 == 0 ? 1.0f : -0.75f;
    for (uint32_t block = 0; block < 600; block++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            const uint32_t step = block * COUNT + i;

            gate[i] = block < 400 ? snug_f32_from_bits(step * 2621u)
                                  : (float)(step - 400 * COUNT) * (220.0f / (200 * COUNT)) - 110.0f;
        }
        kernels->swiglu(out, gate, up, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            const float expected = silu_by_libm(gate[i]) * up[i];

            if (ulps_between(out[i], expected) > 4)
                fail_msg("silu(%a) * %g is %a, expected %a", (double)gate[i], (double)up[i], (double)out[i],
                         (double)expected);
        }
    }
}

static void swiglu_is_within_4_ulp_of_libm(void **state)
{
    (void)state;
    for_each_level(check_swiglu_range);
}

static void check_swiglu_special(const snug_kernels *kernels)
{
    float gate[] = { INFINITY, -INFINITY, NAN,    0.0f, -0.0f, 1e30f, -1e30f, -88.7f, -88.73f,
                     -103.0f,  3e38f,     -3e38f, 1.0f, 1.0f,  1.0f,  1.0f,   1.0f };
    float up[sizeof gate / sizeof *gate];
    float out[sizeof gate / sizeof *gate];
    const size_t n = sizeof gate / sizeof *gate;

    for (size_t i = 0; i < n; i++)
        up[i] = 2.0f;
    kernels->swiglu(out, gate, up, n);
    for (size_t i = 0; i < n; i++)
        assert_true(ulps_between(out[i], silu_by_libm(gate[i]) * 2.0f) <= 4);
    assert_true(out[0] == INFINITY && out[1] == 0.0f && isnan(out[2]));
}

static void swiglu_has_no_nan_of_its_own(void **state)
{
    (void)state;
    for_each_level(check_swiglu_special);
}

/* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) in double. (Hendrycks, Gimpel 2016, the tanh form) */
static double gelu_in_double(double x)
{
    return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static void check_geglu(const snug_kernels *kernels)
{
    enum {
        COUNT = 4001
    };
    float *gate = malloc(COUNT * sizeof *gate);
    float *up = malloc(COUNT * sizeof *up);
    float *out = malloc(COUNT * sizeof *out);

    assert_true(gate && up && out);
    for (int i = 0; i < COUNT; i++) {
        gate[i] = (float)(i - COUNT / 2) * 0.01f; /* -20 to 20: both tails and what lies between */
        up[i] = 1.5f;
    }
    kernels->geglu(out, gate, up, COUNT);
    for (int i = 0; i < COUNT; i++) {
        const double expected = gelu_in_double((double)gate[i]) * 1.5;

        /* 1 + tanh cancels for negative values: absolute, in units of the argument. */
        assert_true(fabs((double)out[i] - expected) <= 2e-6 * (1.0 + fabs((double)gate[i])));
    }
    kernels->geglu(gate, gate, up, COUNT); /* in place */
    assert_memory_equal(gate, out, COUNT * sizeof *out);
    free(gate);
    free(up);
    free(out);
}

static void geglu_agrees_with_double(void **state)
{
    (void)state;
    for_each_level(check_geglu);
}

static void check_ragged(const snug_kernels *kernels)
{
    vectors v = vectors_create();

    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const size_t n = lengths[k];
        float *out = last_floats(&v.out, n);
        float *x = last_floats(&v.x, n);
        float *y = last_floats(&v.y, n);

        fill_random(x, n, VALUES_MIXED, n);
        fill_random(y, n, VALUES_MIXED, n + 1);
        memcpy(out, x, n * sizeof *out);
        kernels->add(out, y, n);
        for (size_t i = 0; i < n; i++)
            assert_true(out[i] == x[i] + y[i]);
        memcpy(out, x, n * sizeof *out);
        kernels->scale(out, -1.75f, n);
        for (size_t i = 0; i < n; i++)
            assert_true(out[i] == x[i] * -1.75f);
        kernels->swiglu(out, x, y, n);
        for (size_t i = 0; i < n; i++)
            assert_true(ulps_between(out[i], silu_by_libm(x[i]) * y[i]) <= 4);
        kernels->swiglu(x, x, y, n); /* in place */
        assert_memory_equal(x, out, n * sizeof *x);
    }
    vectors_destroy(&v);
}

static void stays_inside_vectors_of_every_length(void **state)
{
    (void)state;
    for_each_level(check_ragged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_agree_with_double),
        cmocka_unit_test(rotates_both_halves),
        cmocka_unit_test(swiglu_is_within_4_ulp_of_libm),
        cmocka_unit_test(swiglu_has_no_nan_of_its_own),
        cmocka_unit_test(geglu_agrees_with_double),
        cmocka_unit_test(stays_inside_vectors_of_every_length),
    };

    return cmocka_run_group_tests_name("kernels: plain", tests, NULL, NULL);
}
