/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_moving_limit.c - a conversation goes from a larger model to a smaller one and back under a limit that
 * the kernel enforces and that is lowered on the way: nobody is killed, nothing that was said is lost, and
 * every answer is the one that a new conversation with that model gives.
 *
 * The child runs in a control group of version 1 of its own; the parent watches it. The larger model's
 * weights are a copy that nobody else has in memory, so that their pages, too, count against the limit.
 */
#define _XOPEN_SOURCE 700

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include <snug/snug.h>

#include "tests/os/tree.h"
#include "tests/support/sanitizer.h"
#include "tests/support/write.h"

#define GROUPS "/sys/fs/cgroup/memory"
#define MINI   SNUG_SOURCE_FOLDER "/models/mini"
#define SHARED SNUG_SHARED_FOLDER "/models"

#define FIRST_LIMIT ((uint64_t)160 << 20)
#define LIMIT       ((uint64_t)44 << 20)

#define QUESTIONS  4 /* with each of base, mini, base */
#define ROUNDS     3
#define TEXT_BYTES 256
#define MESSAGES   (2 * QUESTIONS * ROUNDS)

/* What the child has to tell; in a file. */
typedef struct told {
    bool is_done;
    bool was_released[ROUNDS];
    uint32_t tokens[ROUNDS]; /* read again for the move to this round's model */
    uint64_t most_bytes[ROUNDS];
    char answer[ROUNDS][QUESTIONS][TEXT_BYTES];
    char trouble[SNUG_ERROR_TEXT_BYTES];
} told;

typedef struct rig {
    tree folder;
    char group[128];
    char base[TREE_PATH_BYTES + 16];
    char report[TREE_PATH_BYTES + 16];
    char kept[TREE_PATH_BYTES + 16];
    char question[QUESTIONS * ROUNDS][1024];
    char answer[QUESTIONS * ROUNDS][64]; /* the right one */
} rig;

/* --- files ---------------------------------------------------------------------------------------------- */

/* The number behind `key`, or the first one of the file. */
static uint64_t read_number(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[256];
    uint64_t number = 0;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) {
            number = strtoull(line + strlen(key), NULL, 10);
            break;
        }
    if (file)
        (void)fclose(file);
    return number;
}

static uint64_t read_group(const rig *r, const char *name, const char *key)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", r->group, name);
    return read_number(path, key);
}

/* A copy, of which no page stays in memory. */
static void copy_cold(const char *from, const char *to)
{
    static char piece[1 << 16];
    const int in = open(from, O_RDONLY);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t bytes;

    assert_true(in >= 0 && out >= 0);
    while ((bytes = read(in, piece, sizeof piece)) > 0)
        assert_int_equal(write(out, piece, (size_t)bytes), bytes);
    assert_int_equal(fsync(out), 0);
    (void)posix_fadvise(out, 0, 0, POSIX_FADV_DONTNEED);
    close(in);
    close(out);
}

static void copy_base(rig *r)
{
    static const char *const files[] = { "config.json", "generation_config.json", "tokenizer.json",
                                         "tokenizer_config.json", "model.safetensors" };

    tree_make_folder(&r->folder, "/base");
    snprintf(r->base, sizeof r->base, "%s/base", r->folder.root);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char from[512], to[TREE_PATH_BYTES + 64];

        snprintf(from, sizeof from, SHARED "/base/%s", files[i]);
        snprintf(to, sizeof to, "%s/%s", r->base, files[i]);
        copy_cold(from, to);
    }
}

/* Short tasks of the recall set that both models answer. */
static void read_questions(rig *r)
{
    json_t *root = json_load_file(SHARED "/recall.json", 0, NULL);
    size_t count = 0;

    assert_non_null(root);
    for (size_t i = 0; i < json_array_size(root) && count < QUESTIONS * ROUNDS; i++) {
        const json_t *task = json_array_get(root, i);

        if (json_integer_value(json_object_get(task, "tokens")) > 80 ||
            json_array_size(json_object_get(task, "answered_by")) < 2)
            continue;
        snprintf(r->answer[count], sizeof r->answer[0], "%s",
                 json_string_value(json_object_get(task, "answer")));
        snprintf(r->question[count++], sizeof r->question[0], "%s",
                 json_string_value(json_object_get(task, "user")));
    }
    assert_int_equal(count, QUESTIONS * ROUNDS);
    json_decref(root);
}

/* --- a conversation ------------------------------------------------------------------------------------- */

typedef struct talk {
    snug_memory *memory;
    snug_catalog *catalog;
    snug_pool *pool;
    snug_conversation *conversation;
} talk;

