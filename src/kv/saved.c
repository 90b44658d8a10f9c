/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saved.c - a cache as a run of bytes, and back. Tiles are written as they are stored, so that what is loaded
 * is bit for bit what was saved; docs/cache-file.md has the layout.
 *
 * Tiles go by their logical numbers: a cache of another context, whose rings are of another size, takes those
 * that it has a place for. What a query may still see must be among them, or the bytes are refused.
 */
#include "kv/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define RUNS_MAX 2

/* Logical tiles: those that stay, and those that are in the ring now. */
typedef struct tile_runs {
    snug_kv_range run[RUNS_MAX]; /* in tiles; the second begins where the first ends, or later */
} tile_runs;

/* The head of a layer: everything but its tiles. In the file as it is here, little-endian. */
typedef struct layer_head {
    uint32_t kv_head_count;
    uint32_t head_dim;
    uint32_t is_shared;
    uint32_t coded_end;
    uint32_t is_rewound;
    uint32_t first_given;
    uint32_t first_tiles; /* that stay exact */
    uint32_t recent_tiles;
    uint32_t format[2];                   /* keys, values: of now */
    uint32_t bits[2];                     /* of the newest codes */
    snug_kv_run run[2][SNUG_KV_RUNS_MAX]; /* of older ones; what is not there is 0 */
    tile_runs rows[2];
    tile_runs codes[2];
} layer_head;

/* Before the layers. */
typedef struct cache_head {
    snug_kv_config config;       /* as it was made */
    uint32_t first_exact_tokens; /* of now */
    uint32_t recent_exact_tokens;
    uint32_t tokens;
    uint32_t written;
    uint32_t layer_count;
} cache_head;

/* Nothing but numbers of 32 bits, and a config's bytes of its layers. */
_Static_assert(sizeof(layer_head) == (12 + 2 * 10 + 4 * 4) * 4, "no padding in the file");
_Static_assert(sizeof(cache_head) == (3 + 3 + 2 + 3 + 5) * 4 + 6 * SNUG_KV_LAYERS_MAX,
               "no padding in the file");

static snug_kv_side *side_of(const snug_kv_store *store, int which)
{
    return (snug_kv_side *)(uintptr_t)(which == 0 ? &store->key : &store->value);
}

/* --- which tiles there are ----------------------------------------------------------------------------- */

/* Of `end` tiles from 0 on, those that have a place. */
static tile_runs runs_of(const snug_kv_places *places, uint32_t end)
{
    tile_runs runs = { { { 0, end }, { end, end } } };

    if (places->ring_tiles != SNUG_KV_UNBOUNDED && end > places->fixed_tiles) {
        runs.run[0].end = places->fixed_tiles;
        runs.run[1].begin = places->fixed_tiles;
        if (end - places->fixed_tiles > places->ring_tiles)
            runs.run[1].begin = end - places->ring_tiles;
    }
    return runs;
}

/* Rows of a side: all its tiles, or those that are not codes. */
static tile_runs row_runs(const snug_kv_store *store, const snug_kv_side *side, uint32_t tokens)
{
    const uint32_t tiles = snug_kv_tiles_for(tokens);
    tile_runs runs;

    if (!side->has_codes)
        return runs_of(&side->exact, tiles);
    runs = (tile_runs){ { { 0, store->first_tiles }, { snug_kv_store_codes_end(store), tiles } } };
    if (runs.run[0].end > tiles)
        runs.run[0].end = tiles;
    if (runs.run[1].begin > tiles)
        runs.run[1].begin = tiles;
    return runs;
}

/* Codes of a side, counted from the layer's first_tiles on. */
static tile_runs code_runs(const snug_kv_store *store, const snug_kv_side *side)
{
    return side->has_codes ? runs_of(&side->coded, snug_kv_store_codes_end(store) - store->first_tiles)
                           : (tile_runs){ 0 };
}

