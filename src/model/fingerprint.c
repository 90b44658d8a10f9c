/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fingerprint.c - which model this is, from what makes one: configuration, names and shapes of tensors, and
 * some bytes of each. Reads a few pages of the files, not gigabytes of weights.
 */
#include "base/checksum.h"
#include "base/size.h"
#include "model/model.h"

#define SAMPLE_BYTES 256

static void add_text(snug_checksum *sum, snug_str text)
{
    const uint64_t bytes = text.bytes;

    snug_checksum_add(sum, &bytes, sizeof bytes);
    snug_checksum_add(sum, text.data, text.bytes);
}

/* A fine-tuned model differs in every matrix: its beginning and its middle tell. */
static void add_tensor(snug_checksum *sum, const snug_tensor *tensor)
{
    const unsigned char *data = tensor->data;
    const size_t bytes = (size_t)snug_min_size((size_t)tensor->bytes, SAMPLE_BYTES);

    add_text(sum, tensor->name);
    add_text(sum, tensor->type_name);
    snug_checksum_add(sum, tensor->shape, tensor->rank * sizeof tensor->shape[0]);
    snug_checksum_add(sum, data, bytes);
    snug_checksum_add(sum, data + (tensor->bytes - bytes) / 2, bytes);
}

uint64_t snug_model_fingerprint(const snug_model *model)
{
    const snug_checkpoint *checkpoint = model->checkpoint;
    snug_checksum sum = snug_checksum_begin();

    add_text(&sum, snug_json_text(snug_checkpoint_config(checkpoint, "")));
    for (size_t i = 0; i < snug_checkpoint_tensor_count(checkpoint); i++)
        add_tensor(&sum, snug_checkpoint_tensor(checkpoint, i));
    return snug_checksum_end(&sum);
}
