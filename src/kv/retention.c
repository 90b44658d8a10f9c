/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.c - which tokens a layer keeps, by one rule for all kinds: a query sees the newest tokens back to
 * the nearest of three bounds (the model's window, the rotating cache's, the chunk's beginning), and the
 * sinks. snug/kv.h has the formulas.
 *
 * Why a ring of 1 + ceil((W - 1) / 64) tiles is enough for a query that sees W tokens: they touch no more
 * tiles than that. A chunk is written up to snug_kv_rule_room() only, so the tile that is written anew is
 * never one that a query of the piece still sees.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"

static const char *const names[] = { "auto", "all", "rotating", "chunked" }; /* by kind */

const char *snug_kv_retention_name(snug_kv_retention_kind kind)
{
    return (size_t)kind < SNUG_COUNT(names) ? names[kind] : "unknown";
}

bool snug_kv_retention_parse(snug_kv_retention_kind *kind_out, const char *name)
{
    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *kind_out = (snug_kv_retention_kind)i;
            return true;
        }
    }
    return false;
}

snug_status snug_kv_retention_check(const snug_kv_retention *retention, snug_error *error)
{
    const char *name = snug_kv_retention_name(retention->kind);

    if ((size_t)retention->kind >= SNUG_COUNT(names))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "cache retention %d is not one this build knows",
                  (int)retention->kind);
    if (retention->kind <= SNUG_KV_RETENTION_ALL && retention->max_tokens > 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "a cache that keeps all tokens cannot be bounded to %u: make it rotating or chunked",
                  retention->max_tokens);
    if (retention->kind > SNUG_KV_RETENTION_ALL && retention->max_tokens == 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "a %s cache must be told how many tokens to keep, at least 1",
                  name);
    if (retention->kind != SNUG_KV_RETENTION_ROTATING && retention->sink_tokens > 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "%u first tokens are to be kept for ever: only a rotating cache does that, not %s",
                  retention->sink_tokens, name);
    if (retention->sink_tokens > 0 && retention->sink_tokens >= retention->max_tokens)
        SNUG_FAIL(
            error, SNUG_ERR_ARGUMENT,
            "of %u tokens that a rotating cache keeps, at most the first %u can be kept for ever, not %u",
            retention->max_tokens, retention->max_tokens - 1, retention->sink_tokens);
    return SNUG_OK;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool snug_kv_is_shared_later(const snug_kv_shape *shape, uint32_t index)
{
    for (uint32_t i = index + 1; i < shape->layer_count; i++)
        if (shape->layer[i].is_shared && shape->layer[i].source == index)
            return true;
    return false;
}

/* Tiles that what a query sees may touch, together with the `later` tokens written after it. */
static uint64_t ring_tiles(const snug_kv_rule *rule, uint32_t later)
{
    const uint32_t window = least(rule->window_tokens, rule->recent_tokens);
    const uint32_t seen = least(window, rule->chunk_tokens);
    /* In the worst case the first token seen is the last of its tile; a chunk of whole tiles begins one. */
    const bool is_aligned = rule->chunk_tokens <= window && rule->chunk_tokens % SNUG_TILE_TOKENS == 0;
    const uint64_t first_slot = is_aligned ? 0 : SNUG_TILE_TOKENS - 1;

    return (first_slot + seen - 1 + later) / SNUG_TILE_TOKENS + 1;
}

