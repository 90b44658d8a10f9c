#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage.sh - wrong command lines: one exact sentence each, status 2, nothing on standard output.
. "$(dirname "$0")/lib.sh"

sentence='there is no prompt: --prompt TEXT, --prompt @FILE, or --prompt - for standard input '
sentence+='(llm-tool --help says more)'
refuses 2 "$sentence"
refuses 2 'there is no command "genrate"; did you mean generate?' genrate
sentence='"Hello there" is no command; to give a prompt write --prompt "Hello there" '
refuses 2 "$sentence(llm-tool --help lists all)" 'Hello there'
refuses 2 'generate has no option --temprature; did you mean --temperature?' --temprature 1
refuses 2 'generate has no option --max-token; did you mean --max-tokens?' generate --max-token=5
refuses 2 'generate has no option --xyzzy; llm-tool generate --help lists all' --xyzzy
refuses 2 'generate has no option -z; llm-tool generate --help lists all' -z
refuses 2 'generate has no option --depth: it belongs to bench' generate --depth 3
refuses 2 'plan has no option --seed: it belongs to generate, chat, profile' plan --seed 1
refuses 2 '--max-tokens needs a value: --max-tokens N' --max-tokens
refuses 2 '--max-tokens takes a whole number from 0 up to 4294967295, not "-1"' --max-tokens -1
refuses 2 '--max-tokens takes a whole number from 0 up to 4294967295, not "9x"' --max-tokens=9x
refuses 2 '--max-tokens takes a whole number from 0 up to 4294967295, not "4294967296"' \
    --max-tokens 4294967296
refuses 2 '--seed takes a whole number from 0 up, not "99999999999999999999"' --seed 99999999999999999999
refuses 2 '--temperature takes a number from 0 to 100, not "hot"' --temperature hot
refuses 2 '--temperature takes a number from 0 to 100, not "-0.1"' --temperature -0.1
refuses 2 '--temperature takes a number from 0 to 100, not "nan"' --temperature nan
refuses 2 '--top-p takes a number from 0 to 1, not "1.5"' --top-p=1.5
refuses 2 '--threads takes a whole number from 1 to 1024, not "0"' --threads 0
refuses 2 \
    '--memory-limit takes a size such as 512M or 1.5GiB, or a part such as 80%, not "lots"' \
    --memory-limit lots
refuses 2 \
    '--memory-limit takes a size such as 512M or 1.5GiB, or a part such as 80%, not "0"' \
    --memory-limit 0
refuses 2 '--json is a switch and takes no value; --no-json undoes it' --json=1
refuses 2 '--prompt and --prompt-ids are two prompts; give one' -p a --prompt-ids b
refuses 2 'the prompt is empty' -p ''
refuses 2 'generate does not know what to do with "Hello"; a prompt is given with --prompt' generate Hello
refuses 2 '--cpu takes auto, c, avx2, avx512, avx512bf16, amx, neon or i8mm, not "z80"' \
    -m "$model" -p a --cpu z80
refuses 2 '--system needs the chat template that --raw leaves out' -m "$model" -p a --raw --system b
refuses 2 'logits needs --ids FILE.json and --out FILE.safetensors' logits --ids a
refuses 2 'tokenize takes one text, and "b" is a second; quote a text with spaces' tokenize a b
sentence='there is no text: give it as one word, as @FILE, as - for standard input, '
refuses 2 "${sentence}many with --batch FILE.json, or messages with --chat FILE.json" tokenize
refuses 2 '--skip-special is for --decode' tokenize --skip-special a
refuses 2 '--depth takes numbers of tokens such as 0,4096, not "1,x"' bench --depth 1,x

# Prompts that cannot be.
printf 'abc\377def' >"$work/bad.txt"
refuses 2 'the prompt is not valid UTF-8: the byte 0xff at position 3 is wrong (0 is the first)' \
    -p @"$work/bad.txt"
refuses 4 "cannot open $work/none.txt: No such file or directory" -p @"$work/none.txt"
refuses 2 "the prompt has 4 tokens, but the context holds 3: raise the context or shorten it" \
    -m "$model" --raw -p 'Once upon a time' --context 3

# A context beyond the model's is obeyed, and said.
run -m "$model" --raw -p 'Once upon' --max-tokens 2 --context 5000
is 'status with a long context' "$status" 0
has 'a long context' "$err" 'the context of 5000 tokens is longer than the 4096 this model was made for'

# Forms that mean the same.
run -m "$model" --raw -p 'Once upon' --max-tokens 4 --quiet
first=$out
run generate --model="$model" --raw --prompt='Once upon' --max-tokens=4 --quiet --json --no-json
is 'name=value and --no-NAME' "$out" "$first"
run -m"$model" --raw -p'Once upon' --max-tokens 4 --quiet
is 'a value attached to a letter' "$out" "$first"
finish
