/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.c - ids to text, one at a time; decoding all at once is the same with a longer output.
 *
 * Bytes collect in `hold` until they are a character, or cannot become one. Byte-level text that is not UTF-8
 * gives one U+FFFD for each maximal subpart (as Rust's from_utf8_lossy); byte tokens of a SentencePiece
 * vocabulary give one for each byte. There, the tokenizers library takes back the sound characters of a run
 * of byte tokens when one byte later in the run is wrong. A stream cannot: sound characters stay.
 */
#include "text/tables.h"

#include "base/size.h"
#include "base/status.h"
#include "text/character.h"

/* Where text goes: what does not fit is counted, not written. */
typedef struct output {
    char *out;
    size_t capacity;
    size_t bytes;
} output;

static void sink_put(output *sink, const char *data, size_t bytes)
{
    if (bytes > 0 && sink->bytes < sink->capacity)
        memcpy(sink->out + sink->bytes, data, snug_min_size(bytes, sink->capacity - sink->bytes));
    sink->bytes += bytes;
}

/* Text of the decoder's output; the start of the whole may be stripped of one literal. */
static void put_text(snug_decoder *decoder, output *sink, const char *data, size_t bytes)
{
    const snug_str stripped = snug_literal_str(&decoder->text->decode.stripped);

    if (bytes == 0)
        return;
    if (!decoder->is_started && stripped.bytes > 0 && bytes >= stripped.bytes &&
        memcmp(data, stripped.data, stripped.bytes) == 0) {
        data += stripped.bytes;
        bytes -= stripped.bytes;
    }
    decoder->is_started = true;
    sink_put(sink, data, bytes);
}

static void put_replacement(snug_decoder *decoder, output *sink, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_text(decoder, sink, "\xef\xbf\xbd", 3);
}

static bool is_bytes_alone(const snug_text *text)
{
    return text->decode.kind == SNUG_DECODE_BYTE_LEVEL;
}

/* No byte will follow what is held. */
static void flush(snug_decoder *decoder, output *sink)
{
    if (decoder->held > 0)
        put_replacement(decoder, sink, is_bytes_alone(decoder->text) ? 1 : decoder->held);
    decoder->held = 0;
}

static void take_byte(snug_decoder *decoder, output *sink, unsigned char byte)
{
    const char *hold = (const char *)decoder->hold;

    decoder->hold[decoder->held++] = byte;
    while (decoder->held > 0) {
        size_t length;
        const snug_utf8_kind kind = snug_utf8_scan(&length, hold, decoder->held);

        if (kind == SNUG_UTF8_CUT)
            return;
        if (kind == SNUG_UTF8_VALID)
            put_text(decoder, sink, hold, length);
        else
            put_replacement(decoder, sink, is_bytes_alone(decoder->text) ? 1 : length);
        decoder->held -= (unsigned)length;
        memmove(decoder->hold, decoder->hold + length, decoder->held);
    }
}

/* --- byte-level ---------------------------------------------------------------------------------------- */

static bool is_byte_alphabet(snug_str piece)
{
    size_t length;

    for (size_t at = 0; at < piece.bytes; at += length) {
        const uint32_t code = snug_utf8_read(&length, piece.data + at);

        if (code >= SNUG_BYTE_CODE_END || snug_byte_from_code(code) < 0)
            return false;
    }
    return true;
}

/* A piece with a character outside the alphabet (an added token) stands for its own bytes. */
static void take_byte_level(snug_decoder *decoder, output *sink, snug_str piece)
{
    size_t length;

    if (!is_byte_alphabet(piece)) {
        for (size_t i = 0; i < piece.bytes; i++)
            take_byte(decoder, sink, (unsigned char)piece.data[i]);
        return;
    }
    for (size_t at = 0; at < piece.bytes; at += length)
        take_byte(decoder, sink,
                  (unsigned char)snug_byte_from_code(snug_utf8_read(&length, piece.data + at)));
}

/* --- pieces -------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "<0xE2>", or -1. */
static int byte_of_piece(snug_str piece)
{
    int high;
    int low;

    if (piece.bytes != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>')
        return -1;
    high = hex_digit(piece.data[3]);
    low = hex_digit(piece.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void take_piece(snug_decoder *decoder, output *sink, snug_str piece, bool is_first)
{
    const snug_decode_rules *rules = &decoder->text->decode;
    const snug_str replaced = snug_literal_str(&rules->replaced);
    const snug_str content = snug_literal_str(&rules->content);
    const int byte = rules->is_byte_fallback ? byte_of_piece(piece) : -1;
    size_t done = 0;

    if (byte >= 0) {
        take_byte(decoder, sink, (unsigned char)byte);
        return;
    }
    flush(decoder, sink);
    for (size_t at = 0; rules->is_replacing && at + replaced.bytes <= piece.bytes;) {
        if (memcmp(piece.data + at, replaced.data, replaced.bytes) != 0) {
            at++;
            continue;
        }
        put_text(decoder, sink, piece.data + done, at - done);
        if (!(is_first && rules->is_first_bare))
            put_text(decoder, sink, content.data, content.bytes);
        at += replaced.bytes;
        done = at;
    }
    put_text(decoder, sink, piece.data + done, piece.bytes - done);
    decoder->is_started = true;
}

static void take_id(snug_decoder *decoder, output *sink, uint32_t id)
{
    const snug_text *text = decoder->text;
    const snug_added_token *added = snug_added_by_id(text, id);
    snug_str piece;

    if (added && added->is_special && (decoder->flags & SNUG_DECODE_SKIP_SPECIAL))
        return;
    piece.data = snug_text_piece(text, id, &piece.bytes);
    if (piece.bytes == 0)
        return;
    if (text->decode.kind == SNUG_DECODE_BYTE_LEVEL)
        take_byte_level(decoder, sink, piece);
    else
        take_piece(decoder, sink, piece, !decoder->is_started && decoder->held == 0);
}

/* --- the public functions ------------------------------------------------------------------------------ */

const char *snug_text_piece(const snug_text *text, uint32_t id, size_t *bytes_out)
{
    const snug_added_token *added = snug_added_by_id(text, id);
    snug_str piece = { NULL, 0 };

    if (added)
        piece = snug_added_content(text, added);
    else if (id < text->id_count)
        piece = snug_vocabulary_piece(text, id);
    *bytes_out = piece.bytes;
    return piece.bytes > 0 ? piece.data : NULL;
}

snug_status snug_text_decode(const snug_text *text, char *out, size_t capacity, size_t *bytes_out,
                             const uint32_t *ids, size_t count, unsigned flags)
{
    output sink = { out, capacity, 0 };
    snug_decoder decoder;

    snug_decoder_init(&decoder, text, flags);
    for (size_t i = 0; i < count; i++)
        take_id(&decoder, &sink, ids[i]);
    flush(&decoder, &sink);
    *bytes_out = sink.bytes;
    return sink.bytes > capacity ? SNUG_ERR_FULL : SNUG_OK;
}

void snug_decoder_init(snug_decoder *decoder, const snug_text *text, unsigned flags)
{
    *decoder = (snug_decoder){ .text = text, .flags = flags };
}

size_t snug_decoder_bound(const snug_text *text)
{
    return text->decode_bound;
}

size_t snug_decoder_push(snug_decoder *decoder, uint32_t id, char *out)
{
    output sink = { out, decoder->text->decode_bound, 0 };

    take_id(decoder, &sink, id);
    SNUG_ASSERT(sink.bytes <= sink.capacity);
    return sink.bytes;
}

size_t snug_decoder_finish(snug_decoder *decoder, char *out)
{
    output sink = { out, decoder->text->decode_bound, 0 };

    flush(decoder, &sink);
    return sink.bytes;
}
