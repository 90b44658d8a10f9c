/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - which control groups this process is in, and what each of them says about memory.
 *
 * Two steps. locate() finds the folder of our own group: the path in /proc/self/cgroup is relative to the
 * root of the hierarchy, or of our cgroup namespace; the mount in /proc/self/mountinfo shows the hierarchy
 * from some root of its own; the folder is the mount point plus the path less that root. Where the two do
 * not fit together (a namespace whose mount was made outside), the folder that lists our process is
 * searched. Then read_levels() walks from there to the mount point.
 *
 * Whatever cannot be read is unknown, which is not the same as unlimited. No heap, except in the search.
 * Documentation: the kernel's cgroup-v2.rst and cgroup-v1/memory.rst, cgroup_namespaces(7).
 */
#define _DEFAULT_SOURCE

#include "os/machine.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/read.h"

#define PATH_BYTES 2048

/* v1 writes the largest multiple of the page below 2^63 for "no limit"; nobody has as much. */
#define V1_NO_LIMIT_FROM ((uint64_t)1 << 62)

#define SEARCH_FOLDERS_MAX 2048
#define SEARCH_DEPTH_MAX   12

typedef struct location {
    int version;
    char group[PATH_BYTES];       /* our group as /proc/self/cgroup names it */
    char mount_root[PATH_BYTES];  /* the group that the mount point shows */
    char mount_point[PATH_BYTES]; /* a folder, the root prefix included; empty: no mount found */
    char folder[PATH_BYTES];      /* of our group below the mount point: "" or "/a/b" */
} location;

static bool copy_text(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);

    if (length >= capacity)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

/* --- where we are ------------------------------------------------------------------------------------- */

/*
 * Our group from lines "ID:controllers:path". The memory controller belongs to one version at a time: when a
 * v1 line names it, the v2 line does not count. Returns the version, 0 when there is none.
 */
static int read_own_group(const char *root, char *group_out)
{
    char path[PATH_BYTES];
    snug_os_lines lines;
    int version = 0;
    char *line;

    if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path ||
        !snug_os_lines_open(&lines, path))
        return 0;
    while ((line = snug_os_lines_next(&lines))) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        bool is_v1;

        if (!group)
            continue;
        *group++ = '\0';
        is_v1 = snug_os_has_word(controllers + 1, ',', "memory");
        if (!is_v1 && strcmp(line, "0:") != 0)
            continue;
        if (!copy_text(group_out, PATH_BYTES, group))
            group_out[0] = '\0'; /* too long: fits no mount, and is searched */
        version = is_v1 ? 1 : 2;
        if (is_v1)
            break;
    }
    snug_os_lines_close(&lines);
    return version;
}

