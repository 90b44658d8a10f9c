/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode.c - text to ids: added tokens are cut out, what lies between is normalized, cut again, split into
 * words and merged.
 */
#include "text/tables.h"

#include "base/size.h"
#include "base/status.h"
#include "text/character.h"

snug_status snug_encoding_put(snug_encoding *encoding, uint32_t id)
{
    if (encoding->count == encoding->capacity)
        SNUG_FAIL(encoding->error, SNUG_ERR_FULL, "the text has more than the %zu tokens there is room for",
                  encoding->capacity);
    encoding->ids[encoding->count++] = id;
    return SNUG_OK;
}

size_t snug_text_encode_bound(const snug_text *text, size_t bytes)
{
    uint64_t ids;

    if (!snug_multiply_u64(&ids, text->growth, bytes))
        return SIZE_MAX;
    if (!snug_add_u64(&ids, ids, text->before_count + text->after_count) || ids > SIZE_MAX)
        return SIZE_MAX;
    return (size_t)ids;
}

/* --- added tokens in text ------------------------------------------------------------------------------ */

static bool is_word_before(snug_str text, size_t end)
{
    size_t length;

    return end > 0 &&
           snug_code_is_word(snug_utf8_read(&length, text.data + snug_utf8_before(text.data, end)));
}

static bool is_word_at(snug_str text, size_t at)
{
    size_t length;

    return at < text.bytes && snug_code_is_word(snug_utf8_read(&length, text.data + at));
}

static size_t spaces_before(snug_str text, size_t end)
{
    size_t length;

    while (end > 0) {
        const size_t at = snug_utf8_before(text.data, end);

        if (!snug_code_is_space(snug_utf8_read(&length, text.data + at)))
            break;
        end = at;
    }
    return end;
}

static size_t spaces_after(snug_str text, size_t at)
{
    size_t length;

    while (at < text.bytes && snug_code_is_space(snug_utf8_read(&length, text.data + at)))
        at += length;
    return at;
}

typedef snug_status (*piece_fn)(snug_encoding *encoding, snug_str piece, bool is_first);

/* Added tokens of `set` become ids; `on_piece` gets what lies between them. */
static snug_status cut_added(snug_encoding *encoding, const snug_added_set *set, snug_str text, bool is_first,
                             piece_fn on_piece)
{
    snug_added_match match;
    size_t done = 0;
    size_t from = 0;

    while (snug_added_search(&match, encoding->text, set, text, from)) {
        from = match.end;
        if (match.token->is_special && (encoding->flags & SNUG_ENCODE_NO_PARSE_SPECIAL))
            continue;
        if (match.token->is_single_word && (is_word_before(text, match.start) || is_word_at(text, match.end)))
            continue;
        if (match.token->is_lstrip) /* not what the token before has already taken */
            match.start = snug_max_size(spaces_before(text, match.start), done);
        if (match.token->is_rstrip)
            match.end = spaces_after(text, match.end);
        if (done < match.start)
            SNUG_TRY(on_piece(encoding, (snug_str){ text.data + done, match.start - done },
                              is_first && done == 0));
        if (match.start < match.end) /* nothing is left of one whose spaces were taken */
            SNUG_TRY(snug_encoding_put(encoding, match.token->id));
        done = snug_max_size(done, match.end);
    }
    if (done < text.bytes)
        SNUG_TRY(
            on_piece(encoding, (snug_str){ text.data + done, text.bytes - done }, is_first && done == 0));
    return SNUG_OK;
}

static snug_status encode_words(snug_encoding *encoding, snug_str piece, bool is_first)
{
    return snug_split_run(encoding, 0, piece, is_first);
}

/* Take the guards out: what they kept apart is text now. */
static snug_status remove_guards(snug_encoding *encoding, snug_str *piece_inout)
{
    static const snug_str mark = { SNUG_TEXT_GUARD, sizeof SNUG_TEXT_GUARD - 1 };
    const snug_str piece = *piece_inout;
    snug_buffer *out = &encoding->unguarded;
    size_t done = 0;

    SNUG_TRY(snug_buffer_restart(out, piece.bytes, encoding->error));
    for (size_t at = 0; at + mark.bytes <= piece.bytes;) {
        if (memcmp(piece.data + at, mark.data, mark.bytes) != 0) {
            at++;
            continue;
        }
        SNUG_TRY(snug_buffer_append(out, (snug_str){ piece.data + done, at - done }, encoding->error));
        done = at += mark.bytes;
    }
    SNUG_TRY(snug_buffer_append(out, (snug_str){ piece.data + done, piece.bytes - done }, encoding->error));
    *piece_inout = snug_buffer_str(out);
    return SNUG_OK;
}

static snug_status encode_piece(snug_encoding *encoding, snug_str piece, bool is_first)
{
    if (encoding->flags & SNUG_ENCODE_GUARDED)
        SNUG_TRY(remove_guards(encoding, &piece));
    SNUG_TRY(
        snug_normalize(&piece, &encoding->normalizer, encoding->text, &encoding->matcher, encoding->error));
    return cut_added(encoding, &encoding->text->added_normalized, piece, is_first, encode_words);
}

/* --- the whole call ------------------------------------------------------------------------------------ */

static snug_status encode_all(snug_encoding *encoding, snug_str utf8)
{
    const snug_text *text = encoding->text;
    const bool is_adding = (encoding->flags & SNUG_ENCODE_ADD_SPECIAL) != 0;

    if (text->is_matcher_needed)
        SNUG_TRY(snug_matcher_init(&encoding->matcher, text->memory, encoding->error));
    for (uint32_t i = 0; is_adding && i < text->before_count; i++)
        SNUG_TRY(snug_encoding_put(encoding, text->before[i]));
    SNUG_TRY(cut_added(encoding, &text->added_raw, utf8, true, encode_piece));
    for (uint32_t i = 0; is_adding && i < text->after_count; i++)
        SNUG_TRY(snug_encoding_put(encoding, text->after[i]));
    return SNUG_OK;
}

snug_status snug_text_encode(const snug_text *text, uint32_t *ids_out, size_t capacity, size_t *count_out,
                             const char *utf8, size_t bytes, unsigned flags, snug_error *error)
{
    const size_t valid = bytes > 0 ? snug_utf8_valid_bytes(utf8, bytes) : 0;
    snug_error own_error = { SNUG_OK, "" };
    snug_encoding encoding = {
        .text = text,
        .ids = ids_out,
        .capacity = capacity,
        .flags = flags,
        .symbols = { .memory = text->memory },
        .unguarded = { .memory = text->memory },
        .error = error ? error : &own_error,
    };
    snug_status status;

    if (valid < bytes)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the text is not UTF-8: byte %zu of %zu is 0x%02X", valid, bytes,
                  (unsigned)(unsigned char)utf8[valid]);
    snug_normalizer_init(&encoding.normalizer, text->memory);
    for (size_t i = 0; i < SNUG_COUNT(encoding.split); i++)
        encoding.split[i].memory = text->memory;
    status = encode_all(&encoding, (snug_str){ utf8, bytes });
    snug_matcher_deinit(&encoding.matcher);
    snug_normalizer_deinit(&encoding.normalizer);
    for (size_t i = 0; i < SNUG_COUNT(encoding.split); i++)
        snug_buffer_deinit(&encoding.split[i]);
    snug_buffer_deinit(&encoding.symbols);
    snug_buffer_deinit(&encoding.unguarded);
    if (status == SNUG_OK)
        *count_out = encoding.count;
    return status;
}
