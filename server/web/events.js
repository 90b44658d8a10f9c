// SPDX-License-Identifier: Apache-2.0
// events.js - the server's events (/api/events): memory, pressure, relief, model, queue. One connection a
// page. When it breaks it is made again, after 0.5 s, then 1, 2 ... 15 s, or at once when the page is looked
// at again.

import { getJson, parseJson, readEvents, request } from "/web/api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const SILENCE_MS = 40000; // the server sends a comment every 15 s: after this the line is dead

// An EventTarget: "memory", "pressure", "relief", "model", "queue" with detail = the data; and "connection"
// with detail = "open" | "lost". `memory` is the newest state, null before the first.
export class ServerEvents extends EventTarget {
    memory = null;
    connection = "lost";
    #abort = null;
    #isWanted = false;
    #wake = null;

    start() {
        if (this.#isWanted) return;
        this.#isWanted = true;
        this.#run();
        addEventListener("online", () => this.#wake?.());
        document.addEventListener("visibilitychange", () => {
            if (!document.hidden) this.#wake?.();
        });
    }

    stop() {
        this.#isWanted = false;
        this.#abort?.abort();
        this.#wake?.();
    }

    async #run() {
        let wait = FIRST_WAIT_MS;
        while (this.#isWanted) {
            const began = Date.now();
            await this.#readOnce().catch(() => {});
            this.#say("lost");
            if (!this.#isWanted) return;
            if (Date.now() - began > LONGEST_WAIT_MS) wait = FIRST_WAIT_MS;
            // Not all pages at the same moment when a server comes back.
            await this.#sleep(wait * (0.75 + Math.random() / 2));
            wait = Math.min(wait * 2, LONGEST_WAIT_MS);
        }
    }

    async #readOnce() {
        this.#abort = new AbortController();
        let timer = 0;
        const alive = () => {
            clearTimeout(timer);
            timer = setTimeout(() => this.#abort.abort(), SILENCE_MS);
        };
        alive();
        try {
            const response = await request("/api/events", { signal: this.#abort.signal, isBackground: true });
            const watched = new Response(response.body.pipeThrough(new TransformStream({
                transform(chunk, controller) {
                    alive();
                    controller.enqueue(chunk);
                },
            })));
            this.#say("open");
            for await (const { event, data } of readEvents(watched)) {
                const detail = parseJson(data);
                if (detail) this.dispatch(event, detail);
            }
        } finally {
            clearTimeout(timer);
        }
    }

    // Also for a state that came by another way (POST /api/limit answers with one).
    dispatch(name, detail) {
        if (name === "memory") this.memory = detail;
        this.dispatchEvent(new CustomEvent(name, { detail }));
    }

    // Events tell what changes while something runs; how it is afterwards is worth a question.
    refresh() {
        const asked = getJson("/api/memory", { isBackground: true });
        asked.then((memory) => this.dispatch("memory", memory), () => {});
    }

    on(name, handler) {
        this.addEventListener(name, (event) => handler(event.detail));
    }

    #say(connection) {
        if (this.connection === connection) return;
        this.connection = connection;
        this.dispatchEvent(new CustomEvent("connection", { detail: connection }));
    }

    #sleep(ms) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            this.#wake = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }
}

// The steps of relief of one request. Some come before its id is known, because nothing of an answer arrives
// while its prompt is read: they wait until it is. onRelief(detail, at) with the time they came at.
export class ReliefEvents {
    #id = "";
    #waiting = [];
    #onRelief;

    constructor(events, signal, onRelief) {
        this.#onRelief = onRelief;
        events.addEventListener("relief", ({ detail }) => {
            this.#waiting.push([detail, performance.now()]);
            if (this.#id) this.#flush();
        }, { signal });
    }

    set id(id) {
        if (this.#id || !id) return;
        this.#id = id;
        this.#flush();
    }

    get id() {
        return this.#id;
    }

    #flush() {
        for (const [detail, at] of this.#waiting.splice(0))
            if (!detail.request || String(detail.request) === this.#id) this.#onRelief(detail, at);
    }
}
