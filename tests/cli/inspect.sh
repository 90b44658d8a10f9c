#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# inspect.sh - what the files hold: against figures known from elsewhere, and against `plan`.
. "$(dirname "$0")/lib.sh"

# --- the bundled model: from its config.json and the file's own size

run inspect "$model" --json --tensors
is 'status' "$status" 0
is 'family' "$(json family)" qwen3
is 'layers' "$(json layers)" "$(sed -nE 's/.*"num_hidden_layers": *([0-9]+).*/\1/p' "$model/config.json")"
is 'hidden' "$(json hidden)" "$(sed -nE 's/.*"hidden_size": *([0-9]+).*/\1/p' "$model/config.json")"
is 'bits per weight of BF16' "$(json bits_per_weight)" 16.0
is 'one element type' "$(json types)" '[1]'
is 'its name' "$(json types.0.type)" BF16
is 'its share' "$(json types.0.share)" 1.0
is 'format' "$(json files.0.format)" safetensors
is 'mapped bytes' "$(json mapped_bytes)" "$(wc -c <"$model/model.safetensors" | tr -d ' ')"
header=$(od -An -t u8 -N 8 "$model/model.safetensors" | tr -d ' ')
without_header=$(($(json mapped_bytes) - header - 8))
is 'bytes of tensors are the file without its header' "$(json files.0.bytes)" "$without_header"
count=$(head -c $((header + 8)) "$model/model.safetensors" | grep -ao '"dtype"' | wc -l)
is 'as many tensors as the header has' "$(json tensors)" "[$count]"
sum=0
for ((i = 0; i < count; i++)); do sum=$((sum + $(json tensors.$i.bytes))); done
is 'tensors add up to the file' "$sum" "$(json files.0.bytes)"
is 'a shape' "$(json tensors.0.name) $(json tensors.0.shape.0)" "model.embed_tokens.weight $(json vocabulary)"
# Keys and values of 4 layers, 1 head of 64, two bytes each.
is 'bytes per token' "$(json cache.kinds.0.bytes_per_token)" 1024
is 'the stop ids have their text' "$(json tokenizer.stop.0.text)" '<|im_end|>'
is 'no bos' "$(json tokenizer.bos)" null
is 'the template can be used' "$(json chat_template.is_usable)" true
is 'contexts: 2048 and the longest' "$(json predictions)" '[2]'

# --- the same figures as plan, but for what two runs of a program differ by

for at in 0 1; do
    run inspect "$model" --json
    context=$(json predictions.$at.context_tokens)
    peak=$(json predictions.$at.predicted_peak_bytes)
    run plan -m "$model" --context "$context" --json --no-adaptive-memory
    difference=$((peak - $(json predicted_peak_bytes)))
    # A sanitizer's own memory differs by more from run to run.
    if [ -z "${SANITIZED-}" ] && [ "${difference#-}" -ge 524288 ]; then
        fail "the peak of plan at $context" "off by $difference bytes"
    fi
done

# --- for people, and without --tensors

run inspect -m "$model"
is 'status of the text' "$status" 0
for part in 'family qwen3' '4 layers' 'model.safetensors' 'BF16' 'byte-level BPE' '<|im_end|>' \
    '1024 bytes per token' 'context' 'fits'; do
    has 'the text' "$out" "$part"
done
has_not 'the text without --tensors' "$out" model.embed_tokens.weight
run inspect "$model" --tensors
has 'the list of tensors' "$out" model.embed_tokens.weight
is 'nothing on standard error' "$err" ''

# --- usage

refuses 2 'inspect takes one model, and "b" is a second' inspect a b
refuses 2 'inspect takes one model: MODEL or --model, not both' inspect a --model b

# --- damaged files end as with every command; a name commands no terminal

cp -r "$model" "$work/model"
chmod -R u+w "$work/model"
sed -i 's/model\.embed_tokens\.weight/model.\\u001b_tokens.weight/' "$work/model/model.safetensors"
run inspect "$work/model" --tensors
is 'status of a model without its embedding' "$status" 4
is 'output of a model without its embedding' "$out" ''
is 'one sentence' "$(wc -l <"$work/err" | tr -d ' ')" 1
cp "$model/model.safetensors" "$work/model/"
sed -i 's/"<|im_end|>"/"<|\\u001bnd|>"/g' "$work/model/tokenizer.json" "$work/model/tokenizer_config.json"
run inspect "$work/model" --tensors
is 'status of a token with a control character' "$status" 0
has 'it is shown escaped' "$out" '<|\x1bnd|>'
if grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$work/out"; then fail 'no control characters' ''; fi
run inspect "$work/model" --json
is 'in JSON it is what it is' "$(json tokenizer.stop.0.text)" $'<|\x1bnd|>'
if grep -qP '[^\x0a\x20-\x7e]' "$work/out"; then fail 'JSON is plain ASCII' ''; fi
truncate -s -1000 "$work/model/model.safetensors"
run inspect "$work/model"
is 'status of a truncated file' "$status" 4
is 'output of a truncated file' "$out" ''

