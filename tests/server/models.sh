#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# models.sh - what fits is planned once, and again when the limit or the strategy is another; a model that is
# fetched is there; a limit holds from the first moment.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

# plans: how often the catalogue was planned so far.
plans() {
    ask /metrics
    sed -n 's/^snug_catalog_plans_total //p' "$work/out"
}

# --- planned once ---
serve --memory-limit 64M
ask /api/models
is 'models' "$code $(json limit_bytes) $(json default)" '200 67108864 mini'
cp "$work/out" "$work/first"
ask /api/models
cmp -s "$work/out" "$work/first" || fail 'the same again' "$out"
is 'planned once' "$(plans)" 1
ask /api/limit '{"bytes":62914560}'
ask /api/models
is 'within the limit of now' "$(json limit_bytes)" 62914560
is 'planned anew' "$(plans)" 2
ask /api/strategy '{"strategy":"conservative"}'
ask /api/models
ask /api/models
is 'for the strategy of now' "$(plans)" 3
ask /api/models/unload '{"model":"mini"}'
ask /api/models
has 'what is loaded is of now' "$(tr '{' '\n' <"$work/out" | grep '"id":"mini"')" '"loaded":false'
is 'and needs no plan' "$(plans)" 3

# --- an answer for which there is no memory is refused as a whole ---
ask /api/limit '{"bytes":1000000}'
ask /api/models
is 'no half of an answer' "$code $(json error.code)" '503 out_of_memory'
ask /api/limit '{"bytes":62914560}'

# --- the limit holds from the beginning: what the ledger grants is no more ---
stop_server
serve --memory-limit 64M --context 256
ask /api/memory
is 'the limit' "$(json limit_bytes) $(json binding)" '67108864 the memory limit that was set'
used=$(json used_bytes)
ask /metrics
has 'the same' "$out" 'snug_memory_limit_bytes 67108864'
stop_server
run serve --model "$model" --port 0 --memory-limit 1M
is 'too low for the model' "$status" 3
has 'the figures' "$err" 'are left of the memory limit of'
[ "$used" -gt 1048576 ] || fail 'it needs more than that' "$used"

# --- fetched ---
if [ -z "${HUB_SERVER-}" ]; then
    echo 'not tried: fetching (built without libcurl)'
    finish
fi
export XDG_CONFIG_HOME=$work/config HF_HUB_CACHE=$work/hub
unset http_proxy ALL_PROXY all_proxy HF_TOKEN
mkdir -p "$work/config/snug"
cat >"$work/config/snug/catalog.json" <<END
{"format": 1, "models": [{"name": "fetched", "title": "Fetched", "publisher": "Test", "licence": "none",
    "tokenizer": "llama2", "sources": [{"repository": "test/mini", "weights": "bf16"}],
    "config": $(cat "$model/config.json")}]}
END
"$HUB_SERVER" "$model" "$work/port" &
hub=$!
trap 'kill $hub; [ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 200); do
    [ ! -s "$work/port" ] || break
    sleep 0.05
done
HF_ENDPOINT=http://127.0.0.1:$(cat "$work/port")
export HF_ENDPOINT
serve
row() { # of the list of models, that of the one which is fetched
    ask /api/models
    tr '{' '\n' <"$work/out" | grep '"id":"fetched"'
}
has 'known, not here' "$(row)" '"installed":false'
ask /v1/chat/completions '{"model":"fetched","messages":[{"role":"user","content":"Hello"}]}'
is 'it cannot be asked' "$code $(json error.code)" '404 model_not_found'
ask /api/models/pull '{"model":"fetched"}'
has 'fetched' "$out" 'event: done'
has 'with its progress' "$out" '"phase":"done"'
has 'here' "$(row)" '"installed":true'
ask /v1/chat/completions '{"model":"fetched","messages":[{"role":"user","content":"Hello"}],"max_tokens":4}'
is 'it answers' "$code $(json model)" '200 fetched'
stop_server
is 'the end' "$status" 0
finish
