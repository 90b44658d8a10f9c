/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation_rig.c - see the header.
 */
#define _XOPEN_SOURCE 700

#include "tests/catalog/conversation_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- models that are not quite mini --------------------------------------------------------------------- */

void make_model(char *path_out, const rig *r, const char *name, const char *without)
{
    static const char *const files[] = { "config.json", "generation_config.json", "model.safetensors",
                                         "tokenizer.json", "tokenizer_config.json" };
    char folder[64];

    snprintf(folder, sizeof folder, "/%s", name);
    tree_make_folder(&r->folder, folder);
    snprintf(path_out, TREE_PATH_BYTES + 32, "%s%s", r->folder.root, folder);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char from[512], to[TREE_PATH_BYTES + 96];

        snprintf(from, sizeof from, MINI "/%s", files[i]);
        snprintf(to, sizeof to, "%s/%s", path_out, files[i]);
        if (!without || strcmp(files[i], without) != 0)
            assert_int_equal(symlink(from, to), 0);
    }
}

/* --- the rig -------------------------------------------------------------------------------------------- */

static void note_move(void *user, const snug_switch_report *report)
{
    rig *r = user;

    r->moves++;
    r->last = *report;
}

static size_t rigs; /* that were opened: some live at the same time */

void open_rig(rig *r, const snug_session_options *session, bool may_switch)
{
    const snug_catalog_options catalog = { .struct_size = sizeof catalog, .bundled_folder = MINI };
    snug_conversation_options options = { .struct_size = sizeof options,
                                          .session = *session,
                                          .checkpoint_path = r->kept,
                                          .now_unix = NOW,
                                          .may_switch = may_switch,
                                          .on_switch = note_move,
                                          .user = r };

    *r = (rig){ .moves = 0 };
    tree_create(&r->folder);
    /* Where syncing costs nothing, if there is such a place: many are written here. */
    if (access("/dev/shm", W_OK) == 0)
        snprintf(r->kept, sizeof r->kept, "/dev/shm/snug.kept.%ld.%zu", (long)getpid(), ++rigs);
    else
        snprintf(r->kept, sizeof r->kept, "%s/kept", r->folder.root);
    make_model(r->other, r, "other", NULL);
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    assert_int_equal(snug_catalog_open(&r->catalog, r->memory, &catalog, NULL), SNUG_OK);
    assert_int_equal(snug_pool_create(&r->pool, r->memory, r->catalog, 0, NULL), SNUG_OK);
    assert_int_equal(snug_conversation_create(&r->conversation, r->pool, &options, NULL), SNUG_OK);
}

void close_rig(rig *r)
{
    char partial[sizeof r->kept + 16];

    snug_conversation_destroy(r->conversation);
    assert_int_not_equal(access(r->kept, F_OK), 0); /* nothing was left on disk */
    /* But for an empty file, where the lock on it was refused: whoever writes there next takes it. */
    snprintf(partial, sizeof partial, "%s.partial", r->kept);
    (void)unlink(partial);
    snug_pool_destroy(r->pool);
    snug_catalog_close(r->catalog);
    assert_int_equal(snug_memory_read_all(r->memory).blocks, 0);
    snug_memory_destroy(r->memory);
    tree_remove(&r->folder);
}

const snug_session_options small = { .struct_size = sizeof small, .context_tokens = 1024, .threads = 1 };

snug_switch_report move_to(const rig *r, const char *name, snug_switch_mode mode)
{
    const snug_switch_options options = { .struct_size = sizeof options, .mode = mode };
    snug_switch_report report;
    snug_error error = { SNUG_OK, "" };

    if (snug_conversation_switch(&report, r->conversation, name, &options, &error) != SNUG_OK)
        fail_msg("%s: %s", name, error.text);
    return report;
}

const char *ask(const rig *r, const char *question, uint32_t max_tokens)
{
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = max_tokens,
                                            .sample = { .struct_size = sizeof options.sample } };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };
    const snug_message *message;
    size_t count;

    assert_int_equal(snug_conversation_add(r->conversation, "user", question, NULL), SNUG_OK);
    if (snug_conversation_answer(&result, r->conversation, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    message = snug_conversation_messages(r->conversation, &count);
    assert_true(count > 0);
    assert_string_equal(message[count - 1].role, "assistant");
    return message[count - 1].content;
}
