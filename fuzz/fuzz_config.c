/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_config.c - any bytes as config.json beside the sound weights of tests/fixtures/tiny-qwen3: the model
 * opens or is refused with a sentence, and the ledger is at zero afterwards.
 */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <snug/snug.h>

#include "base/status.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

#define SOUND SNUG_SOURCE_FOLDER "/tests/fixtures/tiny-qwen3"

static char folder[] = "/tmp/snug-fuzz-config-XXXXXX";

static void path_of(char out[512], const char *name)
{
    snprintf(out, 512, "%s/%s", folder, name);
}

static void remove_folder(void)
{
    static const char *const names[] = { "config.json", "model.safetensors" };
    char path[512];

    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        path_of(path, names[i]);
        (void)remove(path);
    }
    (void)remove(folder);
}

static void make_folder(void)
{
    char path[512];

    SNUG_ASSERT(mkdtemp(folder) != NULL);
    path_of(path, "model.safetensors");
    SNUG_ASSERT(symlink(SOUND "/model.safetensors", path) == 0);
    (void)atexit(remove_folder);
}

static void write_config(const unsigned char *data, size_t bytes)
{
    char path[512];
    FILE *file;

    path_of(path, "config.json");
    file = fopen(path, "wb");
    SNUG_ASSERT(file != NULL);
    SNUG_ASSERT(fwrite(data, 1, bytes, file) == bytes);
    SNUG_ASSERT(fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    static bool is_ready;
    snug_error error = { SNUG_OK, "" };
    snug_model *model;
    snug_memory *memory;

    if (!is_ready)
        make_folder();
    is_ready = true;
    write_config(data, bytes);
    SNUG_ASSERT(snug_memory_create(&memory, NULL) == SNUG_OK);
    if (snug_model_open(&model, memory, folder, NULL, &error) == SNUG_OK)
        snug_model_close(model);
    else
        SNUG_ASSERT(error.text[0] != '\0');
    snug_memory_destroy(memory); /* asserts that nothing is left in it */
    return 0;
}
