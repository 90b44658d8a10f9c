/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.c - byte pair encoding of one word: of all neighbours that may merge, those with the lowest rank do,
 * the leftmost first, until none may (Sennrich, Haddow, Birch, 2016).
 *
 * Short words, which are nearly all, are scanned again and again on the stack. Long ones (text without a
 * pre-tokenizer, or a megabyte of one letter) take n log n: symbols in a linked list, candidates in a heap.
 */
#include "text/tables.h"

#include "base/status.h"
#include "text/character.h"

/* Where the heap begins to win. Milliseconds for 400 KB in words of n letters with Qwen2's merges, scan and
 * heap (x86-64, a busy machine): n 8: 46 and 60; 23: 50 and 63; 50: 66 and 63; 104: 87 and 67. */
#define SHORT_SYMBOLS 48u

#define NONE UINT32_MAX

/* --- characters to symbols ----------------------------------------------------------------------------- */

static uint32_t id_of_character(const snug_text *text, snug_str character)
{
    size_t length;
    const uint32_t code = snug_utf8_read(&length, character.data);

    return code < SNUG_TEXT_SHORT_CODES ? text->short_id[code] : snug_vocabulary_find(text, character);
}

/* Where symbols go; with `ids` NULL they are only counted. */
typedef struct symbol_list {
    uint32_t *ids;
    size_t count;
} symbol_list;

static void symbols_add(symbol_list *symbols, uint32_t id)
{
    if (symbols->ids)
        symbols->ids[symbols->count] = id;
    symbols->count++;
}

/* The bytes of a character as byte tokens; false when one of them has none. */
static bool fall_back(const snug_text *text, symbol_list *symbols, snug_str character)
{
    if (!text->is_byte_fallback)
        return false;
    for (size_t i = 0; i < character.bytes; i++) {
        if (text->byte_id[(unsigned char)character.data[i]] == SNUG_ID_NONE)
            return false;
    }
    for (size_t i = 0; i < character.bytes; i++)
        symbols_add(symbols, text->byte_id[(unsigned char)character.data[i]]);
    return true;
}

/*
 * The symbols a word begins with: at most one for each byte. An unknown character waits, because with
 * fuse_unk the next may join it; byte tokens overtake it. A character that is unknown where nothing stands
 * for the unknown is left out (SmolLM has no token for some control bytes). All as in the tokenizers
 * library.
 */
static void collect(const snug_text *text, symbol_list *symbols, snug_str word)
{
    bool is_unknown_waiting = false;
    size_t length;

    for (size_t at = 0; at < word.bytes; at += length) {
        const snug_str character = { word.data + at, length = snug_utf8_length(word.data[at]) };
        const uint32_t id = id_of_character(text, character);

        if (id != SNUG_ID_NONE) {
            if (is_unknown_waiting)
                symbols_add(symbols, text->unknown_id);
            is_unknown_waiting = false;
            symbols_add(symbols, id);
            continue;
        }
        if (fall_back(text, symbols, character) || text->unknown_id == SNUG_ID_NONE)
            continue;
        if (is_unknown_waiting && !text->is_fusing_unknown)
            symbols_add(symbols, text->unknown_id);
        is_unknown_waiting = true;
    }
    if (is_unknown_waiting)
        symbols_add(symbols, text->unknown_id);
}

static snug_status put_all(snug_encoding *encoding, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        SNUG_TRY(snug_encoding_put(encoding, ids[i]));
    return SNUG_OK;
}

/* --- short words --------------------------------------------------------------------------------------- */

static size_t merge_short(const snug_text *text, uint32_t *ids, size_t count)
{
    const snug_merge *merge[SHORT_SYMBOLS]; /* of each symbol with the next */

    for (size_t i = 0; i + 1 < count; i++)
        merge[i] = snug_merge_find(text, ids[i], ids[i + 1]);
    while (count > 1) {
        size_t best = count;

        for (size_t i = 0; i + 1 < count; i++) {
            if (merge[i] && (best == count || merge[i]->rank < merge[best]->rank))
                best = i;
        }
        if (best == count)
            break;
        ids[best] = merge[best]->result;
        count--;
        for (size_t i = best + 1; i < count; i++) {
            ids[i] = ids[i + 1];
            merge[i - 1] = merge[i];
        }
        if (best > 0)
            merge[best - 1] = snug_merge_find(text, ids[best - 1], ids[best]);
        if (best + 1 < count)
            merge[best] = snug_merge_find(text, ids[best], ids[best + 1]);
    }
    return count;
}

/* --- long words ---------------------------------------------------------------------------------------- */

/*
 * A candidate is rank << 32 | symbol. It is stale when the symbol has died or merges differently by now;
 * stale ones are dropped when they come up, or all at once when the heap is full. There are never more live
 * ones than symbols, and each merge adds at most one to the heap: it fills up at doubling distances, so that
 * clearing it costs n log n in all.
 */
typedef struct long_word {
    const snug_text *text;
    uint64_t *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint32_t *id;       /* SNUG_ID_NONE: merged into the symbol before it */
    uint32_t *merge;    /* index of the merge with the next symbol, or NONE */
    uint32_t *next;     /* NONE at the end */
    uint32_t *previous; /* NONE at the beginning */
    uint32_t count;
} long_word;

