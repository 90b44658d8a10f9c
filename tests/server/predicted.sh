#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# predicted.sh - one and three answers at a time, to their full length or not, alone or from a beginning that
# is kept for others, too: what the server predicts is never below what the kernel then shows of it, and at
# most 3 % + 2 MB above.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"
if [ -n "${SANITIZED:-}" ]; then
    echo 'skipped: the memory of a sanitizer is in no plan'
    exit 77
fi

gauge() { sed -n "s/^snug_memory_$1 //p" "$work/out"; }

# near WHAT MEASURED PREDICTED
near() {
    echo "$(basename "$model"), $1: measured $2, predicted $3"
    if [ "$3" -lt "$2" ] || [ "$3" -gt $(($2 * 103 / 100 + 2000000)) ]; then
        fail "$1" "measured $2, predicted $3"
    fi
}

# held WHAT GAUGE: that prediction against the peak.
held() {
    ask /metrics
    near "$1" "$(gauge measured_peak_bytes)" "$(gauge "$2")"
}

# Nine words, so many times.
lines() {
    local i
    for ((i = 0; i < $1; i++)); do printf 'The dog and the cat went to the park. '; done
}

# tell PROMPT TOKENS BITS: one answer, to $work/answer$number.
tell() {
    curl -sS -o "$work/answer$number" "$url/v1/chat/completions" -d "{\"messages\":[{\"role\":\"user\",
        \"content\":\"$1\"}],\"max_tokens\":$2,\"temperature\":0,
        \"snug\":{\"kv_bits\":$3,\"repetition_penalty\":0.8}${more-}}"
}

# at_once COUNT LINES BITS TOKENS
at_once() {
    local clients=() number
    serve --answers 3 --keep 0
    for ((number = 0; number < $1; number++)); do
        tell "$(lines "$2") Tell me story $number." "$4" "$3" &
        clients+=($!)
    done
    wait "${clients[@]}"
    for ((number = 0; number < $1; number++)); do
        "$JSON_GET" "$work/answer$number" choices.0.message.content >/dev/null ||
            fail "answer $number of $1" ''
    done
}

for count in 1 3; do
    at_once $count 1 16 200
    held "$count at a time, 16 bits" predicted_peak_bytes
    held "$count at a time, 16 bits" predicted_reached_bytes
    stop_server
    at_once $count 60 8 60
    held "$count at a time, long, 8 bits" predicted_peak_bytes
    stop_server
done

[ ! -d "$SHARED/models/base" ] || model=$SHARED/models/base
# They end long before they may: 2,000 tokens were foreseen for each.
more=',"stop":["."]' at_once 3 1 16 2000
held '3 that end early' predicted_reached_bytes
[ "$(gauge predicted_peak_bytes)" -gt "$(gauge predicted_reached_bytes)" ] ||
    fail 'at full length it is more' "$(gauge predicted_peak_bytes)"
stop_server

# A beginning of some 400 tokens is read from what is kept, which stays: both hold it once.
serve --answers 1 --keep 4
number=0
tell "$(lines 40) It was sunny. $(lines 16) Tell me a story." 2 16
number=1
tell "$(lines 40) Tell me another story." 24 16
of() { "$JSON_GET" "$work/answer1" "$1"; }
[ "$(of usage.prompt_tokens_details.cached_tokens)" -gt 300 ] ||
    fail 'the beginning is not computed again' "$(cat "$work/answer1")"
near 'a beginning held by two' "$(of snug.measured_peak_bytes)" "$(of snug.predicted_peak_bytes)"
stop_server
finish
