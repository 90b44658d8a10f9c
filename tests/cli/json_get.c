/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_get.c - reads one value out of a JSON file, for the shell tests.
 *
 *   json_get FILE KEY.KEY.0.KEY    prints a string as it is, a number, true, false or null, or "[N]" and
 *                                  "{N}" with the number of elements; fails when the value is not there
 *
 * The file must hold exactly one JSON value and nothing after it. "-" is standard input, "" the whole value.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_value(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        (void)fwrite(json_string_value(value), 1, json_string_length(value), stdout);
        break;
    case JSON_ARRAY:
        printf("[%zu]", json_array_size(value));
        break;
    case JSON_OBJECT:
        printf("{%zu}", json_object_size(value));
        break;
    default:
        (void)json_dumpf(value, stdout, JSON_ENCODE_ANY);
    }
    printf("\n");
}

static const json_t *member(const json_t *value, const char *key)
{
    if (json_is_array(value))
        return json_array_get(value, strtoul(key, NULL, 10));
    return json_object_get(value, key);
}

int main(int count, char **words)
{
    json_error_t error;
    json_t *root;
    const json_t *value;

    if (count != 3)
        return 2;
    root = strcmp(words[1], "-") == 0 ? json_loadf(stdin, JSON_DECODE_ANY, &error)
                                      : json_load_file(words[1], JSON_DECODE_ANY, &error);
    if (!root) {
        fprintf(stderr, "json_get: %s: %s\n", words[1], error.text);
        return 1;
    }
    value = root;
    for (char *key = words[2]; value && *key;) {
        char *dot = strchr(key, '.');

        if (dot)
            *dot = '\0';
        value = member(value, key);
        key = dot ? dot + 1 : key + strlen(key);
    }
    if (value)
        print_value(value);
    json_decref(root);
    return value ? 0 : 1;
}
