/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_conversation.c - a conversation that moves between models: what is read again is what a new
 * conversation would read, and a move that fails leaves it as it was, token for token.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "catalog/conversation.h"
#include "memory/ledger.h"
#include "os/machine.h"
#include "session/session.h"
#include "tests/os/tree.h"
#include "tests/support/sanitizer.h"

#define MINI     SNUG_SOURCE_FOLDER "/models/mini"
#define FIXTURES SNUG_SHARED_FOLDER "/fixtures/"

#define NOW 1752000000 /* 8 July 2025 */

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

/* --- models that are not quite mini --------------------------------------------------------------------- */

/* Files of mini in a folder of that name; `without` is left out. */
static void make_model(char *path_out, const rig *r, const char *name, const char *without)
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

static void open_rig(rig *r, const snug_session_options *session, bool may_switch)
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

static void close_rig(rig *r)
{
    snug_conversation_destroy(r->conversation);
    assert_int_not_equal(access(r->kept, F_OK), 0); /* nothing was left on disk */
    snug_pool_destroy(r->pool);
    snug_catalog_close(r->catalog);
    assert_int_equal(snug_memory_read_all(r->memory).blocks, 0);
    snug_memory_destroy(r->memory);
    tree_remove(&r->folder);
}

static const snug_session_options small = { .struct_size = sizeof small,
                                            .context_tokens = 1024,
                                            .threads = 1 };

static snug_switch_report move_to(const rig *r, const char *name, snug_switch_mode mode)
{
    const snug_switch_options options = { .struct_size = sizeof options, .mode = mode };
    snug_switch_report report;
    snug_error error = { SNUG_OK, "" };

    if (snug_conversation_switch(&report, r->conversation, name, &options, &error) != SNUG_OK)
        fail_msg("%s: %s", name, error.text);
    return report;
}

/* The answer's text; valid until the next message. */
static const char *ask(const rig *r, const char *question, uint32_t max_tokens)
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

/* --- messages ------------------------------------------------------------------------------------------- */

static void keeps_messages(void **state)
{
    const snug_message *message;
    size_t count;
    rig r;

    (void)state;
    open_rig(&r, &small, false);
    for (int i = 0; i < 20; i++)
        assert_int_equal(snug_conversation_add(r.conversation, i % 2 ? "assistant" : "user", "x", NULL),
                         SNUG_OK);
    assert_int_equal(snug_conversation_set_system(r.conversation, "Be brief.", NULL), SNUG_OK);
    assert_int_equal(snug_conversation_set_system(r.conversation, "Be briefer.", NULL), SNUG_OK);
    message = snug_conversation_messages(r.conversation, &count);
    assert_int_equal(count, 21);
    assert_string_equal(message[0].role, "system");
    assert_string_equal(message[0].content, "Be briefer.");
    assert_string_equal(message[1].role, "user");
    assert_string_equal(message[20].role, "assistant");
    assert_int_equal(snug_conversation_set_system(r.conversation, "", NULL), SNUG_OK);
    snug_conversation_truncate(r.conversation, 1);
    message = snug_conversation_messages(r.conversation, &count);
    assert_int_equal(count, 1);
    assert_string_equal(message[0].role, "user");
    close_rig(&r);
}

/* --- moving --------------------------------------------------------------------------------------------- */

