# SPDX-License-Identifier: Apache-2.0
"""oom_peer - llama.cpp through the same cells as llm-tool: the same limits in bytes, prompts of the same length."""

import os
import re
import subprocess
import sys
import time

TIMEOUT_SECONDS = 180


class Peer:
    """A program of llama.cpp that completes a prompt, and a GGUF file for each model."""

    def __init__(self, options):
        self.program = options.peer
        self.files = dict(pair.split("=", 1) for pair in options.peer_model)
        self.kills = self.runs = 0
        self.prompts = {}  # by model and context: of words that fill it

    def words(self, subject, prompt):
        return [self.program, "-m", self.files[subject.name], "-c", str(subject.context), "-f", prompt,
                "-n", str(subject.answer_tokens), "--temp", "0", "-no-cnv", "--no-warmup"]  # fmt: skip

    def prompt(self, matrix, subject):
        """A prompt that it takes without a limit: what dies of its length says nothing about memory."""
        key = (subject.name, subject.context)
        count = subject.context - subject.answer_tokens - 8
        while key not in self.prompts:
            path = os.path.join(matrix.work, f"peer-{subject.name}-{subject.context}")
            with open(path, "w", encoding="utf-8") as file:
                file.write(" the" * count)
            ended = subprocess.run(self.words(subject, path), stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False)  # fmt: skip
            too_long = re.search(r"too long \((\d+) tokens, max (\d+)\)", ended.stderr)
            if too_long and count > 1:  # its vocabulary has less than a word in a token
                count = max(1, count * int(too_long[2]) // int(too_long[1]) - 2)
            elif ended.returncode != 0:
                sys.exit(f"oom-matrix: {self.program} fails without a limit: {ended.stderr.strip()[-300:]}")
            else:
                self.prompts[key] = path
        return self.prompts[key]

    def run(self, matrix, subject, case):
        """One cell, in a few words. Only limits that stand from the beginning: it reacts to none."""
        _, factor, lowered, left = case
        if subject.name not in self.files or lowered or left:
            return ""
        limit = int(subject.predicted * factor)
        words = self.words(subject, self.prompt(matrix, subject))
        group = matrix.top.child("peer")
        group.set_limit(limit)
        group.forbid_swap(limit)
        began = time.monotonic()
        try:
            ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=group.join,
                                   timeout=TIMEOUT_SECONDS, check=False).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            ended = None
        kills = group.kills()
        group.remove()
        self.runs += 1
        self.kills += kills > 0
        if kills or ended == -9:
            return "killed"
        if ended is None:
            return "no end"
        return f"finished in {time.monotonic() - began:.0f} s" if ended == 0 else f"status {ended}"
