/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.c - the bump allocator and the text builder on top of it. Invariants: every byte of a block is
 * handed out once, so that fresh memory is still zero as the ledger's blocks are; what is large has a
 * block of its own, behind the one that is being filled.
 */
#include "text/template/region.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

#define BLOCK_BYTES_MIN ((size_t)4 << 10)
#define BLOCK_BYTES_MAX ((size_t)256 << 10)
#define ALIGNMENT       _Alignof(max_align_t)

typedef struct region_block {
    struct region_block *older;
    size_t bytes; /* with this header */
    max_align_t first[];
} region_block;

void snug_region_init(snug_region *region, snug_memory *memory, size_t limit_bytes, const char *what,
                      snug_error *error)
{
    *region = (snug_region){ .memory = memory,
                             .what = what,
                             .error = error,
                             .limit_bytes = limit_bytes,
                             .next_block_bytes = BLOCK_BYTES_MIN };
}

void snug_region_deinit(snug_region *region)
{
    while (region->newest) {
        region_block *block = region->newest;

        region->newest = block->older;
        snug_memory_free(region->memory, block);
    }
    region->at = region->end = NULL;
}

bool snug_region_fail(snug_region *region, snug_status status, const char *format, ...)
{
    char sentence[SNUG_ERROR_TEXT_BYTES];
    va_list arguments;

    if (region->status != SNUG_OK)
        return false;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    region->status = snug_fail(region->error, status, "%s", sentence);
    return false;
}

/* A block with room for `bytes`, charged but in no list yet. */
static region_block *make_block(snug_region *region, size_t bytes)
{
    const size_t block_bytes = bytes + sizeof(region_block);
    snug_error error = { .status = SNUG_OK };
    region_block *block;

    if (bytes > region->limit_bytes || region->total_bytes > region->limit_bytes - bytes) {
        snug_region_fail(region, SNUG_ERR_OVER_LIMIT, "%s would take more than %zu MiB", region->what,
                         region->limit_bytes >> 20);
        return NULL;
    }
    block = snug_memory_alloc(region->memory, SNUG_MEMORY_TEXT, block_bytes, region->what, &error);
    if (!block) {
        snug_region_fail(region, error.status, "%s", error.text);
        return NULL;
    }
    block->bytes = block_bytes;
    region->total_bytes += block_bytes;
    return block;
}

/* Make room for `bytes` at region->at, in a new block when the newest one is too short. */
static bool make_room(snug_region *region, size_t bytes)
{
    region_block *block;

    if ((size_t)(region->end - region->at) >= bytes)
        return true;
    block = make_block(region, snug_max_size(region->next_block_bytes, bytes));
    if (!block)
        return false;
    block->older = region->newest;
    region->newest = block;
    region->at = (char *)block->first;
    region->end = (char *)block + block->bytes;
    region->next_block_bytes = snug_min_size(region->next_block_bytes * 2, BLOCK_BYTES_MAX);
    return true;
}

/* A block of its own, put behind the newest one, which goes on being filled. */
static void *alloc_large(snug_region *region, size_t bytes)
{
    region_block *block;

    if (bytes > SIZE_MAX / 4) {
        snug_region_fail(region, SNUG_ERR_OVER_LIMIT, "%s is too large", region->what);
        return NULL;
    }
    block = make_room(region, 1) ? make_block(region, bytes) : NULL;
    if (!block)
        return NULL;
    block->older = region->newest->older;
    region->newest->older = block;
    return block->first;
}

void *snug_region_alloc(snug_region *region, size_t bytes)
{
    void *result;
    size_t padding;

    if (bytes >= SNUG_REGION_LARGE_BYTES)
        return alloc_large(region, bytes);
    if (!make_room(region, bytes + ALIGNMENT))
        return NULL;
    padding = (ALIGNMENT - (size_t)((uintptr_t)region->at % ALIGNMENT)) % ALIGNMENT;
    result = region->at + padding;
    region->at += padding + bytes;
    return result;
}

void *snug_region_array(snug_region *region, size_t count, size_t item_bytes)
{
    uint64_t bytes;

    if (!snug_multiply_u64(&bytes, count, item_bytes) || bytes > SIZE_MAX / 4) {
        snug_region_fail(region, SNUG_ERR_OVER_LIMIT, "%s is too large", region->what);
        return NULL;
    }
    return snug_region_alloc(region, (size_t)bytes);
}

void *snug_region_grow(snug_region *region, void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    const size_t larger = *capacity ? *capacity * 2 : 4;
    void *grown;

    if (count < *capacity)
        return items;
    grown = snug_region_array(region, larger, item_bytes);
    if (!grown)
        return NULL;
    if (count != 0)
        memcpy(grown, items, count * item_bytes);
    *capacity = larger;
    return grown;
}

