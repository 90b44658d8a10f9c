/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stops.h - stop strings in a text that comes in pieces: what may still become one is held back, so that no
 * part of it is ever sent.
 */
#ifndef SNUG_SERVER_STOPS_H
#define SNUG_SERVER_STOPS_H

#include "server/request.h"

typedef struct server_stops {
    const char *const *stop;
    size_t count;
    size_t held_bytes;
    bool is_met;                          /* one came: the text ends before it */
    char held[SERVER_STOP_BYTES_MAX + 8]; /* a stop string but for its end, and a character */
} server_stops;

/* Where pieces of the text go that can be sent. False stops. */
typedef bool (*server_text_fn)(void *user, const char *text, size_t bytes);

/* More text. False: a stop string came, or `send` said so. */
bool server_stops_push(server_stops *stops, const char *text, size_t bytes, server_text_fn send, void *user);
/* There is no more: what was held back is text. */
bool server_stops_finish(server_stops *stops, server_text_fn send, void *user);

#endif /* SNUG_SERVER_STOPS_H */
