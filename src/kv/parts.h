/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts.h - the three independent parts a cache is made of, for those who add one.
 *
 * - Page store: per layer and side (keys, values) an arena of exact tiles, and arenas of coded ones: one for
 *   each plane of bits and one for scales, so that a plane that is dropped really returns to the system. All
 *   are sequences of tiles, [tile][kv_head][...], committed in order and whole.
 * - Format: floats as rows (snug_kv_rows) or codes (codec/). A tile is written as rows, and becomes codes
 * when
 *   it leaves the recent tokens.
 * - Retention (snug_kv_rule): which tokens a query sees, and in which tile of the store they live.
 *
 * A new retention is a kind in snug/kv.h and its lines in retention.c: all kinds are one rule with different
 * figures, so that they combine with the windows of models.
 */
#ifndef SNUG_SRC_KV_PARTS_H
#define SNUG_SRC_KV_PARTS_H

#include "codec/tile.h"
#include "kv/kv.h"
#include "memory/memory.h"

/* How floats lie in a tile of one head: [SNUG_TILE_TOKENS][head_dim]. */
typedef struct snug_kv_rows {
    snug_tile_kind kind;
    snug_type type; /* of the attend kernel */
    size_t value_bytes;
} snug_kv_rows;

/* Defaults filled in: F16 for AUTO, 8 bits, groups of 64. */
snug_kv_coding snug_kv_coding_resolve(const snug_kv_coding *coding);

/* The same for a whole config; a layer's own format that is that of all is its own no more, so that two
 * configs of the same meaning have the same bytes. */
snug_kv_config snug_kv_config_resolve(const snug_kv_config *config);

/* Whether a layer, below SNUG_KV_LAYERS_MAX, has a format of its own. */
bool snug_kv_config_names_layer(const snug_kv_config *config, uint32_t layer);

/* Whether a side can be stored so in layers of that head size. Errors: ARGUMENT, UNSUPPORTED. */
SNUG_MUST_CHECK snug_status snug_kv_coding_check(const snug_kv_coding *coding, const char *side,
                                                 uint32_t head_dim, snug_error *error);

/* Bytes of the scales of one head's tile of codes. */
size_t snug_kv_scale_bytes(const snug_kv_coding *coding, uint32_t head_dim);

static inline bool snug_kv_format_is_coded(snug_kv_format format)
{
    return format == SNUG_KV_FORMAT_AFFINE || format == SNUG_KV_FORMAT_PLANES;
}

/* Where tiles lie in an arena: the first ones stay, the others go round. */
typedef struct snug_kv_places {
    uint32_t fixed_tiles;
    uint32_t ring_tiles; /* SNUG_KV_UNBOUNDED: the context ends before it would go round */
    uint32_t phase;      /* the place in the ring where its first tile would lie; not 0 only in a full one */
} snug_kv_places;

#define SNUG_KV_UNBOUNDED UINT32_MAX

static inline uint32_t snug_kv_place(const snug_kv_places *places, uint32_t tile)
{
    if (tile < places->fixed_tiles || places->ring_tiles == SNUG_KV_UNBOUNDED)
        return tile;
    return places->fixed_tiles + (tile - places->fixed_tiles + places->phase) % places->ring_tiles;
}

/* Tiles of the arena that serve the first `tiles` ones. */
static inline uint32_t snug_kv_places_used(const snug_kv_places *places, uint32_t tiles)
{
    if (places->phase > 0)
        return places->fixed_tiles + places->ring_tiles;
    if (places->ring_tiles == SNUG_KV_UNBOUNDED || tiles < places->fixed_tiles)
        return tiles;
    return tiles - places->fixed_tiles < places->ring_tiles ? tiles
                                                            : places->fixed_tiles + places->ring_tiles;
}

/*
 * What one layer keeps. Position p belongs to the logical tile p / SNUG_TILE_TOKENS; place() says which tile
 * of the store that is: the tiles of the sinks stay where they are, the others go round in a ring of whole
 * tiles. What a ring tile holds of older or newer positions is never looked at: who sees what is decided by
 * position (recent() and sinks() below).
 */
