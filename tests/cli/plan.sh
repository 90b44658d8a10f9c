#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# plan.sh - the prediction: its keys, its sum, its exit status, and that its suggestions hold.
. "$(dirname "$0")/lib.sh"

run plan -m "$model" --context 4096 --json
is 'status' "$status" 0
is 'fits' "$(json fits)" true
sum=$(json fixed_bytes)
for use in weights kv scratch text cache other; do sum=$((sum + $(json by_use.$use))); done
is 'the uses and what is fixed are the peak' "$sum" "$(json predicted_peak_bytes)"
for key in limit_bytes weights_bytes load_peak_bytes prefill_peak_bytes; do
    [[ $(json $key) =~ ^[1-9][0-9]*$ ]] || fail "plan: $key" "$(json $key)"
done
[ -n "$(json limited_by)" ] || fail 'limited_by' ''
long=$(json predicted_peak_bytes)
cache="$(json by_use.kv) $(json weights_bytes)"
is 'it is here' "$(json is_fetched)" true
run plan "$model" --context 4096 --json
is 'the model as the operand' "$(json by_use.kv) $(json weights_bytes)" "$cache"
refuses 2 'plan takes one model: MODEL or --model, not both' plan "$model" -m "$model"

# Known and not here: planned from the catalogue, before anything is fetched.
for name in qwen3-4b Qwen/Qwen3-4B-GGUF:Qwen3-4B-Q4_K_M.gguf; do
    run plan "$name" --context 4096 --memory-limit 16G --json
    is "status of a plan of $name" "$status" 0
    is "$name is not here" "$(json is_fetched)" false
    is "model of $name" "$(json model)" "$name"
    # 36 layers, 8 heads of 128, keys and values of two bytes.
    run plan "$name" --context 4096 --memory-limit 16G --kv simple --json
    more=$(($(json by_use.kv) - 36 * 8 * 128 * 2 * 2 * 4096))
    if [ $more -lt 0 ] || [ $more -gt $((1 << 20)) ]; then fail "cache of $name in f16" "$more"; fi
    [ "$(json weights_bytes)" -gt $((2 << 30)) ] || fail "weights of $name" "$(json weights_bytes)"
done
run plan qwen3-4b --memory-limit 16G
has 'a page of it' "$out" 'It is not on this machine (llm-tool pull qwen3-4b): planned from its shape in the'
run plan nothing
is 'status of a plan of nothing' "$status" 4
run plan -m "$model" --context 4096 --json
run plan -m "$model" --context 256 --json
[ "$(json predicted_peak_bytes)" -lt "$long" ] || fail 'a short context needs less' "$out"

run plan -m "$model" --context 4096 --memory-limit 1M --json
is 'status below need' "$status" 3
is 'fits below need' "$(json fits)" false
is 'limit' "$(json limit_bytes)" 1048576
is 'limited by' "$(json limited_by)" --memory-limit

# Without a strategy nothing is chosen: refused, with ways that hold when they are typed.
# A sanitizer's own memory grows from plan to plan: what fitted in one does not in the next.
ways_hold() { # WHAT WORD...
    run plan -m "$model" "${@:2}"
    is "status: $1" "$status" 3
    has "the page: $1" "$out" 'It does not fit: it needs '
    sed -n '/^What would fit:/,/^$/s/^  \(--.*\) needs .*/\1/p' "$work/out" >"$work/ways"
    if [ -n "${SANITIZED-}" ]; then return; fi
    if [ ! -s "$work/ways" ] || [ "$(wc -l <"$work/ways")" -gt 3 ]; then
        fail "one to three ways: $1" "$out"
    fi
    while read -ra words; do
        run plan -m "$model" "${@:2}" "${words[@]}"
        is "$1: ${words[*]} fits" "$status" 0
    done <"$work/ways"
}
ways_hold 'nothing chosen' --context 4096 --memory-limit $((long - 1000000)) --no-adaptive-memory
ways_hold 'f16 was asked for' --kv simple --context 4096 --memory-limit 3M
ways_hold 'f16 was asked for by its name' --kv-format f16 --context 4096 --memory-limit 3M
ways_hold 'affine' --kv-format affine --kv-bits 8 --context 8192 --memory-limit 4M
ways_hold 'a chunk and a context' --prefill-chunk 512 --context 8192 --memory-limit 3500K
ways_hold 'the most that a strategy can do' --context 16384 --memory-limit 2M \
    --optimization-strategy conservative

