/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.h - what a loaded tokenizer is, for the files of this folder.
 *
 * The small parts (steps, patterns, added tokens, chat template) are built first, the big tables (vocabulary,
 * merges) after them in one block whose size a counting pass found. Everything is read-only afterwards, which
 * is why any number of threads may use it.
 *
 * A vocabulary id is dense: piece i lies at pieces[piece_start[i] .. piece_start[i + 1]), empty for a gap.
 * Added tokens have a table of their own: their ids may lie anywhere without costing memory.
 */
#ifndef SNUG_SRC_TEXT_TABLES_H
#define SNUG_SRC_TEXT_TABLES_H

#include <snug/text.h>

#include "base/json.h"
#include "text/buffer.h"
#include "text/regex.h"
#include "text/stored.h"
#include "text/template/template.h"

/* Steps of a normalizer or pre-tokenizer after sequences were laid flat; real files have up to 6. */
#define SNUG_TEXT_STEP_COUNT_MAX 16
/* Ids that a post-processor puts before or after; real files have 1. */
#define SNUG_TEXT_AROUND_COUNT_MAX 8
/* Bytes of a literal in a step: "▁", a run of spaces. */
#define SNUG_TEXT_LITERAL_BYTES_MAX 63
/* Characters with a direct way to their id: those of the byte alphabet, and what little is between. */
#define SNUG_TEXT_SHORT_CODES 384u

typedef struct snug_literal {
    unsigned char bytes;
    char data[SNUG_TEXT_LITERAL_BYTES_MAX];
} snug_literal;

static inline snug_str snug_literal_str(const snug_literal *literal)
{
    return (snug_str){ literal->data, literal->bytes };
}

/* What a step looks for: a literal, or a regex when regex.code is there. */
typedef struct snug_pattern {
    snug_literal literal;
    snug_regex regex;
} snug_pattern;

typedef enum snug_normalize_kind {
    SNUG_NORMALIZE_UNICODE, /* NFC, NFD, NFKC, NFKD */
    SNUG_NORMALIZE_REPLACE,
    SNUG_NORMALIZE_PREPEND,
} snug_normalize_kind;

typedef struct snug_normalize_step {
    snug_normalize_kind kind;
    bool is_composed;      /* UNICODE: the C forms */
    bool is_compatibility; /* UNICODE: the K forms */
    snug_pattern pattern;  /* REPLACE */
    snug_literal content;  /* REPLACE, PREPEND */
} snug_normalize_step;

typedef enum snug_split_kind {
    SNUG_SPLIT_PATTERN,   /* cut at matches */
    SNUG_SPLIT_DIGITS,    /* cut at numeric characters */
    SNUG_SPLIT_PREFIX,    /* one space in front, unless there is one */
    SNUG_SPLIT_BYTES,     /* each byte to its character of the byte alphabet */
    SNUG_SPLIT_METASPACE, /* spaces to a replacement, and one in front */
} snug_split_kind;

typedef enum snug_behavior {
    SNUG_BEHAVIOR_ISOLATED,
    SNUG_BEHAVIOR_REMOVED,
    SNUG_BEHAVIOR_MERGED_WITH_PREVIOUS,
    SNUG_BEHAVIOR_MERGED_WITH_NEXT,
    SNUG_BEHAVIOR_CONTIGUOUS,
} snug_behavior;

typedef enum snug_prepend {
    SNUG_PREPEND_ALWAYS,
    SNUG_PREPEND_FIRST,
    SNUG_PREPEND_NEVER,
} snug_prepend;

typedef struct snug_split_step {
    snug_split_kind kind;
    snug_behavior behavior; /* PATTERN, DIGITS */
    bool is_inverted;       /* PATTERN: what lies between matches counts as match */
    snug_prepend prepend;   /* METASPACE */
    snug_pattern pattern;   /* PATTERN; METASPACE: the replacement */
} snug_split_step;

typedef struct snug_added_token {
    uint32_t id;
    uint32_t content_start; /* in added_bytes */
    uint32_t content_bytes;
    uint32_t match_start; /* in match_bytes: the content after the normalizer, for normalized tokens */
    uint32_t match_bytes;
    bool is_single_word;
    bool is_lstrip;
    bool is_rstrip;
    bool is_special;
    bool is_normalized;
} snug_added_token;

