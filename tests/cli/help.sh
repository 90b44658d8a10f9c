#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# help.sh - help fits a screen; help, manual page and completion have the same options.
. "$(dirname "$0")/lib.sh"

commands=(generate chat memory plan models pull rm inspect bench tokenize logits perplexity profile serve)
"$PAGES" manual "$SOURCE/docs/man/llm-tool.1.in" >"$work/manual" || fail 'the manual page is made' ''
"$PAGES" completion >"$work/completion" || fail 'the completion is made' ''
bash -n "$work/completion" || fail 'the completion is a script' ''

run --help
is 'status of --help' "$status" 0
for command in "${commands[@]}"; do has '--help names every command' "$out" "  $command "; done

options_of() {
    awk '/^  see the manual for:/ { named = 1 }
        /^$/ { named = 0 }
        named { for (i = 1; i <= NF; i++) if ($i ~ /^--/) print $i; next }
        match($0, /^ +(-[a-z], )?--[a-z-]+/) {
            n = split(substr($0, 1, RLENGTH), word, " ")
            print word[n]
        }' | sort
}

: >"$work/all"
for command in "${commands[@]}"; do
    run "$command" --help
    is "status of $command --help" "$status" 0
    lines=$(wc -l <"$work/out")
    columns=$(awk '{ if (length($0) > most) most = length($0) } END { print most }' "$work/out")
    [ "$lines" -le 40 ] || fail "$command --help fits a screen" "$lines lines"
    [ "$columns" -le 100 ] || fail "$command --help fits a screen" "$columns columns"
    options_of <"$work/out" >"$work/help-options"
    cat "$work/help-options" >>"$work/all"
    completed=$(
        # shellcheck disable=SC1091 # made by the build, not known to the checker
        . "$work/completion"
        COMP_WORDS=(llm-tool "$command" --) COMP_CWORD=2
        _llm_tool
        printf '%s\n' "${COMPREPLY[@]}" | sort
    )
    is "completion of $command" "$completed" "$(cat "$work/help-options")"
done
# shellcheck disable=SC1003 # tr is given a backslash
in_manual=$(sed -nE 's/^\.It (Fl . , )?Fl \\-([a-z\\-]+).*/--\2/p' "$work/manual" | tr -d '\\' | sort)
is 'options in the manual page' "$in_manual" "$(sort -u "$work/all")"
for command in "${commands[@]}"; do has 'manual page' "$(cat "$work/manual")" ".It Cm $command"; done
for number in 0 1 2 3 4 5; do has 'exit statuses in the manual' "$(cat "$work/manual")" ".It $number"; done

run --version
is 'status of --version' "$status" 0
version=$(sed -nE 's/.*SNUG_VERSION_TEXT +"(.*)"/\1/p' "$SOURCE/include/snug/version.h")
has '--version' "$out" "llm-tool (Snug) $version"
has '--version' "$out" 'compiler: '
has '--version' "$out" 'instruction set in use: '
finish