static bool runs_have(const tile_runs *runs, uint32_t tile)
{
    return (tile >= runs->run[0].begin && tile < runs->run[0].end) ||
           (tile >= runs->run[1].begin && tile < runs->run[1].end);
}

static bool runs_are_sound(const tile_runs *runs, uint32_t end)
{
    return runs->run[0].begin <= runs->run[0].end && runs->run[0].end <= runs->run[1].begin &&
           runs->run[1].begin <= runs->run[1].end && runs->run[1].end <= end;
}

/* --- the bytes of a tile -------------------------------------------------------------------------------- */

typedef struct piece {
    unsigned char *at;
    size_t bytes;
} piece;

/* Where a tile of rows or codes lies, all heads of it; returns how many pieces. */
static int tile_pieces(piece pieces[SNUG_KV_ARENAS_MAX], const snug_kv_side *side, uint32_t tile,
                       bool as_codes)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int all = snug_kv_side_arenas(arenas, side);
    const size_t place = snug_kv_place(as_codes ? &side->coded : &side->exact, tile);
    int count = 0;

    for (int i = 0; i < all; i++)
        if (arenas[i].is_rows != as_codes &&
            (arenas[i].is_rows || (tile >= arenas[i].tiles.begin && tile < arenas[i].tiles.end)))
            pieces[count++] =
                (piece){ snug_arena_at(arenas[i].arena, place * arenas[i].tile_bytes), arenas[i].tile_bytes };
    return count;
}

/* --- saving --------------------------------------------------------------------------------------------- */

static snug_status put_tiles(const snug_kv_side *side, const tile_runs *runs, bool as_codes,
                             const snug_kv_sink *sink, snug_error *error)
{
    piece pieces[SNUG_KV_ARENAS_MAX];

    for (int r = 0; r < RUNS_MAX; r++)
        for (uint32_t tile = runs->run[r].begin; tile < runs->run[r].end; tile++) {
            const int count = tile_pieces(pieces, side, tile, as_codes);

            for (int i = 0; i < count; i++)
                SNUG_TRY(sink->put(sink->user, pieces[i].at, pieces[i].bytes, error));
        }
    return SNUG_OK;
}

static layer_head head_of(const snug_kv_store *store, uint32_t tokens)
{
    layer_head head = {
        .kv_head_count = store->shape.kv_head_count,
        .head_dim = store->shape.head_dim,
        .is_shared = store->shape.is_shared,
        .coded_end = store->coded_end,
        .is_rewound = store->is_rewound,
        .first_given = store->first_given,
        .first_tiles = store->first_tiles,
        .recent_tiles = store->recent_tiles,
    };

    for (int i = 0; i < 2 && !store->shape.is_shared; i++) {
        const snug_kv_side *side = side_of(store, i);

        head.format[i] = side->coding.format;
        head.bits[i] = side->coding.bits;
        memcpy(head.run[i], side->run, side->run_count * sizeof side->run[0]);
        head.rows[i] = row_runs(store, side, tokens);
        head.codes[i] = code_runs(store, side);
    }
    return head;
}

snug_status snug_kv_save(const snug_kv *kv, const snug_kv_sink *sink, snug_error *error)
{
    const cache_head cache = {
        kv->config, kv->first_exact_tokens, kv->recent_exact_tokens, kv->tokens, kv->written, kv->layer_count,
    };

    SNUG_TRY(sink->put(sink->user, &cache, sizeof cache, error));
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        const layer_head head = head_of(&kv->store[i], kv->tokens);

        SNUG_TRY(sink->put(sink->user, &head, sizeof head, error));
    }
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        const layer_head head = head_of(&kv->store[i], kv->tokens);

        for (int s = 0; s < 2 && !head.is_shared; s++) {
            const snug_kv_side *side = side_of(&kv->store[i], s);

            SNUG_TRY(put_tiles(side, &head.rows[s], false, sink, error));
            SNUG_TRY(put_tiles(side, &head.codes[s], true, sink, error));
        }
    }
    return SNUG_OK;
}