/* The tokens matched at one place in the pipeline, sorted by what they match. */
typedef struct snug_added_set {
    const uint32_t *order; /* indices into snug_text.added */
    uint32_t count;
    unsigned char first_bytes[32]; /* one bit for each byte that one of them begins with */
} snug_added_set;

/*
 * A vocabulary with scores (SentencePiece's) has no merges: two neighbours merge when what they are together
 * is a piece, the highest score first. ranks[id] falls as the score rises; SNUG_RANK_NONE is what is never
 * merged to: bytes and special tokens.
 */
#define SNUG_RANK_NONE UINT32_MAX

/* Merges of one left piece are neighbours, sorted by the right piece; merge_start[left] is the first. */
typedef struct snug_merge {
    uint32_t right;
    uint32_t rank;
    uint32_t result;
} snug_merge;

typedef enum snug_decode_kind {
    SNUG_DECODE_BYTE_LEVEL,
    SNUG_DECODE_PIECES, /* text as it stands, with the steps below */
} snug_decode_kind;

typedef struct snug_decode_rules {
    snug_decode_kind kind;
    bool is_byte_fallback; /* <0xE2> is a byte */
    bool is_replacing;     /* `replaced` becomes `content` */
    bool is_first_bare;    /* Metaspace: the first piece loses `replaced` */
    snug_literal replaced;
    snug_literal content;
    snug_literal stripped; /* taken off the start of the whole text once; empty: nothing */
} snug_decode_rules;

struct snug_text {
    snug_memory *memory;

    snug_normalize_step normalize[SNUG_TEXT_STEP_COUNT_MAX];
    uint32_t normalize_count;
    snug_split_step split[SNUG_TEXT_STEP_COUNT_MAX];
    uint32_t split_count;
    bool is_matcher_needed; /* some step has a regex */
    uint32_t before[SNUG_TEXT_AROUND_COUNT_MAX];
    uint32_t before_count;
    uint32_t after[SNUG_TEXT_AROUND_COUNT_MAX];
    uint32_t after_count;
    snug_decode_rules decode;
    size_t decode_bound;
    uint64_t growth; /* most bytes, and so ids, that one byte of input can become */

    snug_added_token *added; /* sorted by id; its block also holds the orders and the contents */
    uint32_t added_count;
    const char *added_bytes;
    char *match_bytes; /* a block of its own, NULL when nothing differs from added_bytes */
    snug_added_set added_raw;
    snug_added_set added_normalized;

    bool is_ignoring_merges; /* a word that is a piece is that piece, whatever the merges say */
    bool is_byte_fallback;
    bool is_fusing_unknown;
    uint32_t unknown_id;   /* of unk_token; SNUG_ID_NONE when there is none */
    uint32_t byte_id[256]; /* of <0x00> .. <0xFF>, with byte fallback */

    uint32_t *piece_start; /* the block of tables begins here: id_count + 1 entries */
    uint32_t id_count;     /* of the vocabulary, gaps included */
    uint32_t piece_count;
    uint32_t longest_piece_bytes;
    snug_merge *merges;
    uint32_t *merge_start; /* id_count + 1 */
    uint32_t merge_count;
    uint32_t *ranks; /* of a vocabulary with scores, instead of merges: see below. NULL for others */
    uint32_t *slots; /* ids by hash of their piece, open addressing; SNUG_ID_NONE: free */
    uint32_t slot_count;
    char *pieces;
    uint32_t short_id[SNUG_TEXT_SHORT_CODES]; /* of the pieces that are one character below U+0180 */

    snug_template *chat;
    snug_error chat_error; /* why there is no chat template */
    char *names;           /* "bos_token":"<s>","eos_token":"</s>": what a chat template sees of them */
    size_t names_bytes;
    uint32_t bos_id;
    uint32_t eos_id;
};

/*
 * The members of tokenizer.json and of its model, found in one pass. They are kept because
 * snug_json_get() would scan megabytes of merges for each.
 */
