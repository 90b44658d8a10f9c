/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/kv.h - the key/value cache: what a running conversation remembers.
 *
 * A cache is made of three independent parts: a page store (address space, committed tile by tile after the
 * ledger agreed), an element format, and a retention (which tokens are kept). Every combination works. A
 * layer whose model gives it a window keeps no more than that window, whatever the retention.
 *
 * Tokens are appended by the session, never by the caller.
 * Threads: one thread at a time per cache.
 */
#ifndef SNUG_KV_H
#define SNUG_KV_H

#include <snug/memory.h>

SNUG_BEGIN_DECLS

typedef struct snug_kv snug_kv;

typedef enum snug_kv_format {
    SNUG_KV_FORMAT_AUTO = 0, /* f16; f32 for a model opened as exact */
    SNUG_KV_FORMAT_F32 = 1,
    SNUG_KV_FORMAT_F16 = 2,
    SNUG_KV_FORMAT_AFFINE = 3, /* MLX's quantizer: groups along the head, each with a scale and a bias */
    SNUG_KV_FORMAT_PLANES = 4, /* ours: turned vectors, one scale each, codes whose lowest bits can go */
} snug_kv_format;

/* How keys, or values, are stored. Plain data. */
typedef struct snug_kv_coding {
    snug_kv_format format;
    uint32_t bits;  /* affine, planes: 2, 3, 4, 5, 6 or 8; 0: 8. Floats: 0 */
    uint32_t group; /* affine: 32, 64 or 128 dims, of which head_dim is a multiple; 0: 64. Else 0 */
} snug_kv_coding;

/* "f32", "f16", "affine", "planes"; "auto" for AUTO. Never NULL. */
SNUG_API const char *snug_kv_format_name(snug_kv_format format);
SNUG_API bool snug_kv_format_parse(snug_kv_format *format_out, const char *name);

/*
 * Which tokens a query sees, and so which are kept. The query at position p sees the key at k iff k <= p and
 *
 *   ALL        always
 *   ROTATING   k < sink_tokens  or  p - k < max_tokens - sink_tokens
 *   CHUNKED    k / max_tokens == p / max_tokens, in whole numbers: only the current chunk, as Llama 4's local
 *              layers and MLX's ChunkedKVCache do
 *
 * and, in a layer with a window, also p - k < window_tokens. Positions are those of the whole conversation
 * for ever: a key is rotated once, when it is written.
 *
 * Memory of a layer that sees W tokens beside the sinks: at most the sinks in whole tiles of 64 tokens, and
 * 1 + ceil((W - 1) / 64) tiles. Only a layer that later layers share holds more, by pass_tokens.
 */
typedef enum snug_kv_retention_kind {
    SNUG_KV_RETENTION_AUTO = 0, /* ALL */
    SNUG_KV_RETENTION_ALL = 1,
    SNUG_KV_RETENTION_ROTATING = 2,
    SNUG_KV_RETENTION_CHUNKED = 3,
} snug_kv_retention_kind;

/* "all", "rotating", "chunked"; "auto" for AUTO. Never NULL. */
SNUG_API const char *snug_kv_retention_name(snug_kv_retention_kind kind);
SNUG_API bool snug_kv_retention_parse(snug_kv_retention_kind *kind_out, const char *name);

typedef struct snug_kv_retention {
    snug_kv_retention_kind kind;
    uint32_t max_tokens;  /* ROTATING, CHUNKED: at least 1. ALL: 0 */
    uint32_t sink_tokens; /* ROTATING: the first tokens, kept for ever; fewer than max_tokens. Else 0 */
} snug_kv_retention;

/* What one layer of a model puts into the cache. */
typedef struct snug_kv_layer {
    uint32_t kv_head_count;
    uint32_t head_dim;      /* of keys and of values */
    uint32_t window_tokens; /* a query sees that many tokens, itself among them; 0: all */
    bool is_shared;         /* keeps nothing, but reads what layer `source` keeps */
    uint32_t source;        /* an earlier layer of the same shape that is not shared itself */
} snug_kv_layer;

typedef struct snug_kv_shape {
    uint32_t layer_count;
    const snug_kv_layer *layer; /* [layer_count], owned by the model */
} snug_kv_shape;

/* A snug_kv_coding in bytes. */
typedef struct snug_kv_side_format {
    uint8_t format; /* AUTO: as the config has it for all layers; then the others are 0, too */
    uint8_t bits;
    uint8_t group;
} snug_kv_side_format;

/* A layer whose format is its own. */
typedef struct snug_kv_layer_format {
    snug_kv_side_format key;
    snug_kv_side_format value;
} snug_kv_layer_format;

/* Layers that may have a format of their own; those after them are as all are. */
#define SNUG_KV_LAYERS_MAX 128