/* mountinfo writes blanks and backslashes of paths as three octal digits: "\040". In place. */
static void unescape(char *text)
{
    char *out = text;

    for (const char *at = text; *at; out++) {
        bool is_escape = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
                         at[3] >= '0' && at[3] <= '7';

        *out = is_escape ? (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0')) : *at;
        at += is_escape ? 4 : 1;
    }
    *out = '\0';
}

/* Cuts the next word off; NULL at the end. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " ");
    size_t length = strcspn(word, " ");

    if (length == 0)
        return NULL;
    *at = word + length + (word[length] == ' ');
    word[length] = '\0';
    return word;
}

/* "36 35 98:0 /root /point options [tags] - type source superoptions": true when it shows the hierarchy. */
static bool parse_mount(char *line, int version, char **root_out, char **point_out)
{
    char *behind = strstr(line, " - ");
    char *word[5];
    char *type;
    char *options;

    if (!behind)
        return false;
    *behind = '\0';
    behind += 3;
    for (size_t i = 0; i < 5; i++) {
        word[i] = next_word(&line);
        if (!word[i])
            return false;
    }
    type = next_word(&behind);
    if (!type || !next_word(&behind))
        return false;
    options = behind;
    *root_out = word[3];
    *point_out = word[4];
    unescape(*root_out);
    unescape(*point_out);
    if (version == 2)
        return strcmp(type, "cgroup2") == 0;
    return strcmp(type, "cgroup") == 0 && snug_os_has_word(options, ',', "memory");
}

/* `group` less the mount's root: "" or "/a/b". NULL when the mount does not show that group. */
static const char *below_root(const char *group, const char *mount_root)
{
    size_t length = strlen(mount_root);

    if (group[0] != '/' || strstr(group, "/..") || strstr(mount_root, "/.."))
        return NULL;
    if (strcmp(mount_root, "/") == 0)
        return strcmp(group, "/") == 0 ? "" : group;
    if (strncmp(group, mount_root, length) != 0 || (group[length] != '/' && group[length] != '\0'))
        return NULL;
    return group + length;
}

/*
 * The mount that shows our group with the most levels above it; of equals the last, which covers the others.
 * When none shows it the last mount is taken, for the search, and the result is false.
 */
static bool choose_mount(const char *root, location *place)
{
    char path[PATH_BYTES];
    snug_os_lines lines;
    bool is_found = false;
    char *line;

    if (snprintf(path, sizeof path, "%s/proc/self/mountinfo", root) >= (int)sizeof path ||
        !snug_os_lines_open(&lines, path))
        return false;
    while ((line = snug_os_lines_next(&lines))) {
        char *mount_root;
        char *mount_point;
        const char *below;

        if (!parse_mount(line, place->version, &mount_root, &mount_point))
            continue;
        below = below_root(place->group, mount_root);
        if (is_found && (!below || strlen(mount_root) > strlen(place->mount_root)))
            continue;
        if (strlen(mount_root) >= PATH_BYTES ||
            snprintf(path, sizeof path, "%s%s", root, mount_point) >= (int)sizeof path)
            continue;
        copy_text(place->mount_root, PATH_BYTES, mount_root);
        copy_text(place->mount_point, PATH_BYTES, path);
        copy_text(place->folder, PATH_BYTES, below ? below : "");
        is_found = below != NULL;
    }
    snug_os_lines_close(&lines);
    return is_found;
}

typedef struct search {
    snug_os_lines lines;
    char path[PATH_BYTES]; /* the folder looked at */
    size_t folders_left;
    uint64_t process;
} search;

static bool lists_process(search *state)
{
    char path[PATH_BYTES];
    bool is_found = false;
    const char *line;

    if (snprintf(path, sizeof path, "%s/cgroup.procs", state->path) >= (int)sizeof path ||
        !snug_os_lines_open(&state->lines, path))
        return false;
    while (!is_found && (line = snug_os_lines_next(&state->lines))) {
        uint64_t process;

        is_found = snug_os_parse_u64(&process, &line) && process == state->process;
    }
    snug_os_lines_close(&state->lines);
    return is_found;
}

/* Leaves in state->path the folder at or below it that lists our process. Bounded in depth and number. */
static bool search_folder(search *state, size_t depth)
{
    size_t length = strlen(state->path);
    const struct dirent *entry;
    bool is_found = false;
    DIR *folder;

    if (state->folders_left == 0)
        return false;
    state->folders_left--;
    if (lists_process(state))
        return true;
    folder = depth < SEARCH_DEPTH_MAX ? opendir(state->path) : NULL;
    if (!folder)
        return false;
    while (!is_found && (entry = readdir(folder))) {
        size_t name_length = strlen(entry->d_name);

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || length + 1 + name_length >= PATH_BYTES)
            continue;
        state->path[length] = '/';
        memcpy(state->path + length + 1, entry->d_name, name_length + 1);
        is_found = search_folder(state, depth + 1);
        if (!is_found)
            state->path[length] = '\0';
    }
    closedir(folder);
    return is_found;
}

/* False when our folder cannot be told; place->version says then what is known. */
static bool locate(const char *root, location *place)
{
    search state;

    place->mount_point[0] = '\0';
    place->version = read_own_group(root, place->group);
    if (place->version == 0)
        return false;
    if (choose_mount(root, place))
        return true;
    if (place->mount_point[0] == '\0')
        return false;
    copy_text(state.path, PATH_BYTES, place->mount_point);
    state.folders_left = SEARCH_FOLDERS_MAX;
    state.process = (uint64_t)getpid();
    if (!search_folder(&state, 0))
        return false;
    copy_text(place->mount_root, PATH_BYTES, "/"); /* paths are shown as below the mount point */
    copy_text(place->folder, PATH_BYTES, state.path + strlen(place->mount_point));
    return true;
}

/* --- what a level says -------------------------------------------------------------------------------- */

/* The file `name` of a level; empty when it cannot be read. */
static bool read_level_file(const location *place, const char *name, char *out, size_t capacity)
{
    char path[3 * PATH_BYTES];

    out[0] = '\0';
    return snprintf(path, sizeof path, "%s%s/%s", place->mount_point, place->folder, name) <
               (int)sizeof path &&
           snug_os_read_text(path, out, capacity);
}

