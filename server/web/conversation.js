// SPDX-License-Identifier: Apache-2.0
// conversation.js - what a conversation is: its record in the browser, what of it is sent, and its exports.

import { listOr, newId, numberOr, objectOr, textOr } from "/web/store.js";
import * as format from "/web/format.js";

export const VERSION = 1;
export const UNTITLED = "New conversation";
const TITLE_LENGTH = 60;

// What may be set. What is not is `otherwise`: "adaptive" where the server chooses from its plan, and says
// what it chose. `where` is "request" for a member of OpenAI's request and "snug" for our extension of it.
export const parameterList = [
    { name: "strategy", where: "snug", label: "Strategy", otherwise: "the server's",
        choices: ["conservative", "balanced", "aggressive"],
        help: "How full memory may be planned, and how early some is given back." },
    { name: "temperature", where: "request", label: "Temperature", otherwise: "the model's",
        least: 0, most: 2, step: 0.05,
        help: "0: always the likeliest word. More: more varied." },
    { name: "top_p", where: "request", label: "Top p", otherwise: "the model's",
        least: 0, most: 1, step: 0.01,
        help: "Draw only from the likeliest words that together reach this part." },
    { name: "max_tokens", where: "request", label: "Longest answer", unit: "tokens", otherwise: "no end set",
        least: 1, most: 1000000, step: 1,
        help: "The answer stops after so many tokens, and says that it did." },
    { name: "seed", where: "request", label: "Seed", otherwise: "another each time",
        least: 0, most: 4294967295, step: 1,
        help: "The same seed gives the same answer." },
    { name: "repetition_penalty", where: "snug", label: "Repetition penalty", otherwise: "the model's",
        least: 0.1, most: 2, step: 0.05,
        help: "More than 1: words that were said recently become less likely." },
    { name: "context", where: "snug", label: "Context", unit: "tokens", least: 16, most: 1000000, step: 1,
        help: "Most tokens of conversation and answer; memory is planned for so many." },
    { name: "kv_bits", where: "snug", label: "Cache bits",
        choices: ["16", "8", "6", "5", "4", "3", "8/6", "5/4"],
        help: "Bits for each number the model remembers (keys/values). Fewer: less memory, less exact." },
];

export function newConversation(model = null) {
    const now = Date.now();
    return { version: VERSION, id: newId(), title: UNTITLED, isNamed: false, created: now, changed: now,
        model, system: "", parameters: {}, messages: [] };
}

export const userMessage = (text) => ({ id: newId(), role: "user", text, time: Date.now() });
export const noticeMessage = (kind, text) => ({ id: newId(), role: "notice", kind, text, time: Date.now() });
export const answerMessage = (model) =>
    ({ id: newId(), role: "assistant", text: "", time: Date.now(), state: "streaming", model });

const states = ["streaming", "done", "stopped", "error", "cut"];

// A whole conversation of a parsed record; null if it is none, or of a version that we do not know.
export function checkConversation(value) {
    const record = objectOr(value);
    if (!record || record.version !== VERSION || !/^[\w-]{1,64}$/.test(textOr(record.id))) return null;
    const created = numberOr(record.created, 0);
    return {
        version: VERSION, id: record.id,
        title: textOr(record.title, UNTITLED).slice(0, 200) || UNTITLED,
        isNamed: record.isNamed === true,
        created, changed: numberOr(record.changed, created),
        model: textOr(record.model) || null,
        system: textOr(record.system),
        parameters: checkParameters(record.parameters),
        messages: listOr(record.messages).map(checkMessage).filter(Boolean),
    };
}

function checkParameters(value) {
    const given = objectOr(value, {});
    const checked = {};
    for (const { name, choices, least, most } of parameterList) {
        const set = given[name];
        if (choices ? choices.includes(set) : numberOr(set) !== null && set >= least && set <= most)
            checked[name] = set;
    }
    return checked;
}

