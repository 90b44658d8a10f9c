/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generate.c - one prompt, one answer, inside a budget: all of libsnug that a small program needs.
 *
 *   cc generate.c $(pkg-config --cflags --libs snug) -o generate
 *   ./generate MODEL "Tell me a story about a dog." 256
 *
 * The third word is the budget in MiB. What would not fit is refused before a weight is read.
 */
#include <stdio.h>
#include <stdlib.h>

#include <snug/snug.h>

static bool print_token(void *user, uint32_t id, const char *text, size_t bytes)
{
    (void)user;
    (void)id;
    fwrite(text, 1, bytes, stdout);
    return fflush(stdout) == 0;
}

/* The prompt as the model's chat template writes it, as ids. */
static snug_status encode(const snug_text *text, const char *prompt, uint32_t **ids_out, size_t *count_out,
                          snug_error *error)
{
    const snug_message message = { "user", prompt };
    snug_status status;
    char *rendered;
    size_t bytes;

    status = snug_text_chat(text, &rendered, &bytes, &message, 1, NULL, error);
    if (status != SNUG_OK)
        return status;
    *ids_out = malloc(snug_text_encode_bound(text, bytes) * sizeof **ids_out);
    status = *ids_out ? snug_text_encode(text, *ids_out, snug_text_encode_bound(text, bytes), count_out,
                                         rendered, bytes, 0, error)
                      : SNUG_ERR_NO_MEMORY;
    snug_text_free_string(text, rendered);
    return status;
}

int main(int count, char **words)
{
    const uint64_t budget = count > 3 ? strtoull(words[3], NULL, 10) << 20 : 0;
    snug_memory_options limits = { .struct_size = sizeof limits, .hard_bytes = budget };
    snug_session_options session_options = { .struct_size = sizeof session_options };
    snug_generate_options options = { .struct_size = sizeof options,
                                      .max_tokens = 256,
                                      .on_token = print_token };
    snug_plan plan;
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };
    snug_memory *memory = NULL;
    snug_model *model = NULL;
    snug_text *text = NULL;
    snug_session *session = NULL;
    uint32_t *ids = NULL;
    size_t id_count = 0;
    snug_status status;

    if (count < 3) {
        fprintf(stderr, "usage: generate MODEL PROMPT [MIB]\n");
        return 2;
    }
    status = snug_memory_create(&memory, &limits);
    if (status == SNUG_OK)
        status = snug_model_open(&model, memory, words[1], NULL, &error);
    if (status == SNUG_OK)
        status = snug_text_open(&text, memory, words[1], &error);
    if (status == SNUG_OK)
        status = encode(text, words[2], &ids, &id_count, &error);
    /* Cache format and prefill chunk are the plan's; what cannot fit is refused here, with the figures. */
    session_options.context_tokens = (uint32_t)id_count + options.max_tokens;
    if (status == SNUG_OK)
        status = snug_session_create_adaptive(&session, &plan, model, memory, &session_options, &error);
    if (status == SNUG_OK)
        fprintf(stderr, "at most %.1f MiB\n", (double)plan.peak_bytes / 0x1p20);
    options.sample = (snug_sample_options){ .struct_size = sizeof options.sample, .temperature = 0.6 };
    if (status == SNUG_OK)
        status = snug_session_generate(&result, session, text, ids, id_count, NULL, &options, &error);
    if (status == SNUG_OK)
        printf("\n");
    else
        fprintf(stderr, "%s\n", error.text[0] ? error.text : snug_status_text(status));

    free(ids);
    snug_session_destroy(session);
    snug_text_close(text);
    snug_model_close(model);
    snug_memory_destroy(memory);
    return status == SNUG_OK ? 0 : 1;
}
