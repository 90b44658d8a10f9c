/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - what each control group from our own upwards says about memory.
 *
 * Whatever cannot be read is unknown, which is not the same as unlimited. Documentation: the kernel's
 * cgroup-v2.rst and cgroup-v1/memory.rst.
 */
#include "os/cgroup.h"

#include <stdio.h>
#include <string.h>

#include "os/read.h"

#define PATH_BYTES SNUG_OS_CGROUP_PATH_BYTES

/* v1 writes the largest multiple of the page below 2^63 for "no limit"; nobody has as much. */
#define V1_NO_LIMIT_FROM ((uint64_t)1 << 62)

static bool copy_text(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);

    if (length >= capacity)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

static uint64_t v1_limit(uint64_t bytes)
{
    return bytes >= V1_NO_LIMIT_FROM && bytes != SNUG_OS_UNKNOWN ? SNUG_OS_NO_LIMIT : bytes;
}

/* The file `name` of a level; empty when it cannot be read. */
static bool read_level_file(const snug_os_cgroup_place *place, const char *name, char *out, size_t capacity)
{
    char path[SNUG_OS_CGROUP_FILE_PATH_BYTES];

    out[0] = '\0';
    return snug_os_cgroup_file_path(path, place, name) && snug_os_read_text(path, out, capacity);
}

bool snug_os_cgroup_file_path(char *path_out, const snug_os_cgroup_place *place, const char *name)
{
    return snprintf(path_out, SNUG_OS_CGROUP_FILE_PATH_BYTES, "%s%s/%s", place->mount_point, place->folder,
                    name) < SNUG_OS_CGROUP_FILE_PATH_BYTES;
}

uint64_t snug_os_cgroup_parse_bytes(const char *text, int version)
{
    const char *at = text;
    uint64_t bytes;

    if (strcmp(text, "max\n") == 0 || strcmp(text, "max") == 0)
        return SNUG_OS_NO_LIMIT;
    if (!snug_os_parse_u64(&bytes, &at) || (*at != '\n' && *at != '\0') || bytes >= SNUG_OS_NO_LIMIT)
        return SNUG_OS_UNKNOWN;
    return version == 1 ? v1_limit(bytes) : bytes;
}

static uint64_t read_level_bytes(const snug_os_cgroup_place *place, const char *name)
{
    char text[64];

    read_level_file(place, name, text, sizeof text);
    return snug_os_cgroup_parse_bytes(text, place->version);
}

uint64_t snug_os_cgroup_reclaimable(const char *stat, int version)
{
    static const char *const keys[2][5] = {
        { "total_inactive_file ", "total_active_file ", "", "total_dirty ", "total_writeback " },
        { "inactive_file ", "active_file ", "slab_reclaimable ", "file_dirty ", "file_writeback " },
    };
    uint64_t value[5];
    uint64_t clean;
    uint64_t dirty;

    for (size_t i = 0; i < 5; i++) {
        const char *key = keys[version - 1][i];

        value[i] = *key ? snug_os_find_number(stat, key) : 0;
        if (i < 2 && value[i] == SNUG_OS_UNKNOWN)
            return SNUG_OS_UNKNOWN;
        if (value[i] >= V1_NO_LIMIT_FROM / 4) /* absent, or nonsense */
            value[i] = 0;
    }
    clean = value[0] + value[1] + value[2];
    dirty = value[3] + value[4];
    return clean > dirty ? clean - dirty : 0;
}

/* The path of the level inside the hierarchy, its begin replaced by "..." when too long. */
static void set_level_path(snug_os_cgroup_level *level, const snug_os_cgroup_place *place)
{
    char path[2 * PATH_BYTES];
    size_t capacity = sizeof level->path;
    size_t length;

    snprintf(path, sizeof path, "%s%s", strcmp(place->mount_root, "/") == 0 ? "" : place->mount_root,
             place->folder);
    length = strlen(path);
    if (length == 0)
        copy_text(level->path, capacity, "/");
    else if (length < capacity)
        copy_text(level->path, capacity, path);
    else
        snprintf(level->path, capacity, "...%s", path + length - (capacity - 4));
}

/* All v2 groups have cgroup.controllers, and all but the root of the whole hierarchy have cgroup.events. */
static bool is_hierarchy_root(const snug_os_cgroup_place *place)
{
    char text[1024];

    return read_level_file(place, "cgroup.controllers", text, sizeof text) &&
           !read_level_file(place, "cgroup.events", text, sizeof text);
}

