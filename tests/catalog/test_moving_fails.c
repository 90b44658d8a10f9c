/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_moving_fails.c - a move to another model that fails, for whatever reason and at whatever point, leaves
 * the conversation as it was, token for token.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/conversation.h"
#include "memory/ledger.h"
#include "tests/catalog/conversation_rig.h"
#include "tests/support/sanitizer.h"

/* --- failing -------------------------------------------------------------------------------------------- */

typedef struct failing {
    unsigned calls;
    unsigned stop_after; /* 0: never */
} failing;

static bool stops(void *user)
{
    failing *f = user;

    return f->stop_after == 0 || ++f->calls < f->stop_after;
}

/* Both answers of a conversation that nothing happened to, in ids. */
static void whole(char *out, size_t capacity, uint32_t first, uint32_t second)
{
    rig r;

    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, "Tell me a story about a dog.", first);
    snprintf(out, capacity, "%s", ask(&r, "And then?", second));
    close_rig(&r);
}

/* Try to move to `name` in the middle; the second answer is what it would have been. */
static void fails_without_harm(const char *expected, snug_status status, const char *sentence,
                               snug_switch_mode mode, unsigned stop_after, void (*prepare)(rig *r),
                               const char *name)
{
    failing f = { .stop_after = stop_after };
    const snug_switch_options options = {
        .struct_size = sizeof options, .mode = mode, .keep_going = stops, .user = &f
    };
    snug_error error = { SNUG_OK, "" };
    uint32_t ids[1024], tokens;
    char path[TREE_PATH_BYTES + 32];
    const snug_session *session;
    uint64_t kv_bytes;
    rig r;

    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, "Tell me a story about a dog.", 30);
    session = snug_conversation_session(r.conversation);
    tokens = snug_session_tokens(session);
    memcpy(ids, snug_session_ids(session), tokens * sizeof *ids);
    kv_bytes = snug_kv_committed_bytes(snug_session_kv(session));
    if (prepare)
        prepare(&r);
    snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? r.folder.root : "", name, "");
    assert_int_equal(snug_conversation_switch(NULL, r.conversation, path, &options, &error), status);
    if (!strstr(error.text, sentence))
        fail_msg("\"%s\" is not in \"%s\"", sentence, error.text);
    assert_int_equal(snug_memory_set_limits(r.memory, 0, 0), SNUG_OK);
    session = snug_conversation_session(r.conversation);
    assert_non_null(session);
    assert_string_equal(snug_conversation_model(r.conversation), "mini");
    assert_int_equal(snug_pool_read(r.pool).models_in_use, 1);
    assert_int_equal(snug_session_tokens(session), tokens);
    assert_memory_equal(snug_session_ids(session), ids, tokens * sizeof *ids);
    assert_int_equal(snug_kv_committed_bytes(snug_session_kv(session)), kv_bytes);
    assert_string_equal(ask(&r, "And then?", 60), expected);
    close_rig(&r);
}

static void make_broken_models(rig *r)
{
    char path[TREE_PATH_BYTES + 32];

    make_model(path, r, "noweights", "model.safetensors");
    make_model(path, r, "cut", "model.safetensors");
    tree_write(&r->folder, "/cut/model.safetensors", "{\"a\": 1}");
    make_model(path, r, "notokens", "tokenizer.json");
    make_model(path, r, "nochat", "tokenizer_config.json");
    tree_write(&r->folder, "/nochat/tokenizer_config.json", "{}");
    make_model(path, r, "refuses", "tokenizer_config.json");
    tree_write(&r->folder, "/refuses/tokenizer_config.json",
               "{\"chat_template\": \"{{ raise_exception('not with me') }}\"}");
}

static void a_move_that_fails_changes_nothing(void **state)
{
    static const struct {
        const char *name;
        snug_status status;
        const char *sentence;
    } rows[] = {
        { "nothing", SNUG_ERR_ARGUMENT, "\"nothing\" is no model of the catalogue, and no path" },
        { "qwen3-4b", SNUG_ERR_IO, "qwen3-4b is not on this machine" },
        { "/noweights", SNUG_ERR_IO, "model.safetensors" },
        { "/cut", SNUG_ERR_CORRUPT, "model.safetensors" },
        { "/notokens", SNUG_ERR_IO, "tokenizer" },
        { "/nochat", SNUG_ERR_UNSUPPORTED, "cannot chat: the model has no chat template" },
        { "/refuses", SNUG_ERR_CORRUPT, "not with me" },
    };
    static const snug_switch_mode modes[] = { SNUG_SWITCH_BESIDE, SNUG_SWITCH_RELEASE };
    char expected[1024];

    (void)state;
    whole(expected, sizeof expected, 30, 60);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t j = 0; j < sizeof modes / sizeof modes[0]; j++)
            fails_without_harm(expected, rows[i].status, rows[i].sentence, modes[j], 0, make_broken_models,
                               rows[i].name);
}

