/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the cache as a whole: all layers in step, each with memory for what its rule and its formats need
 * for the same number of tokens (layer.c).
 */
#include "kv/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Keys and values of one layer as the config has them. `whose`: "" or " of layer 3". */
static snug_status check_codings(const snug_kv_config *config, uint32_t index, const snug_kv_layer *layer,
                                 const char *whose, snug_error *error)
{
    const snug_kv_coding key = snug_kv_config_key(config, index);
    const snug_kv_coding value = snug_kv_config_value(config, index);
    char name[32];

    snprintf(name, sizeof name, "keys%s", whose);
    SNUG_TRY(snug_kv_coding_check(&key, name, layer->head_dim, error));
    snprintf(name, sizeof name, "values%s", whose);
    SNUG_TRY(snug_kv_coding_check(&value, name, layer->head_dim, error));
    if ((key.format == SNUG_KV_FORMAT_F32) != (value.format == SNUG_KV_FORMAT_F32))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "keys%s as %s and values as %s: f32 is for both or for none",
                  whose, snug_kv_format_name(key.format), snug_kv_format_name(value.format));
    return SNUG_OK;
}

/* Formats that layers have of their own. */
static snug_status check_layers(const snug_kv_shape *shape, const snug_kv_config *config, snug_error *error)
{
    for (uint32_t i = 0; i < SNUG_KV_LAYERS_MAX; i++) {
        char whose[16];

        if (!snug_kv_config_names_layer(config, i))
            continue;
        if (i >= shape->layer_count)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                      "layer %u was given a cache format of its own; this model has the layers 0 to %u", i,
                      shape->layer_count - 1);
        if (shape->layer[i].is_shared)
            SNUG_FAIL(
                error, SNUG_ERR_ARGUMENT,
                "layer %u was given a cache format of its own, but it keeps nothing: it reads what layer "
                "%u keeps, which can have one",
                i, shape->layer[i].source);
        snprintf(whose, sizeof whose, " of layer %u", i);
        SNUG_TRY(check_codings(config, i, &shape->layer[i], whose, error));
    }
    return SNUG_OK;
}

