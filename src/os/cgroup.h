/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - the two steps of snug_os_cgroups_read(): find the folder of our own group, then read the levels
 * from there upwards. Only os/ includes it.
 */
#ifndef SNUG_SRC_OS_CGROUP_H
#define SNUG_SRC_OS_CGROUP_H

#include "os/machine.h"

#define SNUG_OS_CGROUP_PATH_BYTES      2048
#define SNUG_OS_CGROUP_FILE_PATH_BYTES (3 * SNUG_OS_CGROUP_PATH_BYTES)

/* A group: below the mount point lies its folder, with the files of that level. */
typedef struct snug_os_cgroup_place {
    int version;                                 /* 2, 1, or 0: in no group */
    char group[SNUG_OS_CGROUP_PATH_BYTES];       /* as /proc/self/cgroup names it */
    char mount_root[SNUG_OS_CGROUP_PATH_BYTES];  /* the group that the mount point shows */
    char mount_point[SNUG_OS_CGROUP_PATH_BYTES]; /* a folder, the root prefix included; empty: no mount */
    char folder[SNUG_OS_CGROUP_PATH_BYTES];      /* of the group below the mount point: "" or "/a/b" */
} snug_os_cgroup_place;

/* Our group in the hierarchy that has the memory controller. False when its folder cannot be told;
 * place->version says then what is known. */
bool snug_os_cgroup_locate(const char *root, snug_os_cgroup_place *place);
/* The same of another controller, but where the two do not fit together it is not searched. */
bool snug_os_cgroup_locate_controller(const char *root, const char *controller, snug_os_cgroup_place *place);
/* Our group in the v2 hierarchy, which on hybrid machines has no memory controller but counts stalls. */
bool snug_os_cgroup_locate_v2(const char *root, snug_os_cgroup_place *place);
/* Whether we are still in the group that was located. */
bool snug_os_cgroup_is_place(const char *root, const snug_os_cgroup_place *place);

/* The path of a file of that group; false when it is too long. path_out has SNUG_OS_CGROUP_FILE_PATH_BYTES.
 * */
bool snug_os_cgroup_file_path(char *path_out, const snug_os_cgroup_place *place, const char *name);

/* "max", or a number of bytes and nothing else: what files of limits and use hold. Anything else is unknown.
 * */
uint64_t snug_os_cgroup_parse_bytes(const char *text, int version);

/*
 * What the kernel drops before it refuses, from the text of a memory.stat: file pages on both lists, and
 * slab, less what must be written first. Memory of tmpfs and locked pages are on neither list. Unknown when
 * the lists are; a key that this kernel lacks counts as 0.
 */
uint64_t snug_os_cgroup_reclaimable(const char *stat, int version);

/* Called for each level that was read, with the group it is and its index in cgroups->level. */
typedef void snug_os_cgroup_visit(void *user, const snug_os_cgroup_place *place, size_t level);

/* Read the levels from `leaf` to its mount point. `visit` may be NULL. */
void snug_os_cgroups_walk(snug_os_cgroups *out, const snug_os_cgroup_place *leaf, snug_os_cgroup_visit *visit,
                          void *user);

#endif /* SNUG_SRC_OS_CGROUP_H */
