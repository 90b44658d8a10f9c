/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations that leave memory and come back: what goes on is what would have come, whenever it was
 * stopped and whatever stopped it. The reference is always the run that nothing stopped.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "tests/os/tree.h"
#include "tests/support/heap_count.h"

#define MODEL  SNUG_SOURCE_FOLDER "/models/mini"
#define PROMPT "Once upon a time there was a little dog who liked to play in the park."

#define CONTEXT 512
#define WANTED  110

typedef struct rig {
    tree folder;
    snug_memory *memory;
    snug_model *model;
    snug_text *text;
} rig;

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    snug_error error = { SNUG_OK, "" };

    assert_non_null(r);
    tree_create(&r->folder);
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, MODEL, NULL, &error) != SNUG_OK ||
        snug_text_open(&r->text, r->memory, MODEL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;

    snug_text_close(r->text);
    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    tree_remove(&r->folder);
    free(r);
    return 0;
}

static const char *path_in(const rig *r)
{
    static char path[TREE_PATH_BYTES + 32];

    snprintf(path, sizeof path, "%s/kept", r->folder.root);
    return path;
}

static snug_session *new_session(const rig *r, const snug_session_options *options)
{
    snug_session *session;
    snug_error error = { SNUG_OK, "" };

    if (snug_session_create(&session, r->model, r->memory, options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return session;
}

/* An answer as its reader sees it, over several calls. */
typedef struct heard {
    uint32_t id[WANTED + 8];
    uint32_t count;
    char text[8 * WANTED];
    size_t bytes;
    uint32_t stop_after; /* tokens in all; 0: never */
} heard;

static bool hear(void *user, uint32_t id, const char *text, size_t bytes)
{
    heard *h = user;

    assert_true(h->bytes + bytes < sizeof h->text);
    memcpy(h->text + h->bytes, text, bytes);
    h->bytes += bytes;
    if (id != SNUG_ID_NONE)
        h->id[h->count++] = id;
    return h->stop_after == 0 || h->count < h->stop_after;
}

static size_t encode(const rig *r, uint32_t ids[64])
{
    size_t count;

    assert_int_equal(snug_text_encode(r->text, ids, 64, &count, PROMPT, strlen(PROMPT), 0, NULL), SNUG_OK);
    return count;
}

static const snug_sample_options greedy = { .struct_size = sizeof greedy };
static const snug_sample_options seeded = { .struct_size = sizeof seeded,
                                            .temperature = 1.3,
                                            .top_k = 50,
                                            .top_p = 0.95,
                                            .repetition_penalty = 1.1,
                                            .seed = 42 };

static snug_status begin(const rig *r, snug_session *session, const snug_sample_options *sample, heard *h)
{
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = WANTED,
                                            .ignore_eos = true,
                                            .sample = *sample,
                                            .on_token = hear,
                                            .user = h };
    snug_generate_result result = { .struct_size = sizeof result };
    uint32_t ids[64];

    return snug_session_generate(&result, session, r->text, ids, encode(r, ids), NULL, &options, NULL);
}

static snug_status go_on(const rig *r, snug_session *session, heard *h)
{
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };
    snug_generate_options options = { .struct_size = sizeof options, .on_token = hear, .user = h };
    snug_generate_result result = { .struct_size = sizeof result };

    assert_true(snug_session_unfinished(session, &unfinished));
    options.max_tokens = unfinished.max_tokens;
    options.ignore_eos = unfinished.ignore_eos;
    options.sample = unfinished.sample;
    options.told_tokens = unfinished.told_tokens;
    h->stop_after = 0;
    return snug_session_generate(&result, session, r->text, snug_session_ids(session),
                                 unfinished.known_tokens, NULL, &options, NULL);
}

static void assert_same(const heard *h, const heard *whole)
{
    assert_int_equal(h->count, whole->count);
    assert_memory_equal(h->id, whole->id, h->count * sizeof *h->id);
    assert_int_equal(h->bytes, whole->bytes);
    assert_memory_equal(h->text, whole->text, h->bytes);
}

