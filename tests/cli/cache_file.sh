#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cache_file.sh - --prompt-cache-file: what goes on from a file is what would have come without it, whoever
# was killed meanwhile; files that cannot be used are refused and stay as they are.
. "$(dirname "$0")/lib.sh"

file=$work/story.kv
prompt=(-p 'Tell me a story about a dog named Max.')
tell=(generate -m "$model" --ignore-eos --temperature 0 --json)

# The ids of the answer, with commas.
ids() {
    sed -n 's/^{"ids": \[\([^]]*\)\].*/\1/p' "$work/out"
}

# --- it goes on ---
kinds=('' '--kv-bits 8' '--kv-bits 4 --kv-sinks 0 --kv-tail 0' '--kv-bits 3/2 --kv-tail 0'
    '--kv-format affine --kv-bits 4' '--max-kv-size 100' '--max-kv-size 150 --kv-bits 4 --kv-tail 0'
    '--kv chunked --max-kv-size 128' '--exact')
for kind in "${kinds[@]}"; do
    read -ra flags <<<"$kind"
    rm -f "$file"
    run "${tell[@]}" "${prompt[@]}" "${flags[@]}" --max-tokens 300
    whole=$(ids)
    run "${tell[@]}" "${prompt[@]}" "${flags[@]}" --max-tokens 170 --prompt-cache-file "$file"
    is "status ($kind)" "$status" 0
    first=$(ids)
    tokens=$(json prompt_tokens)
    is "nothing was there ($kind)" "$(json reused_tokens)" 0
    is "only its owner reads it ($kind)" "$(stat -c %a "$file")" 600
    # With another context and other threads: the file does not care.
    run "${tell[@]}" "${flags[@]}" --max-tokens 130 --prompt-cache-file "$file" --threads 1 --context 700
    is "all but the last token were there ($kind)" "$(json reused_tokens)" $((tokens + 170 - 1))
    is "the story goes on ($kind)" "$first, $(ids)" "$whole"
done

# A prompt that begins as the file does computes only what is new.
rm -f "$file"
run "${tell[@]}" "${prompt[@]}" --max-tokens 1 --prompt-cache-file "$file"
tokens=$(json prompt_tokens)
run "${tell[@]}" "${prompt[@]}" --max-tokens 100
whole=$(ids)
run "${tell[@]}" "${prompt[@]}" --max-tokens 100 --prompt-cache-file "$file"
is 'the prompt was there' "$(json reused_tokens)" $((tokens - 1))
is 'the same answer' "$(ids)" "$whole"

# --- killed ---
run "${tell[@]}" "${prompt[@]}" --max-tokens 200
whole=$(ids)
rm -f "$file"
run "${tell[@]}" "${prompt[@]}" --max-tokens 100 --prompt-cache-file "$file"
first=$(ids)
cp "$file" "$work/kept"
"$LLM_TOOL" generate -m "$model" --ignore-eos --quiet --max-tokens 3000 --prompt-cache-file "$file" \
    >"$work/killed" 2>/dev/null &
for ((i = 0; i < 500; i++)); do
    [ -s "$work/killed" ] && break
    sleep 0.01
done
kill -9 $!
wait $! 2>/dev/null
[ -s "$work/killed" ] || fail 'the killed run had begun to answer' "$(ls -l "$work")"
cmp -s "$file" "$work/kept" || fail 'a killed run leaves the file as it was' "$(ls -l "$work")"
run "${tell[@]}" --max-tokens 100 --prompt-cache-file "$file"
is 'the same continuation after a kill' "$first, $(ids)" "$whole"

# At any moment, also while it is written: the file is the old one or the new one.
for ((i = 1; i <= 20; i++)); do
    cp "$work/kept" "$file"
    "$LLM_TOOL" generate -m "$model" --ignore-eos --quiet --max-tokens 20 --prompt-cache-file "$file" \
        >/dev/null 2>&1 &
    sleep "0.0$((i % 10))"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    run "${tell[@]}" --max-tokens 1 --prompt-cache-file "$file"
    is "status after kill $i" "$status" 0
    case $(json reused_tokens) in
    $((tokens + 100 - 1)) | $((tokens + 120 - 1))) ;;
    *) fail "after kill $i the old or the new file" "$(json reused_tokens) tokens" ;;
    esac
