/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standalone.c - a main() for fuzz targets without libFuzzer: runs the target on each file given, in order.
 * A finding is replayed with any compiler, and in a debugger: fuzz_json_replay crash-1234.
 */
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    int result = 1;
    long length;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0)
        goto done;
    rewind(file);
    bytes = malloc(length ? (size_t)length : 1);
    if (!bytes || fread(bytes, 1, (size_t)length, file) != (size_t)length)
        goto done;
    LLVMFuzzerTestOneInput(bytes, (size_t)length);
    result = 0;
done:
    if (result != 0)
        fprintf(stderr, "%s: cannot be read\n", path);
    free(bytes);
    if (file)
        fclose(file);
    return result;
}

int main(int argument_count, char **arguments)
{
    int failed_count = 0;

    for (int i = 1; i < argument_count; i++)
        failed_count += replay(arguments[i]);
    printf("%d files replayed, %d could not be read\n", argument_count - 1 - failed_count, failed_count);
    return failed_count == 0 ? 0 : 1;
}