#define LONG_WORD_BYTES_PER_SYMBOL (sizeof(uint64_t) + 4 * sizeof(uint32_t))

static void heap_down(uint64_t *heap, size_t count, size_t hole, uint64_t value)
{
    for (size_t child; (child = 2 * hole + 1) < count; hole = child) {
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (value <= heap[child])
            break;
        heap[hole] = heap[child];
    }
    heap[hole] = value;
}

static uint64_t candidate_of(const long_word *word, uint32_t symbol)
{
    return (uint64_t)word->text->merges[word->merge[symbol]].rank << 32 | symbol;
}

static void heap_rebuild(long_word *word)
{
    word->heap_count = 0;
    for (uint32_t i = 0; i != NONE; i = word->next[i]) {
        if (word->merge[i] != NONE)
            word->heap[word->heap_count++] = candidate_of(word, i);
    }
    for (size_t i = word->heap_count / 2; i-- > 0;)
        heap_down(word->heap, word->heap_count, i, word->heap[i]);
}

/* Look up what `symbol` merges to with its next one now. */
static void refresh(long_word *word, uint32_t symbol)
{
    const uint32_t next = word->next[symbol];
    const snug_merge *merge =
        next == NONE ? NULL : snug_merge_find(word->text, word->id[symbol], word->id[next]);
    size_t hole;
    uint64_t value;

    word->merge[symbol] = merge ? (uint32_t)(merge - word->text->merges) : NONE;
    if (!merge)
        return;
    if (word->heap_count == word->heap_capacity) {
        heap_rebuild(word);
        return;
    }
    value = candidate_of(word, symbol);
    for (hole = word->heap_count++; hole > 0 && word->heap[(hole - 1) / 2] > value; hole = (hole - 1) / 2)
        word->heap[hole] = word->heap[(hole - 1) / 2];
    word->heap[hole] = value;
}

static void merge_long(long_word *word)
{
    while (word->heap_count > 0) {
        const uint64_t top = word->heap[0];
        const uint32_t symbol = (uint32_t)top;
        uint32_t next;

        word->heap_count--;
        heap_down(word->heap, word->heap_count, 0, word->heap[word->heap_count]);
        if (word->id[symbol] == SNUG_ID_NONE || word->merge[symbol] == NONE ||
            candidate_of(word, symbol) != top)
            continue;
        next = word->next[symbol];
        word->id[symbol] = word->text->merges[word->merge[symbol]].result;
        word->merge[symbol] = NONE;
        word->id[next] = SNUG_ID_NONE;
        word->next[symbol] = word->next[next];
        if (word->next[symbol] != NONE)
            word->previous[word->next[symbol]] = symbol;
        if (word->previous[symbol] != NONE) {
            word->merge[word->previous[symbol]] = NONE;
            refresh(word, word->previous[symbol]);
        }
        refresh(word, symbol);
    }
}

static snug_status merge_long_word(snug_encoding *encoding, snug_str text)
{
    snug_buffer *buffer = &encoding->symbols;
    long_word word = { .text = encoding->text };
    symbol_list symbols = { NULL, 0 };
    size_t count;

    collect(encoding->text, &symbols, text);
    count = symbols.count;
    if (count == 0)
        return SNUG_OK;
    if (count >= UINT32_MAX || count > SIZE_MAX / LONG_WORD_BYTES_PER_SYMBOL)
        SNUG_FAIL(encoding->error, SNUG_ERR_OVER_LIMIT, "a word of %zu bytes is too long", text.bytes);
    SNUG_TRY(snug_buffer_restart(buffer, count * LONG_WORD_BYTES_PER_SYMBOL, encoding->error));
    word.heap = (uint64_t *)(void *)buffer->data;
    word.id = (uint32_t *)(word.heap + count);
    word.merge = word.id + count;
    word.next = word.merge + count;
    word.previous = word.next + count;
    symbols.ids = word.id;
    symbols.count = 0;
    collect(encoding->text, &symbols, text);
    word.count = (uint32_t)count;
    word.heap_capacity = count;
    for (uint32_t i = 0; i < word.count; i++) {
        const snug_merge *merge =
            i + 1 < word.count ? snug_merge_find(word.text, word.id[i], word.id[i + 1]) : NULL;

        word.merge[i] = merge ? (uint32_t)(merge - word.text->merges) : NONE;
        word.next[i] = i + 1 < word.count ? i + 1 : NONE;
        word.previous[i] = i > 0 ? i - 1 : NONE;
    }
    heap_rebuild(&word);
    merge_long(&word);
    for (uint32_t i = 0; i != NONE; i = word.next[i])
        SNUG_TRY(snug_encoding_put(encoding, word.id[i]));
    return SNUG_OK;
}

snug_status snug_merge_word(snug_encoding *encoding, snug_str word)
{
    const snug_text *text = encoding->text;
    uint32_t ids[SHORT_SYMBOLS];
    symbol_list symbols = { ids, 0 };
    uint32_t whole;

    if (text->is_ignoring_merges) {
        whole = snug_vocabulary_find(text, word);
        if (whole != SNUG_ID_NONE)
            return snug_encoding_put(encoding, whole);
    }
    if (word.bytes > SHORT_SYMBOLS)
        return merge_long_word(encoding, word);
    collect(text, &symbols, word);
    return put_all(encoding, ids, merge_short(text, ids, symbols.count));
}
