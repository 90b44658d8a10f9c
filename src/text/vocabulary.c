/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vocabulary.c - pieces and merges, or scores: counted, then filled into one block, then looked up.
 *
 * They come from tokenizer.json or from a stored vocabulary; a walk over either gives the same entries.
 * Nothing of the file is kept or copied twice. For Llama 3 (128,000 pieces, 280,147 merges) the block has 6.2
 * MB.
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

/* In the rank of a merge that lies where it belongs, while others do not. */
#define PLACED 0x80000000u

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

/* --- the two sources ----------------------------------------------------------------------------------- */

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

typedef struct piece_walk {
    snug_json_iterator json;
    snug_stored_cursor stored;
    bool is_stored;
} piece_walk;

typedef struct piece_entry {
    snug_str raw;     /* JSON: with its escapes */
    bool is_escaped;  /* JSON */
    bool is_unmarked; /* its spaces stand for U+2581 */
    uint64_t id;      /* UINT64_MAX: `value` is no number */
    snug_json value;  /* of JSON, for sentences */
    uint32_t rank;    /* of scores */
} piece_entry;

static piece_walk walk_pieces(const snug_tokenizer_parts *parts)
{
    piece_walk walk = { .is_stored = parts->stored != NULL };

    if (walk.is_stored)
        walk.stored = snug_stored_iterate(parts->stored);
    else
        walk.json = snug_json_iterate(parts->vocab);
    return walk;
}

/* Numbers that fall as the score rises. The bits of floats are in order within a sign; the score is no
 * NaN. */