/* --- loading -------------------------------------------------------------------------------------------- */

#define NOT_ONE "what is said to be a saved cache is not one: "

static snug_status take(void *out, snug_kv_bytes *in, size_t bytes, snug_error *error)
{
    if (in->bytes < bytes)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "it ends %zu bytes early", bytes - in->bytes);
    if (out)
        memcpy(out, in->at, bytes);
    in->at += bytes;
    in->bytes -= bytes;
    return SNUG_OK;
}

typedef struct config_words {
    char text[280]; /* all of it, whatever the figures are */
} config_words;

static int put_coding(char *out, size_t capacity, const char *side, const snug_kv_coding *coding)
{
    int bytes = snprintf(out, capacity, "%s %s", side, snug_kv_format_name(coding->format));

    if (snug_kv_format_is_coded(coding->format))
        bytes += snprintf(out + bytes, capacity - (size_t)bytes, " of %u bits", coding->bits);
    if (coding->group > 0)
        bytes += snprintf(out + bytes, capacity - (size_t)bytes, " in groups of %u", coding->group);
    return bytes;
}

static char *put_codings(config_words *words, const snug_kv_coding *key, const snug_kv_coding *value)
{
    char *at = words->text, *end = words->text + sizeof words->text;

    at += put_coding(at, (size_t)(end - at), "keys", key);
    return at + put_coding(at, (size_t)(end - at), ", values", value);
}

/* "keys planes of 4 bits, values f16, rotating over 256 tokens with 4 sinks, the first 16 and ...". */
static config_words words_of(const snug_kv_config *config)
{
    const snug_kv_retention *retention = &config->retention;
    config_words words = { "" };
    char *at = put_codings(&words, &config->key, &config->value), *end = words.text + sizeof words.text;

    if (retention->max_tokens > 0)
        at +=
            snprintf(at, (size_t)(end - at), ", %s over %u tokens with %u sinks",
                     snug_kv_retention_name(retention->kind), retention->max_tokens, retention->sink_tokens);
    if (snug_kv_config_has_codes(config))
        snprintf(at, (size_t)(end - at), ", the first %u and the newest %u tokens exact",
                 config->first_exact_tokens, config->recent_exact_tokens);
    return words;
}

static config_words layer_words(const snug_kv_config *config, uint32_t layer)
{
    const snug_kv_coding key = snug_kv_config_key(config, layer);
    const snug_kv_coding value = snug_kv_config_value(config, layer);
    config_words words = { "" };

    (void)put_codings(&words, &key, &value);
    return words;
}

/* Where two configs differ: in all layers, or in the first that is not as all are in one of them. */
static snug_status fail_config(const snug_kv_config *saved, const snug_kv_config *wanted, snug_error *error)
{
    config_words was = words_of(saved), is = words_of(wanted);
    char layer[24] = "";

    for (uint32_t i = 0; i < SNUG_KV_LAYERS_MAX && strcmp(was.text, is.text) == 0; i++) {
        was = layer_words(saved, i);
        is = layer_words(wanted, i);
        snprintf(layer, sizeof layer, "layer %u of ", i);
    }
    SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
              "%sthe cache was saved as %s; it is to be loaded as %s: give the options it was saved with",
              layer, was.text, is.text);
}

static snug_status check_cache(const snug_kv *kv, const cache_head *head, snug_error *error)
{
    if (head->layer_count != kv->layer_count)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the saved cache has %u layers, the model %u", head->layer_count,
                  kv->layer_count);
    if (memcmp(&head->config, &kv->config, sizeof kv->config) != 0)
        return fail_config(&head->config, &kv->config, error);
    if (head->tokens > head->written)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "%u of %u tokens", head->tokens, head->written);
    if (head->written > kv->context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL,
                  "the saved conversation has reached %u tokens, but the context holds %u: raise the context",
                  head->written, kv->context_tokens);
    return SNUG_OK;
}

