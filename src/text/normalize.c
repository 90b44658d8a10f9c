/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normalize.c - the steps of a normalizer, and what Unicode says about characters.
 *
 * Unicode normal forms are made segment by segment: a segment begins at a character that cannot join the one
 * before it (no mark, no Hangul vowel or final). So the working memory is that of the longest segment, and
 * text without marks, which is nearly all text, is passed through.
 */
#include "text/tables.h"

#include <utf8proc.h>

#include "base/size.h"
#include "base/status.h"
#include "text/character.h"

/* Most code points that one becomes: U+FDFA in NFKD has 18. */
#define DECOMPOSED_MAX 18

/* Runs of marks up to this length are sorted by insertion. */
#define INSERTION_MAX 64u

bool snug_code_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r');
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return true;
    default:
        return code == 0x85;
    }
}

static bool is_mark(utf8proc_category_t category)
{
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
           category == UTF8PROC_CATEGORY_ME;
}

bool snug_code_is_number(uint32_t code)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);

    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
           category == UTF8PROC_CATEGORY_NO;
}

/* Unicode technical standard 18, annex C: alphabetic, marks, decimal numbers, connectors, joiners. */
bool snug_code_is_word(uint32_t code)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    const bool is_circled_letter =
        (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
        (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);

    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) || is_mark(category) ||
           category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
           category == UTF8PROC_CATEGORY_PC || code == 0x200c || code == 0x200d || is_circled_letter;
}

/* --- Unicode normal forms ------------------------------------------------------------------------------ */

static utf8proc_option_t form_options(const snug_normalize_step *step)
{
    return step->is_compatibility ? UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT
                                  : UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
}

static size_t decompose(utf8proc_int32_t *codes, uint32_t code, const snug_normalize_step *step)
{
    int last_class = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)code, codes, DECOMPOSED_MAX,
                                                           form_options(step), &last_class);

    SNUG_ASSERT(count >= 0 && count <= DECOMPOSED_MAX);
    return (size_t)count;
}

/* Whether the form changes no such character, whatever stands around it, except that marks behind it may
 * join. U+0300 is the first mark, and the first character that NFC changes. */
static bool is_plain(uint32_t code, const snug_normalize_step *step)
{
    return code < (step->is_composed && !step->is_compatibility ? 0x300u : 0x80u);
}

/*
 * Whether a character begins a segment. Kirat Rai (U+16D40..) composes letters, alone among the scripts.
 * U+11A7 stands before the first final consonant of Hangul and composes with nothing, but utf8proc swallows
 * it behind a syllable: it never sees the two together.
 */
static bool is_beginning(uint32_t code, const snug_normalize_step *step)
{
    utf8proc_int32_t codes[DECOMPOSED_MAX];
    uint32_t first;

    if (is_plain(code, step))
        return true;
    if (decompose(codes, code, step) == 0)
        return false;
    first = (uint32_t)codes[0];
    return !is_mark(utf8proc_category((utf8proc_int32_t)first)) &&
           !(first >= 0x1160 && first <= 0x11ff && first != 0x11a7) &&
           !(first >= 0x16d40 && first <= 0x16d7f);
}

/* utf8proc's own ordering takes n^2 steps on a long run of marks; here it is n for each class there is. */
static void order_marks(utf8proc_int32_t *codes, size_t count, utf8proc_int32_t *spare)
{
    size_t filled = 0;

    if (count <= INSERTION_MAX) {
        for (size_t i = 1; i < count; i++) {
            const utf8proc_int32_t code = codes[i];
            const int class = utf8proc_get_property(code)->combining_class;
            size_t hole = i;

            for (; hole > 0 && utf8proc_get_property(codes[hole - 1])->combining_class > class; hole--)
                codes[hole] = codes[hole - 1];
            codes[hole] = code;
        }
        return;
    }
    for (int class = 1; class < 256 && filled < count; class ++) {
        for (size_t i = 0; i < count; i++) {
            if (utf8proc_get_property(codes[i])->combining_class == class)
                spare[filled++] = codes[i];
        }
    }
    memcpy(codes, spare, count * sizeof *codes);
}

static void order_segment(utf8proc_int32_t *codes, size_t count, utf8proc_int32_t *spare)
{
    for (size_t start = 0; start < count;) {
        size_t end = start;

        while (end < count && utf8proc_get_property(codes[end])->combining_class != 0)
            end++;
        if (end > start + 1)
            order_marks(codes + start, end - start, spare);
        start = end + 1;
    }
}

/* One segment behind what is in `out`. */
static snug_status append_segment(snug_buffer *out, snug_str segment, snug_buffer *codes,
                                  const snug_normalize_step *step, snug_error *error)
{
    utf8proc_int32_t *code;
    size_t count = 0;
    size_t length;

    SNUG_TRY(snug_buffer_restart(codes, 0, error));
    for (size_t at = 0; at < segment.bytes; at += length) {
        SNUG_TRY(snug_buffer_reserve(codes, DECOMPOSED_MAX * sizeof *code, error));
        code = (utf8proc_int32_t *)(void *)(codes->data + codes->bytes);
        count = decompose(code, snug_utf8_read(&length, segment.data + at), step);
        codes->bytes += count * sizeof *code;
    }
    count = codes->bytes / sizeof *code;
    SNUG_TRY(snug_buffer_reserve(codes, codes->bytes, error));
    code = (utf8proc_int32_t *)(void *)codes->data;
    order_segment(code, count, code + count);
    if (step->is_composed) {
        const utf8proc_ssize_t composed =
            utf8proc_normalize_utf32(code, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);

        SNUG_ASSERT(composed >= 0 && (size_t)composed <= count);
        count = (size_t)composed;
    }
    SNUG_TRY(snug_buffer_reserve(out, 4 * count, error));
    for (size_t i = 0; i < count; i++)
        out->bytes += snug_utf8_write(out->data + out->bytes, (uint32_t)code[i]);
    return SNUG_OK;
}

