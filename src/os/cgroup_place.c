/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_place.c - the folder of our own control group.
 *
 * The path in /proc/self/cgroup is relative to the root of the hierarchy, or of our cgroup namespace; the
 * mount in /proc/self/mountinfo shows the hierarchy from some root of its own; the folder is the mount point
 * plus the path less that root. Where the two do not fit together (a namespace whose mount was made outside),
 * the folder that lists our process is searched.
 *
 * No heap, except in the search. Documentation: cgroup_namespaces(7).
 */
#define _DEFAULT_SOURCE

#include "os/cgroup.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/read.h"

#define PATH_BYTES SNUG_OS_CGROUP_PATH_BYTES

#define SEARCH_FOLDERS_MAX 2048
#define SEARCH_DEPTH_MAX   12

static bool copy_text(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);

    if (length >= capacity)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

/*
 * Our group from lines "ID:controllers:path". A controller belongs to one version at a time: when a
 * v1 line names it, the v2 line does not count. NULL: the v2 line. Returns the version, 0 when there is
 * none.
 */
static int read_own_group(const char *root, const char *controller, char *group_out)
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
        is_v1 = controller && snug_os_has_word(controllers + 1, ',', controller);
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
static bool parse_mount(char *line, int version, const char *controller, char **root_out, char **point_out)
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
    return strcmp(type, "cgroup") == 0 && snug_os_has_word(options, ',', controller);
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
static bool choose_mount(const char *root, const char *controller, snug_os_cgroup_place *place)
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

        if (!parse_mount(line, place->version, controller, &mount_root, &mount_point))
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

bool snug_os_cgroup_locate(const char *root, snug_os_cgroup_place *place)
{
    search state;

    place->mount_point[0] = '\0';
    place->version = read_own_group(root, "memory", place->group);
    if (place->version == 0)
        return false;
    if (choose_mount(root, "memory", place))
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

bool snug_os_cgroup_locate_controller(const char *root, const char *controller, snug_os_cgroup_place *place)
{
    place->mount_point[0] = '\0';
    place->version = read_own_group(root, controller, place->group);
    return place->version > 0 && choose_mount(root, controller, place);
}

bool snug_os_cgroup_locate_v2(const char *root, snug_os_cgroup_place *place)
{
    return snug_os_cgroup_locate_controller(root, NULL, place);
}

bool snug_os_cgroup_is_place(const char *root, const snug_os_cgroup_place *place)
{
    char group[PATH_BYTES];

    return read_own_group(root, "memory", group) == place->version && strcmp(group, place->group) == 0;
}
