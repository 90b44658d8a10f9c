/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - makes a snug_text from the files of a checkpoint, says beforehand what it will take, closes it.
 * The tokenizer is the first there is of tokenizer.json, the vocabulary in a GGUF file, and tokenizer.model.
 *
 * The small parts are made by read_small(), the tables by read_tables(). An estimate makes the small parts in
 * a ledger of its own and counts the tables without making them: exact, because it is the same code.
 */
#include "text/text.h"

#include "base/size.h"
#include "base/status.h"
#include "text/tables.h"

/* Rules, special tokens and the chat template of published tokenizers: 30 to 160 KB. */
#define SMALL_PARTS_BYTES ((uint64_t)192 * 1024)

/* --- reading ------------------------------------------------------------------------------------------- */

typedef struct member {
    const char *key;
    snug_json *value;
} member;

static void keep_member(snug_str key, snug_json value, const member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (snug_json_raw_is(key, members[i].key))
            *members[i].value = value;
    }
}

static void find_parts(snug_tokenizer_parts *parts, snug_json root)
{
    const member of_root[] = {
        { "added_tokens", &parts->added_tokens },
        { "normalizer", &parts->normalizer },
        { "pre_tokenizer", &parts->pre_tokenizer },
        { "post_processor", &parts->post_processor },
        { "decoder", &parts->decoder },
        { "model", &parts->model },
    };
    const member of_model[] = {
        { "type", &parts->type },
        { "vocab", &parts->vocab },
        { "merges", &parts->merges },
        { "unk_token", &parts->unk_token },
        { "dropout", &parts->dropout },
        { "continuing_subword_prefix", &parts->continuing_subword_prefix },
        { "end_of_word_suffix", &parts->end_of_word_suffix },
        { "ignore_merges", &parts->ignore_merges },
        { "byte_fallback", &parts->byte_fallback },
        { "fuse_unk", &parts->fuse_unk },
    };

    snug_json_iterator iterator = snug_json_iterate(root);
    snug_str key;
    snug_json value;

    *parts = (snug_tokenizer_parts){ .stored = NULL };
    /* Of members with the same name the last counts, as with snug_json_get(). */
    while (snug_json_next(&iterator, &key, &value)) {
        keep_member(key, value, of_root, SNUG_COUNT(of_root));
        if (parts->model.at != value.at || snug_json_kind_of(value) != SNUG_JSON_OBJECT)
            continue;
        snug_json_iterator inner = snug_json_iterate(value);

        for (size_t i = 0; i < SNUG_COUNT(of_model); i++)
            *of_model[i].value = (snug_json){ NULL };
        while (snug_json_next(&inner, &key, &value))
            keep_member(key, value, of_model, SNUG_COUNT(of_model));
        snug_json_continue(&iterator, &inner);
    }
}

static snug_status check_model(const snug_tokenizer_parts *parts, snug_error *error)
{
    double dropout = 0;

    if (snug_json_kind_of(parts->model) != SNUG_JSON_OBJECT)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "model should be an object, but is %s",
                  snug_json_kind_name(snug_json_kind_of(parts->model)));
    /* The oldest files have no type; merges are BPE's alone. */
    if (!snug_json_string_is(parts->type, "BPE") && !(snug_json_kind_of(parts->type) == SNUG_JSON_ABSENT &&
                                                      snug_json_kind_of(parts->merges) == SNUG_JSON_ARRAY))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the model type %.*s is not known",
                  SNUG_STR_ARGS(snug_json_excerpt(parts->type)));
    if (snug_json_string(parts->continuing_subword_prefix).bytes > 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "model.continuing_subword_prefix is not supported");
    if (snug_json_string(parts->end_of_word_suffix).bytes > 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "model.end_of_word_suffix is not supported");
    if (snug_json_f64(&dropout, parts->dropout) && dropout != 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "model.dropout is not supported: encoding would be random");
    return SNUG_OK;
}