static void suspend(const rig *r, const snug_session *session, const char *note)
{
    const snug_suspend_options options = { .struct_size = sizeof options, .note = note, .reason = "a test" };
    snug_suspend_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };

    (void)unlink(path_in(r));
    if (snug_session_suspend(&result, session, path_in(r), &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_true(result.has_cache);
}

static snug_suspended *open_suspended(const rig *r, snug_suspended_info *info)
{
    snug_suspended *suspended;
    snug_error error = { SNUG_OK, "" };

    if (snug_suspended_open(&suspended, r->memory, path_in(r), &error) != SNUG_OK)
        fail_msg("%s", error.text);
    info->struct_size = sizeof *info;
    snug_suspended_read(info, suspended);
    return suspended;
}

/* A new session, as the file asks for it, where the suspended one was. */
static snug_session *resume(const rig *r)
{
    snug_suspended_info info;
    snug_suspended *suspended = open_suspended(r, &info);
    snug_session *session = new_session(r, &info.session);
    snug_error error = { SNUG_OK, "" };

    if (snug_session_resume(session, suspended, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(snug_session_tokens(session), info.computed_tokens);
    snug_suspended_close(suspended);
    return session;
}

/* --- the same tokens ----------------------------------------------------------------------------------- */

static void demote(snug_session *session)
{
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = 4, .value_bits = 3 };

    /* The cache is the session's; nobody else may change it but through the session. */
    assert_int_equal(snug_kv_demote((snug_kv *)(uintptr_t)snug_session_kv(session), &target, NULL, NULL),
                     SNUG_OK);
}

static void a_resumed_answer_goes_on_as_if_never_stopped(void **state)
{
    static const snug_session_options kinds[] = {
        { .struct_size = sizeof kinds[0], .context_tokens = CONTEXT },
        { .struct_size = sizeof kinds[0],
          .context_tokens = CONTEXT,
          .kv = { .retention = { SNUG_KV_RETENTION_ROTATING, 100, 4 } } },
        { .struct_size = sizeof kinds[0],
          .context_tokens = CONTEXT,
          .kv = { .key = { SNUG_KV_FORMAT_PLANES, 8, 0 }, .value = { SNUG_KV_FORMAT_PLANES, 8, 0 } } },
    };
    static const uint32_t stops[] = { 1, 47, WANTED - 1 };
    const rig *r = *state;

    for (size_t kind = 0; kind < 3; kind++)
        for (int is_seeded = 0; is_seeded < 2; is_seeded++)
            for (size_t stop = 0; stop < 3; stop++) {
                const snug_sample_options *sample = is_seeded ? &seeded : &greedy;
                heard whole = { .stop_after = stops[stop] }, h = { .stop_after = stops[stop] };
                snug_session *session = new_session(r, &kinds[kind]);

                /* Interrupted and going on in the same session, and through a file in another. */
                assert_int_equal(begin(r, session, sample, &whole), SNUG_OK);
                if (kind == 2)
                    demote(session);
                assert_int_equal(go_on(r, session, &whole), SNUG_OK);
                assert_int_equal(whole.count, WANTED);
                assert_int_equal(snug_session_truncate(session, 0), 0);
                if (kind == 2) { /* for bits do not come back */
                    snug_session_destroy(session);
                    session = new_session(r, &kinds[kind]);
                }
                assert_int_equal(begin(r, session, sample, &h), SNUG_OK);
                if (kind == 2)
                    demote(session);
                suspend(r, session, NULL);
                snug_session_destroy(session);
                session = resume(r);
                assert_int_equal(go_on(r, session, &h), SNUG_OK);
                assert_same(&h, &whole);
                assert_false(snug_session_unfinished(session, &(snug_unfinished){ .struct_size = 0 }));
                snug_session_destroy(session);
            }
}

/* Going on within one session is what the test above compares with: it must be what was never stopped. */
static void stopping_changes_nothing(void **state)
{
    const snug_session_options options = { .struct_size = sizeof options, .context_tokens = CONTEXT };
    const rig *r = *state;
    heard whole = { .count = 0 };
    snug_session *session = new_session(r, &options);

    assert_int_equal(begin(r, session, &seeded, &whole), SNUG_OK);
    for (uint32_t stop = 1; stop < WANTED; stop += 9) {
        heard h = { .stop_after = stop };

        assert_int_equal(begin(r, session, &seeded, &h), SNUG_OK);
        assert_int_equal(h.count, stop);
        assert_int_equal(go_on(r, session, &h), SNUG_OK);
        assert_int_equal(h.count, WANTED);
        assert_memory_equal(h.id, whole.id, sizeof h.id);
    }
    snug_session_destroy(session);
}

/* --- memory runs out ----------------------------------------------------------------------------------- */

/* Each growth of the cache is refused in turn, in prefill and in decode; saving takes no memory. */
static void what_stops_for_lack_of_memory_goes_on_elsewhere(void **state)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = CONTEXT,
                                           .prefill_chunk = 8 };
    rig *r = *state;
    heard whole = { .count = 0 };
    snug_session *session = new_session(r, &options);
    uint64_t empty = snug_memory_read_all(r->memory).used_bytes, full;
    uint32_t stopped = 0;

    assert_int_equal(begin(r, session, &seeded, &whole), SNUG_OK);
    full = snug_memory_read_all(r->memory).used_bytes;
    snug_session_destroy(session);
    for (uint64_t limit = empty + 70000; limit < full; limit += (full - empty) / 16) {
        heard h = { .count = 0 };
        unsigned long long allocations;

        session = new_session(r, &options);
        assert_int_equal(snug_memory_set_limits(r->memory, 0, limit), SNUG_OK);
        assert_int_equal(begin(r, session, &seeded, &h), SNUG_ERR_OVER_LIMIT);
        stopped++;
        allocations = heap_count();
        if (snug_session_tokens(session) > 0) {
            suspend(r, session, NULL);
            assert_int_equal(heap_count(), allocations);
        }
        assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
        if (snug_session_tokens(session) > 0) {
            snug_session_destroy(session);
            session = resume(r);
        }
        assert_int_equal(go_on(r, session, &h), SNUG_OK);
        assert_same(&h, &whole);
        snug_session_destroy(session);
    }
    assert_true(stopped > 2);
}