typedef struct snug_kv_rule {
    uint32_t window_tokens; /* of the model; each of these three: SNUG_KV_UNBOUNDED when it does not bind */
    uint32_t recent_tokens; /* rotating: max_tokens - sink_tokens */
    uint32_t chunk_tokens;  /* chunked: max_tokens */
    uint32_t sink_tokens;
    uint32_t sink_tiles; /* that hold the sinks, and perhaps some tokens after them */
    uint32_t ring_tiles; /* SNUG_KV_UNBOUNDED: the context ends before it would go round */
} snug_kv_rule;

/* Positions [begin, end). */
typedef struct snug_kv_range {
    uint32_t begin;
    uint32_t end;
} snug_kv_range;

/* Checks the figures of a retention. Errors: ARGUMENT. */
SNUG_MUST_CHECK snug_status snug_kv_retention_check(const snug_kv_retention *retention, snug_error *error);

/* Whether a later layer reads what layer `index` keeps. */
bool snug_kv_is_shared_later(const snug_kv_shape *shape, uint32_t index);

/* The rule of layer `index`. Layers that share it attend when all of a pass has been written. */
snug_kv_rule snug_kv_rule_make(const snug_kv_shape *shape, uint32_t index, const snug_kv_options *options);

/* What the query at `position` sees: the newest tokens, and those of the sinks that are not among them.
 * Neither `begin` ever falls from one position to the next. */
snug_kv_range snug_kv_rule_recent(const snug_kv_rule *rule, uint32_t position);
snug_kv_range snug_kv_rule_sinks(const snug_kv_rule *rule, uint32_t position);

/* Where logical tiles lie when all of them are of one kind. */
static inline snug_kv_places snug_kv_rule_places(const snug_kv_rule *rule)
{
    return (snug_kv_places){ .fixed_tiles = rule->sink_tiles, .ring_tiles = rule->ring_tiles };
}

/* Tokens from `position` on that may be written before the first of them has attended: the next one would
 * take the place of a token that is still to be seen. At least 1. */
uint32_t snug_kv_rule_room(const snug_kv_rule *rule, uint32_t position);

/* The first tile of the ring that is still there after the first `written` positions have been written, if
 * only once. */
uint32_t snug_kv_rule_first_kept(const snug_kv_rule *rule, uint32_t written);

/* Whether the query at `position`, and so all later ones, find everything before `position` that they see,
 * when `first_kept` is the first tile of the ring that is there. */
bool snug_kv_rule_is_whole(const snug_kv_rule *rule, uint32_t position, uint32_t first_kept);

/* Whether the last of `tokens` tokens saw something of a tile: later ones may see it, too. */
bool snug_kv_rule_needs(const snug_kv_rule *rule, uint32_t tokens, uint32_t tile);

#define SNUG_KV_PASS_TOKENS_DEFAULT 512u /* SNUG_PREFILL_CHUNK_DEFAULT of snug/session.h */

static inline uint32_t snug_kv_pass_tokens(const snug_kv_options *options)
{
    return options->pass_tokens > 0 ? options->pass_tokens : SNUG_KV_PASS_TOKENS_DEFAULT;
}

/* Logical tiles of the first `tokens` positions. */
static inline uint32_t snug_kv_tiles_for(uint32_t tokens)
{
    return tokens / SNUG_TILE_TOKENS + (tokens % SNUG_TILE_TOKENS > 0);
}

/* Tiles of codes up to `end_tile`, counted from the layer's first_tiles on, that are older than others. */
typedef struct snug_kv_run {
    uint32_t bits;
    uint32_t end_tile;
} snug_kv_run;

#define SNUG_KV_RUNS_MAX 5 /* all widths but the greatest */

/*
 * Keys or values of one layer. Invariant: each arena has committed what the first `tiles` tiles of the cache
 * need of it, rounded up to pages.
 */
