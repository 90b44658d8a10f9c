// SPDX-License-Identifier: Apache-2.0
// eval.js - the page /eval: one prompt, one model, one strategy; the answer streams beside a chart of
// memory, figures follow, and each run is kept to be compared.

import { download, element, find, placeIcons } from "/web/dom.js";
import { setKeyDialog } from "/web/api.js";
import { Chart } from "/web/chart.js";
import { parameterList } from "/web/conversation.js";
import { compare, runTable } from "/web/eval_runs.js";
import { ServerEvents } from "/web/events.js";
import { askForKey, speak, toast } from "/web/feedback.js";
import { figuresList } from "/web/figures.js";
import { Markdown, renderMarkdown } from "/web/markdown.js";
import { placeGauge } from "/web/memory.js";
import { Models, openModels } from "/web/models.js";
import { presets } from "/web/presets.js";
import { checkRun, newRun, Recorder, runToJson, summariseRun } from "/web/run.js";
import { Collection, readSetting, writeSetting } from "/web/store.js";
import * as format from "/web/format.js";

const PARAMETERS = ["max_tokens", "temperature", "seed", "context", "kv_bits"];

class Eval {
    recorder = null;
    shown = null; // id of the run that is in chart and figures
    picked = new Set();
    chosenModel = readSetting("eval.model");

    constructor() {
        this.events = new ServerEvents();
        this.models = new Models(this.events);
        this.store = new Collection({ prefix: "snug.run.", check: checkRun, summarise: summariseRun,
            what: "runs" });
        this.chart = new Chart();
        find("#chart").append(this.chart.node);
    }

    start() {
        placeIcons();
        setKeyDialog(askForKey);
        this.#fillForm();
        this.#listen();
        placeGauge(this.events);
        this.events.start();
        this.models.refresh().catch((error) => {
            find("#model-name").textContent = error.message;
        });
        const last = this.store.list()[0];
        if (last) this.open(last.id);
        else this.#showRuns();
    }

    get model() {
        return this.models.find(this.chosenModel) ? this.chosenModel : this.models.preferred;
    }

