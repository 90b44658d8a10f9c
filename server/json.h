/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - what is sent, as text. (What comes is read by base/json.h, which builds nothing.)
 */
#ifndef SNUG_SERVER_JSON_H
#define SNUG_SERVER_JSON_H

#include <jansson.h>

#include "server/heap.h"

/* Append it in one line. False: no memory. */
SNUG_MUST_CHECK bool server_json_write(server_buffer *buffer, const json_t *value);

/* A string of bytes that may be anything: what is not UTF-8 becomes "?". NULL: no memory. */
json_t *server_json_text(const char *text, size_t bytes);

/* Bytes, or null for no limit and not known. */
json_t *server_json_bytes(uint64_t bytes);

#endif /* SNUG_SERVER_JSON_H */