static void a_move_that_is_stopped_changes_nothing(void **state)
{
    char expected[1024];

    (void)state;
    whole(expected, sizeof expected, 30, 60);
    for (unsigned stop = 1; stop <= 2; stop++) {
        fails_without_harm(expected, SNUG_ERR_CANCELLED, "stopped", SNUG_SWITCH_BESIDE, stop, NULL, "/other");
        fails_without_harm(expected, SNUG_ERR_CANCELLED, "stopped", SNUG_SWITCH_RELEASE, stop, NULL,
                           "/other");
    }
}

/* --- want of memory ------------------------------------------------------------------------------------- */

static void leave_little(rig *r)
{
    const uint64_t used = snug_memory_read_all(r->memory).used_bytes;

    assert_int_equal(snug_memory_set_limits(r->memory, 0, used + (64 << 10)), SNUG_OK);
}

static void no_memory_changes_nothing(void **state)
{
    char expected[1024];

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    whole(expected, sizeof expected, 30, 60);
    /* Not even the tables of another model. */
    fails_without_harm(expected, SNUG_ERR_OVER_LIMIT, "", SNUG_SWITCH_BESIDE, 0, leave_little, "/other");
}

/* One that moves with the n-th reservation refused; false when there are not so many. */
static bool refuse(const char *expected, uint64_t n, snug_switch_mode mode)
{
    const snug_switch_options options = { .struct_size = sizeof options, .mode = mode };
    snug_error error = { SNUG_OK, "" };
    bool was_refused;
    rig r;

    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, "Tell me a story about a dog.", 6);
    atomic_store(&r.memory->fail_after, n);
    if (snug_conversation_switch(NULL, r.conversation, r.other, &options, &error) != SNUG_OK) {
        assert_int_equal(error.status, SNUG_ERR_OVER_LIMIT);
        assert_string_equal(snug_conversation_model(r.conversation), "mini");
    }
    was_refused = atomic_exchange(&r.memory->fail_after, 0) == 0;
    /* Both are the same model, so both answer alike: with mini nothing was lost, with the other nothing
     * but the chunks it was read in. */
    assert_string_equal(ask(&r, "And then?", 12), expected);
    close_rig(&r);
    return was_refused;
}

/* Each reservation refused in turn: it moves, or it stays and goes on as it was. */
static void each_refusal_in_turn(void **state)
{
    static const snug_switch_mode modes[] = { SNUG_SWITCH_BESIDE, SNUG_SWITCH_AUTO, SNUG_SWITCH_RELEASE };
    const uint64_t step = TEST_UNDER_ASAN || TEST_UNDER_TSAN ? 9 : 1;
    char expected[1024];

    (void)state;
    whole(expected, sizeof expected, 6, 12);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        uint64_t n = 1;

        while (refuse(expected, n, modes[i]))
            n += step;
        assert_true(n > 10);
    }
}

/* Somebody takes the memory that the old session has just given up. */
static void take_it_all(void *user, const snug_switch_progress *progress)
{
    const rig *r = user;

    if (progress->phase == SNUG_SWITCH_SAVE && progress->done == progress->total && progress->total > 0)
        assert_int_equal(
            snug_memory_set_limits(r->memory, 0, snug_memory_read_all(r->memory).used_bytes + 4096), SNUG_OK);
}

