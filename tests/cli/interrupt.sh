#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# interrupt.sh - Ctrl-C stops an answer with its report; in a chat it stops the answer, not the program.
. "$(dirname "$0")/lib.sh"
set -m # so that SIGINT is not ignored in what runs in the background

# Waits until a file has something in it, ten seconds at most.
wait_for() {
    for _ in $(seq 200); do
        [ -s "$1" ] && return
        sleep 0.05
    done
    fail "something came to $1" ''
}

"$LLM_TOOL" -m "$model" -p 'Tell me a story.' --ignore-eos --max-tokens 0 --exact --cpu c --threads 1 \
    >"$work/out" 2>"$work/err" &
pid=$!
wait_for "$work/out"
kill -INT $pid
wait $pid
is 'status' "$?" 5
has 'the report' "$(cat "$work/err")" '; interrupted'
has 'the report' "$(cat "$work/err")" 'memory   peak '

"$LLM_TOOL" -m "$model" -p 'Tell me a story.' --ignore-eos --max-tokens 0 --exact --cpu c --threads 1 --json \
    >"$work/out" 2>"$work/err" &
pid=$!
sleep 0.5
kill -INT $pid
wait $pid
is 'status with --json' "$?" 5
is 'stop in JSON' "$(json stop)" interrupted

mkfifo "$work/in"
rm "$work/out" # its redirection comes after that of the input, which waits
"$LLM_TOOL" chat -m "$model" --exact --cpu c --threads 1 --max-tokens 0 --temperature 2 \
    <"$work/in" >"$work/out" 2>"$work/err" &
pid=$!
exec 3>"$work/in"
echo 'Tell me a story.' >&3
wait_for "$work/out"
kill -INT $pid
echo '/stats' >&3
exec 3>&-
wait $pid
is 'status of the chat' "$?" 0
has 'the chat goes on' "$(cat "$work/err")" '; interrupted'
finish
