/* SPDX-License-Identifier: Apache-2.0 */
/* template_support.h - what the tests of templates share: a ledger around each rendering, files read
 * whole. */
#ifndef SNUG_TESTS_TEXT_TEMPLATE_TEMPLATE_SUPPORT_H
#define SNUG_TESTS_TEXT_TEMPLATE_TEMPLATE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/status.h"
#include "text/template/template.h"

typedef struct rendering {
    snug_status status;
    snug_error error;
    char *text; /* terminated, from malloc; NULL when it failed */
    size_t bytes;
    uint64_t peak_bytes; /* of the ledger, template and rendering together */
} rendering;

/* Parse and render under a ledger with that hard limit (0: none), and assert that all of it came back. */
rendering render_within(uint64_t hard_bytes, snug_str source, const char *variables, bool has_clock,
                        int64_t now_unix);
/* The same for C strings, without limit and clock; `variables` NULL: none. */
rendering render(const char *source, const char *variables);
void rendering_free(rendering *result);

/* The template renders as exactly this. */
void assert_renders(const char *source, const char *variables, const char *expected);
/* The template fails with this status, and its sentence has `part`. */
void assert_fails(const char *source, snug_status status, const char *part);

/* The whole file, terminated; NULL when it cannot be read. From malloc. */
char *read_file(const char *path, size_t *bytes_out);

#endif /* SNUG_TESTS_TEXT_TEMPLATE_TEMPLATE_SUPPORT_H */
