/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_name.c - see the header.
 */
#include "cli/hub_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static bool copy(char *out, size_t capacity, const char *text, size_t bytes)
{
    if (bytes >= capacity)
        return false;
    memcpy(out, text, bytes);
    out[bytes] = '\0';
    return true;
}

cli_exit cli_hub_name_read(cli_hub_name *out, const cli_catalog *catalog, const char *text)
{
    snug_catalog_source source = { .struct_size = sizeof source };
    const char *colon = strchr(text, ':');
    const size_t bytes = colon ? (size_t)(colon - text) : strlen(text);
    size_t model, index;

    *out = (cli_hub_name){ .file = "" };
    if (snug_catalog_find(&model, &index, catalog->catalog, text)) {
        snug_catalog_read_source(&source, catalog->catalog, model, index);
        if (!source.repository[0])
            return cli_fail(CLI_USAGE, "%s comes with the tool", text);
        (void)copy(out->repository, sizeof out->repository, source.repository, strlen(source.repository));
        (void)copy(out->file, sizeof out->file, source.file, strlen(source.file));
        return CLI_DONE;
    }
    if (!memchr(text, '/', bytes) || !copy(out->repository, sizeof out->repository, text, bytes) ||
        (colon && !copy(out->file, sizeof out->file, colon + 1, strlen(colon + 1))))
        return cli_fail(CLI_USAGE,
                        "\"%.200s\" is not in the catalogue (llm-tool models lists it), and not ORG/NAME",
                        text);
    return CLI_DONE;
}

const char *cli_hub_endpoint(void)
{
    const char *endpoint = getenv("HF_ENDPOINT");

    return endpoint && *endpoint ? endpoint : NULL;
}

const char *cli_hub_token(char *out, size_t capacity)
{
    const char *token = getenv("HF_TOKEN");
    const char *home = getenv("HF_HOME");
    const char *user = getenv("HOME");
    char path[1024];
    FILE *file;

    if (token && *token)
        return token;
    if (home && *home)
        snprintf(path, sizeof path, "%s/token", home);
    else
        snprintf(path, sizeof path, "%s/.cache/huggingface/token", user ? user : "");
    file = fopen(path, "r");
    if (!file)
        return NULL;
    if (!fgets(out, (int)capacity, file))
        out[0] = '\0';
    (void)fclose(file);
    out[strcspn(out, "\r\n")] = '\0';
    return out[0] ? out : NULL;
}

const char *cli_hub_certificates(void)
{
    static const char *const names[] = { "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE" };

    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        const char *path = getenv(names[i]);

        if (path && *path)
            return path;
    }
    return NULL;
}
