#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# relief.sh - memory given back by the tool: what a chat says of it, and a real limit of the kernel that is
# lowered while an answer is written: nobody is killed, and nothing is lost.
. "$(dirname "$0")/lib.sh"

talk() { # TEXT WORD...
    printf '%b' "$1" >"$work/in"
    shift
    run chat -m "$model" --session-folder "$work/store" "$@" <"$work/in"
}

# --- chat ---
talk 'Tell me a story.\n/memory\n/cleanup\n/strategy\n/strategy aggressive\nAnd then?\n' \
    --max-tokens 30 --seed 3
cleaned=$out
is 'status' "$status" 0
has 'the gauge' "$err" 'memory   ['
has 'its band' "$err" ' %, low: '
has 'context' "$err" 'of 4096 tokens; cache '
has '/cleanup' "$err" 'of scratch, which the next message takes again'
has_not '/cleanup gave something' "$err" 'given back: 0 bytes of scratch'
has '/strategy alone' "$err" 'balanced: memory is given back from level high on, the cache down to 4/4 bits'
has '/strategy' "$err" 'aggressive: memory is given back from level medium on, the cache down to 2/2 bits'
talk 'Tell me a story.\nAnd then?\n' --max-tokens 30 --seed 3
is 'giving back changes no answer' "$cleaned" "$out"
talk '/strategy brave\n'
is 'status of no strategy' "$status" 2
has 'no strategy' "$err" '/strategy takes conservative, balanced or aggressive, not "brave"'

# --- a limit of the kernel ---
groups=/sys/fs/cgroup/memory
if [ -n "${SANITIZED:-}" ] || ! [ -w $groups/memory.limit_in_bytes ] ||
    ! mkdir $groups/snug.$$ 2>/dev/null; then
    echo 'not tried: a limit of the kernel (sanitizers, or no control group of version 1 to write to)'
    finish
fi
group=$groups/snug.$$
trap 'echo 0 >$group/memory.force_empty; rmdir $group; rm -rf "$work"' EXIT

# Runs in the group; its limit, 64 MiB, becomes so many once the answer has begun.
lower_to() { # MEBIBYTES WORD...
    local limit=$1 process i
    shift
    echo $((64 << 20)) >$group/memory.limit_in_bytes
    rm -f "$work/out"
    (
        echo "$BASHPID" >$group/cgroup.procs
        exec "$LLM_TOOL" "$@" >"$work/out" 2>"$work/err"
    ) &
    process=$!
    for ((i = 0; i < 1000; i++)); do
        [ -s "$work/out" ] && break
        sleep 0.01
    done
    echo $((limit << 20)) >$group/memory.limit_in_bytes || fail "the kernel lowers the limit to $limit MiB"
    status=0
    wait $process || status=$?
    said=$(cat "$work/err")
}

# Who limits is named, by the path of the group: before anything is read, and when a limit falls.
echo $((4 << 20)) >$group/memory.limit_in_bytes
status=0
said=$(
    (
        echo "$BASHPID" >$group/cgroup.procs
        exec "$LLM_TOOL" generate -m "$model" -p x --context 4096 --quiet
    ) 2>&1
) || status=$?
is 'status of what does not fit' "$status" 3
has 'who limits' "$said" "limited by cgroup /snug.$$ memory.limit_in_bytes"

tell=(generate -m "$model" -p 'Tell me a story about a dog named Max.' --ignore-eos --max-tokens 4000
    --threads 1 --temperature 0 --session-folder "$work/store")
run "${tell[@]}" --quiet
mv "$work/out" "$work/whole"
for limit in 40 37 36 35 34 33; do
    lower_to "$limit" "${tell[@]}"
    case $status in
    0) ;;
    6)
        has "$limit MiB: who limits" "$said" "set by cgroup /snug.$$ memory.limit_in_bytes"
        has "$limit MiB: how it goes on" "$said" 'llm-tool session resume'
        mv "$work/out" "$work/first"
        id=$(basename "$work"/store/*.snug .snug)
        run session resume "$id" --session-folder "$work/store"
        is "$limit MiB: status of the rest" "$status" 0
        { head -c -1 "$work/first" && cat "$work/out"; } >"$work/both"
        mv "$work/both" "$work/out"
        ;;
    *) fail "$limit MiB: it finishes or is suspended" "status $status" "$said" ;;
    esac
    # In fewer bits other words may come; as many of them in any case.
    case $said in
    *'the cache goes down to'*) ;;
    *) cmp -s "$work/out" "$work/whole" || fail "$limit MiB: the same text" "$said" ;;
    esac
    [ "$(wc -c <"$work/out")" -gt 5000 ] || fail "$limit MiB: all of it came" "$said"
done
is 'nobody was killed' "$(grep -w oom_kill $group/memory.oom_control)" 'oom_kill 0'
finish
