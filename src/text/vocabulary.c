/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vocabulary.c - pieces and merges: counted, then filled into one block, then looked up.
 *
 * Nothing of tokenizer.json is kept or copied twice. For Llama 3 (128,000 pieces, 280,147 merges) the block
 * has 6.2 MB.
 */
#include "text/tables.h"

#include "base/size.h"
#include "base/status.h"
#include "text/character.h"

/* Ids may have gaps, but a table must not be out of proportion to the file that asks for it. */
#define GAP_BASE   65536u
#define GAP_FACTOR 4u

/* More steps than this to a free slot: the file was made to collide. */
#define PROBES_MAX 4096u

/* --- lookup -------------------------------------------------------------------------------------------- */

snug_str snug_vocabulary_piece(const snug_text *text, uint32_t id)
{
    const uint32_t start = text->piece_start[id];

    return (snug_str){ text->pieces + start, text->piece_start[id + 1] - start };
}

/* FNV-1a leaves the upper bits of short strings alike; one more round of mixing, then the share of the
 * table that the upper half says. */
static uint32_t slot_of(const snug_text *text, snug_str piece)
{
    uint64_t hash = snug_str_hash(piece);

    hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9ull;
    return (uint32_t)(((hash >> 32) * text->slot_count) >> 32);
}

uint32_t snug_vocabulary_find(const snug_text *text, snug_str piece)
{
    uint32_t slot;

    if (piece.bytes == 0 || piece.bytes > text->longest_piece_bytes)
        return SNUG_ID_NONE;
    for (slot = slot_of(text, piece); text->slots[slot] != SNUG_ID_NONE;
         slot = slot + 1 == text->slot_count ? 0 : slot + 1) {
        if (snug_str_equal(snug_vocabulary_piece(text, text->slots[slot]), piece))
            return text->slots[slot];
    }
    return SNUG_ID_NONE;
}

const snug_merge *snug_merge_find(const snug_text *text, uint32_t left, uint32_t right)
{
    uint32_t low = text->merge_start[left];
    uint32_t high = text->merge_start[left + 1];

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (text->merges[middle].right < right)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == text->merge_start[left + 1] || text->merges[low].right != right)
        return NULL;
    return &text->merges[low];
}

/* --- counting ------------------------------------------------------------------------------------------ */

/* Bytes of a string once its escapes are undone; `raw` has been checked by the JSON reader. */
static size_t unescaped_bytes(snug_str raw)
{
    const char *escape = raw.bytes > 0 ? memchr(raw.data, '\\', raw.bytes) : NULL;
    size_t bytes = 0;
    char unit[16];

    if (!escape)
        return raw.bytes;
    for (size_t i = 0; i < raw.bytes;) {
        size_t length = 1;

        if (raw.data[i] != '\\') {
            bytes++;
            i++;
            continue;
        }
        if (raw.data[i + 1] == 'u') /* D800..DBFF begins a pair */
            length = (raw.data[i + 2] | 0x20) == 'd' && strchr("89abAB", raw.data[i + 3]) ? 12 : 6;
        else
            length = 2;
        bytes += snug_json_unescape(unit, (snug_str){ raw.data + i, length });
        i += length;
    }
    return bytes;
}

static snug_status measure_pieces(snug_vocabulary_size *size, snug_json vocabulary, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(vocabulary);
    snug_str key;
    snug_json value;
    uint64_t count = 0;
    uint64_t end = 0;

    while (snug_json_next(&iterator, &key, &value)) {
        const size_t bytes = unescaped_bytes(key);
        uint64_t id;

        if (!snug_json_u64(&id, value) || id >= SNUG_ID_NONE)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "the id of \"%.*s\" should be a number from 0 to 4294967294, but is %.*s",
                      (int)snug_min_size(key.bytes, 40), key.data, SNUG_STR_ARGS(snug_json_excerpt(value)));
        end = id + 1 > end ? id + 1 : end;
        size->piece_bytes += bytes;
        size->longest_piece_bytes = (uint32_t)snug_max_size(size->longest_piece_bytes, bytes);
        count++;
    }
    if (count == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "model.vocab should be an object with tokens, but has none");
    if (end > count * GAP_FACTOR + GAP_BASE || size->piece_bytes >= UINT32_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "the highest id is %llu, with %llu tokens: ids should have no such gaps",
                  (unsigned long long)(end - 1), (unsigned long long)count);
    size->id_count = (uint32_t)end;
    size->piece_count = (uint32_t)count;
    return SNUG_OK;
}

static snug_status measure_merges(snug_vocabulary_size *size, snug_json merges, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(merges);
    snug_json value;
    uint64_t count = 0;

    if (snug_json_kind_of(merges) != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "model.merges should be an array, but is %s",
                  snug_json_kind_name(snug_json_kind_of(merges)));
    while (snug_json_next(&iterator, NULL, &value)) {
        const size_t bytes = snug_json_text(value).bytes;

        size->scratch_bytes = snug_max_size(size->scratch_bytes, bytes);
        count++;
    }
    if (count >= UINT32_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "model.merges has more than 2^32 entries");
    size->merge_count = (uint32_t)count;
    return SNUG_OK;
}