static snug_status talk_open(talk *t, const char *kept, snug_error *error)
{
    const snug_catalog_options catalog = { .struct_size = sizeof catalog, .bundled_folder = MINI };
    const snug_conversation_options options = {
        .struct_size = sizeof options,
        .session = { .struct_size = sizeof options.session,
                     .context_tokens = 2048,
                     .kv = { .key = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 },
                             .value = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 },
                             .first_exact_tokens = SNUG_KV_FIRST_EXACT_DEFAULT,
                             .recent_exact_tokens = SNUG_KV_RECENT_EXACT_DEFAULT },
                     .adapt = true },
        .checkpoint_path = kept,
    };
    snug_status status = snug_memory_create(&t->memory, NULL);

    if (status == SNUG_OK)
        status = snug_catalog_open(&t->catalog, t->memory, &catalog, error);
    if (status == SNUG_OK)
        status = snug_pool_create(&t->pool, t->memory, t->catalog, 0, error);
    if (status == SNUG_OK)
        status = snug_conversation_create(&t->conversation, t->pool, &options, error);
    return status;
}

static void talk_close(talk *t)
{
    snug_conversation_destroy(t->conversation);
    snug_pool_destroy(t->pool);
    snug_catalog_close(t->catalog);
    snug_memory_destroy(t->memory);
}

static snug_status ask(char answer_out[TEXT_BYTES], const talk *t, const char *question, snug_error *error)
{
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = 12,
                                            .sample = { .struct_size = sizeof options.sample } };
    snug_generate_result result = { .struct_size = sizeof result };
    const snug_message *message;
    size_t count;
    snug_status status = snug_conversation_add(t->conversation, "user", question, error);

    if (status == SNUG_OK)
        status = snug_conversation_answer(&result, t->conversation, &options, error);
    if (status != SNUG_OK)
        return status;
    message = snug_conversation_messages(t->conversation, &count);
    snprintf(answer_out, TEXT_BYTES, "%s", message[count - 1].content);
    return SNUG_OK;
}

/* --- the child ------------------------------------------------------------------------------------------ */

static const char *model_of_round(const rig *r, int round)
{
    return round == 1 ? "mini" : r->base;
}

static snug_status play_round(told *out, const rig *r, const talk *t, int round, snug_error *error)
{
    /* There as it comes, and back with the old session on disk meanwhile. */
    const snug_switch_options options = { .struct_size = sizeof options,
                                          .mode = round == 2 ? SNUG_SWITCH_RELEASE : SNUG_SWITCH_AUTO };
    snug_switch_report report;
    snug_status status =
        snug_conversation_switch(&report, t->conversation, model_of_round(r, round), &options, error);

    if (status != SNUG_OK)
        return status;
    out->was_released[round] = report.was_released;
    out->tokens[round] = report.tokens;
    out->most_bytes[round] = report.most_bytes;
    for (int q = 0; q < QUESTIONS && status == SNUG_OK; q++)
        status = ask(out->answer[round][q], t, r->question[round * QUESTIONS + q], error);
    return status;
}

static void play(told *out, const rig *r)
{
    snug_error error = { SNUG_ERR_NO_MEMORY, "" };
    talk t = { .memory = NULL };
    snug_status status = talk_open(&t, r->kept, &error);

    for (int round = 0; round < ROUNDS && status == SNUG_OK; round++) {
        if (round == 1 && (!test_write_number(r->group, "memory.limit_in_bytes", LIMIT) ||
                           !test_write_number(r->group, "memory.max_usage_in_bytes", 0)))
            status = SNUG_ERR_IO;
        if (status == SNUG_OK)
            status = play_round(out, r, &t, round, &error);
    }
    talk_close(&t);
    out->is_done = status == SNUG_OK;
    snprintf(out->trouble, sizeof out->trouble, "%s", error.text);
}

static _Noreturn void be_child(const rig *r)
{
    static told out;
    FILE *file;

    if (!test_write_number(r->group, "cgroup.procs", (uint64_t)getpid()))
        _exit(3);
    play(&out, r);
    file = fopen(r->report, "wb");
    if (!file || fwrite(&out, sizeof out, 1, file) != 1 || fclose(file) != 0)
        _exit(4);
    _exit(0);
}

/* --- the parent ----------------------------------------------------------------------------------------- */

/* The most unreclaimable bytes that the child was seen with while the lower limit held; its exit status. */
static int watch(uint64_t *most_out, const rig *r, pid_t child)
{
    const struct timespec pause = { 0, 2000000 };
    char path[64];
    int status = 0;

    snprintf(path, sizeof path, "/proc/%ld/status", (long)child);
    *most_out = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        const uint64_t bytes = read_number(path, "RssAnon:") * 1024;

        if (bytes > *most_out && read_group(r, "memory.limit_in_bytes", "") <= LIMIT)
            *most_out = bytes;
        nanosleep(&pause, NULL);
    }
    return status;
}

