#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# switch.sh - memory runs out while an answer is written: a smaller model goes on where that is allowed; else
# the stream ends with an error that has the figures, and the next request is answered.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"
if [ -n "${SANITIZED:-}" ] || [ ! -d "$SHARED/models/base" ]; then
    echo 'skipped: no larger model than the bundled one, or the memory of a sanitizer, which is in no plan'
    exit 77
fi
model=$SHARED/models/base

# A thousand tokens in f16: 8 MiB that may not be given back, for the format is set.
long=$(for _ in $(seq 60); do printf 'The dog and the cat went to the park to play with a red ball. '; done)
# Nothing ends this answer but its length.
body="{\"messages\":[{\"role\":\"user\",\"content\":\"$long Tell me a story.\"}],\"temperature\":0,
    \"snug\":{\"kv_bits\":16,\"repetition_penalty\":0.8,\"context\":4000}"

# begin: a stream that is still written when this returns.
begin() {
    rm -f "$work/stream"
    curl -sSN -o "$work/stream" "$url/v1/chat/completions" -d "$body,\"stream\":true,\"max_tokens\":1000}" \
        2>"$work/curl.err" &
    client=$!
    until [ -s "$work/stream" ] || ! kill -0 "$client" 2>/dev/null; do sleep 0.005; done
}
# What there is now is halved: the larger model's cache cannot stay.
lower() {
    ask /api/memory
    low=$(($(json used_bytes) / 2))
    ask /api/limit "{\"bytes\":$low}"
}

# --- a smaller one goes on ---
serve --allow-switch --keep 0
curl -sN -o "$work/events" "$url/api/events" &
listener=$!
begin
lower
wait "$client" || fail 'the stream has an end' "$?"
is 'its last line' "$(grep '^data' "$work/stream" | tail -n 1)" 'data: [DONE]'
has 'the larger one began' "$(head -c 400 "$work/stream")" '"model":"base"'
sed -n 's/^data: {/{/p' "$work/stream" | tail -n 1 >"$work/out"
is 'the smaller one went on' "$(json model) $(json snug.asked_model)" 'mini base'
for ((i = 0; i < 500; i++)); do
    grep -q '"state":"switched"' "$work/events" && break
    sleep 0.02
done
kill "$listener"
sentence='mini goes on instead of base: memory has run out.'
has 'it is said' "$(grep '"state":"switched"' "$work/events")" "\"text\":\"$sentence\""
has 'as a step of relief' "$(grep '"step":"model"' "$work/events")" "\"text\":\"$sentence\""
has 'of this request' "$(grep '"step":"model"' "$work/events")" '"request":"chatcmpl-'
is 'nobody said that it ends' "$(grep -c '"step":"suspend"' "$work/events")" 0
ask /metrics
has 'it is counted' "$out" 'snug_relief_steps_total{step="model"} 1'

# What would not fit from the first is answered by the smaller one, too, as it answers by itself.
body="${body%,\"context\":4000\}},\"context\":3000}"
ask /v1/chat/completions "$body,\"max_tokens\":24}"
is 'answered' "$code $(json model) $(json snug.asked_model) $(json snug.relief.0.step)" '200 mini base model'
has 'it is said' "$(json snug.relief.0.text)" 'mini answers instead of base: memory has run out.'
text=$(json choices.0.message.content)
tokens=$(json usage.prompt_tokens)
ask /v1/chat/completions "$body,\"max_tokens\":24,\"model\":\"mini\"}"
is 'its own answer' "$(json choices.0.message.content)" "$text"
is 'its own prompt' "$(json usage.prompt_tokens) $(json snug.relief)" "$tokens [0]"
# Ids are of one tokenizer: nobody else can read them, and that is said.
ids=$(printf '5,%.0s' $(seq 2000))
ask /v1/completions "{\"prompt\":[${ids%,}],\"max_tokens\":24,\"snug\":{\"kv_bits\":16,\"context\":3000}}"
is 'ids do not fit' "$code $(json error.code) $(json error.param)" '400 does_not_fit prompt'
has 'and why nobody else answers' "$(json error.message)" 'the prompt was given as ids'
# There is memory again: the model that was asked for answers.
ask /api/limit '{"bytes":null}'
ask /v1/chat/completions "$body,\"max_tokens\":4}"
is 'and back' "$code $(json model)" '200 base'
stop_server
is 'the end' "$status" 0

# --- nothing may go on ---
serve --keep 0
body="${body%,\"context\":3000\}},\"context\":4000}"
begin
lower
wait "$client" || fail 'the stream has an end' "$?"
sed -n 's/^data: {/{/p' "$work/stream" | tail -n 1 >"$work/out"
is 'why' "$(json error.code) $(json error.type)" 'out_of_memory server_error'
has 'in words' "$(json error.message)" 'memory limit'
is 'the limit' "$(json error.snug.limit_bytes)" "$low"
[ "$(json error.snug.need_bytes)" -gt "$low" ] || fail 'what it needed' "$(json error.snug.need_bytes)"
is 'it is the last' "$(grep -c '^data: \[DONE\]' "$work/stream")" 0
ask /v1/chat/completions '{"messages":[{"role":"user","content":"Hello"}],"max_tokens":4}'
is 'a small one is answered all the same' "$code" 200
ask /metrics
has 'it is counted' "$out" 'snug_requests_no_memory_total 1'
has 'as what it was' "$out" 'snug_relief_steps_total{step="suspend"} 1'
stop_server
is 'the end' "$status" 0
finish
