/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stops.c - stop strings in a text that comes in pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/stops.h"

typedef struct sent {
    char text[4096];
    size_t bytes;
} sent;

static bool send(void *user, const char *text, size_t bytes)
{
    sent *s = user;

    memcpy(s->text + s->bytes, text, bytes);
    s->bytes += bytes;
    s->text[s->bytes] = '\0';
    return true;
}

/* What comes of a text in pieces of `step` bytes: all before the first stop string, as strstr() finds it. */
static void check(const char *text, size_t step, const char *const *stop, size_t count)
{
    server_stops stops = { .stop = stop, .count = count };
    sent out = { .bytes = 0 };
    size_t end = strlen(text), begin = SIZE_MAX;
    bool goes_on = true;

    /* The one that is complete first; of those that end together, the first in the list. */
    for (size_t i = 0; i < count; i++) {
        const char *found = strstr(text, stop[i]);

        if (found && (begin == SIZE_MAX || (size_t)(found - text) + strlen(stop[i]) < end)) {
            end = (size_t)(found - text) + strlen(stop[i]);
            begin = (size_t)(found - text);
        }
    }
    for (size_t at = 0; at < strlen(text) && goes_on; at += step) {
        const size_t left = strlen(text) - at;

        goes_on = server_stops_push(&stops, text + at, left < step ? left : step, send, &out);
        /* No part of what must not be seen is ever out. */
        assert_true(begin == SIZE_MAX || out.bytes <= begin);
    }
    assert_int_equal(goes_on, begin == SIZE_MAX);
    assert_int_equal(stops.is_met, begin != SIZE_MAX);
    assert_true(server_stops_finish(&stops, send, &out));
    assert_int_equal(out.bytes, begin == SIZE_MAX ? strlen(text) : begin);
    assert_memory_equal(out.text, text, out.bytes);
}

static void a_text_ends_before_its_stop_string(void **state)
{
    static const char *const stops[] = { "END", "aab", "\xc3\xa9\xc3\xa9", "\n\n" };
    static const char *const texts[] = {
        "",
        "nothing of it",
        "this is the END of it",
        "EN EN END",
        "aaab",
        "aaaab",
        "E",
        "one\ntwo\n",
        "one\n\ntwo",
        "caf\xc3\xa9 \xc3\xa9\xc3\xa9!",
        "\xc3\xa9",
        "ENaab",
        "ENEND",
        "x\xc3\xa9\xc3\xa8y",
    };

    (void)state;
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (size_t step = 1; step <= 9; step++)
            for (size_t count = 0; count <= 4; count++)
                check(texts[t], step, stops, count);
}

/* Random texts of two letters meet every overlap there is. */
static void finds_what_strstr_finds(void **state)
{
    static const char *const stops[] = { "aaab", "abab", "bbb" };
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        char text[40];
        const size_t bytes = (size_t)(round % 39);

        for (size_t i = 0; i < bytes; i++) {
            seed = seed * 1103515245u + 12345u;
            text[i] = seed >> 16 & 1 ? 'a' : 'b';
        }
        text[bytes] = '\0';
        check(text, 1 + (size_t)round % 5, stops, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_ends_before_its_stop_string),
        cmocka_unit_test(finds_what_strstr_finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