/* After a move the session holds what a new conversation with these messages would read. */
static void is_read_again_as_a_new_one_would(void **state)
{
    static const snug_switch_mode modes[] = { SNUG_SWITCH_BESIDE, SNUG_SWITCH_RELEASE, SNUG_SWITCH_AUTO };
    char first[512], second[512];
    const snug_message *message;
    size_t count;
    rig r, fresh;

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        snug_switch_report report;
        uint32_t tokens;

        open_rig(&r, &small, false);
        report = move_to(&r, "mini", SNUG_SWITCH_AUTO);
        assert_string_equal(report.from, "");
        assert_int_equal(report.tokens, 0);
        assert_string_equal(snug_conversation_model(r.conversation), "mini");
        snprintf(first, sizeof first, "%s", ask(&r, "Tell me a story about a dog.", 40));
        tokens = snug_session_tokens(snug_conversation_session(r.conversation));
        report = move_to(&r, r.other, modes[i]);
        assert_string_equal(report.from, "mini");
        assert_string_equal(report.to, "other");
        assert_int_equal(report.from_tokens, tokens);
        assert_int_equal(report.was_released, modes[i] == SNUG_SWITCH_RELEASE);
        assert_int_equal(report.tokens, snug_session_tokens(snug_conversation_session(r.conversation)));
        assert_non_null(strstr(report.sentence, "other goes on instead of mini (as asked)"));
        /* One session, not two: what it was when one model alone was there, give or take both's rounding. */
        assert_true(report.after_bytes < report.before_bytes + (1 << 20));
        assert_true(report.most_bytes >= report.after_bytes);
        snprintf(second, sizeof second, "%s", ask(&r, QUESTION, 10));

        open_rig(&fresh, &small, false);
        (void)move_to(&fresh, fresh.other, SNUG_SWITCH_AUTO);
        message = snug_conversation_messages(r.conversation, &count);
        assert_int_equal(count, 4);
        assert_string_equal(message[1].content, first);
        for (size_t j = 0; j < 2; j++)
            assert_int_equal(
                snug_conversation_add(fresh.conversation, message[j].role, message[j].content, NULL),
                SNUG_OK);
        assert_string_equal(ask(&fresh, QUESTION, 10), second);
        close_rig(&fresh);
        close_rig(&r);
    }
}

static void there_already_is_no_move(void **state)
{
    snug_session *session;
    rig r;

    (void)state;
    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, QUESTION, 5);
    session = snug_conversation_session(r.conversation);
    (void)move_to(&r, MINI, SNUG_SWITCH_RELEASE);
    assert_ptr_equal(snug_conversation_session(r.conversation), session);
    assert_int_equal(snug_pool_read(r.pool).models_in_use, 1);
    close_rig(&r);
}

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

/* Where both do not fit, the old one goes to disk; the ledger is never above its limit. */
static void moves_where_both_do_not_fit(void **state)
{
    snug_switch_report report;
    uint64_t limit, one;
    char answer[512];
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, "Tell me a story about a dog.", 30);
    one = snug_memory_read_all(r.memory).used_bytes;
    /* The session is most of it: some tokenizer more, and all that a full context takes. */
    limit = one + one / 2;
    assert_int_equal(snug_memory_set_limits(r.memory, 0, limit), SNUG_OK);
    report = move_to(&r, r.other, SNUG_SWITCH_AUTO);
    assert_true(report.was_released);
    assert_true(report.most_bytes <= limit);
    snprintf(answer, sizeof answer, "%s", ask(&r, QUESTION, 10));
    assert_non_null(strstr(answer, "tent"));
    report = move_to(&r, "mini", SNUG_SWITCH_AUTO);
    assert_true(report.was_released);
    assert_true(snug_memory_read_all(r.memory).peak_bytes <= limit);
    close_rig(&r);
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

/* --- other families ------------------------------------------------------------------------------------- */

