#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# answers.sh - chats and completions, whole and streamed: the same text, and that of generate.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

serve --grace 10
chat='{"messages":[{"role":"user","content":"Tell me a story."}],"max_tokens":24,"temperature":0'

ask /health
is 'health' "$code $(json status)" '200 ok'
ask /v1/models
is 'models' "$code $(json object) $(json data.0.id)" '200 list mini'
ask /v1/models/mini
is 'one model' "$code $(json id)" '200 mini'
ask /v1/models/none
is 'no such model' "$code $(json error.code)" '404 model_not_found'

# What generate writes, with the same cache.
run generate --model "$model" --prompt 'Tell me a story.' --max-tokens 24 --temperature 0 --quiet
expected=$out
ask /v1/chat/completions "$chat}"
is 'a chat' "$code" 200
is 'its text' "$(json choices.0.message.content)" "$expected"
is 'its form' "$(json object) $(json choices.0.message.role)" 'chat.completion assistant'
is 'its end' "$(json choices.0.finish_reason) $(json snug.stop)" 'length max_tokens'
is 'its tokens' "$(json usage.completion_tokens)" 24
has 'its id' "$headers" "X-Request-Id: $(json id)"

ask /v1/chat/completions "$chat,\"stream\":true,\"stream_options\":{\"include_usage\":true}}"
is 'a stream' "$code" 200
has 'its type' "$headers" 'Content-Type: text/event-stream'
is 'the same text' "$(stream_text content)" "$expected"
is 'the last line' "$(grep '^data' "$work/out" | tail -n 1)" 'data: [DONE]'
sed -n 's/^data: {/{/p' "$work/out" | tail -n 1 >"$work/last"
is 'the usage' "$("$JSON_GET" "$work/last" usage.completion_tokens)" 24

# Stop strings: the text ends before them, and no part of one is in the stream.
stop=${expected:20:7}
ask /v1/chat/completions "$chat,\"stop\":[\"never\",\"$stop\"]}"
is 'stopped' "$(json choices.0.message.content)" "${expected%%"$stop"*}"
is 'the reason' "$(json choices.0.finish_reason) $(json snug.stop)" 'stop stop_string'
ask /v1/chat/completions "$chat,\"stop\":\"$stop\",\"stream\":true}"
is 'stopped, streamed' "$(stream_text content)" "${expected%%"$stop"*}"

run generate --model "$model" --prompt 'Once upon a time' --raw --max-tokens 8 --temperature 0 --quiet
expected=$out
ask /v1/completions '{"prompt":"Once upon a time","max_tokens":8,"temperature":0,"logprobs":2}'
ask /v1/completions '{"prompt":"Once upon a time","max_tokens":8,"temperature":0,"logprobs":2}'
is 'a completion' "$(json choices.0.text)" "$expected"
is 'logprobs' "$(json choices.0.logprobs.tokens)" '[8]'
is 'no likelier one' "$(json choices.0.logprobs.top_logprobs.0)" '{2}'
ask /v1/completions '{"prompt":"Once upon a time","max_tokens":8,"temperature":0,"stream":true}'
is 'a completion, streamed' "$(stream_text text)" "$expected"

# The same seed, the same answer; what was said is not computed again.
story='Tell me a long story about a dog, a cat and a bird who lived in a house by the sea.'
long="{\"messages\":[{\"role\":\"user\",\"content\":\"$story\"}],\"max_tokens\":12,\"seed\":5}"
ask /v1/chat/completions "$long"
first=$(json choices.0.message.content)
is 'nothing is there yet' "$(json usage.prompt_tokens_details.cached_tokens)" 0
ask /v1/chat/completions "$long"
is 'the same seed' "$(json choices.0.message.content)" "$first"
is 'its prompt is there' "$(json usage.prompt_tokens_details.cached_tokens)" \
    "$(($(json usage.prompt_tokens) - 1))"

ask /v1/embeddings '{"input":"a"}'
is 'embeddings' "$code $(json error.code)" '501 not_implemented'

stop_server
is 'the end' "$status" 0

# A model of the catalogue by another way is that model, listed once.
ln -s "$model" "$work/by-another-way"
model=$work/by-another-way
serve
ask /v1/models
is 'mini, once' "$(grep -o '"id":"mini"' "$work/out" | wc -l) $(json data.0.id)" '1 mini'
stop_server
finish
