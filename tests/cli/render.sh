#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# render.sh - tokenize --chat: messages through a template, as text and as ids.
. "$(dirname "$0")/lib.sh"

cat >"$work/chat.jinja" <<'END'
{%- for m in messages -%}
[{{ m.role }}] {{ m.content }}{% if m.calls %} ({{ m.calls | length }}){% endif %};{% endfor -%}
{%- if add_generation_prompt %}>{% endif %}{{ strftime_now("%Y-%m-%d %H:%M") }} {{ x }}
END
printf '%s' '[{"role": "user", "content": "Hi"},' \
    ' {"role": "assistant", "content": "Ho", "calls": [1, 2]}]' >"$work/m.json"

run tokenize -m "$model" --chat "$work/m.json" --chat-template "$work/chat.jinja" --render \
    --now 2024-02-29T23:59:58 --template-args '{"x": "ü"}' --generation-prompt
is 'status' "$status" 0
is 'text' "$out" '[user] Hi;[assistant] Ho (2);>2024-02-29 23:59 ü'
run tokenize -m "$model" --chat "$work/m.json" --chat-template "$work/chat.jinja" --json \
    --now 2024-02-29T23:59:58 --template-args '{"x": "ü"}' --generation-prompt
run tokenize -m "$model" --decode "$(sed -E 's/^\{"ids": (\[[^]]*\]).*/\1/' "$work/out")"
is 'ids of the same text' "$out" '[user] Hi;[assistant] Ho (2);>2024-02-29 23:59 ü'

printf '{"messages": [{"role": "user", "content": "A"}], "x": "B"}' >"$work/o.json"
run tokenize -m "$model" --chat "$work/o.json" --chat-template "$work/chat.jinja" --render \
    --now 1970-01-01T00:00:00
is 'an object of variables' "$out" '[user] A;1970-01-01 00:00 B'

refused() { # what, words of the sentence, arguments
    local name=$1 words=$2
    shift 2
    run tokenize -m "$model" "$@"
    [ "$status" -ne 0 ] || fail "$name is taken" "$out"
    has "$name" "$err" "$words"
}
refused 'a wrong time' 'such as 2025-07-08T12:00:00' --chat "$work/m.json" --now 2025-02-30T12:00:00
refused 'wrong arguments' '--template-args' --chat "$work/m.json" --template-args '[1]'
refused 'no messages' 'array of messages' --chat <(printf '{"a": 1}')
refused 'two inputs' 'give one' --chat "$work/m.json" text
refused '--render alone' 'are for --chat' --render text
printf '{%% for x in y %%}' >"$work/bad.jinja"
refused 'a template that does not end' 'bad.jinja' --chat "$work/m.json" --chat-template "$work/bad.jinja"
