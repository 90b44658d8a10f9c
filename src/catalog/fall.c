/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fall.c - see the header.
 */
#include "catalog/fall.h"

#define SECOND_NS    ((uint64_t)1000000000)
#define CRITICAL_NS  (3 * SECOND_NS)
#define CALM_NS      (5 * SECOND_NS)
#define CLIMB_NS     (30 * SECOND_NS)
#define NEIGHBOUR_NS (1800 * SECOND_NS)
#define DOUBLED_MOST 5u

void snug_fall_see(catalog_fall *fall, uint64_t now_ns, snug_pressure level)
{
    const bool is_critical = level == SNUG_PRESSURE_CRITICAL;
    const bool is_calm = level <= SNUG_PRESSURE_MEDIUM;

    if (is_critical && !fall->is_critical)
        fall->critical_ns = now_ns;
    if (is_calm && !fall->is_calm)
        fall->calm_ns = now_ns;
    fall->is_critical = is_critical;
    fall->is_calm = is_calm;
}

bool snug_fall_must(const catalog_fall *fall, uint64_t now_ns)
{
    return fall->is_critical && now_ns - fall->critical_ns >= CRITICAL_NS;
}

bool snug_fall_may_climb(const catalog_fall *fall, uint64_t now_ns)
{
    const uint32_t doubled = fall->falls > DOUBLED_MOST + 1 ? DOUBLED_MOST : fall->falls - 1;

    return fall->is_down && fall->is_calm && now_ns - fall->calm_ns >= CALM_NS &&
           now_ns - fall->fell_ns >= CLIMB_NS << doubled;
}

void snug_fall_forget(catalog_fall *fall)
{
    fall->is_critical = fall->is_calm = false;
}

void snug_fall_fell(catalog_fall *fall, uint64_t now_ns)
{
    fall->falls = fall->falls > 0 && now_ns - fall->fell_ns < NEIGHBOUR_NS ? fall->falls + 1 : 1;
    fall->is_down = true;
    fall->fell_ns = now_ns;
    snug_fall_forget(fall);
}

void snug_fall_climbed(catalog_fall *fall)
{
    fall->is_down = false;
}

void snug_fall_stays(catalog_fall *fall, uint64_t now_ns)
{
    fall->critical_ns = now_ns;
}