typedef struct snug_kv_side {
    snug_kv_coding coding; /* resolved; bits are those of now */
    const snug_kv_rows *rows;
    bool is_key;
    uint32_t kv_head_count;
    uint32_t head_dim;
    uint64_t seed;        /* of the rotation, for planes */
    snug_kv_places exact; /* of all tiles, or of those that are not codes */
    size_t exact_tile_bytes;
    snug_arena exact_pages;

    /* Only where has_codes. */
    bool has_codes;
    /* Older codes of fewer bits than coding.bits: widths and ends ascend. By position, so a tile that is
     * computed again after a rewinding has the width it had. */
    uint32_t run_count;
    snug_kv_run run[SNUG_KV_RUNS_MAX];
    snug_kv_places coded; /* of the tiles from the layer's first_tiles on */
    uint32_t coded_tiles; /* that the arenas of codes have address space for */
    snug_arena plane[SNUG_CODES_PLANE_COUNT];
    snug_arena scales;  /* scales of a head's tile, then biases where there are some */
    size_t scale_bytes; /* of one head's tile */
} snug_kv_side;

/* Whether codes of this side are of turned vectors (codec/rotation.h). Rows never are: as long as there are
 * no codes, a cache gives the same bits as one without. */
static inline bool snug_kv_side_is_turned(const snug_kv_side *side)
{
    return side->has_codes && side->coding.format == SNUG_KV_FORMAT_PLANES;
}

/*
 * One layer; a shared one has a shape only. Where a side has codes, the logical tiles [first_tiles,
 * coded_end) are codes in it, all others rows. Invariant: the tiles [coded_end, those written) have rows.
 */
typedef struct snug_kv_store {
    snug_kv_layer shape;
    snug_kv_rule rule;
    snug_kv_side key;
    snug_kv_side value;
    uint32_t context_tiles; /* of the whole context */
    uint32_t pass_tiles;    /* that a pass adds before layers that share this one attend; else 0 */
    bool has_codes;         /* in a side */
    uint32_t first_tiles;   /* that stay exact for ever */
    uint32_t recent_tiles;  /* that are exact for a query: its own and those before it */
    uint32_t coded_end;
    uint32_t coded_before; /* coded_end when the pass began */
    bool is_rewound;       /* tile coded_end is codes still; made rows before the next token is written */
    uint32_t first_given;  /* of a converted cache: ring tiles before this one were not there to begin with */
} snug_kv_store;

/* One past the last tile that lies in codes, whether rows will take its place or not. */
static inline uint32_t snug_kv_store_codes_end(const snug_kv_store *store)
{
    return store->coded_end + store->is_rewound;
}

struct snug_kv {
    snug_memory *memory;
    const snug_kernels *kernels;
    snug_kv_config config;       /* resolved, as the cache was made: demotion leaves it alone */
    uint32_t first_exact_tokens; /* of now: a demotion of rows may have made them more */
    uint32_t recent_exact_tokens;
    uint32_t context_tokens;
    uint32_t pass_tokens;
    uint32_t tokens;  /* written in every layer */
    uint32_t written; /* the most that `tokens` was since it was 0: what these overwrote is gone */
    uint32_t tiles;   /* logical ones, for which every layer and side has memory */
    uint32_t layer_count;
    uint64_t table_bytes;  /* of this struct, its layers and their means */
    snug_kv_store store[]; /* [layer_count] */
};

/* The first tile of a layer's ring that is there (store.c); sinks always are. */
uint32_t snug_kv_first_kept(const snug_kv *kv, uint32_t layer);

/* --- one layer (layer.c) --- */

/* What the layer will be, without memory: all but the arenas. The estimate and the cache itself both
 * start here, so that they cannot differ. */
void snug_kv_store_shape(snug_kv_store *store, const snug_kv_shape *shape, uint32_t index,
                         const snug_kv_options *options);

/* Which tiles stay exact, of a layer without codes; none become codes by it. */
void snug_kv_store_set_exact(snug_kv_store *store, uint32_t first_exact_tokens, uint32_t recent_exact_tokens);

