// SPDX-License-Identifier: Apache-2.0
// unit_store.js - what is kept in the browser: tolerant reading, quota, exports; the body of a request; and
// the reader of event streams, cut at every place.

import { readEvents } from "/web/api.js";
import { ReliefEvents } from "/web/events.js";
import * as record from "/web/conversation.js";
import * as format from "/web/format.js";
import { checkRun, newRun } from "/web/run.js";
import { Collection } from "/web/store.js";
import { Checks, randomly } from "/web/unit.js";

// A storage with room for so many characters.
class SmallStorage {
    constructor(room = Infinity) {
        this.map = new Map();
        this.room = room;
    }

    get length() {
        return this.map.size;
    }

    key(i) {
        return [...this.map.keys()][i] ?? null;
    }

    getItem(key) {
        return this.map.get(key) ?? null;
    }

    setItem(key, value) {
        const others = [...this.map].filter(([name]) => name !== key);
        const used = others.reduce((sum, [, text]) => sum + text.length, 0);
        if (used + value.length > this.room) throw new DOMException("full", "QuotaExceededError");
        this.map.set(key, value);
    }

    removeItem(key) {
        this.map.delete(key);
    }
}

const collection = (storage) => new Collection({ storage, prefix: "t.", check: record.checkConversation,
    summarise: record.summarise, what: "conversations" });

function sample(title, changed) {
    const one = record.newConversation("mini");
    Object.assign(one, { title, isNamed: true, changed, created: changed });
    one.messages.push(record.userMessage("Hello"), { ...record.answerMessage("mini"), text: "Hi",
        state: "done" });
    return one;
}

function checkCollection(checks) {
    const storage = new SmallStorage();
    const [older, newer] = [sample("older", 1000), sample("newer", 2000)];
    const first = collection(storage);
    checks.is("saved", [first.save(older), first.save(newer)], [true, true]);
    const second = collection(storage);
    checks.is("the newest comes first", second.list().map(({ title }) => title), ["newer", "older"]);
    checks.is("what was kept is what is read", second.load(older.id), record.checkConversation(older));
    checks.is("a record that is none", second.load("nothing"), null);

    storage.map.set("t.broken", "{\"version\":1,");
    storage.map.set("t.later", JSON.stringify({ ...older, id: "later", version: 99 }));
    storage.map.set("t.moved", JSON.stringify(older));
    storage.map.set("other", "not ours");
    const third = collection(storage);
    checks.is("what cannot be read is counted", third.unreadable, 3);
    checks.is("and not listed", third.list().length, 2);
    checks.is("and left as it is", storage.map.get("t.broken"), "{\"version\":1,");
    third.remove(newer.id);
    checks.is("removed", collection(storage).list().map(({ id }) => id), [older.id]);
}

function checkQuota(checks) {
    const storage = new SmallStorage(1500);
    const kept = collection(storage);
    const problems = [];
    kept.addEventListener("problem", ({ detail }) => problems.push(detail));
    const small = sample("small", 1);
    checks.is("there is room", kept.save(small), true);
    small.messages[1].text = "x".repeat(2000);
    checks.is("there is none", kept.save(small), false);
    checks.holds("it says so", /storage for this page is full/.test(problems[0]) &&
        kept.problem === problems[0]);
    checks.is("what is new is still there", kept.load(small.id).messages[1].text.length, 2000);
    checks.is("what was kept is not lost", JSON.parse(storage.map.get(`t.${small.id}`)).messages[1].text,
        "Hi");
    small.messages[1].text = "short";
    checks.is("room again", kept.save(small), true);
    checks.is("it says that too", problems.at(-1), "");
}

// Whatever is in the storage: no exception, and what comes out is whole.
function checkTolerance(checks, random) {
    const junk = [null, true, -1, 1e300, "", "text", [], {}, [null], { role: "user" }, "x".repeat(300)];
    for (let round = 0; round < 600; round++) {
        const one = sample("t", 5);
        one.parameters = { temperature: 0.5, strategy: "balanced", kv_bits: "5/4" };
        one.messages[1].error = { message: "no", code: "c", figures: { need_bytes: 1 } };
        const targets = [one, one.parameters, one.messages[0], one.messages[1], one.messages[1].error,
            one.messages];
        const target = targets[random(targets.length)];
        const keys = Object.keys(target);
        target[keys[random(keys.length)]] = junk[random(junk.length)];
        const checked = record.checkConversation(JSON.parse(JSON.stringify(one)));
        checks.count++;
        if (!checked) continue;
        checks.is("checked twice is checked once", record.checkConversation(structuredClone(checked)),
            checked);
        record.requestOf(checked, "mini");
        record.toMarkdown(checked);
    }
    for (const value of junk) {
        checks.is("no conversation", record.checkConversation(value), null);
        checks.is("no run", checkRun(value), null);
    }
    const run = newRun({ prompt: "p", model: "mini", title: "Mini", strategy: null, parameters: {} });
    run.samples.push({ at: 1, used: 2, limit: null, predicted: 0, uses: { kv: 1 } }, { at: "x" });
    checks.is("a run is whole again", checkRun(JSON.parse(JSON.stringify(run))).samples,
        [{ at: 1, used: 2, limit: null, predicted: 0, uses: { kv: 1 } }]);
}