# --- families whose layers differ

if [ ! -d "$SHARED/fixtures/gemma3n" ]; then
    echo 'skipped: the shared checkpoints are not here'
    [ "$failures" -eq 0 ] && exit 77
    finish
fi
run inspect "$SHARED/fixtures/gemma3n" --json
is 'status of gemma3n' "$status" 0
kinds=
for at in 0 1 2; do kinds+="$(json cache.kinds.$at.kind) $(json cache.kinds.$at.layers), "; done
is 'kinds of layers' "$kinds" 'window 3, full 1, shared 4, '
is 'the window' "$(json cache.kinds.0.window_tokens)" 16
is 'shared layers keep nothing' "$(json cache.kinds.2.bytes_per_token)" 0
# 4 of 8 layers of one head of 64 keep nothing for 2048 tokens; windows may save more.
least=$((4 * 2 * 64 * 2 * 2048))
[ "$(json predictions.0.cache_saved_bytes)" -ge $least ] || fail 'what sharing saves' "$out"
cp -r "$SHARED/fixtures/gemma3n" "$work/gemma3n"
chmod -R u+w "$work/gemma3n"
# Tensors that text does not need, renamed in place to as many bytes.
sed -i 's/vision_tower/\\u001b\\u009b/g' "$work/gemma3n/model.safetensors"
run inspect "$work/gemma3n" --tensors
is 'status of tensors with control characters' "$status" 0
has 'their names are shown escaped' "$out" '\x1b\xc2\x9b'
if grep -qP '[\x00-\x08\x0b-\x1f\x7f-\x9f]' "$work/out"; then fail 'no control characters in names' ''; fi
run inspect "$work/gemma3n" --tensors --json
if grep -qP '[^\x0a\x20-\x7e]' "$work/out"; then fail 'JSON of names is plain ASCII' ''; fi
run inspect "$SHARED/fixtures/openelm" --json
is 'heads of openelm' "$(json heads.least) $(json heads.most)" '2 4'
is 'feed-forward of openelm' "$(json mlp.least) $(json mlp.most)" '128 512'
is 'openelm has no template' "$(json chat_template.is_usable) $(json chat_template.bytes)" 'false 0'
is 'its tokenizer' "$(json tokenizer.kind)" 'SentencePiece BPE'
run inspect "$SHARED/fixtures/llama-untied" --json
is 'shards' "$(json files)" '[2]'
run inspect "$SHARED/fixtures/phi3" --json
is 'the limit of the short factors' "$(json rope_short_tokens)" 128

# 4 bits, and a scale and a bias of 16 bits for 64 of them: 4.5 bits per weight, and a little for norms.
run inspect "$SHARED/fixtures/qwen3-mlx4" --json
if [ "$status" -eq 0 ]; then
    is 'the type of MLX weights' "$(json types.0.type) $(json types.0.group)" 'AFFINE4 64'
    [[ $(json bits_per_weight) == 4.5* ]] || fail 'bits per weight of MLX' "$(json bits_per_weight)"
fi
for name in llama-tied-Q4_K_M gemma3-Q8_0; do
    run inspect "$SHARED/fixtures/gguf/$name.gguf" --json
    if [ "$status" -eq 0 ]; then is "format of $name" "$(json files.0.format)" GGUF; fi
done

while IFS=$'\t' read -r name _ reason; do
    run inspect "$SHARED/fixtures/bad/$name" --tensors
    [ "$status" -le 4 ] || fail "no crash on $name ($reason)" "status $status" "$err"
    if [ "$status" -eq 4 ]; then is "one sentence for $name" "$(wc -l <"$work/err" | tr -d ' ')" 1; fi
    if grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$work/out"; then fail "no control characters for $name" ''; fi
done <"$SHARED/fixtures/bad/cases.tsv"
finish
