#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# logits.sh - the file is safetensors of the right shape, and the same however it is computed.
. "$(dirname "$0")/lib.sh"

echo '[508, 493, 258, 430, 11, 64, 65]' >"$work/ids.json"
run logits -m "$model" --ids "$work/ids.json" --out "$work/a.safetensors" --exact
is 'status' "$status" 0
is 'no output' "$out" ''
has 'predicted against measured' "$err" ' as measured by the kernel; '
header_bytes=$(od -An -tu8 -N8 "$work/a.safetensors" | tr -d ' ')
tail -c +9 "$work/a.safetensors" | head -c "$header_bytes" >"$work/out"
is 'dtype' "$(json logits.dtype)" F32
is 'shape' "$(json logits.shape.0) $(json logits.shape.1)" '7 4096'
is 'offsets' "$(json logits.data_offsets.1)" $((7 * 4096 * 4))
is 'size' "$(stat -c %s "$work/a.safetensors")" $((8 + header_bytes + 7 * 4096 * 4))

run logits -m "$model" --ids "$work/ids.json" --out "$work/b.safetensors" --exact --threads 1 --quiet
is 'nothing is printed' "$out$err" ''
cmp -s "$work/a.safetensors" "$work/b.safetensors" || fail 'the same bits with one thread' "$err"

run logits -m "$model" --ids "$work/ids.json" --out "$work/c.safetensors" --exact --last 2
is 'status of --last' "$status" 0
rows=$((2 * 4096 * 4))
cmp -s <(tail -c $rows "$work/a.safetensors") <(tail -c $rows "$work/c.safetensors") ||
    fail '--last 2 are the last two rows' ''

echo '[1, 2, 4096]' >"$work/beyond.json"
run logits -m "$model" --ids "$work/beyond.json" --out "$work/d.safetensors"
is 'status of an id beyond the vocabulary' "$status" 2
is 'no file is left' "$(find "$work" -name 'd.*')" ''
echo '[1, 2.5]' >"$work/fraction.json"
refuses 4 "$work/fraction.json: element 1 is not a token id: 2.5" \
    logits --ids "$work/fraction.json" --out "$work/d"
run logits -m "$model" --ids "$work/ids.json" --out "$work/none/d"
is 'status of a folder that is not there' "$status" 1
finish
