/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_model.c - writes a checkpoint folder with random weights, for measuring speed: a model of any
 * shape, at no download. The text it produces means nothing.
 *
 *   make_model FOLDER [--layers N] [--hidden N] [--heads N] [--kv-heads N] [--head-dim N] [--mlp N]
 *                     [--vocabulary N] [--context N] [--tied 0|1] [--type bf16|f16|f32]
 *                     [--family qwen3|llama] [--seed N]
 *
 * Without options: the shape of Qwen3-0.6B, 596 million parameters, 1.2 GB in bf16. FOLDER must exist. The
 * same options write the same bytes. Matrices are uniform with a variance of 1 / columns, so that what
 * flows through the layers keeps its size; norms are 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"

enum {
    VALUES_AT_ONCE = 4096, /* written in one piece */
    BYTE_TOKENS = 256,
    HEADER_UNIT = 64, /* tensors begin at a multiple of a cache line in the file */
};

static const char *const special_tokens[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };

enum {
    END_OF_TEXT = BYTE_TOKENS, /* ids, in the order of special_tokens */
    TURN_END = BYTE_TOKENS + 2,
};

typedef enum value_type {
    VALUE_BF16,
    VALUE_F16,
    VALUE_F32
} value_type;

static const struct {
    const char *option;
    const char *in_safetensors;
    const char *in_config;
    uint64_t bytes;
} value_types[] = {
    [VALUE_BF16] = { "bf16", "BF16", "bfloat16", 2 },
    [VALUE_F16] = { "f16", "F16", "float16", 2 },
    [VALUE_F32] = { "f32", "F32", "float32", 4 },
};

typedef struct shape {
    const char *folder;
    const char *family;
    value_type type;
    uint64_t layers, hidden, heads, kv_heads, head_dim, mlp, vocabulary, context, tied, seed;
} shape;

/* Called for each tensor, in the order of the file; columns 0: a vector of norms. */
typedef bool tensor_fn(void *user, const char *name, uint64_t rows, uint64_t columns);

static bool each_layer_tensor(const shape *s, uint64_t layer, tensor_fn *fn, void *user)
{
    const uint64_t query = s->heads * s->head_dim;
    const uint64_t kv = s->kv_heads * s->head_dim;
    const bool has_head_norms = strcmp(s->family, "qwen3") == 0;
    const struct {
        const char *name;
        uint64_t rows, columns;
        bool is_there;
    } tensors[] = {
        { "input_layernorm", s->hidden, 0, true },
        { "self_attn.q_proj", query, s->hidden, true },
        { "self_attn.k_proj", kv, s->hidden, true },
        { "self_attn.v_proj", kv, s->hidden, true },
        { "self_attn.q_norm", s->head_dim, 0, has_head_norms },
        { "self_attn.k_norm", s->head_dim, 0, has_head_norms },
        { "self_attn.o_proj", s->hidden, query, true },
        { "post_attention_layernorm", s->hidden, 0, true },
        { "mlp.gate_proj", s->mlp, s->hidden, true },
        { "mlp.up_proj", s->mlp, s->hidden, true },
        { "mlp.down_proj", s->hidden, s->mlp, true },
    };
    char name[128];

    for (size_t i = 0; i < SNUG_COUNT(tensors); i++) {
        snprintf(name, sizeof name, "model.layers.%" PRIu64 ".%s.weight", layer, tensors[i].name);
        if (tensors[i].is_there && !fn(user, name, tensors[i].rows, tensors[i].columns))
            return false;
    }
    return true;
}

static bool each_tensor(const shape *s, tensor_fn *fn, void *user)
{
    if (!fn(user, "model.embed_tokens.weight", s->vocabulary, s->hidden))
        return false;
    for (uint64_t layer = 0; layer < s->layers; layer++)
        if (!each_layer_tensor(s, layer, fn, user))
            return false;
    if (!fn(user, "model.norm.weight", s->hidden, 0))
        return false;
    return s->tied || fn(user, "lm_head.weight", s->vocabulary, s->hidden);
}

/* --- model.safetensors: the length of the header, the header, the values
 * --------------------------------- */

typedef struct weight_file {
    FILE *file;
    const shape *shape;
    uint64_t offset; /* of the next tensor, in the data */
    snug_random random;
} weight_file;

static bool write_entry(void *user, const char *name, uint64_t rows, uint64_t columns)
{
    weight_file *w = user;
    const uint64_t bytes = rows * (columns ? columns : 1) * value_types[w->shape->type].bytes;
    char dimensions[64];

    if (columns)
        snprintf(dimensions, sizeof dimensions, "%" PRIu64 ",%" PRIu64, rows, columns);
    else
        snprintf(dimensions, sizeof dimensions, "%" PRIu64, rows);
    fprintf(w->file, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
            w->offset ? "," : "", name, value_types[w->shape->type].in_safetensors, dimensions, w->offset,
            w->offset + bytes);
    w->offset += bytes;
    return true;
}

