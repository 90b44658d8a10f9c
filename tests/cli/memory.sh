#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# memory.sh - the derivation of the limit names the one who binds.
. "$(dirname "$0")/lib.sh"

run memory --json
is 'status' "$status" 0
[[ $(json limit_bytes) =~ ^[1-9][0-9]*$ ]] || fail 'limit_bytes' "$out"
is 'total memory is what the kernel says' "$(json host.total_bytes)" \
    "$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)"
run memory --memory-limit 64M --json
is 'the limit of the user binds' "$(json limit_bytes) $(json source)" '67108864 user'
run memory --memory-limit 64M
has 'the table' "$out" 'This process may use 64.0 MiB'
has 'the table' "$out" '--memory-limit  64.0 MiB   <- this one binds'
is 'one binds' "$(grep -c 'this one binds' "$work/out")" 1

# An rlimit is a limit too.
if [ -n "${SANITIZED-}" ]; then finish; fi
out=$(ulimit -v 262144 && "$LLM_TOOL" memory --json) && printf '%s' "$out" >"$work/out"
is 'RLIMIT_AS' "$(json rlimits.address_space_bytes)" 268435456
finish
