/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_inspect.c - what a model's files hold, and what it will need: from headers, no weight is read.
 *
 * The predictions are those of `plan` with the same options, made in the same order: before the tokenizer is
 * opened. Texts out of the files pass through cli/shown.h on their way to a terminal.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/engine.h"
#include "cli/shown.h"
#include "cli/value.h"

/* Element types of one model: files know a few dozen. More than this are counted together. */
#define TYPE_ROWS_MAX 48

/* Contexts that are predicted, where the model was made for them; and its longest. */
static const uint32_t contexts[] = { 2048, 8192, 32768 };

#define PREDICTIONS_MAX (SNUG_COUNT(contexts) + 1)

/* Enough tokens that rounding to tiles and pages does not show in bytes per token. */
#define MANY_TOKENS 65536u

typedef struct type_row {
    snug_tensor_info like; /* type and group */
    size_t tensors;
    uint64_t weights;
    uint64_t bytes;
} type_row;

typedef struct prediction {
    snug_plan plan;
    uint64_t cache_bytes;
    uint64_t all_bytes; /* a cache that keeps every token in every layer */
} prediction;

typedef struct range {
    uint32_t least;
    uint32_t most;
} range;

typedef struct inspection {
    cli_options options; /* as given; `context` changes from prediction to prediction */
    cli_engine engine;
    range heads, kv_heads, head_dims, mlps;
    type_row types[TYPE_ROWS_MAX];
    size_t type_count;
    uint64_t weights;
    uint64_t tensor_bytes;
    prediction predictions[PREDICTIONS_MAX];
    size_t prediction_count;
    snug_text_files_info text_files;
    uint32_t pieces;
    uint32_t special_pieces;
    bool has_chat;
    bool takes_tools;
    snug_error chat_error; /* why not has_chat */
} inspection;

/* --- looking: layers and tensors ----------------------------------------------------------------------- */

static void widen(range *r, uint32_t value)
{
    if (r->most == 0 || value < r->least)
        r->least = value;
    if (value > r->most)
        r->most = value;
}

static void look_at_layers(inspection *look)
{
    for (uint32_t i = 0; i < look->engine.info.layer_count; i++) {
        snug_layer_info layer = { .struct_size = sizeof layer };

        snug_model_read_layer(&layer, look->engine.model, i);
        widen(&look->heads, layer.head_count);
        widen(&look->kv_heads, layer.kv_head_count);
        widen(&look->head_dims, layer.head_dim);
        widen(&look->mlps, layer.mlp);
    }
}

static type_row *row_for(inspection *look, const snug_tensor_info *tensor)
{
    for (size_t i = 0; i < look->type_count; i++)
        if (look->types[i].like.group == tensor->group && strcmp(look->types[i].like.type, tensor->type) == 0)
            return &look->types[i];
    if (look->type_count == TYPE_ROWS_MAX) {
        look->types[TYPE_ROWS_MAX - 1].like = (snug_tensor_info){ .type = "others" };
        return &look->types[TYPE_ROWS_MAX - 1];
    }
    look->types[look->type_count].like = *tensor;
    return &look->types[look->type_count++];
}

static int more_bytes_first(const void *a, const void *b)
{
    const type_row *left = a, *right = b;

    return left->bytes != right->bytes ? (left->bytes < right->bytes ? 1 : -1)
                                       : strcmp(left->like.type, right->like.type);
}

static void look_at_tensors(inspection *look)
{
    const size_t count = snug_model_tensor_count(look->engine.model);

    for (size_t i = 0; i < count; i++) {
        snug_tensor_info tensor = { .struct_size = sizeof tensor };
        type_row *row;

        snug_model_read_tensor(&tensor, look->engine.model, i);
        row = row_for(look, &tensor);
        row->tensors++;
        row->weights += tensor.weights;
        row->bytes += tensor.bytes;
        look->weights += tensor.weights;
        look->tensor_bytes += tensor.bytes;
    }
    qsort(look->types, look->type_count, sizeof look->types[0], more_bytes_first);
}

static double bits_per_weight(const inspection *look)
{
    return look->weights ? 8.0 * (double)look->tensor_bytes / (double)look->weights : 0;
}

static double share(const inspection *look, const type_row *row)
{
    return look->tensor_bytes ? (double)row->bytes / (double)look->tensor_bytes : 0;
}

