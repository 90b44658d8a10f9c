/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tokenizer_model.c - tokenizers that are no tokenizer.json. The input is one byte for the kind, one for
 * the length of a text, the text, and the tokenizer: a tokenizer.model, or tokens of a GGUF file (for each a
 * byte of length, one of type, one of score, and its text; the same again without type and score are merges).
 * Whatever loads must encode or refuse, decode what it encoded (at once and as a stream, to the same bytes),
 * and give all its memory back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "memory/memory.h"
#include "text/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of the ledger: enough for honest inputs, and an end to the others. */
#define LIMIT_BYTES ((uint64_t)64 * 1024 * 1024)

/* Bits of the kind. */
enum {
    KIND_GGUF = 1,
    KIND_BY_SCORES = 2,
    KIND_PREFIX = 4,
    KIND_SQUEEZE = 8,
    KIND_PHI = 16
};

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
    uint32_t *ids = malloc((bound + 1) * sizeof *ids);
    size_t count = 0;
    snug_status status;

    SNUG_ASSERT(ids);
    status = snug_text_encode(text, ids, bound, &count, utf8, bytes, flags, NULL);
    SNUG_ASSERT(status != SNUG_ERR_FULL);
    if (status == SNUG_OK)
        check_decoding(text, ids, count);
    free(ids);
}

static void check_files(const snug_text_files *files, const char *utf8, size_t bytes)
{
    const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = LIMIT_BYTES };
    snug_memory *memory = NULL;
    snug_text *text = NULL;
    snug_error error;

    SNUG_ASSERT(snug_memory_create(&memory, &options) == SNUG_OK);
    if (snug_text_create_from(&text, memory, files, &error) == SNUG_OK) {
        check_encoding(text, utf8, bytes, 0);
        check_encoding(text, utf8, bytes, SNUG_ENCODE_ADD_SPECIAL | SNUG_ENCODE_NO_PARSE_SPECIAL);
    }
    snug_text_close(text);
    SNUG_ASSERT(snug_memory_read_all(memory).used_bytes == 0);
    snug_memory_destroy(memory);
}

/* Strings as GGUF stores them, and numbers as arrays of their own; each has room for 9 times the input. */
typedef struct strings {
    unsigned char *bytes;
    size_t used;
    uint64_t count;
} strings;

static void add_string(strings *out, const uint8_t *data, uint64_t bytes)
{
    memcpy(out->bytes + out->used, &bytes, sizeof bytes);
    if (bytes > 0)
        memcpy(out->bytes + out->used + sizeof bytes, data, bytes);
    out->used += sizeof bytes + bytes;
    out->count++;
}

static void check_gguf(unsigned kind, const uint8_t *data, size_t size, const char *utf8, size_t text_bytes)
{
    static const char *const names[] = { "llama-bpe", "qwen2", "gpt-2", "smollm" };
    unsigned char *room = calloc(4, 9 * size + 8);
    strings tokens = { room, 0, 0 };
    strings merges = { room + 9 * size + 8, 0, 0 };
    unsigned char *types = room + 2 * (9 * size + 8);
    unsigned char *scores = room + 3 * (9 * size + 8);
    snug_stored_vocabulary v = { .bos_id = 1, .eos_id = 2, .unknown_id = 0, .add_bos = SNUG_STORED_YES };
    size_t at = 0;

    SNUG_ASSERT(room);
    while (at + 3 <= size && data[at] < 0x80) { /* a length above begins the merges */
        const size_t bytes = data[at] < size - at - 3 ? data[at] : size - at - 3;
        const int32_t type = data[at + 1] % 8;
        const float score = (float)(int8_t)data[at + 2];

        memcpy(types + 4 * tokens.count, &type, sizeof type);
        memcpy(scores + 4 * tokens.count, &score, sizeof score);
        add_string(&tokens, data + at + 3, bytes);
        at += 3 + bytes;
    }
    while (at + 1 <= size) {
        const size_t length = data[at] & 0x7fu;
        const size_t bytes = length < size - at - 1 ? length : size - at - 1;

        add_string(&merges, data + at + 1, bytes);
        at += 1 + bytes;
    }
    v.architecture = snug_str_from(kind & KIND_PHI ? "phi3" : "llama");
    v.model = snug_str_from(kind & KIND_BY_SCORES ? "llama" : "gpt2");
    v.pre = snug_str_from(names[kind >> 6 & 3]);
    v.tokens = (snug_stored_strings){ tokens.bytes, tokens.count };
    v.merges = (snug_stored_strings){ merges.bytes, merges.count };
    v.types = types;
    v.scores = scores;
    v.add_space_prefix = kind & KIND_PREFIX ? SNUG_STORED_YES : SNUG_STORED_NO;
    v.remove_extra_whitespaces = kind & KIND_SQUEEZE ? SNUG_STORED_YES : SNUG_STORED_NO;
    check_files(&(snug_text_files){ .vocabulary = &v }, utf8, text_bytes);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t text_bytes;
    const char *utf8;

    if (size < 2 || (size_t)data[1] + 2 > size)
        return 0;
    text_bytes = data[1];
    utf8 = (const char *)data + 2;
    if (data[0] & KIND_GGUF)
        check_gguf(data[0], data + 2 + text_bytes, size - 2 - text_bytes, utf8, text_bytes);
    else if (size > 2 + text_bytes)
        check_files(&(snug_text_files){ .tokenizer_model = { utf8 + text_bytes, size - 2 - text_bytes } },
                    utf8, text_bytes);
    return 0;
}