static snug_status check_options(const snug_kv_shape *shape, const snug_kv_options *options,
                                 snug_error *error)
{
    if (options->context_tokens == 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the cache must hold at least 1 token");
    SNUG_TRY(snug_kv_retention_check(&options->config.retention, error));
    for (uint32_t i = 0; i < shape->layer_count; i++) {
        const snug_kv_layer *layer = &shape->layer[i];

        SNUG_ASSERT(layer->head_dim <= SNUG_HEAD_DIM_MAX && layer->kv_head_count > 0);
        SNUG_ASSERT(!layer->is_shared || (layer->source < i && !shape->layer[layer->source].is_shared));
        SNUG_TRY(check_codings(&options->config, SNUG_KV_LAYERS_MAX, layer, "", error));
    }
    return check_layers(shape, &options->config, error);
}

static uint64_t table_bytes(uint32_t layer_count)
{
    return snug_memory_block_bytes(sizeof(snug_kv) + layer_count * sizeof(snug_kv_store));
}

snug_status snug_kv_estimate(uint64_t *bytes_out, const snug_kv_shape *shape, const snug_kv_options *options,
                             uint32_t tokens, snug_error *error)
{
    uint64_t bytes = table_bytes(shape->layer_count);

    SNUG_TRY(check_options(shape, options, error));
    for (uint32_t i = 0; i < shape->layer_count; i++) {
        snug_kv_store store;

        snug_kv_store_shape(&store, shape, i, options);
        bytes += snug_kv_store_bytes(&store, snug_kv_tiles_for(tokens));
    }
    *bytes_out = bytes;
    return SNUG_OK;
}

snug_status snug_kv_create(snug_kv **kv_out, const snug_kv_shape *shape, snug_memory *memory,
                           const snug_kernels *kernels, const snug_kv_options *options, snug_error *error)
{
    snug_kv *kv;
    snug_status status = SNUG_OK;

    *kv_out = NULL;
    SNUG_TRY(check_options(shape, options, error));
    kv = snug_memory_alloc(memory, SNUG_MEMORY_KV, sizeof *kv + shape->layer_count * sizeof *kv->store,
                           "the cache's table", error);
    if (!kv)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    kv->layer_count = shape->layer_count;
    kv->memory = memory;
    kv->kernels = kernels;
    kv->config = snug_kv_config_resolve(&options->config);
    kv->first_exact_tokens = kv->config.first_exact_tokens;
    kv->recent_exact_tokens = kv->config.recent_exact_tokens;
    kv->context_tokens = options->context_tokens;
    kv->pass_tokens = snug_kv_pass_tokens(options);
    for (uint32_t i = 0; i < kv->layer_count; i++)
        snug_kv_store_shape(&kv->store[i], shape, i, options);
    for (uint32_t i = 0; i < kv->layer_count && status == SNUG_OK; i++)
        status = snug_kv_store_reserve(&kv->store[i], memory, error);
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
    for (uint32_t i = 0; i < kv->layer_count; i++)
        snug_kv_store_release(&kv->store[i]);
    snug_memory_free(kv->memory, kv);
}

static void shrink_to(snug_kv *kv, uint32_t tiles)
{
    for (uint32_t i = 0; i < kv->layer_count; i++)
        snug_kv_store_decommit(&kv->store[i], tiles);
    kv->tiles = tiles;
}

snug_status snug_kv_grow(snug_kv *kv, uint32_t tokens, snug_error *error)
{
    const uint32_t tiles = snug_kv_tiles_for(tokens);
    snug_status status = SNUG_OK;

    SNUG_ASSERT(tokens <= kv->context_tokens);
    for (uint32_t i = 0; i < kv->layer_count && status == SNUG_OK; i++)
        status = snug_kv_store_own(&kv->store[i], kv->tokens, tokens, error);
    if (status != SNUG_OK || tiles <= kv->tiles)
        return status;
    for (uint32_t i = 0; i < kv->layer_count && status == SNUG_OK; i++)
        status = snug_kv_store_commit(&kv->store[i], tiles, error);
    if (status != SNUG_OK) {
        shrink_to(kv, kv->tiles); /* some layers may have grown: all layers stay in step */
        return status;
    }
    kv->tiles = tiles;
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return SNUG_OK;
}

void snug_kv_write(snug_kv *kv, uint32_t layer, uint32_t position, const float *key, const float *value)
{
    const snug_kv_store *store = &kv->store[layer];
    const uint32_t tile = position / SNUG_TILE_TOKENS;
    const uint32_t slot = position % SNUG_TILE_TOKENS;

    SNUG_ASSERT_DEBUG(layer < kv->layer_count && !store->shape.is_shared && tile < kv->tiles);
    snug_kv_side_write(&store->key, kv->kernels, tile, slot, key);
    snug_kv_side_write(&store->value, kv->kernels, tile, slot, value);
}

/* Where codes of several widths go round, newer ones have taken the place of older ones in other planes. */
static void give_back_taken(snug_kv *kv)
{
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        snug_kv_store *store = &kv->store[i];

        if (store->key.run_count + store->value.run_count > 0 && store->rule.ring_tiles != SNUG_KV_UNBOUNDED)
            snug_kv_store_decommit(store, kv->tiles);
    }
}

void snug_kv_set_tokens(snug_kv *kv, uint32_t tokens)
{
    SNUG_ASSERT(tokens <= kv->context_tokens && snug_kv_tiles_for(tokens) <= kv->tiles);
    kv->tokens = tokens;
    if (tokens > kv->written)
        kv->written = tokens;
    for (uint32_t i = 0; i < kv->layer_count; i++)
        kv->store[i].coded_before = kv->store[i].coded_end;
    give_back_taken(kv);
}

void snug_kv_settle(snug_kv *kv, uint32_t pages)
{
    for (uint32_t i = 0; i < kv->layer_count && pages > 0; i++)
        pages -= snug_kv_store_settle(&kv->store[i], kv->tokens / SNUG_TILE_TOKENS, pages);
}

uint32_t snug_kv_first_kept(const snug_kv *kv, uint32_t layer)
{
    const snug_kv_store *store = &kv->store[layer];

    return (uint32_t)snug_max_size(store->first_given, snug_kv_rule_first_kept(&store->rule, kv->written));
}

/* Whether every layer still has what the tokens after the first `tokens` will see. */
static bool is_whole(const snug_kv *kv, uint32_t tokens)
{
    for (uint32_t i = 0; i < kv->layer_count; i++)
        if (!kv->store[i].shape.is_shared &&
            !snug_kv_rule_is_whole(&kv->store[i].rule, tokens, snug_kv_first_kept(kv, i)))
            return false;
    return true;
}

/* A layer that holds nothing any more. */
static void begin_anew(snug_kv_store *store)
{
    store->first_given = 0;
    store->key.run_count = store->value.run_count = 0;
    store->key.exact.phase = store->value.exact.phase = 0;
}

uint32_t snug_kv_truncate(snug_kv *kv, uint32_t tokens)
{
    if (tokens < kv->tokens)
        kv->tokens = is_whole(kv, tokens) ? tokens : 0;
    if (kv->tokens == 0)
        kv->written = 0;
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        snug_kv_store_rewind(&kv->store[i], kv->tokens);
        if (kv->tokens == 0)
            begin_anew(&kv->store[i]);
    }
    shrink_to(kv, snug_kv_tiles_for(kv->tokens));
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return kv->tokens;
}

