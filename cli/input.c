/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.c - see the header.
 */
#include "cli/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "cli/value.h"

bool cli_buffer_add(cli_buffer *buffer, const char *bytes, size_t count)
{
    if (count >= buffer->capacity - buffer->bytes || !buffer->data) {
        const size_t capacity = (buffer->bytes + count + 64) * 2;
        char *data = capacity > count ? realloc(buffer->data, capacity) : NULL;

        if (!data)
            return false;
        buffer->data = data;
        buffer->capacity = capacity;
    }
    if (count > 0)
        memcpy(buffer->data + buffer->bytes, bytes, count);
    buffer->bytes += count;
    buffer->data[buffer->bytes] = '\0';
    return true;
}

void cli_buffer_free(cli_buffer *buffer)
{
    free(buffer->data);
    *buffer = (cli_buffer){ 0 };
}

static snug_status no_memory(snug_error *error, const char *what)
{
    SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left for %s", what);
}

snug_status cli_ids_alloc(cli_ids *ids, size_t capacity, snug_error *error)
{
    *ids = (cli_ids){ 0 };
    if (capacity >= SIZE_MAX / sizeof *ids->id)
        return no_memory(error, "the token ids");
    ids->id = calloc(capacity + 1, sizeof *ids->id);
    return ids->id ? SNUG_OK : no_memory(error, "the token ids");
}

void cli_ids_free(cli_ids *ids)
{
    free(ids->id);
    *ids = (cli_ids){ 0 };
}

static snug_status read_stream(cli_buffer *out, FILE *file, const char *name, snug_error *error)
{
    char block[4096];
    size_t bytes;

    if (!cli_buffer_add(out, "", 0))
        return no_memory(error, name);
    while ((bytes = fread(block, 1, sizeof block, file)) > 0)
        if (!cli_buffer_add(out, block, bytes))
            return no_memory(error, name);
    if (ferror(file))
        SNUG_FAIL(error, errno == EINTR ? SNUG_ERR_CANCELLED : SNUG_ERR_IO, "cannot read %.300s: %s", name,
                  strerror(errno));
    return SNUG_OK;
}

snug_status cli_read_file(cli_buffer *out, const char *path, snug_error *error)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    snug_status status;

    *out = (cli_buffer){ 0 };
    if (!file)
        SNUG_FAIL(error, SNUG_ERR_IO, "cannot open %.300s: %s", path, strerror(errno));
    status = read_stream(out, file, is_stdin ? "standard input" : path, error);
    if (!is_stdin)
        (void)fclose(file);
    if (status != SNUG_OK)
        cli_buffer_free(out);
    return status;
}

size_t cli_utf8_valid_bytes(snug_str text)
{
    size_t at = 0;

    while (at < text.bytes) {
        const size_t bytes = snug_utf8_sequence_bytes(text.data + at, text.data + text.bytes);

        if (bytes == 0)
            break;
        at += bytes;
    }
    return at;
}

snug_status cli_read_text(cli_buffer *out, const char *argument, const char *name, snug_error *error)
{
    const bool is_file = argument[0] == '@';
    size_t valid;

    *out = (cli_buffer){ 0 };
    if (is_file || strcmp(argument, "-") == 0)
        SNUG_TRY(cli_read_file(out, is_file ? argument + 1 : argument, error));
    else if (!cli_buffer_add(out, argument, strlen(argument)))
        return no_memory(error, name);
    valid = cli_utf8_valid_bytes((snug_str){ out->data, out->bytes });
    if (valid == out->bytes)
        return SNUG_OK;
    snug_fail(error, SNUG_ERR_ARGUMENT,
              "%s is not valid UTF-8: the byte 0x%02x at position %zu is wrong (0 is the first)", name,
              (unsigned)(unsigned char)out->data[valid], valid);
    cli_buffer_free(out);
    return SNUG_ERR_ARGUMENT;
}