# With one the same limit is kept by choosing; what was asked for stays. (A sanitizer alone takes more.)
if [ -z "${SANITIZED-}" ]; then
    for strategy in conservative balanced aggressive; do
        run plan -m "$model" --context 4096 --memory-limit 5M --optimization-strategy $strategy --json
        is "status, $strategy" "$status" 0
        is "strategy, $strategy" "$(json plan.strategy) $(json plan.adaptive) $(json context_tokens)" \
            "$strategy true 4096"
        peak=$(json predicted_peak_bytes)
        eval "bits_$strategy=$(json kv_bits.key) peak_$strategy=$peak"
        case $strategy in conservative) share=85 ;; balanced) share=70 ;; aggressive) share=50 ;; esac
        is "share, $strategy" "$(json plan.planned_bytes)" $((5242880 * share / 100))
        is "most, $strategy" "$(json plan.most_bytes)" $((5242880 * 95 / 100))
        [ "$peak" -le $((5242880 * share / 100)) ] || fail "within its share, $strategy" "$out"
    done
    # shellcheck disable=SC2154 # set by eval
    if [ "$peak_conservative" -le "$peak_balanced" ] || [ "$peak_balanced" -le "$peak_aggressive" ]; then
        fail 'strategies differ in peak' "$peak_conservative $peak_balanced $peak_aggressive"
    fi
    # shellcheck disable=SC2154
    [ "$bits_balanced" -gt "$bits_aggressive" ] ||
        fail 'strategies differ in bits' "$bits_balanced $bits_aggressive"
    run plan -m "$model" --memory-limit 3M --context 4096 --kv-bits 6/5 --prefill-chunk 64 --json
    is 'what is set' "$(json kv_bits.key)/$(json kv_bits.value) $(json prefill_chunk) $(json plan.chosen)" \
        '6/5 64 [0]'
fi
run plan -m "$model" --memory-limit 3M --exact --json
is 'exact' "$(json kv) $(json kv_kind)" 'f32 simple'
run plan -m "$model" --json
is 'the first choice' "$(json kv) $(json kv_bits.key) $(json prefill_chunk) $(json plan.tried)" \
    'planes 8 512 1'
of=$(json parameters.kv_bits.value)/$(json parameters.prefill_chunk)/$(json parameters.max_kv_size)
is 'parameters' "$of" 8/512/4096
of=$(json strategies.0.kv_bits.key)/$(json strategies.2.kv_bits.key)/$(json strategies.3.strategy)
is 'strategies side by side' "$of" 16/5/null
is 'over time' "$(json over_time.0.phase) $(json over_time.1.tokens)" 'load 0'

# An open context is shortened before it is refused, and said; every candidate can be seen.
run plan -m "$model" --memory-limit 2100K --verbose
has 'the candidates' "$err" 'too much'
if [ -z "${SANITIZED-}" ]; then
        is 'status of a short context' "$status" 0
        has 'the candidates' "$err" 'taken'
        has_not 'a short context' "$out" ', 4096 tokens of context and'
fi
run -m "$model" -p 'Tell me a story.' --max-tokens 0 --memory-limit 2M --context 2000 --kv-bits 8
is 'a context that was asked for is not shortened' "$status" 3
has 'the figures' "$err" 'may use 2.0 MiB (limited by --memory-limit); at most 1.9 MiB of it are planned with'
refuses 2 '--optimization-strategy takes conservative, balanced or aggressive, not "brave"' \
    plan -m "$model" --optimization-strategy brave

run plan -m "$model"
is 'status of the page' "$status" 0
has 'the page' "$out" 'It fits: '
has 'the page' "$out" '  * balanced '

# What compares or measures keeps f16 unless it is asked.
run bench -m "$model" --prompt-tokens 8 --gen-tokens 2 --repetitions 1 --json
is 'bench' "$(json tests.0.kv)" f16
run bench -m "$model" --prompt-tokens 900 --gen-tokens 2 --repetitions 1 --json --adaptive-memory
is 'bench, asked' "$(json tests.0.kv)" planes
printf '[%s]' "$(seq -s, 20 1300)" >"$work/ids"
for words in '' '--no-adaptive-memory' '--kv simple'; do
    # shellcheck disable=SC2086
    run logits -m "$model" --ids "$work/ids" --last 1 --out "$work/logits$words" $words
    is "logits $words" "$status" 0
    cmp "$work/logits" "$work/logits$words" || fail 'logits are those of f16' "$words"
done
run logits -m "$model" --ids "$work/ids" --last 1 --out "$work/lossy" --adaptive-memory
cmp -s "$work/logits" "$work/lossy" && fail 'logits, asked for a cache that the strategy chooses' ''
finish
