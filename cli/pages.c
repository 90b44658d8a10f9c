/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.c - a program of the build: writes the manual page or the bash completion from the table of
 * options.
 *
 *   pages manual FILE    FILE with "@OPTIONS@" replaced by commands and options, "@VERSION@" by the version
 *   pages completion
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <snug/version.h>

#include "cli/help.h"

static int write_manual(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[512];

    if (!file) {
        perror(path);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof line, file)) {
        const char *version = strstr(line, "@VERSION@");

        if (strcmp(line, "@OPTIONS@\n") == 0)
            cli_help_manual(stdout);
        else if (version)
            printf("%.*s%s%s", (int)(version - line), line, SNUG_VERSION_TEXT, version + strlen("@VERSION@"));
        else
            fputs(line, stdout);
    }
    (void)fclose(file);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[1], "manual") == 0)
        return write_manual(words[2]);
    if (count == 2 && strcmp(words[1], "completion") == 0) {
        cli_help_completion(stdout);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fputs("usage: pages manual FILE | pages completion\n", stderr);
    return EXIT_FAILURE;
}
