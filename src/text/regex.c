/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.c - PCRE2 behind the ledger, and the rewriting from Oniguruma's syntax.
 */
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/size.h"
#include "base/status.h"
#include "text/buffer.h"

/* Unicode White_Space. PCRE2's own \s has U+180E besides, which Unicode took out in version 6.3. */
#define WHITE_SPACE "\\t-\\r\\x{85}\\p{Z}"

/* PCRE2 maps its machine code in chunks of this size. */
#define MACHINE_CHUNK_BYTES ((size_t)64 * 1024)

/* Backtracking allowed at one position: some for any pattern, and in proportion to the text, because an
 * honest \s*[\r\n]+ steps back once for each blank of a run. */
#define STEPS_BASE     100000u
#define STEPS_PER_BYTE 4u

#define HEAP_LIMIT_KIB ((uint32_t)16 * 1024)

static void *ledger_alloc(size_t bytes, void *user)
{
    return snug_memory_alloc(user, SNUG_MEMORY_TEXT, bytes, "a pattern of the tokenizer", NULL);
}

static void ledger_free(void *block, void *user)
{
    snug_memory_free(user, block);
}

static snug_status fail_memory(snug_error *error)
{
    return snug_fail(error, SNUG_ERR_OVER_LIMIT, "no memory left for a pattern of the tokenizer");
}

/* What stands for the escape `letter`, or NULL when PCRE2 reads it as Oniguruma does. */
static const char *escape_text(char letter, bool in_class)
{
    switch (letter) {
    case 's':
        return in_class ? WHITE_SPACE : "[" WHITE_SPACE "]";
    case 'S':
        return in_class ? NULL : "[^" WHITE_SPACE "]";
    case 'h':
        return in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    default:
        return NULL;
    }
}

typedef struct translation {
    snug_str pattern;
    size_t at;
    size_t class_start; /* first position inside the class, where ] is a character; 0 outside classes */
} translation;

/* One escape: copied, rewritten or refused. */
static snug_status translate_escape(snug_buffer *out, translation *t, snug_error *error)
{
    const char *data = t->pattern.data;
    const char letter = t->at + 1 < t->pattern.bytes ? data[t->at + 1] : '\0';
    const char *text = escape_text(letter, t->class_start != 0);

    if (text)
        SNUG_TRY(snug_buffer_append(out, snug_str_from(text), error));
    else if (t->class_start != 0 && (letter == 'S' || letter == 'H'))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the pattern has \\%c inside a class, which is not supported",
                  letter);
    else
        SNUG_TRY(snug_buffer_append(
            out, (snug_str){ data + t->at, snug_min_size(2, t->pattern.bytes - t->at) }, error));
    t->at += 2;
    return SNUG_OK;
}

/* Follow the brackets: what opens, what closes, what only Oniguruma can do. */
static snug_status translate_brackets(translation *t, char c, snug_error *error)
{
    const char *data = t->pattern.data;
    const char next = t->at + 1 < t->pattern.bytes ? data[t->at + 1] : '\0';

    if (t->class_start == 0) {
        if (c == '[')
            t->class_start = t->at + (next == '^' ? 2 : 1);
        return SNUG_OK;
    }
    if (c == ']' && t->at != t->class_start)
        t->class_start = 0;
    else if (c == '[')
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "the pattern has a class inside a class, which is not supported");
    else if (c == '&' && next == '&')
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the pattern has && inside a class, which is not supported");
    return SNUG_OK;
}

static snug_status translate(snug_buffer *out, snug_str pattern, snug_error *error)
{
    translation t = { .pattern = pattern };

    while (t.at < pattern.bytes) {
        const char c = pattern.data[t.at];

        if (c == '\\') {
            SNUG_TRY(translate_escape(out, &t, error));
            continue;
        }
        SNUG_TRY(translate_brackets(&t, c, error));
        SNUG_TRY(snug_buffer_append(out, (snug_str){ &pattern.data[t.at], 1 }, error));
        t.at++;
    }
    return SNUG_OK;
}

static snug_status compile(snug_regex *regex, pcre2_general_context *general, snug_str pattern,
                           snug_error *error)
{
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    int code = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR text[128];

    if (!context)
        return fail_memory(error);
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    regex->code =
        pcre2_compile((PCRE2_SPTR)pattern.data, pattern.bytes,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK,
                      &code, &at, context);
    pcre2_compile_context_free(context);
    if (regex->code)
        return SNUG_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
        return fail_memory(error);
    (void)pcre2_get_error_message(code, text, sizeof text);
    SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the pattern \"%.*s\" cannot be read: %s (at byte %zu)",
              (int)snug_min_size(pattern.bytes, 80), pattern.data, (const char *)text, (size_t)at);
}

