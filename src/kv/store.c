/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the page store: one arena per layer and side, committed tile by tile. All layers are in step:
 * each has memory for as many tiles as its rule needs for the same number of tokens.
 *
 * The estimate and the cache itself get their sizes from the same function (side_init), so that they
 * cannot differ.
 */
#include "kv/parts.h"

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

static snug_status check_options(const snug_kv_shape *shape, const snug_kv_options *options,
                                 snug_error *error)
{
    if (options->context_tokens == 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the cache must hold at least 1 token");
    if (!snug_kv_format_ops_of(options->key_format) || !snug_kv_format_ops_of(options->value_format))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "cache format %d / %d is not one this build knows",
                  (int)options->key_format, (int)options->value_format);
    SNUG_TRY(snug_kv_retention_check(&options->retention, error));
    if (snug_kv_format_ops_of(options->key_format) != snug_kv_format_ops_of(options->value_format))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "keys as %s and values as %s: this build wants the same format for both",
                  snug_kv_format_name(options->key_format), snug_kv_format_name(options->value_format));
    for (uint32_t i = 0; i < shape->layer_count; i++) {
        const snug_kv_layer *layer = &shape->layer[i];

        SNUG_ASSERT(layer->head_dim <= SNUG_HEAD_DIM_MAX && layer->kv_head_count > 0);
        SNUG_ASSERT(!layer->is_shared || (layer->source < i && !shape->layer[layer->source].is_shared));
    }
    return SNUG_OK;
}

static void side_init(snug_kv_side *side, const snug_kv_layer *shape, snug_kv_format format)
{
    side->format = snug_kv_format_ops_of(format);
    side->head_tile_bytes = side->format->head_tile_bytes(shape->head_dim);
    side->tile_bytes = side->head_tile_bytes * shape->kv_head_count;
}

static uint64_t struct_bytes(uint32_t layer_count)
{
    return sizeof(snug_kv) + layer_count * sizeof(snug_kv_store);
}

snug_status snug_kv_estimate(uint64_t *bytes_out, const snug_kv_shape *shape, const snug_kv_options *options,
                             uint32_t tokens, snug_error *error)
{
    const size_t page = snug_os_page_bytes();
    uint64_t bytes = snug_memory_block_bytes(struct_bytes(shape->layer_count));

    SNUG_TRY(check_options(shape, options, error));
    for (uint32_t i = 0; i < shape->layer_count; i++) {
        const snug_kv_rule rule = snug_kv_rule_make(shape, i, options);
        const size_t tiles = snug_kv_rule_tiles(&rule, snug_kv_tiles_for(tokens));
        snug_kv_side key, value;

        if (shape->layer[i].is_shared)
            continue;
        side_init(&key, &shape->layer[i], options->key_format);
        side_init(&value, &shape->layer[i], options->value_format);
        bytes += snug_round_up(tiles * key.tile_bytes, page);
        bytes += snug_round_up(tiles * value.tile_bytes, page);
    }
    *bytes_out = bytes;
    return SNUG_OK;
}

static snug_status store_init(snug_kv_store *store, snug_kv *kv, const snug_kv_shape *shapes, uint32_t index,
                              const snug_kv_options *options, snug_error *error)
{
    const snug_kv_layer *shape = &shapes->layer[index];
    size_t tiles;

    store->shape = *shape;
    store->rule = snug_kv_rule_make(shapes, index, options);
    tiles = snug_kv_rule_tiles(&store->rule, snug_kv_tiles_for(kv->context_tokens));
    if (shape->is_shared)
        return SNUG_OK;
    side_init(&store->key, shape, options->key_format);
    side_init(&store->value, shape, options->value_format);
    SNUG_TRY(snug_arena_init(&store->key.pages, kv->memory, SNUG_MEMORY_KV, tiles * store->key.tile_bytes,
                             "address space for the keys of one layer", error));
    return snug_arena_init(&store->value.pages, kv->memory, SNUG_MEMORY_KV, tiles * store->value.tile_bytes,
                           "address space for the values of one layer", error);
}

