/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - a run as a line in time: bytes by use and by the kernel's word, and what happened when.
 *
 * All room is taken before the plan is made, so that the plan counts it. When it is full every other sample
 * goes, and from then on they are taken half as often; events stay.
 */
#ifndef SNUG_CLI_PROFILE_H
#define SNUG_CLI_PROFILE_H

#include <stdio.h>

#include <snug/snug.h>

#include "cli/output.h"

#define CLI_PROFILE_SAMPLES 2048
#define CLI_PROFILE_EVENTS  256

typedef struct cli_profile_sample {
    uint64_t time_ns; /* since the ledger was made */
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT];
    uint64_t kernel_bytes; /* anonymous and shared memory of the process */
    uint64_t limit_bytes;
    uint32_t tokens; /* in the session */
} cli_profile_sample;

typedef struct cli_profile_event {
    uint64_t time_ns;
    uint32_t tokens;
    const char *kind; /* "load", "text", "session", "chunk", "decode", "relief", "pressure", "end" */
    char detail[96];
} cli_profile_event;

typedef struct cli_profile {
    const snug_memory *memory;
    const snug_session *session; /* NULL before there is one */
    uint64_t begin_ns;
    uint64_t interval_ns;
    uint64_t fixed_bytes; /* outside the ledger, as planned */
    uint64_t predicted_bytes;
    size_t sample_count;
    size_t event_count;
    size_t lost_events;
    cli_profile_sample sample[CLI_PROFILE_SAMPLES];
    cli_profile_event event[CLI_PROFILE_EVENTS];
} cli_profile;

/* NULL when memory ran out. Free with free(). */
cli_profile *cli_profile_create(void);

/* Take a sample if one is due. */
void cli_profile_tick(cli_profile *profile);

/* Take a sample, and note that something happened. */
void cli_profile_note(cli_profile *profile, const char *kind, const char *format, ...) SNUG_PRINTF(3, 4);

/* The sum over all uses, with what is outside the ledger. */
uint64_t cli_profile_total(const cli_profile *profile, const cli_profile_sample *sample);

/* Members "samples" and "events" of an object on standard output. */
void cli_profile_write_json(const cli_profile *profile);

/* False when writing failed. */
bool cli_profile_write_csv(const cli_profile *profile, FILE *file);

/* One picture that needs nothing else: no script, no font, for light and dark. */
bool cli_profile_write_svg(const cli_profile *profile, FILE *file, const char *title);

#endif /* SNUG_CLI_PROFILE_H */
