/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_decoder.c - the input is one byte for the kind of decoder and the flags, and then ids of two bytes
 * each, of tokens or beyond. As a stream they must give what they give at once: UTF-8, never more for one id
 * than the bound.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "memory/memory.h"
#include "text/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID_COUNT_MAX 4096u

/* Ids 0 to 255 are the bytes; these follow. */
static const char *const pieces[] = {
    "\xe2\x96\x81",     "\xe2\x96\x81the",  "x\xe2\x96\x81z\xe2\x96\x81",
    "\xc3\xa9\xc3\xa9", "\xf0\x9f\x98\x80", "<0x4",
    "<0xe2>",           "\xef\xbf\xbd",     " ",
    "\xc4\xa0hello",    "\xc3\xb0\xc5\x81",
};

#define PIECES(more)                                                                                         \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},"  \
    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}" more "]}"

static const char *const decoders[] = {
    "{\"type\":\"ByteLevel\"}",
    PIECES(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"),
    PIECES(""),
    "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}",
};

/* Byte 0 to 255 as the decoder's kind writes it, then the pieces that are UTF-8. */
static size_t write_tokenizer(char *json, size_t capacity, unsigned kind)
{
    size_t used = (size_t)snprintf(json, capacity,
                                   "{\"added_tokens\":[{\"id\":300,\"content\":\"<s>\",\"special\":true},"
                                   "{\"id\":301,\"content\":\"\xe2\x96\x81\xe2\x96\x81\",\"special\":false}],"
                                   "\"decoder\":%s,\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{",
                                   decoders[kind]);
    unsigned other = 256;

    for (unsigned byte = 0; byte < 256; byte++) {
        const bool is_itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        char code[5] = { 0 };

        code[snug_utf8_write(code, is_itself ? byte : other++)] = '\0';
        if (kind != 0)
            used += (size_t)snprintf(json + used, capacity - used, "\"<0x%02X>\":%u,", byte, byte);
        else
            used += (size_t)snprintf(json + used, capacity - used, "\"%s%s\":%u,",
                                     byte == '"' || byte == '\\' ? "\\" : "", code, byte);
    }
    for (unsigned i = 0; i < SNUG_COUNT(pieces); i++)
        used += (size_t)snprintf(json + used, capacity - used, "\"%s\":%u,", pieces[i], 256 + i);
    used--; /* the last comma */
    used += (size_t)snprintf(json + used, capacity - used, "}}}");
    SNUG_ASSERT(used < capacity);
    return used;
}

static void check_stream(const snug_text *text, const uint32_t *ids, size_t count, unsigned flags)
{
    size_t bytes = 0;
    size_t streamed = 0;
    snug_decoder decoder;
    char *out;
    char *piece = malloc(snug_decoder_bound(text));

    (void)!snug_text_decode(text, NULL, 0, &bytes, ids, count, flags);
    out = malloc(bytes + 1);
    SNUG_ASSERT(out && piece);
    SNUG_ASSERT(snug_text_decode(text, out, bytes, &bytes, ids, count, flags) == SNUG_OK);
    SNUG_ASSERT(snug_utf8_valid_bytes(out, bytes) == bytes);
    snug_decoder_init(&decoder, text, flags);
    for (size_t i = 0; i <= count; i++) {
        const size_t length =
            i < count ? snug_decoder_push(&decoder, ids[i], piece) : snug_decoder_finish(&decoder, piece);

        SNUG_ASSERT(length <= snug_decoder_bound(text));
        SNUG_ASSERT(snug_utf8_valid_bytes(piece, length) == length);
        SNUG_ASSERT(streamed + length <= bytes && memcmp(out + streamed, piece, length) == 0);
        streamed += length;
    }
    SNUG_ASSERT(streamed == bytes);
    free(piece);
    free(out);
}

/* Made once for each kind, and kept: making one takes a hundred times as long as decoding with it. */
static const snug_text *text_of(unsigned kind)
{
    static snug_text *texts[SNUG_COUNT(decoders)];
    static char json[SNUG_COUNT(decoders)][16384];
    snug_text_files files = { .tokenizer = { NULL } };
    snug_memory *memory = NULL;
    snug_error error;
    size_t bytes;

    if (texts[kind])
        return texts[kind];
    bytes = write_tokenizer(json[kind], sizeof json[kind], kind);
    SNUG_ASSERT(snug_json_check(&files.tokenizer, (snug_str){ json[kind], bytes }, &error) == SNUG_OK);
    SNUG_ASSERT(snug_memory_create(&memory, NULL) == SNUG_OK);
    SNUG_ASSERT(snug_text_create_from(&texts[kind], memory, &files, &error) == SNUG_OK);
    return texts[kind];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t *ids = malloc(ID_COUNT_MAX * sizeof *ids);
    size_t count = 0;

    SNUG_ASSERT(ids);
    for (size_t at = 1; at + 2 <= size && count < ID_COUNT_MAX; at += 2) {
        const uint32_t id = data[at] | (uint32_t)data[at + 1] << 8;

        ids[count++] = id == UINT16_MAX ? SNUG_ID_NONE : id % 310;
    }
    if (size > 0)
        check_stream(text_of(data[0] % SNUG_COUNT(decoders)), ids, count,
                     data[0] & 0x80u ? SNUG_DECODE_SKIP_SPECIAL : 0);
    free(ids);
    return 0;
}
