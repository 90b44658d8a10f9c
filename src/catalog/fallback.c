/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fallback.c - a conversation moves by itself: to which smaller model, and back to the one it had.
 */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "catalog/conversation.h"
#include "catalog/pool.h"
#include "os/machine.h"
#include "session/session.h"

#define LOOK_NS ((uint64_t)5000000000) /* between two thoughts of moving back */

bool snug_conversation_may_switch(const snug_conversation *conversation)
{
    const snug_session *session = conversation->session;

    return conversation->options.may_switch ||
           (session && session->relief.is_on && session->relief.rules->may_switch);
}

/* --- down ----------------------------------------------------------------------------------------------- */

/* What its files say. False when they cannot be read. */
static bool look_at(catalog_smaller *out, const catalog_model *row, const catalog_source *source)
{
    snug_model_info info = { .struct_size = sizeof info };
    snug_memory *memory;
    snug_model *model;
    bool is_read;

    if (snug_memory_create(&memory, NULL) != SNUG_OK)
        return false;
    is_read = snug_model_open(&model, memory, source->path, NULL, NULL) == SNUG_OK;
    if (is_read) {
        snug_model_read_info(&info, model);
        snug_model_close(model);
    }
    snug_memory_destroy(memory);
    out->parameters = info.token_parameters;
    out->weight_bytes = info.weight_bytes;
    snprintf(out->path, sizeof out->path, "%s", source->path);
    snprintf(out->name, sizeof out->name, "%s", row->name);
    return is_read;
}

/* More parameters first, of as many the one with more bytes: what writes best. */
static bool is_before(const catalog_smaller *a, const catalog_smaller *b)
{
    return a->parameters != b->parameters ? a->parameters > b->parameters : a->weight_bytes > b->weight_bytes;
}

static void put(snug_conversation *conversation, const catalog_smaller *found)
{
    catalog_smaller *list = conversation->smaller;
    size_t at = conversation->smaller_count;

    while (at > 0 && is_before(found, &list[at - 1]))
        at--;
    if (at == CONVERSATION_SMALLER_MAX)
        return;
    if (conversation->smaller_count < CONVERSATION_SMALLER_MAX)
        conversation->smaller_count++;
    memmove(list + at + 1, list + at, (conversation->smaller_count - 1 - at) * sizeof *list);
    list[at] = *found;
}

void snug_conversation_list_smaller(snug_conversation *conversation)
{
    const snug_catalog *catalog = snug_pool_catalog(conversation->pool);
    snug_model_info info = { .struct_size = sizeof info };

    if (!snug_conversation_may_switch(conversation)) {
        conversation->smaller_count = 0;
        conversation->is_smaller_known = false;
        return;
    }
    if (conversation->is_smaller_known)
        return;
    conversation->is_smaller_known = true;
    conversation->smaller_count = 0;
    snug_model_read_info(&info, conversation->loaded.model);
    for (size_t i = 0; i < catalog->model_count; i++)
        for (size_t s = 0; s < catalog->models[i].source_count; s++) {
            const catalog_source *source = &catalog->models[i].source[s];
            catalog_smaller found;

            if (source->path[0] && look_at(&found, &catalog->models[i], source) &&
                found.weight_bytes < info.weight_bytes)
                put(conversation, &found);
        }
}

static void announce(const snug_conversation *conversation, const snug_switch_report *report)
{
    if (conversation->options.on_switch)
        conversation->options.on_switch(conversation->options.user, report);
}

bool snug_conversation_fall(snug_conversation *conversation, snug_switch_report *report_out)
{
    const snug_switch_options options = { .struct_size = sizeof options };
    const size_t count = conversation->smaller_count;
    char home[CONVERSATION_NAME_BYTES];

    memcpy(home, conversation->home[0] ? conversation->home : conversation->name, sizeof home);
    for (size_t i = 0; i < count; i++) {
        const catalog_smaller smaller = conversation->smaller[i];
        snug_error error = { SNUG_OK, "" };

        if (snug_conversation_move(report_out, conversation, smaller.path, smaller.name, SNUG_SWITCH_PRESSURE,
                                   &options, &error) != SNUG_OK)
            continue;
        memcpy(conversation->home, home, sizeof home);
        snug_fall_fell(&conversation->fall, snug_os_clock_ns());
        snug_conversation_list_smaller(conversation);
        announce(conversation, report_out);
        return true;
    }
    return false;
}

/* --- and back ------------------------------------------------------------------------------------------- */

bool snug_conversation_return(snug_conversation *conversation)
{
    const snug_switch_options options = { .struct_size = sizeof options };
    const uint64_t now = snug_os_clock_ns();
    snug_error error = { SNUG_OK, "" };
    char home[CONVERSATION_NAME_BYTES];
    snug_switch_report report;
    snug_memory_state state;

    if (!conversation->home[0] || now - conversation->look_ns < LOOK_NS)
        return false;
    conversation->look_ns = now;
    snug_memory_read_state(&state, conversation->memory);
    /* Nobody has looked since the last answer ended: as long as that it may have been so. */
    snug_fall_see(&conversation->fall, state.pressure <= SNUG_PRESSURE_MEDIUM ? conversation->idle_ns : now,
                  state.pressure);
    if (!snug_fall_may_climb(&conversation->fall, now))
        return false;
    memcpy(home, conversation->home, sizeof home);
    if (snug_conversation_move(&report, conversation, home, home, SNUG_SWITCH_ROOM, &options, &error) !=
        SNUG_OK)
        return false;
    conversation->home[0] = '\0';
    snug_fall_climbed(&conversation->fall);
    announce(conversation, &report);
    return true;
}
