/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demotion.c - a cache in flight from 8 bits down: how long each step takes, what it promises, by how much
 * the process really shrinks, and what it took before it gave (the kernel's figures).
 *
 *   demotion [MIB [LAYERS [huge|small]]]      of codes at 8 bits, 1024; 16; both one after the other
 *
 * Planes, layers of 8 KV heads of 128. In huge pages and in small ones: a cache that goes down step by
 * step, and one that goes to 4 bits at once. What time there is left with huge pages is mostly that of the
 * ends of planes that fill no huge page; the context decides how long they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "kv/kv.h"
#include "os/machine.h"

enum {
    LAYERS_MAX = 256,
    KV_HEADS = 8,
    HEAD_DIM = 128,
    WIDTH = KV_HEADS * HEAD_DIM,
    THREADS = 2,
};

typedef struct bench {
    snug_memory *memory;
    snug_kernels kernels;
    snug_work *work;
    snug_kv_layer layer[LAYERS_MAX];
    uint32_t layers;
    uint32_t tokens;
    bool is_huge;
    snug_kv *kv;
} bench;

static void die(const char *what)
{
    fprintf(stderr, "demotion: %s\n", what);
    exit(1);
}

static void fill(bench *b)
{
    static float x[WIDTH];
    snug_random random = { 1 };
    void *scratch = aligned_alloc(64, (THREADS * snug_kv_thread_scratch_bytes(HEAD_DIM) + 63) / 64 * 64);

    for (size_t i = 0; i < WIDTH; i++)
        x[i] = (float)snug_random_unit(&random) - 0.5f;
    if (!scratch || snug_kv_grow(b->kv, b->tokens, NULL) != SNUG_OK)
        die("there is no memory for a cache of this size");
    for (uint32_t layer = 0; layer < b->layers; layer++)
        for (uint32_t t = 0; t < b->tokens; t++) {
            if (t % SNUG_TILE_TOKENS == 0)
                (void)snug_kv_make_room(b->kv, b->work, layer, t, scratch);
            x[t % WIDTH] = -x[t % WIDTH];
            snug_kv_write(b->kv, layer, t, x, x);
        }
    snug_kv_set_tokens(b->kv, b->tokens);
    free(scratch);
}

/* "VmHWM:" of /proc/self/status and its kin, in bytes. */
static double kernel_bytes(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[256];
    double bytes = 0.0;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            bytes = strtod(line + strlen(key), NULL) * 1024.0;
    if (file)
        fclose(file);
    return bytes;
}

static void settle(bench *b)
{
    const uint64_t start = snug_os_clock_ns();

    snug_kv_settle(b->kv, UINT32_MAX);
    printf("  in huge pages now: %.0f of %.0f MiB, made in %.0f ms\n",
           kernel_bytes("/proc/self/smaps_rollup", "AnonHugePages:") / 0x1p20,
           (double)snug_kv_committed_bytes(b->kv) / 0x1p20, (double)(snug_os_clock_ns() - start) / 1e6);
}

static void make_cache(bench *b)
{
    const snug_kv_coding planes = { SNUG_KV_FORMAT_PLANES, 8, 0 };
    const snug_kv_shape shape = { b->layers, b->layer };
    const snug_kv_options options = { .struct_size = sizeof options,
                                      .context_tokens = b->tokens,
                                      .config = { .key = planes, .value = planes } };

    if (snug_kv_create(&b->kv, &shape, b->memory, &b->kernels, &options, NULL) != SNUG_OK)
        die("the cache cannot be made");
    fill(b);
    if (b->is_huge)
        settle(b);
}

static void reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (!file || fputs("5", file) < 0)
        fprintf(stderr, "demotion: this kernel does not reset the peak: the last column says nothing\n");
    if (file)
        fclose(file);
}

static void step(bench *b, const char *name, uint32_t bits)
{
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = bits, .value_bits = bits };
    uint64_t bytes, start, end;
    double before, fell, peak;

    reset_peak();
    before = kernel_bytes("/proc/self/status", "VmHWM:");
    fell = (double)snug_os_process_memory_read_exact("").anonymous_bytes;
    start = snug_os_clock_ns();
    if (snug_kv_demote(b->kv, &target, &bytes, NULL) != SNUG_OK)
        die("the cache cannot be demoted");
    end = snug_os_clock_ns();
    fell -= (double)snug_os_process_memory_read_exact("").anonymous_bytes;
    peak = kernel_bytes("/proc/self/status", "VmHWM:") - before;
    printf("  %-8s %9.2f ms  %8.1f MiB promised  %8.1f MiB returned  %6.1f MiB taken first\n", name,
           (double)(end - start) / 1e6, (double)bytes / 0x1p20, fell / 0x1p20, peak / 0x1p20);
}

static void run(bench *b)
{
    static const uint32_t bits[] = { 6, 5, 4, 3, 2 };
    uint32_t from = 8;

    printf("%s pages, step by step\n", b->is_huge ? "huge" : "small");
    make_cache(b);
    for (size_t i = 0; i < SNUG_COUNT(bits); from = bits[i++]) {
        char name[16];

        snprintf(name, sizeof name, "%u to %u", from, bits[i]);
        step(b, name, bits[i]);
    }
    snug_kv_destroy(b->kv);
    printf("%s pages, at once\n", b->is_huge ? "huge" : "small");
    make_cache(b);
    step(b, "8 to 4", 4);
    snug_kv_destroy(b->kv);
}

int main(int count, char **words)
{
    const double mib = count > 1 ? strtod(words[1], NULL) : 1024.0;
    bench b = { .layers = count > 2 ? (uint32_t)strtoul(words[2], NULL, 10) : 16 };

    if (count > 4 || mib < 16.0 || mib > 65536.0 || b.layers == 0 || b.layers > LAYERS_MAX)
        die("usage: demotion [MIB of codes, 16 to 65536 [LAYERS, 1 to 256 [huge or small]]]");
    b.tokens = (uint32_t)(mib * 0x1p20 / (b.layers * 2 * WIDTH));
    for (uint32_t i = 0; i < b.layers; i++)
        b.layer[i] = (snug_kv_layer){ .kv_head_count = KV_HEADS, .head_dim = HEAD_DIM };
    if (snug_memory_create(&b.memory, &(snug_memory_options){ .struct_size = sizeof(snug_memory_options) }) !=
            SNUG_OK ||
        snug_work_create(&b.work, b.memory, THREADS, NULL) != SNUG_OK)
        die("there is no memory");
    snug_kernels_init(&b.kernels, SNUG_CPU_AUTO, false);

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%u layers of %d KV heads of %d, %u tokens: planes of 8 bits, %.0f MiB\n", b.layers, KV_HEADS,
           HEAD_DIM, b.tokens, mib);
    for (int huge = 0; huge < 2; huge++) {
        b.is_huge = huge;
        if (count < 4 || strcmp(words[3], huge ? "huge" : "small") == 0)
            run(&b);
    }
    snug_work_destroy(b.work);
    snug_memory_destroy(b.memory);
    return 0;
}
