/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What products are made of: every type that is multiplied has one at every level, and its loop makes as many
 * multiplications as it says, by what they add up to.
 */
#include "tests/kernels/kernel_test.h"

#include "base/status.h"

enum {
    CHAINS = 12,
    ROUNDS = 1000,
};

/* Chains start at 0, 1 ... 11 in every lane, and each multiplication adds `each`. */
static void check_sum(double sum, size_t lanes, double each, const snug_product *product)
{
    const double start = (double)lanes * CHAINS * (CHAINS - 1) / 2;

    assert_true(sum == start + each * ROUNDS * (double)product->operations / 2);
}

/* Lanes that nothing went into are 0, so all may be added up. */
static double sum_of_floats(const unsigned char *sums, size_t *lanes_out)
{
    float lane[SNUG_PRODUCT_SUM_BYTES / sizeof(float)];
    double sum = 0;

    memcpy(lane, sums, sizeof lane);
    *lanes_out = 0;
    for (size_t i = 0; i < SNUG_COUNT(lane); i++) {
        sum += (double)lane[i];
        *lanes_out += lane[i] != 0.0f;
    }
    return sum;
}

static double sum_of_integers(const unsigned char *sums, size_t *lanes_out)
{
    int32_t lane[SNUG_PRODUCT_SUM_BYTES / sizeof(int32_t)];
    double sum = 0;

    memcpy(lane, sums, sizeof lane);
    *lanes_out = 0;
    for (size_t i = 0; i < SNUG_COUNT(lane); i++) {
        sum += lane[i];
        *lanes_out += lane[i] != 0;
    }
    return sum;
}

/* VPMADDUBSW by 3, of its own result: pairs of bytes, in each lane of 16 bits. */
static void check_repeated(const unsigned char *sums, const snug_product *product)
{
    uint16_t expected = 0;
    uint16_t lane[SNUG_PRODUCT_SUM_BYTES / sizeof(uint16_t)];

    assert_int_equal(product->operations, 2 * CHAINS * 32);
    for (unsigned chain = 0; chain < CHAINS; chain++) {
        unsigned value = (chain + 1) * 0x0101;

        for (int round = 0; round < ROUNDS; round++)
            value = 3 * (value & 255) + 3 * (value >> 8);
        expected = (uint16_t)(expected + value);
    }
    memcpy(lane, sums, sizeof lane);
    for (size_t i = 0; i < SNUG_COUNT(lane); i++)
        assert_int_equal(lane[i], i < 16 ? expected : 0);
}

static void check_product(const snug_product *product)
{
    unsigned char sums[SNUG_PRODUCT_SUM_BYTES];
    double sum;
    size_t lanes;

    product->run(sums, ROUNDS);
    if (strncmp(product->name, "VPMADDUBSW", 10) == 0) {
        check_repeated(sums, product);
    } else if (strstr(product->name, "float")) {
        sum = sum_of_floats(sums, &lanes);
        check_sum(sum, lanes, 0.25, product);
    } else {
        sum = sum_of_integers(sums, &lanes);
        check_sum(sum, lanes, 1, product);
    }
}

static void check_level(const snug_kernels *kernels)
{
    for (size_t type = 0; type < SNUG_TYPE_COUNT; type++) {
        assert_true(!kernels->product[type] == !kernels->matmul_many[type]);
        if (kernels->product[type])
            check_product(kernels->product[type]);
    }
}

static void makes_as_many_as_it_says(void **state)
{
    (void)state;
    for_each_level(check_level);
}

/* With f32 activations nothing but floats is multiplied. */
static void exact_products_are_of_floats(void **state)
{
    snug_kernels kernels;

    (void)state;
    snug_kernels_init(&kernels, SNUG_CPU_AUTO, true);
    for (size_t type = 0; type < SNUG_TYPE_COUNT; type++)
        assert_true(!kernels.product[type] || strstr(kernels.product[type]->name, "float"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_as_many_as_it_says),
        cmocka_unit_test(exact_products_are_of_floats),
    };

    return cmocka_run_group_tests_name("kernels: what products are made of", tests, NULL, NULL);
}
