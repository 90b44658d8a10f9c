/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pool.c - loaded models: the same one twice, what makes room for another, and that all comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "base/random.h"
#include "tests/memory/kernel.h"
#include "tests/support/sanitizer.h"

#define MINI     SNUG_SOURCE_FOLDER "/models/mini"
#define FIXTURES SNUG_SHARED_FOLDER "/fixtures/"

typedef struct rig {
    snug_memory *memory;
    snug_catalog *catalog;
    snug_pool *pool;
} rig;

static void rig_open(rig *r, uint64_t budget)
{
    const snug_catalog_options options = { .struct_size = sizeof options, .bundled_folder = MINI };

    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    assert_int_equal(snug_catalog_open(&r->catalog, r->memory, &options, NULL), SNUG_OK);
    assert_int_equal(snug_pool_create(&r->pool, r->memory, r->catalog, budget, NULL), SNUG_OK);
}

static void rig_close(rig *r)
{
    snug_pool_destroy(r->pool);
    snug_catalog_close(r->catalog);
    assert_int_equal(snug_memory_read_all(r->memory).blocks, 0);
    snug_memory_destroy(r->memory);
}

static snug_loaded load(const rig *r, const char *name)
{
    snug_loaded loaded;
    snug_error error = { SNUG_OK, "" };

    if (snug_catalog_load(&loaded, r->pool, name, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_non_null(loaded.model);
    assert_non_null(loaded.text);
    return loaded;
}

/* Models of the shared fixtures, and their number; without them the bundled one alone. */
static size_t find_models(const char *out[8])
{
    static const char *const all[] = { MINI,
                                       FIXTURES "qwen3",
                                       FIXTURES "llama-tied",
                                       FIXTURES "phi3",
                                       FIXTURES "gemma3",
                                       FIXTURES "smollm3",
                                       FIXTURES "qwen3-mlx4" };
    size_t count = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char path[512];
        FILE *file;

        snprintf(path, sizeof path, "%s/config.json", all[i]);
        file = fopen(path, "r");
        if (!file)
            continue;
        fclose(file);
        out[count++] = all[i];
    }
    return count;
}

static void a_loaded_model_is_loaded_once(void **state)
{
    snug_loaded first, second;
    rig r;

    (void)state;
    rig_open(&r, 0);
    first = load(&r, "mini");
    second = load(&r, MINI);
    assert_ptr_equal(first.model, second.model);
    assert_ptr_equal(first.text, second.text);
    assert_int_equal(snug_pool_read(r.pool).loads, 1);
    assert_int_equal(snug_pool_read(r.pool).models, 1);
    snug_pool_release(r.pool, &first);
    assert_null(first.model);
    assert_int_equal(snug_pool_read(r.pool).models_in_use, 1);
    assert_int_equal(snug_pool_trim(r.pool, 0), 0); /* still in use */
    snug_pool_release(r.pool, &second);
    assert_true(snug_pool_trim(r.pool, 0) > 0);
    assert_int_equal(snug_pool_read(r.pool).used_bytes, 0);
    rig_close(&r);
}

static void counts_files_and_ledger(void **state)
{
    snug_model_info info = { .struct_size = sizeof info };
    uint64_t before;
    snug_loaded loaded;
    rig r;

    (void)state;
    rig_open(&r, 0);
    before = snug_memory_read_all(r.memory).used_bytes;
    loaded = load(&r, "mini");
    snug_model_read_info(&info, loaded.model);
    assert_int_equal(snug_pool_read(r.pool).used_bytes,
                     info.mapped_bytes + snug_memory_read_all(r.memory).used_bytes - before);
    snug_pool_release(r.pool, &loaded);
    rig_close(&r);
}

static void room_is_made_by_what_was_used_longest_ago(void **state)
{
    const char *models[8];
    uint64_t bytes[3];
    snug_loaded a, b, c;
    snug_error error = { SNUG_OK, "" };
    rig r;

    (void)state;
    if (find_models(models) < 3)
        skip();
    rig_open(&r, 0);
    for (size_t i = 0; i < 3; i++) {
        const uint64_t before = snug_pool_read(r.pool).used_bytes;

        a = load(&r, models[i]);
        bytes[i] = snug_pool_read(r.pool).used_bytes - before;
        snug_pool_release(r.pool, &a);
    }
    rig_close(&r);

    rig_open(&r, bytes[0] + bytes[1] + bytes[2] - 1);
    a = load(&r, models[0]);
    snug_pool_release(r.pool, &a);
    b = load(&r, models[1]);
    snug_pool_release(r.pool, &b);
    a = load(&r, models[0]); /* now the other one was used longest ago */
    snug_pool_release(r.pool, &a);
    c = load(&r, models[2]);
    assert_int_equal(snug_pool_read(r.pool).evictions, 1);
    assert_int_equal(snug_pool_read(r.pool).loads, 3);
    a = load(&r, models[0]);
    assert_int_equal(snug_pool_read(r.pool).loads, 3); /* it was still there */
    /* Both that are loaded are in use: nothing can go. */
    assert_int_equal(snug_catalog_load(&b, r.pool, models[1], NULL, &error), SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "models in use hold"));
    assert_null(b.model);
    assert_int_equal(snug_pool_read(r.pool).models, 2);
    snug_pool_release(r.pool, &a);
    b = load(&r, models[1]);
    assert_int_equal(snug_pool_read(r.pool).models, 2);
    assert_true(snug_pool_read(r.pool).used_bytes < bytes[0] + bytes[1] + bytes[2]);
    snug_pool_release(r.pool, &b);
    snug_pool_release(r.pool, &c);
    rig_close(&r);
}

