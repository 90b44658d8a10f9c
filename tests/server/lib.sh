# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# lib.sh - a server to talk to. Sourced; what tests/cli/lib.sh has is there, too.
#
#   serve WORD...          starts llm-tool serve with the bundled model on a free port; its address is in $url
#   ask PATH [BODY]        a GET, or a POST of the body; the status is in $code, the answer in $work/out and
#                          $out, its headers in $work/headers; more words for curl are in the array `extra`
#   stop_server            SIGTERM, and its exit status in $status; what it said is in $work/server.err
# shellcheck source=../cli/lib.sh disable=SC1091
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"
command -v curl >/dev/null || { echo "curl is not installed"; exit 77; }

server=
extra=()
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT

serve() {
    local i
    : >"$work/server.out"
    "$LLM_TOOL" serve --model "$model" --port 0 "$@" >"$work/server.out" 2>"$work/server.err" &
    server=$!
    for ((i = 0; i < 3000; i++)); do
        [ ! -s "$work/server.out" ] || break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.02
    done
    url=$(cat "$work/server.out")
    if [ -z "$url" ]; then
        fail 'the server starts' "$(cat "$work/server.err")"
        finish
    fi
}

ask() {
    local path=$1
    local words=(-sS -o "$work/out" -D "$work/headers" -w '%{http_code}' --max-time 300)
    [ $# -lt 2 ] || words+=(-H 'Content-Type: application/json' --data-binary "$2")
    code=$(curl "${words[@]}" ${extra[@]+"${extra[@]}"} "$url$path" 2>"$work/curl.err") || true
    out=$(cat "$work/out" 2>/dev/null)
    # shellcheck disable=SC2034 # for who sources this
    headers=$(tr -d '\r' <"$work/headers" 2>/dev/null)
}

# refuses_body STATUS PARAM SENTENCE-PART PATH BODY
refuses_body() {
    ask "$4" "$5"
    is "status of $5" "$code" "$1"
    is "param of $5" "$(json error.param)" "$2"
    has "sentence of $5" "$(json error.message)" "$3"
}

# The texts of a stream of chunks in $work/out, one after the other: of "content" in a chat, of "text" else.
# The server escapes nothing but quotes, backslashes and control characters.
stream_text() {
    local all
    all=$(sed -nE "s/^data: .*\"$1\":\"(.*)\"[,}].*\"logprobs\".*/\1/p" "$work/out" | tr -d '\n' |
        sed 's/\\"/"/g')
    printf '%b' "$all"
}

stop_server() {
    status=0
    kill -TERM "$server"
    wait "$server" || status=$?
    server=
}
