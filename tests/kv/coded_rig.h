/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coded_rig.h - a cache of one layer and one that shares it, driven as a model drives it, over random keys,
 * values and queries; and the forms of cache that tests go through.
 */
#ifndef SNUG_TESTS_KV_CODED_RIG_H
#define SNUG_TESTS_KV_CODED_RIG_H

#include "kv/kv.h"
#include "kv/parts.h"

enum {
    KV_HEADS = 2,
    GROUP = 2,
    HEADS = KV_HEADS * GROUP,
    TOKENS = 700,
    TILE = SNUG_TILE_TOKENS,
};

typedef struct coded_case {
    const char *name;
    snug_kv_config config;
    uint32_t head_dim;
    uint32_t window;
} coded_case;

typedef struct rig {
    const coded_case *c;
    snug_memory *memory;
    snug_kernels kernels;
    snug_work *work;
    snug_kv_layer layer[2]; /* the second reads what the first keeps */
    snug_kv_shape shape;
    snug_kv_options options;
    snug_kv *kv;
    float *key, *value; /* [TOKENS][KV_HEADS][head_dim] */
    float *query;       /* [TOKENS][HEADS][head_dim] */
    float *out[2];      /* the same */
    void *thread_scratch, *parts_scratch;
} rig;

/* A cache for the first `context` of the TOKENS tokens; closing it asserts that the ledger is empty. */
void rig_open(rig *r, const coded_case *c, uint32_t context, uint32_t pass_tokens, uint32_t threads);
void rig_close(rig *r);

/* One chunk through both layers. */
void compute(rig *r, uint32_t first, uint32_t tokens);
/* From what there is to `end`, chunk by chunk. */
void compute_to(rig *r, uint32_t end, uint32_t chunk);

/* What both answered from `token` on has the same bits, in both layers. */
void assert_same_from(const rig *a, const rig *b, uint32_t token);

#define PLANES(bits)                                                                                         \
    {                                                                                                        \
        SNUG_KV_FORMAT_PLANES, bits, 0                                                                       \
    }
#define AFFINE(bits, group)                                                                                  \
    {                                                                                                        \
        SNUG_KV_FORMAT_AFFINE, bits, group                                                                   \
    }
#define F16                                                                                                  \
    {                                                                                                        \
        SNUG_KV_FORMAT_F16, 0, 0                                                                             \
    }
#define ALL                                                                                                  \
    {                                                                                                        \
        SNUG_KV_RETENTION_ALL, 0, 0                                                                          \
    }
#define ROTATING(n, sinks)                                                                                   \
    {                                                                                                        \
        SNUG_KV_RETENTION_ROTATING, n, sinks                                                                 \
    }
#define CHUNKED(n)                                                                                           \
    {                                                                                                        \
        SNUG_KV_RETENTION_CHUNKED, n, 0                                                                      \
    }
/* The end of a config: no layer has a format of its own. */
#define ALIKE                                                                                                \
    {                                                                                                        \
        {                                                                                                    \
            { 0, 0, 0 },                                                                                     \
            {                                                                                                \
                0, 0, 0                                                                                      \
            }                                                                                                \
        }                                                                                                    \
    }

extern const coded_case cases[];
extern const size_t case_count;

#endif /* SNUG_TESTS_KV_CODED_RIG_H */