/* With the messages of before, what a new conversation with that model answers. */
static void compare_with_a_fresh_one(const told *seen, const rig *r, int round, int q)
{
    const int last = round * QUESTIONS + q;
    snug_message messages[MESSAGES];
    snug_error error = { SNUG_OK, "" };
    char answer[TEXT_BYTES];
    talk t = { .memory = NULL };

    for (int i = 0; i < last; i++) {
        messages[2 * i] = (snug_message){ "user", r->question[i] };
        messages[2 * i + 1] = (snug_message){ "assistant", seen->answer[i / QUESTIONS][i % QUESTIONS] };
    }
    assert_int_equal(talk_open(&t, r->kept, &error), SNUG_OK);
    if (snug_conversation_switch(NULL, t.conversation, model_of_round(r, round), NULL, &error) != SNUG_OK ||
        snug_conversation_replace(t.conversation, messages, 2 * (size_t)last, &error) != SNUG_OK ||
        ask(answer, &t, r->question[last], &error) != SNUG_OK)
        fail_msg("%s", error.text);
    if (strcmp(answer, seen->answer[round][q]) != 0)
        fail_msg("round %d, question %d: \"%s\" after the move, \"%s\" in a new conversation", round, q,
                 seen->answer[round][q], answer);
    talk_close(&t);
}

static bool make_group(rig *r)
{
    snprintf(r->group, sizeof r->group, GROUPS "/snug.moving.%ld", (long)getpid());
    return access(GROUPS "/memory.limit_in_bytes", W_OK) == 0 && mkdir(r->group, 0755) == 0;
}

static void remove_group(const rig *r)
{
    (void)test_write_number(r->group, "memory.force_empty", 0);
    assert_int_equal(rmdir(r->group), 0);
}

static void stays_within_a_limit_and_loses_nothing(void **state)
{
    static rig r;
    static told seen;
    uint64_t most, group_most, kills;
    pid_t child;
    FILE *file;
    int status, right = 0;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    if (access(SHARED "/base/config.json", R_OK) != 0 || !make_group(&r)) {
        printf("SKIPPED: no larger model, or no control group of version 1 to write to\n");
        skip();
    }
    tree_create(&r.folder);
    snprintf(r.report, sizeof r.report, "%s/report", r.folder.root);
    snprintf(r.kept, sizeof r.kept, "%s/kept", r.folder.root);
    copy_base(&r);
    read_questions(&r);
    assert_true(test_write_number(r.group, "memory.limit_in_bytes", FIRST_LIMIT));
    child = fork();
    if (child == 0)
        be_child(&r);
    status = watch(&most, &r, child);
    group_most = read_group(&r, "memory.max_usage_in_bytes", "");
    kills = read_group(&r, "memory.oom_control", "oom_kill ");
    remove_group(&r);
    print_message(
        "most of the group %.1f MiB of %.1f, of the process %.1f MiB unreclaimable, oom_kill %llu\n",
        (double)group_most / (1 << 20), (double)LIMIT / (1 << 20), (double)most / (1 << 20),
        (unsigned long long)kills);
    assert_int_equal(kills, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(group_most <= LIMIT);
    assert_true(most > 0 && most < LIMIT);
    file = fopen(r.report, "rb");
    assert_non_null(file);
    assert_int_equal(fread(&seen, sizeof seen, 1, file), 1);
    (void)fclose(file);
    if (!seen.is_done)
        fail_msg("%s", seen.trouble);
    assert_true(seen.was_released[2]);
    for (int round = 0; round < ROUNDS; round++) {
        print_message("%s: %u tokens read again, at most %.1f MiB in the ledger; \"%s\" ... \"%s\"\n",
                      round == 1 ? "mini" : "base", seen.tokens[round],
                      (double)seen.most_bytes[round] / (1 << 20), seen.answer[round][0],
                      seen.answer[round][QUESTIONS - 1]);
        assert_true(round == 0 || seen.tokens[round] > 100);
        for (int q = 0; q < QUESTIONS; q++) {
            compare_with_a_fresh_one(&seen, &r, round, q);
            right += strstr(seen.answer[round][q], r.answer[round * QUESTIONS + q]) != NULL;
        }
    }
    print_message("%d of %d answers are right\n", right, QUESTIONS * ROUNDS);
    tree_remove(&r.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stays_within_a_limit_and_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