/* Texts and roles are kept, the other's tokens are its own template's. */
static void each_family_reads_it_by_its_own_template(void **state)
{
    static const char *const families[] = { "qwen3", "llama-tied", "phi3", "gemma3", "smollm3" };
    rig r;

    (void)state;
    if (access(FIXTURES "qwen3/config.json", F_OK) != 0)
        skip();
    open_rig(&r, &small, false);
    (void)move_to(&r, "mini", SNUG_SWITCH_AUTO);
    (void)ask(&r, "Tell me a story about a dog.", 30);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const snug_chat_options chat = {
            .struct_size = sizeof chat, .no_generation_prompt = true, .guards_tokens = true, .now_unix = NOW
        };
        const snug_session *session;
        const snug_text *text;
        uint32_t ids[2048];
        char path[512], *rendered;
        const snug_message *message;
        size_t count, bytes;

        snprintf(path, sizeof path, FIXTURES "%s", families[i]);
        (void)move_to(&r, path, SNUG_SWITCH_AUTO);
        text = snug_conversation_loaded(r.conversation)->text;
        session = snug_conversation_session(r.conversation);
        message = snug_conversation_messages(r.conversation, &count);
        assert_int_equal(snug_text_chat(text, &rendered, &bytes, message, count, &chat, NULL), SNUG_OK);
        assert_int_equal(
            snug_text_encode(text, ids, 2048, &count, rendered, bytes, SNUG_ENCODE_GUARDED, NULL), SNUG_OK);
        snug_text_free_string(text, rendered);
        assert_int_equal(snug_session_tokens(session), count);
        assert_memory_equal(snug_session_ids(session), ids, count * sizeof *ids);
    }
    close_rig(&r);
}

/* --- by itself ------------------------------------------------------------------------------------------ */

typedef struct story {
    rig *r;
    uint32_t tokens;
    uint32_t model_steps;
    uint32_t lower_at; /* then the limit is lowered to what its cache alone takes */
    char text[4096];
    size_t bytes;
} story;

static bool tell(void *user, uint32_t id, const char *text, size_t bytes)
{
    story *s = user;

    (void)id;
    assert_true(s->bytes + bytes < sizeof s->text);
    memcpy(s->text + s->bytes, text, bytes);
    s->bytes += bytes;
    s->text[s->bytes] = '\0';
    if (++s->tokens == s->lower_at) {
        const snug_session *session = snug_conversation_session(s->r->conversation);

        assert_int_equal(
            snug_memory_set_limits(s->r->memory, 0, snug_kv_committed_bytes(snug_session_kv(session))),
            SNUG_OK);
    }
    return true;
}

static void note_relief(void *user, const snug_relief_event *event)
{
    story *s = user;

    assert_int_not_equal(event->step, SNUG_RELIEF_SUSPEND); /* it is not the end */
    if (event->step != SNUG_RELIEF_MODEL)
        return;
    s->model_steps++;
    assert_true(event->returned_bytes > 0);
    assert_int_equal(event->used_before_bytes - event->used_after_bytes, event->returned_bytes);
    assert_int_equal(event->reason, SNUG_RELIEF_LIMIT);
}