/* --- looking: the cache -------------------------------------------------------------------------------- */

/* What one layer would take for that many tokens, without the cache's table, if it kept every one itself. */
static uint64_t whole_layer_bytes(const inspection *look, const snug_kv_layer *layer, uint32_t tokens)
{
    const snug_kv_layer whole = { .kv_head_count = layer->kv_head_count, .head_dim = layer->head_dim };
    const snug_kv_shape shape = { .layer_count = 1, .layer = &whole };
    const snug_kv_config *kv = &look->engine.plan.kv;
    const snug_kv_options options = {
        .struct_size = sizeof options,
        .context_tokens = tokens,
        .config = { .key = kv->key, .value = kv->value },
    };
    uint64_t bytes, table;

    if (snug_kv_estimate(&table, &shape, &options, 0, NULL) != SNUG_OK ||
        snug_kv_estimate(&bytes, &shape, &options, tokens, NULL) != SNUG_OK)
        return 0;
    return bytes - table;
}

/* Layers that keep the same tokens. */
typedef struct cache_kind {
    const snug_kv_layer *like; /* the first of them */
    const char *name;
    uint32_t layers;
    double bytes_per_token; /* of all of them, for each token that is kept */
} cache_kind;

static bool is_same_kind(const snug_kv_layer *a, const snug_kv_layer *b)
{
    return a->is_shared == b->is_shared && (a->is_shared || a->window_tokens == b->window_tokens);
}

/* The kind whose first layer this is; false when an earlier layer is of the same kind. */
static bool read_kind(cache_kind *kind_out, const inspection *look, uint32_t layer)
{
    const snug_kv_shape *shape = snug_model_kv_shape(look->engine.model);
    const snug_kv_layer *like = &shape->layer[layer];

    for (uint32_t i = 0; i < layer; i++)
        if (is_same_kind(&shape->layer[i], like))
            return false;
    *kind_out = (cache_kind){ .like = like,
                              .name = like->is_shared       ? "shared"
                                      : like->window_tokens ? "window"
                                                            : "full" };
    for (uint32_t i = layer; i < shape->layer_count; i++) {
        if (!is_same_kind(&shape->layer[i], like))
            continue;
        kind_out->layers++;
        if (!like->is_shared)
            kind_out->bytes_per_token +=
                (double)whole_layer_bytes(look, &shape->layer[i], MANY_TOKENS) / MANY_TOKENS;
    }
    return true;
}

static cli_exit predict(inspection *look, uint32_t context)
{
    const cli_request request = { 0 }; /* a full context */
    prediction *p = &look->predictions[look->prediction_count];
    const snug_kv_shape *shape = snug_model_kv_shape(look->engine.model);
    cli_exit status;

    look->options.context = context;
    status = cli_engine_predict(&look->engine, &request);
    if (status != CLI_DONE)
        return status;
    *p = (prediction){ .plan = look->engine.plan };
    p->cache_bytes =
        cli_engine_cache_bytes(&look->engine, context) - cli_engine_cache_bytes(&look->engine, 0);
    for (uint32_t i = 0; i < shape->layer_count; i++)
        p->all_bytes += whole_layer_bytes(look, &shape->layer[i], context);
    look->prediction_count++;
    return CLI_DONE;
}

static cli_exit predict_all(inspection *look)
{
    const uint32_t longest = look->engine.info.context_tokens;
    cli_exit status = cli_engine_estimate_text(&look->engine);

    for (size_t i = 0; i < SNUG_COUNT(contexts) && status == CLI_DONE; i++)
        if (contexts[i] < longest)
            status = predict(look, contexts[i]);
    return status == CLI_DONE ? predict(look, longest) : status;
}

/* --- looking: text ------------------------------------------------------------------------------------- */

/* Special is what disappears when special tokens are skipped. */
static bool is_special(const snug_text *text, uint32_t id)
{
    char nowhere[1];
    size_t shown = 0, left = 0;
    /* Lengths are told even where there is no room. */
    snug_status status = snug_text_decode(text, nowhere, 0, &shown, &id, 1, 0);

    if (status == SNUG_OK || status == SNUG_ERR_FULL)
        status = snug_text_decode(text, nowhere, 0, &left, &id, 1, SNUG_DECODE_SKIP_SPECIAL);
    return (status == SNUG_OK || status == SNUG_ERR_FULL) && shown > 0 && left == 0;
}