/*
 * What a cache is made of. Plain data; all zero: f16, everything kept.
 *
 * Tokens become codes a tile of 64 at a time, when it leaves the recent tokens that stay exact (f16): a query
 * sees its own tile, and the `recent_exact_tokens` before it, as they were. The first `first_exact_tokens`
 * stay so for ever. Both are rounded up to whole tiles; 0 leaves only the tile being filled.
 */
typedef struct snug_kv_config {
    snug_kv_coding key; /* of all layers but those below; AUTO is F16 here */
    snug_kv_coding value;
    uint32_t first_exact_tokens;
    uint32_t recent_exact_tokens;
    snug_kv_retention retention;
    snug_kv_layer_format layer[SNUG_KV_LAYERS_MAX]; /* none of a layer that reads what another keeps */
} snug_kv_config;

/* How a config has one layer's keys, or values, with the defaults filled in. */
SNUG_API snug_kv_coding snug_kv_config_key(const snug_kv_config *config, uint32_t layer);
SNUG_API snug_kv_coding snug_kv_config_value(const snug_kv_config *config, uint32_t layer);

/* Give one layer, below SNUG_KV_LAYERS_MAX, a format of its own. */
SNUG_API void snug_kv_config_set_layer(snug_kv_config *config, uint32_t layer, const snug_kv_coding *key,
                                       const snug_kv_coding *value);

/* Whether any layer has a format of its own. */
SNUG_API bool snug_kv_config_has_layers(const snug_kv_config *config);

/* Whether anything is to become codes: affine, planes. */
SNUG_API bool snug_kv_config_has_codes(const snug_kv_config *config);

/* How much stays exact unless somebody says otherwise: in a cache with codes, and of a rotating one. */
#define SNUG_KV_FIRST_EXACT_DEFAULT  16u
#define SNUG_KV_RECENT_EXACT_DEFAULT 128u
#define SNUG_KV_SINKS_DEFAULT        4u

typedef struct snug_kv_options {
    size_t struct_size;
    uint32_t context_tokens; /* positions end here, whatever is kept of them; at least 1 */
    uint32_t pass_tokens;    /* the most tokens computed in one pass; 0: 512 */
    snug_kv_config config;
} snug_kv_options;

/*
 * Bytes of memory that a cache of this shape takes after `tokens` tokens: exact, to the page.
 * Errors: ARGUMENT (figures that make no sense; a format for a layer that is not there, or that reads what
 * another keeps), UNSUPPORTED (a group that does not divide the head size).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_kv_estimate(uint64_t *bytes_out, const snug_kv_shape *shape,
                                                      const snug_kv_options *options, uint32_t tokens,
                                                      snug_error *error);

SNUG_API uint32_t snug_kv_tokens(const snug_kv *kv);         /* of the conversation so far */
SNUG_API uint32_t snug_kv_context_tokens(const snug_kv *kv); /* the most it can have */
/* In the ledger now, for this cache alone: what goes back when it is destroyed. */
SNUG_API uint64_t snug_kv_committed_bytes(const snug_kv *kv);
/* In the ledger for this cache and for others that were forked from it, or it from them. */
SNUG_API uint64_t snug_kv_shared_bytes(const snug_kv *kv);

/*
 * What snug_kv_committed_bytes() will be when the conversation has `tokens` tokens, no fewer than now, if the
 * cache stays as it is: exact. Cost: some additions per layer; no memory is taken.
 */
SNUG_API uint64_t snug_kv_projected_bytes(const snug_kv *kv, uint32_t tokens);

/* What a cache is made of now. Plain data. */
typedef struct snug_kv_info {
    size_t struct_size; /* set by the caller */
    /* Nothing AUTO or 0 for a default. Keys and values as in the layer that has the fewest bits now; layers
     * that have other formats or more bits have them as their own. */
    snug_kv_config config;
    uint64_t token_bytes;  /* keys and values of one token, as codes where there are some, in every layer */
    uint32_t coded_tokens; /* of them in codes, in the layer that has most */
} snug_kv_info;

SNUG_API void snug_kv_read_info(snug_kv_info *info_out, const snug_kv *kv);

SNUG_API uint32_t snug_kv_layer_count(const snug_kv *kv);

/* What bounds the tokens that a query of a layer sees. */
typedef enum snug_kv_layer_kind {
    SNUG_KV_LAYER_ALL = 1,
    SNUG_KV_LAYER_WINDOW = 2, /* the model's */
    SNUG_KV_LAYER_ROTATING = 3,
    SNUG_KV_LAYER_CHUNKED = 4,
    SNUG_KV_LAYER_SHARED = 5, /* keeps nothing, but reads what layer `source` keeps */
} snug_kv_layer_kind;

