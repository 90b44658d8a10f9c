#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bad_input.sh - damaged checkpoints: one sentence on standard error, status 4, no output, no crash.
. "$(dirname "$0")/lib.sh"

# Made here from the bundled model.
copy() {
    rm -rf "$work/model"
    cp -r "$model" "$work/model"
    chmod -R u+w "$work/model"
}

refused() {
    run -m "$work/model" -p Hello --max-tokens 1
    is "status: $1" "$status" 4
    is "output: $1" "$out" ''
    is "one sentence: $1" "$(wc -l <"$work/err")" 1
    has "the sentence: $1" "$err" "$2"
    has "the sentence: $1" "$err" 'llm-tool: '
}

copy && truncate -s -1000 "$work/model/model.safetensors"
refused 'a truncated file' model.safetensors
copy && sed -i 's/"qwen3"/"quux"/; s/Qwen3ForCausalLM/QuuxForCausalLM/' "$work/model/config.json"
refused 'an unknown family' quux
copy && sed -i 's/"hidden_size": *128/"hidden_size": 192/' "$work/model/config.json"
refused 'a wrong shape' ''
copy && sed -i 's/layers\.1\.mlp\.up_proj/layers.1.mlp.xx_proj/' "$work/model/model.safetensors"
refused 'a missing tensor' up_proj
copy && rm "$work/model/config.json"
refused 'no config.json' config.json
copy && rm "$work/model/tokenizer.json"
refused 'no tokenizer' tokenizer.json
copy && truncate -s 5000 "$work/model/tokenizer.json"
refused 'a cut tokenizer' tokenizer.json
rm -rf "$work/model"
refused 'no model' "$work/model"

if [ ! -f "$SHARED/fixtures/bad/cases.tsv" ]; then
    echo 'skipped: the shared damaged checkpoints are not here'
    [ "$failures" -eq 0 ] && exit 77
    finish
fi
while IFS=$'\t' read -r name expected reason; do
    case $name in *.gguf) continue ;; esac # this build reads safetensors
    run -m "$SHARED/fixtures/bad/$name" -p 'the man <|far|> e' --raw --max-tokens 2
    case $expected in
    accept) is "status of $name ($reason)" "$status" 0 ;;
    refuse)
        is "status of $name ($reason)" "$status" 4
        is "one sentence for $name" "$(wc -l <"$work/err")" 1
        ;;
    *) [ "$status" -le 4 ] || fail "no crash on $name ($reason)" "status $status" "$err" ;;
    esac
done <"$SHARED/fixtures/bad/cases.tsv"
finish