/* Does a tool that is offered reach the prompt? Asked of the template itself. */
static void try_template(inspection *look)
{
    static const snug_message hello = { "user", "Hello" };
    static const char tool[] = "snug_inspect_tool";
    const snug_text *text = look->engine.text;
    snug_chat_options options = { .struct_size = sizeof options };
    char *rendered;
    size_t bytes;

    look->has_chat = snug_text_has_chat(text, &look->chat_error);
    if (!look->has_chat)
        return;
    look->has_chat =
        snug_text_chat(text, &rendered, &bytes, &hello, 1, &options, &look->chat_error) == SNUG_OK;
    if (!look->has_chat)
        return;
    snug_text_free_string(text, rendered);
    options.variables_json = "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": "
                             "\"snug_inspect_tool\", \"description\": \"\", \"parameters\": "
                             "{\"type\": \"object\", \"properties\": {}, \"required\": []}}}]}";
    if (snug_text_chat(text, &rendered, &bytes, &hello, 1, &options, NULL) != SNUG_OK)
        return;
    look->takes_tools = strstr(rendered, tool) != NULL;
    snug_text_free_string(text, rendered);
}

static cli_exit look_at_text(inspection *look)
{
    const cli_exit status = cli_engine_open_text(&look->engine);

    if (status != CLI_DONE)
        return status;
    look->text_files.struct_size = sizeof look->text_files;
    snug_model_read_text_files(&look->text_files, look->engine.model);
    for (uint32_t id = 0; id < snug_text_id_count(look->engine.text); id++) {
        size_t bytes;

        if (!snug_text_piece(look->engine.text, id, &bytes))
            continue;
        look->pieces++;
        look->special_pieces += is_special(look->engine.text, id);
    }
    try_template(look);
    return CLI_DONE;
}

/* --- for people ---------------------------------------------------------------------------------------- */

static void print_range(range r)
{
    if (r.least == r.most)
        cli_print("%u", r.most);
    else
        cli_print("%u to %u", r.least, r.most);
}

static void print_model(const inspection *look)
{
    const snug_model_info *info = &look->engine.info;
    const uint32_t short_tokens = snug_model_rope_short_tokens(look->engine.model);

    cli_print("%s: family %s, %.2f million parameters, mostly %s\n\n", look->engine.path, info->family,
              (double)info->parameters / 1e6, look->types[0].like.type);
    cli_print("shape       %u layer%s, hidden %u, feed-forward ", info->layer_count,
              cli_plural(info->layer_count), info->hidden);
    print_range(look->mlps);
    cli_print("\nheads       ");
    print_range(look->heads);
    cli_print(" of queries, ");
    print_range(look->kv_heads);
    cli_print(" of keys and values, size ");
    print_range(look->head_dims);
    cli_print("\nvocabulary  %u\ncontext     %u tokens at most", info->vocabulary, info->context_tokens);
    if (short_tokens > 0)
        cli_print("; beyond %u with other rotary factors", short_tokens);
    cli_print("\n\n");
}

static void print_files(const inspection *look)
{
    cli_print("%-32s %-12s %8s %12s\n", "files", "format", "tensors", "bytes");
    for (size_t i = 0; i < snug_model_weight_file_count(look->engine.model); i++) {
        snug_weight_file_info file = { .struct_size = sizeof file };

        snug_model_read_weight_file(&file, look->engine.model, i);
        cli_print("  ");
        cli_show(file.name, strlen(file.name), 30);
        cli_print(" %-12s %8zu %12s\n", file.format, file.tensor_count, cli_size(file.bytes).text);
    }
    cli_print("\n%-32s %-12s %8s %12s %8s\n", "element types", "group", "tensors", "bytes", "share");
    for (size_t i = 0; i < look->type_count; i++) {
        const type_row *row = &look->types[i];

        cli_print("  %-30s ", row->like.type);
        if (row->like.group > 0)
            cli_print("%-12u", row->like.group);
        else
            cli_print("%-12s", "");
        cli_print(" %8zu %12s %6.1f %%\n", row->tensors, cli_size(row->bytes).text, 100.0 * share(look, row));
    }
    cli_print("  %.2f bits per weight over all\n\n", bits_per_weight(look));
}

