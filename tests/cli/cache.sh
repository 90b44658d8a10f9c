#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cache.sh - which tokens the cache keeps: what is obeyed, refused and reported, and what it takes.
. "$(dirname "$0")/lib.sh"

prompt='Tell me a story about a dog named Max.'
story=(generate -m "$model" -p "$prompt" --ignore-eos --json)

# What does not go together is refused, never changed.
refuses 2 '--kv takes simple, rotating, quantized or chunked, not "round"' "${story[@]}" --kv round
refuses 2 '--kv simple keeps keys and values as f16; --kv quantized has fewer bits' \
    "${story[@]}" --kv simple --kv-bits 4
sentence='--kv quantized has fewer than 16 bits: leave --kv-format and --kv-bits away, or '
refuses 2 "$sentence--kv quantized" "${story[@]}" --kv quantized --kv-bits 16
refuses 2 '--kv-format takes f16, planes or affine, not "q4_0"' "${story[@]}" --kv-format q4_0
sentence='--kv-bits takes 2, 3, 4, 5, 6, 8 or 16, or two of them as K/V, not'
refuses 2 "$sentence \"7\"" "${story[@]}" --kv-bits 7
refuses 2 "$sentence \"8/\"" "${story[@]}" --kv-bits 8/
refuses 2 "$sentence \"4294967300\"" plan -m "$model" --kv-bits 4294967300
sentence='--kv-format f16 has 16 bits, so --kv-bits 8 cannot be obeyed; --kv-format planes or affine can'
refuses 2 "$sentence" "${story[@]}" --kv-format f16 --kv-bits 8
refuses 2 '--kv-group-size takes 32, 64 or 128, not 48' "${story[@]}" --kv-format affine --kv-group-size 48
refuses 2 '--kv-group-size 64 is for --kv-format affine: others have no groups' \
    "${story[@]}" --kv-bits 8 --kv-group-size 64
refuses 2 '--kv-tail says what stays f16 in a quantized cache: give --kv-bits N too' \
    "${story[@]}" --kv-tail 64
refuses 2 '--quantized-kv-start says what stays f16 in a quantized cache: give --kv-bits N too' \
    bench -m "$model" --quantized-kv-start 10
refuses 2 '--kv rotating needs --max-kv-size N: how many tokens to keep' "${story[@]}" --kv rotating
refuses 2 '--kv chunked needs --max-kv-size N: how many tokens to keep' plan -m "$model" --kv chunked
refuses 2 '--kv simple keeps every token, so --max-kv-size cannot be obeyed; --kv rotating or chunked can' \
    "${story[@]}" --kv simple --max-kv-size 100
sentence='--kv-sinks is for a rotating or a quantized cache: give --max-kv-size N'
refuses 2 "$sentence, or --kv-bits N" chat -m "$model" --kv-sinks 2
refuses 2 "${sentence} with --kv rotating, or --kv-bits N" \
    "${story[@]}" --kv chunked --max-kv-size 100 --kv-sinks 2
refuses 2 '--kv-sinks 100 must be less than --max-kv-size 100' \
    "${story[@]}" --max-kv-size 100 --kv-sinks 100
refuses 2 '--kv-sinks 4 (the default) must be less than --max-kv-size 4' bench -m "$model" --max-kv-size 4
refuses 2 '--max-kv-size takes a whole number from 1 up to 4294967295, not "0"' "${story[@]}" --max-kv-size 0

# Layers of their own.
refuses 2 '--kv-layers: "0-1" is not LAYERS=FORMAT, as in 0-1=8/8 or 12=f16' "${story[@]}" --kv-layers 0-1
refuses 2 '--kv-layers: "-1=8" is not LAYERS=FORMAT, as in 0-1=8/8 or 12=f16' "${story[@]}" --kv-layers=-1=8
sentence='a layer takes bits as N or K/V (2, 3, 4, 5, 6, 8 or 16), f16, planes:BITS or affine:BITS:GROUP'
refuses 2 "--kv-layers: \"2=7\": $sentence, not \"7\"" "${story[@]}" --kv-layers 0=8,2=7
refuses 2 "--kv-layers: \"2=\": $sentence, not \"\"" "${story[@]}" --kv-layers 0=8,2=
refuses 2 "--kv-layers: \"2=affine:4:48\": $sentence, not \"affine:4:48\"" \
    plan -m "$model" --kv-layers 2=affine:4:48