static void store_value(unsigned char *out, value_type type, float value)
{
    const uint16_t half = type == VALUE_BF16 ? snug_bf16_from_f32(value) : snug_f16_from_f32(value);

    if (type == VALUE_F32)
        memcpy(out, &value, sizeof value);
    else
        memcpy(out, &half, sizeof half);
}

static bool write_values(void *user, const char *name, uint64_t rows, uint64_t columns)
{
    weight_file *w = user;
    const value_type type = w->shape->type;
    const size_t value_bytes = (size_t)value_types[type].bytes;
    const uint64_t count = rows * (columns ? columns : 1);
    /* Uniform in [-a, a) has the variance a^2 / 3. */
    const float step = columns ? 2.0f * sqrtf(3.0f / (float)columns) * 0x1p-32f : 0.0f;
    unsigned char buffer[VALUES_AT_ONCE * sizeof(float)];

    (void)name;
    for (uint64_t done = 0; done < count; done += VALUES_AT_ONCE) {
        const size_t n = count - done < VALUES_AT_ONCE ? (size_t)(count - done) : VALUES_AT_ONCE;

        for (size_t i = 0; i < n; i++) {
            const int32_t at_random =
                columns ? (int32_t)(snug_random_next(&w->random) >> 33) - 0x40000000 : 0;

            store_value(buffer + i * value_bytes, type, columns ? 2.0f * (float)at_random * step : 1.0f);
        }
        if (fwrite(buffer, value_bytes, n, w->file) != n)
            return false;
    }
    return true;
}

static bool write_weights(FILE *file, const shape *s)
{
    weight_file w = { .file = file, .shape = s, .random = { s->seed } };
    unsigned char length[8] = { 0 };
    long header;

    if (fwrite(length, 1, sizeof length, file) != sizeof length || fputc('{', file) == EOF)
        return false;
    each_tensor(s, write_entry, &w);
    fputc('}', file);
    while ((header = ftell(file)) > 0 && header % HEADER_UNIT != 0)
        fputc(' ', file);
    if (header < 0)
        return false;
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)(((uint64_t)header - sizeof length) >> (8 * i));
    if (fseek(file, 0, SEEK_SET) != 0 || fwrite(length, 1, sizeof length, file) != sizeof length ||
        fseek(file, header, SEEK_SET) != 0)
        return false;
    return each_tensor(s, write_values, &w);
}

/* --- the files beside it
 * --------------------------------------------------------------------------------- */

static bool write_config(FILE *file, const shape *s)
{
    fprintf(file, "{\n \"architectures\": [\"%s\"],\n \"model_type\": \"%s\",\n",
            strcmp(s->family, "qwen3") == 0 ? "Qwen3ForCausalLM" : "LlamaForCausalLM", s->family);
    fprintf(file, " \"dtype\": \"%s\",\n \"hidden_act\": \"silu\",\n", value_types[s->type].in_config);
    fprintf(file, " \"hidden_size\": %" PRIu64 ",\n \"intermediate_size\": %" PRIu64 ",\n", s->hidden,
            s->mlp);
    fprintf(file, " \"num_hidden_layers\": %" PRIu64 ",\n \"num_attention_heads\": %" PRIu64 ",\n", s->layers,
            s->heads);
    fprintf(file, " \"num_key_value_heads\": %" PRIu64 ",\n \"head_dim\": %" PRIu64 ",\n", s->kv_heads,
            s->head_dim);
    fprintf(file, " \"vocab_size\": %" PRIu64 ",\n \"max_position_embeddings\": %" PRIu64 ",\n",
            s->vocabulary, s->context);
    fprintf(file, " \"rms_norm_eps\": 1e-06,\n \"rope_theta\": 1000000.0,\n \"rope_scaling\": null,\n");
    fprintf(file, " \"tie_word_embeddings\": %s,\n \"eos_token_id\": %d\n}\n", s->tied ? "true" : "false",
            END_OF_TEXT);
    return true;
}

static bool write_generation_config(FILE *file, const shape *s)
{
    (void)s;
    fprintf(file, "{\n \"do_sample\": true,\n \"temperature\": 0.6,\n \"top_k\": 20,\n \"top_p\": 0.95,\n");
    fprintf(file, " \"eos_token_id\": [%d, %d]\n}\n", TURN_END, END_OF_TEXT);
    return true;
}

/* The printable character that stands for a byte in a byte-level vocabulary: itself where it is printable in
 * Latin-1, else the next free one from U+0100 on. */
static unsigned byte_character(unsigned byte)
{
    unsigned next = 0x100;

    for (unsigned b = 0; b < BYTE_TOKENS; b++) {
        const bool is_itself = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);

        if (b == byte)
            return is_itself ? b : next;
        next += !is_itself;
    }
    return next;
}

