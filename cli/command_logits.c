/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_logits.c - the logits of every position for given ids, into a safetensors file: what is
 * compared with references. Rows go to the file as they are computed; the file gets its name when it is
 * complete.
 */
#include "cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/engine.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/system.h"

typedef struct logits_file {
    FILE *file;
    char partial[4200]; /* the name until it is complete */
    uint32_t vocabulary;
    int failed_errno;
} logits_file;

/* Header of a safetensors file: its length in 8 bytes, JSON, spaces up to a multiple of 8. */
static bool write_header(logits_file *out, uint64_t positions)
{
    const uint64_t bytes = positions * out->vocabulary * sizeof(float);
    char header[256];
    unsigned char length[8];
    int count = snprintf(header, sizeof header,
                         "{\"logits\":{\"dtype\":\"F32\",\"shape\":[%" PRIu64 ",%" PRIu32
                         "],\"data_offsets\":[0,%" PRIu64 "]}}",
                         positions, out->vocabulary, bytes);

    while (count % 8 != 0)
        header[count++] = ' ';
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)count >> (8 * i));
    return fwrite(length, 1, 8, out->file) == 8 &&
           fwrite(header, 1, (size_t)count, out->file) == (size_t)count;
}

/* One position; a snug_logits_fn. Little-endian, whatever the machine is. */
static bool write_row(void *user, uint32_t position, const float *logits)
{
    logits_file *out = user;
    unsigned char block[4096];

    (void)position;
    for (uint32_t done = 0; done < out->vocabulary;) {
        size_t bytes = 0;

        for (; bytes < sizeof block && done < out->vocabulary; done++) {
            uint32_t bits;

            memcpy(&bits, &logits[done], sizeof bits);
            for (int i = 0; i < 4; i++)
                block[bytes++] = (unsigned char)(bits >> (8 * i));
        }
        if (fwrite(block, 1, bytes, out->file) != bytes) {
            out->failed_errno = errno ? errno : EIO;
            return false;
        }
    }
    return !cli_is_interrupted();
}

static cli_exit open_output(logits_file *out, const char *path, uint64_t positions)
{
    const int bytes = snprintf(out->partial, sizeof out->partial, "%s.partial-%ld", path, (long)getpid());

    if (bytes < 0 || (size_t)bytes >= sizeof out->partial)
        return cli_fail(CLI_USAGE, "the path of --out is too long");
    out->file = fopen(out->partial, "wb");
    if (!out->file || !write_header(out, positions))
        return cli_fail(CLI_FAILED, "cannot write %s: %s", out->partial, strerror(errno));
    return CLI_DONE;
}

/* Give a complete file its name, remove any other. */
static cli_exit close_output(logits_file *out, const char *path, cli_exit status)
{
    const bool was_open = out->file != NULL;

    if (was_open && fclose(out->file) != 0 && status == CLI_DONE)
        status = cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    if (status == CLI_DONE && rename(out->partial, path) != 0)
        status = cli_fail(CLI_FAILED, "cannot rename %s to %s: %s", out->partial, path, strerror(errno));
    if (status != CLI_DONE && was_open)
        (void)remove(out->partial);
    return status;
}

static cli_exit compute(cli_engine *engine, const cli_ids *ids, uint32_t first, logits_file *out)
{
    const snug_eval_options eval = {
        .struct_size = sizeof eval,
        .keep_going = cli_keep_going,
        .logits_from = first,
        .on_logits = write_row,
        .user = out,
    };
    snug_error error = { SNUG_OK, "" };
    const snug_status status = snug_session_eval(engine->session, ids->id, ids->count, &eval, &error);

    if (out->failed_errno)
        return cli_fail(CLI_FAILED, "cannot write %s: %s", out->partial, strerror(out->failed_errno));
    if (status == SNUG_ERR_CANCELLED)
        return cli_fail(CLI_INTERRUPTED, "interrupted: no file was written");
    return status == SNUG_OK ? CLI_DONE : cli_fail_error(&error);
}

/* Without --context, exactly as long as the ids are. */
static cli_exit prepare(cli_engine *engine, const cli_options *options, cli_options *adjusted,
                        const cli_ids *ids)
{
    const cli_request request = { .prompt_tokens = (uint32_t)ids->count,
                                  .max_tokens = 1,
                                  .fits_chunk = true };
    cli_exit status;

    *adjusted = *options;
    if (adjusted->context == 0)
        adjusted->context = ids->count;
    status = cli_engine_open(engine, adjusted);
    if (status == CLI_DONE)
        status = cli_engine_plan(engine, &request);
    if (status == CLI_DONE)
        status = cli_engine_start(engine);
    return status;
}

cli_exit cli_command_logits(const cli_options *options)
{
    cli_engine engine = { 0 };
    cli_options adjusted;
    cli_ids ids = { 0 };
    logits_file out = { 0 };
    snug_error error = { SNUG_OK, "" };
    cli_exit status;
    uint32_t first;

    if (!options->ids || !options->out)
        return cli_fail(CLI_USAGE, "logits needs --ids FILE.json and --out FILE.safetensors");
    if (cli_read_ids(&ids, options->ids, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (ids.count == 0 || ids.count > UINT32_MAX) {
        cli_ids_free(&ids);
        return cli_fail(CLI_USAGE, "%s: expected at least one id", options->ids);
    }
    first = options->last && options->last < ids.count ? (uint32_t)(ids.count - options->last) : 0;
    cli_interrupt_arm();
    status = prepare(&engine, options, &adjusted, &ids);
    out.vocabulary = engine.info.vocabulary;
    if (status == CLI_DONE)
        status = open_output(&out, options->out, ids.count - first);
    if (status == CLI_DONE)
        status = compute(&engine, &ids, first, &out);
    status = close_output(&out, options->out, status);
    if (status == CLI_DONE)
        cli_report_peak(&engine, 1);
    cli_engine_close(&engine);
    cli_ids_free(&ids);
    return status;
}