refuses 2 '--kv-layers: "2=8": layer 2 has been given a format before' "${story[@]}" --kv-layers 1-3=4/3,2=8
refuses 2 '--kv-layers: "3-1=8": the layers 3 to 1 go backwards' bench -m "$model" --kv-layers 3-1=8
sentence='layers are numbered from 0, and 127 is the last that can have a format of its own'
refuses 2 "--kv-layers: \"0-128=8\": $sentence" "${story[@]}" --kv-layers 0-128=8
refuses 2 'layer 4 was given a cache format of its own; this model has the layers 0 to 3' \
    "${story[@]}" --kv-layers 3-4=8
refuses 2 '--kv simple keeps keys and values as f16; --kv quantized has fewer bits' \
    "${story[@]}" --kv simple --kv-layers 0=8
sentence='--kv-layers is for one cache, --kv-formats for several: give the layers with each format, as in'
refuses 2 "$sentence planes:4/4+0-1=8/8" \
    perplexity -m "$model" --text "$0" --kv-layers 0=8 --kv-formats planes:4
run "${story[@]}" --max-tokens 300 --kv-layers 0=8/4,2-3=affine:4/3:32 --kv-tail 64
is 'others are f16' "$(json kv.layers.1.key.format) $(json kv.layers.1.key.bits)" 'f16 16'
is 'keys of a layer' "$(json kv.layers.0.key.format) $(json kv.layers.0.key.bits)" 'planes 8'
is 'its values' "$(json kv.layers.0.value.bits) $(json kv.layers.0.value.widths.1.bits)" '4 4'
is 'the last layer' "$(json kv.layers.3.value.format) $(json kv.layers.3.value.bits)" 'affine 3'
is 'as it was asked for' "$(json plan.kv.layers) $(json kv.kind)" '0=8/4,2-3=affine:4/3:32 quantized'
is 'predicted so' "$(json memory.predicted_by_use.kv)" "$(json kv.bytes)"
run "${story[@]}" --max-tokens 300 --kv-bits 8/4
whole=$(json text)
run "${story[@]}" --max-tokens 300 --kv-layers 0-3=8/4
is 'every layer so is all of it so' "$(json text) $(json kv.bits.key)" "$whole 8"
run generate -m "$model" -p "$prompt" --verbose --ignore-eos --max-tokens 300 --kv-bits 4 --kv-layers 3=f16
has 'a line for what layers hold' "$err" '         layers 0-2 each 4/4: 253 tokens in 16 bits, 64 in 4 bits; '
has 'and for the one that is not so' "$err" '         layer 3 f16: '

# The model: 4 layers, 1 KV head of 64 values; a token takes 4 x 2 x 64 x 2 bytes, a tile of 64 tokens 64 KiB.
run "${story[@]}" --max-tokens 10 --no-adaptive-memory
is 'simple' "$(json kv.kind) $(json kv.bits.key) $(json kv.bytes_per_token)" 'simple 16 1024'
run "${story[@]}" --max-tokens 10 --kv simple
is 'simple, asked for' "$(json kv.kind) $(json kv.bits.key) $(json plan.chosen)" 'simple 16 [1]'
is 'simple has no sinks' "$(json kv.sink_tokens)" 0
is 'simple is not bounded' "$(json kv.max_tokens)" null
run "${story[@]}" --max-tokens 10 --exact --kv simple
is 'exact' "$(json kv.kind) $(json kv.bits.value) $(json kv.bytes_per_token)" 'simple 32 2048'

# While nothing has been dropped, the answer is the same.
run "${story[@]}" --max-tokens 100
whole=$(json text)
for kind in rotating chunked; do
    run "${story[@]}" --max-tokens 100 --kv $kind --max-kv-size 1000
    is "$kind, not yet full" "$(json text)" "$whole"
done

