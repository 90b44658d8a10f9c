/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/pressure.h"

#include "memory/bands.h"

double snug_pressure_usage(double hard, double comfort, bool is_plentiful)
{
    if (is_plentiful && comfort > SNUG_CRITICAL_ABOVE)
        comfort = SNUG_CRITICAL_ABOVE; /* which is still HIGH */
    return comfort > hard ? comfort : hard;
}

/* One level up, but not into CRITICAL while there is plenty of headroom. */
static snug_pressure raise_level(snug_pressure level, const snug_pressure_input *input)
{
    const snug_pressure most = input->is_plentiful ? SNUG_PRESSURE_HIGH : SNUG_PRESSURE_CRITICAL;

    if (!input->is_thrashing || level >= most)
        return level;
    return level + 1;
}

snug_pressure snug_pressure_step(snug_pressure_machine *machine, const snug_pressure_input *input)
{
    const snug_pressure asked = raise_level(snug_pressure_of_usage(input->usage), input);
    const snug_pressure held =
        raise_level(snug_pressure_of_usage(input->usage + SNUG_PRESSURE_LEAVE_POINTS), input);

    for (int level = SNUG_PRESSURE_MEDIUM; level <= (int)held; level++)
        machine->held_ns[level] = input->now_ns;
    if (asked > machine->level)
        machine->level = asked;
    while (machine->level > asked &&
           input->now_ns - machine->held_ns[machine->level] >= SNUG_PRESSURE_LEAVE_NS)
        machine->level--;
    return machine->level;
}
