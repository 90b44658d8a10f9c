#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# session.sh - suspended conversations: what goes on is what would have come, in a chat and in generate; what
# a killed process leaves; list, show, rm.
. "$(dirname "$0")/lib.sh"

store=$work/a/store
folder=(--session-folder "$store")

talk() { # TEXT WORD...
    printf '%b' "$1" >"$work/in"
    shift
    run "$@" "${folder[@]}" <"$work/in"
}

id() {
    basename "$store"/*.snug .snug
}

# --- a chat ---
talk '/suspend\n' chat -m "$model"
has 'nothing to suspend' "$err" 'there is no conversation yet'
talk 'Tell me a story about a dog.\nAnd then?\n' chat -m "$model" --max-tokens 30 --seed 7 --quiet
whole=$out
talk 'Tell me a story about a dog.\n/suspend\nHello?\n' chat -m "$model" --max-tokens 30 --seed 7 --quiet
is 'status' "$status" 6
first=$out
is 'only its owner reads the folder' "$(stat -c %a "$store")" 700
is 'only its owner reads the file' "$(stat -c %a "$store/$(id).snug")" 600
has 'how it goes on' "$err" "llm-tool session resume $(id) --session-folder $store"
talk 'And then?\n' session resume "$(id)"
is 'status of the rest' "$status" 0
is 'the chat goes on' "$first"$'\n'"$out" "$whole"
has_not 'quiet, as it was begun' "$err" 'tokens are there'

# --- list, show, rm ---
run session list "${folder[@]}"
has 'list' "$out" "$(id)"
has 'list' "$out" "chat      $(realpath "$model")"
run session list --json "${folder[@]}"
is 'id' "$(json 0.id)" "$(id)"
is 'command' "$(json 0.command)" chat
is 'reason' "$(json 0.reason)" 'you asked for it'
tokens=$(json 0.tokens)
run session show "$(id)" "${folder[@]}"
has 'show' "$out" "tokens   $tokens, $((tokens - 1)) of them in the cache; a context of 4096"
has 'show' "$out" 'user: Tell me a story about a dog.'
has 'show' "$out" "assistant: $first"
run session show "$(id)" --json "${folder[@]}"
is 'the messages' "$(json messages.0.content)" 'Tell me a story about a dog.'
refuses 2 'there is no suspended conversation nix; llm-tool session list says which there are' \
    session show nix "${folder[@]}"
refuses 2 'session rm needs an id; llm-tool session list says which there are' session rm "${folder[@]}"
refuses 2 'session takes list, show ID, resume ID or rm ID, not "ls"' session ls "${folder[@]}"
cp "$store/$(id).snug" "$work/kept"
id=$(id)
printf x | dd of="$store/$id.snug" bs=1 seek=50 conv=notrunc status=none
refuses 4 "'$store/$id.snug' is damaged: its checksum does not agree" session show "$id" "${folder[@]}"
cp "$work/kept" "$store/$id.snug"
# Its cache is damaged: what was said is not.
printf x | dd of="$store/$id.snug" bs=1 seek=20000 conv=notrunc status=none
talk 'And then?\n' session resume "$id" --no-quiet
is 'status with a damaged cache' "$status" 0
has 'damaged' "$err" "the cache in $store/$id.snug is damaged: $tokens tokens are computed again"
run session rm "$id" "${folder[@]}"
is 'rm' "$err" "llm-tool: removed $id"
run session "${folder[@]}"
is 'none is left' "$out$err" 'llm-tool: no conversation is suspended'

# --- memory runs out ---
if [ -n "${SANITIZED:-}" ] || ! command -v prlimit >/dev/null; then
    echo 'not tried: memory that the system refuses (sanitizers, or there is no prlimit)'
    finish
fi
# Lowers the limit once the answer has begun; whenever that is, the rest is what would have come.
starve() { # WORD...
    rm -f "$work/first"
    "$LLM_TOOL" "$@" >"$work/first" 2>"$work/err" &
    local process=$! i
    for ((i = 0; i < 1000; i++)); do
        [ -s "$work/first" ] && break
        sleep 0.01
    done
    prlimit --data=1 --pid $process
    status=0
    wait $process || status=$?
    err=$(cat "$work/err")
}

for kind in '--temperature 0' '--seed 5' '--seed 6 --kv-bits 4 --kv-tail 0'; do
    read -ra flags <<<"$kind"
    tell=(generate -m "$model" -p 'Tell me a story about a dog named Max.' --ignore-eos --max-tokens 2500
        --quiet "${flags[@]}" "${folder[@]}")
    run "${tell[@]}"
    mv "$work/out" "$work/whole"
    starve "${tell[@]}"
    is "status ($kind)" "$status" 6
    has "why ($kind)" "$err" 'which the system refuses'
    run session resume "$(id)" "${folder[@]}"
    is "status of the rest ($kind)" "$status" 0
    # Each ends with a line feed of its own.
    { head -c -1 "$work/first" && cat "$work/out"; } | cmp - "$work/whole" || fail "the same text ($kind)"
    is "and it is gone ($kind)" "$(ls "$store")" ''
done

# A disk without room for the cache: what was said is kept.
(
    ulimit -f 8
    trap '' XFSZ
    starve "${tell[@]}"
    exit "$status"
)
is 'status without room' "$?" 6
has 'no room' "$(cat "$work/err")" 'the disk has no room for what was computed, only for what was said'
first=$(wc -c <"$work/first")
run session resume "$(id)" "${folder[@]}" --no-quiet
is 'status from the ids alone' "$status" 0
has 'from the ids alone' "$err" 'the cache was not kept'
[ "$((first + $(wc -c <"$work/out")))" -gt 5000 ] || fail 'all of the answer came' "$out"

# Killed while it is suspended: nothing, or all of it.
for i in 1 2 3 4 5 6 7 8; do
    rm -rf "$store"
    printf 'Tell me a story.\n/suspend\n' |
        "$LLM_TOOL" chat -m "$model" --max-tokens 40 --quiet "${folder[@]}" >"$work/first" 2>/dev/null &
    sleep "0.$((i + 10))"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    if compgen -G "$store/*.snug" >/dev/null; then
        talk '' session resume "$(id)"
        is "status after kill $i" "$status" 0
    fi
done
finish