/* A v2 group whose parent did not pass the memory controller on has no limit of its own. */
static bool is_without_controller(const snug_os_cgroup_place *place)
{
    char text[1024];

    return read_level_file(place, "cgroup.controllers", text, sizeof text) &&
           !snug_os_has_word(text, ' ', "memory");
}

static snug_os_cgroup_level read_level(const snug_os_cgroup_place *place)
{
    char stat[8192];
    snug_os_cgroup_level level;
    bool is_v1 = place->version == 1;

    set_level_path(&level, place);
    level.max_bytes = read_level_bytes(place, is_v1 ? "memory.limit_in_bytes" : "memory.max");
    level.high_bytes = is_v1 ? SNUG_OS_NO_LIMIT : read_level_bytes(place, "memory.high");
    level.current_bytes = read_level_bytes(place, is_v1 ? "memory.usage_in_bytes" : "memory.current");
    read_level_file(place, "memory.stat", stat, sizeof stat);
    level.reclaimable_bytes = snug_os_cgroup_reclaimable(stat, place->version);
    if (level.max_bytes == SNUG_OS_UNKNOWN && !is_v1 && is_without_controller(place)) {
        level.max_bytes = SNUG_OS_NO_LIMIT;
        level.high_bytes = SNUG_OS_NO_LIMIT;
    }
    return level;
}

/* False when there is no room for it. */
static bool add_level(snug_os_cgroups *out, const snug_os_cgroup_level *level)
{
    const bool has_room = out->level_count < SNUG_OS_CGROUP_LEVELS_MAX;

    if (level->max_bytes == SNUG_OS_UNKNOWN || !has_room)
        out->is_cut = true;
    if (has_room)
        out->level[out->level_count++] = *level;
    return has_room;
}

/* From our own group to the mount point. `place->folder` is used up. */
static void read_levels(snug_os_cgroups *out, snug_os_cgroup_place *place, snug_os_cgroup_visit *visit,
                        void *user)
{
    for (;;) {
        snug_os_cgroup_level level = read_level(place);
        bool is_top = place->folder[0] == '\0';
        bool is_root = is_top && place->version == 2 && is_hierarchy_root(place);
        char *last = strrchr(place->folder, '/');

        /* The root of the hierarchy has no limit; but a limit is one also where none is expected. */
        if ((!is_root || level.max_bytes < SNUG_OS_NO_LIMIT) && add_level(out, &level) && visit)
            visit(user, place, out->level_count - 1);
        if (is_root)
            return;
        if (is_top || !last)
            break;
        *last = '\0';
    }
    if (place->version == 2)
        out->is_cut = true; /* the mount begins below the root: what is above is hidden */
}

/* v1 tells our own group the smallest limit up to the root, also of levels that the mount hides. */
static void add_hidden_v1_limit(snug_os_cgroups *out, const snug_os_cgroup_place *leaf)
{
    snug_os_cgroup_level level = { .high_bytes = SNUG_OS_NO_LIMIT,
                                   .current_bytes = SNUG_OS_UNKNOWN,
                                   .reclaimable_bytes = SNUG_OS_UNKNOWN };
    uint64_t smallest = SNUG_OS_NO_LIMIT;
    char stat[8192];

    read_level_file(leaf, "memory.stat", stat, sizeof stat);
    level.max_bytes = v1_limit(snug_os_find_number(stat, "hierarchical_memory_limit "));
    for (size_t i = 0; i < out->level_count; i++) {
        if (out->level[i].max_bytes < smallest)
            smallest = out->level[i].max_bytes;
    }
    if (level.max_bytes >= smallest)
        return;
    copy_text(level.path, sizeof level.path, "(above)");
    if (out->level_count == SNUG_OS_CGROUP_LEVELS_MAX)
        out->level_count--; /* a limit says more than a level without one */
    add_level(out, &level);
}

void snug_os_cgroups_walk(snug_os_cgroups *out, const snug_os_cgroup_place *leaf, snug_os_cgroup_visit *visit,
                          void *user)
{
    snug_os_cgroup_place place = *leaf;

    out->version = leaf->version;
    out->level_count = 0;
    out->is_cut = false;
    read_levels(out, &place, visit, user);
    if (leaf->version == 1)
        add_hidden_v1_limit(out, leaf);
}

void snug_os_cgroups_read(snug_os_cgroups *out, const char *root)
{
    snug_os_cgroup_place leaf;

    if (snug_os_cgroup_locate(root, &leaf)) {
        snug_os_cgroups_walk(out, &leaf, NULL, NULL);
        return;
    }
    out->version = leaf.version;
    out->level_count = 0;
    out->is_cut = leaf.version != 0; /* we are in a group that we cannot see */
}
