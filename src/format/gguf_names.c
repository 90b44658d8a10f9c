/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_names.c - one table of names for all architectures, and the few names that differ between them.
 */
#include "format/gguf_names.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/tensor.h"

typedef struct name_row {
    const char *gguf;         /* behind "blk.N." where `is_layer` */
    const char *hugging_face; /* behind the architecture's prefix, and "layers.N." where `is_layer` */
    bool is_layer;
    bool is_stack;  /* [count][rows][columns]: "%" in the name stands for the number of each */
    bool is_global; /* no prefix */
} name_row;

#define LAYER(from, to)                                                                                      \
    {                                                                                                        \
        (from), (to), true, false, false                                                                     \
    }
#define MODEL(from, to)                                                                                      \
    {                                                                                                        \
        (from), (to), false, false, false                                                                    \
    }

static const name_row common[] = {
    MODEL("token_embd.weight", "embed_tokens.weight"),
    MODEL("output_norm.weight", "norm.weight"),
    { "output.weight", "lm_head.weight", false, false, true },
    LAYER("attn_norm.weight", "input_layernorm.weight"),
    LAYER("attn_q.weight", "self_attn.q_proj.weight"),
    LAYER("attn_k.weight", "self_attn.k_proj.weight"),
    LAYER("attn_v.weight", "self_attn.v_proj.weight"),
    LAYER("attn_qkv.weight", "self_attn.qkv_proj.weight"),
    LAYER("attn_output.weight", "self_attn.o_proj.weight"),
    LAYER("attn_q_norm.weight", "self_attn.q_norm.weight"),
    LAYER("attn_k_norm.weight", "self_attn.k_norm.weight"),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight"),
    LAYER("ffn_gate.weight", "mlp.gate_proj.weight"),
    LAYER("ffn_up.weight", "mlp.up_proj.weight"),
    LAYER("ffn_down.weight", "mlp.down_proj.weight"),
};

static const name_row phi3[] = {
    LAYER("ffn_up.weight", "mlp.gate_up_proj.weight"),
};