function checkConversation(checks) {
    const one = sample("t", 5);
    one.isNamed = false;
    one.system = "Be brief.";
    one.parameters = { temperature: 0, strategy: "aggressive", kv_bits: "5/4", context: 512 };
    one.messages.push(record.noticeMessage("relief", "Memory was given back."), record.userMessage("Again"),
        { ...record.answerMessage("mini"), state: "error" });
    checks.is("the request", record.requestOf(one, "mini", one.messages.at(-1).id), {
        messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "Hello" },
            { role: "assistant", content: "Hi" }, { role: "user", content: "Again" }],
        model: "mini", temperature: 0, snug: { strategy: "aggressive", context: 512, kv_bits: "5/4" },
    });
    checks.is("adaptive sends nothing", record.requestOf(record.newConversation(), null), { messages: [] });
    record.nameByFirst(one);
    checks.is("named by the first message", one.title, "Hello");
    one.messages[0].text = "word ".repeat(40);
    record.nameByFirst(one);
    checks.holds("a long name is cut between words", one.title.length <= 62 && /word …$/.test(one.title));
    const markdown = record.toMarkdown(one);
    checks.holds("an export has it all", ["Be brief.", "## You", "## Snug (mini)", "Hi",
        "_Memory was given back._"]
        .every((part) => markdown.includes(part)));
    checks.is("a file's name", record.fileName("Über <b>/../x?", "md"), "snug-uber-bx.md");
    checks.is("a name of nothing", record.fileName("😀", "json"), "snug-conversation.json");
    checks.is("stopped", record.endingOf({ state: "stopped" }).text, "Stopped");
    checks.is("cut at a length", record.endingOf({ state: "done", finish: "length",
        snug: { stop: "max_tokens", generated_tokens: 20 } }).text,
            "Longest answer reached: cut after 20 tokens");
    checks.is("a whole answer has no ending", record.endingOf({ state: "done", finish: "stop" }), null);
}

function checkFormat(checks) {
    const seen = [0, 1023, 1024, 102297, 10 * 1048576, 23370780468].map(format.bytes);
    checks.is("bytes", seen, ["0 bytes", "1023 bytes", "1.0 KiB", "99.9 KiB", "10.0 MiB", "21.8 GiB"]);
    checks.is("a part of", [format.bytesOf(1048576, 2097152), format.bytesOf(1024, 2097152)],
        ["1.0 of 2.0 MiB", "1.0 KiB of 2.0 MiB"]);
    checks.is("no limit", format.ofLimit(1024, null), "1.0 KiB, no limit");
    checks.is("durations", [1.26, 704, 2290, 61000].map(format.milliseconds), ["1.3 ms", "704 ms", "2.29 s",
        "1 min 1 s"]);
}

// The same events, wherever the network cut the bytes.
async function checkEvents(checks) {
    const text =
        ": hello\r\nevent: memory\r\ndata: {\"a\":\"é😀\"}\r\n\r\ndata: one\ndata: two\n\nevent: x\n\n" +
        "data:three\r\rdata: [DONE]\n\n";
    const expected = [["memory", "{\"a\":\"é😀\"}"], ["message", "one\ntwo"], ["message", "three"],
        ["message", "[DONE]"]];
    const bytes = new TextEncoder().encode(text);
    for (let cut = 0; cut <= bytes.length; cut++) {
        const parts = cut % 2 ? [bytes.slice(0, cut), bytes.slice(cut)]
            : [bytes.slice(0, cut / 2), bytes.slice(cut / 2, cut), bytes.slice(cut)];
        const seen = [];
        const stream = new ReadableStream({
            start(controller) {
                for (const part of parts) if (part.length > 0) controller.enqueue(part);
                controller.close();
            },
        });
        for await (const { event, data } of readEvents(new Response(stream))) seen.push([event, data]);
        checks.is(`cut at ${cut}`, seen, expected);
    }
}

// Steps of relief that come before the id of their request is known are told when it is; others never.
function checkRelief(checks) {
    const events = new EventTarget();
    const seen = [];
    const come = (request, step) =>
        events.dispatchEvent(new CustomEvent("relief", { detail: { request, step } }));
    const relief = new ReliefEvents(events, new AbortController().signal, ({ step }) => seen.push(step));
    come("a", 1);
    come("b", 2);
    checks.is("nothing is told before the id", seen, []);
    relief.id = "";
    relief.id = "a";
    relief.id = "b";
    come("b", 3);
    come("a", 4);
    come(undefined, 5);
    checks.is("what is ours, in order", seen, [1, 4, 5]);
}

export async function run() {
    const checks = new Checks();
    checkCollection(checks);
    checkQuota(checks);
    checkTolerance(checks, randomly(3));
    checkConversation(checks);
    checkFormat(checks);
    checkRelief(checks);
    await checkEvents(checks);
    return checks.result;
}