/* "max", or a number of bytes and nothing else; anything else is unknown. */
static uint64_t read_level_bytes(const location *place, const char *name)
{
    char text[64];
    const char *at = text;
    uint64_t bytes;

    if (!read_level_file(place, name, text, sizeof text))
        return SNUG_OS_UNKNOWN;
    if (strcmp(text, "max\n") == 0 || strcmp(text, "max") == 0)
        return SNUG_OS_NO_LIMIT;
    if (!snug_os_parse_u64(&bytes, &at) || (*at != '\n' && *at != '\0') || bytes >= SNUG_OS_NO_LIMIT)
        return SNUG_OS_UNKNOWN;
    return bytes;
}

static uint64_t v1_limit(uint64_t bytes)
{
    return bytes >= V1_NO_LIMIT_FROM && bytes != SNUG_OS_UNKNOWN ? SNUG_OS_NO_LIMIT : bytes;
}

/*
 * File pages on both lists, and slab, less what must be written first. Memory of tmpfs and locked pages are
 * on neither list. Unknown when the lists are; a key that this kernel lacks counts as 0.
 */
static uint64_t reclaimable(const char *stat, int version)
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
static void set_level_path(snug_os_cgroup_level *level, const location *place)
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
static bool is_hierarchy_root(const location *place)
{
    char text[1024];

    return read_level_file(place, "cgroup.controllers", text, sizeof text) &&
           !read_level_file(place, "cgroup.events", text, sizeof text);
}

/* A v2 group whose parent did not pass the memory controller on has no limit of its own. */
static bool is_without_controller(const location *place)
{
    char text[1024];

    return read_level_file(place, "cgroup.controllers", text, sizeof text) &&
           !snug_os_has_word(text, ' ', "memory");
}

static snug_os_cgroup_level read_level(const location *place)
{
    char stat[8192];
    snug_os_cgroup_level level;
    bool is_v1 = place->version == 1;

    set_level_path(&level, place);
    level.max_bytes = read_level_bytes(place, is_v1 ? "memory.limit_in_bytes" : "memory.max");
    level.high_bytes = is_v1 ? SNUG_OS_NO_LIMIT : read_level_bytes(place, "memory.high");
    level.current_bytes = read_level_bytes(place, is_v1 ? "memory.usage_in_bytes" : "memory.current");
    read_level_file(place, "memory.stat", stat, sizeof stat);
    level.reclaimable_bytes = reclaimable(stat, place->version);
    if (is_v1)
        level.max_bytes = v1_limit(level.max_bytes);
    if (level.max_bytes == SNUG_OS_UNKNOWN && !is_v1 && is_without_controller(place)) {
        level.max_bytes = SNUG_OS_NO_LIMIT;
        level.high_bytes = SNUG_OS_NO_LIMIT;
    }
    return level;
}

static void add_level(snug_os_cgroups *out, const snug_os_cgroup_level *level)
{
    if (level->max_bytes == SNUG_OS_UNKNOWN)
        out->is_cut = true;
    if (out->level_count < SNUG_OS_CGROUP_LEVELS_MAX)
        out->level[out->level_count++] = *level;
    else
        out->is_cut = true;
}

/* From our own group to the mount point. `place->folder` is used up. */
static void read_levels(snug_os_cgroups *out, location *place)
{
    for (;;) {
        snug_os_cgroup_level level = read_level(place);
        bool is_top = place->folder[0] == '\0';
        char *last = strrchr(place->folder, '/');

        if (is_top && place->version == 2 && is_hierarchy_root(place)) {
            if (level.max_bytes != SNUG_OS_UNKNOWN && level.max_bytes != SNUG_OS_NO_LIMIT)
                add_level(out, &level); /* a limit is a limit, also where none is expected */
            return;
        }
        add_level(out, &level);
        if (is_top || !last)
            break;
        *last = '\0';
    }
    if (place->version == 2)
        out->is_cut = true; /* the mount begins below the root: what is above is hidden */
}

/* v1 tells our own group the smallest limit up to the root, also of levels that the mount hides. */
static void add_hidden_v1_limit(snug_os_cgroups *out, const location *leaf)
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

void snug_os_cgroups_read(snug_os_cgroups *out, const char *root)
{
    location place;
    location leaf;

    out->level_count = 0;
    out->is_cut = false;
    out->version = 0;
    if (!locate(root, &place)) {
        out->version = place.version;
        out->is_cut = place.version != 0; /* we are in a group that we cannot see */
        return;
    }
    out->version = place.version;
    leaf = place;
    read_levels(out, &place);
    if (place.version == 1)
        add_hidden_v1_limit(out, &leaf);
}