static const name_row gemma3[] = {
    LAYER("post_attention_norm.weight", "post_attention_layernorm.weight"),
    LAYER("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
    LAYER("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
};

static const name_row gemma3n[] = {
    LAYER("post_attention_norm.weight", "post_attention_layernorm.weight"),
    LAYER("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
    LAYER("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
    MODEL("per_layer_token_embd.weight", "embed_tokens_per_layer.weight"),
    MODEL("per_layer_model_proj.weight", "per_layer_model_projection.weight"),
    MODEL("per_layer_proj_norm.weight", "per_layer_projection_norm.weight"),
    { "altup_proj.weight", "altup_projections.%.weight", false, true, false },
    { "altup_unembd_proj.weight", "altup_unembed_projections.%.weight", false, true, false },
    LAYER("inp_gate.weight", "per_layer_input_gate.weight"),
    LAYER("proj.weight", "per_layer_projection.weight"),
    LAYER("post_norm.weight", "post_per_layer_input_norm.weight"),
    LAYER("altup_correct_coef.weight", "altup.correction_coefs.weight"),
    LAYER("altup_correct_scale.weight", "altup.correct_output_scale"),
    LAYER("altup_predict_coef.weight", "altup.prediction_coefs.weight"),
    LAYER("altup_router.weight", "altup.modality_router.weight"),
    LAYER("altup_router_norm.weight", "altup.router_norm.weight"),
    LAYER("laurel_l.weight", "laurel.linear_left.weight"),
    LAYER("laurel_r.weight", "laurel.linear_right.weight"),
    LAYER("laurel_post_norm.weight", "laurel.post_laurel_norm.weight"),
};

/* GGUF has the two halves of proj_1 apart: gate and up have names that no published file has. */
static const name_row openelm[] = {
    MODEL("token_embd.weight", "token_embeddings.weight"),
    LAYER("attn_norm.weight", "attn_norm.weight"),
    LAYER("attn_qkv.weight", "attn.qkv_proj.weight"),
    LAYER("attn_output.weight", "attn.out_proj.weight"),
    LAYER("attn_q_norm.weight", "attn.q_norm.weight"),
    LAYER("attn_k_norm.weight", "attn.k_norm.weight"),
    LAYER("ffn_norm.weight", "ffn_norm.weight"),
    LAYER("ffn_gate.weight", "ffn.gate.weight"),
    LAYER("ffn_up.weight", "ffn.up.weight"),
    LAYER("ffn_down.weight", "ffn.proj_2.weight"),
};

/* Rows of an architecture come before the common ones. */
static const struct architecture {
    const char *name;
    const char *prefix;
    const name_row *rows;
    size_t count;
} architectures[] = {
    { "phi3", "model.", phi3, SNUG_COUNT(phi3) },
    { "gemma3", "model.", gemma3, SNUG_COUNT(gemma3) },
    { "gemma3n", "model.", gemma3n, SNUG_COUNT(gemma3n) },
    { "openelm", "transformer.", openelm, SNUG_COUNT(openelm) },
};

static const struct architecture *find_architecture(snug_str name)
{
    static const struct architecture other = { "", "model.", NULL, 0 };

    for (size_t i = 0; i < SNUG_COUNT(architectures); i++)
        if (snug_str_is(name, architectures[i].name))
            return &architectures[i];
    return &other;
}

/* "blk.12.attn_q.weight": `number` is "12", `rest` what stands behind it. Not of a layer: number is empty. */
typedef struct split_name {
    snug_str number;
    snug_str rest;
} split_name;

static split_name split(snug_str name)
{
    static const char prefix[] = "blk.";
    const size_t prefix_bytes = sizeof prefix - 1;
    size_t end = prefix_bytes;

    if (name.bytes > prefix_bytes && memcmp(name.data, prefix, prefix_bytes) == 0)
        while (end < name.bytes && name.data[end] >= '0' && name.data[end] <= '9')
            end++;
    if (end == prefix_bytes || end >= name.bytes || name.data[end] != '.')
        return (split_name){ .rest = name };
    return (split_name){ { name.data + prefix_bytes, end - prefix_bytes },
                         { name.data + end + 1, name.bytes - end - 1 } };
}

static const name_row *find_in(const name_row *rows, size_t count, const split_name *name)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].is_layer == (name->number.bytes > 0) && snug_str_is(name->rest, rows[i].gguf))
            return &rows[i];
    return NULL;
}

static const name_row *find_row(const struct architecture *architecture, const split_name *name)
{
    const name_row *row = find_in(architecture->rows, architecture->count, name);

    return row ? row : find_in(common, SNUG_COUNT(common), name);
}

typedef struct name_writer {
    char *out; /* NULL: only count */
    size_t bytes;
} name_writer;

static void put(name_writer *w, const char *data, size_t bytes)
{
    if (w->out && bytes > 0)
        memcpy(w->out + w->bytes, data, bytes);
    w->bytes += bytes;
}

/* The name of a row; `index` replaces the "%" of a stack, which has at most 10. */
static void put_name(name_writer *w, const struct architecture *architecture, const name_row *row,
                     const split_name *name, unsigned index)
{
    const char digit = (char)('0' + index);
    const char *percent = strchr(row->hugging_face, '%');
    const size_t before = percent ? (size_t)(percent - row->hugging_face) : strlen(row->hugging_face);

    if (!row->is_global)
        put(w, architecture->prefix, strlen(architecture->prefix));
    if (row->is_layer) {
        put(w, "layers.", 7);
        put(w, name->number.data, name->number.bytes);
        put(w, ".", 1);
    }
    put(w, row->hugging_face, before);
    if (percent) {
        put(w, &digit, 1);
        put(w, percent + 1, strlen(percent + 1));
    }
}

#define STACK_MAX 10

static size_t parts_of(const name_row *row, const snug_tensor *tensor)
{
    return row && row->is_stack && tensor->rank == 3 ? (size_t)tensor->shape[0] : 1;
}

snug_status snug_gguf_count_names(size_t *tensor_count_inout, size_t *name_bytes_inout,
                                  const snug_tensor *tensors, size_t count, snug_str architecture,
                                  snug_error *error)
{
    const struct architecture *a = find_architecture(architecture);
    name_writer w = { NULL, *name_bytes_inout };

    for (size_t i = 0; i < count; i++) {
        const split_name name = split(tensors[i].name);
        const name_row *row = find_row(a, &name);
        const size_t parts = parts_of(row, &tensors[i]);

        if (parts < 1 || parts > STACK_MAX)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '%.*s' stacks %zu matrices, expected 1 to %d",
                      SNUG_STR_ARGS(snug_tensor_name_for_text(&tensors[i])), parts, STACK_MAX);
        *tensor_count_inout += parts;
        for (unsigned part = 0; row && part < parts; part++)
            put_name(&w, a, row, &name, part);
    }
    *name_bytes_inout = w.bytes;
    return SNUG_OK;
}

/* Matrix `part` of a stack of `parts`. */
static snug_tensor part_of(const snug_tensor *stack, size_t part, size_t parts)
{
    snug_tensor tensor = *stack;

    if (stack->rank != 3)
        return tensor;
    tensor.bytes = stack->bytes / parts;
    tensor.data = (const unsigned char *)stack->data + part * tensor.bytes;
    tensor.rank = 2;
    tensor.shape[0] = stack->shape[1];
    tensor.shape[1] = stack->shape[2];
    tensor.shape[2] = 0;
    return tensor;
}

void snug_gguf_translate_names(snug_tensor *tensors_out, char *names_out, const snug_tensor *tensors,
                               size_t count, snug_str architecture)
{
    const struct architecture *a = find_architecture(architecture);
    name_writer w = { names_out, 0 };

    for (size_t i = 0; i < count; i++) {
        const split_name name = split(tensors[i].name);
        const name_row *row = find_row(a, &name);
        const size_t parts = parts_of(row, &tensors[i]);

        for (unsigned part = 0; part < parts; part++) {
            const size_t begin = w.bytes;

            *tensors_out = row && row->is_stack ? part_of(&tensors[i], part, parts) : tensors[i];
            if (row) {
                put_name(&w, a, row, &name, part);
                tensors_out->name = (snug_str){ names_out + begin, w.bytes - begin };
            }
            tensors_out++;
        }
    }
}
