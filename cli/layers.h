/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.h - cache formats by name, and layers whose format is their own: LAYERS=FORMAT, as "0-1=8/8",
 * "12=f16", "20-27=affine:4/3:64".
 */
#ifndef SNUG_CLI_LAYERS_H
#define SNUG_CLI_LAYERS_H

#include "cli/engine.h"

/* Keys and values of a layer. */
typedef struct cli_codings {
    snug_kv_coding key;
    snug_kv_coding value;
} cli_codings;

/* 16 bits are f16; the group is affine's. */
cli_codings cli_layers_codings(snug_kv_format format, uint32_t key_bits, uint32_t value_bits, uint32_t group);

/*
 * A format by name: "f16", "f32", "planes:8/4", "affine:4", "affine:4/4:32"; or bits alone, "8/4", of the
 * format and group that `usual` has (NULL: bits alone are no format). False when it is none.
 */
bool cli_layers_parse_format(cli_codings *out, const char *name, const snug_kv_coding *usual);

/*
 * Layers of a list, which `separator` divides, into the config. `option` is what they were given with.
 * Whether the model has such layers is not known here.
 */
cli_exit cli_layers_read(snug_kv_config *config, const char *list, char separator,
                         const snug_kv_coding *usual, const char *option);

/* "0-1=8/8,12=f16", as --kv-layers takes it; "" where no layer is different. */
typedef struct cli_layers_text {
    char text[120]; /* ends with "..." where that is not enough */
} cli_layers_text;

cli_layers_text cli_layers_in_words(const snug_kv_config *config);

/* The same as data: null where no layer is different. */
json_t *cli_layers_json(const snug_kv_config *config);

/* What layers hold now, a line for each run of layers that hold the same. */
void cli_layers_report(const snug_kv *kv);

#endif /* SNUG_CLI_LAYERS_H */
