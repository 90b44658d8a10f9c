/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - numbers and sizes as people type them, and sizes as people read them.
 */
#ifndef SNUG_CLI_VALUE_H
#define SNUG_CLI_VALUE_H

#include <snug/base.h>

/* A whole number without sign, in decimal. False for anything else or more than 64 bits. */
bool cli_value_count(uint64_t *out, const char *text);

/* A finite number: 0.6, 1e-3. */
bool cli_value_number(double *out, const char *text);

/* Bytes: K M G T and KiB MiB GiB TiB count in 1024, kB MB GB TB in 1000; a bare number is bytes. */
bool cli_value_size(uint64_t *out, const char *text);

/* "80%", "12.5%": more than 0, at most 100. */
bool cli_value_percent(double *out, const char *text);

/* "12.3 MiB", "1.5 GiB", "812 KiB": three digits or so, for reports. */
typedef struct cli_size_text {
    char text[24];
} cli_size_text;

cli_size_text cli_size(uint64_t bytes);

#endif /* SNUG_CLI_VALUE_H */