snug_status snug_kv_create(snug_kv **kv_out, const snug_kv_shape *shape, snug_memory *memory,
                           const snug_kernels *kernels, const snug_kv_options *options, snug_error *error)
{
    snug_kv *kv;
    snug_status status = SNUG_OK;

    *kv_out = NULL;
    SNUG_TRY(check_options(shape, options, error));
    kv = snug_memory_alloc(memory, SNUG_MEMORY_KV, struct_bytes(shape->layer_count), "the cache's table",
                           error);
    if (!kv)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    kv->memory = memory;
    kv->kernels = kernels;
    kv->retention = options->retention;
    if (kv->retention.kind == SNUG_KV_RETENTION_AUTO)
        kv->retention.kind = SNUG_KV_RETENTION_ALL;
    kv->context_tokens = options->context_tokens;
    kv->pass_tokens = snug_kv_pass_tokens(options);
    kv->layer_count = shape->layer_count;
    for (uint32_t i = 0; i < shape->layer_count && status == SNUG_OK; i++)
        status = store_init(&kv->store[i], kv, shape, i, options, error);
    if (status != SNUG_OK) {
        snug_kv_destroy(kv);
        return status;
    }
    *kv_out = kv;
    return SNUG_OK;
}

void snug_kv_destroy(snug_kv *kv)
{
    if (!kv)
        return;
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        snug_arena_deinit(&kv->store[i].key.pages);
        snug_arena_deinit(&kv->store[i].value.pages);
    }
    snug_memory_free(kv->memory, kv);
}

static void shrink_to(snug_kv *kv, uint32_t tiles)
{
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        snug_kv_store *store = &kv->store[i];
        const size_t kept = snug_kv_rule_tiles(&store->rule, tiles);

        if (store->shape.is_shared)
            continue;
        snug_arena_decommit(&store->key.pages, kept * store->key.tile_bytes);
        snug_arena_decommit(&store->value.pages, kept * store->value.tile_bytes);
    }
    kv->tiles = tiles;
}

snug_status snug_kv_grow(snug_kv *kv, uint32_t tokens, snug_error *error)
{
    const uint32_t tiles = snug_kv_tiles_for(tokens);
    const char *what = "more tokens in the attention cache";
    snug_status status = SNUG_OK;

    SNUG_ASSERT(tokens <= kv->context_tokens);
    if (tiles <= kv->tiles)
        return SNUG_OK;
    for (uint32_t i = 0; i < kv->layer_count && status == SNUG_OK; i++) {
        snug_kv_store *store = &kv->store[i];
        const size_t needed = snug_kv_rule_tiles(&store->rule, tiles);

        if (store->shape.is_shared)
            continue;
        status = snug_arena_commit(&store->key.pages, needed * store->key.tile_bytes, what, error);
        if (status == SNUG_OK)
            status = snug_arena_commit(&store->value.pages, needed * store->value.tile_bytes, what, error);
    }
    if (status != SNUG_OK) {
        shrink_to(kv, kv->tiles); /* some layers may have grown: all layers stay in step */
        return status;
    }
    kv->tiles = tiles;
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return SNUG_OK;
}

uint32_t snug_kv_room(const snug_kv *kv, uint32_t layer, uint32_t position)
{
    return snug_kv_rule_room(&kv->store[layer].rule, position);
}

static void write_side(const snug_kv *kv, const snug_kv_side *side, const snug_kv_layer *shape, uint32_t tile,
                       uint32_t slot, const float *x)
{
    unsigned char *at = side->pages.base + tile * side->tile_bytes;

    for (uint32_t head = 0; head < shape->kv_head_count; head++)
        side->format->write(kv->kernels, at + head * side->head_tile_bytes, slot,
                            x + (size_t)head * shape->head_dim, shape->head_dim);
}

