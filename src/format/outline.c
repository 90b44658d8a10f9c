/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outline.c - see outline.h. While a family binds itself, tensors are noted down as they are asked for; at
 * the end they become the table that a checkpoint of files would have, of the same size in the ledger.
 */
#include "format/outline.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/checkpoint_private.h"
#include "format/tensor.h"
#include "memory/memory.h"

#define NAME_BYTES 128

typedef struct outline_note {
    snug_tensor tensor; /* its name is beside it */
    char name[NAME_BYTES];
} outline_note;

struct checkpoint_outline {
    snug_outline_scheme scheme;
    uint32_t layer_count;
    bool is_tied;
    outline_note *notes;
    size_t count;
    size_t capacity;
    void *zeros;
    uint64_t zero_bytes;
    snug_tensor last; /* the tensor handed out */
};

/* --- opening -------------------------------------------------------------------------------------------- */

/* One block: the struct, its name (which stands for the path and for that of config.json), the text. */
static snug_status create(snug_checkpoint **checkpoint_out, snug_memory *memory, const char *name,
                          snug_str config, snug_error *error)
{
    const size_t name_room = strlen(name) + 1;
    const uint64_t bytes = sizeof **checkpoint_out + 2 * name_room + config.bytes + 1;
    snug_checkpoint *checkpoint;
    snug_status status;
    char *text;

    checkpoint = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, bytes, "the outline of a model", error);
    if (!checkpoint)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    checkpoint->memory = memory;
    checkpoint->struct_bytes = bytes;
    checkpoint->is_outline = true;
    checkpoint->path = (char *)(checkpoint + 1);
    checkpoint->config_path = checkpoint->path;
    checkpoint->folder = checkpoint->path + name_room;
    memcpy(checkpoint->path, name, name_room);
    text = checkpoint->folder + name_room;
    memcpy(text, config.data, config.bytes);
    text[config.bytes] = '\n';
    *checkpoint_out = checkpoint;
    status = snug_json_check(&checkpoint->json[SNUG_FILE_CONFIG].root, (snug_str){ text, config.bytes + 1 },
                             error);
    return status == SNUG_OK ? SNUG_OK : snug_fail_prefix(error, status, name);
}

/* What the recipe of types depends on. Absent keys keep what they are; the family says if it needs them. */
static void read_config(checkpoint_outline *outline, const snug_checkpoint *checkpoint)
{
    static const char *const layers[] = { "num_hidden_layers", "num_transformer_layers",
                                          "text_config.num_hidden_layers" };
    const snug_json head = snug_checkpoint_config(checkpoint, "tie_word_embeddings");
    uint64_t count = 0;

    for (size_t i = 0; i < SNUG_COUNT(layers); i++)
        (void)snug_json_u64(&count, snug_checkpoint_config(checkpoint, layers[i]));
    outline->layer_count = (uint32_t)snug_min_size(count, UINT32_MAX / 8);
    outline->is_tied = true;
    (void)snug_json_bool(&outline->is_tied, head);
}

static snug_status open_parts(snug_checkpoint *checkpoint, const char *weights, snug_error *error)
{
    checkpoint_outline *outline;

    SNUG_TRY(snug_checkpoint_read_model_type(checkpoint, error));
    outline = snug_memory_alloc(checkpoint->memory, SNUG_MEMORY_OTHER, sizeof *outline,
                                "the outline's tensors", error);
    if (!outline)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    checkpoint->outline = outline;
    read_config(outline, checkpoint);
    return snug_outline_scheme_read(&outline->scheme, weights, error);
}

snug_status snug_checkpoint_outline(snug_checkpoint **checkpoint_out, snug_memory *memory, const char *name,
                                    snug_str config, const char *weights, snug_error *error)
{
    snug_checkpoint *checkpoint = NULL;
    snug_status status;

    *checkpoint_out = NULL;
    status = create(&checkpoint, memory, name, config, error);
    if (status == SNUG_OK)
        status = open_parts(checkpoint, weights, error);
    if (status != SNUG_OK) {
        snug_checkpoint_close(checkpoint);
        return status;
    }
    *checkpoint_out = checkpoint;
    return SNUG_OK;
}

bool snug_checkpoint_is_outline(const snug_checkpoint *checkpoint)
{
    return checkpoint->is_outline;
}

/* --- while a family binds itself ------------------------------------------------------------------------ */

