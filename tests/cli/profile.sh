#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# profile.sh - the memory of an answer over time: samples that agree with the plan and with each other, a
# picture that needs nothing else, and suggestions that come true.
. "$(dirname "$0")/lib.sh"

list=$(for ((i = 0; i < 1200; i++)); do printf ", %d" $((i * 37 % 4000)); done)
echo "[${list#, }]" >"$work/ids.json"
request=(-m "$model" --prompt-ids "$work/ids.json" --max-tokens 40 --ignore-eos --temperature 0)
# Of a run with these flags, as it predicted itself.
predicted() { run generate "${request[@]}" --json --quiet "$@" && json memory.predicted_peak_bytes; }
near() { awk -v a="$2" -v b="$3" 'BEGIN { exit !(a - b < 65536 && b - a < 65536) }' || fail "$1" "$2, $3"; }

run profile "${request[@]}" --kv-bits 16 --json --csv "$work/p.csv" --svg "$work/p.svg"
is 'status' "$status" 0
is 'nothing else is said' "$err" ''
is 'tokens' "$(json prompt_tokens) $(json generated_tokens)" '1200 40'
events=$(for i in 0 1 2 3; do json events.$i.event; done | tr '\n' ' ')
is 'the first events' "$events" 'load text session prefill '
is 'a chunk' "$(json events.4.event), $(json events.4.detail)" 'chunk, 512 tokens read'
is 'the last column' "$(head -1 "$work/p.csv")" "time_ms,tokens,weights_bytes,kv_bytes,scratch_bytes,\
text_bytes,cache_bytes,other_bytes,fixed_bytes,kernel_bytes,limit_bytes,event"
# In time, never less cache than before, in the end as much as the ledger's peak, all within the plan.
kv=$(awk -F, -v most="$(json memory.predicted_peak_bytes)" '
    NR > 1 && ($1 < at || $4 < kv || $10 > most) { print "line " NR }
    NR > 1 && $3 + $4 + $5 + $6 + $7 + $8 + $9 > most { print "line " NR }
    NR > 1 { at = $1; kv = $4 } END { print kv }' "$work/p.csv")
if [ -z "${SANITIZED-}" ]; then is 'samples' "$kv" "$(json memory.by_use.kv)"; fi
has 'the last event' "$(tail -1 "$work/p.csv")" '"end 40 tokens written"'

# Beside a sanitizer's own memory nothing of this would be worth a word.
if [ -z "${SANITIZED-}" ]; then
    bits=$(json suggestions.1.saved_bytes) chunk=$(json suggestions.2.flags)
    chunk_saves=$(json suggestions.2.saved_bytes)
    is 'what is suggested' "$(json suggestions.0.flags) $(json suggestions.1.flags)" \
        '--kv-bits 8 --kv-bits 4'
    whole=$(predicted --kv-bits 16)
    near '4 bits save what was promised' "$((whole - $(predicted --kv-bits 4)))" "$bits"
    # shellcheck disable=SC2086
    near "$chunk saves what was promised" "$((whole - $(predicted --kv-bits 16 $chunk)))" "$chunk_saves"
fi

picture=$(cat "$work/p.svg")
has 'the picture' "$picture" '</svg>'
has 'light and dark' "$picture" '@media(prefers-color-scheme:dark)'
for word in '<script' 'href' 'url(' '@import' 'nan' 'inf'; do
    has_not "the picture has no $word" "$picture" "$word"
done

run profile "${request[@]}"
is 'status of the table' "$status" 0
has 'the table' "$out" 'prefill: 1200 tokens to read'
if [ -z "${SANITIZED-}" ]; then has 'the table' "$out" 'What would save memory, of a peak of'; fi
run profile -m "$model" -p hello --max-tokens 2 --svg "$work/none/p.svg"
is 'status of a picture that cannot be written' "$status" 1
has 'its sentence' "$err" "cannot write $work/none/p.svg: No such file or directory"
run profile -m "$model"
is 'status without a prompt' "$status" 2
finish