snug_kv_rule snug_kv_rule_make(const snug_kv_shape *shape, uint32_t index, const snug_kv_options *options)
{
    const uint32_t window = shape->layer[index].window_tokens;
    const snug_kv_retention *retention = &options->config.retention;
    snug_kv_rule rule = {
        .window_tokens = window ? window : SNUG_KV_UNBOUNDED,
        .recent_tokens = SNUG_KV_UNBOUNDED,
        .chunk_tokens = SNUG_KV_UNBOUNDED,
        .ring_tiles = SNUG_KV_UNBOUNDED,
    };
    uint64_t tiles;

    if (retention->kind == SNUG_KV_RETENTION_CHUNKED)
        rule.chunk_tokens = retention->max_tokens;
    /* Within a window that is no wider there is nothing else to see: sinks would only be dragged along. */
    if (retention->kind == SNUG_KV_RETENTION_ROTATING &&
        retention->max_tokens - retention->sink_tokens < rule.window_tokens) {
        rule.recent_tokens = retention->max_tokens - retention->sink_tokens;
        rule.sink_tokens = retention->sink_tokens;
        rule.sink_tiles = snug_kv_tiles_for(rule.sink_tokens);
    }
    tiles = ring_tiles(&rule, snug_kv_is_shared_later(shape, index) ? snug_kv_pass_tokens(options) - 1 : 0);
    if (rule.sink_tiles + tiles < snug_kv_tiles_for(options->context_tokens))
        rule.ring_tiles = (uint32_t)tiles;
    return rule;
}

/* The first of the last `count` positions up to and with `position`. */
static uint32_t first_of(uint32_t count, uint32_t position)
{
    return position < count ? 0 : position - count + 1;
}

snug_kv_range snug_kv_rule_recent(const snug_kv_rule *rule, uint32_t position)
{
    const uint32_t windows = first_of(least(rule->window_tokens, rule->recent_tokens), position);
    const uint32_t chunk = position - position % rule->chunk_tokens;

    return (snug_kv_range){ windows > chunk ? windows : chunk, position + 1 };
}

snug_kv_range snug_kv_rule_sinks(const snug_kv_rule *rule, uint32_t position)
{
    const uint32_t end = least(rule->sink_tokens, snug_kv_rule_recent(rule, position).begin);

    return (snug_kv_range){ least(first_of(rule->window_tokens, position), end), end };
}

static bool goes_round(const snug_kv_rule *rule)
{
    return rule->ring_tiles != SNUG_KV_UNBOUNDED;
}

/* The first tile of the ring that the query at `position` or a later one sees. */
static uint32_t first_ring_tile(const snug_kv_rule *rule, uint32_t position)
{
    const uint32_t tile = snug_kv_rule_recent(rule, position).begin / SNUG_TILE_TOKENS;

    return tile > rule->sink_tiles ? tile : rule->sink_tiles;
}

uint32_t snug_kv_rule_room(const snug_kv_rule *rule, uint32_t position)
{
    uint64_t end;

    if (!goes_round(rule))
        return SNUG_KV_UNBOUNDED - position;
    end = ((uint64_t)first_ring_tile(rule, position) + rule->ring_tiles) * SNUG_TILE_TOKENS;
    return (uint32_t)(snug_min_size(end, SNUG_KV_UNBOUNDED) - position);
}

uint32_t snug_kv_rule_first_kept(const snug_kv_rule *rule, uint32_t written)
{
    const uint32_t tiles = snug_kv_tiles_for(written);

    return goes_round(rule) && tiles > rule->ring_tiles ? tiles - rule->ring_tiles : 0;
}

bool snug_kv_rule_is_whole(const snug_kv_rule *rule, uint32_t position, uint32_t first_kept)
{
    const uint32_t tile = first_ring_tile(rule, position);

    if (snug_kv_rule_recent(rule, position).begin >= position || tile >= snug_kv_tiles_for(position))
        return true; /* nothing of the ring is needed */
    return tile >= first_kept;
}

bool snug_kv_rule_needs(const snug_kv_rule *rule, uint32_t tokens, uint32_t tile)
{
    const uint32_t last = tokens > 0 ? tokens - 1 : 0;

    return tile < snug_kv_tiles_for(tokens) &&
           (tile < snug_kv_tiles_for(snug_kv_rule_sinks(rule, last).end) ||
            tile >= snug_kv_rule_recent(rule, last).begin / SNUG_TILE_TOKENS);
}
