#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# api.sh - tokens, plans, models, memory, metrics and events: the figures of the tool, over HTTP.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

serve --max-body 64K
text='Once upon a time there was a café.'
ask /tokenize "{\"content\":\"$text\",\"add_special\":true}"
is 'tokens' "$code" 200
cp "$work/out" "$work/tokens"
run tokenize --model "$model" --json --add-special "$text"
is 'as many as the tool says' "$("$JSON_GET" "$work/tokens" tokens)" "$(json ids)"
ask /detokenize "$(tr -d '\n' <"$work/tokens")"
has 'and back' "$(json content)" "$text"
ask /tokenize '{"content":1}'
is 'no text' "$code $(json error.param)" '400 content'
ask /detokenize '{"tokens":[99999999]}'
is 'no such id' "$code $(json error.param)" '400 tokens'
ask /tokenize '{"content":"a","other":1}'
is 'what is not known' "$code $(json error.code)" '400 unsupported_parameter'

ask /api/plan '{"context":512,"strategy":"aggressive"}'
is 'a plan' "$code $(json context_tokens) $(json plan.strategy)" '200 512 aggressive'
kv=$(json by_use.kv)
run plan --model "$model" --context 512 --optimization-strategy aggressive --json
is 'as the tool plans' "$kv" "$(json by_use.kv)"
ask /api/plan '{"context":0}'
is 'no plan' "$code $(json error.param)" '400 context'

ask /api/models
is 'models' "$code $(json default)" '200 mini'
"$JSON_GET" "$work/out" models.0.id >/dev/null || fail 'there is one' "$out"
ask /api/models/unload '{"model":"mini"}'
is 'unloaded' "$code $(json loaded)" '200 false'
ask /api/models/load '{"model":"mini"}'
is 'loaded' "$code $(json loaded)" '200 true'
ask /api/models/load '{"model":"/etc/passwd"}'
is 'a path is no name' "$code $(json error.code)" '404 model_not_found'
ask /api/models/pull '{"model":"nobody/nothing"}'
is 'what is not in the catalogue' "$code $(json error.code)" '404 model_not_found'

ask /api/strategy '{"strategy":"conservative"}'
is 'a strategy' "$code $(json strategy)" '200 conservative'
ask /api/strategy '{"strategy":"fast"}'
is 'none' "$code $(json error.param)" '400 strategy'
chat='{"messages":[{"role":"user","content":"Tell me a story."}],"max_tokens":8}'
ask /v1/chat/completions "$chat"
is 'it is used' "$(json snug.strategy)" conservative

# A limit a little above what there is: no long answer, but everything is said.
ask /api/memory
limit=$(($(json used_bytes) + 400000))
ask /api/limit "{\"bytes\":$limit}"
is 'a low limit' "$code $(json limit_bytes)" "200 $limit"
ask /v1/chat/completions "${chat%8\}}4000,\"snug\":{\"kv_bits\":16}}"
is 'a request that cannot fit' "$code $(json error.code)" '400 does_not_fit'
has 'the figures' "$(json error.message)" 'may be used (limited by'
is 'the limit' "$(json error.snug.limit_bytes)" "$((limit * 95 / 100))"
ask /api/limit '{"bytes":1000}'
is 'less than anything' "$code $(json level)" '200 critical'
ask /v1/chat/completions "$chat"
case $code in 400 | 503) ;; *) fail 'no answer' "$code $out" ;; esac
ask /api/limit '{"bytes":null}'
is 'lifted' "$code" 200
ask /v1/chat/completions "$chat"
is 'and answered' "$code" 200
ask /api/limit '{"bytes":0}'
is 'no limit at all' "$code $(json error.param)" '400 bytes'

ask /metrics
is 'metrics' "$code" 200
has 'their type' "$headers" 'Content-Type: text/plain; version=0.0.4'
has 'answers' "$out" 'snug_requests_answered_total 2'
has 'a histogram' "$out" 'snug_first_token_seconds_count 2'
# Each line is a comment, or a name with its labels and a number.
wrong=$(grep -vE '^#|^snug_[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.e+]+$' "$work/out" || true)
is 'every line has its form' "$wrong" ''

curl -sN --max-time 1 -o "$work/events" "$url/api/events" || true
has 'events' "$(cat "$work/events")" 'event: memory'
has 'the queue, too' "$(cat "$work/events")" 'event: queue'
stop_server
is 'the end' "$status" 0

# A limit that was given cannot be raised from outside.
serve --memory-limit 64M
ask /api/limit '{"bytes":100000000}'
is 'no more than was given' "$code $(json error.param)" '400 bytes'
stop_server
is 'the end' "$status" 0
finish