static void print_token(const inspection *look, const char *name, uint32_t id)
{
    const char *piece = NULL;
    size_t bytes = 0;

    cli_print("%s ", name);
    if (id == SNUG_ID_NONE) {
        cli_print("none");
        return;
    }
    piece = snug_text_piece(look->engine.text, id, &bytes);
    cli_print("%u ", id);
    cli_show(piece ? piece : "(no piece)", piece ? bytes : strlen("(no piece)"), 0);
}

static void print_text(const inspection *look)
{
    const snug_text_files_info *files = &look->text_files;
    size_t count;
    const uint32_t *stop_ids = snug_model_stop_ids(look->engine.model, &count);

    cli_print("tokenizer   %s, %u pieces, %u of them special (%s)\n", files->tokenizer, look->pieces,
              look->special_pieces, files->tokenizer_file);
    print_token(look, "tokens      bos", snug_text_bos_id(look->engine.text));
    print_token(look, "; eos", snug_text_eos_id(look->engine.text));
    cli_print("; ends an answer:");
    for (size_t i = 0; i < count; i++)
        print_token(look, i ? "," : "", stop_ids[i]);
    cli_print("%s\ntemplate    ", count ? "" : " none");
    if (files->template_file[0])
        cli_print("%llu bytes (%s), ", (unsigned long long)files->chat_template_bytes, files->template_file);
    if (look->has_chat)
        cli_print("usable, %s\n\n", look->takes_tools ? "takes tools" : "takes no tools");
    else {
        cli_print("%s", files->template_file[0] ? "not usable: " : "none: ");
        cli_show(look->chat_error.text, strlen(look->chat_error.text), 0);
        cli_print("\n\n");
    }
}

static void print_kind(const cache_kind *kind)
{
    char name[32] = "";

    if (kind->like->window_tokens > 0 && !kind->like->is_shared)
        snprintf(name, sizeof name, "window %u", kind->like->window_tokens);
    cli_print("  %-30s %3u layer%s, ", name[0] ? name : kind->name, kind->layers, cli_plural(kind->layers));
    if (kind->like->is_shared)
        cli_print("no bytes: they read what earlier layers keep\n");
    else
        cli_print("%.0f bytes per token\n", kind->bytes_per_token);
}

static void print_cache(const inspection *look)
{
    const snug_plan *longest = &look->predictions[look->prediction_count - 1].plan;

    cli_print("cache, %s\n", snug_kv_format_name(look->engine.plan.kv.key.format));
    for (uint32_t i = 0; i < look->engine.info.layer_count; i++) {
        cache_kind kind;

        if (read_kind(&kind, look, i))
            print_kind(&kind);
    }
    cli_print("\n%-12s %12s %12s %12s  here\n", "context", "cache", "saved", "peak");
    for (size_t i = 0; i < look->prediction_count; i++) {
        const prediction *p = &look->predictions[i];

        cli_print("  %-10u %12s %12s %12s  %s\n", p->plan.context_tokens, cli_size(p->cache_bytes).text,
                  cli_size(p->all_bytes - p->cache_bytes).text, cli_size(p->plan.peak_bytes).text,
                  p->plan.fits ? "fits" : "does not fit");
    }
    cli_print("  saved: against a cache that keeps every token in every layer. The peak is that of plan,\n"
              "  the weights, %s, mapped beside it. Limit: %s (%s).\n",
              cli_size(longest->weight_bytes).text, cli_size(longest->limit_bytes).text, longest->limited_by);
}

static void print_shape(const snug_tensor_info *tensor)
{
    char text[SNUG_TENSOR_DIMENSIONS_MAX * 24 + 3] = "[";
    size_t used = 1;

    for (uint32_t i = 0; i < tensor->rank; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)tensor->shape[i]);
    snprintf(text + used, sizeof text - used, "]");
    cli_print(" %-18s", text);
}

