#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pull.sh - models from a server on loopback that answers as the hub does and misbehaves as the network does:
# what is fetched is whole, what is refused is said, and nothing is lost or fetched twice.
. "$(dirname "$0")/lib.sh"
[ -n "${HUB_SERVER-}" ] || exit 77 # built without libcurl
commit=0123456789abcdef0123456789abcdef01234567
export HOME=$work HF_HOME=$work/hf
unset HF_TOKEN HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME XDG_CONFIG_HOME
unset http_proxy ALL_PROXY all_proxy

"$HUB_SERVER" "$model" "$work/port" &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
for _ in $(seq 200); do
    if [ -s "$work/port" ]; then break; fi
    sleep 0.05
done
HF_ENDPOINT=http://127.0.0.1:$(cat "$work/port")
export HF_ENDPOINT

folder_of() { printf '%s/hub/models--test--%s' "$HF_HOME" "$1"; }
snapshot_of() { printf '%s/snapshots/%s' "$(folder_of "$1")" $commit; }
# The content is right when its hash is the name of the blob it lies in.
check_content() {
    local blob
    blob=$(readlink -f "$(snapshot_of "$1")/${2-model.gguf}")
    is "hash of $1" "$(sha256sum <"$blob" | cut -d' ' -f1)" "$(basename "$blob")"
    is "nothing else is left of $1" "$(find "$(folder_of "$1")/blobs" -type f | wc -l)" 1
}
fetches() {
    run pull "test/$1" --quiet
    check_fetched "$@"
}
# Those that take their time are begun early and looked at later; each has files of its own for what comes.
declare -A begun
begin() {
    "$LLM_TOOL" pull "test/$1" --quiet "${@:2}" >"$work/$1.out" 2>"$work/$1.err" &
    begun[$1]=$!
}
end() {
    status=0
    wait "${begun[$1]}" || status=$?
    out=$(cat "$work/$1.out") err=$(cat "$work/$1.err")
}
check_fetched() {
    is "status of $1" "$status" 0
    is "errors of $1" "$err" ''
    is "path of $1" "$out" "$(snapshot_of "$1")/${2-model.gguf}"
    check_content "$@"
    is "reference of $1" "$(cat "$(folder_of "$1")/refs/main")" $commit
}
says_no() {
    run pull "test/$1" --quiet
    is "status of $1" "$status" 4
    has "sentence of $1" "$err" "$2"
    is "output of $1" "$out" ''
    is "nothing is kept of $1" "$(find "$(folder_of "$1")" -name model.gguf 2>/dev/null)" ''
}

for name in busy busylist; do begin $name; done
begin short --retry-pause 0.02
[ -n "${SANITIZED-}" ] || begin cut

# A whole model, that can then be run; other files of the repository stay where they are.
run pull test/mini
is 'status of mini' "$status" 0
is 'path of mini' "$out" "$(snapshot_of mini)"
for file in config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json; do
    cmp -s "$model/$file" "$(snapshot_of mini)/$file" || fail "mini: $file is as published" ''
done
[ ! -e "$(snapshot_of mini)/README.md" ] || fail 'mini: nothing that is not needed' ''
run plan -m "$out"
is 'a plan of what was fetched' "$status" 0
run generate --model test/mini --prompt 'Tell me a story.' --max-tokens 4 --quiet
is 'status of a run by its name' "$status" 0
[ -n "$out" ] || fail 'a run by its name writes' ''
run plan --model test/plain
is 'status of a model that is not here' "$status" 4
run tokenize --model qwen3-4b Hello.
is 'status of a known model that is not here' "$status" 4
is 'its sentence' "$err" 'llm-tool: qwen3-4b is not on this machine; fetch it: llm-tool pull qwen3-4b'
run models --installed
has 'it is listed' "$out" 'test/mini'

# What is there is not fetched again: its time would change.
identity_of_mini() { stat -c %Y.%i "$(readlink -f "$(snapshot_of mini)/model.safetensors")"; }
before=$(identity_of_mini)
run pull test/mini
is 'status of mini again' "$status" 0
is 'mini is not fetched twice' "$(identity_of_mini)" "$before"

