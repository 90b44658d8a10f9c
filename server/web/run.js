// SPDX-License-Identifier: Apache-2.0
// run.js - one measured run of /eval: asks for the answer and records memory while it is written. Memory
// comes from the server's events (4 a second), and is asked for besides while the run is young: a small
// model is done before the second event.

import { getJson, streamChat } from "/web/api.js";
import { reliefText } from "/web/chat_answer.js";
import { ReliefEvents } from "/web/events.js";
import { listOr, newId, numberOr, objectOr, textOr } from "/web/store.js";
import * as format from "/web/format.js";

export const VERSION = 1;
const FAST_MS = 30; // between two questions at first ...
const SLOW_MS = 200; // ... and after FAST_FOR_MS
const FAST_FOR_MS = 3000;
const SAMPLES_KEPT = 400; // of a run that is kept: the browser's storage is small

export function newRun({ prompt, system = "", model, title, strategy, parameters }) {
    const now = Date.now();
    return { version: VERSION, id: newId(), created: now, changed: now, prompt, system, model, title,
        strategy, parameters,
        text: "", state: "running", finish: null, error: null, snug: null, samples: [], events: [], took: 0 };
}

// A whole run of a parsed record; null if it is none, or of a version that we do not know.
export function checkRun(value) {
    const run = objectOr(value);
    if (!run || run.version !== VERSION || !/^[\w-]{1,64}$/.test(textOr(run.id))) return null;
    const created = numberOr(run.created, 0);
    return {
        version: VERSION, id: run.id, created, changed: numberOr(run.changed, created),
        prompt: textOr(run.prompt), system: textOr(run.system), model: textOr(run.model) || null,
        title: textOr(run.title), strategy: textOr(run.strategy) || null,
            parameters: objectOr(run.parameters, {}),
        text: textOr(run.text), state: run.state === "running" ? "stopped" : textOr(run.state, "done"),
        finish: textOr(run.finish) || null, error: textOr(run.error) || null, snug: objectOr(run.snug),
        samples: listOr(run.samples).map(checkSample).filter(Boolean),
        events: listOr(run.events).map((event) => objectOr(event)).filter((event) => event &&
            numberOr(event.at) !== null)
            .map(({ at, kind, text }) => ({ at, kind: textOr(kind, "note"), text: textOr(text) })),
        took: numberOr(run.took, 0),
    };
}

function checkSample(value) {
    const sample = objectOr(value);
    if (!sample || numberOr(sample.at) === null || numberOr(sample.used) === null) return null;
    const uses = Object.fromEntries(Object.entries(objectOr(sample.uses, {}))
        .filter(([, bytes]) => numberOr(bytes) !== null));
    return { at: sample.at, used: sample.used, limit: numberOr(sample.limit),
        predicted: numberOr(sample.predicted, 0),
        uses };
}

export const summariseRun = ({ id, changed, created, prompt, title, model, strategy, state, snug }) =>
    ({ id, changed, created, prompt: prompt.slice(0, 120), title, model, strategy, state, snug });

// Runs it. Events: "change" (text or samples), "end". The record is `run`.
export class Recorder extends EventTarget {
    #abort = new AbortController();
    #began = 0;
    #relief;
    #limit;

    constructor(run, events) {
        super();
        this.run = run;
        this.events = events;
    }

    stop() {
        this.#abort.abort();
    }

    async record() {
        const { run } = this;
        await this.#ask();
        this.#listen();
        this.#began = performance.now();
        for (const sample of run.samples) sample.at = 0;
        const watching = this.#watch();
        try {
            await this.#answer();
        } catch (error) {
            run.state = error.name === "AbortError" ? "stopped" : "error";
            if (run.state === "error") run.error = error.message;
            this.#event(run.state, run.state === "error" ? error.message : "stopped");
        }
        run.took = this.#now();
        this.#abort.abort();
        await watching;
        run.changed = Date.now();
        thin(run);
        this.dispatchEvent(new CustomEvent("end"));
    }