static void fifty_loads_and_releases_leave_nothing(void **state)
{
    const char *models[8];
    const size_t count = find_models(models);
    uint64_t anonymous = 0, ledger, file = 0;
    snug_random random = { 7 };
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, (uint64_t)16 << 20);
    ledger = snug_memory_read_all(r.memory).used_bytes;
    /* The first round is not measured: the C library keeps what it took once. */
    for (int round = 0; round < 2; round++) {
        snug_loaded held[3] = { { .model = NULL } };

        anonymous = read_kernel_bytes("RssAnon:");
        file = read_kernel_bytes("RssFile:");
        for (int i = 0; i < 50; i++) {
            const size_t slot = snug_random_next(&random) % 3;
            const char *name = models[snug_random_next(&random) % count];

            if (held[slot].model)
                snug_pool_release(r.pool, &held[slot]);
            if (snug_catalog_load(&held[slot], r.pool, name, NULL, NULL) == SNUG_OK)
                assert_true(snug_pool_read(r.pool).used_bytes <= (uint64_t)16 << 20);
        }
        for (size_t i = 0; i < 3; i++)
            if (held[i].model)
                snug_pool_release(r.pool, &held[i]);
        (void)snug_pool_trim(r.pool, 0);
        assert_int_equal(snug_pool_read(r.pool).models, 0);
        assert_int_equal(snug_memory_read_all(r.memory).used_bytes, ledger);
    }
    assert_true(read_kernel_bytes("RssAnon:") <= anonymous + (256 << 10));
    assert_true(read_kernel_bytes("RssFile:") <= file + (256 << 10));
    rig_close(&r);
}

typedef struct record {
    snug_load_phase last;
    unsigned calls;
    uint64_t warm_bytes;
    unsigned stop_after; /* 0: never */
} record;

static void on_progress(void *user, const snug_load_progress *progress)
{
    record *seen = user;

    assert_true(progress->phase >= seen->last);
    assert_true(progress->fraction >= 0 && progress->fraction <= 1);
    assert_true(progress->done_bytes <= progress->total_bytes);
    seen->last = progress->phase;
    seen->calls++;
    if (progress->phase == SNUG_LOAD_WARM)
        seen->warm_bytes = progress->done_bytes;
}

static bool keep_going(void *user)
{
    const record *seen = user;

    return seen->stop_after == 0 || seen->calls < seen->stop_after;
}

