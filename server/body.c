/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c - see the header.
 */
#include "server/body.h"

#include <string.h>

static bool is_listed(snug_str key, const char *const *names)
{
    for (; *names; names++)
        if (snug_json_raw_is(key, *names))
            return true;
    return false;
}

snug_json server_body_read(const server_buffer *body, const char *const *names, server_refusal *refusal)
{
    static const char empty[] = "{}";
    const snug_str text = body->bytes > 0 ? (snug_str){ body->data, body->bytes } : (snug_str){ empty, 2 };
    snug_error error = { SNUG_OK, "" };
    snug_json root, value;
    snug_json_iterator each;
    snug_str key;

    if (snug_json_check(&root, text, &error) != SNUG_OK || snug_json_kind_of(root) != SNUG_JSON_OBJECT) {
        (void)server_refuse(refusal, 400, "invalid_json", NULL, "the body is to be a JSON object%s%.300s",
                            error.text[0] ? ": " : "", error.text);
        return (snug_json){ NULL };
    }
    each = snug_json_iterate(root);
    while (snug_json_next(&each, &key, &value))
        if (!is_listed(key, names)) {
            (void)server_refuse(refusal, 400, "unsupported_parameter", NULL,
                                "\"%.*s\" is not a parameter here: leave it out",
                                (int)(key.bytes < 60 ? key.bytes : 60), key.data);
            return (snug_json){ NULL };
        }
    return root;
}

bool server_body_text(char *out, size_t capacity, snug_json object, const char *name, bool must,
                      server_refusal *refusal)
{
    const snug_json value = snug_json_get(object, name);
    const snug_json_kind kind = snug_json_kind_of(value);
    const snug_str raw = snug_json_string(value);

    out[0] = '\0';
    if (!must && (kind == SNUG_JSON_ABSENT || kind == SNUG_JSON_NULL))
        return true;
    if (kind != SNUG_JSON_STRING || raw.bytes >= capacity)
        return server_refuse(refusal, 400,
                             kind == SNUG_JSON_ABSENT ? "missing_required_parameter" : "invalid_value", name,
                             "\"%s\" takes a string of less than %zu bytes", name, capacity);
    out[snug_json_unescape(out, raw)] = '\0';
    return true;
}

bool server_body_strategy(snug_strategy *out, snug_json object, server_refusal *refusal)
{
    char name[16];

    *out = SNUG_STRATEGY_AUTO;
    if (!server_body_text(name, sizeof name, object, "strategy", false, refusal))
        return false;
    if (name[0] && (!snug_strategy_parse(out, name) || *out == SNUG_STRATEGY_AUTO))
        return server_refuse(refusal, 400, "invalid_value", "strategy",
                             "\"strategy\" takes conservative, balanced or aggressive");
    return true;
}
