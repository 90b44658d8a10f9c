/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.c - the pre-tokenizer: runs the steps on a piece of text and passes on what they cut, word by word.
 *
 * Depth first: a step hands each of its parts to the next step at once, so that no list of parts is kept, and
 * the working memory is that of one word. The recursion is as deep as there are steps.
 */
#include "text/tables.h"

#include "base/status.h"
#include "text/character.h"

/* Parts of one step in one text. Parts that may still grow wait in [start, end). */
typedef struct parts {
    snug_encoding *encoding;
    const snug_split_step *step;
    uint32_t index; /* of the step */
    snug_str text;
    bool is_first;
    bool is_waiting;
    bool is_match; /* the waiting part counts as a match */
    size_t start;
    size_t end;
} parts;

static snug_status cut_emit(const parts *cut, size_t start, size_t end)
{
    if (start == end)
        return SNUG_OK;
    return snug_split_run(cut->encoding, cut->index + 1, (snug_str){ cut->text.data + start, end - start },
                          cut->is_first && start == 0);
}

static snug_status cut_flush(parts *cut)
{
    const bool is_waiting = cut->is_waiting;

    cut->is_waiting = false;
    return is_waiting ? cut_emit(cut, cut->start, cut->end) : SNUG_OK;
}

/* Whether a part joins the one that waits. */
static bool cut_joins(const parts *cut, bool is_match)
{
    if (!cut->is_waiting)
        return false;
    switch (cut->step->behavior) {
    case SNUG_BEHAVIOR_CONTIGUOUS:
        return cut->is_match == is_match;
    case SNUG_BEHAVIOR_MERGED_WITH_PREVIOUS:
        return is_match && !cut->is_match;
    case SNUG_BEHAVIOR_MERGED_WITH_NEXT:
        return !is_match && cut->is_match;
    case SNUG_BEHAVIOR_ISOLATED:
    case SNUG_BEHAVIOR_REMOVED:
        break;
    }
    return false;
}

/* The next part, [start, end): a match, or what lies between two. */
static snug_status cut_take(parts *cut, size_t start, size_t end, bool is_match)
{
    const snug_behavior behavior = cut->step->behavior;

    is_match = is_match != cut->step->is_inverted;
    if (behavior == SNUG_BEHAVIOR_ISOLATED || behavior == SNUG_BEHAVIOR_REMOVED)
        return behavior == SNUG_BEHAVIOR_REMOVED && is_match ? SNUG_OK : cut_emit(cut, start, end);
    if (cut_joins(cut, is_match)) {
        cut->end = end;
        cut->is_match = is_match;
        return SNUG_OK;
    }
    SNUG_TRY(cut_flush(cut));
    cut->is_waiting = true;
    cut->is_match = is_match;
    cut->start = start;
    cut->end = end;
    return SNUG_OK;
}

static snug_status split_pattern(parts *cut)
{
    snug_encoding *encoding = cut->encoding;
    snug_pattern_search search = { &cut->step->pattern, &encoding->matcher, cut->text, 0, SIZE_MAX };
    size_t done = 0;
    size_t start;
    size_t end;
    bool is_found;

    for (;;) {
        SNUG_TRY(snug_pattern_next(&is_found, &start, &end, &search, encoding->error));
        if (!is_found)
            break;
        if (start > done)
            SNUG_TRY(cut_take(cut, done, start, false));
        SNUG_TRY(cut_take(cut, start, end, true));
        done = end;
    }
    if (done < cut->text.bytes)
        SNUG_TRY(cut_take(cut, done, cut->text.bytes, false));
    return cut_flush(cut);
}

