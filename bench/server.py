#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llm-tool serve from outside: what clients made for others do with it, and what it does under load.

  server.py openai TOOL           the official client (pip install openai) lists, chats, streams, stops, fails
  server.py requests TOOL [N]     N (10,000) short requests over 16 connections: is the resident size where it was?
  server.py crowd TOOL            64 clients in the smallest control group that fits three conversations (root)
  server.py edge TOOL             the same with long prompts in a group of what three hold by the kernel's count (root)
  server.py first TOOL            from a request to the first streamed byte, against llm-tool generate
  server.py idle TOOL [SECONDS]   processor time of a server that nobody asks
  server.py turns TOOL [MODEL]    1, 2, 4 and 8 conversations at a time: tokens per second of all, and what others wait

TOOL is llm-tool; it serves the bundled model, or the folder MODEL. Prints what was measured; the status says whether it held.
"""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

MINI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../models/mini")
STORY = [{"role": "user", "content": "Tell me a story."}]


class Server:
    """One that was started; `within` is put in front of its command."""

    def __init__(self, tool, *words, within=(), model=MINI):
        self.process = subprocess.Popen(
            [*within, tool, "serve", "--model", model, "--port", "0", "--quiet", *words],
            stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rsplit(":", 1)[1])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def ask(self, path, body=None, connection=None):
        connection = connection or self.connect()
        connection.request("POST" if body is not None else "GET", path,
                           json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024

    def ticks(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def check(what, holds):
    print(f"{'ok   ' if holds else 'FAILED'} {what}")
    return bool(holds)


def openai(tool):
    import openai as package

    server = Server(tool, "--api-key", "a-key")
    client = package.OpenAI(base_url=server.url + "/v1", api_key="a-key", max_retries=0)
    held = [check(f"openai {package.__version__}: models", client.models.list().data[0].id == "mini")]
    held.append(check("one model", client.models.retrieve("mini").id == "mini"))
    chat = client.chat.completions.create(model="mini", messages=STORY, max_tokens=24, temperature=0)
    text = chat.choices[0].message.content
    held.append(check(f"a chat: {text!r}", chat.choices[0].finish_reason == "length"))
    held.append(check(f"usage: {chat.usage}", chat.usage.completion_tokens == 24))
    chunks = list(client.chat.completions.create(model="mini", messages=STORY, max_tokens=24, temperature=0,
                                                 stream=True, stream_options={"include_usage": True}))
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    held.append(check("streamed, the same text", streamed == text))
    held.append(check("and its usage", chunks[-1].usage.completion_tokens == 24))
    stop = text[20:27]
    stopped = client.chat.completions.create(model="mini", messages=STORY, max_tokens=24, temperature=0, stop=[stop])
    held.append(check(f"stopped before {stop!r}", stopped.choices[0].message.content == text.split(stop)[0] and
                      stopped.choices[0].finish_reason == "stop"))
    likely = client.chat.completions.create(model="mini", messages=STORY, max_tokens=4, temperature=0, logprobs=True,
                                            top_logprobs=3)
    first = likely.choices[0].logprobs.content[0]
    held.append(check(f"logprobs: {first.token!r} {first.logprob:.3f}", len(first.top_logprobs) == 3 and
                      first.top_logprobs[0].token == first.token))
    answer = client.completions.create(model="mini", prompt="Once upon a time", max_tokens=8, temperature=0)
    held.append(check(f"a completion: {answer.choices[0].text!r}", answer.usage.completion_tokens == 8))
    back = client.chat.completions.create(
        model="mini", max_tokens=4,
        messages=STORY + [chat.choices[0].message, {"role": "user", "content": "And then?"}])
    held.append(check("its own answer sent back", back.usage.prompt_tokens > chat.usage.total_tokens))
    for error, what, call in [
            (package.NotFoundError, "no such model", lambda: client.chat.completions.create(
                model="none", messages=STORY)),
            (package.BadRequestError, "a parameter that is none", lambda: client.chat.completions.create(
                model="mini", messages=STORY, extra_body={"nonsense": 1})),
            (package.BadRequestError, "two answers", lambda: client.chat.completions.create(
                model="mini", messages=STORY, n=2)),
            (package.APIStatusError, "embeddings", lambda: client.embeddings.create(model="mini", input="a")),
            (package.AuthenticationError, "another key", lambda: package.OpenAI(
                base_url=server.url + "/v1", api_key="x", max_retries=0).models.list())]:
        try:
            call()
            held.append(check(f"{what}: refused", False))
        except error as refusal:
            held.append(check(f"{what}: {refusal.status_code} {refusal.code} {refusal.body['message']!r}", True))
    held.append(check("the server ends with 0", server.stop() == 0))
    return all(held)


def requests(tool, count=10000):
    """The size is read when nothing runs: after the first 500, and at the end."""
    count = int(count)
    server = Server(tool)
    statuses, sizes = {}, []
    lock = threading.Lock()

    def work(numbers):
        connection = server.connect()
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            status, _, _ = server.ask("/v1/chat/completions", {
                "messages": [{"role": "user", "content": f"Tell me story {number}."}],
                "max_tokens": 4}, connection)
            with lock:
                statuses[status] = statuses.get(status, 0) + 1

    begun = time.monotonic()
    for first_number, end in ((0, 500), (500, count)):
        numbers = iter(range(first_number, end))
        threads = [threading.Thread(target=work, args=(numbers,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(1)
        sizes.append(server.resident())
    seconds = time.monotonic() - begun - 2
    change = 100 * (sizes[1] - sizes[0]) / sizes[0]
    print(f"{count} requests over 16 connections in {seconds:.1f} s; statuses {statuses}; resident after 500: "
          f"{sizes[0] / 1048576:.2f} MiB, at the end: {sizes[1] / 1048576:.2f} MiB ({change:+.2f} %)")
    holds = abs(change) <= 1 and statuses == {200: count}
    return server.stop() == 0 and check("where it was, within 1 %", holds)


class Group:
    """A control group (v1) of so many bytes; what is in it can be read."""

    path = "/sys/fs/cgroup/memory/snug-crowd"

    def __init__(self, size):
        os.makedirs(self.path, exist_ok=True)
        with open(self.path + "/memory.limit_in_bytes", "w") as file:
            file.write(str(size))
        self.within = ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs && exec "$@"', "sh"]

    def read(self, name, pattern=r"(\d+)"):
        with open(f"{self.path}/memory.{name}") as file:
            return int(re.search(pattern, file.read()).group(1))

    def held(self):
        """What cannot be dropped: anonymous pages, and what the kernel keeps for the group."""
        return self.read("stat", r"\ntotal_rss (\d+)") + self.read("kmem.usage_in_bytes")

    def remove(self):
        time.sleep(0.2)
        os.rmdir(self.path)


CROWD_WORDS = ["--answers", "8", "--keep", "0", "--context", "8192", "--kv-bits", "16",
               "--optimization-strategy", "conservative"]
CROWD_PROMPT = "The dog and the cat went to the park to play with a red ball. " * 90


def crowd_run(tool, size, clients, queue="40", prompt=CROWD_PROMPT, reads=None):
    """So many clients at once in a group of that size: what they got, and how far it went."""
    group = Group(size)
    try:
        server = Server(tool, *CROWD_WORDS, "--queue", queue, within=group.within)
    except (ValueError, IndexError):
        group.remove()
        return None
    reader = None
    if reads:  # a neighbour whose pages fill what is left of the group, again and again
        reader = subprocess.Popen([*group.within, "sh", "-c", f"while :; do cat {reads}/* >/dev/null; sleep 1; done"])
    results, most, held = [], 0, 0

    def client(number):
        connection = server.connect()
        connection.request("POST", "/v1/chat/completions", json.dumps({
            "messages": [{"role": "user", "content": prompt + f"Tell me story {number}."}], "stream": True,
            "max_tokens": 300, "temperature": 0, "snug": {"repetition_penalty": 0.8}}))
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status == 200:
            whole = text.rstrip().endswith("data: [DONE]")
            typed = '"error"' in text.rstrip().rsplit("data: ", 1)[1]
            results.append("whole" if whole else "typed refusal after it began" if typed else "CUT")
        else:
            results.append(f"{answer.status} {json.loads(text)['error']['code']}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        held = max(held, group.held())
        most = max(most, server.ask("/api/memory")[2]["queue"]["running"])
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    alive = server.process.poll() is None
    run = {"results": results, "most": most, "held": held, "peak": group.read("max_usage_in_bytes"),
           "failures": group.read("failcnt"), "killed": group.read("oom_control", r"oom_kill (\d+)")}
    run["ended"] = alive and server.stop() == 0
    if reader:
        reader.kill()
        reader.wait()
        time.sleep(1)  # what it waits for
    group.remove()
    return run


def crowd(tool):
    """The edge: the smallest group, to a 64th of a MiB, in which three conversations are written at a time."""
    low, high = 2 << 20, 64 << 20
    while high - low > 1 << 14:
        middle = (low + high) // 2 // 4096 * 4096
        run = crowd_run(tool, middle, 4)
        if run and run["most"] >= 3 and run["killed"] == 0:
            high = middle
        else:
            low = middle
    high += high // 64  # prompts differ by a token or two
    run = crowd_run(tool, high, 64)
    while run["most"] < 3 and high < 64 << 20:  # 60 connections more take some, too
        high += 1 << 18
        run = crowd_run(tool, high, 64)
    summary = {result: run["results"].count(result) for result in sorted(set(run["results"]))}
    print(f"64 clients in a group of {high / 1048576:.2f} MiB, the smallest that three fit into: {summary}; at most "
          f"{run['most']} at a time; held at most {run['held'] / 1048576:.2f} MiB "
          f"({100 * run['held'] / high:.0f} %), the group's peak {run['peak'] / 1048576:.2f} MiB, its limit met "
          f"{run['failures']} times, killed {run['killed']}")
    return check("all answered or refused by type, none cut, nobody killed, three at a time", run["ended"] and
                 run["killed"] == 0 and run["most"] == 3 and len(run["results"]) == 64 and "CUT" not in summary)


def edge(tool):
    """The kernel's edge: what three at a time hold in a wide group, and 3 % more; and a neighbour that reads
    files fills with their pages what is left, so whatever the server takes the kernel has to take from them."""
    prompt = CROWD_PROMPT * 4
    three = crowd_run(tool, 1 << 30, 3, prompt=prompt)
    size = three["held"] * 103 // 100 // 4096 * 4096
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for number in range(512):  # small ones: no read-ahead of MiB that nobody can take back
            with open(os.path.join(folder, str(number)), "wb") as file:
                file.write(os.urandom(64 << 10))
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # who reads it is charged
        run = crowd_run(tool, size, 64, "16", prompt, folder)
    if not run:
        return check("it starts", False)
    summary = {result: run["results"].count(result) for result in sorted(set(run["results"]))}
    print(f"three at a time ({three['most']}) hold {three['held'] / 1048576:.2f} MiB; 64 clients in a group of "
          f"{size / 1048576:.2f} MiB: {summary}; at most {run['most']} at a time; held at most "
          f"{run['held'] / 1048576:.2f} MiB ({100 * run['held'] / size:.0f} %), the group's peak "
          f"{run['peak'] / 1048576:.2f} MiB ({100 * run['peak'] / size:.0f} %), its limit met {run['failures']} "
          f"times, killed {run['killed']}")
    return check("all answered or refused by type, none cut, nobody killed, the group full", run["ended"] and
                 run["killed"] == 0 and len(run["results"]) == 64 and "CUT" not in summary and
                 run["peak"] >= size * 9 // 10)


def first(tool):
    server = Server(tool, "--keep", "0")
    served, generated = [], []
    for _ in range(20):
        connection = server.connect()
        begun = time.monotonic()
        connection.request("POST", "/v1/chat/completions", json.dumps({
            "messages": STORY, "max_tokens": 8, "temperature": 0, "stream": True}))
        answer = connection.getresponse()
        answer.read(1)
        served.append(1000 * (time.monotonic() - begun))
        answer.read()
        out = subprocess.run([tool, "generate", "--model", MINI, "--prompt", "Tell me a story.", "--max-tokens", "8",
                              "--temperature", "0", "--json", "--quiet"], capture_output=True, text=True, check=True)
        generated.append(json.loads(out.stdout)["first_token_ms"])
    served.sort()
    generated.sort()
    print(f"first streamed byte: median {served[10]:.2f} ms, least {served[0]:.2f}; generate's own figure for the "
          f"first token: median {generated[10]:.2f} ms, least {generated[0]:.2f}; 20 each")
    server.stop()
    return check("within 20 ms", served[10] - generated[10] <= 20)


def idle(tool, seconds=60):
    seconds = float(seconds)
    server = Server(tool, "--idle-unload", "3600")
    server.ask("/v1/chat/completions", {"messages": STORY, "max_tokens": 8})
    time.sleep(1)
    begun = server.ticks()
    time.sleep(seconds)
    share = 100 * (server.ticks() - begun) / os.sysconf("SC_CLK_TCK") / seconds
    print(f"{seconds:.0f} s without a request: {share:.3f} % of a processor")
    server.stop()
    return check("less than 0.1 %", share < 0.1)


def turns(tool, model=MINI):
    """Eight answers, so many of them at a time, and a short request that comes after all of them."""
    tokens = 400 if model == MINI else 100
    body = {"messages": STORY, "max_tokens": tokens, "temperature": 0, "snug": {"repetition_penalty": 0.8}}
    short = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}
    for answers in (1, 2, 4, 8):
        server = Server(tool, "--answers", str(answers + (answers == 8)), "--keep", "0", model=model)
        server.ask("/v1/chat/completions", short)
        written = []
        begun = time.monotonic()
        threads = [threading.Thread(target=lambda: written.append(
            server.ask("/v1/chat/completions", body)[2]["usage"]["completion_tokens"])) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        asked = time.monotonic()
        server.ask("/v1/chat/completions", short)
        waited = time.monotonic() - asked
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begun
        print(f"{answers} at a time: {sum(written)} tokens of 8 answers in {seconds:.2f} s, "
              f"{sum(written) / seconds:.0f} tokens/s; a short request beside them took {waited:.2f} s")
        server.stop()
    return True


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("openai", "requests", "crowd", "edge", "first", "idle",
                                                   "turns"):
        sys.exit(__doc__)
    sys.exit(0 if globals()[sys.argv[1]](*sys.argv[2:]) else 1)


if __name__ == "__main__":
    main()
