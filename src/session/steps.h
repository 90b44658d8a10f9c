/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.h - what a session can do to give memory back, one step of the ladder each, and to take it back. When
 * they are done is relief.c's.
 */
#ifndef SNUG_SRC_SESSION_STEPS_H
#define SNUG_SRC_SESSION_STEPS_H

#include <snug/session.h>

#include "session/ladder.h"

/*
 * Do that step, for order->want_bytes. Returns the bytes that came back, 0 when the step has none to give;
 * *promised_out is what it said before it was done.
 */
uint64_t snug_step_do(snug_session *session, snug_relief_step step, const snug_ladder_order *order,
                      uint64_t *promised_out);

/* One step up again, while no more than `roof` bytes are in use. False when there is none. */
bool snug_step_undo(snug_session *session, uint64_t roof);

/* All that the steps could return now: scratch, and the cache at the strategy's floor or in a window. */
uint64_t snug_steps_all_bytes(const snug_session *session);

/* What the next demotion takes before it gives; UINT64_MAX where none would return anything. */
uint64_t snug_steps_demotion_extra(const snug_session *session);

/* Of the ledger: in use, and of that beyond a hard limit that was lowered. */
uint64_t snug_steps_used_bytes(const snug_session *session);
uint64_t snug_steps_over_bytes(const snug_session *session);

/* Bits of a value in that coding. */
uint32_t snug_steps_bits(const snug_kv_coding *coding);

#endif /* SNUG_SRC_SESSION_STEPS_H */