/* A limit that is lowered below what the model's session needs at least: the smaller one ends the answer. */
static void a_smaller_model_ends_the_answer(void **state)
{
    /* The cache's format is set, so nothing but another model gives much back. */
    const snug_session_options adapts = { .struct_size = sizeof adapts,
                                          .context_tokens = 1200,
                                          .kv = { .key = { .format = SNUG_KV_FORMAT_F16 },
                                                  .value = { .format = SNUG_KV_FORMAT_F16 } },
                                          .keeps_format = true,
                                          .threads = 1,
                                          .adapt = true };
    static const char sentence[] = "The dog and the cat went to the park to play with a red ball. ";
    static char question[sizeof sentence * 60 + 32];
    story s = { .lower_at = 40 };
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = 100,
                                            .ignore_eos = true,
                                            .sample = { .struct_size = sizeof options.sample },
                                            .on_token = tell,
                                            .on_relief = note_relief,
                                            .user = &s };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };
    const snug_message *message;
    size_t count;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    if (access(SNUG_SHARED_FOLDER "/models/base/config.json", F_OK) != 0)
        skip();
    open_rig(&r, &adapts, true);
    s.r = &r;
    (void)move_to(&r, SNUG_SHARED_FOLDER "/models/base", SNUG_SWITCH_AUTO);
    for (size_t i = 0; i < 60; i++)
        memcpy(question + i * (sizeof sentence - 1), sentence, sizeof sentence - 1);
    memcpy(question + 60 * (sizeof sentence - 1), "Tell me a story.", sizeof "Tell me a story.");
    assert_int_equal(snug_conversation_add(r.conversation, "user", question, NULL), SNUG_OK);
    if (snug_conversation_answer(&result, r.conversation, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(r.moves, 1);
    assert_int_equal(r.last.reason, SNUG_SWITCH_PRESSURE);
    assert_int_equal(s.model_steps, 1);
    assert_string_equal(snug_conversation_model(r.conversation), "mini");
    assert_int_equal(result.generated_tokens, 100);
    message = snug_conversation_messages(r.conversation, &count);
    assert_string_equal(message[count - 1].content, s.text); /* what was told is what is kept */
    close_rig(&r);
}

/* Memory as the machine might say it is. */
static void critical(void *user, snug_pressure_reading *out)
{
    (void)user;
    *out = (snug_pressure_reading){ .time_ns = snug_os_clock_ns() - UINT64_C(4000000000),
                                    .level = SNUG_PRESSURE_CRITICAL,
                                    .usage = 0.9,
                                    .hard_usage = 0.9,
                                    .limit_bytes = UINT64_C(1) << 30 };
}

/* Memory that stays critical, though nothing is refused: the answer goes on with the smaller model, where
 * that is allowed, and the next one with the larger one, once there has been memory long enough. */
static void goes_down_and_comes_back(void **state)
{
    const snug_session_options adapts = {
        .struct_size = sizeof adapts, .context_tokens = 512, .threads = 1, .adapt = true
    };
    snug_memory_state now;
    rig r;

    (void)state;
    if (access(SNUG_SHARED_FOLDER "/models/base/config.json", F_OK) != 0)
        skip();
    for (int may_switch = 0; may_switch < 2; may_switch++) {
        open_rig(&r, &adapts, may_switch);
        (void)move_to(&r, SNUG_SHARED_FOLDER "/models/base", SNUG_SWITCH_AUTO);
        snug_conversation_session(r.conversation)->relief.read = critical;
        (void)ask(&r, "Tell me a story about a dog.", 20);
        assert_int_equal(r.moves, may_switch);
        if (may_switch == 0)
            close_rig(&r);
    }
    assert_int_equal(r.last.reason, SNUG_SWITCH_PRESSURE);
    assert_string_equal(r.last.from, "base");
    assert_string_equal(snug_conversation_model(r.conversation), "mini");
    assert_false(snug_conversation_return(r.conversation)); /* not yet */
    r.conversation->look_ns = 0;
    r.conversation->fall.fell_ns -= UINT64_C(60000000000);
    r.conversation->fall.is_calm = true;
    r.conversation->fall.calm_ns = r.conversation->fall.fell_ns;
    snug_memory_read_state(&now, r.memory);
    (void)ask(&r, QUESTION, 8);
    if (now.pressure > SNUG_PRESSURE_MEDIUM) {
        print_message("not tried: coming back (memory of this machine is short)\n");
    } else {
        assert_int_equal(r.moves, 2);
        assert_int_equal(r.last.reason, SNUG_SWITCH_ROOM);
        assert_string_equal(snug_conversation_model(r.conversation), SNUG_SHARED_FOLDER "/models/base");
        assert_non_null(
            strstr(r.last.sentence, "base goes on instead of mini (there is memory for it again)"));
    }
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_messages),
        cmocka_unit_test(is_read_again_as_a_new_one_would),
        cmocka_unit_test(there_already_is_no_move),
        cmocka_unit_test(a_move_that_fails_changes_nothing),
        cmocka_unit_test(a_move_that_is_stopped_changes_nothing),
        cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(each_refusal_in_turn),
        cmocka_unit_test(moves_where_both_do_not_fit),
        cmocka_unit_test(waits_on_disk_for_memory),
        cmocka_unit_test(needs_a_place_for_the_old_session),
        cmocka_unit_test(each_family_reads_it_by_its_own_template),
        cmocka_unit_test(a_smaller_model_ends_the_answer),
        cmocka_unit_test(goes_down_and_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