/* From now on tiles of a side become codes, as its coding says: where they and what stays exact will lie.
 * False, and nothing changed, where nothing would ever become codes. */
bool snug_kv_store_lay_out_codes(snug_kv_store *store, snug_kv_side *side);

/* Bytes of its arenas for the first `tiles` tiles. */
uint64_t snug_kv_store_bytes(const snug_kv_store *store, uint32_t tiles);
uint64_t snug_kv_side_bytes(const snug_kv_store *store, const snug_kv_side *side, uint32_t tiles);

/* What snug_kv_side_committed() will be of a side that now has the arenas of `side`, when it is as that says:
 * without what others hold, too. */
uint64_t snug_kv_side_held_as(const snug_kv_store *store, const snug_kv_side *side, uint32_t tiles);

SNUG_MUST_CHECK snug_status snug_kv_store_reserve(snug_kv_store *store, snug_memory *memory,
                                                  snug_error *error);
void snug_kv_store_release(snug_kv_store *store);
SNUG_MUST_CHECK snug_status snug_kv_store_commit(snug_kv_store *store, uint32_t tiles, snug_error *error);
void snug_kv_store_decommit(snug_kv_store *store, uint32_t tiles);
/* Huge pages, at most `pages` of them, for what the first `tiles` tiles have filled. Returns how many. */
uint32_t snug_kv_store_settle(snug_kv_store *store, uint32_t tiles, uint32_t pages);
uint64_t snug_kv_store_committed(const snug_kv_store *store);
uint64_t snug_kv_side_committed(const snug_kv_side *side);

/* Reserve address space for the codes that a side has been laid out for. Errors: NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_kv_side_reserve_codes(snug_kv_store *store, snug_kv_side *side,
                                                       snug_memory *memory, snug_error *error);
/* Nothing of a side is codes any more: its arenas of codes go. */
void snug_kv_side_release_codes(snug_kv_side *side);

bool snug_kv_store_is_valid(const snug_kv_store *store, uint32_t tiles);

/* One arena of a side. */
typedef struct snug_kv_arena {
    snug_arena *arena;
    size_t tile_bytes; /* of all heads */
    bool is_rows;
    snug_kv_range tiles; /* of codes that use it; they are counted from the layer's first_tiles on */
} snug_kv_arena;

#define SNUG_KV_ARENAS_MAX (SNUG_CODES_PLANE_COUNT + 2)

/* Those that a side has at its widths: that of rows first, then those of codes. Returns how many. */
int snug_kv_side_arenas(snug_kv_arena arenas[SNUG_KV_ARENAS_MAX], const snug_kv_side *side);

/*
 * Before the tokens from `tokens` on, up to `end`, are written: copies of those tiles that other caches share
 * and that will be written, as rows or as codes (fork.c). On failure nothing changed but where bytes lie.
 * Errors: OVER_LIMIT, NO_MEMORY.
 */
SNUG_MUST_CHECK snug_status snug_kv_store_own(const snug_kv_store *store, uint32_t tokens, uint32_t end,
                                              snug_error *error);
/* What it would take. */
uint64_t snug_kv_store_own_bytes(const snug_kv_store *store, uint32_t tokens, uint32_t end);
/* Whole tiles that fill whole pages: what content of an arena moves by. */
size_t snug_kv_unit_bytes(size_t tile_bytes);
/* Copies of all codes of a side that other caches share; what that takes. */
SNUG_MUST_CHECK snug_status snug_kv_side_own_codes(const snug_kv_side *side, snug_error *error);
uint64_t snug_kv_side_own_codes_bytes(const snug_kv_side *side);
/* The same for the rows of tiles [first, end), and for the first `places` places of rows. */
SNUG_MUST_CHECK snug_status snug_kv_side_own_rows(const snug_kv_side *side, uint32_t first, uint32_t end,
                                                  uint32_t places, snug_error *error);

