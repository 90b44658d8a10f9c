/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.c - what each layer of a cache holds now, for those who want to see it.
 */
#include "kv/parts.h"

#include "base/status.h"

static const char *const kind_names[] = { "unknown", "all", "window", "rotating", "chunked", "shared" };

const char *snug_kv_layer_kind_name(snug_kv_layer_kind kind)
{
    return (size_t)kind < SNUG_COUNT(kind_names) ? kind_names[kind] : kind_names[0];
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The narrowest bound of what a query sees. */
static void describe_bound(snug_kv_layer_info *info, const snug_kv_rule *rule)
{
    const uint32_t bound = least(least(rule->window_tokens, rule->recent_tokens), rule->chunk_tokens);

    info->kind = SNUG_KV_LAYER_ALL;
    if (bound == SNUG_KV_UNBOUNDED)
        return;
    info->bound_tokens = bound;
    if (bound == rule->window_tokens)
        info->kind = SNUG_KV_LAYER_WINDOW;
    else
        info->kind = bound == rule->chunk_tokens ? SNUG_KV_LAYER_CHUNKED : SNUG_KV_LAYER_ROTATING;
    if (rule->sink_tokens > 0)
        info->sink_tokens = rule->sink_tokens;
}

static void count_tokens(snug_kv_side_info *info, uint32_t bits, uint32_t tokens)
{
    snug_kv_width *last = info->width_count > 0 ? &info->width[info->width_count - 1] : NULL;

    for (uint32_t i = 0; i < info->width_count; i++)
        if (info->width[i].bits == bits)
            last = &info->width[i];
    if (!last || last->bits != bits) {
        SNUG_ASSERT(info->width_count < SNUG_KV_WIDTHS_MAX);
        last = &info->width[info->width_count++];
        *last = (snug_kv_width){ .bits = bits };
    }
    last->tokens += tokens;
}

static void describe_side(snug_kv_side_info *info, const snug_kv *kv, uint32_t layer,
                          const snug_kv_side *side)
{
    const snug_kv_store *store = &kv->store[layer];
    const uint32_t first_kept = snug_kv_first_kept(kv, layer);

    *info = (snug_kv_side_info){ .coding = side->coding, .bytes = snug_kv_side_committed(side) };
    if (!side->has_codes) /* planned, perhaps, but nothing of this layer ever becomes codes */
        info->coding = (snug_kv_coding){ .format = side->rows->kind == SNUG_TILE_F32 ? SNUG_KV_FORMAT_F32
                                                                                     : SNUG_KV_FORMAT_F16 };
    for (uint32_t tile = 0; tile < snug_kv_tiles_for(kv->tokens); tile++) {
        const bool is_code =
            side->has_codes && tile >= store->first_tiles && tile < snug_kv_store_codes_end(store);

        if (tile < store->rule.sink_tiles || tile >= first_kept)
            count_tokens(info,
                         is_code ? snug_kv_side_bits(side, tile - store->first_tiles)
                                 : 8 * (uint32_t)side->rows->value_bytes,
                         least(SNUG_TILE_TOKENS, kv->tokens - tile * SNUG_TILE_TOKENS));
    }
}

/* What was asked for and is not so here, with the reason; "" where all is. */
static const char *skipped(const snug_kv *kv, const snug_kv_store *store)
{
    const bool is_planned = snug_kv_format_is_coded(store->key.coding.format) ||
                            snug_kv_format_is_coded(store->value.coding.format);

    if (is_planned && !store->has_codes)
        return "nothing becomes codes: all that the layer keeps is among the tokens that stay exact";
    if (kv->config.retention.sink_tokens > 0 && store->rule.sink_tokens == 0)
        return "the first tokens are not kept: the model's window, which is narrower, hides them";
    if (store->has_codes && store->first_tiles < snug_kv_tiles_for(kv->first_exact_tokens))
        return "the first tokens are not kept exact: the layer does not keep them";
    return "";
}

snug_status snug_kv_describe(snug_kv_layer_info *info_out, const snug_kv *kv, uint32_t layer,
                             snug_error *error)
{
    const size_t struct_size = info_out->struct_size;
    const snug_kv_store *store;

    if (layer >= kv->layer_count)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "layer %u was asked for; the cache has %u", layer,
                  kv->layer_count);
    store = &kv->store[layer];
    *info_out = (snug_kv_layer_info){ .struct_size = struct_size, .skipped = "" };
    if (store->shape.is_shared) {
        info_out->kind = SNUG_KV_LAYER_SHARED;
        info_out->source = store->shape.source;
        info_out->skipped = "keeps nothing itself: it reads what an earlier layer keeps";
        return SNUG_OK;
    }
    describe_bound(info_out, &store->rule);
    describe_side(&info_out->key, kv, layer, &store->key);
    describe_side(&info_out->value, kv, layer, &store->value);
    info_out->skipped = skipped(kv, store);
    return SNUG_OK;
}