/* Whether all that later tokens may see is among the tiles of the file. */
static bool has_what_is_needed(const snug_kv_store *store, const snug_kv_side *side, const layer_head *head,
                               int s, uint32_t tokens)
{
    for (uint32_t tile = 0; tile < snug_kv_tiles_for(tokens); tile++) {
        const bool is_code =
            side->has_codes && tile >= store->first_tiles && tile < snug_kv_store_codes_end(store);
        const bool is_there =
            is_code ? runs_have(&head->codes[s], tile - store->first_tiles) : runs_have(&head->rows[s], tile);

        if (!is_there && snug_kv_rule_needs(&store->rule, tokens, tile))
            return false;
    }
    return true;
}

static snug_kv_coding coding_at_first(const snug_kv *kv, const snug_kv_store *store, int which)
{
    const uint32_t layer = (uint32_t)(store - kv->store);

    return which == 0 ? snug_kv_config_key(&kv->config, layer) : snug_kv_config_value(&kv->config, layer);
}

/* An empty layer as it was made, whatever it has been demoted to since. */
static void restart(const snug_kv *kv, snug_kv_store *store)
{
    bool has_codes = false;

    for (int s = 0; s < 2; s++) {
        const snug_kv_coding first = coding_at_first(kv, store, s);
        snug_kv_side *side = side_of(store, s);

        if (side->has_codes && !snug_kv_format_is_coded(first.format)) {
            snug_kv_side_release_codes(side);
            side->has_codes = false;
            side->coding = first;
            side->exact = snug_kv_rule_places(&store->rule);
        }
        has_codes |= side->has_codes;
    }
    store->has_codes = has_codes;
    if (!has_codes)
        snug_kv_store_set_exact(store, kv->config.first_exact_tokens, kv->config.recent_exact_tokens);
}

/* An empty layer of rows where the saved one had been demoted to codes. */
static snug_status become_coded(snug_kv *kv, snug_kv_store *store, snug_kv_side *side, const layer_head *head,
                                snug_error *error)
{
    if (!store->has_codes) {
        snug_kv_store_set_exact(store, head->first_tiles * SNUG_TILE_TOKENS,
                                (head->recent_tiles - 1) * SNUG_TILE_TOKENS + 1);
        if (store->first_tiles != head->first_tiles)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "the first %u tiles stay exact in the place of %u",
                      head->first_tiles, store->first_tiles);
    }
    side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = 8 };
    side->scale_bytes = snug_kv_scale_bytes(&side->coding, side->head_dim);
    if (snug_kv_store_lay_out_codes(store, side))
        return snug_kv_side_reserve_codes(store, side, kv->memory, error);
    side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
    return SNUG_OK;
}

static bool widths_are_sound(const snug_kv_side *side, uint32_t most)
{
    uint32_t bits = 0, end = 0;

    for (uint32_t i = 0; i < side->run_count; i++) {
        const snug_kv_run *run = &side->run[i];

        if (!snug_codes_bits_ok(run->bits) || run->bits <= bits || run->end_tile <= end)
            return false;
        bits = run->bits;
        end = run->end_tile;
    }
    return snug_codes_bits_ok(side->coding.bits) && side->coding.bits > bits && side->coding.bits <= most &&
           (side->coding.format == SNUG_KV_FORMAT_PLANES || side->coding.bits == most);
}

