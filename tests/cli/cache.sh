#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cache.sh - which tokens the cache keeps: what is obeyed, refused and reported, and what it takes.
. "$(dirname "$0")/lib.sh"

prompt='Tell me a story about a dog named Max.'
story=(generate -m "$model" -p "$prompt" --ignore-eos --json)

# What does not go together is refused, never changed.
refuses 2 '--kv takes simple, rotating or chunked, not "round"' "${story[@]}" --kv round
sentence='--kv quantized: this build keeps keys and values as f16, or f32 with --exact; '
refuses 2 "${sentence}--kv rotating and chunked save memory too" "${story[@]}" --kv quantized
refuses 2 '--kv rotating needs --max-kv-size N: how many tokens to keep' "${story[@]}" --kv rotating
refuses 2 '--kv chunked needs --max-kv-size N: how many tokens to keep' plan -m "$model" --kv chunked
refuses 2 '--kv simple keeps every token, so --max-kv-size cannot be obeyed; --kv rotating or chunked can' \
    "${story[@]}" --kv simple --max-kv-size 100
refuses 2 '--kv-sinks is for a rotating cache: give --max-kv-size N' chat -m "$model" --kv-sinks 2
refuses 2 '--kv-sinks is for a rotating cache: give --max-kv-size N with --kv rotating' \
    "${story[@]}" --kv chunked --max-kv-size 100 --kv-sinks 2
refuses 2 '--kv-sinks 100 must be less than --max-kv-size 100' \
    "${story[@]}" --max-kv-size 100 --kv-sinks 100
refuses 2 '--kv-sinks 4 (the default) must be less than --max-kv-size 4' bench -m "$model" --max-kv-size 4
refuses 2 '--max-kv-size takes a whole number from 1 up to 4294967295, not "0"' "${story[@]}" --max-kv-size 0

# The model: 4 layers, 1 KV head of 64 values; a token takes 4 x 2 x 64 x 2 bytes, a tile of 64 tokens 64 KiB.
run "${story[@]}" --max-tokens 10
is 'simple' "$(json kv.kind) $(json kv.bits) $(json kv.bytes_per_token)" 'simple 16 1024'
is 'simple has no sinks' "$(json kv.sink_tokens)" 0
is 'simple is not bounded' "$(json kv.max_tokens)" null
run "${story[@]}" --max-tokens 10 --exact --kv simple
is 'exact' "$(json kv.kind) $(json kv.bits) $(json kv.bytes_per_token)" 'simple 32 2048'

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
tiles=$((6 * 65536)) # the sinks' tile, and 252 tokens in a ring of 5
[[ $bytes -ge $tiles && $bytes -le $((tiles + 8192)) ]] || fail 'bytes of a rotating cache' "$bytes"
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
is 'plan without' "$(json kv_kind) $(json kv_max_tokens)" 'simple null'
[ "$(json by_use.kv)" -gt 100000000 ] || fail 'all of 100000 tokens' "$(json by_use.kv)"
run plan -m "$model" --kv chunked --max-kv-size 128
has 'the table' "$out" 'cache f16, in chunks of 128 tokens'
run bench -m "$model" --prompt-tokens 32 --gen-tokens 8 --depth 300 --repetitions 2 --max-kv-size 100 --json
is 'bench' "$status $(json tests.1.kv_kind) $(json tests.1.depth)" '0 rotating 300'
# weights of a token, and what 100 tokens take: 1024 bytes each
is 'bench: bytes of a token' "$(json tests.1.bytes_per_token | cut -d. -f1)" \
    $(($(json model.weight_bytes) + 100 * 1024))

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
