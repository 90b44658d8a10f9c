#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stop.sh - SIGTERM: what runs ends within the grace; without any it is suspended, and goes on elsewhere.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

prompt='Tell me a story.'
body="{\"messages\":[{\"role\":\"user\",\"content\":\"$prompt\"}],\"temperature\":0,\"stream\":true"

# begin WORD...: a request whose stream is in $work/stream; returns once its first bytes have come.
begin() {
    rm -f "$work/stream"
    curl -sSN -o "$work/stream" "$url/v1/chat/completions" -d "$body,$1}" &
    client=$!
    until [ -s "$work/stream" ] || ! kill -0 "$client" 2>/dev/null; do sleep 0.005; done
}

last_data() { grep '^data' "$work/stream" | tail -n 1; }

# However long it takes, 600 seconds are enough.
serve --grace 600
begin '"max_tokens":400'
stop_server
is 'the end' "$status" 0
wait "$client" || fail 'the answer came whole' "$?"
is 'its last line' "$(last_data)" 'data: [DONE]'
has 'what was said' "$(cat "$work/server.err")" 'stopping'

# No grace: the answer stops with a name, by which it goes on to the same words.
run generate --model "$model" --prompt "$prompt" --max-tokens 2000 --temperature 0 --repetition-penalty 0.8 \
    --kv-bits 8 --quiet
mv "$work/out" "$work/whole"
# On a machine that others use the answer may be over before the signal comes: then once more.
for _ in 1 2 3 4 5; do
    serve --grace 0 --session-folder "$work/sessions"
    begin '"max_tokens":2000,"snug":{"repetition_penalty":0.8,"kv_bits":8}'
    stop_server
    is 'the end' "$status" 0
    wait "$client" || fail 'the answer is not cut' "$?"
    [ "$(last_data)" = 'data: [DONE]' ] || break
done
mv "$work/stream" "$work/out"
sed -n 's/^data: {/{/p' "$work/out" | tail -n 1 >"$work/last"
is 'why' "$("$JSON_GET" "$work/last" error.code)" server_stopping
name=$("$JSON_GET" "$work/last" error.message | sed -nE 's/.*session resume ([0-9-]+) .*/\1/p')
[ -n "$name" ] || fail 'its name' "$(cat "$work/last")"
stream_text content >"$work/begun"
run session resume "$name" --session-folder "$work/sessions" --quiet
is 'it goes on' "$status" 0
{ cat "$work/begun" "$work/out"; } | cmp - "$work/whole" || fail 'the same words' ''
finish
