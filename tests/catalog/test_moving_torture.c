/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_moving_torture.c - a conversation that moves with its old session on disk, while every call of the
 * heap, of memory, files and threads fails in turn: once, and from then on. It has moved or it has not; what
 * it answers next is the same, and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/catalog/conversation_rig.h"
#include "tests/support/fault.h"
#include "tests/support/sanitizer.h"

#define IS_SLOW (TEST_UNDER_ASAN || TEST_UNDER_TSAN)

static void begin(rig *r)
{
    open_rig(r, &small, false);
    (void)move_to(r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(r, "Tell me a story about a dog.", 6);
}

/* Moves with the n-th call failing; false when there are not so many. */
static bool torture(const char *expected, unsigned long long nth, fault_kind kind)
{
    const snug_switch_options options = { .struct_size = sizeof options, .mode = SNUG_SWITCH_RELEASE };
    snug_error error = { SNUG_OK, "" };
    const char *failed;
    snug_status status;
    rig r;

    begin(&r);
    fault_arm(nth, kind);
    status = snug_conversation_switch(NULL, r.conversation, r.other, &options, &error);
    failed = fault_disarm();
    if (status != SNUG_OK && (!failed || error.status != status || error.text[0] == '\0'))
        fail_msg("call %llu, %s: status %d, \"%s\"", nth, failed ? failed : "none", (int)status, error.text);
    assert_string_equal(snug_conversation_model(r.conversation), status == SNUG_OK ? r.other : "mini");
    /* Both are the same files: with either the same comes. */
    assert_string_equal(ask(&r, "And then?", 12), expected);
    close_rig(&r);
    return failed != NULL;
}

static void in_turn(fault_kind kind, unsigned long long step)
{
    unsigned long long n = 1;
    char expected[256];
    rig r;

    begin(&r);
    snprintf(expected, sizeof expected, "%s", ask(&r, "And then?", 12));
    close_rig(&r);
    while (torture(expected, n, kind))
        n += step;
    print_message("%llu calls\n", n - 1);
    assert_true(n > 50);
}

static void once(void **state)
{
    (void)state;
    in_turn(FAULT_ONCE, IS_SLOW ? 7 : 1);
}

static void from_then_on(void **state)
{
    (void)state;
    in_turn(FAULT_FROM_THEN_ON, IS_SLOW ? 23 : 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once),
        cmocka_unit_test(from_then_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
