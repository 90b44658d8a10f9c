/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sha.c - the examples of FIPS 180 and of NIST's validation program, and git's name of an empty file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha.h"

static void check(const void *data, size_t bytes, const char *sha256, const char *sha1)
{
    const unsigned char *at = data;

    /* Whole, and cut at every place. */
    for (size_t cut = 0; cut <= bytes; cut++)
        for (int is_sha1 = 0; is_sha1 < 2; is_sha1++) {
            char hex[SNUG_SHA_HEX_BYTES];
            snug_sha sha;

            snug_sha_begin(&sha, is_sha1);
            snug_sha_add(&sha, at, cut);
            snug_sha_add(&sha, at + cut, bytes - cut);
            snug_sha_end(&sha, hex);
            assert_string_equal(hex, is_sha1 ? sha1 : sha256);
        }
}

static void gives_the_digests_of_the_standard(void **state)
{
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char four[] =
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnop"
        "qklmnopqrlmnopqrsmnopqrstnopqrstu";

    (void)state;
    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
          "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
          "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(two, strlen(two), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check(four, strlen(four), "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
          "a49b2446a02c645bf419f995b67091253a04a259");
}

static void a_million_letters(void **state)
{
    char letters[1000], hex[SNUG_SHA_HEX_BYTES];
    snug_sha sha;

    (void)state;
    memset(letters, 'a', sizeof letters);
    for (int is_sha1 = 0; is_sha1 < 2; is_sha1++) {
        snug_sha_begin(&sha, is_sha1);
        for (int i = 0; i < 1000; i++)
            snug_sha_add(&sha, letters, sizeof letters);
        snug_sha_end(&sha, hex);
        assert_string_equal(hex, is_sha1
                                     ? "34aa973cd4c4daa4f61eeb2bdbad27316534016f"
                                     : "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

static void names_files_as_git_does(void **state)
{
    char hex[SNUG_SHA_HEX_BYTES];
    snug_sha sha;

    (void)state;
    snug_sha_begin(&sha, true);
    snug_sha_add(&sha, "blob 0", sizeof "blob 0");
    snug_sha_end(&sha, hex);
    assert_string_equal(hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_digests_of_the_standard),
        cmocka_unit_test(a_million_letters),
        cmocka_unit_test(names_files_as_git_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
