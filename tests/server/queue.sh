#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# queue.sh - one answer at a time: the next one waits, one more is refused; who hangs up gives all back.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

# Answers that take long: nothing ends them but their length.
serve --answers 1 --queue 1 --keep 0 --context 30000
body='{"messages":[{"role":"user","content":"Tell me a story."}],"temperature":0,"stream":true,
    "max_tokens":29000,"snug":{"repetition_penalty":0.8}}'

# until KEY VALUE: asks /api/memory until it says so.
until_memory() {
    local i
    for ((i = 0; i < 500; i++)); do
        ask /api/memory
        [ "$(json "$1")" != "$2" ] || return 0
        sleep 0.02
    done
    fail "until $1 is $2" "$out"
}

until_memory queue.running 0
before=$(json uses.1.bytes)
curl -sSN -o "$work/first" "$url/v1/chat/completions" -d "$body" 2>/dev/null &
first=$!
until_memory queue.running 1
curl -sSN -o "$work/second" "$url/v1/chat/completions" -d "$body" 2>/dev/null &
second=$!
until_memory queue.waiting 1
ask /v1/chat/completions "$body"
is 'the third' "$code $(json error.code) $(json error.type)" '429 queue_full rate_limit_error'
has 'when to come back' "$headers" 'Retry-After: '
ask /api/memory
is 'the queue' "$(json queue.running) $(json queue.waiting) $(json queue.capacity)" '1 1 1'

# The one that waits goes away; then the one that is answered.
kill "$second"
until_memory queue.waiting 0
is 'the first is still answered' "$(json queue.running)" 1
kill "$first"
until_memory queue.running 0
is 'its cache is free' "$(json uses.1.bytes)" "$before"
[ -s "$work/first" ] || fail 'the first was answered' ''
[ ! -s "$work/second" ] || fail 'the second was not begun' "$(head -c 200 "$work/second")"
ask /metrics
has 'both are counted' "$out" 'snug_requests_abandoned_total 2'
has 'the third is counted' "$out" 'snug_requests_queue_full_total 1'

# Two take turns: the short one ends while the long one is written.
stop_server
is 'the end' "$status" 0
serve --answers 2 --context 30000
curl -sSN -o "$work/first" "$url/v1/chat/completions" -d "$body" 2>/dev/null &
first=$!
until_memory queue.running 1
ask /v1/chat/completions '{"messages":[{"role":"user","content":"Hello"}],"max_tokens":16,"temperature":0}'
is 'a short one beside a long one' "$code" 200
kill -0 "$first" 2>/dev/null || fail 'the long one is still written' ''
kill "$first"
until_memory queue.running 0
stop_server
is 'the end' "$status" 0
finish