/* An empty side: its format and what bits its codes will have. */
static snug_status set_format(snug_kv *kv, snug_kv_store *store, int which, const layer_head *head,
                              snug_error *error)
{
    const snug_kv_coding first = coding_at_first(kv, store, which);
    const bool is_demoted =
        first.format == SNUG_KV_FORMAT_F16 && head->format[which] == SNUG_KV_FORMAT_PLANES;
    const uint32_t most = is_demoted ? 8 : first.bits;
    const uint32_t bits = head->bits[which];
    snug_kv_side *side = side_of(store, which);

    if (!is_demoted && head->format[which] != (uint32_t)first.format)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "format %u in the place of %d", head->format[which],
                  (int)first.format);
    if (is_demoted)
        SNUG_TRY(become_coded(kv, store, side, head, error));
    if (!side->has_codes)
        return SNUG_OK;
    side->coding.bits = bits;
    side->run_count = 0;
    while (side->run_count < SNUG_KV_RUNS_MAX && head->run[which][side->run_count].bits > 0)
        side->run_count++;
    memcpy(side->run, head->run[which], sizeof side->run);
    if (widths_are_sound(side, most))
        return snug_kv_side_reserve_planes(side, kv->memory, error);
    side->coding.bits = most;
    side->run_count = 0;
    SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "%u bits in the place of %u", bits, most);
}

/* What an empty layer is made of. */
static snug_status load_layout(snug_kv *kv, snug_kv_store *store, const layer_head *head, snug_error *error)
{
    const uint32_t most = SNUG_KV_UNBOUNDED / SNUG_TILE_TOKENS - 1;

    restart(kv, store);
    if (head->first_tiles > most || head->recent_tiles > most || head->recent_tiles == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "%u and %u tiles stay exact", head->first_tiles,
                  head->recent_tiles);
    SNUG_TRY(set_format(kv, store, 0, head, error));
    SNUG_TRY(set_format(kv, store, 1, head, error));
    if (store->has_codes &&
        (store->first_tiles != head->first_tiles || store->recent_tiles != head->recent_tiles))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "%u and %u tiles stay exact in the place of %u and %u",
                  head->first_tiles, head->recent_tiles, store->first_tiles, store->recent_tiles);
    return SNUG_OK;
}

/* The last tile that can be codes when there are `tiles`. */
static uint32_t most_codes(const snug_kv_store *store, uint32_t tiles)
{
    return store->has_codes && tiles > store->first_tiles ? tiles : store->first_tiles;
}

/* Whether the side has places for all of its tiles. */
static bool has_places(const snug_kv_store *store, const snug_kv_side *side, uint32_t tiles)
{
    const uint32_t codes = snug_kv_store_codes_end(store) - store->first_tiles;

    return !side->has_codes || (snug_kv_places_used(&side->coded, codes) <= side->coded_tiles &&
                                (tiles <= snug_kv_store_codes_end(store) ||
                                 tiles - snug_kv_store_codes_end(store) <= side->exact.ring_tiles));
}

static snug_status check_side(const snug_kv_store *store, const snug_kv_side *side, const layer_head *head,
                              int s, uint32_t tokens, snug_error *error)
{
    const uint32_t codes = snug_kv_store_codes_end(store) - store->first_tiles;

    if (!runs_are_sound(&head->rows[s], snug_kv_tiles_for(tokens)) ||
        !runs_are_sound(&head->codes[s], side->has_codes ? codes : 0) ||
        !has_places(store, side, snug_kv_tiles_for(tokens)) ||
        !has_what_is_needed(store, side, head, s, tokens))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "tokens are missing");
    return SNUG_OK;
}

/* A layer's figures, of a cache that is empty. */
static snug_status load_head(snug_kv *kv, snug_kv_store *store, const layer_head *head, uint32_t tokens,
                             snug_error *error)
{
    const uint32_t tiles = snug_kv_tiles_for(tokens);

    if (head->kv_head_count != store->shape.kv_head_count || head->head_dim != store->shape.head_dim ||
        head->is_shared != store->shape.is_shared)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the saved cache is of a model of another shape");
    if (store->shape.is_shared)
        return SNUG_OK;
    SNUG_TRY(load_layout(kv, store, head, error));
    if (head->is_rewound > 1 || head->coded_end < store->first_tiles ||
        head->coded_end > most_codes(store, tiles) ||
        head->coded_end + head->is_rewound > most_codes(store, tiles))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "%u of %u tiles are codes", head->coded_end, tiles);
    store->coded_end = store->coded_before = head->coded_end;
    store->is_rewound = head->is_rewound;
    store->first_given = head->first_given;
    SNUG_TRY(check_side(store, side_of(store, 0), head, 0, tokens, error));
    return check_side(store, side_of(store, 1), head, 1, tokens, error);
}