const snug_kv_config *snug_kv_made_of(const snug_kv *kv)
{
    return &kv->config;
}

uint32_t snug_kv_layer_count(const snug_kv *kv)
{
    return kv->layer_count;
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
    uint64_t bytes = table_bytes(kv->layer_count);

    for (uint32_t i = 0; i < kv->layer_count; i++)
        bytes += snug_kv_store_committed(&kv->store[i]);
    return bytes;
}

uint64_t snug_kv_projected_bytes(const snug_kv *kv, uint32_t tokens)
{
    const uint32_t tiles = (uint32_t)snug_max_size(snug_kv_tiles_for(tokens), kv->tiles);
    uint64_t bytes = table_bytes(kv->layer_count);

    for (uint32_t i = 0; i < kv->layer_count; i++)
        bytes += snug_kv_store_bytes(&kv->store[i], tiles) +
                 snug_kv_store_own_bytes(&kv->store[i], kv->tokens, tokens);
    return bytes - snug_kv_shared_bytes(kv);
}

/* Bytes of one token on one side: as codes where it has some. */
static uint64_t token_bytes(const snug_kv_side *side)
{
    if (!side->has_codes)
        return side->exact_tile_bytes / SNUG_TILE_TOKENS;
    return side->kv_head_count * (snug_codes_bytes(side->coding.bits, side->head_dim) + side->scale_bytes) /
           SNUG_TILE_TOKENS;
}

/* Bits of a value as it is stored when it is not recent. */
static uint32_t bits_of(const snug_kv_coding *coding)
{
    if (snug_kv_format_is_coded(coding->format))
        return coding->bits;
    return coding->format == SNUG_KV_FORMAT_F32 ? 32 : 16;
}

/* A side as it is now: the fewest bits that any of its codes have. */
static snug_kv_coding coding_now(const snug_kv_side *side)
{
    snug_kv_coding coding = side->coding;

    if (side->has_codes)
        coding.bits = snug_kv_side_fewest_bits(side);
    return coding;
}

static void take_fewer(snug_kv_coding *coding, const snug_kv_side *side, bool is_first)
{
    const snug_kv_coding now = coding_now(side);

    if (is_first || bits_of(&now) < bits_of(coding))
        *coding = now;
}

/* What all layers are, and what some are instead. */
static void read_formats(snug_kv_config *config, const snug_kv *kv)
{
    bool is_first = true;

    for (uint32_t i = 0; i < kv->layer_count; i++) {
        if (kv->store[i].shape.is_shared)
            continue;
        take_fewer(&config->key, &kv->store[i].key, is_first);
        take_fewer(&config->value, &kv->store[i].value, is_first);
        is_first = false;
    }
    memset(config->layer, 0, sizeof config->layer);
    for (uint32_t i = 0; i < kv->layer_count && i < SNUG_KV_LAYERS_MAX; i++) {
        const snug_kv_coding key = coding_now(&kv->store[i].key);
        const snug_kv_coding value = coding_now(&kv->store[i].value);

        if (!kv->store[i].shape.is_shared)
            snug_kv_config_set_layer(config, i, &key, &value);
    }
    *config = snug_kv_config_resolve(config); /* where they are the same they are not their own */
}

void snug_kv_read_info(snug_kv_info *info_out, const snug_kv *kv)
{
    snug_kv_info info = { .struct_size = info_out->struct_size, .config = kv->config };

    info.config.first_exact_tokens = kv->first_exact_tokens;
    info.config.recent_exact_tokens = kv->recent_exact_tokens;
    read_formats(&info.config, kv);
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        const snug_kv_store *store = &kv->store[i];
        const uint32_t coded = (store->coded_end - store->first_tiles) * SNUG_TILE_TOKENS;

        if (store->shape.is_shared)
            continue;
        info.token_bytes += token_bytes(&store->key) + token_bytes(&store->value);
        if (store->has_codes && coded > info.coded_tokens)
            info.coded_tokens = coded;
    }
    *info_out = info;
}

bool snug_kv_is_valid(const snug_kv *kv)
{
    if (kv->tokens > kv->written || kv->written > kv->context_tokens ||
        snug_kv_tiles_for(kv->tokens) > kv->tiles || kv->tiles > snug_kv_tiles_for(kv->context_tokens))
        return false;
    for (uint32_t i = 0; i < kv->layer_count; i++)
        if (!snug_kv_store_is_valid(&kv->store[i], kv->tiles))
            return false;
    return true;
}
