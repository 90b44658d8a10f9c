#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# perplexity.sh - what cache formats cost: nothing for f16, more with fewer bits; what is refused.
. "$(dirname "$0")/lib.sh"

text=$SOURCE/docs/architecture.md
measure=(perplexity -m "$model" --text "$text" --context 512 --chunks 2 --quiet)
less() { awk -v a="$2" -v b="$3" 'BEGIN { exit !(a < b) }' || fail "$1" "$2 is not less than $3"; }

run "${measure[@]}" --kv-tail 0 --kv-sinks 0 --kv-formats f16,planes:8,planes:4/3,affine:2/2:32 --json
is 'status' "$status" 0
is 'nothing else is said' "$err" ''
is 'what was scored' "$(json windows) $(json context) $(json scored_tokens)" '2 512 510'
is 'names' "$(json results.0.kv) $(json results.2.kv) $(json results.3.kv)" 'f16 planes:4/3 affine:2/2:32'
for member in kld_mean kld_median kld_p99 kld_p999; do
    is "f16 is the reference: $member" "$(awk -v x="$(json results.0.$member)" 'BEGIN { print x + 0 }')" 0
    less "$member of 4/3 bits" "$(json results.1.$member)" "$(json results.2.$member)"
    less "$member of 2 bits" "$(json results.2.$member)" "$(json results.3.$member)"
done
is 'f16: same top token' "$(awk -v x="$(json results.0.same_top)" 'BEGIN { print x + 0 }')" 1
is 'f16: perplexity' "$(json results.0.perplexity)" "$(json reference.perplexity)"
is 'f16: grade' "$(json results.0.grade)" neutral
is 'sessions' "$(json memory.sessions)" 5
less 'a peak was measured' 0 "$(json memory.measured_peak_bytes)"
less 'one session was predicted' 0 "$(json memory.predicted_session_peak_bytes)"
less 'planes 8 is nearly nothing' "$(json results.1.kld_mean)" 0.001
less 'affine 2 is something' 0.01 "$(json results.3.kld_mean)"
less 'fewer bytes' "$(json results.2.bytes_per_token)" "$(json results.1.bytes_per_token)"
is 'no questions, no recall' "$(json results.1.recall) $(json results.1.recall_reference)" 'null null'

# The format of the --kv options, as a table.
run "${measure[@]}" --kv-bits 8 --kv-tail 0 --kv-sinks 0
has 'the table' "$out" 'planes 8/8'
has 'the table says how much was scored' "$out" '510 tokens scored, in 2 windows of 512'

cat >"$work/recall.json" <<'END'
[{"user": "The best friend of Sam is Sue.\nWho is the best friend of Sam?", "answer": "Sue."},
 {"user": "The best friend of Sam is Sue.\nWho is the best friend of Sam?", "answer": "Nobody at all."}]
END
run "${measure[@]}" --kv-formats f16 --recall "$work/recall.json" --json
is 'recall' "$(json results.0.recall) $(json results.0.recall_reference)" '0.5 0.5'

refuses 2 'perplexity needs --text FILE: what to measure on' perplexity -m "$model"
sentence='is not f16, f32, planes:BITS or affine:BITS:GROUP, with BITS as N or K/V, and perhaps'
sentence="$sentence +LAYERS=FORMAT"
for name in q4_0 planes:7 planes:8/ planes:8:64 affine:4:48 f16:8 planes: ''; do
    refuses 2 "--kv-formats: \"$name\" $sentence" "${measure[@]}" --kv-formats "$name"
done
refuses 2 '--kv-formats: "0=8": layer 0 has been given a format before' \
    "${measure[@]}" --kv-formats planes:4+0-1=6+0=8
run "${measure[@]}" --json --kv-tail 64 --kv-formats planes:8,planes:4+0-3=8,planes:4+0-1=8
is 'all layers' "$(json results.1.kld_mean)" "$(json results.0.kld_mean)"
less=$(json results.2.kld_mean)
[ "$less" != "$(json results.0.kld_mean)" ] || fail 'some layers' "$less"
run "${measure[@]}" --kv-formats planes:8 --context 256
is 'a window that the tail covers' "$status" 2
has 'says so' "$err" 'nearly nothing would be tested: raise --context or lower --kv-tail and --kv-sinks'
run perplexity -m "$model" --text "$work/recall.json" --context 512 --kv-formats f16
is 'a text that is too short' "$status" 4
has 'says how long it is' "$err" 'and a window takes 512: give a longer text or a smaller --context'
run "${measure[@]}" --kv-formats f16 --recall "$text"
is 'questions that are none' "$status" 4
finish