/* The conversation now ends after `tokens` tokens, fewer than before (encoding.c). */
void snug_kv_store_rewind(snug_kv_store *store, uint32_t tokens);

/* Tiles of codes that there have been, or will be, when the cache has memory for `tiles` logical ones. */
uint32_t snug_kv_store_coded_tiles(const snug_kv_store *store, uint32_t tiles);

/* --- how many bits (widths.c) --- */

/* Of a tile of codes. */
uint32_t snug_kv_side_bits(const snug_kv_side *side, uint32_t coded_tile);
uint32_t snug_kv_side_fewest_bits(const snug_kv_side *side);

/* Tiles of codes before `end_tile` have no more than `bits` bits; SNUG_KV_UNBOUNDED: all, and those to come.
 * The figures only: demotion.c sees to the codes. */
void snug_kv_side_narrow(snug_kv_side *side, uint32_t bits, uint32_t end_tile);

/* The tiles whose width has a plane; they are in a row. */
snug_kv_range snug_kv_side_tiles_with(const snug_kv_side *side, snug_codes_plane plane);

/* --- one side (side.c) --- */

/* Address space for the planes that the side's widths need (demotion.c). Errors: NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_kv_side_reserve_planes(snug_kv_side *side, snug_memory *memory,
                                                        snug_error *error);

/* Where one head's part of a tile of codes lies in a plane. */
static inline unsigned char *snug_kv_side_plane(const snug_kv_side *side, snug_codes_plane plane,
                                                uint32_t coded_tile, uint32_t head)
{
    const size_t index = (size_t)snug_kv_place(&side->coded, coded_tile) * side->kv_head_count + head;

    return snug_arena_at(&side->plane[plane], index * snug_codes_plane_bytes(plane, side->head_dim));
}

/*
 * Make codes of a side of rows, as `as` has it: its coding and where tiles will lie (recoding.c). The store
 * is laid out for that already. Never takes more than `extra_bytes` on top. Errors: OVER_LIMIT, NO_MEMORY:
 * the side is as it was; but when the system refuses pages half way, the cache is empty.
 */
SNUG_MUST_CHECK snug_status snug_kv_recode_side(snug_kv *kv, snug_kv_store *store, snug_kv_side *side,
                                                const snug_kv_side *as, uint64_t extra_bytes, snug_work *work,
                                                void *thread_scratch, snug_error *error);

/* Arenas of the side give to a credit and take from it; NULL: the ledger again. */
void snug_kv_side_set_credit(snug_kv_side *side, snug_arena_credit *credit);

/* What that takes on top, at most, before it gives: `side` is what the side is afterwards. */
uint64_t snug_kv_recode_extra(const snug_kv_side *side);

/* One head's part of a logical tile. */
snug_tile snug_kv_side_rows(const snug_kv_side *side, uint32_t tile, uint32_t head);
snug_tile snug_kv_side_codes(const snug_kv_side *side, uint32_t coded_tile, uint32_t head);

/* The same tile's part of the next head. */
snug_tile snug_kv_side_next_head(const snug_kv_side *side, const snug_tile *tile);

/* Store one token's vectors of all heads as rows. */
void snug_kv_side_write(const snug_kv_side *side, const snug_kernels *kernels, uint32_t tile, uint32_t slot,
                        const float *x /* [kv_head_count][head_dim] */);

/* The same for one head: `row` is its place. */
void snug_kv_row_store(const snug_kv_side *side, const snug_kernels *kernels, unsigned char *row,
                       const float *x /* [head_dim] */);

/* Make codes of x[SNUG_TILE_TOKENS][head_dim], which is turned in place where the side is. */
void snug_kv_side_encode(const snug_kv_side *side, uint32_t coded_tile, uint32_t head, float *x);

/* The other way; what the codes lost stays lost. */
void snug_kv_side_decode(float *x, const snug_kv_side *side, uint32_t coded_tile, uint32_t head);

#endif /* SNUG_SRC_KV_PARTS_H */