/* --- the file ------------------------------------------------------------------------------------------ */

static snug_session *half_a_story(const rig *r, heard *h)
{
    const snug_session_options options = { .struct_size = sizeof options, .context_tokens = CONTEXT };
    snug_session *session = new_session(r, &options);

    h->stop_after = 70;
    assert_int_equal(begin(r, session, &seeded, h), SNUG_OK);
    return session;
}

static void the_file_says_what_it_takes_to_go_on(void **state)
{
    const rig *r = *state;
    heard h = { .count = 0 };
    snug_session *session = half_a_story(r, &h);
    snug_suspended_info info;
    snug_suspended *suspended;
    snug_suspend_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };
    struct stat file;
    uint32_t ids[64];
    const uint32_t prompt = (uint32_t)encode(r, ids);

    suspend(r, session, "{\"of\": \"ours\"}");
    assert_int_equal(stat(path_in(r), &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    suspended = open_suspended(r, &info);
    assert_string_equal(info.note, "{\"of\": \"ours\"}");
    assert_string_equal(info.reason, "a test");
    assert_int_equal(info.file_bytes, file.st_size);
    assert_int_equal(info.session.context_tokens, CONTEXT);
    assert_int_equal(info.unfinished.known_tokens, prompt + 70);
    assert_int_equal(info.computed_tokens, prompt + 69);
    assert_int_equal(info.unfinished.told_tokens, 70);
    assert_int_equal(info.unfinished.max_tokens, WANTED - 70);
    assert_memory_equal(info.ids, ids, prompt * sizeof *ids);
    assert_memory_equal(info.ids + prompt, h.id, 70 * sizeof *ids);
    snug_suspended_close(suspended);

    /* Never overwritten. */
    assert_int_equal(snug_session_suspend(&result, session, path_in(r),
                                          &(snug_suspend_options){ .struct_size = sizeof result }, &error),
                     SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "there is a file of that name"));
    assert_int_equal(stat(path_in(r), &file), 0);
    assert_int_equal(info.file_bytes, file.st_size);
    snug_session_destroy(session);
}