/* Tiles of one kind; those that this cache has no place for are passed over. */
static snug_status take_tiles(const snug_kv_side *side, const tile_runs *saved, const tile_runs *wanted,
                              bool as_codes, snug_kv_bytes *in, snug_error *error)
{
    piece pieces[SNUG_KV_ARENAS_MAX];

    for (int r = 0; r < RUNS_MAX; r++)
        for (uint32_t tile = saved->run[r].begin; tile < saved->run[r].end; tile++) {
            const int count = tile_pieces(pieces, side, tile, as_codes);

            for (int i = 0; i < count; i++)
                SNUG_TRY(take(runs_have(wanted, tile) ? pieces[i].at : NULL, in, pieces[i].bytes, error));
        }
    return SNUG_OK;
}

static snug_status load_tiles(const snug_kv *kv, const snug_kv_bytes *heads, snug_kv_bytes *in,
                              snug_error *error)
{
    snug_kv_bytes at = *heads;

    for (uint32_t i = 0; i < kv->layer_count; i++) {
        const snug_kv_store *store = &kv->store[i];
        layer_head head;

        SNUG_TRY(take(&head, &at, sizeof head, error));
        for (int s = 0; s < 2 && !head.is_shared; s++) {
            const snug_kv_side *side = side_of(store, s);
            const tile_runs rows = row_runs(store, side, kv->tokens);
            const tile_runs codes = code_runs(store, side);

            SNUG_TRY(take_tiles(side, &head.rows[s], &rows, false, in, error));
            SNUG_TRY(take_tiles(side, &head.codes[s], &codes, true, in, error));
        }
    }
    if (in->bytes > 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, NOT_ONE "%zu bytes too many", in->bytes);
    return SNUG_OK;
}

/* What comes after the head, into an empty cache. */
static snug_status load_layers(snug_kv *kv, const cache_head *cache, const snug_kv_bytes *bytes,
                               snug_error *error)
{
    snug_kv_bytes in = *bytes;

    for (uint32_t i = 0; i < kv->layer_count; i++) {
        layer_head head;

        SNUG_TRY(take(&head, &in, sizeof head, error));
        SNUG_TRY(load_head(kv, &kv->store[i], &head, cache->tokens, error));
    }
    SNUG_TRY(snug_kv_grow(kv, cache->tokens, error));
    kv->tokens = cache->tokens;
    kv->written = cache->written;
    kv->first_exact_tokens = cache->first_exact_tokens;
    kv->recent_exact_tokens = cache->recent_exact_tokens;
    return load_tiles(kv, bytes, &in, error);
}

snug_status snug_kv_saved_config(snug_kv_config *config_out, const snug_kv_bytes *bytes, snug_error *error)
{
    snug_kv_bytes in = *bytes;
    cache_head cache;

    SNUG_TRY(take(&cache, &in, sizeof cache, error));
    *config_out = cache.config;
    return SNUG_OK;
}

snug_status snug_kv_load(snug_kv *kv, const snug_kv_bytes *bytes, snug_error *error)
{
    snug_kv_bytes in = *bytes;
    cache_head cache;
    snug_status status;

    SNUG_TRY(take(&cache, &in, sizeof cache, error));
    SNUG_TRY(check_cache(kv, &cache, error));
    (void)snug_kv_truncate(kv, 0);
    status = load_layers(kv, &cache, &in, error);
    if (status != SNUG_OK)
        (void)snug_kv_truncate(kv, 0);
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return status;
}
