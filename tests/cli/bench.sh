#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench.sh - the shape of its results; how fast is not a test.
. "$(dirname "$0")/lib.sh"

run bench -m "$model" --prompt-tokens 32 --gen-tokens 8 --depth 0,64 --repetitions 3 --json
is 'status' "$status" 0
is 'tests' "$(json tests)" '[4]'
is 'kinds' "$(json tests.0.kind) $(json tests.1.kind)" 'prefill decode'
is 'depths' "$(json tests.1.depth) $(json tests.3.depth)" '0 64'
for key in median min max bytes_per_token read_bytes_per_second bandwidth_share; do
    awk -v x="$(json tests.3.$key)" 'BEGIN { exit !(x > 0) }' || fail "tests.3.$key" "$(json tests.3.$key)"
done
awk -v a="$(json tests.3.min)" -v b="$(json tests.3.median)" -v c="$(json tests.3.max)" \
    'BEGIN { exit !(a <= b && b <= c) }' || fail 'min <= median <= max' "$out"
awk -v x="$(json machine.read_bytes_per_second)" 'BEGIN { exit !(x > 1e8) }' || fail 'bandwidth' "$out"
awk -v of="$(json tests.3.read_bytes_per_second)" -v best="$(json machine.read_bytes_per_second)" \
    'BEGIN { exit !(of <= best) }' || fail 'the bandwidth at the top is the best' "$out"
awk -v speed="$(json tests.3.median)" -v bytes="$(json tests.3.bytes_per_token)" \
    -v read="$(json tests.3.read_bytes_per_second)" -v share="$(json tests.3.bandwidth_share)" \
    'BEGIN { d = speed * bytes / read - share; exit !(d < 1e-3 && d > -1e-3) }' || fail 'own share' "$out"
[ -n "$(json machine.cpu)" ] || fail 'cpu' "$out"
is 'nothing beside the JSON' "$err" ''
if [ -z "${SANITIZED-}" ]; then # whose own memory is in no plan
    awk -v a="$(json memory.measured_peak_bytes)" -v b="$(json memory.predicted_peak_bytes)" \
        'BEGIN { exit !(a > 0 && a <= b) }' || fail 'predicted against measured' "$out"
fi
is 'cache' "$(json tests.0.kv)" f16
# weights of a token and half of 8 tokens' cache beside 64: 4 layers x 1 head x 64 values x 2 sides x 2 bytes
is 'bytes of a token' "$(json tests.3.bytes_per_token | cut -d. -f1)" \
    $(($(json model.weight_bytes) + (64 + 4) * 4 * 64 * 2 * 2))

# Prefill is compared with products: two operations for each weight of the layers.
# 4 layers of 128 x (128 of queries, 2 x 64 of keys and values, 128 of output, 3 x 384 of the MLP)
is 'operations of a token' "$(json tests.0.operations_per_token)" \
    "$((2 * 4 * 128 * (128 + 2 * 64 + 128 + 3 * 384))).0"
awk -v speed="$(json tests.0.median)" -v operations="$(json tests.0.operations_per_token)" \
    -v limit="$(json tests.0.operations_per_second)" -v share="$(json tests.0.product_share)" \
    'BEGIN { d = speed * operations / limit - share; exit !(d < 1e-3 && d > -1e-3) }' || fail 'share' "$out"
is 'decode waits for memory' "$(json tests.1.limit) $(json tests.1.product_share)" 'bandwidth 0.0'
[ -n "$(json machine.products.0.name)" ] || fail 'what products are made of' "$out"

is 'no times unasked' "$(json tests.0.times)" '[0]'
run bench -m "$model" --prompt-tokens 32 --gen-tokens 8 --repetitions 1 --profile --json
is 'status with times' "$status" 0
is 'products come first' "$(json tests.1.times.0.kind)" matmul
[ -n "$(json tests.1.times.0.type)" ] || fail 'the type of the weights' "$out"
awk -v x="$(json tests.1.times.0.share)" 'BEGIN { exit !(x > 0 && x < 1) }' || fail 'share' "$out"

run bench -m "$model" --prompt-tokens 32 --gen-tokens 8 --repetitions 1 --profile
for kind in matmul inputs attention elementwise rest 'a token'; do
    has "time of $kind" "$out" "         $kind"
done

run bench -m "$model" --prompt-tokens 32 --gen-tokens 8 --repetitions 1
is 'status of the table' "$status" 0
has 'the table' "$out" 'prefill        0      32 '
has 'predicted against measured' "$err" ' as measured by the kernel; '
sentence='the tests need a context of 544 tokens (the deepest --depth and the larger of --prompt-tokens and '
sentence+='--gen-tokens), but --context is 100'
refuses 2 "$sentence" bench -m "$model" --depth 32 --context 100
finish
