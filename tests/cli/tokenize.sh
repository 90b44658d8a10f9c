#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tokenize.sh - both directions, one text and batches.
. "$(dirname "$0")/lib.sh"

text='Once upon a time, 🙂 "ü"'
run tokenize -m "$model" "$text" --json
is 'status' "$status" 0
ids=$(sed -E 's/^\{"ids": (\[[^]]*\]).*/\1/' "$work/out")
is 'as many pieces as ids' "$(json pieces)" "$(json ids)"
run tokenize -m "$model" --decode "$ids"
is 'there and back' "$out" "$text"
run tokenize -m "$model" --decode "$(printf '%s' "$ids" | tr -d '[]')"
is 'ids with commas' "$out" "$text"
run tokenize -m "$model" --decode --json "$ids"
is 'text in JSON' "$(json text)" "$text"

run tokenize -m "$model" 'a<|im_end|>'
is 'lines of id and piece' "$out" "$(printf '64\t"a"\n4094\t"<|im_end|>"')"
run tokenize -m "$model" --no-parse-special --json 'a<|im_end|>'
[ "$(json ids)" != '[2]' ] || fail '--no-parse-special' "$out"
run tokenize -m "$model" --decode --skip-special '64 4094 64'
is '--skip-special' "$out" aa
run tokenize -m "$model" --decode '64 4094 64'
is 'special tokens are shown' "$out" 'a<|im_end|>a'

printf '["a", "", "ü\\u0001\\n", "\\ud83d\\ude42"]' >"$work/texts.json"
run tokenize -m "$model" --batch "$work/texts.json"
is 'status of a batch' "$status" 0
is 'a batch' "$(json '')" '[4]'
cp "$work/out" "$work/ids.json"
run tokenize -m "$model" --decode --batch "$work/ids.json"
is 'a batch back' "$(json 2; json 3)" "$(printf 'ü\001\n\n🙂')"
echo '[]' >"$work/none.json"
run tokenize -m "$model" --batch "$work/none.json"
is 'an empty batch' "$out" '[]'

refuses 2 '"x7" is not a token id: expected numbers such as 17 0 4095' tokenize -m "$model" --decode x7
refuses 2 'element 0 is the id 99999, but the tokenizer has ids below 4096' \
    tokenize -m "$model" --decode 99999
echo '{"a": 1}' >"$work/object.json"
refuses 4 "$work/object.json: expected a JSON array, not an object" \
    tokenize -m "$model" --batch "$work/object.json"
echo '["a", 3]' >"$work/mixed.json"
run tokenize -m "$model" --batch "$work/mixed.json"
is 'status of a bad element' "$status" 4
has 'a bad element' "$err" 'element 1 of the batch: expected a text, not a number'
finish
