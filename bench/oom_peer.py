# SPDX-License-Identifier: Apache-2.0
"""oom_peer - llama.cpp through the same cells as llm-tool: the same limits in bytes, prompts of the same length."""

import os
import subprocess
import time

TIMEOUT_SECONDS = 180


class Peer:
    """A program of llama.cpp that completes a prompt, and a GGUF file for each model."""

    def __init__(self, options):
        self.program = options.peer
        self.files = dict(pair.split("=", 1) for pair in options.peer_model)
        self.kills = self.runs = 0

    def run(self, matrix, subject, case):
        """One cell, in a few words. Only limits that stand from the beginning: it reacts to none."""
        _, factor, lowered, left = case
        if subject.name not in self.files or lowered or left:
            return ""
        limit = int(subject.predicted * factor)
        group = matrix.top.child("peer")
        group.set_limit(limit)
        group.forbid_swap(limit)
        prompt = os.path.join(matrix.work, "peer-prompt")
        with open(prompt, "w", encoding="utf-8") as file:
            file.write(" the" * (subject.context - subject.answer_tokens - 8))
        words = [self.program, "-m", self.files[subject.name], "-c", str(subject.context), "-f", prompt,
                 "-n", str(subject.answer_tokens), "--temp", "0", "-no-cnv", "--no-warmup"]  # fmt: skip
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