# --max-kv-size alone is rotating with 4 sinks; memory stays where it is however long the answer gets.
run "${story[@]}" --max-tokens 600 --max-kv-size 256 --context 100000
is 'status' "$status" 0
is 'rotating' "$(json kv.kind) $(json kv.max_tokens) $(json kv.sink_tokens)" 'rotating 256 4'
is 'tokens' "$(json generated_tokens)" 600
bytes=$(json kv.bytes)
tiles=$((6 * 65536)) # the sinks' tile, and 252 tokens in a ring of 5, beside the table
[[ $bytes -ge $tiles && $bytes -le $((tiles + 32768)) ]] || fail 'bytes of a rotating cache' "$bytes"
first=$(json memory.predicted_by_use.kv)
run "${story[@]}" --max-tokens 2000 --kv rotating --max-kv-size 256 --kv-sinks 4 --context 100000
is 'no more for 2000 tokens' "$(json kv.bytes)" "$bytes"
is 'predicted so' "$(json memory.predicted_by_use.kv)" "$first"
measured=$(json memory.measured_peak_bytes)
predicted=$(json memory.predicted_peak_bytes)
if [ -z "${SANITIZED-}" ]; then
    [ "$measured" -le "$predicted" ] || fail 'too little predicted' "$measured > $predicted"
    [ "$predicted" -le $((measured + measured * 3 / 100 + 2000000)) ] ||
        fail 'predicted near measured' "$predicted, measured $measured"
fi
run "${story[@]}" --max-tokens 600 --kv chunked --max-kv-size 256
is 'chunked' "$(json kv.kind) $(json kv.max_tokens) $(json kv.sink_tokens)" 'chunked 256 0'
[ "$(json kv.bytes)" -lt "$bytes" ] || fail 'bytes of a chunked cache' "$(json kv.bytes)"

# plan and bench take the flags too.
run plan -m "$model" --context 100000 --max-kv-size 256 --kv-sinks 0 --json
is 'plan' "$(json kv) $(json kv_kind) $(json kv_max_tokens) $(json kv_sink_tokens)" 'f16 rotating 256 0'
[ "$(json by_use.kv)" -lt "$bytes" ] || fail 'no sinks, a tile less' "$(json by_use.kv)"
run plan -m "$model" --context 100000 --json
is 'plan without' "$(json kv_kind) $(json kv_max_tokens)" 'quantized null'
run plan -m "$model" --context 100000 --json --no-adaptive-memory
is 'plan without, nothing chosen' "$(json kv_kind) $(json kv_max_tokens)" 'simple null'
[ "$(json by_use.kv)" -gt 100000000 ] || fail 'all of 100000 tokens' "$(json by_use.kv)"
run plan -m "$model" --kv chunked --max-kv-size 128
has 'the page' "$out" 'a cache of f16, in chunks of 128 tokens'
run bench -m "$model" --prompt-tokens 32 --gen-tokens 8 --depth 300 --repetitions 2 --max-kv-size 100 --json
is 'bench' "$status $(json tests.1.kv_kind) $(json tests.1.depth)" '0 rotating 300'
# weights of a token, and what 100 tokens take: 1024 bytes each
is 'bench: bytes of a token' "$(json tests.1.bytes_per_token | cut -d. -f1)" \
    $(($(json model.weight_bytes) + 100 * 1024))

# Fewer bits: a token of 64 values takes bits x 8 bytes and a scale for keys and for values, in 4 layers.
story_of() { run "${story[@]}" --temperature 0 --max-tokens 200 "$@"; }
story_of --kv simple
greedy=$(json text)
story_of --kv quantized
is 'planes 8 tells the same story' "$(json text)" "$greedy"
story_of --kv quantized --kv-sinks 0 --kv-tail 0
is 'quantized' "$(json kv.kind) $(json kv.key_format) $(json kv.bits.key) $(json kv.bytes_per_token)" \
    "quantized planes 8 $((4 * 2 * (64 + 2)))"
[ "$(json kv.coded_tokens)" -ge 128 ] || fail 'tokens as codes' "$(json kv.coded_tokens)"
story_of --kv-bits 5/3 --kv-tail 64 --quantized-kv-start 100
is 'a side each' "$(json kv.bits.key) $(json kv.bits.value) $(json kv.bytes_per_token)" \
    "5 3 $((4 * (40 + 2 + 24 + 2)))"
