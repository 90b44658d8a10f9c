/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.c - byte pair encoding of one word: of all neighbours that may merge, those with the lowest rank do,
 * the leftmost first, until none may (Sennrich, Haddow, Birch, 2016).
 *
 * Two ways to know what may merge: a table of pairs of ids, or scores. With scores (SentencePiece's files)
 * two neighbours merge when their text together is a piece, and its rank is the piece's own: no table is
 * needed, a symbol is a span of the word, and which ids there are is looked up at the end.
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
    snug_str bytes; /* of the word */
    uint64_t *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint32_t
        *value; /* NONE: merged into the symbol before it; else its id or, with scores, where it begins */
    uint32_t *merge;    /* with the next symbol: index of the merge or, with scores, its rank. NONE: none */
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
    const uint32_t merge = word->merge[symbol];

    return (uint64_t)(word->text->ranks ? merge : word->text->merges[merge].rank) << 32 | symbol;
}

/* With scores: where a symbol ends, which is where the next one begins. */
static uint32_t end_of(const long_word *word, uint32_t symbol)
{
    const uint32_t next = word->next[symbol];

    return next == NONE ? (uint32_t)word->bytes.bytes : word->value[next];
}

/* What `symbol` merges to with its next one: see long_word.merge. */
static uint32_t find_merge(const long_word *word, uint32_t symbol)
{
    const snug_text *text = word->text;
    const uint32_t next = word->next[symbol];
    const snug_merge *merge;
    uint32_t start;
    uint32_t id;

    if (next == NONE)
        return NONE;
    if (text->ranks) {
        start = word->value[symbol];
        id = snug_vocabulary_find(text, (snug_str){ word->bytes.data + start, end_of(word, next) - start });
        return id == SNUG_ID_NONE ? NONE : text->ranks[id]; /* SNUG_RANK_NONE is NONE */
    }
    merge = snug_merge_find(text, word->value[symbol], word->value[next]);
    return merge ? (uint32_t)(merge - text->merges) : NONE;
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

/* Look up what `symbol` merges to now. */
static void refresh(long_word *word, uint32_t symbol)
{
    size_t hole;
    uint64_t value;

    word->merge[symbol] = find_merge(word, symbol);
    if (word->merge[symbol] == NONE)
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
        if (word->value[symbol] == NONE || word->merge[symbol] == NONE || candidate_of(word, symbol) != top)
            continue;
        next = word->next[symbol];
        if (!word->text->ranks)
            word->value[symbol] = word->text->merges[word->merge[symbol]].result;
        word->merge[symbol] = NONE;
        word->value[next] = NONE;
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

/* Room for `count` symbols in the encoding's buffer. */
static snug_status start_word(long_word *word, snug_encoding *encoding, snug_str bytes, size_t count)
{
    snug_buffer *buffer = &encoding->symbols;

    *word = (long_word){ .text = encoding->text, .bytes = bytes };
    if (bytes.bytes >= UINT32_MAX || count > SIZE_MAX / LONG_WORD_BYTES_PER_SYMBOL)
        SNUG_FAIL(encoding->error, SNUG_ERR_OVER_LIMIT, "a word of %zu bytes is too long", bytes.bytes);
    SNUG_TRY(snug_buffer_restart(buffer, count * LONG_WORD_BYTES_PER_SYMBOL, encoding->error));
    word->heap = (uint64_t *)(void *)buffer->data;
    word->heap_capacity = count;
    word->value = (uint32_t *)(word->heap + count);
    word->merge = word->value + count;
    word->next = word->merge + count;
    word->previous = word->next + count;
    word->count = (uint32_t)count;
    return SNUG_OK;
}

/* The symbols' values are there: link them, and merge all that may. */
static void finish_word(long_word *word)
{
    for (uint32_t i = 0; i < word->count; i++) {
        word->next[i] = i + 1 < word->count ? i + 1 : NONE;
        word->previous[i] = i > 0 ? i - 1 : NONE;
    }
    for (uint32_t i = 0; i < word->count; i++)
        word->merge[i] = find_merge(word, i);
    heap_rebuild(word);
    merge_long(word);
}

static snug_status merge_long_word(snug_encoding *encoding, snug_str text)
{
    symbol_list symbols = { NULL, 0 };
    long_word word;

    collect(encoding->text, &symbols, text);
    if (symbols.count == 0)
        return SNUG_OK;
    SNUG_TRY(start_word(&word, encoding, text, symbols.count));
    symbols = (symbol_list){ word.value, 0 };
    collect(encoding->text, &symbols, text);
    finish_word(&word);
    for (uint32_t i = 0; i != NONE; i = word.next[i])
        SNUG_TRY(snug_encoding_put(encoding, word.value[i]));
    return SNUG_OK;
}

/* --- words by scores ----------------------------------------------------------------------------------- */

/* The ids of what is left: pieces, or single characters that no piece is. Neighbouring unknown ones are
 * one. */
static snug_status put_spans(snug_encoding *encoding, const long_word *word)
{
    const snug_text *text = encoding->text;
    bool is_unknown_before = false;

    for (uint32_t i = 0; i != NONE; i = word->next[i]) {
        const uint32_t start = word->value[i];
        const snug_str span = { word->bytes.data + start, end_of(word, i) - start };
        const uint32_t id = snug_vocabulary_find(text, span);
        uint32_t bytes[4];
        symbol_list symbols = { bytes, 0 };

        if (id != SNUG_ID_NONE && text->ranks[id] != SNUG_RANK_NONE) {
            SNUG_TRY(snug_encoding_put(encoding, id));
            is_unknown_before = false;
        } else if (fall_back(text, &symbols, span)) {
            SNUG_TRY(put_all(encoding, bytes, symbols.count));
            is_unknown_before = false;
        } else if (text->unknown_id != SNUG_ID_NONE) {
            if (!is_unknown_before || !text->is_fusing_unknown)
                SNUG_TRY(snug_encoding_put(encoding, text->unknown_id));
            is_unknown_before = true;
        }
    }
    return SNUG_OK;
}

static snug_status merge_by_scores(snug_encoding *encoding, snug_str text)
{
    long_word word;
    size_t count = 0;
    size_t length;

    for (size_t at = 0; at < text.bytes; at += snug_utf8_length(text.data[at]))
        count++;
    SNUG_TRY(start_word(&word, encoding, text, count));
    count = 0;
    for (size_t at = 0; at < text.bytes; at += length) {
        length = snug_utf8_length(text.data[at]);
        word.value[count++] = (uint32_t)at;
    }
    finish_word(&word);
    return put_spans(encoding, &word);
}

/* --- words --------------------------------------------------------------------------------------------- */

snug_status snug_merge_word(snug_encoding *encoding, snug_str word)
{
    const snug_text *text = encoding->text;
    uint32_t ids[SHORT_SYMBOLS];
    symbol_list symbols = { ids, 0 };
    uint32_t whole;

    if (text->ranks)
        return merge_by_scores(encoding, word);
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