done

# What is not said about the cache is as in the file, whatever the strategy would choose.
cp "$work/kept" "$file"
run "${tell[@]}" --max-tokens 100 --prompt-cache-file "$file" --optimization-strategy aggressive
is 'the same continuation with another strategy' "$first, $(ids)" "$whole"

# --- refused ---
refuses_file() { # STATUS SENTENCE WORD...
    cp "$file" "$work/before"
    run "${@:3}" --prompt-cache-file "$file"
    is "status: $2" "$status" "$1"
    has 'the sentence' "$err" "$2"
    is "no output: $2" "$out" ''
    cmp -s "$file" "$work/before" || fail 'a refused file stays as it is' "$2"
}
cp "$work/kept" "$file"
exact='the first 16 and the newest 128 tokens exact'
sentence="the cache was saved as keys planes of 8 bits, values planes of 8 bits, $exact; it is to be loaded"
refuses_file 2 "$sentence as keys planes of 4 bits, values planes of 4 bits, $exact: give the options" \
    "${tell[@]}" --kv-bits 4
refuses_file 2 "has $((tokens + 100)) tokens, but the context holds 100: raise the context" \
    "${tell[@]}" --context 100
head -c 70000 "$work/kept" >"$file"
refuses_file 4 'is damaged or cut short' "${tell[@]}"
cp "$work/kept" "$file"
printf 'x' | dd of="$file" bs=1 seek=50000 conv=notrunc status=none
refuses_file 4 'is damaged or cut short' "${tell[@]}"
for version in 2 4; do # an older one, a newer one
    printf '%b' "\\00$version" | dd of="$file" bs=1 seek=8 conv=notrunc status=none
    refuses_file 4 "is a conversation in format $version; this build reads format 3" "${tell[@]}"
done
echo 'once upon a time' >"$file"
refuses_file 4 'is not a saved conversation' "${tell[@]}"
: >"$file"
refuses_file 4 'is not a saved conversation' "${tell[@]}"
run "${tell[@]}" --prompt-cache-file "$work/not-there"
is 'nothing to go on from' "$status" 2
has 'the sentence' "$err" 'there is no prompt'
run "${tell[@]}" "${prompt[@]}" --prompt-cache-file "$work"
is 'a folder' "$status" 4
has 'the sentence' "$err" 'is a folder, not a file'
run "${tell[@]}" "${prompt[@]}" --max-tokens 3 --prompt-cache-file "$work/no/such/folder"
is 'a file that cannot be written is said' "$status" 4
has 'the sentence' "$err" 'No such file or directory'
is 'the answer is there all the same' "$(json generated_tokens)" 3

# --- every family ---
families=0
for folder in "$SHARED"/fixtures/*/; do
    [ -f "$folder/config.json" ] || continue
    rm -f "$file"
    echo '[5, 6, 7, 8, 9, 10, 11, 12]' >"$work/ids"
    each=(generate -m "$folder" --ignore-eos --temperature 0 --json --quiet)
    run "${each[@]}" --prompt-ids "$work/ids" --max-tokens 120
    is "$(basename "$folder")" "$status" 0
    whole=$(ids)
    run "${each[@]}" --prompt-ids "$work/ids" --max-tokens 70 --prompt-cache-file "$file"
    first=$(ids)
    run "${each[@]}" --max-tokens 50 --prompt-cache-file "$file"
    is "$(basename "$folder") goes on" "$first, $(ids)" "$whole"
    families=$((families + 1))
done
if [ "$families" = 0 ]; then
    echo "SKIPPED: $SHARED/fixtures is not there: only the bundled model was saved"
fi

# --- chat ---
rm -f "$file"
run chat -m "$model" --temperature 0 --max-tokens 20 --prompt-cache-file "$file" < <(echo 'Tell me a story.')
is 'chat' "$status" 0
first=$out
run chat -m "$model" --temperature 0 --max-tokens 20 --prompt-cache-file "$file" \
    < <(printf 'Tell me a story.\n/stats\n')
is 'the same answer in chat' "$out" "$first"
has 'it was there' "$err" 'of them known already'
finish
