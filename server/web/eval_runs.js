// SPDX-License-Identifier: Apache-2.0
// eval_runs.js - the kept runs of /eval: a table to pick from, and those that were picked side by side.

import { element } from "/web/dom.js";
import { compareChart } from "/web/chart.js";
import { figuresOf } from "/web/figures.js";
import { renderMarkdown } from "/web/markdown.js";
import * as format from "/web/format.js";

const bitsOf = (snug) => snug?.kv?.key_bits ? format.bits(snug.kv) : "";

// What a run is called where several are compared: what is different between them, else when it was.
export function namesOf(runs) {
    const isSame = (of) => new Set(runs.map(of)).size === 1;
    const parts = [(run) => run.title || run.model || "", (run) => run.snug?.strategy || run.strategy || "",
        (run) => bitsOf(run.snug) && `${bitsOf(run.snug)} bits`, (run) => shorten(run.prompt, 28)];
    const different = parts.filter((of) => !isSame(of));
    const names = runs.map((run) => different.map((of) => of(run)).filter(Boolean).join(", "));
    return names.map((name, i) => name && names.indexOf(name) === names.lastIndexOf(name) ? name
        : [name, new Date(runs[i].created).toLocaleTimeString("en-GB")].filter(Boolean).join(", "));
}

const shorten = (text, length) => text.length > length ? `${text.slice(0, length)}…` : text;

// `picked`: a Set of ids, changed by the boxes. `shown`: the id that is in the chart. `actions`: open(id),
// pick().
export function runTable(runs, picked, shown, actions) {
    if (runs.length === 0) return element("p", { class: "help" }, "None yet.");
    const all = element("input", { type: "checkbox", "aria-label": "Pick all", onchange: () => {
        for (const run of runs) all.checked ? picked.add(run.id) : picked.delete(run.id);
        actions.pick();
    } });
    all.checked = runs.every((run) => picked.has(run.id));
    const heads = [all, "Prompt", "Model", "Strategy", "Cache bits", "Tokens", "Tokens/s", "First after",
        "Peak"];
    return element("table", { class: "plain figures" },
        element("caption", { class: "unseen" }, "Kept runs"),
        element("thead", null, element("tr", null, heads.map((head) => element("th", { scope: "col" },
            head)))),
        element("tbody", null, runs.map((run) => row(run, picked, shown, actions))));
}

function row(run, picked, shown, actions) {
    const { snug } = run;
    const box = element("input", { type: "checkbox", "data-id": run.id, "aria-label": `Pick: ${run.prompt}`,
        onchange: () => {
            box.checked ? picked.add(run.id) : picked.delete(run.id);
            actions.pick();
        } });
    box.checked = picked.has(run.id);
    const cells = [box, element("button", { type: "button", class: "run-open", "data-id": run.id,
        title: format.timeOf(run.created), "aria-current": run.id === shown ? "true" : null,
        onclick: () => actions.open(run.id) }, run.prompt), run.title || run.model || "",
    snug?.strategy || run.strategy || "", bitsOf(snug),
    snug ? format.number(snug.generated_tokens) : run.state, snug ? format.rate(snug.tokens_per_second) : "",
    snug ? format.milliseconds(snug.first_token_ms) : "", snug ? format.bytes(snug.measured_peak_bytes) : ""];
    return element("tr", { class: run.id === shown ? "is-shown" : null },
        cells.map((cell) => element("td", null, cell)));
}

// Puts the comparison into `place`.
export function compare(place, runs) {
    const names = namesOf(runs);
    const table = element("table", { class: "plain figures" },
        element("caption", { class: "unseen" }, "Figures, the best of each row marked"),
        element("thead", null, element("tr", null, element("th", { scope: "col" }, ""),
            names.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", null, figureRows(runs)));
    const chart = element("div");
    place.replaceChildren(chart,
        element("div", { class: "table-scroll", tabindex: "0", role: "region",
            "aria-label": "Figures compared" }, table),
        element("div", { class: "answers" }, runs.map((run, i) => answer(run, names[i]))));
    chart.replaceWith(compareChart(runs, names, chart.clientWidth)); // as wide as the table leaves it
}

function figureRows(runs) {
    const lists = runs.map((run) => new Map(figuresOf(run.snug).map((figure) => [figure.name, figure])));
    const order = [...new Set(lists.flatMap((list) => [...list.keys()]))];
    return order.map((name) => {
        const figures = lists.map((list) => list.get(name));
        const values = figures.map((figure) => figure?.value).filter(Number.isFinite);
        const which = figures.find(Boolean).best;
        const best = which === "most" ? Math.max(...values) : which === "least" ? Math.min(...values) : NaN;
        const isTie = new Set(values).size < 2;
        return element("tr", null, element("th", { scope: "row" }, name), figures.map((figure) =>
            element("td", { class: !isTie && figure?.value === best ? "best" : null }, figure?.text || "")));
    });
}

function answer(run, name) {
    const prose = element("div", { class: "prose", tabindex: "0" });
    renderMarkdown(prose, run.text || run.error || "");
    return element("article", null, element("h3", null, name), prose);
}
