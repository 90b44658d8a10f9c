/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_damaged.c - the table of damaged checkpoints in ../shared/fixtures/bad, folder by folder and GGUF file
 * by GGUF file, through the whole path: open the model, open its tokenizer, encode, compute.
 *
 * refuse: a status and a sentence that names the folder or file, before anything is computed. survive:
 * whatever, but no crash, no hang, memory in proportion. accept: the logits of the sound model.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "os/machine.h"

#define BAD        SNUG_SHARED_FOLDER "/fixtures/bad/"
#define POSITIONS  16
#define VOCABULARY 272

static const uint32_t ids[POSITIONS] = { 84, 257, 72,  220, 260, 67,  259, 263,
                                         11, 261, 258, 256, 262, 220, 71,  83 };
static const char text_to_encode[] =
    "the man and the hen in a ton, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab <|far|> e";

typedef struct outcome {
    snug_status status;
    snug_error error;
    snug_status encoded_status; /* of computing the encoded text: any will do */
    float logits[POSITIONS][VOCABULARY];
    uint64_t peak_bytes;
} outcome;

static bool keep_logits(void *user, uint32_t position, const float *logits)
{
    outcome *o = user;

    memcpy(o->logits[position], logits, sizeof o->logits[position]);
    return true;
}

static void run(outcome *o, const char *folder)
{
    const snug_model_options exact = { .struct_size = sizeof exact, .exact = true };
    const snug_session_options session_options = { .struct_size = sizeof session_options,
                                                   .context_tokens = 64,
                                                   .threads = 1 };
    const snug_eval_options eval = { .struct_size = sizeof eval, .on_logits = keep_logits, .user = o };
    snug_memory *memory;
    snug_model *model = NULL;
    snug_text *text = NULL;
    snug_session *session = NULL;
    uint32_t encoded[512];
    size_t count;

    memset(o, 0, sizeof *o);
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    o->status = snug_model_open(&model, memory, folder, &exact, &o->error);
    if (o->status == SNUG_OK)
        o->status = snug_text_open(&text, memory, folder, &o->error);
    if (o->status == SNUG_OK)
        o->status = snug_session_create(&session, model, memory, &session_options, &o->error);
    if (o->status == SNUG_OK)
        o->status = snug_text_encode(text, encoded, 512, &count, text_to_encode, strlen(text_to_encode), 0,
                                     &o->error);
    if (o->status == SNUG_OK && count > 0 &&
        count < 64) /* ids may lie beyond the model: a sentence, no crash */
        o->encoded_status = snug_session_eval(session, encoded, count, NULL, &o->error);
    if (o->status == SNUG_OK) {
        snug_session_truncate(session, 0);
        o->status = snug_session_eval(session, ids, POSITIONS, &eval, &o->error);
    }
    o->peak_bytes = snug_memory_read_all(memory).peak_bytes;
    snug_session_destroy(session);
    snug_text_close(text);
    snug_model_close(model);
    snug_memory_destroy(memory);
}

static void check_accepted(const char *name, const outcome *o, const float *good)
{
    if (o->status != SNUG_OK)
        fail_msg("%s: must be accepted, but: %s", name, o->error.text);
    for (size_t i = 0; i < POSITIONS * VOCABULARY; i++)
        if (!(fabsf(good[i] - o->logits[i / VOCABULARY][i % VOCABULARY]) <= 1e-3f))
            fail_msg("%s: logits differ from the sound model's", name);
}

static void check_case(const char *name, const char *expect, const float *good)
{
    char path[512];
    uint64_t before;
    double seconds;
    outcome *o = malloc(sizeof *o);

    assert_non_null(o);
    snprintf(path, sizeof path, "%s%s", BAD, name);
    before = snug_os_clock_ns();
    run(o, path);
    seconds = (double)(snug_os_clock_ns() - before) / 1e9;
    if (seconds > 10.0) /* a hang, not a slow machine */
        fail_msg("%s: took %.0f s", name, seconds);
    if (o->peak_bytes > 16 * 1024 * 1024)
        fail_msg("%s: took %.1f MB for a file of 40 KB", name, (double)o->peak_bytes / 1e6);
    if (strcmp(expect, "accept") == 0)
        check_accepted(name, o, good);
    if (strcmp(expect, "refuse") == 0) {
        if (o->status == SNUG_OK)
            fail_msg("%s: must be refused", name);
        if (!strstr(o->error.text, name) || strlen(o->error.text) < strlen(path) + 15)
            fail_msg("%s: the sentence does not name the file and the fault: %s", name, o->error.text);
    }
    free(o);
}

static void every_damaged_checkpoint_is_treated_as_the_table_says(void **state)
{
    static float good[POSITIONS * VOCABULARY];
    FILE *file = fopen(BAD "good-logits.f32", "rb");
    FILE *table = fopen(BAD "cases.tsv", "r");
    char line[512];
    size_t cases = 0;

    (void)state;
    if (!file || !table) {
        printf("SKIPPED: ../shared/fixtures/bad is not there\n");
        skip();
    }
    assert_int_equal(fread(good, sizeof *good, POSITIONS * VOCABULARY, file), POSITIONS * VOCABULARY);
    while (fgets(line, sizeof line, table)) {
        char name[128], expect[32];

        if (sscanf(line, "%127[^\t]\t%31[^\t]", name, expect) != 2 || strcmp(expect, "expect") == 0)
            continue;
        check_case(name, expect, good);
        cases++;
    }
    printf("%zu folders and files as the table says\n", cases);
    assert_true(cases > 100);
    fclose(file);
    fclose(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_damaged_checkpoint_is_treated_as_the_table_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
