/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outline_scheme.c - which type each tensor of a published checkpoint has.
 */
#include "format/outline.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Values of a block of the K types. A row that is no whole number of them gets the type beside it. */
#define K_VALUES 256u

snug_status snug_outline_scheme_read(snug_outline_scheme *out, const char *text, snug_error *error)
{
    static const snug_outline_scheme known[] = {
        { SNUG_OUTLINE_PLAIN, SNUG_TYPE_F32, 0, "f32" },
        { SNUG_OUTLINE_PLAIN, SNUG_TYPE_F16, 0, "f16" },
        { SNUG_OUTLINE_PLAIN, SNUG_TYPE_BF16, 0, "bf16" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE2, 64, "affine2:64" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE3, 64, "affine3:64" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE4, 32, "affine4:32" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE4, 64, "affine4:64" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE5, 64, "affine5:64" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE6, 64, "affine6:64" },
        { SNUG_OUTLINE_AFFINE, SNUG_TYPE_AFFINE8, 64, "affine8:64" },
        { SNUG_OUTLINE_Q8_0, SNUG_TYPE_Q8_0, 0, "q8_0" },
        { SNUG_OUTLINE_Q4_K_M, SNUG_TYPE_Q4_K, 0, "q4_k_m" },
    };

    for (size_t i = 0; i < SNUG_COUNT(known); i++)
        if (strcmp(known[i].text, text) == 0) {
            *out = known[i];
            return SNUG_OK;
        }
    SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
              "weights \"%.40s\" are not known: expected f32, f16, bf16, affine4:64 (2 to 6 or 8 bits, or "
              "affine4:32), q8_0 or q4_k_m",
              text);
}

snug_type snug_outline_vector_type(const snug_outline_scheme *scheme)
{
    switch (scheme->mix) {
    case SNUG_OUTLINE_PLAIN:
        return scheme->type;
    case SNUG_OUTLINE_AFFINE:
        return SNUG_TYPE_BF16;
    case SNUG_OUTLINE_Q8_0:
    case SNUG_OUTLINE_Q4_K_M:
        break;
    }
    return SNUG_TYPE_F32;
}

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

/* The number behind "layers." */
static uint32_t layer_of(const char *name)
{
    const char *at = strstr(name, "layers.");
    uint32_t layer = 0;

    for (at = at ? at + strlen("layers.") : ""; *at >= '0' && *at <= '9' && layer < 100000; at++)
        layer = layer * 10 + (uint32_t)(*at - '0');
    return layer;
}

/* The first and the last eighth of the layers, and every third between them: llama.cpp gives these more. */
static bool is_favoured(uint32_t layer, uint32_t layer_count)
{
    const uint32_t eighth = layer_count / 8;

    return layer < eighth || layer >= 7 * layer_count / 8 || (layer - eighth) % 3 == 2;
}

static snug_type q4_k_m_type(const char *name, uint32_t layer_count, bool is_tied)
{
    const bool is_embedding = has(name, "embed_tokens.") || has(name, "token_embeddings.");

    if (has(name, "lm_head.") || (is_embedding && is_tied))
        return SNUG_TYPE_Q6_K;
    if (has(name, "qkv_proj."))
        return SNUG_TYPE_Q5_K;
    if ((has(name, "v_proj.") || has(name, "down_proj.")) && is_favoured(layer_of(name), layer_count))
        return SNUG_TYPE_Q6_K;
    return SNUG_TYPE_Q4_K;
}

/* What llama.cpp takes for rows that K blocks do not divide. */
static snug_type fitting(snug_type type, uint32_t columns)
{
    if (columns % 32 != 0)
        return SNUG_TYPE_F16;
    if (columns % K_VALUES == 0)
        return type;
    switch (type) {
    case SNUG_TYPE_Q4_K:
        return SNUG_TYPE_Q5_0;
    case SNUG_TYPE_Q5_K:
        return SNUG_TYPE_Q5_1;
    case SNUG_TYPE_Q6_K:
        return SNUG_TYPE_Q8_0;
    default:
        return type;
    }
}

snug_type snug_outline_matrix_type(uint32_t *group_out, const snug_outline_scheme *scheme, const char *name,
                                   uint32_t columns, uint32_t layer_count, bool is_tied)
{
    *group_out = 0;
    switch (scheme->mix) {
    case SNUG_OUTLINE_PLAIN:
        return scheme->type;
    case SNUG_OUTLINE_AFFINE:
        if (columns % scheme->group != 0)
            return SNUG_TYPE_BF16;
        *group_out = scheme->group;
        return scheme->type;
    case SNUG_OUTLINE_Q8_0:
    case SNUG_OUTLINE_Q4_K_M:
        break;
    }
    /* Gemma 3n's small matrices beside the layers proper. */
    if (has(name, "altup") || has(name, "laurel") || has(name, "per_layer_model_projection"))
        return SNUG_TYPE_F16;
    if (scheme->mix == SNUG_OUTLINE_Q8_0)
        return fitting(SNUG_TYPE_Q8_0, columns);
    return fitting(q4_k_m_type(name, layer_count, is_tied), columns);
}