/* Machine code where the system allows it; without it the pattern is interpreted, to the same result. */
static snug_status make_machine_code(snug_regex *regex, snug_memory *memory, snug_error *error)
{
    size_t bytes = 0;
    uint64_t more;

    SNUG_TRY(
        snug_memory_take(memory, SNUG_MEMORY_TEXT, MACHINE_CHUNK_BYTES, "a pattern of the tokenizer", error));
    regex->machine_bytes = MACHINE_CHUNK_BYTES;
    if (pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) != 0)
        bytes = 0;
    else
        (void)pcre2_pattern_info(regex->code, PCRE2_INFO_JITSIZE, &bytes);
    if (bytes <= MACHINE_CHUNK_BYTES) {
        if (bytes > 0)
            return SNUG_OK;
        snug_memory_give(memory, SNUG_MEMORY_TEXT, MACHINE_CHUNK_BYTES);
        regex->machine_bytes = 0;
        return SNUG_OK;
    }
    more = snug_round_up(bytes, MACHINE_CHUNK_BYTES) - MACHINE_CHUNK_BYTES;
    SNUG_TRY(snug_memory_take(memory, SNUG_MEMORY_TEXT, more, "a pattern of the tokenizer", error));
    regex->machine_bytes += more;
    return SNUG_OK;
}

snug_status snug_regex_init(snug_regex *regex, snug_memory *memory, snug_str pattern, snug_error *error)
{
    pcre2_general_context *general = NULL;
    snug_buffer translated = { .memory = memory };
    snug_status status;

    *regex = (snug_regex){ 0 };
    if (pattern.bytes > SNUG_REGEX_PATTERN_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "a pattern of %zu bytes: at most %u are supported",
                  pattern.bytes, SNUG_REGEX_PATTERN_BYTES_MAX);
    status = snug_buffer_restart(&translated, pattern.bytes + 128, error);
    if (status == SNUG_OK)
        status = translate(&translated, pattern, error);
    if (status != SNUG_OK)
        goto out;
    general = pcre2_general_context_create(ledger_alloc, ledger_free, memory);
    status = general ? compile(regex, general, snug_buffer_str(&translated), error) : fail_memory(error);
    if (status == SNUG_OK)
        status = make_machine_code(regex, memory, error);
out:
    pcre2_general_context_free(general);
    snug_buffer_deinit(&translated);
    if (status != SNUG_OK)
        snug_regex_deinit(regex, memory);
    return status;
}

void snug_regex_deinit(snug_regex *regex, snug_memory *memory)
{
    pcre2_code_free(regex->code);
    if (regex->machine_bytes > 0)
        snug_memory_give(memory, SNUG_MEMORY_TEXT, regex->machine_bytes);
    *regex = (snug_regex){ 0 };
}

snug_status snug_matcher_init(snug_matcher *matcher, snug_memory *memory, snug_error *error)
{
    *matcher = (snug_matcher){ 0 };
    matcher->general = pcre2_general_context_create(ledger_alloc, ledger_free, memory);
    if (matcher->general) {
        matcher->context = pcre2_match_context_create(matcher->general);
        matcher->data = pcre2_match_data_create(1, matcher->general);
    }
    if (!matcher->context || !matcher->data) {
        snug_matcher_deinit(matcher);
        return fail_memory(error);
    }
    (void)pcre2_set_heap_limit(matcher->context, HEAP_LIMIT_KIB);
    return SNUG_OK;
}

void snug_matcher_deinit(snug_matcher *matcher)
{
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_general_context_free(matcher->general);
    *matcher = (snug_matcher){ 0 };
}

snug_status snug_regex_search(bool *found_out, size_t *start_out, size_t *end_out, const snug_regex *regex,
                              const snug_matcher *matcher, snug_str subject, size_t from, snug_error *error)
{
    const size_t steps = snug_min_size(STEPS_BASE + STEPS_PER_BYTE * (subject.bytes - from), UINT32_MAX);
    const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(matcher->data);
    PCRE2_SPTR data = (PCRE2_SPTR)(subject.data ? subject.data : "");
    int found;

    *found_out = false;
    (void)pcre2_set_match_limit(matcher->context, (uint32_t)steps);
    (void)pcre2_set_depth_limit(matcher->context, (uint32_t)steps);
    found = pcre2_match(regex->code, data, subject.bytes, from, PCRE2_NO_UTF_CHECK, matcher->data,
                        matcher->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* machine code has a small stack, the interpreter a heap */
        found = pcre2_match(regex->code, data, subject.bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                            matcher->data, matcher->context);
    if (found == PCRE2_ERROR_NOMATCH)
        return SNUG_OK;
    if (found == PCRE2_ERROR_NOMEMORY)
        return fail_memory(error);
    /* \K in a lookahead can put the start behind the end: as good as no answer. */
    if (found < 0 || pair[0] > pair[1] || pair[0] < from)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "a pattern of tokenizer.json takes too long on this text (at byte %zu of a run of %zu)",
                  from, subject.bytes);
    *found_out = true;
    *start_out = pair[0];
    *end_out = pair[1];
    return SNUG_OK;
}