is 'what stays f16' "$(json kv.first_exact_tokens) $(json kv.recent_exact_tokens)" '100 64'
story_of --kv-format affine --kv-bits 4/16 --kv-group-size 32
is 'affine' "$(json kv.key_format) $(json kv.value_format) $(json kv.bytes_per_token)" \
    "affine f16 $((4 * (32 + 8 + 128)))"
sentence="keys in groups of 128: they do not divide this model's heads of 64; "
refuses 4 "${sentence}another group may, and planes takes any head" \
    "${story[@]}" --kv-format affine --kv-group-size 128

# What is predicted holds for them too; rotating and quantized together stay where they are.
for format in '' '--kv-bits 8' '--kv-bits 4' '--kv-bits 3/2' '--kv-format affine --kv-bits 4' \
    '--kv-bits 4 --max-kv-size 512' '--kv-bits 4 --kv chunked --max-kv-size 500'; do
    for tokens in 512 4000; do
        # shellcheck disable=SC2086 # the words are options
        run "${story[@]}" --max-tokens $tokens --context 4096 $format
        is "status with $format" "$status" 0
        measured=$(json memory.measured_peak_bytes)
        predicted=$(json memory.predicted_peak_bytes)
        is "the ledger, $format" "$(json memory.by_use.kv)" "$(json memory.predicted_by_use.kv)"
        if [ -z "${SANITIZED-}" ]; then
            [ "$measured" -le "$predicted" ] || fail "predicted, $format" "$measured > $predicted"
            [ "$predicted" -le $((measured + measured * 3 / 100 + 2000000)) ] ||
                fail "predicted near measured, $format" "$predicted, measured $measured"
        fi
    done
done

# A chat that goes back beyond what is kept computes it again and says so; one that begins anew loses nothing.
talk() {
    # shellcheck disable=SC2059 # the format is the point
    printf "$1" | "$LLM_TOOL" chat -m "$model" --max-tokens 150 --max-kv-size 100 --context 1000 --seed 3 \
        >"$work/out" 2>"$work/err" || fail 'chat' "$(cat "$work/err")"
}
talk "$prompt\n/save $work/saved.json\nTell me another one.\n/load $work/saved.json\nAnd a third one.\n"
sentence='the cache has dropped what comes before this point: [0-9]+ tokens are computed again$'
is 'said once' "$(grep -cE "$sentence" "$work/err")" 1
talk "$prompt\n/reset\n$prompt\n"
has_not 'nothing is lost by /reset' "$(cat "$work/err")" 'computed again'

# A model whose own window is N, and one told to rotate over N without sinks, are the same, bit for bit.
if [ -d "$SHARED/fixtures/phi3" ]; then
    mkdir "$work/windowed"
    ln -s "$SHARED"/fixtures/phi3/* "$work/windowed/"
    rm "$work/windowed/config.json"
    sed -E 's/"sliding_window": [0-9]+/"sliding_window": 50/' "$SHARED/fixtures/phi3/config.json" \
        >"$work/windowed/config.json"
    printf '[%s]' "$(seq -s, 20 239)" >"$work/ids"
    for chunk in 7 512; do
        ids=(--ids "$work/ids" --prefill-chunk "$chunk" --exact)
        run logits -m "$work/windowed" "${ids[@]}" --out "$work/window.safetensors"
        is 'logits of a window' "$status" 0
        run logits -m "$SHARED/fixtures/phi3" "${ids[@]}" --max-kv-size 50 --kv-sinks 0 \
            --out "$work/ring.safetensors"
        is 'logits of a rotating cache' "$status" 0
        run logits -m "$SHARED/fixtures/phi3" "${ids[@]}" --out "$work/all.safetensors"
        cmp "$work/window.safetensors" "$work/ring.safetensors" || fail 'window and ring are the same' ''
        cmp -s "$work/window.safetensors" "$work/all.safetensors" && fail 'a window changes something' ''
    done
fi
finish
