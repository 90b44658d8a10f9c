/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strategy.c - the tables behind snug/pressure.h: bands of pressure, strategies, their names.
 */
#include <snug/pressure.h>

#include <string.h>

#include "base/status.h"
#include "memory/bands.h"

static const char *const pressure_names[] = {
    [SNUG_PRESSURE_LOW] = "low",
    [SNUG_PRESSURE_MEDIUM] = "medium",
    [SNUG_PRESSURE_HIGH] = "high",
    [SNUG_PRESSURE_CRITICAL] = "critical",
};

static const char *const strategy_names[] = {
    [SNUG_STRATEGY_AUTO] = "auto",
    [SNUG_STRATEGY_CONSERVATIVE] = "conservative",
    [SNUG_STRATEGY_BALANCED] = "balanced",
    [SNUG_STRATEGY_AGGRESSIVE] = "aggressive",
};

/* clang-format off */
/*   plan and warn share | first K/V bits | floor K/V bits | may slide, switch | relief from */
static const snug_strategy_rules strategy_rules[] = {
    [SNUG_STRATEGY_AUTO] =
    { 0.70, 0.95,           8, 8,            4, 4,            false, false,       SNUG_PRESSURE_HIGH },
    [SNUG_STRATEGY_CONSERVATIVE] =
    { 0.85, 0.95,           16, 16,          8, 8,            false, false,       SNUG_PRESSURE_HIGH },
    [SNUG_STRATEGY_BALANCED] =
    { 0.70, 0.95,           8, 8,            4, 4,            false, false,       SNUG_PRESSURE_HIGH },
    [SNUG_STRATEGY_AGGRESSIVE] =
    { 0.50, 0.95,           5, 4,            2, 2,            true, true,         SNUG_PRESSURE_MEDIUM },
};
/* clang-format on */

const char *snug_pressure_name(snug_pressure level)
{
    SNUG_ASSERT((size_t)level < SNUG_COUNT(pressure_names));
    return pressure_names[level];
}

bool snug_pressure_parse(snug_pressure *level_out, const char *name)
{
    for (size_t i = 0; i < SNUG_COUNT(pressure_names); i++) {
        if (strcmp(name, pressure_names[i]) == 0) {
            *level_out = (snug_pressure)i;
            return true;
        }
    }
    return false;
}

snug_pressure snug_pressure_of_usage(double usage)
{
    if (usage > SNUG_CRITICAL_ABOVE)
        return SNUG_PRESSURE_CRITICAL;
    if (usage >= SNUG_HIGH_FROM)
        return SNUG_PRESSURE_HIGH;
    return usage >= SNUG_MEDIUM_FROM ? SNUG_PRESSURE_MEDIUM : SNUG_PRESSURE_LOW;
}

const char *snug_strategy_name(snug_strategy strategy)
{
    SNUG_ASSERT((size_t)strategy < SNUG_COUNT(strategy_names));
    return strategy_names[strategy];
}

bool snug_strategy_parse(snug_strategy *strategy_out, const char *name)
{
    for (size_t i = 0; i < SNUG_COUNT(strategy_names); i++) {
        if (strcmp(name, strategy_names[i]) == 0) {
            *strategy_out = (snug_strategy)i;
            return true;
        }
    }
    return false;
}

const snug_strategy_rules *snug_strategy_rules_of(snug_strategy strategy)
{
    SNUG_ASSERT((size_t)strategy < SNUG_COUNT(strategy_names));
    return &strategy_rules[strategy];
}
