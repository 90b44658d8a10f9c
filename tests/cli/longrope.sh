#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# longrope.sh - a conversation that outgrows the short rotary factors is computed again once, and says so.
. "$(dirname "$0")/lib.sh"

model=$SHARED/fixtures/phi3 # 128 tokens with the short factors
if [ ! -d "$model" ]; then
    echo 'skipped: the shared checkpoints are not here'
    exit 77
fi
message='the man and the dog and the cat sat in the park and the sun was up'
for ((i = 0; i < 6; i++)); do printf '%s %d\n' "$message" $i; done >"$work/messages"
sentence='context grew beyond 128 tokens: [0-9]+ tokens are computed again with the model.s long factors'

chat() {
    "$LLM_TOOL" chat -m "$model" --temperature 0 "$@" <"$work/messages" >"$work/out" 2>"$work/err" ||
        fail "chat $*" "$(cat "$work/err")"
}

chat --max-tokens 8
is 'said once in a conversation' "$(grep -cE "^llm-tool: $sentence$" "$work/err")" 1
chat --max-tokens 8 --quiet
is 'not with --quiet' "$(cat "$work/err")" ''
head -n 1 "$work/messages" >"$work/one" && mv "$work/one" "$work/messages"
chat --context 512
is 'not when the first answer may already be long' "$(grep -cE "$sentence" "$work/err")" 0

# Ids, so that the length is known. Only --exact chooses by the length reached.
printf '[%s]' "$(seq -s, 20 139)" >"$work/ids"
run generate -m "$model" --prompt-ids "$work/ids" --max-tokens 16 --ignore-eos --temperature 0 --json
is 'status' "$status" 0
is 'one request is chosen for at once' "$(json recomputed_tokens) $(json recompute_reason)" '0 none'
run generate -m "$model" --prompt-ids "$work/ids" --max-tokens 16 --ignore-eos --temperature 0 --json --exact
is 'status of --exact' "$status" 0
is 'inside the answer' "$(json recomputed_tokens) $(json recompute_reason)" '128 longer'
has 'and says so' "$err" \
    "llm-tool: context grew beyond 128 tokens: 128 tokens are computed again with the model's long factors"
finish