static void put_byte(const char *path, long at, int byte)
{
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_true(fputc(byte, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

static int get_byte(const char *path, long at)
{
    FILE *file = fopen(path, "rb");
    int byte;

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    byte = fgetc(file);
    fclose(file);
    return byte;
}

/* Every byte of the first part, some of the cache; and cut anywhere. */
static void damage_is_found_and_a_damaged_cache_is_computed_again(void **state)
{
    const rig *r = *state;
    heard h = { .count = 0 }, whole = { .count = 0 };
    snug_session *session = half_a_story(r, &h);
    snug_suspended_info info;
    snug_suspended *suspended;
    snug_error error = { SNUG_OK, "" };
    long front, bytes;

    suspend(r, session, "note");
    suspended = open_suspended(r, &info);
    front = (long)((const char *)(info.ids + info.unfinished.known_tokens) + 8 - (info.note - 1248));
    bytes = (long)info.file_bytes;
    snug_suspended_close(suspended);
    for (long at = 0; at < front; at++) {
        const int byte = get_byte(path_in(r), at);

        put_byte(path_in(r), at, byte ^ 0x20);
        assert_int_not_equal(snug_suspended_open(&suspended, r->memory, path_in(r), &error), SNUG_OK);
        assert_true(strlen(error.text) > 20);
        put_byte(path_in(r), at, byte);
    }
    /* The ids are good, the cache is not. */
    put_byte(path_in(r), (front + bytes) / 2, get_byte(path_in(r), (front + bytes) / 2) ^ 1);
    suspended = open_suspended(r, &info);
    assert_int_equal(snug_session_resume(session, suspended, &error), SNUG_OK);
    assert_int_equal(snug_session_tokens(session), 0);
    assert_int_equal(go_on(r, session, &h), SNUG_OK);
    assert_int_equal(begin(r, session, &seeded, &whole), SNUG_OK);
    assert_memory_equal(h.id, whole.id, 70 * sizeof *h.id); /* later ones may differ: computed otherwise */
    assert_int_equal(h.count, WANTED);
    snug_suspended_close(suspended);
    for (long end = bytes - 1; end > 0; end -= end > front + 99 ? (end - front) / 3 : 7) {
        assert_int_equal(truncate(path_in(r), end), 0);
        if (end >= front) {
            suspended = open_suspended(r, &info);
            assert_int_equal(snug_session_resume(session, suspended, &error), SNUG_OK);
            assert_int_equal(snug_session_tokens(session), 0);
            snug_suspended_close(suspended);
        } else {
            assert_int_equal(snug_suspended_open(&suspended, r->memory, path_in(r), &error),
                             SNUG_ERR_CORRUPT);
        }
    }
    snug_session_destroy(session);
}

static snug_status suspend_with_file_limit(const rig *r, const snug_session *session, rlim_t bytes,
                                           snug_suspend_result *result, snug_error *error)
{
    const snug_suspend_options options = { .struct_size = sizeof options, .note = "note" };
    struct rlimit before, limit;
    snug_status status;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){ bytes, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    result->struct_size = sizeof *result;
    status = snug_session_suspend(result, session, path_in(r), &options, error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return status;
}

static void a_full_disk_keeps_the_ids_or_says_so(void **state)
{
    const rig *r = *state;
    heard h = { .count = 0 }, whole = { .count = 0 };
    snug_session *session = half_a_story(r, &h);
    snug_suspended_info info;
    snug_suspend_result result;
    snug_suspended *suspended;
    snug_error error = { SNUG_OK, "" };

    (void)unlink(path_in(r));
    assert_int_equal(suspend_with_file_limit(r, session, 100, &result, &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "File too large"));
    assert_int_not_equal(access(path_in(r), F_OK), 0);
    assert_int_equal(suspend_with_file_limit(r, session, 4096, &result, &error), SNUG_OK);
    assert_false(result.has_cache);
    assert_non_null(strstr(result.cache_error, "File too large"));
    suspended = open_suspended(r, &info);
    assert_int_equal(info.computed_tokens, 0);
    assert_int_equal(info.unfinished.told_tokens, 70);
    assert_memory_equal(info.ids + info.unfinished.known_tokens - 70, h.id, 70 * sizeof *h.id);
    snug_suspended_close(suspended);
    /* The conversation in memory took no harm. */
    assert_int_equal(go_on(r, session, &h), SNUG_OK);
    assert_int_equal(begin(r, session, &seeded, &whole), SNUG_OK);
    assert_same(&h, &whole);
    snug_session_destroy(session);
}

static void what_does_not_belong_is_refused(void **state)
{
    const snug_session_options small = { .struct_size = sizeof small, .context_tokens = 64 };
    const snug_session_options codes = { .struct_size = sizeof codes,
                                         .context_tokens = CONTEXT,
                                         .kv = { .key = { SNUG_KV_FORMAT_PLANES, 4, 0 } } };
    const rig *r = *state;
    heard h = { .count = 0 };
    snug_session *session = half_a_story(r, &h);
    snug_suspended_info info;
    snug_suspended *suspended;
    snug_error error = { SNUG_OK, "" };

    suspend(r, session, NULL);
    snug_session_destroy(session);
    suspended = open_suspended(r, &info);
    session = new_session(r, &small);
    assert_int_equal(snug_session_resume(session, suspended, &error), SNUG_ERR_FULL);
    assert_non_null(strstr(error.text, "the context holds 64"));
    snug_session_destroy(session);
    session = new_session(r, &codes);
    assert_int_equal(snug_session_resume(session, suspended, &error), SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "give the options it was saved with"));
    snug_session_destroy(session);
    snug_suspended_close(suspended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_changes_nothing),
        cmocka_unit_test(a_resumed_answer_goes_on_as_if_never_stopped),
        cmocka_unit_test(what_stops_for_lack_of_memory_goes_on_elsewhere),
        cmocka_unit_test(the_file_says_what_it_takes_to_go_on),
        cmocka_unit_test(damage_is_found_and_a_damaged_cache_is_computed_again),
        cmocka_unit_test(a_full_disk_keeps_the_ids_or_says_so),
        cmocka_unit_test(what_does_not_belong_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
