#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# models.sh - the catalogue as the tool prints it: what fits a limit, what is installed, as table and JSON.
. "$(dirname "$0")/lib.sh"
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME

run models --limit 3G --json
is 'status' "$status" 0
is 'limit' "$(json limit_bytes)" 3221225472
is 'chosen for 3G' "$(json chosen)" qwen3-4b
has 'the explanation' "$(json explanation)" 'qwen3-4b is the best that fits: needs '
is 'the first row' "$(json candidates.0.name)" openelm-270m
is 'its tier' "$(json candidates.0.tiers.0)" under-2
is 'it fits' "$(json candidates.0.fits)" true
is 'it is not chosen' "$(json candidates.0.chosen)" false
has 'why' "$(json candidates.0.why)" 'fits; qwen3-4b computes with more parameters'
is 'not here' "$(json candidates.0.path)" null
need=$(json candidates.0.plan.need_bytes)
is 'need is peak and weights' "$need" \
    "$(($(json candidates.0.plan.peak_bytes) + $(json candidates.0.plan.weight_bytes)))"

run models --limit 3G
is 'status of the table' "$status" 0
has 'the table' "$out" '* qwen3-4b      affine4:64'
has 'the sentence' "$out" 'qwen3-4b is the best that fits'

# The same question, the same answer.
cp "$work/out" "$work/before"
run models --limit 3G
cut -c1-14 "$work/before" >"$work/a"
cut -c1-14 "$work/out" >"$work/b"
cmp -s "$work/a" "$work/b" || fail 'the same answer twice' "$out"

run models --installed --json
is 'what is installed' "$(json chosen)" mini
is 'nothing else' "$(json candidates.1)" '(no candidates.1)'

# A model that another program left in the hub's cache folder; a catalogue of the user's own.
snapshot=$work/cache/huggingface/hub/models--me--tiny/snapshots/0123456789abcdef
mkdir -p "$snapshot" "$work/config/snug"
for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    ln -s "$model/$file" "$snapshot/$file"
done
cat >"$work/config/snug/catalog.json" <<JSON
{ "format": 1,
  "tokenizers": { "own": { "pieces": 4096, "piece_bytes": 30000, "merges": 3800 } },
  "models": [ { "name": "tiny", "licence": "Apache-2.0", "tokenizer": "own",
                "sources": [ { "repository": "me/tiny", "weights": "bf16" } ],
                "config": $(cat "$model/config.json") } ] }
JSON
run models --installed --json
is 'status with a catalogue of the user' "$status" 0
is 'its name' "$(json candidates.0.name)" tiny
is 'its path' "$(json candidates.0.path)" "$snapshot"
is 'chosen' "$(json chosen)" tiny
# Without --model it is what runs, and the reason is said.
run plan
is 'status without a model' "$status" 0
has 'the reason' "$err" 'llm-tool: no --model given: tiny is the best that fits: needs '
has 'the path' "$out" "$snapshot: qwen3"
run plan --model tiny
is 'status by its name' "$status" 0
run plan --model ME/tiny
is 'status by its repository' "$status" 0
# Nothing but the bundled one fits into so little, if that.
run generate --prompt 'Tell me a story.' --max-tokens 1 --memory-limit 4M
has 'the bundled one' "$err" 'mini'

echo '{' >"$work/config/snug/catalog.json"
run models
is 'status with a damaged catalogue' "$status" 4
has 'the sentence names it' "$err" "llm-tool: $work/config/snug/catalog.json: "
finish