static uint32_t rank_of(const snug_stored_token *token)
{
    const float score = token->score + 0.0f; /* no -0 */
    uint32_t bits;

    if (token->type == SNUG_STORED_TOKEN_USER_DEFINED) /* SentencePiece finds them before it merges */
        return 0;
    if (token->type != SNUG_STORED_TOKEN_NORMAL)
        return SNUG_RANK_NONE;
    memcpy(&bits, &score, sizeof bits);
    return (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
}

static bool next_piece(piece_entry *entry, piece_walk *walk)
{
    snug_stored_token token;

    if (!walk->is_stored) {
        *entry = (piece_entry){ .is_escaped = true, .id = UINT64_MAX };
        if (!snug_json_next(&walk->json, &entry->raw, &entry->value))
            return false;
        (void)snug_json_u64(&entry->id, entry->value);
        return true;
    }
    do { /* rows of the model without a token are gaps */
        if (!snug_stored_next(&walk->stored, &token))
            return false;
    } while (token.type == SNUG_STORED_TOKEN_UNUSED || token.text.bytes == 0);
    *entry = (piece_entry){ .raw = token.text, .id = token.id, .rank = rank_of(&token) };
    entry->is_unmarked = walk->stored.tokenizer->is_by_scores && token.type == SNUG_STORED_TOKEN_USER_DEFINED;
    return true;
}

/* The bytes of the piece, written to `out` unless it is NULL. */
static size_t write_piece(char *out, const piece_entry *entry)
{
    size_t bytes = 0;

    if (entry->is_escaped)
        return out ? snug_json_unescape(out, entry->raw) : unescaped_bytes(entry->raw);
    for (size_t i = 0; i < entry->raw.bytes; i++) {
        const bool is_mark = entry->is_unmarked && entry->raw.data[i] == ' ';
        const snug_str part =
            is_mark ? (snug_str){ "\xe2\x96\x81", 3 } : (snug_str){ entry->raw.data + i, 1 };

        if (out)
            memcpy(out + bytes, part.data, part.bytes);
        bytes += part.bytes;
    }
    return bytes;
}

typedef struct merge_walk {
    snug_json_iterator json;
    snug_stored_strings stored;
    bool is_stored;
} merge_walk;

typedef struct merge_entry {
    snug_json value; /* of JSON */
    snug_str raw;    /* stored: "left right" */
} merge_entry;

static merge_walk walk_merges(const snug_tokenizer_parts *parts)
{
    merge_walk walk = { .is_stored = parts->stored != NULL };

    if (walk.is_stored)
        walk.stored = parts->stored->merges;
    else
        walk.json = snug_json_iterate(parts->merges);
    return walk;
}

static bool next_merge(merge_entry *entry, merge_walk *walk)
{
    *entry = (merge_entry){ .raw = { NULL, 0 } };
    if (!walk->is_stored)
        return snug_json_next(&walk->json, NULL, &entry->value);
    if (walk->stored.count == 0)
        return false;
    entry->raw = snug_stored_strings_next(&walk->stored);
    return true;
}

/* The beginning of a merge as the file writes it, for sentences. */
static snug_str merge_excerpt(const merge_entry *entry)
{
    return entry->raw.data ? (snug_str){ entry->raw.data, snug_min_size(entry->raw.bytes, 60) }
                           : snug_json_excerpt(entry->value);
}

/* --- counting ------------------------------------------------------------------------------------------ */

static snug_status measure_pieces(snug_vocabulary_size *size, const snug_tokenizer_parts *parts,
                                  snug_error *error)
{
    piece_walk walk = walk_pieces(parts);
    piece_entry entry;
    uint64_t count = 0;
    uint64_t end = 0;

    while (next_piece(&entry, &walk)) {
        const size_t bytes = write_piece(NULL, &entry);

        if (entry.id >= SNUG_ID_NONE)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "the id of \"%.*s\" should be a number from 0 to 4294967294, but is %.*s",
                      (int)snug_min_size(entry.raw.bytes, 40), entry.raw.data,
                      SNUG_STR_ARGS(snug_json_excerpt(entry.value)));
        end = entry.id + 1 > end ? entry.id + 1 : end;
        size->piece_bytes += bytes;
        size->longest_piece_bytes = (uint32_t)snug_max_size(size->longest_piece_bytes, bytes);
        count++;
    }
    if (count == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the vocabulary has no tokens");
    if (end > count * GAP_FACTOR + GAP_BASE || size->piece_bytes >= UINT32_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "the highest id is %llu, with %llu tokens: ids should have no such gaps",
                  (unsigned long long)(end - 1), (unsigned long long)count);
    size->id_count = (uint32_t)end;
    size->piece_count = (uint32_t)count;
    return SNUG_OK;
}

static snug_status measure_merges(snug_vocabulary_size *size, const snug_tokenizer_parts *parts,
                                  snug_error *error)
{
    merge_walk walk = walk_merges(parts);
    merge_entry entry;
    const char *last = NULL; /* of JSON: where the merge before begins */
    uint64_t count = 0;

    if (!walk.is_stored && snug_json_kind_of(parts->merges) != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "model.merges should be an array, but is %s",
                  snug_json_kind_name(snug_json_kind_of(parts->merges)));
    while (next_merge(&entry, &walk)) {
        const size_t bytes = walk.is_stored ? entry.raw.bytes : last ? (size_t)(entry.value.at - last) : 0;

        size->scratch_bytes = snug_max_size(size->scratch_bytes, bytes);
        last = entry.value.at;
        count++;
    }
    if (last)
        size->scratch_bytes = snug_max_size(size->scratch_bytes, (size_t)(walk.json.at - last));
    if (count >= PLACED)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "there are more than 2^31 merges");
    size->merge_count = (uint32_t)count;
    return SNUG_OK;
}

static uint32_t slot_count_of(uint32_t piece_count)
{
    return (uint32_t)((uint64_t)piece_count * 3 / 2 + 1 > UINT32_MAX ? UINT32_MAX
                                                                     : (uint64_t)piece_count * 3 / 2 + 1);
}

uint64_t snug_vocabulary_block_bytes(const snug_vocabulary_size *size)
{
    /* piece_start and merge_start, or ranks in its place */
    return 2 * ((uint64_t)size->id_count + 1) * sizeof(uint32_t) +
           (uint64_t)size->merge_count * sizeof(snug_merge) +
           (uint64_t)slot_count_of(size->piece_count) * sizeof(uint32_t) + size->piece_bytes;
}