static snug_status split_digits(parts *cut)
{
    size_t done = 0;
    size_t length;

    for (size_t at = 0; at < cut->text.bytes; at += length) {
        if (!snug_code_is_number(snug_utf8_read(&length, cut->text.data + at)))
            continue;
        if (at > done)
            SNUG_TRY(cut_take(cut, done, at, false));
        SNUG_TRY(cut_take(cut, at, at + length, true));
        done = at + length;
    }
    if (done < cut->text.bytes)
        SNUG_TRY(cut_take(cut, done, cut->text.bytes, false));
    return cut_flush(cut);
}

static snug_status split_prefix(const parts *cut)
{
    snug_encoding *encoding = cut->encoding;
    snug_buffer *out = &encoding->split[cut->index];

    if (cut->text.data[0] == ' ')
        return snug_split_run(encoding, cut->index + 1, cut->text, cut->is_first);
    SNUG_TRY(snug_buffer_restart(out, cut->text.bytes + 1, encoding->error));
    out->data[out->bytes++] = ' ';
    SNUG_TRY(snug_buffer_append(out, cut->text, encoding->error));
    return snug_split_run(encoding, cut->index + 1, snug_buffer_str(out), cut->is_first);
}

static snug_status split_bytes(const parts *cut)
{
    snug_encoding *encoding = cut->encoding;
    snug_buffer *out = &encoding->split[cut->index];

    SNUG_TRY(snug_buffer_restart(out, 2 * cut->text.bytes, encoding->error));
    for (size_t i = 0; i < cut->text.bytes; i++) {
        const uint32_t code = snug_byte_to_code((unsigned char)cut->text.data[i]);

        out->bytes += snug_utf8_write(out->data + out->bytes, code);
    }
    return snug_split_run(encoding, cut->index + 1, snug_buffer_str(out), cut->is_first);
}

static snug_status split_metaspace(const parts *cut)
{
    snug_encoding *encoding = cut->encoding;
    const snug_split_step *step = cut->step;
    const snug_str replacement = snug_literal_str(&step->pattern.literal);
    const bool has_one =
        cut->text.data[0] == ' ' || (cut->text.bytes >= replacement.bytes &&
                                     memcmp(cut->text.data, replacement.data, replacement.bytes) == 0);
    snug_buffer *out = &encoding->split[cut->index];
    size_t done = 0;

    SNUG_TRY(snug_buffer_restart(out, cut->text.bytes + 16, encoding->error));
    if (!has_one &&
        (step->prepend == SNUG_PREPEND_ALWAYS || (step->prepend == SNUG_PREPEND_FIRST && cut->is_first)))
        SNUG_TRY(snug_buffer_append(out, replacement, encoding->error));
    for (size_t i = 0; i < cut->text.bytes; i++) {
        if (cut->text.data[i] != ' ')
            continue;
        SNUG_TRY(snug_buffer_append(out, (snug_str){ cut->text.data + done, i - done }, encoding->error));
        SNUG_TRY(snug_buffer_append(out, replacement, encoding->error));
        done = i + 1;
    }
    SNUG_TRY(snug_buffer_append(out, (snug_str){ cut->text.data + done, cut->text.bytes - done },
                                encoding->error));
    return snug_split_run(encoding, cut->index + 1, snug_buffer_str(out), cut->is_first);
}

snug_status snug_split_run(snug_encoding *encoding, uint32_t step, snug_str text, bool is_first)
{
    parts cut = { .encoding = encoding, .index = step, .text = text, .is_first = is_first };

    if (text.bytes == 0)
        return SNUG_OK;
    if (step == encoding->text->split_count)
        return snug_merge_word(encoding, text);
    cut.step = &encoding->text->split[step];
    switch (cut.step->kind) {
    case SNUG_SPLIT_PATTERN:
        return split_pattern(&cut);
    case SNUG_SPLIT_DIGITS:
        return split_digits(&cut);
    case SNUG_SPLIT_PREFIX:
        return split_prefix(&cut);
    case SNUG_SPLIT_BYTES:
        return split_bytes(&cut);
    case SNUG_SPLIT_METASPACE:
        return split_metaspace(&cut);
    }
    return SNUG_OK;
}
