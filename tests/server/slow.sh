#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# slow.sh - a client that does not read its stream: so much waits for it and no more, others go on, and after
# --stall seconds it counts as gone.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

# Events of two KiB: what the kernel takes for a connection, some MiB, is full long before the answer ends.
serve --answers 2 --keep 0 --context 30000 --stall 3
body='{"messages":[{"role":"user","content":"Tell me a story."}],"temperature":0,"stream":true,
    "max_tokens":29000,"logprobs":true,"top_logprobs":20,"snug":{"repetition_penalty":0.8}}'

# What is written so far, while it does not change any more.
tokens() {
    local before=-1 now=0 i
    for ((i = 0; i < 600; i++)); do
        ask /api/memory
        now=$(json uses.1.bytes)
        [ "$now" != "$before" ] || [ "$now" -eq 0 ] || break
        before=$now
        sleep 0.5
    done
    echo "$now"
}

ask /api/memory
before=$(json uses.5.bytes)
port=${url##*:}
exec {client}<>"/dev/tcp/127.0.0.1/$port"
printf 'POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s' "${#body}" \
    "$body" >&$client
held=$(tokens)
[ "$held" -gt 0 ] || fail 'it was begun' "$held"
ask /api/memory
is 'it is still there' "$(json queue.running)" 1
is 'what it is' "$(json uses.5.name)" other
grown=$(($(json uses.5.bytes) - before))
[ "$grown" -lt $((256 << 10)) ] || fail 'what waits for it is bounded' "$grown bytes"
ask /v1/chat/completions '{"messages":[{"role":"user","content":"Hello"}],"max_tokens":4}'
is 'others go on' "$code" 200
for ((i = 0; i < 1000; i++)); do
    ask /api/memory
    [ "$(json queue.running)" != 0 ] || break
    sleep 0.1
done
is 'it counts as gone' "$(json queue.running) $(json uses.1.bytes)" '0 0'
ask /metrics
has 'and is counted so' "$out" 'snug_requests_abandoned_total 1'
exec {client}>&-
stop_server
is 'the end' "$status" 0
finish
