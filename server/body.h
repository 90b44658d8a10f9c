/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h - small bodies: an object with a few members, each of a kind; what is not known is refused by name.
 */
#ifndef SNUG_SERVER_BODY_H
#define SNUG_SERVER_BODY_H

#include <snug/pressure.h>

#include "base/json.h"
#include "server/heap.h"
#include "server/refusal.h"

/* `names` ends with NULL. The object, or absent with the refusal. An empty body is an empty object. */
snug_json server_body_read(const server_buffer *body, const char *const *names, server_refusal *refusal);

/* A string member of less than `capacity` bytes. False, with the refusal, when it is none; one that is not
 * there is "", and refused if it `must` be. */
bool server_body_text(char *out, size_t capacity, snug_json object, const char *name, bool must,
                      server_refusal *refusal);

/* "strategy"; AUTO when it is not there. */
bool server_body_strategy(snug_strategy *out, snug_json object, server_refusal *refusal);

#endif /* SNUG_SERVER_BODY_H */
