/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_tokenize.c - text to ids, and ids to text; one, or a batch in a JSON file. Needs the tokenizer
 * only. A batch is written element by element, so its output takes no memory.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "cli/engine.h"
#include "cli/input.h"
#include "cli/rendering.h"

typedef struct tokenizing {
    const cli_options *options;
    const snug_text *text;
} tokenizing;

/* --- one ----------------------------------------------------------------------------------------------- */

static snug_status encode(cli_ids *out, const tokenizing *run, const cli_buffer *text, snug_error *error)
{
    const size_t capacity = snug_text_encode_bound(run->text, text->bytes);
    unsigned flags = 0;

    if (run->options->add_special)
        flags |= SNUG_ENCODE_ADD_SPECIAL;
    if (!run->options->parse_special)
        flags |= SNUG_ENCODE_NO_PARSE_SPECIAL;
    SNUG_TRY(cli_ids_alloc(out, capacity, error));
    return snug_text_encode(run->text, out->id, capacity, &out->count, text->data ? text->data : "",
                            text->bytes, flags, error);
}

static snug_status decode(cli_buffer *out, const tokenizing *run, const cli_ids *ids, snug_error *error)
{
    const unsigned flags = run->options->skip_special ? SNUG_DECODE_SKIP_SPECIAL : 0;
    snug_status status = SNUG_OK;
    snug_decoder decoder;
    char *piece;

    *out = (cli_buffer){ 0 };
    for (size_t i = 0; i < ids->count; i++)
        if (ids->id[i] >= snug_text_id_count(run->text))
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                      "element %zu is the id %u, but the tokenizer has ids below %u", i, ids->id[i],
                      snug_text_id_count(run->text));
    piece = malloc(snug_decoder_bound(run->text));
    snug_decoder_init(&decoder, run->text, flags);
    for (size_t i = 0; piece && i <= ids->count && status == SNUG_OK; i++) {
        const size_t bytes = i < ids->count ? snug_decoder_push(&decoder, ids->id[i], piece)
                                            : snug_decoder_finish(&decoder, piece);

        status = cli_buffer_add(out, piece, bytes) ? SNUG_OK : SNUG_ERR_NO_MEMORY;
    }
    free(piece);
    if (!piece || status != SNUG_OK)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left for the text");
    return SNUG_OK;
}

static void print_ids(const cli_ids *ids)
{
    cli_print("[");
    for (size_t i = 0; i < ids->count; i++)
        cli_print("%s%u", i ? ", " : "", ids->id[i]);
    cli_print("]");
}

/* A piece may hold anything the vocabulary holds; JSON shows it without doubt. */
static void print_piece(const snug_text *text, uint32_t id)
{
    size_t bytes;
    const char *piece = snug_text_piece(text, id, &bytes);

    cli_write_json(json_stringn(piece ? piece : "", bytes));
}

static void print_encoded(const tokenizing *run, const cli_ids *ids)
{
    if (!run->options->json) {
        for (size_t i = 0; i < ids->count; i++) {
            cli_print("%u\t", ids->id[i]);
            print_piece(run->text, ids->id[i]);
            cli_print("\n");
        }
        return;
    }
    cli_print("{\"ids\": ");
    print_ids(ids);
    cli_print(", \"pieces\": [");
    for (size_t i = 0; i < ids->count; i++) {
        cli_print(i ? ", " : "");
        print_piece(run->text, ids->id[i]);
    }
    cli_print("]}\n");
}

static void print_decoded(const tokenizing *run, const cli_ids *ids, const cli_buffer *text)
{
    if (!run->options->json) {
        cli_write(text->data, text->bytes);
        cli_print("\n");
        return;
    }
    cli_print("{\"ids\": ");
    print_ids(ids);
    cli_print(", \"text\": ");
    cli_write_json(json_stringn(text->data, text->bytes));
    cli_print("}\n");
}

static snug_status run_one(const tokenizing *run, snug_error *error)
{
    cli_buffer text = { 0 }, decoded = { 0 };
    cli_ids ids = { 0 };
    snug_status status = cli_read_text(&text, run->options->operand, "the text", error);

    if (status != SNUG_OK)
        return status;
    if (run->options->decode) {
        status = cli_ids_from_text(&ids, (snug_str){ text.data, text.bytes }, error);
        if (status == SNUG_OK)
            status = decode(&decoded, run, &ids, error);
        if (status == SNUG_OK)
            print_decoded(run, &ids, &decoded);
    } else {
        status = encode(&ids, run, &text, error);
        if (status == SNUG_OK)
            print_encoded(run, &ids);
    }
    cli_ids_free(&ids);
    cli_buffer_free(&decoded);
    cli_buffer_free(&text);
    return status;
}

/* --- a conversation ------------------------------------------------------------------------------------ */