    #fillForm() {
        find("#preset").append(element("option", { value: "" }, "Presets …"),
            ...presets.map(({ name }, i) => element("option", { value: i }, name)));
        const bits = parameterList.find(({ name }) => name === "kv_bits").choices;
        find("#kv_bits").append(...bits.map((choice) => element("option", null, choice)));
        const form = readSetting("eval.form", {});
        find("#prompt").value = form.prompt || presets[0].prompt;
        for (const name of ["strategy", ...PARAMETERS])
            if (typeof form[name] === "string") find(`#${name}`).value = form[name];
    }

    #listen() {
        find("#preset").addEventListener("change", (event) => {
            const preset = presets[event.target.value];
            if (preset) find("#prompt").value = preset.prompt;
            event.target.value = "";
            find("#prompt").focus();
        });
        find("#setup").addEventListener("submit", (event) => {
            event.preventDefault();
            this.run();
        });
        find("#prompt").addEventListener("keydown", (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("#setup").requestSubmit();
            if (event.key === "Escape") this.recorder?.stop();
        });
        find("#stop").addEventListener("click", () => this.recorder?.stop());
        find("#export").addEventListener("click", () => this.exportPicked());
        find("#delete").addEventListener("click", () => this.deletePicked());
        find("#model-open").addEventListener("click", () => openModels(this.models, {
            current: this.model, onChoose: (id) => {
                this.chosenModel = id;
                writeSetting("eval.model", id);
                this.#showModel();
            },
        }));
        this.models.addEventListener("changed", () => this.#showModel());
        this.store.addEventListener("problem", ({ detail }) => {
            find("#problem").textContent = detail;
            find("#problem").hidden = !detail;
        });
        this.store.addEventListener("changed", () => this.#showRuns());
        this.events.on("connection", (state) => {
            if (state === "open" && this.models.list.length === 0) this.models.refresh().catch(() => {});
        });
        addEventListener("resize", () => this.#showComparison());
    }

    #showModel() {
        find("#model-name").textContent = this.models.title(this.model);
    }

    // What the form says, as members of the request; also remembered for the next visit.
    #readForm() {
        const form = { prompt: find("#prompt").value };
        const parameters = { request: {}, snug: {} };
        for (const name of ["strategy", ...PARAMETERS]) form[name] = find(`#${name}`).value;
        writeSetting("eval.form", form);
        for (const { name, where, choices } of parameterList) {
            if (!PARAMETERS.includes(name) || form[name] === "") continue;
            parameters[where][name] = choices ? form[name] : Number(form[name]);
        }
        return { prompt: form.prompt, strategy: form.strategy || null, parameters };
    }

    async run() {
        if (this.recorder) return;
        const run = newRun({ ...this.#readForm(), model: this.model, title: this.models.title(this.model) });
        const recorder = this.recorder = new Recorder(run, this.events);
        const markdown = new Markdown(this.#clearAnswer(), speak);
        let frame = 0;
        this.shown = run.id;
        this.#setBusy(true);
        recorder.addEventListener("change", () => {
            frame ||= requestAnimationFrame(() => {
                frame = 0;
                markdown.update(run.text);
                find("#answer").scrollTop = find("#answer").scrollHeight;
                this.chart.show(run);
            });
        });
        try {
            await recorder.record();
        } catch (error) {
            Object.assign(run, { state: "error", error: error.message });
        }
        cancelAnimationFrame(frame);
        markdown.update(run.text);
        markdown.finish();
        this.recorder = null;
        this.events.refresh();
        this.#setBusy(false);
        this.store.save(run);
        this.open(run.id, { isNew: true });
        speak(run.error ? `Error. ${run.error}` : `The run is complete: ${find("#figures").textContent}`);
    }

    #clearAnswer() {
        find("#answer").replaceChildren();
        find("#ending").replaceChildren();
        find("#figures").replaceChildren(element("p", { class: "help" },
            "They follow when the answer is complete."));
        return find("#answer");
    }

    #setBusy(isBusy) {
        find("#run").hidden = isBusy;
        find("#stop").hidden = !isBusy;
        find("#answer").toggleAttribute("aria-busy", isBusy);
    }

    // Shows a kept run in answer, chart and figures.
    open(id, { isNew = false } = {}) {
        const run = this.store.load(id);
        if (!run || this.recorder) return;
        this.shown = id;
        if (!isNew) renderMarkdown(this.#clearAnswer(), run.text);
        this.chart.show(run);
        find("#ending").replaceChildren(...endingOf(run));
        find("#figures").replaceChildren(run.snug ? figuresList(run.snug, "columns")
            : element("p", { class: "help" }, "There are none: the answer was not complete."));
        this.#showRuns();
    }

    #showRuns() {
        const runs = this.store.list().sort((a, b) => b.created - a.created);
        for (const id of this.picked) if (!runs.some((run) => run.id === id)) this.picked.delete(id);
        const focused = document.activeElement?.dataset?.id;
        const kind = document.activeElement?.localName;
        find("#runs").replaceChildren(runTable(runs, this.picked, this.shown, {
            open: (id) => {
                this.open(id);
                find("#answer-title").scrollIntoView({ block: "nearest" });
            },
            pick: () => this.#showRuns(),
        }));
        if (focused) find(`#runs ${kind}[data-id="${focused}"]`)?.focus();
        const count = this.picked.size;
        find("#export").disabled = find("#delete").disabled = count === 0;
        find("#export").textContent = count > 0 ? `Export JSON (${count})` : "Export JSON";
        find("#delete").textContent = count > 0 ? `Delete (${count})` : "Delete";
        this.#showComparison();
    }

    #pickedRuns() {
        return [...this.picked].map((id) => this.store.load(id)).filter(Boolean)
            .sort((a, b) => a.created - b.created);
    }

    #showComparison() {
        const runs = this.#pickedRuns();
        const place = find("#comparison");
        place.hidden = runs.length < 2;
        if (runs.length >= 2) compare(find("#compared"), runs);
    }

    exportPicked() {
        const runs = this.#pickedRuns();
        download(`snug-runs-${new Date().toISOString().slice(0, 10)}.json`, "application/json",
            runToJson(runs));
    }

    deletePicked() {
        const runs = this.#pickedRuns();
        for (const run of runs) this.store.remove(run.id);
        this.picked.clear();
        this.#showRuns();
        find("#runs").focus();
        toast(`${format.plural(runs.length, "run")} deleted.`, { undo: () => {
            for (const run of runs) this.store.save(run);
            this.#showRuns();
        } });
    }
}

function endingOf(run) {
    if (run.error)
        return [element("div", { class: "failure", role: "alert" }, element("strong", null,
            run.text ? "The answer broke off" : "No answer"), element("p", null, run.error))];
    if (run.state === "stopped") return [element("p", { class: "ending-line" }, "Stopped.")];
    if (run.finish === "length") return [element("p", { class: "ending-line" },
        "The longest answer was reached.")];
    return [];
}

new Eval().start();
