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

# A part of what there is, as it is now: others use and free memory meanwhile.
run memory --json
all=$(json limit_bytes)
run memory --memory-limit 50% --json
part=$(json limit_bytes)
share=$((part * 100 / all))
if [ $share -lt 40 ] || [ $share -gt 60 ]; then fail '50%' "$part of $all"; fi
[[ $(json pressure.level) =~ ^(low|medium|high|critical)$ ]] || fail 'pressure' "$out"
for wrong in 0% 101% 50%% %; do
    refuses 2 "--memory-limit takes a size such as 512M or 1.5GiB, or a part such as 80%, not \"$wrong\"" \
        memory --memory-limit "$wrong"
done

# --watch: a line at once, one for each time that somebody presses, and a clean end at Ctrl-C.
watch_until_told() {
    mkfifo "$work/fifo"
    MEMORY_PRESSURE_WATCH=$work/fifo "$LLM_TOOL" memory --watch "$@" >"$work/out" 2>"$work/err" &
    local tool=$!
    for _ in $(seq 200); do [ -s "$work/out" ] && break; sleep 0.05; done
    printf x >"$work/fifo"
    for _ in $(seq 200); do grep -q pressed "$work/out" && break; sleep 0.05; done
    kill -INT "$tool"
    status=0
    wait "$tool" || status=$?
    rm "$work/fifo"
    out=$(cat "$work/out")
    err=$(cat "$work/err")
}
watch_until_told 30
is 'Ctrl-C ends it' "$status$err" 0
has 'an event makes a line' "$out" '; pressed'
has 'it says who binds' "$out" 'limited by '
watch_until_told --json
is 'Ctrl-C ends it' "$status$err" 0
grep pressed "$work/out" | head -n 1 >"$work/one" && mv "$work/one" "$work/out"
is 'one object a line' "$(json event) $(json notifications) $(json is_thrashing)" 'pressed 1 true'

# An rlimit is a limit too.
if [ -n "${SANITIZED-}" ]; then finish; fi
out=$(ulimit -v 262144 && "$LLM_TOOL" memory --json) && printf '%s' "$out" >"$work/out"
is 'RLIMIT_AS' "$(json rlimits.address_space_bytes)" 268435456
finish
