/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile_svg.c - the picture of a profile: uses stacked over time, the kernel's figure as a line on them,
 * the prediction, the limit and its bands where they are near enough to be seen, and what happened when.
 */
#include "cli/profile.h"

#include <string.h>

#include "base/status.h"
#include "cli/value.h"

enum {
    LEFT = 84,
    TOP = 64,
    WIDTH = 800,
    HEIGHT = 340,
    ROW = 20,          /* of the legend */
    EVENTS_ABOVE = 12, /* labels take turns in two rows */
    LAYERS = SNUG_MEMORY_USE_COUNT + 1,
};

typedef struct scale {
    double end_ns;
    double top_bytes;
} scale;

static const char style[] =
    "<style>\n"
    ".ground{fill:#ffffff}text{fill:#24292f;font:12px sans-serif}.title{font-size:15px;font-weight:bold}\n"
    ".faint{fill:#57606a}.grid{stroke:#24292f;stroke-opacity:.13}.kernel{stroke:#111111}\n"
    ".predicted{stroke:#24292f}.event{stroke:#57606a;stroke-opacity:.55}.limit{stroke:#c62828}\n"
    ".u0{fill:#8c96a0}.u1{fill:#3b7dd8}.u2{fill:#e08a2e}.u3{fill:#3f9e6e}.u4{fill:#9a63c9}.u5{fill:#b5a436}\n"
    ".u6{fill:#cfd4d9}.relief{stroke:#c2185b}\n"
    "@media(prefers-color-scheme:dark){.ground{fill:#14171b}text{fill:#e3e7eb}.faint{fill:#9aa4ae}\n"
    ".grid{stroke:#e3e7eb}.kernel{stroke:#ffffff}.predicted{stroke:#e3e7eb}.event{stroke:#9aa4ae}\n"
    ".limit{stroke:#ff6b6b}.u0{fill:#6b7580}.u1{fill:#2f67b5}.u2{fill:#b96f21}.u3{fill:#2f7d56}\n"
    ".u4{fill:#7d4ea6}.u5{fill:#8f822a}.u6{fill:#454c54}.relief{stroke:#ff77a9}}\n"
    "</style>\n";

static double x_of(const scale *s, uint64_t time_ns)
{
    return LEFT + (double)time_ns / s->end_ns * WIDTH;
}

static double y_of(const scale *s, double bytes)
{
    return TOP + HEIGHT - bytes / s->top_bytes * HEIGHT;
}

/* Layer 0 is what lies outside the ledger, then the uses. */
static uint64_t layer_bytes(const cli_profile *profile, const cli_profile_sample *sample, int layer)
{
    return layer == 0 ? profile->fixed_bytes : sample->use_bytes[layer - 1];
}

static const char *layer_name(int layer)
{
    return layer == 0 ? "fixed" : snug_memory_use_name((snug_memory_use)(layer - 1));
}

static int layer_class(int layer)
{
    return layer == 0 ? SNUG_MEMORY_USE_COUNT : layer - 1;
}

static uint64_t last_limit(const cli_profile *profile)
{
    return profile->sample[profile->sample_count - 1].limit_bytes;
}

static bool is_limit_near(const cli_profile *profile, double highest)
{
    return last_limit(profile) < SNUG_MEMORY_NO_LIMIT && (double)last_limit(profile) <= 2.5 * highest;
}

static scale make_scale(const cli_profile *profile)
{
    double highest = (double)profile->predicted_bytes;

    for (size_t i = 0; i < profile->sample_count; i++) {
        const cli_profile_sample *sample = &profile->sample[i];
        const double total = (double)cli_profile_total(profile, sample);

        highest = total > highest ? total : highest;
        if (sample->kernel_bytes < SNUG_MEMORY_NO_LIMIT && (double)sample->kernel_bytes > highest)
            highest = (double)sample->kernel_bytes;
    }
    if (is_limit_near(profile, highest) && (double)last_limit(profile) > highest)
        highest = (double)last_limit(profile);
    return (scale){ (double)profile->sample[profile->sample_count - 1].time_ns + 1, highest * 1.06 };
}