static size_t plain_bytes(snug_str text, const snug_normalize_step *step)
{
    size_t at = 0;
    size_t length;

    while (at < text.bytes && is_plain(snug_utf8_read(&length, text.data + at), step))
        at += length;
    return at;
}

static snug_status normalize_unicode(snug_str *text_inout, snug_buffer *out, snug_buffer *codes,
                                     const snug_normalize_step *step, snug_error *error)
{
    const snug_str text = *text_inout;
    size_t start = 0;

    if (plain_bytes(text, step) == text.bytes)
        return SNUG_OK;
    SNUG_TRY(snug_buffer_restart(out, text.bytes + 16, error));
    while (start < text.bytes) {
        const snug_str rest = { text.data + start, text.bytes - start };
        size_t end = plain_bytes(rest, step);
        size_t length;

        if (end > 0 && end < rest.bytes) /* a mark may follow: the last plain character waits for it */
            end = snug_utf8_before(rest.data, end);
        if (end > 0) {
            SNUG_TRY(snug_buffer_append(out, (snug_str){ rest.data, end }, error));
            start += end;
            continue;
        }
        end = snug_utf8_length(rest.data[0]);
        while (end < rest.bytes && !is_beginning(snug_utf8_read(&length, rest.data + end), step))
            end += length;
        SNUG_TRY(append_segment(out, (snug_str){ rest.data, end }, codes, step, error));
        start += end;
    }
    *text_inout = snug_buffer_str(out);
    return SNUG_OK;
}

/* --- the other steps ----------------------------------------------------------------------------------- */

static snug_status normalize_replace(snug_str *text_inout, snug_buffer *out, const snug_normalize_step *step,
                                     const snug_matcher *matcher, snug_error *error)
{
    const snug_str text = *text_inout;
    const snug_str content = snug_literal_str(&step->content);
    snug_pattern_search search = { &step->pattern, matcher, text, 0, SIZE_MAX };
    size_t copied = 0;
    size_t start;
    size_t end;
    bool is_found;

    SNUG_TRY(snug_buffer_restart(out, text.bytes + 16, error));
    for (;;) {
        SNUG_TRY(snug_pattern_next(&is_found, &start, &end, &search, error));
        if (!is_found)
            break;
        SNUG_TRY(snug_buffer_append(out, (snug_str){ text.data + copied, start - copied }, error));
        SNUG_TRY(snug_buffer_append(out, content, error));
        copied = end;
    }
    SNUG_TRY(snug_buffer_append(out, (snug_str){ text.data + copied, text.bytes - copied }, error));
    *text_inout = snug_buffer_str(out);
    return SNUG_OK;
}

static snug_status normalize_prepend(snug_str *text_inout, snug_buffer *out, const snug_normalize_step *step,
                                     snug_error *error)
{
    const snug_str content = snug_literal_str(&step->content);

    if (text_inout->bytes == 0)
        return SNUG_OK;
    SNUG_TRY(snug_buffer_restart(out, text_inout->bytes + content.bytes, error));
    SNUG_TRY(snug_buffer_append(out, content, error));
    SNUG_TRY(snug_buffer_append(out, *text_inout, error));
    *text_inout = snug_buffer_str(out);
    return SNUG_OK;
}

snug_status snug_normalize(snug_str *text_inout, snug_normalizer *normalizer, const snug_text *text,
                           const snug_matcher *matcher, snug_error *error)
{
    snug_str now = *text_inout;

    for (uint32_t i = 0; i < text->normalize_count; i++) {
        const snug_normalize_step *step = &text->normalize[i];
        /* The buffer that `now` does not lie in. */
        snug_buffer *out = &normalizer->text[now.data == normalizer->text[0].data ? 1 : 0];

        switch (step->kind) {
        case SNUG_NORMALIZE_UNICODE:
            SNUG_TRY(normalize_unicode(&now, out, &normalizer->codes, step, error));
            break;
        case SNUG_NORMALIZE_REPLACE:
            SNUG_TRY(normalize_replace(&now, out, step, matcher, error));
            break;
        case SNUG_NORMALIZE_PREPEND:
            SNUG_TRY(normalize_prepend(&now, out, step, error));
            break;
        }
    }
    *text_inout = now;
    return SNUG_OK;
}

void snug_normalizer_init(snug_normalizer *normalizer, snug_memory *memory)
{
    *normalizer = (snug_normalizer){ .text = { { .memory = memory }, { .memory = memory } },
                                     .codes = { .memory = memory } };
}

void snug_normalizer_deinit(snug_normalizer *normalizer)
{
    snug_buffer_deinit(&normalizer->text[0]);
    snug_buffer_deinit(&normalizer->text[1]);
    snug_buffer_deinit(&normalizer->codes);
}