static snug_status grow(checkpoint_outline *outline, const snug_checkpoint *checkpoint, snug_error *error)
{
    const size_t capacity = outline->capacity ? 2 * outline->capacity : 256;
    outline_note *notes = snug_memory_alloc(checkpoint->memory, SNUG_MEMORY_OTHER, capacity * sizeof *notes,
                                            "the outline's tensors", error);

    if (!notes)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    if (outline->count)
        memcpy(notes, outline->notes, outline->count * sizeof *notes);
    snug_memory_free(checkpoint->memory, outline->notes);
    outline->notes = notes;
    outline->capacity = capacity;
    return SNUG_OK;
}

/* `module` is the name without its last part where `part` takes the place of it, else the whole name. */
static snug_status note(const snug_checkpoint *checkpoint, const char *module, size_t module_bytes,
                        const char *part, const snug_tensor *tensor, snug_error *error)
{
    checkpoint_outline *outline = checkpoint->outline;
    outline_note *added;

    if (outline->count == outline->capacity)
        SNUG_TRY(grow(outline, checkpoint, error));
    added = &outline->notes[outline->count];
    added->tensor = *tensor;
    if (snprintf(added->name, NAME_BYTES, "%.*s%s", (int)module_bytes, module, part) >= NAME_BYTES)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%.300s: the name of tensor %.100s is too long",
                  checkpoint->path, module);
    outline->count++;
    return SNUG_OK;
}

static snug_tensor shaped(snug_type type, const char *type_name, uint64_t rows, uint64_t columns,
                          uint64_t bytes)
{
    return (snug_tensor){
        .type = type,
        .type_name = snug_str_from(type_name),
        .rank = 2,
        .shape = { rows, columns },
        .bytes = bytes,
    };
}

/* A module that MLX quantized is three tensors. */
static snug_status note_affine(const snug_checkpoint *checkpoint, const char *name, const snug_weight *weight,
                               snug_error *error)
{
    const size_t module_bytes = strlen(name) - strlen("weight");
    const snug_tensor packed = shaped(SNUG_TYPE_NONE, "U32", weight->rows, weight->row_bytes / 4,
                                      (uint64_t)weight->rows * weight->row_bytes);
    const snug_tensor side = shaped(SNUG_TYPE_BF16, "BF16", weight->rows, weight->columns / weight->group,
                                    (uint64_t)weight->rows * snug_weight_scale_row_bytes(weight));

    SNUG_TRY(note(checkpoint, name, module_bytes, "weight", &packed, error));
    SNUG_TRY(note(checkpoint, name, module_bytes, "scales", &side, error));
    return note(checkpoint, name, module_bytes, "biases", &side, error);
}

/* MLX: what config.json says of this module alone. */
static snug_status apply_own_settings(snug_type *type, uint32_t *group, const snug_checkpoint *checkpoint,
                                      const char *name, uint32_t columns, snug_error *error)
{
    char module[NAME_BYTES];
    const char *end = strrchr(name, '.');
    const int bytes = end ? snprintf(module, sizeof module, "%.*s", (int)(end - name), name) : -1;
    snug_json own;
    uint64_t bits = 0, own_group = 0;

    if (bytes < 0 || bytes >= (int)sizeof module)
        return SNUG_OK;
    own = snug_checkpoint_quantization(checkpoint, module);
    if (snug_json_kind_of(own) == SNUG_JSON_FALSE) {
        *type = SNUG_TYPE_BF16;
        *group = 0;
    }
    if (snug_json_kind_of(own) != SNUG_JSON_OBJECT)
        return SNUG_OK;
    if (!snug_json_u64(&bits, snug_json_get(own, "bits")) || snug_affine_type(bits) == SNUG_TYPE_NONE ||
        !snug_json_u64(&own_group, snug_json_get(own, "group_size")) ||
        (own_group != 32 && own_group != 64 && own_group != 128) || columns % own_group != 0)
        SNUG_FAIL(
            error, SNUG_ERR_CORRUPT,
            "%.300s: the quantization of %.100s needs bits of 2 to 6 or 8 and a group_size of 32, 64 or 128 "
            "that divides %u",
            checkpoint->path, module, columns);
    *type = snug_affine_type(bits);
    *group = (uint32_t)own_group;
    return SNUG_OK;
}

snug_status snug_outline_weight(snug_weight *weight_out, const snug_checkpoint *checkpoint, const char *name,
                                uint32_t rows, uint32_t columns, snug_error *error)
{
    const checkpoint_outline *outline = checkpoint->outline;
    uint32_t group;
    snug_type type = snug_outline_matrix_type(&group, &outline->scheme, name, columns, outline->layer_count,
                                              outline->is_tied);
    snug_tensor tensor;

    if (outline->scheme.mix == SNUG_OUTLINE_AFFINE)
        SNUG_TRY(apply_own_settings(&type, &group, checkpoint, name, columns, error));
    *weight_out = (snug_weight){
        .type = type,
        .rows = rows,
        .columns = columns,
        .row_bytes = snug_type_row_bytes(type, columns),
        .scale_type = group ? SNUG_TYPE_BF16 : SNUG_TYPE_NONE,
        .group = group,
    };
    if (group)
        return note_affine(checkpoint, name, weight_out, error);
    tensor = shaped(type, snug_type_layout_of(type)->name, rows, columns, snug_weight_bytes(weight_out));
    return note(checkpoint, name, strlen(name), "", &tensor, error);
}