/* Everything but the tables. */
static snug_status read_small(snug_text *text, const snug_text_files *files,
                              const snug_tokenizer_parts *parts, snug_error *error)
{
    SNUG_TRY(check_model(parts, error));
    SNUG_TRY(snug_steps_read(text, parts, error));
    SNUG_TRY(snug_rules_read(text, parts, error));
    SNUG_TRY(snug_added_read(text, parts->added_tokens, error));
    (void)snug_json_bool(&text->is_ignoring_merges, parts->ignore_merges);
    (void)snug_json_bool(&text->is_fusing_unknown, parts->fuse_unk);
    return snug_chat_read(text, files->chat_template, files->tokenizer_config, error);
}

/* What stands for characters without a token. */
static snug_status read_unknown(snug_text *text, const snug_tokenizer_parts *parts, snug_error *error)
{
    snug_literal literal;

    text->unknown_id = parts->stored ? parts->stored->unknown_id : SNUG_ID_NONE;
    if (snug_json_kind_of(parts->unk_token) == SNUG_JSON_STRING) {
        SNUG_TRY(snug_literal_read(&literal, parts->unk_token, "unk_token", error));
        text->unknown_id = snug_vocabulary_find(text, snug_literal_str(&literal));
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        static const char digits[] = "0123456789ABCDEF";
        const char piece[] = { '<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>' };

        text->byte_id[byte] = snug_vocabulary_find(text, (snug_str){ piece, sizeof piece });
    }
    return SNUG_OK;
}

/* Most bytes one id can give; each byte may turn into a U+FFFD of three, and so may three held back. */
static size_t decode_bound_of(const snug_text *text)
{
    const snug_decode_rules *rules = &text->decode;
    size_t longest = text->longest_piece_bytes;

    for (uint32_t i = 0; i < text->added_count; i++)
        longest = snug_max_size(longest, text->added[i].content_bytes);
    if (rules->is_replacing)
        longest *= snug_max_size(1, snug_divide_up(rules->content.bytes, rules->replaced.bytes));
    return 3 * (longest + 4);
}

/* Named by tokenizer_config.json; by config.json, as a number or a list, where it says nothing; `otherwise`
 * where neither does. */
static uint32_t named_id(const snug_text *text, snug_json config, const char *name, snug_json number,
                         uint32_t otherwise)
{
    snug_json_iterator iterator = snug_json_iterate(number);
    uint64_t id;

    if (snug_json_kind_of(snug_json_get(config, name)) != SNUG_JSON_ABSENT)
        return snug_chat_token_id(text, config, name);
    if (snug_json_kind_of(number) == SNUG_JSON_ABSENT)
        return otherwise;
    if (snug_json_kind_of(number) == SNUG_JSON_ARRAY)
        (void)snug_json_next(&iterator, NULL, &number);
    return snug_json_u64(&id, number) && id < SNUG_ID_NONE ? (uint32_t)id : SNUG_ID_NONE;
}

static snug_status read_tables(snug_text *text, const snug_text_files *files,
                               const snug_tokenizer_parts *parts, snug_error *error)
{
    snug_vocabulary_size size;

    SNUG_TRY(snug_vocabulary_measure(&size, parts, error));
    SNUG_TRY(snug_vocabulary_read(text, &size, parts, error));
    SNUG_TRY(read_unknown(text, parts, error));
    text->decode_bound = decode_bound_of(text);
    text->bos_id = named_id(text, files->tokenizer_config, "bos_token", files->bos_id,
                            parts->stored ? parts->stored->bos_id : SNUG_ID_NONE);
    text->eos_id = named_id(text, files->tokenizer_config, "eos_token", files->eos_id,
                            parts->stored ? parts->stored->eos_id : SNUG_ID_NONE);
    return SNUG_OK;
}

static snug_status find_files(snug_text_files *files, const snug_checkpoint *checkpoint, snug_error *error)
{
    *files = (snug_text_files){
        .tokenizer = snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER),
        .vocabulary = snug_checkpoint_vocabulary(checkpoint),
        .tokenizer_model = snug_checkpoint_tokenizer_model(checkpoint),
        .tokenizer_config = snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER_CONFIG),
        .bos_id = snug_checkpoint_config(checkpoint, "bos_token_id"),
        .eos_id = snug_checkpoint_config(checkpoint, "eos_token_id"),
        .chat_template = snug_checkpoint_chat_template(checkpoint),
    };
    if (snug_json_kind_of(files->tokenizer) == SNUG_JSON_ABSENT && !files->vocabulary &&
        files->tokenizer_model.bytes == 0)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.300s: no tokenizer.json and no tokenizer.model",
                  snug_checkpoint_path(checkpoint));
    return SNUG_OK;
}

