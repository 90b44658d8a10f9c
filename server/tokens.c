/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens.c - /tokenize and /detokenize: what a model's tokenizer makes of a text, and the way back.
 */
#include <string.h>

#include "base/status.h"
#include "server/body.h"
#include "server/errands.h"
#include "server/routes.h"
#include "server/state.h"

/* The text of the model that the body names. */
static bool take_model(snug_loaded *loaded_out, size_t *index_out, server_errand *errand, snug_json root,
                       server_refusal *refusal)
{
    char model[SERVER_MODEL_NAME_BYTES];

    return server_body_text(model, sizeof model, root, "model", false, refusal) &&
           server_models_find(index_out, errand->server, model, refusal) &&
           server_models_take(loaded_out, errand->server, *index_out, refusal);
}

/* --- text to ids --------------------------------------------------------------------------------------- */

static json_t *encode(server_errand *errand, const snug_text *text, snug_str raw, unsigned flags,
                      server_refusal *refusal)
{
    const size_t capacity = snug_text_encode_bound(text, raw.bytes);
    snug_error error = { SNUG_OK, "" };
    char *block = server_alloc(errand->server->options.memory, capacity * sizeof(uint32_t) + raw.bytes,
                               "the ids of a text", &error);
    uint32_t *ids = (void *)block;
    json_t *list = NULL;
    char *clean;
    size_t count;

    if (!block) {
        (void)server_refuse_error(refusal, &error);
        return NULL;
    }
    clean = block + capacity * sizeof *ids;
    if (snug_text_encode(text, ids, capacity, &count, clean, snug_json_unescape(clean, raw), flags, &error) ==
        SNUG_OK) {
        list = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(list, json_integer(ids[i]));
    } else {
        (void)server_refuse_error(refusal, &error);
    }
    server_free(block);
    return list;
}

static void tokenize(server_errand *errand)
{
    static const char *const names[] = { "model", "content", "add_special", NULL };
    server_refusal refusal = { 0 };
    const snug_json root = server_body_read(&errand->body, names, &refusal);
    const snug_json content = snug_json_get(root, "content");
    const snug_json special = snug_json_get(root, "add_special");
    bool adds_special = false;
    snug_loaded loaded;
    size_t index;
    json_t *list = NULL;

    if (!refusal.status && snug_json_kind_of(content) != SNUG_JSON_STRING)
        (void)server_refuse(&refusal, 400, "invalid_value", "content",
                            "\"content\" takes the text, a string");
    if (!refusal.status && snug_json_kind_of(special) > SNUG_JSON_NULL &&
        !snug_json_bool(&adds_special, special))
        (void)server_refuse(&refusal, 400, "invalid_value", "add_special",
                            "\"add_special\" takes true or false");
    if (!refusal.status && take_model(&loaded, &index, errand, root, &refusal)) {
        list = encode(errand, loaded.text, snug_json_string(content),
                      adds_special ? SNUG_ENCODE_ADD_SPECIAL : 0, &refusal);
        server_models_release(errand->server, index);
    }
    if (refusal.status)
        server_errand_refuse(errand, &refusal);
    else
        server_outlet_reply(errand->outlet, 200, json_pack("{s:o}", "tokens", list));
}

enum MHD_Result server_handle_tokenize(server_call *call)
{
    return server_errand_start(call, tokenize);
}

/* --- ids to text --------------------------------------------------------------------------------------- */

/* Piece by piece, so that the room needed does not depend on what comes out. */
static json_t *decode(server_errand *errand, const snug_text *text, snug_json list, server_refusal *refusal)
{
    server_buffer out = { .memory = errand->server->options.memory };
    char *piece = server_alloc(out.memory, snug_decoder_bound(text), "a piece of text", NULL);
    snug_json_iterator each = snug_json_iterate(list);
    bool is_done = piece != NULL;
    snug_decoder decoder;
    json_t *content = NULL;
    snug_json element;
    uint64_t id;

    snug_decoder_init(&decoder, text, 0);
    while (is_done && snug_json_next(&each, NULL, &element)) {
        if (!snug_json_u64(&id, element) || id >= snug_text_id_count(text)) {
            (void)server_refuse(refusal, 400, "invalid_value", "tokens", "\"tokens\" takes ids below %u",
                                snug_text_id_count(text));
            break;
        }
        is_done = server_buffer_add(&out, piece, snug_decoder_push(&decoder, (uint32_t)id, piece));
    }
    is_done = is_done && server_buffer_add(&out, piece, snug_decoder_finish(&decoder, piece));
    if (!is_done)
        (void)server_refuse(refusal, 503, "out_of_memory", NULL, "there is no memory for that much text");
    else if (!refusal->status)
        content = json_stringn(out.data, out.bytes);
    server_free(piece);
    server_buffer_free(&out);
    return content;
}

static void detokenize(server_errand *errand)
{
    static const char *const names[] = { "model", "tokens", NULL };
    server_refusal refusal = { 0 };
    const snug_json root = server_body_read(&errand->body, names, &refusal);
    const snug_json tokens = snug_json_get(root, "tokens");
    snug_loaded loaded;
    size_t index;
    json_t *content = NULL;

    if (!refusal.status && snug_json_kind_of(tokens) != SNUG_JSON_ARRAY)
        (void)server_refuse(&refusal, 400, "invalid_value", "tokens", "\"tokens\" takes an array of ids");
    if (!refusal.status && take_model(&loaded, &index, errand, root, &refusal)) {
        content = decode(errand, loaded.text, tokens, &refusal);
        server_models_release(errand->server, index);
    }
    if (refusal.status)
        server_errand_refuse(errand, &refusal);
    else
        server_outlet_reply(errand->outlet, 200, json_pack("{s:o}", "content", content));
}

enum MHD_Result server_handle_detokenize(server_call *call)
{
    return server_errand_start(call, detokenize);
}
