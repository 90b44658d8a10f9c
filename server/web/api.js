// SPDX-License-Identifier: Apache-2.0
// api.js - talking to the server this page came from: JSON and event streams, the key, and errors as
// sentences. Streams are read with fetch() and not with EventSource, which cannot send a key.

const KEY = "snug.key";
let askForKey = null; // async (message) => {key, isKept} or null
let asking = null;
let wasDeclined = false; // nobody is asked again for what happens in the background

// What the server said no with. `message` is its sentence; `code` its word; `figures` what it counted.
export class ApiError extends Error {
    constructor(status, body, retryAfter) {
        const error = body && typeof body.error === "object" && body.error ? body.error : {};
        super(error.message || `The server answered with status ${status} and no explanation.`);
        this.status = status;
        this.code = error.code || error.type || "";
        this.figures = error.snug || null;
        this.retryAfter = Number.parseFloat(retryAfter) || 0;
    }
}

// The server could not be asked at all, or stopped in the middle.
export class LostError extends Error {}

export function setKeyDialog(ask) {
    askForKey = ask;
}

function storedKey() {
    try {
        return sessionStorage.getItem(KEY) || localStorage.getItem(KEY) || "";
    } catch {
        return "";
    }
}

function keepKey(key, isKept) {
    try {
        sessionStorage.setItem(KEY, key);
        if (isKept) localStorage.setItem(KEY, key);
        else localStorage.removeItem(KEY);
    } catch {
        // Without storage it is asked for again after a reload.
    }
    memoryKey = key;
}

let memoryKey = "";
const currentKey = () => memoryKey || storedKey();

// One dialog, however many requests were refused at the same moment. False: the user gave none.
async function askOnce(message) {
    if (!askForKey) return false;
    asking ||= askForKey(message).then((answer) => {
        wasDeclined = !answer;
        if (answer) keepKey(answer.key, answer.isKept);
        return Boolean(answer);
    }).finally(() => {
        asking = null;
    });
    return asking;
}

// A Response that is 2xx. Asks for the key when the server wants one, and throws what else went wrong.
export async function request(path, { method = "GET", body, signal, isBackground = false } = {}) {
    for (let attempt = 0; ; attempt++) {
        const key = currentKey();
        const headers = {};
        if (key) headers.Authorization = `Bearer ${key}`;
        if (body !== undefined) headers["Content-Type"] = "application/json";
        let response;
        try {
            response = await fetch(path, {
                method, headers, signal, cache: "no-store", credentials: "omit",
                body: body === undefined ? undefined : JSON.stringify(body),
            });
        } catch (problem) {
            if (problem.name === "AbortError") throw problem;
            throw new LostError("The server cannot be reached. Is it still running?");
        }
        if (response.ok) return response;
        const error = new ApiError(response.status, await response.json().catch(() => null),
            response.headers.get("Retry-After"));
        if (response.status !== 401 || attempt >= 3 || (isBackground && wasDeclined)) throw error;
        // Another request may have been given the key meanwhile; then this one only tries again.
        if (currentKey() === key && !(await askOnce(key ? error.message : ""))) throw error;
    }
}

export const getJson = async (path, options) => (await request(path, options)).json();
export const postJson = (path, body, options) => getJson(path, { ...options, method: "POST", body });

// Server-sent events of a response, one by one: {event, data}, with data as text. Lines may end in CR, LF or
// both, a character may be cut between two reads, and comments keep the line alive; that is all there is to
// the format.
export async function* readEvents(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let event = "message";
    let data = [];
    try {
        for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
            rest = lines.pop();
            for (const line of lines) {
                if (line === "") {
                    if (data.length > 0) yield { event, data: data.join("\n") };
                    event = "message";
                    data = [];
                    continue;
                }
                const colon = line.indexOf(":");
                const field = colon < 0 ? line : line.slice(0, colon);
                const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
                if (field === "data") data.push(text);
                else if (field === "event") event = text;
            }
        }
    } catch (problem) {
        if (problem.name === "AbortError") throw problem;
        throw new LostError("The connection to the server broke off.");
    } finally {
        reader.cancel().catch(() => {});
    }
}

export function parseJson(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}

// An answer of /v1/chat/completions, piece by piece. onText(text, id) for what comes; resolves to {id,
// model, text, finish, snug, usage}; throws ApiError (also one that came in mid-stream) or AbortError.
export async function streamChat(body, { signal, onText, onStart }) {
    const response = await request("/v1/chat/completions", {
        method: "POST", signal,
        body: { ...body, stream: true, stream_options: { include_usage: true } },
    });
    const result = { id: response.headers.get("X-Request-Id") || "", model: "", text: "", finish: null,
        snug: null, usage: null };
    onStart?.(result.id);
    for await (const { event, data } of readEvents(response)) {
        if (data === "[DONE]") return result;
        const chunk = parseJson(data);
        if (!chunk) continue;
        if (event === "error" || chunk.error)
            throw new ApiError(500, chunk.error ? chunk : { error: chunk }, 0);
        result.id ||= chunk.id || "";
        result.model = chunk.model || result.model; // another one may go on
        const choice = chunk.choices?.[0];
        const text = choice?.delta?.content;
        if (text) {
            result.text += text;
            onText(text, result.id);
        }
        if (choice?.finish_reason) result.finish = choice.finish_reason;
        if (chunk.snug) result.snug = chunk.snug;
        if (chunk.usage) result.usage = chunk.usage;
    }
    if (!result.finish)
        throw new LostError("The connection to the server broke off before the answer was complete.");
    return result;
}