static uint32_t slot_count_of(uint32_t piece_count)
{
    return (uint32_t)((uint64_t)piece_count * 3 / 2 + 1 > UINT32_MAX ? UINT32_MAX
                                                                     : (uint64_t)piece_count * 3 / 2 + 1);
}

snug_status snug_vocabulary_measure(snug_vocabulary_size *size_out, const snug_tokenizer_parts *parts,
                                    snug_error *error)
{
    snug_vocabulary_size size = { 0 };
    const snug_json vocabulary = parts->vocab;

    if (snug_json_kind_of(vocabulary) != SNUG_JSON_OBJECT)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "model.vocab should be an object, but is %s",
                  snug_json_kind_name(snug_json_kind_of(vocabulary)));
    SNUG_TRY(measure_pieces(&size, vocabulary, error));
    SNUG_TRY(measure_merges(&size, parts->merges, error));
    size.block_bytes = 2 * ((uint64_t)size.id_count + 1) * sizeof(uint32_t) +
                       (uint64_t)size.merge_count * sizeof(snug_merge) +
                       (uint64_t)slot_count_of(size.piece_count) * sizeof(uint32_t) + size.piece_bytes;
    *size_out = size;
    return SNUG_OK;
}

/* --- filling ------------------------------------------------------------------------------------------- */

/* One block, cut from its most to its least aligned part. All parts before `pieces` are of 4-byte values. */
static snug_status allocate(snug_text *text, const snug_vocabulary_size *size, snug_error *error)
{
    const size_t ids = (size_t)size->id_count + 1;
    uint32_t *at =
        snug_memory_alloc(text->memory, SNUG_MEMORY_TEXT, size->block_bytes, "tokenizer tables", error);

    if (!at)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    text->id_count = size->id_count;
    text->piece_count = size->piece_count;
    text->merge_count = size->merge_count;
    text->longest_piece_bytes = size->longest_piece_bytes;
    text->slot_count = slot_count_of(size->piece_count);
    text->piece_start = at;
    text->merge_start = at + ids;
    text->slots = at + 2 * ids;
    text->merges = (snug_merge *)(void *)(at + 2 * ids + text->slot_count);
    text->pieces = (char *)(text->merges + size->merge_count);
    memset(text->slots, 0xff, text->slot_count * sizeof *text->slots);
    return SNUG_OK;
}

/* Lengths by id, then their sums, then the bytes: pieces lie in the order of their ids, so that no length
 * need be kept. Gaps have length 0. */
static snug_status fill_pieces(snug_text *text, snug_json vocabulary, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(vocabulary);
    snug_str key;
    snug_json value;
    uint64_t id;

    while (snug_json_next(&iterator, &key, &value)) {
        if (!snug_json_u64(&id, value))
            continue;
        if (text->piece_start[id + 1] != 0)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "two tokens have the id %llu; the second is \"%.*s\"",
                      (unsigned long long)id, (int)snug_min_size(key.bytes, 40), key.data);
        text->piece_start[id + 1] = (uint32_t)unescaped_bytes(key);
    }
    for (uint32_t i = 0; i < text->id_count; i++)
        text->piece_start[i + 1] += text->piece_start[i];
    iterator = snug_json_iterate(vocabulary);
    while (snug_json_next(&iterator, &key, &value)) {
        if (snug_json_u64(&id, value))
            (void)snug_json_unescape(text->pieces + text->piece_start[id], key);
    }
    return SNUG_OK;
}

static snug_status fill_slots(snug_text *text, snug_error *error)
{
    for (uint32_t id = 0; id < text->id_count; id++) {
        const snug_str piece = snug_vocabulary_piece(text, id);
        uint32_t slot = slot_of(text, piece);
        uint32_t probes = 0;

        if (piece.bytes == 0)
            continue;
        for (; text->slots[slot] != SNUG_ID_NONE; slot = slot + 1 == text->slot_count ? 0 : slot + 1) {
            if (snug_str_equal(snug_vocabulary_piece(text, text->slots[slot]), piece))
                SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the token \"%.*s\" has two ids: %u and %u",
                          (int)snug_min_size(piece.bytes, 40), piece.data, (unsigned)text->slots[slot],
                          (unsigned)id);
            if (++probes > PROBES_MAX)
                SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the vocabulary is made to collide in a hash table");
        }
        text->slots[slot] = id;
    }
    return SNUG_OK;
}

/* A merge with its escapes undone: left and right lie next to each other, so that both are the result. */
typedef struct merge_text {
    snug_str left;
    snug_str right;
    snug_str whole;
} merge_text;

