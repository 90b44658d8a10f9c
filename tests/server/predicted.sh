#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# predicted.sh - one, two and three answers at a time: what the server predicts is never below what the kernel
# then shows of it, and at most 3 % + 2 MB above.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"
if [ -n "${SANITIZED:-}" ]; then
    echo 'skipped: the memory of a sanitizer is in no plan'
    exit 77
fi

gauge() { sed -n "s/^snug_memory_$1 //p" "$work/out"; }

# at_once COUNT WORDS BITS: as many answers, to a prompt of so many times nine words.
at_once() {
    local long i clients=() measured predicted
    long=$(for ((i = 0; i < $2; i++)); do printf 'The dog and the cat went to the park. '; done)
    serve --answers 3 --keep 0
    for ((i = 0; i < $1; i++)); do
        curl -sS -o "$work/answer$i" "$url/v1/chat/completions" -d "{\"messages\":[{\"role\":\"user\",
            \"content\":\"$long Tell me story $i.\"}],\"max_tokens\":200,\"temperature\":0,
            \"snug\":{\"kv_bits\":$3,\"repetition_penalty\":0.8}}" &
        clients+=($!)
    done
    wait "${clients[@]}"
    for ((i = 0; i < $1; i++)); do
        "$JSON_GET" "$work/answer$i" choices.0.message.content >/dev/null || fail "answer $i of $1" ''
    done
    ask /metrics
    measured=$(gauge measured_peak_bytes)
    predicted=$(gauge predicted_peak_bytes)
    echo "$(basename "$model"), $1 at a time, $2 lines, $3 bits: measured $measured, predicted $predicted"
    if [ "$predicted" -lt "$measured" ] || [ "$predicted" -gt $((measured * 103 / 100 + 2000000)) ]; then
        fail "the prediction of $1 at a time" "measured $measured, predicted $predicted"
    fi
    stop_server
}

for count in 1 2 3; do
    at_once $count 1 16
    at_once $count 60 8
done
if [ -d "$SHARED/models/base" ]; then
    model=$SHARED/models/base
    at_once 1 60 8
    at_once 3 60 8
fi
finish