snug_status snug_vocabulary_measure(snug_vocabulary_size *size_out, const snug_tokenizer_parts *parts,
                                    snug_error *error)
{
    snug_vocabulary_size size = { 0 };

    if (!parts->stored && snug_json_kind_of(parts->vocab) != SNUG_JSON_OBJECT)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "model.vocab should be an object, but is %s",
                  snug_json_kind_name(snug_json_kind_of(parts->vocab)));
    SNUG_TRY(measure_pieces(&size, parts, error));
    SNUG_TRY(measure_merges(&size, parts, error));
    size.is_by_scores = parts->stored && parts->stored->is_by_scores;
    size.block_bytes = snug_vocabulary_block_bytes(&size);
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
    if (size->is_by_scores)
        text->ranks = at + ids;
    else
        text->merge_start = at + ids;
    text->slots = at + 2 * ids;
    text->merges = (snug_merge *)(void *)(at + 2 * ids + text->slot_count);
    text->pieces = (char *)(text->merges + size->merge_count);
    memset(text->slots, 0xff, text->slot_count * sizeof *text->slots);
    return SNUG_OK;
}

/* Lengths by id, then their sums, then the bytes: pieces lie in the order of their ids, so that no length
 * need be kept. Gaps have length 0. */
static snug_status fill_pieces(snug_text *text, const snug_tokenizer_parts *parts, snug_error *error)
{
    piece_walk walk = walk_pieces(parts);
    piece_entry entry;

    while (next_piece(&entry, &walk)) {
        if (entry.id >= text->id_count)
            continue;
        if (text->piece_start[entry.id + 1] != 0)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "two tokens have the id %llu; the second is \"%.*s\"",
                      (unsigned long long)entry.id, (int)snug_min_size(entry.raw.bytes, 40), entry.raw.data);
        text->piece_start[entry.id + 1] = (uint32_t)write_piece(NULL, &entry);
        if (text->ranks)
            text->ranks[entry.id] = entry.rank;
    }
    for (uint32_t i = 0; i < text->id_count; i++)
        text->piece_start[i + 1] += text->piece_start[i];
    walk = walk_pieces(parts);
    while (next_piece(&entry, &walk)) {
        if (entry.id < text->id_count)
            (void)write_piece(text->pieces + text->piece_start[entry.id], &entry);
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

/* "left right" in `scratch`, the space at `space`. */
static void close_gap(merge_text *merge, char *scratch, size_t bytes, size_t space)
{
    memmove(scratch + space, scratch + space + 1, bytes - space - 1);
    merge->left = (snug_str){ scratch, space };
    merge->right = (snug_str){ scratch + space, bytes - 1 - space };
    merge->whole = (snug_str){ scratch, bytes - 1 };
}

/* Of a GGUF file: the first space parts the tokens, unless it is the first token itself. */
static bool read_stored_merge(merge_text *merge, char *scratch, snug_str raw)
{
    const char *space = raw.bytes > 1 ? memchr(raw.data + 1, ' ', raw.bytes - 1) : NULL;

    if (!space)
        return false;
    memcpy(scratch, raw.data, raw.bytes);
    close_gap(merge, scratch, raw.bytes, (size_t)(space - raw.data));
    return true;
}

/* `outer` is where the value comes from. */
static bool read_json_merge(merge_text *merge, char *scratch, snug_json value, snug_json_iterator *outer)
{
    snug_json_iterator iterator = snug_json_iterate(value);
    snug_json part[3] = { { NULL }, { NULL }, { NULL } };
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
        close_gap(merge, scratch, bytes, left);
        return true;
    }
    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY || !snug_json_next(&iterator, NULL, &part[0]) ||
        !snug_json_next(&iterator, NULL, &part[1]) || snug_json_next(&iterator, NULL, &part[2]))
        return false;
    snug_json_continue(outer, &iterator);
    if (snug_json_kind_of(part[0]) != SNUG_JSON_STRING || snug_json_kind_of(part[1]) != SNUG_JSON_STRING)
        return false;
    left = snug_json_unescape(scratch, snug_json_string(part[0]));
    bytes = left + snug_json_unescape(scratch + left, snug_json_string(part[1]));
    merge->left = (snug_str){ scratch, left };
    merge->right = (snug_str){ scratch + left, bytes - left };
    merge->whole = (snug_str){ scratch, bytes };
    return true;
}

static bool read_merge(merge_text *merge, char *scratch, const merge_entry *entry, merge_walk *walk)
{
    return entry->raw.data ? read_stored_merge(merge, scratch, entry->raw)
                           : read_json_merge(merge, scratch, entry->value, &walk->json);
}

