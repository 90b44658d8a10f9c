/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_support.c - see text_support.h.
 */
#define _XOPEN_SOURCE 700

#include "tests/text/text_support.h"

#include <stdio.h>
#include <unistd.h>

#include "memory/memory.h"

static const char *const file_names[] = { "config.json",           "model.safetensors",   "tokenizer.json",
                                          "tokenizer_config.json", "chat_template.jinja", "tokenizer.model" };

void model_folder_create(model_folder *folder)
{
    static const char header[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    static const char config[] = "{\"model_type\":\"llama\",\"bos_token_id\":7,\"eos_token_id\":[8,9]}";
    unsigned char file[8 + sizeof header - 1 + 4] = { sizeof header - 1 };
    const char *base = getenv("TMPDIR");

    snprintf(folder->path, sizeof folder->path, "%.400s/snug-text-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder->path));
    memcpy(file + 8, header, sizeof header - 1);
    model_folder_write(folder, "model.safetensors", file, sizeof file);
    model_folder_write(folder, "config.json", config, sizeof config - 1);
}

void model_folder_write(const model_folder *folder, const char *name, const void *data, size_t bytes)
{
    char path[1024];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

void model_folder_remove(model_folder *folder)
{
    char path[1024];

    for (size_t i = 0; i < SNUG_COUNT(file_names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder->path, file_names[i]);
        (void)remove(path);
    }
    assert_int_equal(rmdir(folder->path), 0);
}

char *file_read(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    char *data;
    long end;

    if (!file)
        return NULL;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    end = ftell(file);
    assert_true(end >= 0);
    rewind(file);
    data = malloc((size_t)end + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)end, file), (size_t)end);
    data[end] = '\0';
    fclose(file);
    *bytes_out = (size_t)end;
    return data;
}

bool shared_has(const char *name)
{
    char path[1024];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", SNUG_SHARED_FOLDER, name);
    file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "skipped: %s is not there\n", path);
        return false;
    }
    fclose(file);
    return true;
}

void opened_text_open(opened_text *opened, const char *path)
{
    snug_error error = { 0 };
    snug_checkpoint *checkpoint = NULL;
    uint64_t bytes = 0;
    uint64_t transient = 0;
    snug_memory_count count;

    assert_int_equal(snug_memory_create(&opened->memory, NULL), SNUG_OK);
    if (snug_text_open(&opened->text, opened->memory, path, &error) != SNUG_OK)
        fail_msg("%s: %s", path, error.text);
    count = snug_memory_read(opened->memory, SNUG_MEMORY_TEXT);
    assert_int_equal(snug_checkpoint_open(&checkpoint, opened->memory, path, &error), SNUG_OK);
    assert_int_equal(snug_text_estimate(&bytes, &transient, checkpoint, &error), SNUG_OK);
    snug_checkpoint_close(checkpoint);
    assert_int_equal(bytes, count.used_bytes);
    assert_true(count.peak_bytes <= bytes + transient);
}

void opened_text_close(opened_text *opened)
{
    snug_text_close(opened->text);
    assert_int_equal(snug_memory_read_all(opened->memory).used_bytes, 0);
    assert_int_equal(snug_memory_read_all(opened->memory).blocks, 0);
    snug_memory_destroy(opened->memory);
}

void check_ids(const opened_text *opened, const char *utf8, size_t bytes, unsigned flags,
               const uint32_t *expected, size_t count)
{
    const uint64_t used = snug_memory_read_all(opened->memory).used_bytes;
    const size_t bound = snug_text_encode_bound(opened->text, bytes);
    uint32_t *ids = malloc((bound + 1) * sizeof *ids);
    snug_error error = { 0 };
    size_t found = 0;

    assert_non_null(ids);
    if (snug_text_encode(opened->text, ids, bound, &found, utf8, bytes, flags, &error) != SNUG_OK)
        fail_msg("\"%.*s\": %s", (int)bytes, utf8, error.text);
    if (found != count || (count > 0 && memcmp(ids, expected, count * sizeof *ids) != 0)) {
        for (size_t i = 0; i < found; i++)
            fprintf(stderr, "%u ", (unsigned)ids[i]);
        fprintf(stderr, "came, expected were\n");
        for (size_t i = 0; i < count; i++)
            fprintf(stderr, "%u ", (unsigned)expected[i]);
        fail_msg("ids of \"%.*s\" (flags %u)", (int)bytes, utf8, flags);
    }
    if (count > 0) {
        assert_int_equal(snug_text_encode(opened->text, ids, count - 1, &found, utf8, bytes, flags, &error),
                         SNUG_ERR_FULL);
    }
    assert_int_equal(snug_memory_read_all(opened->memory).used_bytes, used);
    free(ids);
}