/* "all", "window", "rotating", "chunked", "shared". Never NULL. */
SNUG_API const char *snug_kv_layer_kind_name(snug_kv_layer_kind kind);

/* Tokens that are stored in so many bits a value: 2 .. 8, 16 for f16, 32 for f32. */
typedef struct snug_kv_width {
    uint32_t bits;
    uint32_t tokens;
} snug_kv_width;

#define SNUG_KV_WIDTHS_MAX 8

/* Keys or values of one layer. */
typedef struct snug_kv_side_info {
    snug_kv_coding coding; /* of tokens that are not recent any more; bits are those of the newest codes */
    uint32_t width_count;
    snug_kv_width width[SNUG_KV_WIDTHS_MAX]; /* of the tokens that are there, by their oldest one */
    uint64_t bytes;                          /* in the ledger now */
} snug_kv_side_info;

/* One layer of a cache as it is now. Plain data. */
typedef struct snug_kv_layer_info {
    size_t struct_size; /* set by the caller */
    snug_kv_layer_kind kind;
    uint32_t source;       /* SHARED: that layer; else 0 */
    uint32_t bound_tokens; /* the most that a query sees beside the sinks; 0: all */
    uint32_t sink_tokens;
    snug_kv_side_info key; /* SHARED: all 0 */
    snug_kv_side_info value;
    const char *skipped; /* what was asked for and is not so here, and why; "" where all is. Static */
} snug_kv_layer_info;

/* Cost: a step per tile of 64 tokens. Errors: ARGUMENT (no such layer). */
SNUG_API SNUG_MUST_CHECK snug_status snug_kv_describe(snug_kv_layer_info *info_out, const snug_kv *kv,
                                                      uint32_t layer, snug_error *error);

/* Which part of a cache is to have how many bits. */
typedef struct snug_kv_target {
    size_t struct_size;
    uint32_t first_layer;
    uint32_t layer_count; /* 0: all from first_layer on */
    uint32_t key_bits;    /* 2, 3, 4, 5, 6 or 8; 0: leave the keys alone */
    uint32_t value_bits;
    /* Only tokens that at least so many follow, and only those before that position; 0: all, and those to
     * come. In tiles of 64 that lie there as a whole, so a few tokens fewer. */
    uint32_t older_than_tokens;
    uint32_t end_token;
    /* Where a layer has no codes yet: what stays exact in it, as in snug_kv_config. The greater of these and
     * of the config's holds; and tokens newer than those meant stay f16, now and later as many as these. */
    uint32_t first_exact_tokens;
    uint32_t recent_exact_tokens;
} snug_kv_target;

/*
 * Store the codes of these layers in fewer bits, those there are and those to come; *bytes_out (may be
 * NULL) is what went back to the system and the ledger. The result is, bit for bit, what encoding at that
 * width would have given. A side that has no more bits than that already, or no codes, stays as it is
 * (snug_session_demote() makes codes of f16).
 *
 * Cost: down to 4 bits planes of bits are given back, without reading or writing one. From 4 bits or more to
 * fewer each tile is repacked once, in place: on top that takes memory for about one tile of one side.
 * Errors: ARGUMENT; UNSUPPORTED (affine codes do not nest); OVER_LIMIT, NO_MEMORY: layers before the one that
 * failed have changed, that one perhaps down to 4 bits, and the cache is valid.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_kv_demote(snug_kv *kv, const snug_kv_target *target,
                                                    uint64_t *bytes_out, snug_error *error);

/* What a demotion would do. Plain data. */
typedef struct snug_kv_demotion {
    size_t struct_size;      /* set by the caller */
    uint64_t returned_bytes; /* to the system and the ledger when it is done: exact */
    uint64_t extra_bytes;    /* that it takes at most on top of what there is, before it gives */
} snug_kv_demotion;

/*
 * What snug_session_demote() would do to this cache now; snug_kv_demote(), too, where every side named has
 * codes. Changes nothing, takes no memory. Cost: arithmetic per layer. Errors: as of the demotion itself.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_kv_foresee_demotion(snug_kv_demotion *demotion_out,
                                                              const snug_kv *kv, const snug_kv_target *target,
                                                              snug_error *error);

/*
 * Forget every token after the first `tokens` and return the pages they filled. Returns how many tokens are
 * left: min(tokens, snug_kv_tokens()) when everything that their successors will see is still there, which is
 * always so while no layer has gone round; else 0, and the caller computes the tokens again. Cannot fail.
 */
SNUG_API uint32_t snug_kv_truncate(snug_kv *kv, uint32_t tokens);

SNUG_END_DECLS
#endif /* SNUG_KV_H */
