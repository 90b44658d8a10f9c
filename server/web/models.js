// SPDX-License-Identifier: Apache-2.0
// models.js - which models there are, whether they fit and why, as the server says; and the dialog to
// choose, load, unload and fetch one.

import { element, icon } from "/web/dom.js";
import { getJson, parseJson, postJson, readEvents, request, ApiError } from "/web/api.js";
import { openDialog, speak } from "/web/feedback.js";
import * as format from "/web/format.js";

// The server's list, asked for when it may have changed. Event: "changed".
export class Models extends EventTarget {
    list = [];
    limit = 0;
    why = "";
    chosen = null; // the best that fits, by the server's plan
    own = null; // what it answers with when no model is named
    #pulls = new Map(); // id -> {fraction, done, total, phase, abort, error}

    constructor(events) {
        super();
        events?.on("model", (event) => {
            if (["loaded", "unloaded", "switched"].includes(event.state)) this.refresh().catch(() => {});
        });
    }

    async refresh() {
        const answer = await getJson("/api/models", { isBackground: true });
        this.list = answer.models || [];
        this.limit = answer.limit_bytes;
        this.chosen = answer.chosen || null;
        this.own = answer.default || null;
        this.why = answer.why || "";
        this.#changed();
    }

    find(id) {
        return this.list.find((model) => model.id === id) || null;
    }

    title(id) {
        return this.find(id)?.title || id || "no model";
    }

    // What answers when nobody chose: the server's own, else one in memory, else the best that is here.
    get preferred() {
        const here = this.list.filter((model) => model.installed);
        const tests = [(model) => model.id === this.own, (model) => model.in_use, (model) => model.loaded,
            (model) => model.id === this.chosen, (model) => model.fits, () => true];
        for (const test of tests) {
            const found = here.find(test);
            if (found) return found.id;
        }
        return null;
    }

    pullOf(id) {
        return this.#pulls.get(id) || null;
    }

    async load(id, isLoaded = true) {
        await postJson(`/api/models/${isLoaded ? "load" : "unload"}`, { model: id });
        await this.refresh();
    }

    cancelPull(id) {
        this.#pulls.get(id)?.abort.abort();
    }

    // Fetches a model; it goes on when the dialog is closed. Its state is in pullOf().
    async pull(id) {
        const pull = { fraction: 0, done: 0, total: 0, phase: "asking", abort: new AbortController(),
            error: "" };
        this.#pulls.set(id, pull);
        this.#changed();
        try {
            const response = await request("/api/models/pull", {
                method: "POST", body: { model: id }, signal: pull.abort.signal,
            });
            for await (const { event, data } of readEvents(response)) {
                const detail = parseJson(data) || {};
                if (event === "error") throw new ApiError(500, detail.error ? detail : { error: detail }, 0);
                if (event !== "progress") continue;
                Object.assign(pull, { phase: detail.phase || "fetching", fraction: detail.fraction || 0,
                    done: detail.done_bytes || 0, total: detail.total_bytes || 0 });
                this.#changed();
            }
            this.#pulls.delete(id);
            speak(`${this.title(id)} is here now.`);
            await this.refresh();
        } catch (error) {
            if (error.name === "AbortError") this.#pulls.delete(id);
            else pull.error = error.message;
            this.#changed();
        }
    }

    #changed() {
        this.dispatchEvent(new CustomEvent("changed"));
    }
}

// `onChoose(id)` is called with the model to use; the dialog closes then.
export function openModels(models, { current, onChoose }) {
    const abort = new AbortController();
    const { dialog, body } = openDialog("Models", { className: "models", onClose: () => abort.abort() });
    const summary = element("p", { class: "help" }, "Asking the server …");
    const onlyFitting = element("input", { type: "checkbox" });
    const lists = element("div", { class: "model-lists" });
    body.append(summary, element("label", { class: "check small" }, onlyFitting, "Only what fits"), lists);

    const choose = (id) => {
        dialog.close();
        onChoose(id);
    };
    // Redrawn as a whole when something changed, and the focus goes back to where it was.
    const draw = () => {
        const focused = document.activeElement?.dataset?.key;
        const open = new Set([...lists.querySelectorAll("details[open]")].map((node) => node.dataset.key));
        summary.textContent = summaryOf(models);
        const shown = models.list.filter((model) => model.fits || !onlyFitting.checked);
        const here = shown.filter((model) => model.installed);
        const away = shown.filter((model) => !model.installed);
        lists.replaceChildren(
            section("On this machine", here, "None yet.", models, current, choose),
            section("To be fetched", away, "None.", models, current, choose));
        for (const details of lists.querySelectorAll("details"))
            details.open = open.has(details.dataset.key);
        const isSame = (node) => node.dataset.key === focused;
        if (focused) [...lists.querySelectorAll("[data-key]")].find(isSame)?.focus();
    };
    models.addEventListener("changed", draw, { signal: abort.signal });
    onlyFitting.addEventListener("change", draw);
    if (models.list.length > 0) draw();
    models.refresh().catch((error) => {
        summary.textContent = error.message;
    });
}