/* --- its parts ----------------------------------------------------------------------------------------- */

static void draw_grid(FILE *file, const scale *s, const cli_profile *profile)
{
    uint64_t step = 65536;

    while (s->top_bytes / (double)step > 8)
        step *= 2;
    for (uint64_t bytes = 0; (double)bytes < s->top_bytes; bytes += step) {
        const double y = y_of(s, (double)bytes);

        fprintf(file, "<path class=\"grid\" d=\"M%d %.1fh%d\"/>", LEFT, y, WIDTH);
        fprintf(file, "<text class=\"faint\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8,
                y + 4, cli_size(bytes).text);
    }
    for (int i = 0; i <= 8; i++) {
        const uint64_t at = (uint64_t)(s->end_ns * i / 8);
        size_t next = 0;

        while (next + 1 < profile->sample_count && profile->sample[next].time_ns < at)
            next++;
        fprintf(file, "<text class=\"faint\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.3g s</text>",
                x_of(s, at), TOP + HEIGHT + 18, (double)at / 1e9);
        fprintf(file, "<text class=\"faint\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%u</text>\n",
                x_of(s, at), TOP + HEIGHT + 34, profile->sample[next].tokens);
    }
    fprintf(file, "<text class=\"faint\" x=\"%d\" y=\"%d\" text-anchor=\"end\">tokens</text>\n", LEFT - 24,
            TOP + HEIGHT + 34);
}

/* A use changes at once, not on the way to the next sample: steps. */
static void draw_layer(FILE *file, const scale *s, const cli_profile *profile, int layer)
{
    const cli_profile_sample *sample = profile->sample;
    double below = 0, x = LEFT, y = y_of(s, 0);

    for (size_t i = 0; i < profile->sample_count; i++)
        below += (double)layer_bytes(profile, &sample[i], layer);
    if (below == 0)
        return;
    fprintf(file, "<path class=\"u%d\" d=\"M%.1f %.1f", layer_class(layer), x, y);
    for (size_t i = 0; i < profile->sample_count; i++) {
        double top = 0;

        for (int each = 0; each <= layer; each++)
            top += (double)layer_bytes(profile, &sample[i], each);
        fprintf(file, "H%.1fV%.1f", x_of(s, sample[i].time_ns), y_of(s, top));
    }
    fprintf(file, "H%dV%.1fZ\"/>\n", LEFT + WIDTH, y_of(s, 0));
}

static void draw_kernel(FILE *file, const scale *s, const cli_profile *profile)
{
    fprintf(file, "<polyline class=\"kernel\" fill=\"none\" stroke-width=\"1.6\" points=\"");
    for (size_t i = 0; i < profile->sample_count; i++)
        if (profile->sample[i].kernel_bytes < SNUG_MEMORY_NO_LIMIT)
            fprintf(file, "%.1f,%.1f ", x_of(s, profile->sample[i].time_ns),
                    y_of(s, (double)profile->sample[i].kernel_bytes));
    fprintf(file, "\"/>\n");
}

typedef struct line {
    const char *class;
    const char *dashes;
    const char *name;
    bool is_named_left; /* where the areas are low */
} line;

static void draw_line(FILE *file, const scale *s, const line *l, double bytes)
{
    const double y = y_of(s, bytes);

    fprintf(
        file,
        "<path class=\"%s\" fill=\"none\" stroke-width=\"1.4\" stroke-dasharray=\"%s\" d=\"M%d %.1fh%d\"/>",
        l->class, l->dashes, LEFT, y, WIDTH);
    fprintf(file, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"%s\">%s %s</text>\n",
            l->is_named_left ? LEFT + 4 : LEFT + WIDTH - 4, y - 4, l->is_named_left ? "start" : "end",
            l->name, cli_size((uint64_t)bytes).text);
}

