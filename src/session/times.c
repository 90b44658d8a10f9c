/* SPDX-License-Identifier: Apache-2.0 */
/*
 * times.c - the accounts of a workbench's time (work/work.h), with names.
 */
#include "session/session.h"

#include "base/type.h"

static const char *const kind_name[SNUG_ACCOUNT_MATMUL] = {
    [SNUG_ACCOUNT_REST] = "rest",           [SNUG_ACCOUNT_WAITING] = "waiting",
    [SNUG_ACCOUNT_ATTENTION] = "attention", [SNUG_ACCOUNT_ELEMENTWISE] = "elementwise",
    [SNUG_ACCOUNT_INPUTS] = "inputs",       [SNUG_ACCOUNT_SAMPLING] = "sampling",
};

_Static_assert(SNUG_ACCOUNT_COUNT <= SNUG_TIMES_MAX, "every account has a row");

void snug_session_take_times(snug_session *session, bool is_on)
{
    if (is_on)
        snug_work_start_accounts(session->bench->work);
    else
        snug_work_stop_accounts(session->bench->work);
}

/* Products first, what is nothing of its own last. */
size_t snug_session_read_times(snug_time times_out[SNUG_TIMES_MAX], snug_session *session)
{
    const uint64_t *ns = snug_work_read_accounts(session->bench->work);
    size_t count = 0;

    for (uint32_t i = SNUG_ACCOUNT_COUNT; ns && i-- > 0;) {
        const bool is_matmul = i >= SNUG_ACCOUNT_MATMUL;

        if (ns[i] > 0)
            times_out[count++] = (snug_time){
                .kind = is_matmul ? "matmul" : kind_name[i],
                .type = is_matmul ? snug_type_layout_of((snug_type)(i - SNUG_ACCOUNT_MATMUL))->name : "",
                .ns = ns[i],
            };
    }
    return count;
}