/* As snug_vocabulary_find(), but most files give what merges make the ids that follow each other. */
static uint32_t find_next(const snug_text *text, snug_str piece, uint32_t next)
{
    if (next < text->id_count && piece.bytes > 0 && snug_str_equal(snug_vocabulary_piece(text, next), piece))
        return next;
    return snug_vocabulary_find(text, piece);
}

/* In the order of the file, which is that of their ranks. Instead of it each has its left piece for now, of
 * which merge_start[left + 1] counts the merges. */
static snug_status list_merges(snug_text *text, const snug_tokenizer_parts *parts, char *scratch,
                               snug_error *error)
{
    merge_walk walk = walk_merges(parts);
    merge_entry entry;
    uint32_t result = 0;

    for (uint32_t i = 0; i < text->merge_count && next_merge(&entry, &walk); i++) {
        merge_text merge;
        uint32_t left, right;

        if (!read_merge(&merge, scratch, &entry, &walk))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "a merge should be two tokens, but is %.*s",
                      SNUG_STR_ARGS(merge_excerpt(&entry)));
        left = snug_vocabulary_find(text, merge.left);
        right = snug_vocabulary_find(text, merge.right);
        result = find_next(text, merge.whole, result + 1);
        if (left == SNUG_ID_NONE || right == SNUG_ID_NONE || result == SNUG_ID_NONE)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the merge %.*s %s that is no token",
                      SNUG_STR_ARGS(merge_excerpt(&entry)),
                      left == SNUG_ID_NONE    ? "begins with something"
                      : right == SNUG_ID_NONE ? "ends with something"
                                              : "gives something");
        text->merges[i] = (snug_merge){ right, left, result };
        text->merge_start[left + 1]++;
    }
    return SNUG_OK;
}

/*
 * Each merge to the next free place of its left piece, and its rank with it: in place, from one to the one
 * that lies where it belongs, round and round. merge_start[left] moves to the end of its own run meanwhile,
 * that is to the start of the next: shifting by one puts it right.
 */
static void place_merges(snug_text *text)
{
    for (uint32_t i = 0; i < text->id_count; i++)
        text->merge_start[i + 1] += text->merge_start[i];
    for (uint32_t i = 0; i < text->merge_count; i++)
        text->merges[i].rank = text->merge_start[text->merges[i].rank]++;
    memmove(text->merge_start + 1, text->merge_start, text->id_count * sizeof *text->merge_start);
    text->merge_start[0] = 0;
    for (uint32_t i = 0; i < text->merge_count; i++) {
        snug_merge merge = text->merges[i];
        uint32_t rank = i;

        for (uint32_t place = i + 1; (merge.rank & PLACED) == 0 && place != i; rank = place) {
            snug_merge pushed;

            place = merge.rank;
            pushed = text->merges[place];
            merge.rank = rank | PLACED;
            text->merges[place] = merge;
            merge = pushed;
        }
    }
    for (uint32_t i = 0; i < text->merge_count; i++)
        text->merges[i].rank &= ~PLACED;
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

static snug_status fill_merges(snug_text *text, const snug_vocabulary_size *size,
                               const snug_tokenizer_parts *parts, snug_error *error)
{
    snug_buffer scratch = { .memory = text->memory };
    snug_status status;

    SNUG_TRY(snug_buffer_restart(&scratch, (size_t)size->scratch_bytes, error));
    status = list_merges(text, parts, scratch.data, error);
    snug_buffer_deinit(&scratch);
    if (status != SNUG_OK)
        return status;
    place_merges(text);
    sort_runs(text);
    return SNUG_OK;
}

snug_status snug_vocabulary_read(snug_text *text, const snug_vocabulary_size *size,
                                 const snug_tokenizer_parts *parts, snug_error *error)
{
    SNUG_TRY(allocate(text, size, error));
    SNUG_TRY(fill_pieces(text, parts, error));
    SNUG_TRY(fill_slots(text, error));
    if (!text->ranks)
        SNUG_TRY(fill_merges(text, size, parts, error));
    fill_short_ids(text);
    return SNUG_OK;
}