typedef struct snug_tokenizer_parts {
    snug_json added_tokens;
    snug_json normalizer;
    snug_json pre_tokenizer;
    snug_json post_processor;
    snug_json decoder;
    snug_json model;
    /* of the model */
    snug_json type;
    snug_json vocab;
    snug_json merges;
    snug_json unk_token;
    snug_json dropout;
    snug_json continuing_subword_prefix;
    snug_json end_of_word_suffix;
    snug_json ignore_merges;
    snug_json byte_fallback;
    snug_json fuse_unk;
    /* Where vocabulary and merges are in another file: `vocab` and `merges` are absent then. */
    const snug_stored_tokenizer *stored;
} snug_tokenizer_parts;

/* --- vocabulary.c: the big tables ------------------------------------------------------------------- */

/* What the counting pass learned. */
typedef struct snug_vocabulary_size {
    uint32_t id_count;
    uint32_t piece_count;
    uint32_t merge_count;
    uint32_t longest_piece_bytes;
    uint64_t piece_bytes;
    uint64_t scratch_bytes; /* for a merge with its escapes undone */
    uint64_t block_bytes;   /* of the tables */
    bool is_by_scores;
} snug_vocabulary_size;

/* block_bytes by the counts. */
uint64_t snug_vocabulary_block_bytes(const snug_vocabulary_size *size);

SNUG_MUST_CHECK snug_status snug_vocabulary_measure(snug_vocabulary_size *size_out,
                                                    const snug_tokenizer_parts *parts, snug_error *error);
SNUG_MUST_CHECK snug_status snug_vocabulary_read(snug_text *text, const snug_vocabulary_size *size,
                                                 const snug_tokenizer_parts *parts, snug_error *error);

/* The id of exactly this piece of the vocabulary, or SNUG_ID_NONE. */
uint32_t snug_vocabulary_find(const snug_text *text, snug_str piece);
snug_str snug_vocabulary_piece(const snug_text *text, uint32_t id);
/* The merge of two neighbours, or NULL. */
const snug_merge *snug_merge_find(const snug_text *text, uint32_t left, uint32_t right);

/* --- steps.c and rules.c: what tokenizer.json says is done to text, and to ids --------------------- */

/* The normalizer and the pre-tokenizer, sequences laid flat. */
SNUG_MUST_CHECK snug_status snug_steps_read(snug_text *text, const snug_tokenizer_parts *parts,
                                            snug_error *error);
void snug_steps_deinit(snug_text *text);

/* The post-processor and the decoder. */
SNUG_MUST_CHECK snug_status snug_rules_read(snug_text *text, const snug_tokenizer_parts *parts,
                                            snug_error *error);

/* The string of a JSON value; `what` names it in the sentence. */
SNUG_MUST_CHECK snug_status snug_literal_read(snug_literal *literal, snug_json value, const char *what,
                                              snug_error *error);
/* The beginning of a value as the file writes it, for sentences. */
snug_str snug_json_excerpt(snug_json value);
/* Member `key` of a small object when it is a boolean, else `otherwise`. */
bool snug_json_flag(snug_json object, const char *key, bool otherwise);

/* --- added.c: added tokens --------------------------------------------------------------------------- */

/* After the steps: normalized tokens are matched in their normal form. */
SNUG_MUST_CHECK snug_status snug_added_read(snug_text *text, snug_json added, snug_error *error);
void snug_added_deinit(snug_text *text);
const snug_added_token *snug_added_by_id(const snug_text *text, uint32_t id);
const snug_added_token *snug_added_by_content(const snug_text *text, snug_str content);
snug_str snug_added_content(const snug_text *text, const snug_added_token *token);

typedef struct snug_added_match {
    const snug_added_token *token;
    size_t start;
    size_t end;
} snug_added_match;

/* The leftmost, among those the longest match at or after `from`; false when there is none. */
bool snug_added_search(snug_added_match *match_out, const snug_text *text, const snug_added_set *set,
                       snug_str subject, size_t from);

/* --- pattern.c, normalize.c ---------------------------------------------------------------------------- */

/* All matches of a pattern in order, with Oniguruma's find_iter rules for empty ones. */
typedef struct snug_pattern_search {
    const snug_pattern *pattern;
    const snug_matcher *matcher;
    snug_str subject;
    size_t at;
    size_t last_end; /* SIZE_MAX before the first match */
} snug_pattern_search;