static bool write_tokenizer(FILE *file, const shape *s)
{
    (void)s;
    fprintf(file, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
    for (unsigned i = 0; i < SNUG_COUNT(special_tokens); i++)
        fprintf(file,
                "%s{\"id\":%u,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                "\"normalized\":false,\"special\":true}",
                i ? "," : "", BYTE_TOKENS + i, special_tokens[i]);
    fprintf(file, "],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                  "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
                  "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                  "\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
                  "\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                  "\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{");
    for (unsigned byte = 0; byte < BYTE_TOKENS; byte++)
        fprintf(file, "%s\"\\u%04x\":%u", byte ? "," : "", byte_character(byte), byte);
    fprintf(file, "},\"merges\":[]}}\n");
    return true;
}

static bool write_tokenizer_config(FILE *file, const shape *s)
{
    fprintf(file, "{\n \"tokenizer_class\": \"Qwen2Tokenizer\",\n \"eos_token\": \"%s\",\n",
            special_tokens[2]);
    fprintf(file, " \"bos_token\": null,\n \"add_bos_token\": false,\n \"model_max_length\": %" PRIu64 ",\n",
            s->context);
    fprintf(file,
            " \"chat_template\": \"{%%- for m in messages %%}{{ '<|im_start|>' + m.role + '\\n' + m.content"
            " + '<|im_end|>\\n' }}{%%- endfor %%}{%%- if add_generation_prompt %%}"
            "{{ '<|im_start|>assistant\\n' }}{%%- endif %%}\"\n}\n");
    return true;
}

static bool write_file(const shape *s, const char *name, bool (*write)(FILE *, const shape *))
{
    char path[4096];
    FILE *file;
    bool is_good;

    if (snprintf(path, sizeof path, "%s/%s", s->folder, name) >= (int)sizeof path) {
        fprintf(stderr, "make_model: the path of the folder is too long\n");
        return false;
    }
    file = fopen(path, "wb");
    if (!file) {
        fprintf(stderr, "make_model: %s: %s\n", path, strerror(errno));
        return false;
    }
    is_good = write(file, s) && !ferror(file);
    if (fclose(file) != 0 || !is_good) {
        fprintf(stderr, "make_model: %s: could not be written: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

/* --- options
 * --------------------------------------------------------------------------------------------- */

static bool read_type(shape *s, const char *value)
{
    for (size_t i = 0; i < SNUG_COUNT(value_types); i++) {
        if (strcmp(value, value_types[i].option) == 0) {
            s->type = (value_type)i;
            return true;
        }
    }
    return false;
}

static bool read_option(shape *s, const char *option, const char *value)
{
    const struct {
        const char *option;
        uint64_t *out;
    } numbers[] = { { "--layers", &s->layers },     { "--hidden", &s->hidden },
                    { "--heads", &s->heads },       { "--kv-heads", &s->kv_heads },
                    { "--head-dim", &s->head_dim }, { "--mlp", &s->mlp },
                    { "--context", &s->context },   { "--vocabulary", &s->vocabulary },
                    { "--tied", &s->tied },         { "--seed", &s->seed } };

    if (strcmp(option, "--type") == 0)
        return read_type(s, value);
    if (strcmp(option, "--family") == 0) {
        s->family = value;
        return strcmp(value, "qwen3") == 0 || strcmp(value, "llama") == 0;
    }
    for (size_t i = 0; i < SNUG_COUNT(numbers); i++) {
        char *end;

        if (strcmp(option, numbers[i].option) != 0)
            continue;
        *numbers[i].out = strtoull(value, &end, 10);
        return *value >= '0' && *value <= '9' && *end == '\0' && *numbers[i].out <= 1u << 24;
    }
    return false;
}

int main(int argc, char **argv)
{
    shape s = { .family = "qwen3",
                .type = VALUE_BF16,
                .layers = 28,
                .hidden = 1024,
                .heads = 16,
                .kv_heads = 8,
                .head_dim = 128,
                .mlp = 3072,
                .vocabulary = 151936,
                .context = 40960,
                .tied = 1,
                .seed = 1 };

    if (argc < 2 || argv[1][0] == '-' || argc % 2 != 0) {
        fprintf(stderr,
                "usage: make_model FOLDER [--OPTION VALUE ...]; the options are in bench/README.md\n");
        return 2;
    }
    s.folder = argv[1];
    for (int i = 2; i < argc; i += 2) {
        if (!read_option(&s, argv[i], argv[i + 1])) {
            fprintf(stderr, "make_model: %s %s: no such option or value\n", argv[i], argv[i + 1]);
            return 2;
        }
    }
    if (s.vocabulary < BYTE_TOKENS + SNUG_COUNT(special_tokens)) {
        fprintf(stderr, "make_model: --vocabulary must be at least %zu: bytes and special tokens\n",
                BYTE_TOKENS + SNUG_COUNT(special_tokens));
        return 2;
    }
    return write_file(&s, "config.json", write_config) &&
                   write_file(&s, "generation_config.json", write_generation_config) &&
                   write_file(&s, "tokenizer.json", write_tokenizer) &&
                   write_file(&s, "tokenizer_config.json", write_tokenizer_config) &&
                   write_file(&s, "model.safetensors", write_weights)
               ? 0
               : 1;
}
