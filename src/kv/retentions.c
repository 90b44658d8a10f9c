/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retentions.c - which retention serves a layer.
 */
#include "kv/parts.h"

const snug_kv_retention_ops *snug_kv_retention_ops_of(const snug_kv_layer *shape)
{
    return shape->window_tokens > 0 ? &snug_kv_retention_window : &snug_kv_retention_all;
}
