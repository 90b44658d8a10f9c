/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/kv.h - the key/value cache: what a running conversation remembers.
 *
 * A cache is made of three independent parts: a page store (address space for the whole context, committed
 * tile by tile after the ledger agreed), an element format, and a retention (which tokens are kept). This
 * build has the formats f32 and f16 and the retentions `all` and `window`; others come in as files beside
 * them.
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
} snug_kv_format;

/* "f32", "f16"; "auto" for AUTO. Never NULL. */
SNUG_API const char *snug_kv_format_name(snug_kv_format format);
SNUG_API bool snug_kv_format_parse(snug_kv_format *format_out, const char *name);

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

typedef struct snug_kv_options {
    size_t struct_size;
    uint32_t context_tokens;     /* the most tokens it will hold; at least 1 */
    snug_kv_format key_format;   /* AUTO is F16 here */
    snug_kv_format value_format; /* this build wants both the same */
} snug_kv_options;

/*
 * Bytes of memory that a cache of this shape takes when it holds `tokens` tokens: exact, to the page.
 * Errors: ARGUMENT, UNSUPPORTED (a combination of formats).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_kv_estimate(uint64_t *bytes_out, const snug_kv_shape *shape,
                                                      const snug_kv_options *options, uint32_t tokens,
                                                      snug_error *error);

SNUG_API uint32_t snug_kv_tokens(const snug_kv *kv);          /* tokens held now */
SNUG_API uint32_t snug_kv_context_tokens(const snug_kv *kv);  /* the most it can hold */
SNUG_API uint64_t snug_kv_committed_bytes(const snug_kv *kv); /* in the ledger now */

/* Forget every token after the first `tokens` and return the pages they filled. Cannot fail. */
SNUG_API void snug_kv_truncate(snug_kv *kv, uint32_t tokens);

SNUG_END_DECLS
#endif /* SNUG_KV_H */