static snug_status run_chat(const tokenizing *run, snug_error *error)
{
    cli_buffer text = { 0 };
    cli_ids ids = { 0 };
    char *rendered;
    snug_status status = cli_render_chat(&rendered, &text.bytes, run->text, run->options, error);

    if (status != SNUG_OK)
        return status;
    text.data = rendered;
    if (run->options->render) {
        cli_write(rendered, text.bytes);
    } else {
        status = encode(&ids, run, &text, error);
        if (status == SNUG_OK)
            print_encoded(run, &ids);
    }
    cli_ids_free(&ids);
    snug_text_free_string(run->text, rendered);
    return status;
}

/* --- a batch ------------------------------------------------------------------------------------------- */

static snug_status run_element(const tokenizing *run, snug_json element, snug_error *error)
{
    cli_buffer text = { 0 };
    cli_ids ids = { 0 };
    snug_status status;

    if (run->options->decode) {
        status = cli_ids_from_json(&ids, element, error);
        if (status == SNUG_OK)
            status = decode(&text, run, &ids, error);
        if (status == SNUG_OK)
            cli_write_json(json_stringn(text.data, text.bytes));
    } else if (snug_json_kind_of(element) != SNUG_JSON_STRING) {
        status = snug_fail(error, SNUG_ERR_CORRUPT, "expected a text, not %s",
                           snug_json_kind_name(snug_json_kind_of(element)));
    } else {
        status = cli_buffer_add_json_string(&text, element)
                     ? encode(&ids, run, &text, error)
                     : snug_fail(error, SNUG_ERR_NO_MEMORY, "the system has no memory left for the text");
        if (status == SNUG_OK)
            print_ids(&ids);
    }
    cli_ids_free(&ids);
    cli_buffer_free(&text);
    return status;
}

static snug_status run_batch(const tokenizing *run, snug_error *error)
{
    cli_buffer file;
    snug_json root, element;
    snug_json_iterator iterator;
    snug_status status = cli_read_json(&file, &root, run->options->batch, error);
    char place[64];

    if (status != SNUG_OK)
        return status;
    if (snug_json_kind_of(root) != SNUG_JSON_ARRAY)
        status = snug_fail(error, SNUG_ERR_CORRUPT, "%.300s: expected a JSON array, not %s",
                           run->options->batch, snug_json_kind_name(snug_json_kind_of(root)));
    iterator = snug_json_iterate(root);
    for (size_t i = 0; status == SNUG_OK && snug_json_next(&iterator, NULL, &element); i++) {
        cli_print(i ? ",\n" : "[");
        status = run_element(run, element, error);
        snprintf(place, sizeof place, "element %zu of the batch", i);
        if (status != SNUG_OK)
            status = snug_fail_prefix(error, status, place);
    }
    if (status == SNUG_OK)
        cli_print(snug_json_count(root) ? "]\n" : "[]\n");
    cli_buffer_free(&file);
    return status;
}

/* --- the command --------------------------------------------------------------------------------------- */

static cli_exit check_usage(const cli_options *options)
{
    const int inputs = (options->operand != NULL) + (options->batch != NULL) + (options->chat != NULL);

    if (inputs > 1)
        return cli_fail(CLI_USAGE, "a text, --batch and --chat are different inputs; give one");
    if (inputs == 0)
        return cli_fail(CLI_USAGE, "there is no text: give it as one word, as @FILE, as - for standard "
                                   "input, many with --batch FILE.json, or messages with --chat FILE.json");
    if (options->skip_special && !options->decode)
        return cli_fail(CLI_USAGE, "--skip-special is for --decode");
    if (options->chat && options->decode)
        return cli_fail(CLI_USAGE, "--chat makes a text of messages; --decode is for token ids");
    if (!options->chat &&
        (options->render || options->generation_prompt || options->template_args || options->now))
        return cli_fail(CLI_USAGE, "--render, --generation-prompt, --template-args and --now are for --chat");
    return CLI_DONE;
}

static snug_status run_input(const tokenizing *run, snug_error *error)
{
    if (run->options->chat)
        return run_chat(run, error);
    return run->options->batch ? run_batch(run, error) : run_one(run, error);
}

cli_exit cli_command_tokenize(const cli_options *options)
{
    cli_engine engine;
    snug_error error = { SNUG_OK, "" };
    cli_exit status;

    status = check_usage(options);
    if (status != CLI_DONE)
        return status;
    status = cli_engine_find_model(&engine, options);
    error.status = status == CLI_DONE ? snug_memory_create(&engine.memory, NULL) : SNUG_OK;
    if (error.status != SNUG_OK)
        status = cli_fail_error(&error);
    if (status == CLI_DONE)
        status = cli_engine_open_text(&engine);
    if (status == CLI_DONE) {
        const tokenizing run = { options, engine.text };

        if (run_input(&run, &error) != SNUG_OK)
            status = cli_fail_error(&error);
    }
    cli_engine_close(&engine);
    return status;
}
