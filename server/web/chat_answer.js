// SPDX-License-Identifier: Apache-2.0
// chat_answer.js - one answer while it is written: asks for it, adds what comes to its message, notices what
// happens to memory meanwhile, can be stopped, and goes on when another conversation is looked at.

import { ApiError, LostError, streamChat } from "/web/api.js";
import { noticeMessage, requestOf } from "/web/conversation.js";
import { ReliefEvents } from "/web/events.js";
import * as format from "/web/format.js";

const SAVE_MS = 500;
const LEAVING_MS = 250;

// Events: "change" (the message or its waiting text changed), "notice" (detail: a message that was added),
// "end".
export class Answer extends EventTarget {
    waiting = "Asking the server";
    #abort = new AbortController();
    #relief;
    #reliefs = 0;
    #saved = Date.now();

    // `message` is the last of `conversation`, empty; `save()` keeps the conversation.
    constructor({ conversation, message, model, events, save }) {
        super();
        Object.assign(this, { conversation, message, model, save });
        this.#listen(events);
    }

    stop() {
        this.#abort.abort();
    }

    async run() {
        const { message } = this;
        try {
            const result = await streamChat(requestOf(this.conversation, this.model, message.id), {
                signal: this.#abort.signal,
                onStart: (id) => {
                    this.#relief.id = id;
                    this.#wait("Reading the conversation");
                },
                onText: (text, id) => this.#add(text, id),
            });
            Object.assign(message, { state: "done", finish: result.finish, snug: result.snug });
            if (result.model) message.model = result.model;
            this.#addMissing(result.snug?.relief || []);
        } catch (error) {
            // When a page is closed its connections break first. Only if it is still there a moment later
            // was it the server; else the message is kept as it is, half written.
            if (error instanceof LostError) await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
            this.#fail(error);
        }
        this.#abort.abort(); // no more events
        this.save();
        this.dispatchEvent(new CustomEvent("end"));
    }

    #add(text, id) {
        this.#relief.id = id;
        this.message.text += text;
        // Not at each token: a token may take less time than keeping the whole conversation.
        if (Date.now() - this.#saved > SAVE_MS) {
            this.#saved = Date.now();
            this.save();
        }
        this.#changed();
    }

    #fail(error) {
        if (error.name === "AbortError") {
            this.message.state = "stopped";
            return;
        }
        this.message.state = "error";
        const { message, code = "", figures = null } = error;
        this.message.error = { message, code, figures };
        this.message.retryAt = error instanceof ApiError && error.retryAfter > 0
            ? Date.now() + 1000 * error.retryAfter : 0;
    }

    #listen(events) {
        const options = { signal: this.#abort.signal };
        this.#relief = new ReliefEvents(events, this.#abort.signal, (detail) => {
            this.#reliefs++;
            this.#notice("relief", reliefText(detail));
        });
        events.addEventListener("model", ({ detail }) => {
            if (detail.state === "loading") {
                const part = detail.fraction > 0 ? `, ${format.percent(detail.fraction)}` : "";
                this.#wait(`Loading ${detail.model}${part}`);
            } else if (detail.state === "switched" && !detail.request) { // else relief tells it
                this.#notice("model", detail.text || `The model is ${detail.model} now.`);
            }
        }, options);
        events.addEventListener("queue", ({ detail }) => {
            if (detail.waiting > 0 && this.#relief.id === "")
                this.#wait(`In the queue, ${detail.waiting} waiting`);
        }, options);
    }

    // What the events did not tell, because their connection was broken or slower than the answer.
    #addMissing(reliefs) {
        for (const relief of reliefs.slice(this.#reliefs)) this.#notice("relief", reliefText(relief));
        this.#reliefs = Math.max(this.#reliefs, reliefs.length);
    }

    // A notice stands behind the answer it belongs to, after those before it.
    #notice(kind, text) {
        const messages = this.conversation.messages;
        let at = messages.indexOf(this.message) + 1;
        while (messages[at]?.role === "notice") at++;
        const notice = noticeMessage(kind, text);
        messages.splice(at, 0, notice);
        this.dispatchEvent(new CustomEvent("notice", { detail: notice }));
    }

    #wait(text) {
        if (this.message.text !== "" || this.waiting === text) return;
        this.waiting = text;
        this.#changed();
    }

    #changed() {
        this.dispatchEvent(new CustomEvent("change"));
    }
}

// The server's sentence; else one made of the figures.
export function reliefText(relief) {
    if (relief.text) return relief.text;
    const returned = relief.returned_bytes > 0 ? `: ${format.bytes(relief.returned_bytes)}` : "";
    return `Memory was given back (${relief.step || "a step"})${returned}.`;
}