static bool read_merge(merge_text *merge, char *scratch, snug_json value)
{
    snug_json_iterator iterator = snug_json_iterate(value);
    snug_json part[2] = { { NULL }, { NULL } };
    snug_str raw = snug_json_string(value);
    size_t left;
    size_t bytes;
    const char *space;

    if (snug_json_kind_of(value) == SNUG_JSON_STRING) { /* "left right": exactly one space */
        bytes = snug_json_unescape(scratch, raw);
        space = memchr(scratch, ' ', bytes);
        if (!space)
            return false;
        left = (size_t)(space - scratch);
        if (memchr(space + 1, ' ', bytes - left - 1))
            return false;
        memmove(scratch + left, scratch + left + 1, bytes - left - 1);
        bytes--;
    } else {
        if (snug_json_kind_of(value) != SNUG_JSON_ARRAY || snug_json_count(value) != 2)
            return false;
        (void)snug_json_next(&iterator, NULL, &part[0]);
        (void)snug_json_next(&iterator, NULL, &part[1]);
        if (snug_json_kind_of(part[0]) != SNUG_JSON_STRING || snug_json_kind_of(part[1]) != SNUG_JSON_STRING)
            return false;
        left = snug_json_unescape(scratch, snug_json_string(part[0]));
        bytes = left + snug_json_unescape(scratch + left, snug_json_string(part[1]));
    }
    merge->left = (snug_str){ scratch, left };
    merge->right = (snug_str){ scratch + left, bytes - left };
    merge->whole = (snug_str){ scratch, bytes };
    return true;
}

/* First round: how many merges each left piece has. merge_start[left + 1] counts, then becomes the sum. */
static snug_status count_merges(snug_text *text, snug_json merges, char *scratch, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(merges);
    snug_json value;

    while (snug_json_next(&iterator, NULL, &value)) {
        merge_text merge;
        uint32_t left;

        if (!read_merge(&merge, scratch, value))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "a merge should be two tokens, but is %.*s",
                      SNUG_STR_ARGS(snug_json_excerpt(value)));
        left = snug_vocabulary_find(text, merge.left);
        if (left == SNUG_ID_NONE)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the merge %.*s begins with something that is no token",
                      SNUG_STR_ARGS(snug_json_excerpt(value)));
        text->merge_start[left + 1]++;
    }
    for (uint32_t i = 0; i < text->id_count; i++)
        text->merge_start[i + 1] += text->merge_start[i];
    return SNUG_OK;
}

/* Second round: each merge to the next free place of its left piece. Afterwards merge_start[left] has moved
 * to the end of its own run, that is to the start of the next: shifting by one puts it right. */
static snug_status place_merges(snug_text *text, snug_json merges, char *scratch, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(merges);
    snug_json value;
    uint32_t rank = 0;

    while (snug_json_next(&iterator, NULL, &value)) {
        merge_text merge;
        uint32_t right;
        uint32_t result;

        if (!read_merge(&merge, scratch, value))
            continue;
        right = snug_vocabulary_find(text, merge.right);
        result = snug_vocabulary_find(text, merge.whole);
        if (right == SNUG_ID_NONE || result == SNUG_ID_NONE)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the merge %.*s %s that is no token",
                      SNUG_STR_ARGS(snug_json_excerpt(value)),
                      right == SNUG_ID_NONE ? "ends with something" : "gives something");
        text->merges[text->merge_start[snug_vocabulary_find(text, merge.left)]++] =
            (snug_merge){ right, rank++, result };
    }
    memmove(text->merge_start + 1, text->merge_start, text->id_count * sizeof *text->merge_start);
    text->merge_start[0] = 0;
    return SNUG_OK;
}

static bool is_before(const void *user, const void *left, const void *right)
{
    const snug_merge *a = left;
    const snug_merge *b = right;

    (void)user;
    return a->right != b->right ? a->right < b->right : a->rank < b->rank;
}

static void sort_runs(snug_text *text)
{
    for (uint32_t id = 0; id < text->id_count; id++) {
        snug_merge *run = text->merges + text->merge_start[id];
        const uint32_t count = text->merge_start[id + 1] - text->merge_start[id];

        snug_sort(run, count, sizeof *run, is_before, NULL);
        for (uint32_t i = count; i > 1; i--) { /* a merge given twice: the last one counts */
            if (run[i - 2].right == run[i - 1].right)
                run[i - 2].rank = run[i - 1].rank;
        }
    }
}

static void fill_short_ids(snug_text *text)
{
    for (uint32_t code = 0; code < SNUG_TEXT_SHORT_CODES; code++) {
        char piece[4];

        text->short_id[code] = snug_vocabulary_find(text, (snug_str){ piece, snug_utf8_write(piece, code) });
    }
}

snug_status snug_vocabulary_read(snug_text *text, const snug_vocabulary_size *size,
                                 const snug_tokenizer_parts *parts, snug_error *error)
{
    snug_buffer scratch = { .memory = text->memory };
    snug_status status;

    SNUG_TRY(allocate(text, size, error));
    SNUG_TRY(fill_pieces(text, parts->vocab, error));
    SNUG_TRY(fill_slots(text, error));
    SNUG_TRY(snug_buffer_restart(&scratch, (size_t)size->scratch_bytes, error));
    status = count_merges(text, parts->merges, scratch.data, error);
    if (status == SNUG_OK)
        status = place_merges(text, parts->merges, scratch.data, error);
    snug_buffer_deinit(&scratch);
    if (status != SNUG_OK)
        return status;
    sort_runs(text);
    fill_short_ids(text);
    return SNUG_OK;
}
