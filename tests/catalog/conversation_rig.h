/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation_rig.h - a conversation with all that it needs, and models that are not quite mini, for tests
 * of moving between models.
 */
#ifndef SNUG_TESTS_CATALOG_CONVERSATION_RIG_H
#define SNUG_TESTS_CATALOG_CONVERSATION_RIG_H

#include <snug/snug.h>

#include "tests/os/tree.h"

#define MINI SNUG_SOURCE_FOLDER "/models/mini"

#define NOW 1752000000 /* the clock of templates: 8 July 2025 */

#define QUESTION "Tim is in the cave.\nLily is in the tent.\nWhere is Lily?"

typedef struct rig {
    tree folder;
    char other[TREE_PATH_BYTES + 32]; /* mini under another path: another model */
    char kept[TREE_PATH_BYTES + 32];  /* the checkpoint */
    snug_memory *memory;
    snug_catalog *catalog;
    snug_pool *pool;
    snug_conversation *conversation;
    unsigned moves; /* by itself */
    snug_switch_report last;
} rig;

/* A session of 1,024 tokens and one thread, in f16. */
extern const snug_session_options small;

/* Each of these fails the running test when something goes wrong. */
void open_rig(rig *r, const snug_session_options *session, bool may_switch);
/* Nothing may be left: neither in the ledger nor on the disk. */
void close_rig(rig *r);

/* Files of mini in a folder of that name, whose path comes back; `without` is left out. */
void make_model(char *path_out, const rig *r, const char *name, const char *without);

snug_switch_report move_to(const rig *r, const char *name, snug_switch_mode mode);

/* Greedy. The answer's text; valid until the next message. */
const char *ask(const rig *r, const char *question, uint32_t max_tokens);

#endif /* SNUG_TESTS_CATALOG_CONVERSATION_RIG_H */
