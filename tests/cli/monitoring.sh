#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# monitoring.sh - memory pressure told while an answer is written. What makes it change is a FIFO in place of
# a service manager's pressure file (MEMORY_PRESSURE_WATCH): each byte says that memory is short, which
# raises the level by one.
. "$(dirname "$0")/lib.sh"

long=(-m "$model" -p 'Tell me a story about a dog named Max.' --ignore-eos --max-tokens 4000 --threads 1
    --session-folder "$work/store")

# Presses once somebody listens, and interrupts when that has been told.
press() { # WORD...
    mkfifo "$work/fifo"
    MEMORY_PRESSURE_WATCH=$work/fifo "$LLM_TOOL" "$@" >"$work/out" 2>"$work/err" &
    local tool=$!
    printf x | timeout 20 tee "$work/fifo" >"$work/gone" # waits until somebody reads
    for _ in $(seq 400); do
        if grep -q 'somebody said' "$work/err" || ! kill -0 $tool 2>"$work/gone"; then break; fi
        sleep 0.05
    done
    kill -INT $tool 2>"$work/gone"
    status=0
    wait $tool || status=$?
    rm "$work/fifo"
    out=$(cat "$work/out")
    err=$(cat "$work/err")
}
lines() { grep -c '^llm-tool: .*memory pressure is' "$work/err"; }

press generate "${long[@]}" --memory-monitoring
has 'a change is told' "$err" 'memory pressure is '
has 'and why' "$err" 'somebody said that memory is short'
has 'the report' "$err" 'pressure at most '
has_not 'the report' "$err" 'pressure at most low'
said=$(lines)
has 'as many changes' "$err" ", $said change"

press generate "${long[@]}" --memory-monitoring --json
has_not 'the highest level' "$(json memory.pressure.highest)" low
is 'changes' "$(json memory.pressure.changes)" "$(lines)"

press profile "${long[@]::${#long[@]}-2}" --memory-monitoring
has 'profile tells it' "$err" 'somebody said that memory is short'

# Commands without a session that looks have somebody who does.
printf '[1,2,3]' >"$work/ids"
press bench -m "$model" --repetitions 1000 --threads 1 --memory-monitoring
has 'bench tells it' "$err" 'somebody said that memory is short'
press serve -m "$model" --port 0 --memory-monitoring
has 'serve tells it' "$err" 'somebody said that memory is short'

# What is about memory is taken by every command: it does what it does without, and says more.
every=(--optimization-strategy aggressive --adaptive-memory --memory-monitoring --memory-stats)
taken() { # COMMAND...
    run "$@"
    local before="$status $out"
    run "$@" "${every[@]}"
    is "$1 takes what is about memory" "$status $out" "$before"
    has "$1 tells its ledger" "$err" 'new peaks of the ledger'
}
export HF_HOME=$work/hub
taken tokenize -m "$model" hello
taken rm nothing-of-this-name
taken logits -m "$model" --ids "$work/ids" --out "$work/logits" --kv-bits 8 --context 256 --prefill-chunk 32
run memory "${every[@]}"
has 'memory says what the strategy makes of it' "$out" 'The aggressive strategy plans with '
has 'memory tells its ledger' "$err" 'new peaks of the ledger'
run plan "$model" "${every[@]}"
has 'plan tells its ledger' "$err" 'new peaks of the ledger'
run models --limit 100M "${every[@]}"
has 'models tells its ledger' "$err" 'new peaks of the ledger'
refuses 2 '--optimization-strategy takes conservative, balanced or aggressive, not "thrifty"' \
    tokenize -m "$model" hello --optimization-strategy thrifty
refuses 2 'models always plans by a strategy: --no-adaptive-memory cannot be obeyed' \
    models --no-adaptive-memory

# Without the option nobody is told, but it is seen; with --no- it is not even looked at.
short=("${long[@]}" --max-tokens 20 --json)
run generate "${short[@]}"
is 'not told' "$(lines)" 0
[[ $(json memory.pressure.changes) =~ ^[0-9]+$ ]] || fail 'but seen' "$out"
run generate "${short[@]}" --no-memory-monitoring
is 'not looked at' "$status $(json memory.pressure)" '0 null'

printf 'Hello.\n' >"$work/in"
run chat -m "$model" --memory-monitoring --max-tokens 5 --session-folder "$work/store" <"$work/in"
is 'chat takes it' "$status" 0
refuses 2 '--memory-monitoring tells what a session sees that adapts: leave out --no-adaptive-memory' \
    generate "${long[@]}" --memory-monitoring --no-adaptive-memory
finish
