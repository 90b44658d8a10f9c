/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear.c - matrix products of a chunk: the input is brought into the kernel's form once, then the rows
 * of all weights that share it are split over the threads in one go.
 *
 * A part is a run of rows. Each output value is computed whole by one kernel call, and kernels promise
 * that its bits do not depend on the other rows of the call: so the split may follow the sizes freely.
 */
#include "model/blocks/blocks.h"

#include "base/size.h"
#include "base/status.h"

/* Rows of a part are a multiple of this: the row block of the widest kernel. */
#define ROW_UNIT 64
/* When reading weights is the cost: weight bytes of a part, long enough to hide the hand-out, short enough to
 * even out; and what its rows are a multiple of: a line of output, that no two threads write. */
#define PART_BYTES_FEW ((size_t)256 * 1024)
#define ROW_UNIT_FEW   16
/* Where what is read at once is limited, a thread multiplies by one window of rows while the next is read. */
#define WINDOW_BYTES_MOST  ((size_t)128 * 1024)
#define WINDOW_BYTES_LEAST ((size_t)16 * 1024)

typedef struct linear_job {
    snug_pass *pass;
    const snug_linear *linears;
    const snug_matmul *matmul; /* all weights of a job have one type */
    size_t count;
    size_t input_bytes;
    size_t row_unit;
    size_t window_bytes;               /* 0: the system reads as it likes */
    size_t part_end[SNUG_LINEARS_MAX]; /* parts of linears 0 .. i */
    const float *input;
    size_t input_stride;
} linear_job;

static const snug_matmul *matmul_for(const snug_model *model, snug_type type, uint32_t tokens)
{
    return tokens <= SNUG_MATMUL_FEW_TOKENS ? model->kernels.matmul_few[type]
                                            : model->kernels.matmul_many[type];
}

size_t snug_block_prepared_bytes(const snug_model *model, uint32_t columns)
{
    size_t bytes = 0;

    for (int type = 0; type < SNUG_TYPE_COUNT; type++) {
        if (!(model->matmul_types & 1u << type))
            continue;
        bytes = snug_max_size(bytes, model->kernels.matmul_few[type]->input_bytes(columns));
        bytes = snug_max_size(bytes, model->kernels.matmul_many[type]->input_bytes(columns));
    }
    return bytes;
}

size_t snug_block_linear_scratch_bytes(const snug_model *model, uint32_t columns)
{
    size_t bytes = 0;

    for (int type = 0; type < SNUG_TYPE_COUNT; type++) {
        if (!(model->matmul_types & 1u << type))
            continue;
        bytes = snug_max_size(bytes, model->kernels.matmul_few[type]->scratch_bytes(columns));
        bytes = snug_max_size(bytes, model->kernels.matmul_many[type]->scratch_bytes(columns));
    }
    return snug_round_up(bytes, 64);
}

static void prepare_token(void *user, uint32_t token)
{
    const linear_job *job = user;

    job->matmul->prepare((unsigned char *)job->pass->prepared + token * job->input_bytes,
                         job->input + token * job->input_stride, job->linears[0].weight->columns);
}

static void run_rows(const linear_job *job, const snug_linear *linear, size_t first_row, size_t rows,
                     uint32_t worker)
{
    const snug_matmul_task task = {
        .out = linear->out + first_row,
        .out_stride = linear->out_stride,
        .weight = snug_weight_rows(linear->weight, (uint32_t)first_row, (uint32_t)rows),
        .input = job->pass->prepared,
        .input_bytes = job->input_bytes,
        .tokens = job->pass->tokens,
        .scratch = (unsigned char *)job->pass->thread_scratch + worker * job->pass->thread_scratch_bytes,
    };

    job->matmul->run(&task);
}

static void fetch_rows(const snug_weight *weight, size_t first_row, size_t rows)
{
    const snug_weight fetched = snug_weight_rows(weight, (uint32_t)first_row, (uint32_t)rows);

    snug_checkpoint_will_need(&fetched);
}

/* What is mapped counts when the kernel chooses whom to kill, and takes longer to be dropped. */
static void let_rows_go(const snug_weight *weight, size_t first_row, size_t rows)
{
    const snug_weight used = snug_weight_rows(weight, (uint32_t)first_row, (uint32_t)rows);

    snug_checkpoint_was_used(&used);
}