    async #answer() {
        const { run } = this;
        const messages = run.system ? [{ role: "system", content: run.system }] : [];
        const snug = { ...run.parameters.snug, ...run.strategy ? { strategy: run.strategy } : {} };
        const result = await streamChat({
            messages: [...messages, { role: "user", content: run.prompt }], ...run.parameters.request,
            ...run.model ? { model: run.model } : {}, ...Object.keys(snug).length > 0 ? { snug } : {},
        }, {
            signal: this.#abort.signal,
            onStart: (id) => {
                this.#relief.id = id;
            },
            onText: (text, id) => {
                if (run.text === "") this.#event("first", "first token");
                this.#relief.id = id;
                run.text += text;
                this.#changed();
            },
        });
        Object.assign(run, { state: "done", finish: result.finish, snug: result.snug });
        await this.#ask().catch(() => {});
        this.#event("done", "the answer is complete");
    }

    #listen() {
        const options = { signal: this.#abort.signal };
        this.events.addEventListener("memory", ({ detail }) => this.#sample(detail), options);
        this.#relief = new ReliefEvents(this.events, this.#abort.signal,
            (detail, at) => this.#event("relief", reliefText(detail), at - this.#began));
        this.events.addEventListener("pressure", ({ detail }) =>
            this.#event("pressure", `pressure went from ${detail.before} to ${detail.level}`), options);
        this.events.addEventListener("model", ({ detail }) => {
            const text = detail.text || `${detail.model}: ${detail.state}`;
            if (detail.state !== "loading") this.#event("model", text);
        }, options);
    }

    async #watch() {
        while (!this.#abort.signal.aborted) {
            const pause = this.#now() < FAST_FOR_MS ? FAST_MS : SLOW_MS;
            await new Promise((resolve) => setTimeout(resolve, pause));
            if (!this.#abort.signal.aborted) await this.#ask().catch(() => {});
        }
    }

    async #ask() {
        this.#sample(await getJson("/api/memory"));
    }

    #now() {
        return performance.now() - this.#began;
    }

    #sample(memory) {
        const at = this.#began ? Math.round(this.#now()) : 0;
        const { samples } = this.run;
        if (samples.length > 0 && samples.at(-1).at > at) return;
        samples.push({ at, used: memory.used_bytes, limit: memory.limit_bytes,
            predicted: memory.predicted_bytes || 0,
            uses: Object.fromEntries((memory.uses || []).map((use) => [use.name, use.bytes])) });
        if (isOtherLimit(this.#limit, memory.limit_bytes)) {
            if (this.#limit !== undefined)
                this.#event("limit", `the limit is ${format.bytes(memory.limit_bytes)} now`);
            this.#limit = memory.limit_bytes;
        }
        this.#changed();
    }

    #event(kind, text, at = this.#now()) {
        this.run.events.push({ at: Math.round(at), kind, text });
        this.run.events.sort((a, b) => a.at - b.at);
        this.#changed();
    }

    #changed() {
        this.dispatchEvent(new CustomEvent("change"));
    }
}

// A limit that follows what the machine has left moves a little all the time: that is not worth a mark.
export function isOtherLimit(before, now) {
    if (!before || !now) return before !== now;
    return Math.abs(before - now) > 0.03 * before;
}

// Keeps so many samples of a long run that its picture is the same: of each stretch the highest, and the
// ends.
function thin(run) {
    const { samples } = run;
    if (samples.length <= SAMPLES_KEPT) return;
    const kept = [samples[0]];
    const stretch = (samples.length - 2) / (SAMPLES_KEPT - 2);
    for (let i = 0; i < SAMPLES_KEPT - 2; i++) {
        const part = samples.slice(1 + Math.floor(i * stretch), 1 + Math.floor((i + 1) * stretch));
        kept.push(part.reduce((highest, sample) => sample.used > highest.used ? sample : highest));
    }
    kept.push(samples.at(-1));
    run.samples = kept;
}

export const runToJson =
    (runs) => `${JSON.stringify({ program: "snug", version: VERSION, runs }, null, 2)}\n`;
