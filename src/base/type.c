/* SPDX-License-Identifier: Apache-2.0 */
#include "base/type.h"

#include "base/status.h"

static const snug_type_layout layouts[SNUG_TYPE_COUNT] = {
#define TYPE_ROW(name, number, values, bytes) [SNUG_TYPE_##name] = { #name, values, bytes },
    SNUG_TYPE_MAP(TYPE_ROW)
#undef TYPE_ROW
};

const snug_type_layout *snug_type_layout_of(snug_type type)
{
    SNUG_ASSERT(type > SNUG_TYPE_NONE && type < SNUG_TYPE_COUNT);
    return &layouts[type];
}
