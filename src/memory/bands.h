/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bands.h - the bands of pressure, as parts of the limit: LOW below MEDIUM_FROM, HIGH up to and including
 * CRITICAL_ABOVE.
 */
#ifndef SNUG_SRC_MEMORY_BANDS_H
#define SNUG_SRC_MEMORY_BANDS_H

#define SNUG_MEDIUM_FROM    0.50
#define SNUG_HIGH_FROM      0.70
#define SNUG_CRITICAL_ABOVE 0.85

#endif /* SNUG_SRC_MEMORY_BANDS_H */