/* Neither the other session fits then nor the old one: that one waits in its file, and goes on from there. */
static void waits_on_disk_for_memory(void **state)
{
    const char *question = "And then?";
    char expected[1024];
    rig r;

    (void)state;
    whole(expected, sizeof expected, 30, 60);
    open_rig(&r, &small, false);

    const snug_switch_options options = {
        .struct_size = sizeof options, .mode = SNUG_SWITCH_RELEASE, .on_progress = take_it_all, .user = &r
    };
    const snug_generate_options generate = { .struct_size = sizeof generate };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };

    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, "Tell me a story about a dog.", 30);
    assert_int_equal(snug_conversation_switch(NULL, r.conversation, r.other, &options, &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, r.kept)); /* where it is */
    assert_null(snug_conversation_session(r.conversation));
    assert_string_equal(snug_conversation_model(r.conversation), "mini");
    assert_int_equal(access(r.kept, F_OK), 0);
    assert_int_equal(snug_conversation_answer(&result, r.conversation, &generate, &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_int_equal(access(r.kept, F_OK), 0);
    assert_int_equal(snug_memory_set_limits(r.memory, 0, 0), SNUG_OK);
    assert_string_equal(ask(&r, question, 60), expected);
    assert_int_not_equal(access(r.kept, F_OK), 0);
    close_rig(&r);
}

/* --- killed meanwhile --- */

static void die(void *user, const snug_switch_progress *progress)
{
    (void)user;
    if (progress->phase == SNUG_SWITCH_PREFILL)
        (void)raise(SIGKILL);
}

/* What the child leaves behind. */
typedef struct testament {
    tree folder;
    char kept[TREE_PATH_BYTES + 32];
    char answer[1024];
} testament;

/* A conversation whose process is killed while the other model reads it. */
static _Noreturn void move_and_die(int out)
{
    const snug_switch_options options = { .struct_size = sizeof options,
                                          .mode = SNUG_SWITCH_RELEASE,
                                          .on_progress = die };
    testament left = { .kept = "" };
    rig r;

    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    snprintf(left.answer, sizeof left.answer, "%s", ask(&r, "Tell me a story about a dog.", 30));
    memcpy(left.kept, r.kept, sizeof left.kept);
    left.folder = r.folder;
    if (write(out, &left, sizeof left) != (ssize_t)sizeof left)
        _exit(2);
    if (snug_conversation_switch(NULL, r.conversation, r.other, &options, NULL) == SNUG_OK)
        _exit(3);
    _exit(4);
}

/* The session of the file, with mini; adopted by the conversation. */
static void resume_from(const rig *r, const char *path)
{
    snug_suspended_info info = { .struct_size = sizeof info };
    snug_suspended *suspended;
    snug_session *session;
    snug_loaded loaded;

    assert_int_equal(snug_catalog_load(&loaded, r->pool, "mini", NULL, NULL), SNUG_OK);
    assert_int_equal(snug_suspended_open(&suspended, r->memory, path, NULL), SNUG_OK);
    snug_suspended_read(&info, suspended);
    assert_true(info.computed_tokens > 0);
    assert_int_equal(snug_session_create(&session, loaded.model, r->memory, &info.session, NULL), SNUG_OK);
    assert_int_equal(snug_session_resume(session, suspended, NULL), SNUG_OK);
    snug_suspended_close(suspended);
    snug_conversation_adopt(r->conversation, &loaded, session, "mini");
}

static void a_killed_move_can_be_resumed(void **state)
{
    testament left;
    char expected[1024];
    int ends[2], status;
    pid_t child;
    rig r;

    (void)state;
    whole(expected, sizeof expected, 30, 60);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0)
        move_and_die(ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &left, sizeof left), sizeof left);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    open_rig(&r, &small, false);
    resume_from(&r, left.kept);
    assert_int_equal(unlink(left.kept), 0);
    tree_remove(&left.folder);
    assert_int_equal(snug_conversation_add(r.conversation, "user", "Tell me a story about a dog.", NULL),
                     SNUG_OK);
    assert_int_equal(snug_conversation_add(r.conversation, "assistant", left.answer, NULL), SNUG_OK);
    assert_string_equal(ask(&r, "And then?", 60), expected);
    close_rig(&r);
}

static void needs_a_place_for_the_old_session(void **state)
{
    const snug_switch_options options = { .struct_size = sizeof options, .mode = SNUG_SWITCH_RELEASE };
    snug_error error = { SNUG_OK, "" };
    const snug_session *session;
    rig r;

    (void)state;
    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, QUESTION, 5);
    session = snug_conversation_session(r.conversation);
    r.conversation->options.checkpoint_path = "/none/such/place";
    assert_int_equal(snug_conversation_switch(NULL, r.conversation, r.other, &options, &error), SNUG_ERR_IO);
    assert_ptr_equal(snug_conversation_session(r.conversation), session);
    r.conversation->options.checkpoint_path = NULL;
    assert_int_equal(snug_conversation_switch(NULL, r.conversation, r.other, &options, &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "no file was named"));
    assert_ptr_equal(snug_conversation_session(r.conversation), session);
    /* A file that is there already is somebody else's. */
    r.conversation->options.checkpoint_path = r.kept;
    fclose(fopen(r.kept, "w"));
    assert_int_equal(snug_conversation_switch(NULL, r.conversation, r.other, &options, &error), SNUG_ERR_IO);
    assert_ptr_equal(snug_conversation_session(r.conversation), session);
    assert_int_equal(unlink(r.kept), 0);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_that_fails_changes_nothing),
        cmocka_unit_test(a_move_that_is_stopped_changes_nothing),
        cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(each_refusal_in_turn),
        cmocka_unit_test(waits_on_disk_for_memory),
        cmocka_unit_test(a_killed_move_can_be_resumed),
        cmocka_unit_test(needs_a_place_for_the_old_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
