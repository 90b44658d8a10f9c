/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - failures and bounds of a rendering. */
#include "text/template/run.h"

#include <stdarg.h>
#include <stdio.h>

bool snug_run_fail(snug_run *run, const char *format, ...)
{
    char sentence[SNUG_ERROR_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return snug_region_fail(run->region, SNUG_ERR_CORRUPT, "line %u: %s", run->line, sentence);
}

bool snug_run_fail_undefined(snug_run *run, const snug_value *value)
{
    const int bytes = (int)(value->text.bytes < 80 ? value->text.bytes : 80);
    const snug_value owner = { .kind = value->owner };

    if (value->owner == SNUG_VALUE_UNDEFINED)
        return snug_run_fail(run, "'%.*s' is undefined", bytes, value->text.data);
    if (value->owner == SNUG_VALUE_NONE)
        return snug_run_fail(run, "none has no attribute '%.*s'", bytes, value->text.data);
    return snug_run_fail(run, "a value of type '%s' has no attribute or element '%.*s'",
                         snug_value_type_name(&owner), bytes, value->text.data);
}

bool snug_run_spend(snug_run *run, uint64_t steps)
{
    if (steps > run->steps_left) {
        run->steps_left = 0;
        return snug_region_fail(run->region, SNUG_ERR_OVER_LIMIT,
                                "line %u: the template takes more steps than it may", run->line);
    }
    run->steps_left -= steps;
    return true;
}

bool snug_run_enter(snug_run *run)
{
    if (run->depth >= SNUG_TEMPLATE_DEPTH_MAX)
        return snug_region_fail(run->region, SNUG_ERR_OVER_LIMIT,
                                "line %u: the template's calls and values nest deeper than %d levels",
                                run->line, SNUG_TEMPLATE_DEPTH_MAX);
    run->depth++;
    return true;
}

void snug_run_leave(snug_run *run)
{
    run->depth--;
}