SNUG_MUST_CHECK snug_status snug_pattern_next(bool *found_out, size_t *start_out, size_t *end_out,
                                              snug_pattern_search *search, snug_error *error);

/* Two buffers that the steps of a normalizer take turns with, and one for code points. */
typedef struct snug_normalizer {
    snug_buffer text[2];
    snug_buffer codes;
} snug_normalizer;

/* *text_inout becomes its normal form: itself, or a slice of a buffer that lasts until the next call. */
SNUG_MUST_CHECK snug_status snug_normalize(snug_str *text_inout, snug_normalizer *normalizer,
                                           const snug_text *text, const snug_matcher *matcher,
                                           snug_error *error);
void snug_normalizer_init(snug_normalizer *normalizer, snug_memory *memory);
void snug_normalizer_deinit(snug_normalizer *normalizer);
/* Unicode White_Space; \w; general category N. */
bool snug_code_is_space(uint32_t code);
bool snug_code_is_word(uint32_t code);
bool snug_code_is_number(uint32_t code);

/* In place and without memory, where qsort() may take some behind the ledger's back. Not stable. Elements of
 * at most 64 bytes; less(user, a, b) says that a comes before b. */
typedef bool (*snug_less_fn)(const void *user, const void *a, const void *b);
void snug_sort(void *base, size_t count, size_t bytes, snug_less_fn less, const void *user);

/* --- encoding: encode.c, split.c, merge.c ----------------------------------------------------------- */

/* Stands in special tokens that are to stay text: U+FDD0. */
#define SNUG_TEXT_GUARD "\xef\xb7\x90"

/* One call of snug_text_encode(). */
typedef struct snug_encoding {
    const snug_text *text;
    uint32_t *ids;
    size_t capacity;
    size_t count;
    unsigned flags;
    snug_matcher matcher;
    snug_normalizer normalizer;
    snug_buffer split[SNUG_TEXT_STEP_COUNT_MAX]; /* of the steps that change text */
    snug_buffer symbols;                         /* of long words */
    snug_buffer unguarded;                       /* a piece without its guards */
    snug_error *error;
} snug_encoding;

SNUG_MUST_CHECK snug_status snug_encoding_put(snug_encoding *encoding, uint32_t id);
/* Apply step `step` and those after it, then merge what comes out. `is_first`: the text begins here. */
SNUG_MUST_CHECK snug_status snug_split_run(snug_encoding *encoding, uint32_t step, snug_str text,
                                           bool is_first);
/* One word to ids. */
SNUG_MUST_CHECK snug_status snug_merge_word(snug_encoding *encoding, snug_str word);

/* --- chat.c ---------------------------------------------------------------------------------------- */

/* The chat template and the names of special tokens. A template that cannot be read is remembered, not an
 * error. Errors: OVER_LIMIT. */
SNUG_MUST_CHECK snug_status snug_chat_read(snug_text *text, snug_str source, snug_json config,
                                           snug_error *error);
void snug_chat_deinit(snug_text *text);

/* The id of a special token that `config` (tokenizer_config.json) names "bos_token" and the like. */
uint32_t snug_chat_token_id(const snug_text *text, snug_json config, const char *name);

/* --- text.c ------------------------------------------------------------------------------------------ */

/* What a tokenizer is made of: the first there is of three sources, and what goes with any of them, each
 * absent or empty. JSON has been checked. */
typedef struct snug_text_files {
    snug_json tokenizer;                      /* tokenizer.json */
    const snug_stored_vocabulary *vocabulary; /* of a GGUF file */
    snug_str tokenizer_model;                 /* tokenizer.model */
    snug_json tokenizer_config;               /* tokenizer_config.json */
    snug_json bos_id;                         /* of config.json */
    snug_json eos_id;
    snug_str chat_template;
} snug_text_files;

SNUG_MUST_CHECK snug_status snug_text_create_from(snug_text **text_out, snug_memory *memory,
                                                  const snug_text_files *files, snug_error *error);

#endif /* SNUG_SRC_TEXT_TABLES_H */