static void run_windows(const linear_job *job, const snug_linear *linear, size_t first_row, size_t end_row,
                        uint32_t worker)
{
    const snug_weight *weight = linear->weight;
    const size_t row_bytes = weight->row_bytes + 2 * snug_weight_scale_row_bytes(weight);
    const size_t window_rows = snug_max_size(job->window_bytes / row_bytes, 1);
    size_t rows = snug_min_size(window_rows, end_row - first_row);

    fetch_rows(weight, first_row, rows);
    while (rows > 0) {
        const size_t next = first_row + rows;
        const size_t next_rows = snug_min_size(window_rows, end_row - next);

        if (next_rows > 0)
            fetch_rows(weight, next, next_rows);
        run_rows(job, linear, first_row, rows, worker);
        let_rows_go(weight, first_row, rows);
        first_row = next;
        rows = next_rows;
    }
}

/* Where a part of equal ones begins, in rows. */
static size_t first_row_of(size_t part, size_t parts, size_t rows, size_t unit)
{
    return part == parts ? rows : part * snug_divide_up(rows, unit) / parts * unit;
}

static void run_part(void *user, size_t part, uint32_t worker)
{
    const linear_job *job = user;
    size_t i = 0;

    while (part >= job->part_end[i])
        i++;
    const snug_linear *linear = &job->linears[i];
    const size_t begin = i ? job->part_end[i - 1] : 0;
    const size_t parts = job->part_end[i] - begin;
    const size_t first_row = first_row_of(part - begin, parts, linear->weight->rows, job->row_unit);
    const size_t end_row = first_row_of(part - begin + 1, parts, linear->weight->rows, job->row_unit);

    if (job->window_bytes > 0)
        run_windows(job, linear, first_row, end_row, worker);
    else
        run_rows(job, linear, first_row, end_row - first_row, worker);
}

/* Two windows of each thread are on their way at once. */
static size_t window_bytes(snug_pass *pass)
{
    const uint64_t reading_bytes = pass->model->reading_bytes;
    const size_t share = (size_t)(reading_bytes / (2 * snug_work_threads(pass->work)));

    if (reading_bytes == SNUG_MEMORY_NO_LIMIT || !snug_read_watch_asks(&pass->reading))
        return 0;
    return snug_max_size(snug_min_size(share, WINDOW_BYTES_MOST), WINDOW_BYTES_LEAST);
}

/*
 * Where reading is the cost, a multiple of the threads: parts take equally long, and of 7 by two threads one
 * would wait for a whole part. As many as there are row units otherwise.
 */
static size_t part_count(const linear_job *job, const snug_weight *weight, bool is_reading)
{
    const size_t units = snug_divide_up(weight->rows, job->row_unit);
    const size_t threads = snug_work_threads(job->pass->work);
    const size_t parts = snug_divide_up((size_t)weight->rows * weight->row_bytes, PART_BYTES_FEW);

    if (!is_reading)
        return units;
    return snug_min_size(parts > threads ? snug_divide_up(parts, threads) * threads : parts, units);
}

/* Products whose weights have the same type, at most SNUG_LINEARS_MAX of them. */
static void run_same_type(linear_job *job)
{
    const snug_weight *first = job->linears[0].weight;
    const uint32_t account = snug_work_charge(job->pass->work, SNUG_ACCOUNT_INPUTS);
    bool is_reading;
    size_t parts = 0;

    job->matmul = matmul_for(job->pass->model, first->type, job->pass->tokens);
    job->input_bytes = job->matmul->input_bytes(first->columns);
    job->window_bytes = window_bytes(job->pass);
    job->row_unit = job->pass->tokens <= SNUG_MATMUL_FEW_TOKENS ? ROW_UNIT_FEW : ROW_UNIT;
    is_reading = job->pass->tokens <= SNUG_MATMUL_FEW_TOKENS || job->window_bytes > 0;
    snug_block_each_token(job->pass, prepare_token, job);
    for (size_t i = 0; i < job->count; i++) {
        SNUG_ASSERT(job->linears[i].weight->columns == first->columns);
        parts += part_count(job, job->linears[i].weight, is_reading);
        job->part_end[i] = parts;
    }
    (void)snug_work_charge(job->pass->work, SNUG_ACCOUNT_MATMUL + (uint32_t)first->type);
    snug_work_run_watched(job->pass->work, run_part, job, parts);
    (void)snug_work_charge(job->pass->work, account);
}

void snug_block_linear(snug_pass *pass, const snug_linear *linears, size_t count, const float *input,
                       size_t input_stride)
{
    linear_job job = { .pass = pass, .input = input, .input_stride = input_stride };
    size_t begin = 0;

    SNUG_ASSERT(count <= SNUG_LINEARS_MAX);
    while (begin < count) { /* files may mix types: neighbours of one type go together */
        size_t end = begin + 1;

        while (end < count && linears[end].weight->type == linears[begin].weight->type)
            end++;
        job.linears = linears + begin;
        job.count = end - begin;
        run_same_type(&job);
        begin = end;
    }
}