/* Sentences about the file say so; those about memory do not. */
static snug_status name_file(snug_error *error, const snug_text_files *files, snug_status status)
{
    const bool is_json = snug_json_kind_of(files->tokenizer) != SNUG_JSON_ABSENT;

    if (status != SNUG_ERR_CORRUPT && status != SNUG_ERR_UNSUPPORTED)
        return status;
    return snug_fail_prefix(error, status,
                            is_json             ? "tokenizer.json"
                            : files->vocabulary ? "the tokenizer"
                                                : "tokenizer.model");
}

/* The rules of a stored tokenizer, written down as tokenizer.json has them, and read. */
static snug_status read_stored(snug_text *text, const snug_text_files *files,
                               const snug_stored_tokenizer *stored, snug_error *error)
{
    snug_buffer json = { .memory = text->memory };
    snug_tokenizer_parts parts;
    snug_json root;
    snug_status status = snug_stored_describe(&json, stored, files->tokenizer_config, error);

    if (status == SNUG_OK)
        status = snug_json_check(&root, snug_buffer_str(&json), error);
    if (status == SNUG_OK) {
        find_parts(&parts, root);
        status = read_small(text, files, &parts, error);
    }
    snug_buffer_deinit(&json);
    return status;
}

/* Afterwards `parts` has what the tables need; `stored` is filled when they are not in a tokenizer.json. */
static snug_status read_rules(snug_text *text, snug_tokenizer_parts *parts, snug_stored_tokenizer *stored,
                              const snug_text_files *files, snug_error *error)
{
    if (snug_json_kind_of(files->tokenizer) != SNUG_JSON_ABSENT) {
        find_parts(parts, files->tokenizer);
        return read_small(text, files, parts, error);
    }
    if (files->vocabulary)
        SNUG_TRY(snug_stored_from_gguf(stored, files->vocabulary, error));
    else
        SNUG_TRY(snug_stored_from_sentencepiece(stored, files->tokenizer_model, error));
    *parts = (snug_tokenizer_parts){ .stored = stored };
    return read_stored(text, files, stored, error);
}

static snug_status create_small(snug_text **text_out, snug_tokenizer_parts *parts,
                                snug_stored_tokenizer *stored, snug_memory *memory,
                                const snug_text_files *files, snug_error *error)
{
    snug_text *text = snug_memory_alloc(memory, SNUG_MEMORY_TEXT, sizeof *text, "tokenizer", error);
    snug_status status;

    *text_out = NULL;
    if (!text)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    text->memory = memory;
    text->bos_id = SNUG_ID_NONE;
    text->eos_id = SNUG_ID_NONE;
    status = read_rules(text, parts, stored, files, error);
    if (status != SNUG_OK) {
        snug_text_close(text);
        return name_file(error, files, status);
    }
    *text_out = text;
    return SNUG_OK;
}

/* --- the interface ------------------------------------------------------------------------------------- */

snug_status snug_text_estimate(uint64_t *bytes_out, uint64_t *transient_out,
                               const snug_checkpoint *checkpoint, snug_error *error)
{
    snug_error own_error = { 0 };
    snug_memory *ledger = NULL;
    snug_text *text = NULL;
    snug_stored_tokenizer stored;
    snug_tokenizer_parts parts;
    snug_vocabulary_size size;
    snug_text_files files;
    snug_status status;

    if (!error)
        error = &own_error;
    SNUG_TRY(find_files(&files, checkpoint, error));
    if (snug_memory_create(&ledger, NULL) != SNUG_OK)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left to measure a tokenizer in");
    status = create_small(&text, &parts, &stored, ledger, &files, error);
    if (status == SNUG_OK)
        status = name_file(error, &files, snug_vocabulary_measure(&size, &parts, error));
    if (status == SNUG_OK) {
        const snug_memory_count small = snug_memory_read_all(ledger);
        const uint64_t bytes = small.used_bytes + snug_memory_block_bytes(size.block_bytes);
        const uint64_t peak = bytes + snug_memory_block_bytes(size.scratch_bytes + 64);

        *bytes_out = bytes;
        *transient_out = (peak > small.peak_bytes ? peak : small.peak_bytes) - bytes;
    }
    snug_text_close(text);
    snug_memory_destroy(ledger);
    return status;
}