snug_status cli_ids_from_json(cli_ids *out, snug_json array, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(array);
    snug_json value;

    *out = (cli_ids){ 0 };
    if (snug_json_kind_of(array) != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "expected a JSON array of token ids, not %s",
                  snug_json_kind_name(snug_json_kind_of(array)));
    SNUG_TRY(cli_ids_alloc(out, snug_json_count(array), error));
    while (snug_json_next(&iterator, NULL, &value)) {
        uint64_t id;

        if (!snug_json_u64(&id, value) || id > UINT32_MAX) {
            const snug_str text = snug_json_text(value);

            snug_fail(error, SNUG_ERR_CORRUPT, "element %zu is not a token id: %.*s", out->count,
                      text.bytes < 40 ? (int)text.bytes : 40, text.data);
            cli_ids_free(out);
            return SNUG_ERR_CORRUPT;
        }
        out->id[out->count++] = (uint32_t)id;
    }
    return SNUG_OK;
}

snug_status cli_read_json(cli_buffer *buffer_out, snug_json *root_out, const char *path, snug_error *error)
{
    snug_status status;

    SNUG_TRY(cli_read_file(buffer_out, path, error));
    status = snug_json_check(root_out, (snug_str){ buffer_out->data, buffer_out->bytes }, error);
    if (status == SNUG_OK)
        return SNUG_OK;
    cli_buffer_free(buffer_out);
    return snug_fail_prefix(error, status, path);
}

snug_status cli_read_ids(cli_ids *out, const char *path, snug_error *error)
{
    cli_buffer buffer;
    snug_json root;
    snug_status status;

    *out = (cli_ids){ 0 };
    SNUG_TRY(cli_read_json(&buffer, &root, path, error));
    status = cli_ids_from_json(out, root, error);
    cli_buffer_free(&buffer);
    return status == SNUG_OK ? SNUG_OK : snug_fail_prefix(error, status, path);
}

/* Numbers between spaces and commas. */
static snug_status ids_from_words(cli_ids *out, snug_str text, snug_error *error)
{
    size_t at = 0;

    SNUG_TRY(cli_ids_alloc(out, text.bytes / 2 + 1, error));
    while (at < text.bytes) {
        char word[24];
        size_t bytes = 0;
        uint64_t id;

        while (at < text.bytes && strchr(" ,\t\r\n", text.data[at]))
            at++;
        while (at + bytes < text.bytes && !strchr(" ,\t\r\n", text.data[at + bytes]))
            bytes++;
        if (bytes == 0)
            break;
        snprintf(word, sizeof word, "%.*s", bytes < sizeof word ? (int)bytes : (int)sizeof word - 1,
                 text.data + at);
        if (bytes >= sizeof word || !cli_value_count(&id, word) || id > UINT32_MAX) {
            cli_ids_free(out);
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                      "\"%s\" is not a token id: expected numbers such as 17 0 4095", word);
        }
        out->id[out->count++] = (uint32_t)id;
        at += bytes;
    }
    return SNUG_OK;
}

snug_status cli_ids_from_text(cli_ids *out, snug_str text, snug_error *error)
{
    snug_json root;

    *out = (cli_ids){ 0 };
    if (text.bytes == 0 || text.data[strspn(text.data, " \t\r\n")] != '[')
        return ids_from_words(out, text, error);
    if (snug_json_check(&root, text, error) != SNUG_OK || cli_ids_from_json(out, root, error) != SNUG_OK)
        return snug_fail_prefix(error, SNUG_ERR_ARGUMENT, "the ids");
    return SNUG_OK;
}

bool cli_buffer_add_json_string(cli_buffer *buffer, snug_json string)
{
    const snug_str raw = snug_json_string(string);
    const size_t before = buffer->bytes;
    char *start;

    /* The text is never longer than its escaped form: make room by adding that, then write over it. */
    if (!cli_buffer_add(buffer, raw.data ? raw.data : "", raw.bytes))
        return false;
    start = buffer->data + before;
    buffer->bytes = before + snug_json_unescape(start, raw);
    buffer->data[buffer->bytes] = '\0';
    return true;
}
