#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# switch.sh - a chat goes on with another model: when asked to, and by itself under a limit of the kernel that
# is lowered while an answer is written.
. "$(dirname "$0")/lib.sh"

talk() { # TEXT WORD...
    printf '%b' "$1" >"$work/in"
    shift
    run chat --session-folder "$work/store" "$@" <"$work/in"
}

# The same files under another path are another model.
mkdir "$work/other" "$work/mute"
ln -s "$model"/* "$work/other"
ln -s "$model"/* "$work/mute"
rm "$work/mute/tokenizer_config.json"
echo '{}' >"$work/mute/tokenizer_config.json"

# --- which there are ---
talk '/model\n' -m "$work/other"
is 'status' "$status" 0
has 'the one of now' "$err" "now: $work/other"
has 'the bundled one' "$err" '  mini           -           fits: '

# --- moving ---
talk "Tell me a story about a dog.\n/model mini\nTell me another one.\n/save $work/all.json\n" \
    -m "$work/other" --max-tokens 30 --temperature 0
is 'status of a move' "$status" 0
has 'it is said' "$err" 'llm-tool: mini goes on instead of other (as asked); '
has 'with what it costs' "$err" ' tokens read again in '
is 'nothing that was said is lost' "$("$JSON_GET" "$work/all.json" messages)" '[4]'
second=$("$JSON_GET" "$work/all.json" messages.3.content)
talk "Tell me a story about a dog.\n/save $work/first.json\n" -m "$work/other" --max-tokens 30 --temperature 0
is 'what was said before' "$("$JSON_GET" "$work/all.json" messages.1.content)" \
    "$("$JSON_GET" "$work/first.json" messages.1.content)"
talk "/load $work/first.json\nTell me another one.\n" -m mini --max-tokens 30 --temperature 0 --quiet
is 'what comes is what a new conversation answers' "$out" "$second"
talk 'Hello.\n/model mini\n' -m "$work/other" --max-tokens 5 --quiet
is 'nothing is said with --quiet' "$err" ''
talk '/model mini\n' -m mini
has 'no move' "$err" 'llm-tool: mini it is already'
is 'no file is left' "$(ls "$work/store")" ''

# --- what fails changes nothing ---
fails() { # MODEL STATUS SENTENCE
    talk "Tell me a story about a dog.\n/model $1\nTell me another one.\n" -m "$work/other" --max-tokens 30 \
        --temperature 0
    is "status of /model $1" "$status" "$2"
    has "sentence of /model $1" "$err" "$3; $work/other goes on"
    is "the conversation after /model $1" "$out" "$whole"
}
talk 'Tell me a story about a dog.\nTell me another one.\n' -m "$work/other" --max-tokens 30 --temperature 0
whole=$out
fails nothing 2 '"nothing" is no model of the catalogue, and no path'
fails qwen3-4b 4 'qwen3-4b is not on this machine; fetch it: llm-tool pull qwen3-4b'
fails "$work/mute" 4 "$work/mute cannot chat: the model has no chat template"
fails "$work" 4 'no config.json and no .gguf file, expected the folder of a model'
printf '{{ messages[0].content }}' >"$work/template"
talk '/model mini\n' -m "$work/other" --chat-template "$work/template"
is 'status with a template of our own' "$status" 2
has 'with a template of our own' "$err" 'begin without it to move between models'

# What was fetched has a name, too, though it is no row of the catalogue.
commit=0123456789abcdef0123456789abcdef01234567
mkdir -p "$HF_HUB_CACHE/models--test--mini/snapshots/$commit" "$HF_HUB_CACHE/models--test--mini/refs"
ln -s "$model"/* "$HF_HUB_CACHE/models--test--mini/snapshots/$commit"
printf %s $commit >"$HF_HUB_CACHE/models--test--mini/refs/main"
talk 'Hello.\n/model test/mini\n' -m "$work/other" --max-tokens 5
is 'status of a repository' "$status" 0
has 'a repository' "$err" 'mini goes on instead of other (as asked)'

# A cache file is of one model.
talk 'Hello.\n' -m "$work/other" --max-tokens 5 --prompt-cache-file "$work/cache" --quiet
cp "$work/cache" "$work/kept"
talk 'Hello.\n/model mini\n' -m "$work/other" --max-tokens 5 --prompt-cache-file "$work/cache"
is 'status with a cache file' "$status" 0
has 'with a cache file' "$err" "$work/cache stays as it was"
cmp -s "$work/cache" "$work/kept" || fail 'the cache file of another model is not written to'

# Suspended after a move, it goes on with the model it moved to.
talk 'Tell me a story about a dog.\n/model mini\n/suspend\n' -m "$work/other" --max-tokens 30 --temperature 0
is 'status when suspended' "$status" 6
run session show "$(basename "$work"/store/*.snug .snug)" --session-folder "$work/store"
has 'suspended with the model of then' "$out" 'mini'
printf 'Tell me another one.\n' >"$work/in"
run session resume "$(basename "$work"/store/*.snug .snug)" --session-folder "$work/store" --quiet \
    --max-tokens 30 <"$work/in"
is 'status of the rest' "$status" 0
is 'it goes on with that one' "$out" "$second"
rm -rf "$work/store"

# --- by itself ---
groups=/sys/fs/cgroup/memory
if [ -n "${SANITIZED:-}" ] || [ ! -d "$SHARED/models/base" ] || ! [ -w $groups/memory.limit_in_bytes ] ||
    ! mkdir $groups/snug.$$ 2>/dev/null; then
    echo 'not tried: a limit of the kernel (sanitizers, no larger model, or no control group to write to)'
    finish
fi
group=$groups/snug.$$
trap 'echo 0 >$group/memory.force_empty; rmdir $group; rm -rf "$work"' EXIT

# Two thousand tokens in f16: 16 MiB that may not be given back, for the format is set. With the limit at
# 20 MiB they cannot stay; the smaller model's can.
long=$(for _ in $(seq 120); do printf 'The dog and the cat went to the park to play with a red ball. '; done)
printf '%s Tell me a story.\n/save %s\n' "$long" "$work/fallen.json" >"$work/in"
lowered() { # WORD...
    echo $((96 << 20)) >$group/memory.limit_in_bytes
    rm -f "$work/out"
    (
        echo "$BASHPID" >$group/cgroup.procs
        exec "$LLM_TOOL" chat -m "$SHARED/models/base" --kv-format f16 --prefill-chunk 64 --context 3000 \
            --temperature 0 --session-folder "$work/store" "$@" <"$work/in" >"$work/out" 2>"$work/err"
    ) &
    process=$!
    for ((i = 0; i < 2000; i++)); do
        [ -s "$work/out" ] && break
        sleep 0.01
    done
    echo $((20 << 20)) >$group/memory.limit_in_bytes || fail 'the kernel lowers the limit'
    status=0
    wait $process || status=$?
    err=$(cat "$work/err")
    is 'nobody was killed' "$(grep -w oom_kill $group/memory.oom_control)" 'oom_kill 0'
}
lowered --allow-switch
is 'status when it fell' "$status" 0
has 'it is said' "$err" 'llm-tool: mini goes on instead of base (memory is critical); '
has 'where the old session was' "$err" 'the old session on disk meanwhile'
is 'the answer was written to its end' "$("$JSON_GET" "$work/fallen.json" messages)" '[2]'
is 'as it was shown' "$("$JSON_GET" "$work/fallen.json" messages.1.content)" "$(cat "$work/out")"
is 'no file is left' "$(ls "$work/store")" ''
lowered
is 'status where it may not' "$status" 6
has 'then it is suspended' "$err" 'llm-tool session resume'
finish
