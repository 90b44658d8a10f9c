/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_rm.c - takes a fetched model off this machine.
 */
#include "cli/commands.h"

#include <snug/hub.h>

#include "cli/catalog.h"
#include "cli/hub_name.h"
#include "cli/report.h"
#include "cli/value.h"

static cli_exit take_away(const cli_catalog *catalog, const char *text)
{
    snug_error error = { SNUG_OK, "" };
    cli_hub_name name;
    uint64_t bytes;
    const cli_exit status = cli_hub_name_read(&name, catalog, text);

    if (status != CLI_DONE)
        return status;
    if (snug_hub_remove(&bytes, catalog->cache_folder, name.repository, name.file, &error) != SNUG_OK)
        return cli_fail_error(&error);
    cli_print("removed %s%s%s: %s\n", name.repository, name.file[0] ? ":" : "", name.file,
              cli_size(bytes).text);
    return CLI_DONE;
}

cli_exit cli_command_rm(const cli_options *options)
{
    cli_catalog catalog;
    cli_exit status;

    if (!options->operand)
        return cli_fail(CLI_USAGE, "rm needs a name: one that llm-tool models --installed lists");
    status = cli_catalog_open(&catalog);
    if (status != CLI_DONE)
        return status;
    status = take_away(&catalog, options->operand);
    cli_report_ledger(options, catalog.memory);
    cli_catalog_close(&catalog);
    return status;
}
