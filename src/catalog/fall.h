/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fall.h - when a conversation moves to a smaller model by itself, and when it may move back, as a pure state
 * machine: tests give it a simulated clock.
 *
 * It falls when memory has been critical for 3 s without a break: by then every cheaper step of relief has
 * been done and has had its effect. (Where memory is refused altogether nothing waits for this.) It may climb
 * when pressure has been LOW or MEDIUM for 5 s and the last fall is 30 s ago; each fall within half an hour
 * of the one before doubles that, up to 16 minutes. So a machine whose memory comes and goes does not carry a
 * conversation back and forth.
 */
#ifndef SNUG_SRC_CATALOG_FALL_H
#define SNUG_SRC_CATALOG_FALL_H

#include <snug/pressure.h>

typedef struct catalog_fall {
    bool is_critical;
    bool is_calm;
    bool is_down;
    uint64_t critical_ns; /* since when */
    uint64_t calm_ns;
    uint64_t fell_ns;
    uint32_t falls; /* each within half an hour of the one before */
} catalog_fall;

/* What the level is now. */
void snug_fall_see(catalog_fall *fall, uint64_t now_ns, snug_pressure level);

bool snug_fall_must(const catalog_fall *fall, uint64_t now_ns);
bool snug_fall_may_climb(const catalog_fall *fall, uint64_t now_ns);

/* It has. */
void snug_fall_fell(catalog_fall *fall, uint64_t now_ns);
void snug_fall_climbed(catalog_fall *fall);
/* Another session looks from now on: what was seen last may be long past. */
void snug_fall_forget(catalog_fall *fall);
/* It could not, or nobody has looked for a while: what is critical is so anew. */
void snug_fall_stays(catalog_fall *fall, uint64_t now_ns);

#endif /* SNUG_SRC_CATALOG_FALL_H */