static void print_tensors(const inspection *look)
{
    cli_print("\n%-60s %-8s %-18s %14s  file\n", "tensors", "type", "shape", "bytes");
    for (size_t i = 0; i < snug_model_tensor_count(look->engine.model); i++) {
        snug_tensor_info tensor = { .struct_size = sizeof tensor };
        snug_weight_file_info file = { .struct_size = sizeof file };

        snug_model_read_tensor(&tensor, look->engine.model, i);
        snug_model_read_weight_file(&file, look->engine.model, tensor.file);
        cli_print("  ");
        cli_show(tensor.name, tensor.name_bytes, 58);
        cli_print(" %-8s", tensor.type);
        print_shape(&tensor);
        cli_print(" %14llu  ", (unsigned long long)tensor.bytes);
        cli_show(file.name, strlen(file.name), 0);
        cli_print("\n");
    }
}

/* --- JSON ---------------------------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *range_json(range r)
{
    return json_pack("{s:o,s:o}", "least", number(r.least), "most", number(r.most));
}

static json_t *files_json(const inspection *look)
{
    json_t *files = json_array();

    for (size_t i = 0; i < snug_model_weight_file_count(look->engine.model); i++) {
        snug_weight_file_info file = { .struct_size = sizeof file };

        snug_model_read_weight_file(&file, look->engine.model, i);
        json_array_append_new(files,
                              json_pack("{s:o,s:s,s:o,s:o}", "name",
                                        cli_shown_json(file.name, strlen(file.name)), "format", file.format,
                                        "tensors", number(file.tensor_count), "bytes", number(file.bytes)));
    }
    return files;
}

static json_t *types_json(const inspection *look)
{
    json_t *types = json_array();

    for (size_t i = 0; i < look->type_count; i++) {
        const type_row *row = &look->types[i];

        json_array_append_new(types, json_pack("{s:s,s:o,s:o,s:o,s:o,s:f}", "type", row->like.type, "group",
                                               number(row->like.group), "tensors", number(row->tensors),
                                               "weights", number(row->weights), "bytes", number(row->bytes),
                                               "share", share(look, row)));
    }
    return types;
}

static json_t *token_json(const inspection *look, uint32_t id)
{
    size_t bytes = 0;
    const char *piece;

    if (id == SNUG_ID_NONE)
        return json_null();
    piece = snug_text_piece(look->engine.text, id, &bytes);
    return json_pack("{s:o,s:o}", "id", number(id), "text",
                     piece ? cli_shown_json(piece, bytes) : json_null());
}

static json_t *tokenizer_json(const inspection *look)
{
    const snug_text *text = look->engine.text;
    json_t *stop = json_array();
    size_t count;
    const uint32_t *stop_ids = snug_model_stop_ids(look->engine.model, &count);

    for (size_t i = 0; i < count; i++)
        json_array_append_new(stop, token_json(look, stop_ids[i]));
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "kind", look->text_files.tokenizer, "file",
                     look->text_files.tokenizer_file, "pieces", number(look->pieces), "special_pieces",
                     number(look->special_pieces), "bos", token_json(look, snug_text_bos_id(text)), "eos",
                     token_json(look, snug_text_eos_id(text)), "stop", stop);
}

static json_t *template_json(const inspection *look)
{
    const char *why = look->chat_error.text;

    return json_pack("{s:s,s:o,s:b,s:b,s:o}", "file", look->text_files.template_file, "bytes",
                     number(look->text_files.chat_template_bytes), "is_usable", look->has_chat, "takes_tools",
                     look->takes_tools, "error",
                     look->has_chat ? json_null() : cli_shown_json(why, strlen(why)));
}

static json_t *cache_json(const inspection *look)
{
    json_t *kinds = json_array();

    for (uint32_t i = 0; i < look->engine.info.layer_count; i++) {
        cache_kind kind;

        if (read_kind(&kind, look, i))
            json_array_append_new(kinds,
                                  json_pack("{s:s,s:o,s:o,s:o}", "kind", kind.name, "window_tokens",
                                            number(kind.like->is_shared ? 0 : kind.like->window_tokens),
                                            "layers", number(kind.layers), "bytes_per_token",
                                            number((uint64_t)(kind.bytes_per_token + 0.5))));
    }
    return json_pack("{s:s,s:o}", "format", snug_kv_format_name(look->engine.plan.kv.key.format), "kinds",
                     kinds);
}

static json_t *predictions_json(const inspection *look)
{
    json_t *predictions = json_array();

    for (size_t i = 0; i < look->prediction_count; i++) {
        const prediction *p = &look->predictions[i];

        json_array_append_new(
            predictions, json_pack("{s:o,s:o,s:o,s:o,s:b}", "context_tokens", number(p->plan.context_tokens),
                                   "predicted_peak_bytes", number(p->plan.peak_bytes), "cache_bytes",
                                   number(p->cache_bytes), "cache_saved_bytes",
                                   number(p->all_bytes - p->cache_bytes), "fits", p->plan.fits));
    }
    return predictions;
}

static json_t *tensors_json(const inspection *look)
{
    json_t *tensors = json_array();

    for (size_t i = 0; i < snug_model_tensor_count(look->engine.model); i++) {
        snug_tensor_info tensor = { .struct_size = sizeof tensor };
        json_t *shape = json_array();

        snug_model_read_tensor(&tensor, look->engine.model, i);
        for (uint32_t j = 0; j < tensor.rank; j++)
            json_array_append_new(shape, number(tensor.shape[j]));
        json_array_append_new(tensors,
                              json_pack("{s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "name",
                                        cli_shown_json(tensor.name, tensor.name_bytes), "type", tensor.type,
                                        "file_type", tensor.file_type, "group", number(tensor.group), "shape",
                                        shape, "weights", number(tensor.weights), "bytes",
                                        number(tensor.bytes), "file", number(tensor.file)));
    }
    return tensors;
}

static void print_json(const inspection *look)
{
    const snug_model_info *info = &look->engine.info;
    const snug_plan *longest = &look->predictions[look->prediction_count - 1].plan;
    const uint32_t short_tokens = snug_model_rope_short_tokens(look->engine.model);
    json_t *root =
        json_pack("{s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "model",
                  cli_shown_json(look->engine.path, strlen(look->engine.path)), "family", info->family,
                  "weight_type", look->types[0].like.type, "parameters", number(info->parameters), "layers",
                  number(info->layer_count), "hidden", number(info->hidden), "mlp", range_json(look->mlps),
                  "heads", range_json(look->heads), "kv_heads", range_json(look->kv_heads), "head_dim",
                  range_json(look->head_dims), "vocabulary", number(info->vocabulary), "context_tokens",
                  number(info->context_tokens), "rope_short_tokens", number(short_tokens));

    json_object_set_new(root, "files", files_json(look));
    json_object_set_new(root, "mapped_bytes", number(info->mapped_bytes));
    json_object_set_new(root, "types", types_json(look));
    json_object_set_new(root, "bits_per_weight", json_real(bits_per_weight(look)));
    json_object_set_new(root, "tokenizer", tokenizer_json(look));
    json_object_set_new(root, "chat_template", template_json(look));
    json_object_set_new(root, "cache", cache_json(look));
    json_object_set_new(root, "predictions", predictions_json(look));
    json_object_set_new(root, "limit_bytes", number(longest->limit_bytes));
    json_object_set_new(root, "limited_by", json_string(longest->limited_by));
    if (look->options.tensors)
        json_object_set_new(root, "tensors", tensors_json(look));
    cli_write_json_ascii(root);
    cli_print("\n");
}

/* --- the way ------------------------------------------------------------------------------------------- */

static void print_all(const inspection *look)
{
    print_model(look);
    print_files(look);
    print_text(look);
    print_cache(look);
    if (look->options.tensors)
        print_tensors(look);
}

cli_exit cli_command_inspect(const cli_options *options)
{
    inspection *look = calloc(1, sizeof *look);
    cli_exit status;

    if (!look)
        return cli_fail(CLI_DOES_NOT_FIT, "the system has no memory left");
    look->options = *options;
    if (options->operand)
        look->options.model = options->operand;
    status = options->operand && options->model
                 ? cli_fail(CLI_USAGE, "inspect takes one model: MODEL or --model, not both")
                 : cli_engine_open(&look->engine, &look->options);
    if (status == CLI_DONE)
        status = predict_all(look);
    if (status == CLI_DONE)
        status = look_at_text(look);
    if (status == CLI_DONE) {
        look_at_layers(look);
        look_at_tensors(look);
        if (options->json)
            print_json(look);
        else
            print_all(look);
    }
    cli_engine_close(&look->engine);
    free(look);
    return status;
}