static void check_stream(const opened_text *opened, const uint32_t *ids, size_t count, unsigned flags,
                         const char *expected, size_t bytes)
{
    char *piece = malloc(snug_decoder_bound(opened->text));
    snug_decoder decoder;
    size_t done = 0;

    assert_non_null(piece);
    snug_decoder_init(&decoder, opened->text, flags);
    for (size_t i = 0; i <= count; i++) {
        const size_t length =
            i < count ? snug_decoder_push(&decoder, ids[i], piece) : snug_decoder_finish(&decoder, piece);

        assert_true(length <= snug_decoder_bound(opened->text));
        assert_true(length <= bytes - done);
        if (length > 0)
            assert_memory_equal(piece, expected + done, length);
        done += length;
    }
    assert_int_equal(done, bytes);
    free(piece);
}

void check_decoded(const opened_text *opened, const uint32_t *ids, size_t count, unsigned flags,
                   const char *expected, size_t bytes)
{
    char *out = malloc(bytes + 1);
    size_t found = 0;

    assert_non_null(out);
    assert_int_equal(snug_text_decode(opened->text, out, bytes, &found, ids, count, flags), SNUG_OK);
    if (found != bytes || memcmp(out, expected, bytes) != 0)
        fail_msg("decoded \"%.*s\", expected \"%.*s\"", (int)found, out, (int)bytes, expected);
    if (bytes > 0) {
        assert_int_equal(snug_text_decode(opened->text, out, bytes - 1, &found, ids, count, flags),
                         SNUG_ERR_FULL);
        assert_int_equal(found, bytes);
    }
    check_stream(opened, ids, count, flags, expected, bytes);
    free(out);
}

uint32_t *ids_from_json(const json_t *list, size_t *count_out)
{
    const size_t count = json_array_size(list);
    uint32_t *ids = malloc((count + 1) * sizeof *ids);

    assert_non_null(ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    *count_out = count;
    return ids;
}

void growing_add(growing_text *text, const char *data, size_t bytes)
{
    if (text->bytes + bytes + 1 > text->capacity) {
        text->capacity = 2 * (text->bytes + bytes) + 64;
        text->data = realloc(text->data, text->capacity);
        assert_non_null(text->data);
    }
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = '\0';
}

void growing_print(growing_text *text, const char *format, ...)
{
    char part[4096];
    va_list arguments;
    int bytes;

    va_start(arguments, format);
    bytes = vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    assert_true(bytes >= 0 && (size_t)bytes < sizeof part);
    growing_add(text, part, (size_t)bytes);
}

void growing_add_json(growing_text *text, const char *data, size_t bytes)
{
    growing_add(text, "\"", 1);
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == '"' || data[i] == '\\')
            growing_add(text, "\\", 1);
        if ((unsigned char)data[i] < 0x20)
            growing_print(text, "\\u%04x", (unsigned)(unsigned char)data[i]);
        else
            growing_add(text, &data[i], 1);
    }
    growing_add(text, "\"", 1);
}

char *read_shared(const char *name, const char *suffix, size_t *bytes_out)
{
    char path[1024];
    char *data;

    snprintf(path, sizeof path, "%s/tokenizers/%s%s", SNUG_SHARED_FOLDER, name, suffix);
    data = file_read(path, bytes_out);
    if (!data)
        fail_msg("%s is not there", path);
    return data;
}

static size_t read_line_of_ids(uint32_t *ids, size_t capacity, const char **line)
{
    size_t count = 0;

    while (**line != '\n' && **line != '\0') {
        char *end;
        const unsigned long id = strtoul(*line, &end, 10);

        if (end == *line) {
            (*line)++;
            continue;
        }
        assert_true(count < capacity);
        ids[count++] = (uint32_t)id;
        *line = end;
    }
    *line += **line == '\n';
    return count;
}

void check_published(const opened_text *opened, const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    uint32_t ids[1024];
    size_t bytes;
    size_t lines_bytes;
    char *texts = read_shared(name, ".inp", &bytes);
    char *lines = read_shared(name, ".out", &lines_bytes);
    const char *line = lines;
    const char *next;
    size_t checked = 0;

    for (const char *text = texts; text; text = next) {
        const char *end = strstr(text, separator);
        const size_t length = end ? (size_t)(end - text) : strlen(text);
        const size_t count = read_line_of_ids(ids, SNUG_COUNT(ids), &line);

        check_ids(opened, text, length, SNUG_ENCODE_NO_PARSE_SPECIAL, ids, count);
        check_decoded(opened, ids, count, 0, text, length);
        next = end ? end + strlen(separator) : NULL;
        checked++;
    }
    assert_int_equal(checked, 47);
    free(texts);
    free(lines);
}
