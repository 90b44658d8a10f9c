/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/pressure.h - how tight memory is, and how carefully to deal with it.
 *
 * A level of pressure is a band of `usage`, the part of the limit that is in use. A strategy says how full
 * the limit may be planned, which cache formats may be chosen, and from which level on memory is given back.
 * docs/memory.md explains both.
 *
 * Threads: every function here is pure.
 */
#ifndef SNUG_PRESSURE_H
#define SNUG_PRESSURE_H

#include <snug/base.h>

SNUG_BEGIN_DECLS

typedef enum snug_pressure {
    SNUG_PRESSURE_LOW = 0,      /* usage below 50 % */
    SNUG_PRESSURE_MEDIUM = 1,   /* from 50 % */
    SNUG_PRESSURE_HIGH = 2,     /* from 70 % to 85 % */
    SNUG_PRESSURE_CRITICAL = 3, /* above 85 % */
} snug_pressure;

/* "low", "medium", "high", "critical". Never NULL. */
SNUG_API const char *snug_pressure_name(snug_pressure level);

/* The level with that name; false, and nothing written, when there is none. */
SNUG_API bool snug_pressure_parse(snug_pressure *level_out, const char *name);

/* Where usage stands, without any memory of where it was. Not a number is LOW. */
SNUG_API snug_pressure snug_pressure_of_usage(double usage);

typedef enum snug_strategy {
    SNUG_STRATEGY_AUTO = 0, /* the default: balanced */
    SNUG_STRATEGY_CONSERVATIVE = 1,
    SNUG_STRATEGY_BALANCED = 2,
    SNUG_STRATEGY_AGGRESSIVE = 3,
} snug_strategy;

/* "auto", "conservative", "balanced", "aggressive". Never NULL. */
SNUG_API const char *snug_strategy_name(snug_strategy strategy);

/* The strategy with that name; false, and nothing written, when there is none. */
SNUG_API bool snug_strategy_parse(snug_strategy *strategy_out, const char *name);

/* What a strategy allows. What the user set is never changed by it: it is obeyed or refused. */
typedef struct snug_strategy_rules {
    double plan_share; /* of the limit: what a planned peak may fill */
    double warn_share; /* if nothing fits: it may fill this much, with a warning; beyond it is refused */
    /* Cache formats, as bits of keys and values; 16 is f16. The first that fits, from `first` down, is
     * taken. */
    uint32_t first_key_bits, first_value_bits;
    uint32_t floor_key_bits, floor_value_bits; /* a running cache is not demoted below */
    /* Allowed unasked, with an announcement. */
    bool may_slide;            /* forget the middle of a conversation */
    bool may_switch;           /* go on with a smaller model */
    snug_pressure relief_from; /* memory is given back from this level on */
} snug_strategy_rules;

/* The rules of a strategy, AUTO included. Never NULL; lives as long as the program. */
SNUG_API const snug_strategy_rules *snug_strategy_rules_of(snug_strategy strategy);

SNUG_END_DECLS
#endif /* SNUG_PRESSURE_H */