function summaryOf(models) {
    const limit = models.limit ? `${format.bytes(models.limit)} may be used` : "Nothing limits memory here";
    return `${models.why ? `${limit}; ${models.why}` : limit}.`;
}

const sentence = (text) => text
    ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "";

// Sources of the same model stand together; the first of them is shown, the others on request.
function section(title, list, empty, models, current, choose) {
    const groups = new Map();
    for (const model of list) groups.set(model.title, [...groups.get(model.title) || [], model]);
    const rows = [...groups.values()].map(([first, ...others]) => element("li", { class: "model" },
        row(first, models, current, choose),
        others.length === 0 ? null : element("details", { "data-key": `more ${first.id}` },
            element("summary", null, format.plural(others.length, "other source")),
            others.map((model) => row(model, models, current, choose)))));
    return element("section", null, element("h3", { class: "list-title" }, title),
        rows.length === 0 ? element("p", { class: "help" }, empty) : element("ul", { class: "plain" }, rows));
}

function row(model, models, current, choose) {
    const isCurrent = model.id === current;
    const facts = [];
    if (model.need_bytes > 0) facts.push(`needs ${format.bytes(model.need_bytes)}`);
    if (model.file_bytes > 0) facts.push(`${format.bytes(model.file_bytes)} on disk`);
    if (model.longest_tokens > 0) facts.push(`up to ${format.plural(model.longest_tokens, "token")}`);
    if (model.kv?.format) facts.push(`cache ${format.cacheFormat(model.kv)}`);
    return element("div", { class: `model-row${model.fits ? "" : " is-too-large"}` },
        element("div", { class: "model-text" },
            element("p", { class: "model-title" }, element("strong", null, model.title),
                model.weights ? element("span", { class: "tag" }, model.weights) : null,
                tag(model, isCurrent, models)),
            element("p", { class: "help" }, facts.join(" · ")),
            element("p", { class: "help why" }, icon(model.fits ? "check" : "warning"), sentence(model.why)),
            model.repository ? element("p", { class: "help source" }, model.repository) : null),
        element("div", { class: "model-actions" }, actions(model, models, isCurrent, choose)));
}

function tag(model, isCurrent, models) {
    if (isCurrent) return element("span", { class: "tag accent" }, "in use here");
    if (model.loaded) return element("span", { class: "tag accent" }, "loaded");
    if (model.id === models.chosen) return element("span", { class: "tag" }, "best that fits");
    return null;
}

function actions(model, models, isCurrent, choose) {
    const pull = models.pullOf(model.id);
    if (pull && !pull.error) return pullProgress(model, models, pull);
    const nodes = [];
    const button = (label, action, isPrimary = false) => nodes.push(element("button", {
        type: "button", class: `button small${isPrimary ? " primary" : ""}`,
        "data-key": `${label} ${model.id}`,
        "aria-label": `${label} ${model.title}${model.weights ? `, ${model.weights}` : ""}`, onclick: action,
    }, label));
    const problem = element("p", { class: "error-line", role: "alert", hidden: !pull?.error },
        pull?.error || "");
    const attempt = (isLoaded) => (event) => {
        event.target.disabled = true;
        models.load(model.id, isLoaded).catch((error) => {
            event.target.disabled = false;
            problem.hidden = false;
            problem.textContent = error.message;
        });
    };
    if (!model.installed) button(pull ? "Fetch again" : "Fetch", () => models.pull(model.id));
    else if (!isCurrent) button("Use", () => choose(model.id), true);
    if (model.installed && !model.loaded) button("Load", attempt(true));
    if (model.loaded && !isCurrent) button("Unload", attempt(false));
    return [...nodes, problem];
}

function pullProgress(model, models, pull) {
    const amount = pull.total > 0 ? format.bytesOf(pull.done, pull.total) : pull.phase;
    return [
        element("progress", { max: "1", value: pull.total > 0 || pull.fraction > 0 ? pull.fraction : null,
            "aria-label": `Fetching ${model.title}` }),
        element("p", { class: "help figures" }, amount),
        element("button", { type: "button", class: "button small", "data-key": `cancel ${model.id}`,
            onclick: () => models.cancelPull(model.id) }, "Cancel"),
    ];
}
