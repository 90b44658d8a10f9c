/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.h - a thread that reads and maps weights ahead of those who multiply by them. Internal to format/.
 */
#ifndef SNUG_SRC_FORMAT_WARM_H
#define SNUG_SRC_FORMAT_WARM_H

#include "format/weight_files.h"

typedef struct snug_warming snug_warming;

/* Begins with the first file, from its beginning. NULL where there is no memory for it: it is only ahead of
 * time. `files` stays as it is until the end. */
snug_warming *snug_warming_begin(snug_memory *memory, const snug_weight_files *files);
/* Ends it, done or not. NULL is allowed. */
void snug_warming_end(snug_warming *warming);

#endif /* SNUG_SRC_FORMAT_WARM_H */
