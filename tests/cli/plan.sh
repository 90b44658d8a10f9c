#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# plan.sh - the prediction: its keys, its sum, its exit status, and that its suggestions hold.
. "$(dirname "$0")/lib.sh"

run plan -m "$model" --context 4096 --json
is 'status' "$status" 0
is 'fits' "$(json fits)" true
sum=$(json fixed_bytes)
for use in weights kv scratch text cache other; do sum=$((sum + $(json by_use.$use))); done
is 'the uses and what is fixed are the peak' "$sum" "$(json predicted_peak_bytes)"
for key in limit_bytes weights_bytes load_peak_bytes prefill_peak_bytes; do
    [[ $(json $key) =~ ^[1-9][0-9]*$ ]] || fail "plan: $key" "$(json $key)"
done
[ -n "$(json limited_by)" ] || fail 'limited_by' ''
long=$(json predicted_peak_bytes)
run plan -m "$model" --context 256 --json
[ "$(json predicted_peak_bytes)" -lt "$long" ] || fail 'a short context needs less' "$out"

run plan -m "$model" --context 4096 --memory-limit 1M --json
is 'status below need' "$status" 3
is 'fits below need' "$(json fits)" false
is 'limit' "$(json limit_bytes)" 1048576
is 'limited by' "$(json limited_by)" --memory-limit

limit=$((long - 3000000))
run plan -m "$model" --context 4096 --memory-limit $limit
is 'status of the table below need' "$status" 3
has 'the table' "$out" 'It does not fit. What would:'
grep -oE -- '^  --.* needs' "$work/out" | sed 's/ needs//' >"$work/suggestions"
# A sanitizer's own memory grows from plan to plan: what fitted in one does not in the next.
if [ -z "${SANITIZED-}" ]; then
    [ -s "$work/suggestions" ] || fail 'there are suggestions' "$out"
    while read -ra words; do
        run plan -m "$model" --context 4096 --memory-limit $limit "${words[@]}"
        is "the suggestion ${words[*]} fits" "$status" 0
    done <"$work/suggestions"
fi

run plan -m "$model"
is 'status of the table' "$status" 0
has 'the table' "$out" 'It fits.'
finish