function checkMessage(value) {
    const message = objectOr(value);
    if (!message || !["user", "assistant", "notice"].includes(message.role)) return null;
    const base = { id: textOr(message.id) || newId(), role: message.role, text: textOr(message.text),
        time: numberOr(message.time, 0) };
    if (base.role === "user") return base;
    if (base.role === "notice") return { ...base, kind: textOr(message.kind, "note") };
    const error = objectOr(message.error);
    return {
        ...base, model: textOr(message.model) || null,
        state: states.includes(message.state) ? message.state : "done",
        finish: textOr(message.finish) || null,
        error: error ? { message: textOr(error.message, "It failed."), code: textOr(error.code),
            figures: objectOr(error.figures) } : null,
        snug: objectOr(message.snug),
    };
}

export const summarise = ({ id, title, changed, messages }) => ({ id, title, changed,
    count: messages.length });

// A title from what was asked first, unless somebody gave one.
export function nameByFirst(conversation) {
    if (conversation.isNamed) return;
    const first = conversation.messages.find((message) => message.role === "user");
    const text = (first?.text || "").replace(/\s+/g, " ").trim();
    if (text === "") conversation.title = UNTITLED;
    else if (text.length <= TITLE_LENGTH) conversation.title = text;
    else conversation.title = `${text.slice(0, TITLE_LENGTH).replace(/\s+\S*$/, "")} …`;
}

// The body of the request that asks for the next answer, from the messages before `until` (an id; all
// without).
export function requestOf(conversation, model, until = null) {
    const messages = [];
    if (conversation.system.trim() !== "") messages.push({ role: "system", content: conversation.system });
    for (const message of conversation.messages) {
        if (message.id === until) break;
        // An answer that failed before its first word was not said.
        if (message.role === "notice" || (message.role === "assistant" && message.text === "")) continue;
        messages.push({ role: message.role, content: message.text });
    }
    const body = { messages };
    if (model) body.model = model;
    const snug = {};
    for (const { name, where } of parameterList) {
        const value = conversation.parameters[name];
        if (value === undefined || value === null) continue;
        (where === "snug" ? snug : body)[name] = value;
    }
    if (Object.keys(snug).length > 0) body.snug = snug;
    return body;
}

// Why an answer ended, if that is worth a word.
export function endingOf(message) {
    if (message.state === "streaming") return { kind: "stopped", text: "Being written in another tab" };
    if (message.state === "stopped") return { kind: "stopped", text: "Stopped" };
    if (message.state === "cut")
        return { kind: "stopped", text: "Cut off: the page was closed while it was written" };
    if (message.finish !== "length") return null;
    const tokens = message.snug?.generated_tokens;
    const how = message.snug?.stop === "context" ? "The context is full" : "Longest answer reached";
    return { kind: "stopped", text: tokens ? `${how}: cut after ${format.plural(tokens, "token")}` : how };
}

const speakers = { user: "You", assistant: "Snug", notice: "Note" };

export function toMarkdown(conversation) {
    const parts = [`# ${conversation.title}`, `_${format.timeOf(conversation.created)}_`];
    if (conversation.system.trim() !== "") parts.push(`**System**\n\n${conversation.system}`);
    for (const message of conversation.messages) {
        if (message.role === "notice") {
            parts.push(`_${message.text}_`);
            continue;
        }
        const model = message.model ? ` (${message.model})` : "";
        parts.push(`## ${speakers[message.role]}${model}`);
        if (message.text !== "") parts.push(message.text);
        const ending = message.role === "assistant" ? endingOf(message) : null;
        if (ending) parts.push(`_${ending.text}_`);
        if (message.error) parts.push(`_Error: ${message.error.message}_`);
    }
    return `${parts.join("\n\n")}\n`;
}

export const toJson = (conversation) => `${JSON.stringify(conversation, null, 2)}\n`;

// A name for a file, from a title that may hold anything.
export function fileName(title, extension) {
    const plain = title.normalize("NFKD").replace(/[^\w\s-]/g, "").trim().replace(/\s+/g, "-").toLowerCase();
    return `snug-${plain.slice(0, 40) || "conversation"}.${extension}`;
}