for name in plain redirect flaky range416 wrongonce noranges changing; do fetches $name; done
for name in busy busylist; do
    end $name
    check_fetched $name
done
fetches folder 'a b/c#d.gguf'
run pull test/plain:model.gguf --quiet
is 'a file by its name' "$out" "$(snapshot_of plain)/model.gguf"
HF_TOKEN=secret fetches token

says_no private 'wants to know who you are (401): accept the model'
says_no gated 'wants to know who you are (403)'
HF_TOKEN=wrong run pull test/gated --quiet
has 'a token that is not enough' "$err" 'does not accept the token in HF_TOKEN for it (403)'
says_no gone 'test/gone:model.gguf is not on http://127.0.0.1'
says_no none 'test/none is not on http://127.0.0.1'
says_no wrong 'what the server sends has the checksum'
says_no long 'sends more than the 300000 bytes that are listed'
says_no loop 'the server leads nowhere'
says_no parent 'names a file "../../x", expected a path inside the repository'
says_no absolute 'names a file "/tmp/x", expected a path inside the repository'
says_no backslash 'expected a path inside the repository'
says_no broken 'test/broken: not valid JSON'
says_no huge 'are to come, but the disk of'
for name in ../x a/../b a/b/c 'a/b c'; do
    run pull "$name"
    [ "$status" = 2 ] || fail "status of pull $name" "$status"
done
refuses 2 'pull needs a name: one that llm-tool models lists, ORG/NAME or ORG/NAME:FILE' pull
refuses 2 '"nothing" is not in the catalogue (llm-tool models lists it), and not ORG/NAME' pull nothing

# Ctrl-C keeps what has come.
"$LLM_TOOL" pull test/slow --quiet >"$work/slow" 2>&1 &
slow=$!
for _ in $(seq 100); do
    partial=$(find "$(folder_of slow)/blobs" -name '*.incomplete' -size +512k 2>/dev/null)
    if [ -n "$partial" ]; then break; fi
    sleep 0.05
done
# bash starts programs in the background with SIGINT ignored: SIGTERM is heard alike.
kill -TERM $slow
slow_status=0
wait $slow || slow_status=$?
is 'status when interrupted' "$slow_status" 5
has 'sentence when interrupted' "$(cat "$work/slow")" 'stopped; what has come stays'
[ -n "$(find "$(folder_of slow)/blobs" -name '*.incomplete' -size +512k)" ] || fail 'what came is there' ''
fetches slow

# 200 MB over 20 cut connections; 200 MB through kill -9, and in two processes at once.
if [ -z "${SANITIZED-}" ]; then
    end cut
    check_fetched cut
    rm -rf "$(folder_of cut)"
    for _ in 1 2 3; do
        "$LLM_TOOL" pull test/big --quiet >/dev/null 2>&1 &
        killed=$!
        sleep 0.4
        kill -9 $killed
        wait $killed 2>/dev/null
    done
    "$LLM_TOOL" pull test/big --quiet >"$work/first" 2>&1 &
    first=$!
    "$LLM_TOOL" pull test/big --quiet >"$work/second" 2>&1 &
    second=$!
    peak=0
    while kill -0 $first 2>/dev/null; do
        now=$(awk '/VmHWM/ { print $2 }' /proc/$first/status 2>/dev/null)
        if [ "${now:-0}" -gt "$peak" ]; then peak=$now; fi
        sleep 0.05
    done
    first_status=0 second_status=0
    wait $first || first_status=$?
    wait $second || second_status=$?
    is 'status of two at once' "$first_status $second_status" '0 0'
    is 'paths of two at once' "$(cat "$work/first" "$work/second")" \
        "$(printf '%s/model.gguf\n%s/model.gguf' "$(snapshot_of big)" "$(snapshot_of big)")"
    check_content big
    is 'its size' "$(stat -L -c %s "$(snapshot_of big)/model.gguf")" $((200 << 20))
    if [ "$peak" -eq 0 ] || [ "$peak" -ge 16384 ]; then fail 'peak memory below 16 MB' "$peak kB"; fi
fi