char *snug_region_text(snug_region *region, size_t bytes)
{
    char *result;

    if (bytes >= SNUG_REGION_LARGE_BYTES)
        return alloc_large(region, bytes);
    if (!make_room(region, bytes + (bytes == 0))) /* one byte at least: an empty text is not NULL */
        return NULL;
    result = region->at;
    region->at += bytes;
    return result;
}

void snug_region_drop(snug_region *region, const void *large)
{
    for (region_block *block = region->newest; block && block->older; block = block->older) {
        region_block *dropped = block->older;

        if ((const void *)dropped->first != large)
            continue;
        block->older = dropped->older;
        region->total_bytes -= dropped->bytes;
        snug_memory_free(region->memory, dropped);
        return;
    }
}

void snug_region_drop_others(snug_region *region, const void *large)
{
    region_block *kept = NULL;

    while (region->newest) {
        region_block *block = region->newest;

        region->newest = block->older;
        if ((const void *)block->first == large) {
            kept = block;
            continue;
        }
        region->total_bytes -= block->bytes;
        snug_memory_free(region->memory, block);
    }
    region->newest = kept;
    if (kept)
        kept->older = NULL;
    region->at = region->end = NULL;
}

bool snug_region_copy(snug_region *region, snug_str *out, snug_str text)
{
    char *copy = snug_region_text(region, text.bytes);

    if (!copy)
        return false;
    if (text.bytes != 0)
        memcpy(copy, text.data, text.bytes);
    *out = (snug_str){ copy, text.bytes };
    return true;
}

bool snug_region_join(snug_region *region, snug_str *out, snug_str a, snug_str b)
{
    const size_t bytes = a.bytes + b.bytes;
    char *joined;

    if (bytes > SNUG_TEMPLATE_TEXT_BYTES_MAX)
        return snug_region_fail(region, SNUG_ERR_OVER_LIMIT, "%s would make a text of more than %zu MiB",
                                region->what, SNUG_TEMPLATE_TEXT_BYTES_MAX >> 20);
    if (a.bytes == 0 || b.bytes == 0) {
        *out = a.bytes == 0 ? b : a;
        return true;
    }
    if (a.data + a.bytes == region->at && (size_t)(region->end - region->at) >= b.bytes) {
        memcpy(region->at, b.data, b.bytes);
        region->at += b.bytes;
        *out = (snug_str){ a.data, bytes };
        return true;
    }
    joined = snug_region_text(region, bytes);
    if (!joined)
        return false;
    memcpy(joined, a.data, a.bytes);
    memcpy(joined + a.bytes, b.data, b.bytes);
    *out = (snug_str){ joined, bytes };
    return true;
}

bool snug_builder_add(snug_builder *builder, snug_str text)
{
    snug_region *region = builder->region;
    size_t capacity = builder->capacity;
    char *larger;

    if (text.bytes == 0)
        return true;
    if (text.bytes <= builder->capacity - builder->bytes) {
        memcpy(builder->data + builder->bytes, text.data, text.bytes);
        builder->bytes += text.bytes;
        return true;
    }
    if (text.bytes > SNUG_TEMPLATE_TEXT_BYTES_MAX - builder->bytes)
        return snug_region_fail(region, SNUG_ERR_OVER_LIMIT, "%s would write more than %zu MiB of text",
                                region->what, SNUG_TEMPLATE_TEXT_BYTES_MAX >> 20);
    capacity = snug_max_size(capacity ? capacity * 2 : 64, builder->bytes + text.bytes);
    larger = snug_region_text(region, capacity);
    if (!larger)
        return false;
    if (builder->bytes != 0)
        memcpy(larger, builder->data, builder->bytes);
    memcpy(larger + builder->bytes, text.data, text.bytes);
    if (builder->capacity >= SNUG_REGION_LARGE_BYTES)
        snug_region_drop(region, builder->data); /* nobody else has seen it: the builder is not finished */
    builder->data = larger;
    builder->bytes += text.bytes;
    builder->capacity = capacity;
    return true;
}

bool snug_builder_add_text(snug_builder *builder, const char *terminated)
{
    return snug_builder_add(builder, snug_str_from(terminated));
}

bool snug_builder_add_byte(snug_builder *builder, char byte)
{
    return snug_builder_add(builder, (snug_str){ &byte, 1 });
}

snug_str snug_builder_str(const snug_builder *builder)
{
    return (snug_str){ builder->data ? builder->data : "", builder->bytes };
}
