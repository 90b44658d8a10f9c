#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# access.sh - who may call, by which name, from which page; what is too large; where pages come from.
# shellcheck source=lib.sh disable=SC1091
. "$(dirname "$0")/lib.sh"

sentence='--host 0.0.0.0 can be reached by others: give --api-key KEY, or say --no-auth to serve'
refuses 2 "$sentence whoever comes" serve --model "$model" --host 0.0.0.0
refuses 2 '--no-auth and a key contradict each other; give one of them' \
    serve --model "$model" --no-auth --api-key secret

# Called by a name that only means this machine: DNS rebinding.
serve --max-body 2K
ask /health
is 'by its address' "$code" 200
extra=(-H 'Host: localhost:1')
ask /health
is 'as localhost' "$code" 200
extra=(-H 'host: evil.test')
ask /health
is 'by another name' "$code $(json error.code)" '403 wrong_host'
extra=(-H 'Origin: http://example.com')
ask /v1/models
is 'from another page' "$code $(json error.code)" '403 wrong_origin'
extra=(-H "Origin: $url")
ask /v1/models
is 'from its own page' "$code" 200
has_not 'no CORS' "$headers" 'Access-Control'
extra=(-X OPTIONS -H 'Origin: http://example.com' -H 'Access-Control-Request-Method: POST')
ask /v1/chat/completions
is 'asked beforehand' "$code" 403
extra=()

# Paths that are none.
for path in /web/../run.c /web/%2e%2e/run.c /web/..%2frun.c /web//etc/passwd /web/ /nothing; do
    extra=(--path-as-is)
    ask "$path"
    is "status of $path" "$code $(json error.code)" '404 not_found'
done
extra=(-X DELETE)
ask /v1/models
is 'a method that is none' "$code $(json error.code)" '405 method_not_allowed'
extra=()

# Too much.
ask /v1/chat/completions "{\"messages\":\"$(head -c 3000 /dev/zero | tr '\0' a)\"}"
is 'a large body' "$code $(json error.code)" '413 body_too_large'
extra=(-H 'Transfer-Encoding: chunked')
ask /v1/chat/completions "{\"messages\":\"$(head -c 3000 /dev/zero | tr '\0' a)\"}"
is 'a large body of unknown length' "$code $(json error.code)" '413 body_too_large'
extra=(-H "X-Much: $(head -c 20000 /dev/zero | tr '\0' a)")
ask /health
case $code in 4*) ;; *) fail 'large headers' "$code" ;; esac
extra=()
ask /health
is 'still there' "$code" 200
stop_server
is 'the end' "$status" 0

printf 'a key\n' >"$work/key"
serve --api-key "@$work/key" --allow-host 'one.example,two.example' --cors http://example.org
ask /v1/models
is 'without a key' "$code $(json error.code)" '401 invalid_api_key'
has 'how' "$headers" 'WWW-Authenticate: Bearer'
extra=(-H 'Authorization: Bearer a kex')
ask /v1/models
is 'with another key' "$code" 401
extra=(-H 'Authorization: Bearer a keya key')
ask /v1/models
is 'with the key twice' "$code" 401
extra=(-H 'Authorization: Bearer a key')
ask /v1/models
is 'with the key' "$code" 200
extra=(-H 'Authorization: Bearer a key' -H 'Host: two.example' -H 'Origin: http://example.org')
ask /v1/models
is 'by an allowed name, from an allowed page' "$code" 200
has 'CORS' "$headers" 'Access-Control-Allow-Origin: http://example.org'
extra=(-X OPTIONS -H 'Origin: http://example.org' -H 'Access-Control-Request-Method: POST')
ask /v1/chat/completions
is 'asked beforehand' "$code" 204
has 'what may be sent' "$headers" 'Access-Control-Allow-Headers: authorization, content-type'
extra=()
ask /health
is 'health needs no key' "$code" 200
stop_server
finish
