/* SPDX-License-Identifier: Apache-2.0 */
/*
 * families.c - the table of model families: one row each. Nothing else in the library lists them.
 */
#include "model/families/families.h"

#include <stdio.h>
#include <string.h>

static const snug_family *const families[] = {
    &snug_family_llama,  &snug_family_qwen3,   &snug_family_smollm3, &snug_family_phi3,
    &snug_family_gemma3, &snug_family_openelm, &snug_family_gemma3n, &snug_family_gemma3n_text,
};

const snug_family *snug_family_find(snug_str model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (snug_str_is(model_type, families[i]->model_type))
            return families[i];
    return NULL;
}

void snug_family_names(char *out, size_t capacity)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof families / sizeof families[0] && used < capacity; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", i ? ", " : "", families[i]->model_type);
}