uint64_t snug_text_estimate_counts(uint32_t pieces, uint64_t piece_bytes, uint32_t merges)
{
    const snug_vocabulary_size size = {
        .id_count = pieces,
        .piece_count = pieces,
        .merge_count = merges,
        .piece_bytes = piece_bytes,
    };

    return SMALL_PARTS_BYTES + snug_memory_block_bytes(snug_vocabulary_block_bytes(&size));
}

snug_status snug_text_create_from(snug_text **text_out, snug_memory *memory, const snug_text_files *files,
                                  snug_error *error)
{
    snug_error own_error = { 0 };
    snug_text *text = NULL;
    snug_stored_tokenizer stored;
    snug_tokenizer_parts parts;
    snug_status status;

    *text_out = NULL;
    if (!error)
        error = &own_error;
    SNUG_TRY(create_small(&text, &parts, &stored, memory, files, error));
    status = read_tables(text, files, &parts, error);
    if (status != SNUG_OK) {
        snug_text_close(text);
        return name_file(error, files, status);
    }
    *text_out = text;
    return SNUG_OK;
}

snug_status snug_text_create(snug_text **text_out, snug_memory *memory, const snug_checkpoint *checkpoint,
                             snug_error *error)
{
    snug_text_files files;

    *text_out = NULL;
    SNUG_TRY(find_files(&files, checkpoint, error));
    return snug_text_create_from(text_out, memory, &files, error);
}

/* Sentences about the tokenizer name its file; whoever opened it by a path is told which one. */
static snug_status name_checkpoint(snug_status status, const char *path, snug_error *error)
{
    if (status == SNUG_ERR_CORRUPT || status == SNUG_ERR_UNSUPPORTED)
        return snug_fail_prefix(error, status, path);
    return status;
}

snug_status snug_text_open_files(snug_text **text_out, snug_memory *memory, const snug_checkpoint *files,
                                 snug_error *error)
{
    return name_checkpoint(snug_text_create(text_out, memory, files, error), snug_checkpoint_path(files),
                           error);
}

snug_status snug_text_open(snug_text **text_out, snug_memory *memory, const char *path, snug_error *error)
{
    snug_checkpoint *checkpoint = NULL;
    snug_status status;

    *text_out = NULL;
    SNUG_TRY(snug_checkpoint_open(&checkpoint, memory, path, error));
    status = snug_text_open_files(text_out, memory, checkpoint, error);
    snug_checkpoint_close(checkpoint);
    return status;
}

snug_status snug_text_estimate_path(uint64_t *bytes_out, snug_memory *memory, const char *path,
                                    snug_error *error)
{
    snug_checkpoint *checkpoint = NULL;
    uint64_t bytes, transient;
    snug_status status;

    SNUG_TRY(snug_checkpoint_open(&checkpoint, memory, path, error));
    status = snug_text_estimate(&bytes, &transient, checkpoint, error);
    if (status == SNUG_OK)
        *bytes_out = bytes + transient;
    snug_checkpoint_close(checkpoint);
    return name_checkpoint(status, path, error);
}

void snug_text_close(snug_text *text)
{
    if (!text)
        return;
    snug_chat_deinit(text);
    snug_added_deinit(text);
    snug_steps_deinit(text);
    snug_memory_free(text->memory, text->piece_start);
    snug_memory_free(text->memory, text);
}

uint32_t snug_text_id_count(const snug_text *text)
{
    uint32_t count = text->id_count;

    if (text->added_count > 0)
        count = (uint32_t)snug_max_size(count, (size_t)text->added[text->added_count - 1].id + 1);
    return count;
}

uint32_t snug_text_bos_id(const snug_text *text)
{
    return text->bos_id;
}

uint32_t snug_text_eos_id(const snug_text *text)
{
    return text->eos_id;
}

uint32_t snug_text_find(const snug_text *text, const char *piece)
{
    const snug_added_token *added = snug_added_by_content(text, snug_str_from(piece));

    return added ? added->id : snug_vocabulary_find(text, snug_str_from(piece));
}