static void draw_limit(FILE *file, const scale *s, const cli_profile *profile)
{
    static const line limit_line = { "limit", "none", "limit", false };
    static const struct {
        double share;
        line line;
    } bands[] = {
        { 0.50, { "limit", "1 5", "pressure medium from", true } },
        { 0.70, { "limit", "1 5", "high from", true } },
        { 0.85, { "limit", "1 5", "critical above", true } },
    };
    const double limit = (double)last_limit(profile);

    if (limit > s->top_bytes)
        return;
    draw_line(file, s, &limit_line, limit);
    for (size_t i = 0; i < SNUG_COUNT(bands); i++)
        draw_line(file, s, &bands[i].line, limit * bands[i].share);
}

/* Labels that would lie on one another are left out; their lines stay. */
static void draw_events(FILE *file, const scale *s, const cli_profile *profile)
{
    double free_from[2] = { 0, 0 };

    for (size_t i = 0; i < profile->event_count; i++) {
        const cli_profile_event *event = &profile->event[i];
        const double x = x_of(s, event->time_ns);
        const int row = x >= free_from[0] ? 0 : 1;

        fprintf(file, "<path class=\"%s\" d=\"M%.1f %dv%d\"><title>%s %s</title></path>",
                strcmp(event->kind, "relief") == 0 ? "relief" : "event", x, TOP - 4, HEIGHT + 4, event->kind,
                event->detail);
        if (x >= free_from[row]) {
            fprintf(file, "<text class=\"faint\" x=\"%.1f\" y=\"%d\">%s</text>", x,
                    TOP - 8 - row * EVENTS_ABOVE, event->kind);
            free_from[row] = x + 8.0 * (double)strlen(event->kind);
        }
        fprintf(file, "\n");
    }
}

static void draw_legend(FILE *file, const scale *s, const cli_profile *profile)
{
    const int y = TOP + HEIGHT + 62;
    int x = LEFT;

    for (int layer = 0; layer < LAYERS; layer++) {
        uint64_t peak = 0;
        char text[64];

        for (size_t i = 0; i < profile->sample_count; i++)
            if (layer_bytes(profile, &profile->sample[i], layer) > peak)
                peak = layer_bytes(profile, &profile->sample[i], layer);
        if (peak == 0)
            continue;
        snprintf(text, sizeof text, "%s %s", layer_name(layer), cli_size(peak).text);
        fprintf(file, "<rect class=\"u%d\" x=\"%d\" y=\"%d\" width=\"12\" height=\"12\"/>",
                layer_class(layer), x, y - 10);
        fprintf(file, "<text x=\"%d\" y=\"%d\">%s</text>\n", x + 18, y, text);
        x += 44 + 7 * (int)strlen(text);
    }
    fprintf(file,
            "<path class=\"kernel\" stroke-width=\"1.6\" d=\"M%d %dh24\"/><text x=\"%d\" y=\"%d\">what the "
            "kernel "
            "counts as the process's own</text>\n",
            LEFT, y + ROW - 4, LEFT + 32, y + ROW);
    if (last_limit(profile) < SNUG_MEMORY_NO_LIMIT && (double)last_limit(profile) > s->top_bytes)
        fprintf(file,
                "<text class=\"faint\" x=\"%d\" y=\"%d\" text-anchor=\"end\">the limit, %s, is far "
                "above</text>\n",
                LEFT + WIDTH, y + ROW, cli_size(last_limit(profile)).text);
}

bool cli_profile_write_svg(const cli_profile *profile, FILE *file, const char *title)
{
    static const line predicted_line = { "predicted", "6 4", "predicted peak", false };
    const scale s = make_scale(profile);
    const int width = LEFT + WIDTH + 24, height = TOP + HEIGHT + 96;

    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n",
            width, height, width, height);
    fprintf(file, "%s<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n", style);
    fprintf(file, "<text class=\"title\" x=\"%d\" y=\"24\">%s</text>\n", LEFT, title);
    draw_grid(file, &s, profile);
    for (int layer = LAYERS - 1; layer >= 0; layer--)
        draw_layer(file, &s, profile, layer); /* each down to the ground: the next covers it */
    draw_kernel(file, &s, profile);
    draw_events(file, &s, profile);
    draw_line(file, &s, &predicted_line, (double)profile->predicted_bytes);
    draw_limit(file, &s, profile);
    draw_legend(file, &s, profile);
    fprintf(file, "</svg>\n");
    return !ferror(file);
}
