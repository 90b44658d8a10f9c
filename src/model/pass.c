/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass.c - one pass through a model: its buffers, counted and carved by the same code, and its two steps.
 */
#include "model/model.h"

#include <math.h>

#include "base/size.h"
#include "base/status.h"
#include "model/blocks/blocks.h"

void *snug_scratch_take(snug_scratch *scratch, size_t bytes)
{
    void *taken = scratch->base ? scratch->base + scratch->used_bytes : NULL;

    scratch->used_bytes += snug_round_up(bytes, 64);
    return taken;
}

void snug_pass_layout(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens_max,
                      uint32_t threads)
{
    const snug_model_shape *s = &model->shape;
    const uint32_t columns = s->widest_input;
    const size_t angles = (size_t)tokens_max * (s->head_dim / 2) * sizeof(float);

    pass->model = model;
    pass->hidden = snug_scratch_take(scratch, (size_t)tokens_max * s->hidden * sizeof(float));
    pass->prepared = snug_scratch_take(scratch, tokens_max * snug_block_prepared_bytes(model, columns));
    for (uint32_t kind = 0; kind < s->rope_count; kind++) {
        pass->angles[kind].cosine = snug_scratch_take(scratch, angles);
        pass->angles[kind].sine = snug_scratch_take(scratch, angles);
    }
    pass->thread_scratch_bytes = snug_max_size(snug_block_linear_scratch_bytes(model, columns),
                                               snug_kv_thread_scratch_bytes(s->head_dim));
    pass->thread_scratch = snug_scratch_take(scratch, threads * pass->thread_scratch_bytes);
    pass->parts_scratch = snug_scratch_take(scratch, snug_kv_parts_scratch_bytes(s->head_count, s->head_dim));
    model->family->layout(pass, scratch, model, tokens_max);
}

/* What is neither product nor attention is done to each token by itself. */
static void run_forward(snug_pass *pass)
{
    const uint32_t account = snug_work_charge(pass->work, SNUG_ACCOUNT_ELEMENTWISE);

    pass->model->family->forward(pass);
    (void)snug_work_charge(pass->work, account);
}

void snug_model_forward(snug_pass *pass)
{
    if (pass->model->reading_bytes == SNUG_MEMORY_NO_LIMIT) {
        run_forward(pass);
        return;
    }
    snug_read_watch_begin(&pass->reading);
    run_forward(pass);
    snug_read_watch_end(&pass->reading, !snug_work_is_given_up(pass->work));
}

/* Logits of one part of the cap's work. */
#define CAP_PART ((size_t)16384)

typedef struct cap_work {
    float *logits;
    size_t count;
    float cap;
} cap_work;

static void cap_part(void *user, size_t part, uint32_t worker)
{
    const cap_work *w = user;
    const size_t end = snug_min_size((part + 1) * CAP_PART, w->count);

    (void)worker;
    for (size_t i = part * CAP_PART; i < end; i++)
        w->logits[i] = w->cap * tanhf(w->logits[i] / w->cap);
}

void snug_model_logits(float *logits_out, snug_pass *pass, uint32_t first_token, uint32_t tokens)
{
    const snug_model *model = pass->model;
    const snug_linear head = { &model->head, logits_out, model->shape.vocabulary };
    snug_pass rows = *pass;

    SNUG_ASSERT(tokens <= SNUG_MATMUL_FEW_TOKENS && first_token + tokens <= pass->tokens);
    rows.tokens = tokens;
    snug_block_linear(&rows, &head, 1, pass->hidden + (size_t)first_token * model->shape.hidden,
                      model->shape.hidden);
    if (model->shape.logit_cap > 0.0f) {
        cap_work work = { logits_out, (size_t)tokens * model->shape.vocabulary, model->shape.logit_cap };

        snug_work_run(pass->work, cap_part, &work, snug_divide_up(work.count, CAP_PART));
    }
}