static void tells_how_far_it_is_and_warms(void **state)
{
    record seen = { .calls = 0 };
    const snug_load_options options = { .struct_size = sizeof options,
                                        .is_warm = true,
                                        .keep_going = keep_going,
                                        .on_progress = on_progress,
                                        .user = &seen };
    snug_model_info info = { .struct_size = sizeof info };
    snug_loaded loaded;
    rig r;

    (void)state;
    rig_open(&r, 0);
    assert_int_equal(snug_catalog_load(&loaded, r.pool, "mini", &options, NULL), SNUG_OK);
    snug_model_read_info(&info, loaded.model);
    assert_int_equal(seen.last, SNUG_LOAD_READY);
    assert_int_equal(seen.warm_bytes, 2 * info.parameters); /* it is all BF16 */
    assert_true(snug_model_resident_bytes(loaded.model) >= seen.warm_bytes);
    snug_pool_release(r.pool, &loaded);
    (void)snug_pool_trim(r.pool, 0);
    /* Stopped at each point: an answer, and nothing held. */
    for (unsigned stop = 1; stop < 4; stop++) {
        snug_error error = { SNUG_OK, "" };

        seen = (record){ .stop_after = stop };
        if (snug_catalog_load(&loaded, r.pool, "mini", &options, &error) == SNUG_OK)
            snug_pool_release(r.pool, &loaded);
        else
            assert_int_equal(error.status, SNUG_ERR_CANCELLED);
        (void)snug_pool_trim(r.pool, 0);
        assert_int_equal(snug_pool_read(r.pool).models, 0);
    }
    rig_close(&r);
}

static void loads_the_best_that_fits(void **state)
{
    const snug_catalog_query query = { .struct_size = sizeof query, .limit_bytes = (uint64_t)1 << 30 };
    const snug_catalog_query too_small = { .struct_size = sizeof query, .limit_bytes = 4096 };
    snug_error error = { SNUG_OK, "" };
    char why[512];
    snug_loaded loaded;
    rig r;

    (void)state;
    rig_open(&r, 0);
    assert_int_equal(snug_catalog_load_best(&loaded, r.pool, &query, NULL, why, &error), SNUG_OK);
    assert_non_null(strstr(why, "mini is the best that fits"));
    snug_pool_release(r.pool, &loaded);
    assert_int_equal(snug_catalog_load_best(&loaded, r.pool, &too_small, NULL, why, &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "nothing fits"));
    rig_close(&r);
}

static void says_what_it_cannot_load(void **state)
{
    static const struct {
        const char *name;
        snug_status status;
        const char *sentence;
    } rows[] = {
        { "nothing", SNUG_ERR_ARGUMENT, "\"nothing\" is no model of the catalogue, and no path" },
        { "qwen3-4b", SNUG_ERR_IO, "qwen3-4b is not on this machine" },
        { SNUG_SOURCE_FOLDER, SNUG_ERR_IO, "no config.json and no .gguf file" },
    };
    rig r;

    (void)state;
    rig_open(&r, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snug_error error = { SNUG_OK, "" };
        snug_loaded loaded;

        assert_int_equal(snug_catalog_load(&loaded, r.pool, rows[i].name, NULL, &error), rows[i].status);
        if (!strstr(error.text, rows[i].sentence))
            fail_msg("\"%s\" is not in \"%s\"", rows[i].sentence, error.text);
        assert_int_equal(snug_pool_read(r.pool).models, 0);
    }
    rig_close(&r);
}

static void gives_all_back_when_memory_is_refused(void **state)
{
    snug_status status = SNUG_ERR_OVER_LIMIT;

    (void)state;
    for (uint64_t n = 1; status != SNUG_OK; n++) {
        const snug_memory_options options = { .struct_size = sizeof options, .fail_after = n };
        snug_loaded loaded;
        rig r = { 0 };

        assert_true(n < 200);
        assert_int_equal(snug_memory_create(&r.memory, &options), SNUG_OK);
        status = snug_catalog_open(&r.catalog, r.memory, NULL, NULL);
        if (status == SNUG_OK)
            status = snug_pool_create(&r.pool, r.memory, r.catalog, 0, NULL);
        if (status == SNUG_OK)
            status = snug_catalog_load(&loaded, r.pool, MINI, NULL, NULL);
        if (status == SNUG_OK)
            snug_pool_release(r.pool, &loaded);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_model_is_loaded_once),
        cmocka_unit_test(counts_files_and_ledger),
        cmocka_unit_test(room_is_made_by_what_was_used_longest_ago),
        cmocka_unit_test(fifty_loads_and_releases_leave_nothing),
        cmocka_unit_test(tells_how_far_it_is_and_warms),
        cmocka_unit_test(loads_the_best_that_fits),
        cmocka_unit_test(says_what_it_cannot_load),
        cmocka_unit_test(gives_all_back_when_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
