# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# lib.sh - what the shell tests share. Sourced; needs LLM_TOOL, JSON_GET, SOURCE, SHARED in the environment.
#
#   run WORD...             runs llm-tool; its output is in $out, its errors in $err, its status in $status
#   is WHAT SEEN EXPECTED   compares texts
#   has WHAT TEXT PART      a text contains another
#   finish                  at the end: fails when anything failed
set -u
export LC_ALL=C.UTF-8
# shellcheck disable=SC2034
model=$SOURCE/models/mini
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
# What this machine has of models and catalogues is not looked at.
export HF_HUB_CACHE=$work/hub XDG_CONFIG_HOME=$work/config

run() {
    status=0
    "$LLM_TOOL" "$@" >"$work/out" 2>"$work/err" || status=$?
    out=$(cat "$work/out")
    err=$(cat "$work/err")
}

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$1"
    shift
    printf '  %s\n' "$@"
}

is() {
    if [ "$2" != "$3" ]; then fail "$1" "expected: $3" "came:     $2"; fi
}

has() {
    case $2 in
    *"$3"*) ;;
    *) fail "$1" "expected to contain: $3" "came: $2" ;;
    esac
}

has_not() {
    case $2 in
    *"$3"*) fail "$1" "expected not to contain: $3" "came: $2" ;;
    esac
}

# A value of the JSON in $work/out.
json() {
    "$JSON_GET" "$work/out" "$1" || printf '(no %s)\n' "$1"
}

# Runs, and expects exactly this status and this sentence, and nothing on standard output.
refuses() {
    local expected_status=$1 sentence=$2
    shift 2
    run "$@"
    is "status of: $*" "$status" "$expected_status"
    is "sentence of: $*" "$err" "llm-tool: $sentence"
    is "output of: $*" "$out" ""
}

finish() {
    if [ "$failures" -gt 0 ]; then
        echo "$failures checks failed"
        exit 1
    fi
    exit 0
}
