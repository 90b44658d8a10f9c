/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tokenizer.c - the input is a tokenizer.json, a zero byte, and a text to encode with it. Whatever loads
 * must encode or refuse, decode what it encoded (at once and as a stream, to the same bytes), and give all
 * its memory back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "memory/memory.h"
#include "text/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of the ledger: enough for honest inputs, and an end to the others. */
#define LIMIT_BYTES    ((uint64_t)64 * 1024 * 1024)
#define TEXT_BYTES_MAX 4096u

static void check_decoding(const snug_text *text, const uint32_t *ids, size_t count)
{
    size_t bytes = 0;
    size_t streamed = 0;
    snug_decoder decoder;
    char *out;
    char *piece;

    (void)!snug_text_decode(text, NULL, 0, &bytes, ids, count, 0);
    out = malloc(bytes + 1);
    piece = malloc(snug_decoder_bound(text));
    SNUG_ASSERT(out && piece);
    SNUG_ASSERT(snug_text_decode(text, out, bytes, &bytes, ids, count, 0) == SNUG_OK);
    snug_decoder_init(&decoder, text, 0);
    for (size_t i = 0; i <= count; i++) {
        const size_t length =
            i < count ? snug_decoder_push(&decoder, ids[i], piece) : snug_decoder_finish(&decoder, piece);

        SNUG_ASSERT(streamed + length <= bytes && memcmp(out + streamed, piece, length) == 0);
        streamed += length;
    }
    SNUG_ASSERT(streamed == bytes);
    free(piece);
    free(out);
}

static void check_encoding(const snug_text *text, const char *utf8, size_t bytes, unsigned flags)
{
    const size_t bound = snug_text_encode_bound(text, bytes);
    const size_t capacity = bound < 16 * TEXT_BYTES_MAX ? bound : 16 * TEXT_BYTES_MAX;
    uint32_t *ids = malloc((capacity + 1) * sizeof *ids);
    size_t count = 0;
    snug_status status;

    SNUG_ASSERT(ids);
    status = snug_text_encode(text, ids, capacity, &count, utf8, bytes, flags, NULL);
    SNUG_ASSERT(status != SNUG_ERR_FULL || bound > capacity);
    if (status == SNUG_OK)
        check_decoding(text, ids, count);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = LIMIT_BYTES };
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t json_bytes = zero ? (size_t)(zero - data) : size;
    const char *utf8 = zero ? (const char *)zero + 1 : "the text";
    const size_t text_bytes = zero ? size - json_bytes - 1 : strlen("the text");
    snug_memory *memory = NULL;
    snug_text *text = NULL;
    snug_error error;
    snug_text_files files = { .tokenizer = { NULL } };

    if (snug_json_check(&files.tokenizer, (snug_str){ (const char *)data, json_bytes }, &error) != SNUG_OK)
        return 0;
    SNUG_ASSERT(snug_memory_create(&memory, &options) == SNUG_OK);
    if (snug_text_create_from(&text, memory, &files, &error) == SNUG_OK && text_bytes <= TEXT_BYTES_MAX) {
        check_encoding(text, utf8, text_bytes, 0);
        check_encoding(text, utf8, text_bytes, SNUG_ENCODE_ADD_SPECIAL | SNUG_ENCODE_NO_PARSE_SPECIAL);
    }
    snug_text_close(text);
    SNUG_ASSERT(snug_memory_read_all(memory).used_bytes == 0);
    snug_memory_destroy(memory);
    return 0;
}
