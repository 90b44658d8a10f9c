// SPDX-License-Identifier: Apache-2.0
// memory.js - the gauge in the bar, and the panel behind it: who limits us and why, memory by use, the
// queue, and the two things an operator may change while the server runs: its strategy and its limit.

import { element, find } from "/web/dom.js";
import { getJson, postJson } from "/web/api.js";
import { Gauge } from "/web/gauge.js";
import { openDialog, speak } from "/web/feedback.js";
import * as format from "/web/format.js";

const useNames = { weights: "Weights (copied)", kv: "Cache of the conversations", scratch: "Computing",
    text: "Tokenizer and text", cache: "Kept beginnings", other: "Other" };
const strategies = {
    conservative: "plans with 85 % of the limit, most exact cache first",
    balanced: "plans with 70 %, cache of 8 bits first",
    aggressive: "plans with 50 %, cache of 5/4 bits first",
};

// Puts the gauge into the page's bar and keeps it moving.
export function placeGauge(events) {
    const button = find("#memory-open");
    const gauge = new Gauge({ isPart: true });
    button.replaceChildren(gauge.node);
    let level = "";
    const show = (memory) => {
        gauge.show(memory);
        button.setAttribute("aria-label", `Memory: ${Gauge.words(memory)}`);
        if (level && level !== memory.level) speak(`Memory pressure is ${memory.level} now.`);
        level = memory.level;
    };
    if (events.memory) show(events.memory);
    events.on("memory", show);
    events.on("connection", (state) => {
        if (state === "lost") gauge.lose();
        else if (events.memory) gauge.show(events.memory);
    });
    button.addEventListener("click", () => openMemoryPanel(events));
}

function openMemoryPanel(events) {
    const abort = new AbortController();
    const { body } = openDialog("Memory", { onClose: () => abort.abort() });
    const gauge = new Gauge();
    const facts = element("p", { class: "help" });
    const rows = element("tbody");
    const queue = element("p", { class: "help" });
    const table = element("table", { class: "plain figures" },
        element("thead", null, element("tr", null, ["In use by", "now", "at most"].map((name) =>
            element("th", { scope: "col" }, name)))), rows);
    const show = (memory) => {
        gauge.show(memory);
        facts.textContent = factsOf(memory);
        rows.replaceChildren(...rowsOf(memory));
        queue.textContent = queueOf(memory.queue);
        find("#limit").placeholder = memory.limit_bytes ? (memory.limit_bytes / 1048576).toFixed(1) : "none";
    };
    body.append(gauge.node, facts, table, queue, strategyField(events), limitForm(events));
    const listen = (event) => show(event.detail);
    events.addEventListener("memory", listen, { signal: abort.signal });
    if (events.memory) show(events.memory);
    getJson("/api/memory", { signal: abort.signal })
        .then((memory) => events.dispatch("memory", memory))
        .catch((error) => {
            if (error.name !== "AbortError") facts.textContent = error.message;
        });
}

function factsOf(memory) {
    const parts = [];
    if (memory.binding) parts.push(`Limited by: ${memory.binding}.`);
    if (memory.predicted_bytes > 0)
        parts.push(`${format.bytes(memory.predicted_bytes)} predicted for what runs.`);
    parts.push(`${format.bytes(memory.peak_bytes)} at the peak.`);
    if (memory.mapped_bytes > 0)
        parts.push(
            `${format.bytes(memory.mapped_bytes)} of weights are mapped besides; the kernel may drop them.`);
    return parts.join(" ");
}

function rowsOf(memory) {
    return (memory.uses || []).map((use) => element("tr", null,
        element("td", null, element("span", { class: "swatch", "data-use": use.name }), useName(use.name)),
        element("td", null, format.bytes(use.bytes)), element("td", null, format.bytes(use.peak_bytes))));
}

export const useName = (name) => useNames[name] || name;

function queueOf(queue) {
    if (!queue) return "";
    if (queue.running + queue.waiting === 0) return "No answer is being written.";
    return `${format.plural(queue.running, "answer is", "answers are")} being written, ` +
        `${queue.waiting} waiting (at most ${queue.capacity}).`;
}

function strategyField(events) {
    const note = element("p", { class: "help", id: "server-strategy-help" });
    const select = element("select", { id: "server-strategy", "aria-describedby": note.id },
        Object.keys(strategies).map((name) => element("option", { value: name }, name)));
    const explain = () => {
        note.textContent =
            `${select.value}: ${strategies[select.value] || ""}. For answers that set none themselves.`;
    };
    select.value = events.memory?.strategy || "balanced";
    explain();
    select.addEventListener("change", async () => {
        try {
            events.dispatch("memory", await postJson("/api/strategy", { strategy: select.value }));
            explain();
        } catch (error) {
            note.textContent = error.message;
        }
    });
    return element("div", { class: "field" },
        element("label", { for: "server-strategy" }, "Strategy of the server"), select, note);
}

// Lowering the limit while answers are written shows what happens when memory gets short.
function limitForm(events) {
    const amount = element("input", { id: "limit", type: "number", min: "1", step: "any",
        inputmode: "decimal",
        "aria-describedby": "limit-help" });
    const note = element("p", { class: "help", id: "limit-help", role: "status" },
        "What does not fit below it is given back step by step, beginning with what costs least.");
    const set = async (bytes) => {
        try {
            const memory = await postJson("/api/limit", { bytes });
            events.dispatch("memory", memory);
            note.textContent = memory.limit_bytes
                ? `The limit is ${format.bytes(memory.limit_bytes)} now.` : "Nothing limits it now.";
        } catch (error) {
            note.textContent = error.message;
        }
    };
    return element("form", { class: "field", onsubmit: (event) => {
        event.preventDefault();
        if (amount.value) set(Math.round(Number(amount.value) * 1048576));
    } },
    element("label", { for: "limit" }, "Limit, in MiB"),
    element("div", { class: "field-row" }, amount, element("button", { class: "button" }, "Set"),
        element("button", { type: "button", class: "button", onclick: () => {
            amount.value = "";
            set(null);
        } }, "Lift")), note);
}