snug_status snug_outline_tensor(const snug_tensor **tensor_out, const snug_checkpoint *checkpoint,
                                const char *name, const snug_tensor *wanted, snug_error *error)
{
    checkpoint_outline *outline = checkpoint->outline;
    snug_tensor *tensor = &outline->last;
    uint64_t values = 1;

    *tensor = *wanted;
    tensor->type = snug_outline_vector_type(&outline->scheme);
    tensor->type_name = snug_str_from(snug_type_layout_of(tensor->type)->name);
    for (uint32_t i = 0; i < wanted->rank; i++)
        values *= wanted->shape[i]; /* dimensions that a family has checked: far from 2^32 */
    tensor->bytes = values * snug_type_layout_of(tensor->type)->block_bytes;
    if (tensor->bytes > outline->zero_bytes) {
        snug_memory_free(checkpoint->memory, outline->zeros);
        outline->zero_bytes = tensor->bytes;
        outline->zeros =
            snug_memory_alloc(checkpoint->memory, SNUG_MEMORY_OTHER, tensor->bytes, "an outline", error);
        if (!outline->zeros)
            return error ? error->status : SNUG_ERR_NO_MEMORY;
    }
    tensor->data = outline->zeros;
    SNUG_TRY(note(checkpoint, name, strlen(name), "", tensor, error));
    *tensor_out = tensor;
    return SNUG_OK;
}

const snug_tensor *snug_outline_any(const snug_checkpoint *checkpoint)
{
    return &checkpoint->outline->last;
}

/* --- the end -------------------------------------------------------------------------------------------- */

/* Some tensors are asked for twice: their second note goes. */
static uint64_t drop_repeated(checkpoint_outline *outline)
{
    uint64_t name_bytes = 0;
    size_t kept = 0;

    for (size_t i = 0; i < outline->count; i++) {
        outline_note *last = kept ? &outline->notes[kept - 1] : NULL;

        if (last && strcmp(last->name, outline->notes[i].name) == 0)
            continue;
        if (kept != i)
            outline->notes[kept] = outline->notes[i];
        name_bytes += strlen(outline->notes[kept].name);
        kept++;
    }
    outline->count = kept;
    return name_bytes;
}

/* Shell sort: in place, and a few hundred notes nearly in order. */
static void sort_notes(checkpoint_outline *outline)
{
    for (size_t gap = outline->count / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < outline->count; i++) {
            const outline_note moved = outline->notes[i];
            size_t at = i;

            for (; at >= gap && strcmp(outline->notes[at - gap].name, moved.name) > 0; at -= gap)
                outline->notes[at] = outline->notes[at - gap];
            outline->notes[at] = moved;
        }
}

void snug_outline_free(snug_checkpoint *checkpoint)
{
    if (!checkpoint->outline)
        return;
    snug_memory_free(checkpoint->memory, checkpoint->outline->zeros);
    snug_memory_free(checkpoint->memory, checkpoint->outline->notes);
    snug_memory_free(checkpoint->memory, checkpoint->outline);
    checkpoint->outline = NULL;
}

snug_status snug_checkpoint_outline_end(snug_checkpoint *checkpoint, snug_error *error)
{
    checkpoint_outline *outline = checkpoint->outline;
    uint64_t name_bytes;
    char *names;

    sort_notes(outline);
    name_bytes = drop_repeated(outline);
    SNUG_TRY(snug_checkpoint_allocate_table(checkpoint, outline->count, name_bytes, error));
    names = (char *)(checkpoint->tensors + outline->count);
    for (size_t i = 0; i < outline->count; i++) {
        snug_tensor *tensor = &checkpoint->tensors[i];
        const size_t bytes = strlen(outline->notes[i].name);

        *tensor = outline->notes[i].tensor;
        tensor->data = NULL;
        tensor->name = (snug_str){ names, bytes };
        memcpy(names, outline->notes[i].name, bytes);
        names += bytes;
        checkpoint->outline_bytes += tensor->bytes;
    }
    checkpoint->tensor_count = outline->count;
    snug_outline_free(checkpoint);
    return snug_checkpoint_sort_table(checkpoint, error);
}