run rm test/plain
is 'status of rm' "$status" 0
is 'what rm says' "$out" 'removed test/plain: 293 KiB'
[ ! -e "$(folder_of plain)" ] || fail 'rm removes it all' ''
run rm test/plain
is 'status of rm of nothing' "$status" 4
has 'sentence of rm of nothing' "$err" 'test/plain is not on this machine'
run rm test/busy:model.gguf
is 'what rm of a file says' "$out" 'removed test/busy:model.gguf: 293 KiB'
is 'its blob is gone' "$(find "$(folder_of busy)/blobs" -type f)" ''

# One answer after another that is cut short: given up at last.
end short
is 'status of answers that end too early' "$status" 4
has 'their sentence' "$err" '8 tries without a byte'

# --- nobody there, proxies, encryption ---
port=${HF_ENDPOINT##*:}
nowhere=hub.invalid # a name that nobody has
away() { # WORD... with nobody where the hub should be
    HF_ENDPOINT=http://127.0.0.1:1 run "$@" --retry-pause 0.01
}
away pull test/plain --quiet
is 'status of a hub that is not there' "$status" 4
has 'its sentence' "$err" 'llm-tool: cannot reach http://127.0.0.1:1: '
HF_ENDPOINT=http://$nowhere run pull test/plain --quiet --retry-pause 0.01
is 'status of a name that nobody has' "$status" 4
has 'its sentence' "$err" "llm-tool: cannot reach http://$nowhere: "
HF_ENDPOINT=ftp://hub.invalid run pull test/plain --quiet
is 'status of another protocol' "$status" 2
has 'its sentence' "$err" 'expected one that begins with https'

export HF_ENDPOINT=http://$nowhere http_proxy=http://127.0.0.1:$port
fetches plain
run rm test/token
HF_TOKEN=secret fetches token
export HF_ENDPOINT=http://127.0.0.1:$port http_proxy=http://127.0.0.1:1
run pull test/folder --quiet --retry-pause 0.01
is 'status of a proxy that is not there' "$status" 4
has 'its sentence' "$err" 'cannot reach http://127.0.0.1'
run rm test/redirect
no_proxy=127.0.0.1 fetches redirect
unset http_proxy

# openssl serves files that are whole answers. Nobody has signed its certificate.
if command -v openssl >/dev/null; then
    mkdir -p "$work/web/api/models/test/plain/revision" "$work/web/test/plain/resolve/$commit"
    (
        cd "$work/web" || exit 1
        openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=hub \
            -addext subjectAltName=IP:127.0.0.1 2>/dev/null
        printf 'a model, more or less' >content
        hash=$(sha256sum <content | cut -d' ' -f1)
        {
            printf 'HTTP/1.0 200 OK\r\n\r\n{"sha":"%s","siblings":[{"rfilename":' $commit
            printf '"model.gguf","size":21,"blobId":"0","lfs":{"sha256":"%s","size":21}}]}' "$hash"
        } >'api/models/test/plain/revision/main?blobs=true'
        {
            printf 'HTTP/1.0 200 OK\r\nContent-Length: 21\r\n\r\n'
            cat content
        } >"test/plain/resolve/$commit/model.gguf"
    )
    run rm test/plain
    for secure_port in 42433 42434 42435 42436; do
        (cd "$work/web" && exec openssl s_server -HTTP -quiet -accept 127.0.0.1:$secure_port -key key.pem \
            -cert cert.pem 2>/dev/null >/dev/null) &
        secure=$!
        sleep 0.3
        if kill -0 $secure 2>/dev/null; then break; fi
    done
    trap 'kill $server $secure; rm -rf "$work"' EXIT
    export HF_ENDPOINT=https://127.0.0.1:$secure_port
    run pull test/plain --quiet
    is 'status of a certificate that nobody has signed' "$status" 4
    has 'its sentence' "$err" 'SSL_CERT_FILE names a file of certificates to trust'
    SSL_CERT_FILE=$work/none run pull test/plain --quiet
    is 'status of certificates that are not there' "$status" 4
    SSL_CERT_FILE=$work/web/cert.pem fetches plain
    is 'what came over it' "$(cat "$out")" 'a model, more or less'
fi
finish
