/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of printed JSON: counted in a ledger, refused beyond its bound and beyond the ledger's limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli/json_heap.h"

static snug_memory *make(uint64_t hard_bytes)
{
    const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = hard_bytes };
    snug_memory *memory = NULL;

    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    return memory;
}

static uint64_t used(const snug_memory *memory)
{
    return snug_memory_read(memory, SNUG_MEMORY_OTHER).used_bytes;
}

/* `count` texts; fewer when memory ran out. */
static json_t *make_texts(size_t count, size_t *made_out)
{
    json_t *array = json_array();

    *made_out = 0;
    while (*made_out < count && json_array_append_new(array, json_string("some text of no importance")) == 0)
        ++*made_out;
    return array;
}

static void counts_in_steps_and_gives_back(void **state)
{
    snug_memory *memory = make(0);
    size_t made;
    json_t *texts;

    (void)state;
    assert_int_equal(cli_json_count_in(memory, NULL), SNUG_OK);
    assert_int_equal(used(memory), CLI_JSON_STEP_BYTES); /* one step from the begin */
    texts = make_texts(10000, &made);
    assert_int_equal(made, 10000);
    assert_true(cli_json_bytes() >= 10000 * sizeof "some text of no importance");
    assert_true(used(memory) >= cli_json_bytes() && used(memory) < cli_json_bytes() + CLI_JSON_STEP_BYTES);
    json_decref(texts);
    assert_int_equal(cli_json_bytes(), 0);
    assert_int_equal(used(memory), CLI_JSON_STEP_BYTES);
    cli_json_count_no_more(memory);
    assert_int_equal(used(memory), 0);
    assert_null(cli_json_refusal());
    snug_memory_destroy(memory);
}

static void moves_what_is_there_into_a_ledger(void **state)
{
    snug_memory *memory = make(0);
    snug_memory *small = make(100000);
    snug_error error = { SNUG_OK, "" };
    size_t made;
    json_t *texts = make_texts(10000, &made);

    (void)state;
    assert_int_equal(cli_json_count_in(small, &error), SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "JSON to print needs"));
    assert_int_equal(cli_json_count_in(memory, &error), SNUG_OK);
    assert_true(used(memory) >= cli_json_bytes());
    cli_json_count_no_more(memory);
    json_decref(texts);
    snug_memory_destroy(memory);
    snug_memory_destroy(small);
}

/* What is held is there when the ledger has nothing left: a limit was lowered to what is in use. */
static void has_what_it_holds_when_nothing_is_left(void **state)
{
    snug_memory *memory = make(0);
    size_t made;
    json_t *texts;

    (void)state;
    assert_int_equal(cli_json_count_in(memory, NULL), SNUG_OK);
    assert_int_equal(cli_json_hold(4 * CLI_JSON_STEP_BYTES, NULL), SNUG_OK);
    assert_int_equal(used(memory), 4 * CLI_JSON_STEP_BYTES);
    assert_int_equal(snug_memory_set_limits(memory, 0, 1), SNUG_OK);
    texts = make_texts(1000, &made);
    assert_int_equal(made, 1000);
    assert_true(cli_json_bytes() > 2 * CLI_JSON_STEP_BYTES);
    json_decref(texts);
    assert_int_equal(used(memory), 4 * CLI_JSON_STEP_BYTES);
    cli_json_count_no_more(memory);
    assert_int_equal(used(memory), 0);
    snug_memory_destroy(memory);
}

static void is_refused_by_the_ledger_with_its_sentence(void **state)
{
    snug_memory *memory = make(4 * CLI_JSON_STEP_BYTES);
    size_t made;
    json_t *texts;

    (void)state;
    assert_int_equal(cli_json_count_in(memory, NULL), SNUG_OK);
    texts = make_texts(1000000, &made);
    assert_true(made > 1000 && made < 10000);
    assert_non_null(strstr(cli_json_refusal(), "JSON to print needs 64.0 KiB, but 0 bytes are left"));
    json_decref(texts);
    cli_json_count_no_more(memory);
    snug_memory_destroy(memory);
}

static void is_refused_beyond_the_bound(void **state)
{
    static char text[1 << 20];
    json_t *array = json_array();
    size_t made = 0;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    while (made < 1000 && json_array_append_new(array, json_string(text)) == 0)
        made++;
    assert_in_range(made, 240, 256);
    assert_true(cli_json_bytes() <= CLI_JSON_BYTES_MAX);
    assert_non_null(strstr(cli_json_refusal(), "JSON to print needs more than the 256 MiB"));
    json_decref(array);
    assert_int_equal(cli_json_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_in_steps_and_gives_back),
        cmocka_unit_test(moves_what_is_there_into_a_ledger),
        cmocka_unit_test(has_what_it_holds_when_nothing_is_left),
        cmocka_unit_test(is_refused_by_the_ledger_with_its_sentence),
        cmocka_unit_test(is_refused_beyond_the_bound),
    };

    cli_json_init();
    return cmocka_run_group_tests_name("json_heap", tests, NULL, NULL);
}
