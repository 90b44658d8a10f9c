/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stops.c - see the header. A byte at a time: pieces are a few bytes, stop strings at most four.
 */
#include "server/stops.h"

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"

/* Whether what is held ends with the whole stop string. */
static bool ends_with(const server_stops *stops, const char *stop)
{
    const size_t bytes = strlen(stop);

    return bytes <= stops->held_bytes && memcmp(stops->held + stops->held_bytes - bytes, stop, bytes) == 0;
}

/* Whether what is held from `from` on may be the beginning of a stop string. */
static bool may_begin(const server_stops *stops, size_t from)
{
    const size_t bytes = stops->held_bytes - from;

    for (size_t i = 0; i < stops->count; i++)
        if (strlen(stops->stop[i]) > bytes && memcmp(stops->held + from, stops->stop[i], bytes) == 0)
            return true;
    return false;
}

static bool let_go(server_stops *stops, size_t bytes, server_text_fn send, void *user)
{
    const bool goes_on = bytes == 0 || send(user, stops->held, bytes);

    stops->held_bytes -= bytes;
    memmove(stops->held, stops->held + bytes, stops->held_bytes);
    return goes_on;
}

/* Let go what cannot become a stop string any more, whole characters at a time. */
static bool settle(server_stops *stops, server_text_fn send, void *user)
{
    size_t free_bytes = 0;

    while (free_bytes < stops->held_bytes &&
           (!may_begin(stops, free_bytes) || snug_utf8_is_tail((unsigned char)stops->held[free_bytes])))
        free_bytes++;
    return let_go(stops, free_bytes, send, user);
}

bool server_stops_push(server_stops *stops, const char *text, size_t bytes, server_text_fn send, void *user)
{
    if (stops->count == 0)
        return bytes == 0 || send(user, text, bytes);
    for (size_t i = 0; i < bytes; i++) {
        SNUG_ASSERT(stops->held_bytes < sizeof stops->held);
        stops->held[stops->held_bytes++] = text[i];
        for (size_t s = 0; s < stops->count; s++) {
            if (!ends_with(stops, stops->stop[s]))
                continue;
            stops->is_met = true;
            (void)let_go(stops, stops->held_bytes - strlen(stops->stop[s]), send, user);
            stops->held_bytes = 0;
            return false;
        }
        /* The end of a character, or of the text: not in its middle. */
        if ((i + 1 == bytes || !snug_utf8_is_tail((unsigned char)text[i + 1])) && !settle(stops, send, user))
            return false;
    }
    return true;
}

bool server_stops_finish(server_stops *stops, server_text_fn send, void *user)
{
    return stops->is_met || let_go(stops, stops->held_bytes, send, user);
}
