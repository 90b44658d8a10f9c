// SPDX-License-Identifier: Apache-2.0
// store.js - what the pages keep in the browser: records under one prefix each of localStorage, and
// settings. Reading is tolerant: what is broken, or was made by a newer version, is left as it is, not
// listed and counted. Writing can fail (full, forbidden): then the record lives on in memory, and `problem`
// says so until a write succeeds again.

// `check` makes a whole record of a parsed one (or null, if it is none): see conversation.js and run.js.
// Events: "changed" (detail: id, or null for all) when another tab wrote; "problem" (detail: sentence or
// "").
export class Collection extends EventTarget {
    problem = "";
    unreadable = 0;
    #storage;
    #prefix;
    #check;
    #summarise;
    #what;
    #summaries = new Map();
    #unsaved = new Map(); // id -> record that storage did not take

    constructor({ storage = safeStorage(), prefix, check, summarise, what }) {
        super();
        this.#storage = storage;
        this.#prefix = prefix;
        this.#check = check;
        this.#summarise = summarise;
        this.#what = what;
        this.#readAll();
        globalThis.addEventListener?.("storage", (event) => this.#onStorage(event));
    }

    // The newest first: {id, changed, ...} as `summarise` made them.
    list() {
        return [...this.#summaries.values()].sort((a, b) => b.changed - a.changed);
    }

    // A record of its own, to be changed and saved; null when there is none.
    load(id) {
        const unsaved = this.#unsaved.get(id);
        return unsaved ? structuredClone(unsaved) : this.#read(this.#prefix + id);
    }

    // True when it is kept. False: it lives until the page is closed, and `problem` says why.
    save(record) {
        this.#summaries.set(record.id, this.#summarise(record));
        try {
            this.#storage.setItem(this.#prefix + record.id, JSON.stringify(record));
            this.#unsaved.delete(record.id);
            if (this.#unsaved.size === 0) this.#say("");
            return true;
        } catch (error) {
            this.#unsaved.set(record.id, structuredClone(record));
            this.#say(isFull(error)
                ? "The browser's storage for this page is full: new things last until it is closed. " +
                  `Export or delete ${this.#what} to make room.`
                : `This browser does not let the page keep anything: ${this.#what} last until it is closed.`);
            return false;
        }
    }

    remove(id) {
        this.#summaries.delete(id);
        this.#unsaved.delete(id);
        try {
            this.#storage.removeItem(this.#prefix + id);
        } catch {
            // What cannot be kept cannot be removed either.
        }
    }

    #readAll() {
        this.#summaries.clear();
        this.unreadable = 0;
        for (const key of keysOf(this.#storage)) {
            if (!key.startsWith(this.#prefix)) continue;
            const record = this.#read(key);
            if (record) this.#summaries.set(record.id, this.#summarise(record));
            else this.unreadable++;
        }
        for (const [id, record] of this.#unsaved) this.#summaries.set(id, this.#summarise(record));
    }

    #read(key) {
        try {
            const record = this.#check(JSON.parse(this.#storage.getItem(key)));
            return record && this.#prefix + record.id === key ? record : null;
        } catch {
            return null;
        }
    }

    #onStorage(event) {
        if (event.key !== null && !event.key.startsWith(this.#prefix)) return;
        this.#readAll();
        const id = event.key === null ? null : event.key.slice(this.#prefix.length);
        this.dispatchEvent(new CustomEvent("changed", { detail: id }));
    }

    #say(problem) {
        if (problem === this.problem) return;
        this.problem = problem;
        this.dispatchEvent(new CustomEvent("problem", { detail: problem }));
    }
}

const isFull = (error) => error?.name === "QuotaExceededError" ||
    error?.name === "NS_ERROR_DOM_QUOTA_REACHED";

function keysOf(storage) {
    const keys = [];
    try {
        for (let i = 0; i < storage.length; i++) keys.push(storage.key(i));
    } catch {
        // No storage, no keys.
    }
    return keys;
}

// localStorage, or something that refuses like it where even looking at it is forbidden.
function safeStorage() {
    try {
        return globalThis.localStorage;
    } catch (error) {
        const refuse = () => {
            throw error;
        };
        return { length: 0, key: () => null, getItem: () => null, setItem: refuse, removeItem: refuse };
    }
}

// Small things that are remembered, each under its own key.
export function readSetting(name, fallback = null, storage = safeStorage()) {
    try {
        const text = storage.getItem(`snug.setting.${name}`);
        return text === null ? fallback : JSON.parse(text);
    } catch {
        return fallback;
    }
}

export function writeSetting(name, value, storage = safeStorage()) {
    try {
        if (value === null) storage.removeItem(`snug.setting.${name}`);
        else storage.setItem(`snug.setting.${name}`, JSON.stringify(value));
    } catch {
        // Not remembered; nothing else is lost.
    }
}

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(9)),
    (byte) => "0123456789abcdefghijklmnopqrstuv"[byte % 32]).join("");

// How records are taken apart when they are read: the value if it is of the kind, else the other one.
export const textOr = (value, other = "") => typeof value === "string" ? value : other;
export const numberOr = (value, other = null) =>
    typeof value === "number" && Number.isFinite(value) ? value : other;
export const objectOr = (value, other = null) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? value : other;
export const listOr = (value) => Array.isArray(value) ? value : [];