void snug_kv_write(snug_kv *kv, uint32_t layer, uint32_t position, const float *key, const float *value)
{
    snug_kv_store *store = &kv->store[layer];
    const uint32_t tile = snug_kv_rule_place(&store->rule, position / SNUG_TILE_TOKENS);
    const uint32_t slot = position % SNUG_TILE_TOKENS;

    SNUG_ASSERT_DEBUG(layer < kv->layer_count && !store->shape.is_shared);
    SNUG_ASSERT_DEBUG(position / SNUG_TILE_TOKENS < kv->tiles);
    write_side(kv, &store->key, &store->shape, tile, slot, key);
    write_side(kv, &store->value, &store->shape, tile, slot, value);
}

void snug_kv_set_tokens(snug_kv *kv, uint32_t tokens)
{
    SNUG_ASSERT(tokens <= kv->context_tokens && snug_kv_tiles_for(tokens) <= kv->tiles);
    kv->tokens = tokens;
    if (tokens > kv->written)
        kv->written = tokens;
}

/* Whether every layer still has what the tokens after the first `tokens` will see. */
static bool is_whole(const snug_kv *kv, uint32_t tokens)
{
    for (uint32_t i = 0; i < kv->layer_count; i++)
        if (!kv->store[i].shape.is_shared && !snug_kv_rule_is_whole(&kv->store[i].rule, tokens, kv->written))
            return false;
    return true;
}

uint32_t snug_kv_truncate(snug_kv *kv, uint32_t tokens)
{
    if (tokens < kv->tokens)
        kv->tokens = is_whole(kv, tokens) ? tokens : 0;
    if (kv->tokens == 0)
        kv->written = 0;
    shrink_to(kv, snug_kv_tiles_for(kv->tokens));
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return kv->tokens;
}

uint32_t snug_kv_tokens(const snug_kv *kv)
{
    return kv->tokens;
}

uint32_t snug_kv_context_tokens(const snug_kv *kv)
{
    return kv->context_tokens;
}

uint64_t snug_kv_committed_bytes(const snug_kv *kv)
{
    uint64_t bytes = snug_memory_block_bytes(struct_bytes(kv->layer_count));

    for (uint32_t i = 0; i < kv->layer_count; i++)
        bytes += kv->store[i].key.pages.committed_bytes + kv->store[i].value.pages.committed_bytes;
    return bytes;
}

void snug_kv_read_info(snug_kv_info *info_out, const snug_kv *kv)
{
    snug_kv_info info = { .struct_size = info_out->struct_size, .retention = kv->retention };

    for (uint32_t i = 0; i < kv->layer_count; i++) {
        const snug_kv_store *store = &kv->store[i];

        if (store->shape.is_shared)
            continue;
        info.key_format = store->key.format->format;
        info.value_format = store->value.format->format;
        info.token_bytes += (store->key.tile_bytes + store->value.tile_bytes) / SNUG_TILE_TOKENS;
    }
    *info_out = info;
}

static bool is_side_valid(const snug_kv *kv, const snug_kv_side *side, size_t tiles)
{
    const size_t bytes = snug_round_up(tiles * side->tile_bytes, snug_os_page_bytes());

    return side->pages.memory == kv->memory && side->pages.committed_bytes == bytes &&
           side->pages.reserved_bytes >= bytes;
}

bool snug_kv_is_valid(const snug_kv *kv)
{
    if (kv->tokens > kv->written || kv->written > kv->context_tokens ||
        snug_kv_tiles_for(kv->tokens) > kv->tiles || kv->tiles > snug_kv_tiles_for(kv->context_tokens))
        return false;
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        const snug_kv_store *store = &kv->store[i];
        const snug_kv_rule *rule = &store->rule;
        const size_t tiles = snug_kv_rule_tiles(rule, kv->tiles);

        if (store->shape.is_shared) {
            if (store->key.pages.base || store->value.pages.base)
                return false;
            continue;
        }
        if (rule->ring_tiles == 0 || rule->sink_tiles != snug_kv_tiles_for(rule->sink_tokens) ||
            !is_side_valid(kv, &store->key, tiles) || !is_side_valid(kv, &store->value, tiles))
            return false;
    }
    return true;
}
