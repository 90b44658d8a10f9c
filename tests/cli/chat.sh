#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chat.sh - a conversation through a pipe: it remembers, saves, loads; a full context drops nothing.
. "$(dirname "$0")/lib.sh"

talk() {
    status=0
    printf '%b' "$1" | "$LLM_TOOL" chat -m "$model" "${@:2}" >"$work/out" 2>"$work/err" || status=$?
    out=$(cat "$work/out")
    err=$(cat "$work/err")
}

talk 'Tell me a story about a dog.\nTell me another one.\n/stats\n/memory\n' --max-tokens 30
is 'status' "$status" 0
is 'two answers' "$(grep -c . "$work/out")" 2
has 'the second turn keeps the first' "$err" 'of them known already'
has 'an answer that was cut says so' "$err" 'the answer stops here after --max-tokens 30'
has '/memory' "$err" 'of 4096 tokens'

talk "Tell me a story about a dog.\n/save $work/saved.json\n" --max-tokens 30 --quiet
is 'a saved file' "$("$JSON_GET" "$work/saved.json" messages)" '[2]'
is 'what was said' "$("$JSON_GET" "$work/saved.json" messages.0.content)" 'Tell me a story about a dog.'
first=$out
is 'what was answered' "$("$JSON_GET" "$work/saved.json" messages.1.content)" "$first"
talk "/load $work/saved.json\nTell me another one.\n/save $work/more.json\n/reset\n/save $work/none.json\n" \
    --max-tokens 10 --quiet
is 'a loaded conversation goes on' "$("$JSON_GET" "$work/more.json" messages)" '[4]'
is '/reset' "$("$JSON_GET" "$work/none.json" messages)" '[0]'

talk "/system Be brief.\nHello.\n/reset\n/save $work/system.json\n" --max-tokens 5 --quiet
is 'the system message stays' "$("$JSON_GET" "$work/system.json" messages.0.role)" system

# A full context: said, and nothing is lost.
long=$(for _ in $(seq 60); do printf 'the dog and the cat '; done)
talk "Hello.\n$long\n/save $work/full.json\n" --context 100 --max-tokens 10
is 'status when full' "$status" 2
has 'when full' "$err" 'the context is full: with this message the conversation has'
has 'when full' "$err" 'and the context holds 100'
is 'what was said before is kept' "$("$JSON_GET" "$work/full.json" messages)" '[2]'

talk '/nonsense\n'
is 'status of an unknown command' "$status" 2
has 'an unknown command' "$err" 'there is no command /nonsense; /help lists them'
talk 'a\377b\n'
is 'status of bad UTF-8' "$status" 2
has 'bad UTF-8' "$err" 'the message is not valid UTF-8: the byte at position 1 is wrong'
talk "/load $work/none-such.json\n"
is 'status of a missing file' "$status" 4
talk ''
is 'status of nothing' "$status" 0
talk '/quit\nHello.\n'
is '/quit' "$out" ''

# A template that asks for the date.
if [ -d "$SHARED/fixtures/smollm3" ]; then
    run generate -m "$SHARED/fixtures/smollm3" --prompt Hello. --max-tokens 2 --quiet
    is 'status of generate with a date' "$status $err" '0 '
    talk 'Hello.\n' -m "$SHARED/fixtures/smollm3" --max-tokens 2 --quiet
    is 'status of a chat with a date' "$status $err" '0 '
fi

# The answer of a chat's first turn is the answer of generate: the same template, the same seed.
run -m "$model" -p 'Tell me a story about a dog.' --max-tokens 30 --quiet
is 'chat and generate agree' "$first" "$out"
finish
