// SPDX-License-Identifier: Apache-2.0
// chart.js - memory over time as an SVG of our own: areas by use, stacked; the prediction and the limit as
// lines; the bands of pressure as shades below the limit; a mark for what happened. The same as a table, for
// those who read it. Colours come from the style sheet, so that a chart follows the theme.

import { element, svg } from "/web/dom.js";
import { useName } from "/web/memory.js";
import { isOtherLimit } from "/web/run.js";
import * as format from "/web/format.js";

const MARGIN = { top: 26, right: 14, bottom: 26, left: 68 };
const HEIGHT = 300;
const BANDS = [[0.5, "medium"], [0.7, "high"], [0.85, "critical"]];
const order = ["outside", "weights", "text", "other", "cache", "kv", "scratch"];
const marked = ["relief", "pressure", "limit", "model", "error", "stopped"];
const ROWS = 16; // of the table
const NUMBER_WIDTH = 20; // pixels from one number of an event to the next

// What is used but in no use of the ledger: the program itself.
export function usesOf(sample) {
    const inLedger = Object.values(sample.uses).reduce((sum, bytes) => sum + bytes, 0);
    return { ...sample.uses, outside: Math.max(0, sample.used - inLedger) };
}

const highestOf = (run) => Math.max(1, ...run.samples.map((sample) => sample.used),
    run.snug?.measured_peak_bytes || 0);
const predictedOf = (run) => run.snug?.predicted_peak_bytes ||
    Math.max(0, ...run.samples.map((s) => s.predicted));
const lengthOf = (run) => Math.max(1, run.took, ...run.samples.map((sample) => sample.at));

// Round steps of the unit that fits: 1, 2, 5, 10, 20 ... MiB.
export function ticks(most, count) {
    const unit = 1024 ** Math.max(0, Math.floor(Math.log(most) / Math.log(1024)));
    const step = roundStep(most / unit / count) * unit;
    return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

function roundStep(least) {
    const power = 10 ** Math.floor(Math.log10(least));
    return power * [1, 2, 5, 10].find((factor) => factor * power >= least * 0.999);
}

const tickName = (at, most) => most >= 2000 ? `${+(at / 1000).toFixed(2)} s` : `${+at.toFixed(1)} ms`;

// Where a point lies. `width` in pixels, so that text has its own size at any width.
class Scale {
    constructor(width, milliseconds, bytes) {
        Object.assign(this, { width, milliseconds, bytes });
        this.right = width - MARGIN.right;
        this.bottom = HEIGHT - MARGIN.bottom;
    }

    x(at) {
        return MARGIN.left + (this.right - MARGIN.left) * Math.min(1, at / this.milliseconds);
    }

    y(bytes) {
        return this.bottom - (this.bottom - MARGIN.top) * bytes / this.bytes;
    }
}

function axes(scale) {
    const times = roundStep(scale.milliseconds / Math.max(2, Math.floor(scale.width / 120)));
    const nodes = ticks(scale.bytes, 5).map((bytes) => svg("g", { class: "axis" },
        svg("path", { d: `M${MARGIN.left} ${scale.y(bytes).toFixed(1)}H${scale.right}` }),
        svg("text", { x: MARGIN.left - 8, y: scale.y(bytes) + 4, "text-anchor": "end" }, bytes
            ? format.bytes(bytes) : "0")));
    for (let at = 0; at <= scale.milliseconds; at += times)
        nodes.push(svg("text", { class: "axis", x: scale.x(at), y: HEIGHT - 6, "text-anchor": "middle" },
            tickName(at, scale.milliseconds)));
    return nodes;
}

// Stretches of time with the same limit: it may be lowered and lifted while an answer is written.
function limitsOf(samples, end) {
    const stretches = [];
    for (const { at, limit } of samples) {
        const last = stretches.at(-1);
        if (last && !isOtherLimit(last.limit, limit)) continue;
        if (last) last.to = at;
        stretches.push({ limit, from: at, to: end });
    }
    return stretches;
}

function limitShades(scale, stretches) {
    return stretches.filter(({ limit }) => limit > 0 && limit <= scale.bytes).flatMap(({ limit, from, to }) =>
        BANDS.map(([part, level], i) => {
            const top = scale.y(limit * (BANDS[i + 1]?.[0] || 1));
            return svg("rect", { class: `band ${level}`, x: scale.x(from),
                width: scale.x(to) - scale.x(from), y: top,
                height: Math.max(0, scale.y(limit * part) - top) });
        }));
}

function limitLine(scale, stretches) {
    const seen = stretches.filter(({ limit }) => limit > 0 && limit <= scale.bytes);
    if (seen.length === 0) return [];
    const path = seen.map(({ limit, from, to }, i) => {
        const y = scale.y(limit).toFixed(1);
        return `${i > 0 && seen[i - 1].to === from ? `V${y}` : `M${scale.x(from).toFixed(1)} ${y}`}` +
            `H${scale.x(to).toFixed(1)}`;
    });
    const { limit } = seen.at(-1);
    return [svg("path", { class: "limit", d: path.join("") }),
        svg("text", { class: "limit-name", x: scale.right, y: scale.y(limit) - 5, "text-anchor": "end" },
            `limit ${format.bytes(limit)}`)];
}

function areas(scale, samples) {
    const stacks = samples.map((sample) => usesOf(sample));
    const names = [...new Set([...order, ...stacks.flatMap(Object.keys)])]
        .filter((name) => stacks.some((uses) => uses[name] > 0));
    const below = samples.map(() => 0);
    return names.map((name) => {
        const bottom =
            below.map((bytes, i) => `${scale.x(samples[i].at).toFixed(1)} ${scale.y(bytes).toFixed(1)}`);
        samples.forEach((_, i) => {
            below[i] += stacks[i][name] || 0;
        });
        const top =
            below.map((bytes, i) => `${scale.x(samples[i].at).toFixed(1)} ${scale.y(bytes).toFixed(1)}`);
        return svg("path", { class: "area", "data-use": name,
            d: `M${top.join("L")}L${bottom.reverse().join("L")}Z` });
    });
}

// Lines with numbers on top; where several things happened at once the numbers stand beside each other.
function marks(scale, events) {
    const shown = events.filter(({ kind }) => marked.includes(kind));
    const places = shown.map(({ at }) => scale.x(at));
    for (let i = 1; i < places.length; i++) places[i] = Math.max(places[i], places[i - 1] + NUMBER_WIDTH);
    for (let i = places.length - 1, right = scale.right; i >= 0; i--, right -= NUMBER_WIDTH)
        places[i] = Math.min(places[i], right);
    const first = events.filter(({ kind }) => kind === "first").map(({ at }) =>
        svg("path", { class: "first", d: `M${scale.x(at).toFixed(1)} ${MARGIN.top}V${scale.bottom}` }));
    return [...first, ...shown.flatMap(({ kind, at }, i) => [
        svg("path", { class: `mark ${kind}`,
            d: `M${places[i].toFixed(1)} 22L${scale.x(at).toFixed(1)} ${MARGIN.top + 2}V${scale.bottom}` }),
        svg("circle", { class: `mark ${kind}`, cx: places[i], cy: 14, r: 9 }),
        svg("text", { class: "mark-number", x: places[i], y: 18, "text-anchor": "middle" }, String(i + 1)),
    ])];
}

// A chart of one run, drawn again as it grows: `node` to place, show(run) to draw.
export class Chart {
    #run = null;

    constructor() {
        this.picture = element("div", { class: "chart-picture" });
        this.legend = element("ul", { class: "plain legend small" });
        this.readout = element("p", { class: "help figures readout" });
        this.happened = element("ol", { class: "happened small" });
        this.table = element("table", { class: "plain figures" });
        this.details = element("details", null, element("summary", null, "As a table"),
            element("div", { class: "table-scroll", tabindex: "0", role: "region",
                "aria-label": "Memory over time" },
                this.table));
        this.node = element("div", { class: "chart" }, this.picture, this.readout, this.legend, this.happened,
            this.details);
        new ResizeObserver(() => this.#draw()).observe(this.picture);
        this.picture.addEventListener("pointermove", (event) => this.#read(event.offsetX));
        this.picture.addEventListener("pointerleave", () => this.#read(null));
        this.details.addEventListener("toggle", () => this.#fillTable());
    }

    show(run) {
        this.#run = run;
        this.#draw();
        if (this.details.open) this.#fillTable();
    }

    #draw() {
        const run = this.#run;
        const width = Math.max(280, Math.round(this.picture.clientWidth));
        if (!run || run.samples.length === 0) {
            this.picture.replaceChildren(element("p", { class: "help chart-empty" },
                "Memory by use is drawn here while an answer is written."));
            return;
        }
        const highest = Math.max(highestOf(run), predictedOf(run));
        const limits = run.samples.map((sample) => sample.limit).filter((bytes) => bytes > 0 &&
            bytes <= 2.5 * highest);
        const scale = this.scale = new Scale(width, lengthOf(run), 1.08 * Math.max(highest, ...limits));
        const stretches = limitsOf(run.samples, scale.milliseconds);
        this.picture.replaceChildren(svg("svg", {
            role: "img", "aria-label": summaryOf(run), viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT,
        }, limitShades(scale, stretches), areas(scale, run.samples), axes(scale), limitLine(scale, stretches),
        this.#prediction(scale, run), marks(scale, run.events), svg("path", { class: "pointer", d: "" })));
        this.legend.replaceChildren(...legendOf(run));
        this.happened.replaceChildren(...run.events.filter((event) => marked.includes(event.kind)).map(
            (event) =>
            element("li", { class: event.kind }, `${format.milliseconds(event.at)}: ${event.text}`)));
        this.#read(null);
    }

    #prediction(scale, run) {
        const predicted = predictedOf(run);
        if (!predicted) return null;
        return svg("path", { class: "predicted",
            d: `M${MARGIN.left} ${scale.y(predicted).toFixed(1)}H${scale.right}` });
    }

    // What it was where the pointer is; without a pointer, what the picture says as a whole.
    #read(x) {
        const run = this.#run;
        if (!run?.samples.length) return;
        const pointer = this.picture.querySelector(".pointer");
        if (x === null || !pointer) {
            pointer?.setAttribute("d", "");
            this.readout.textContent = summaryOf(run);
            return;
        }
        const distance = (sample) => Math.abs(this.scale.x(sample.at) - x);
        const sample = run.samples.reduce((best, one) => distance(one) < distance(best) ? one : best);
        pointer.setAttribute("d", `M${this.scale.x(sample.at)} ${MARGIN.top}V${this.scale.bottom}`);
        const parts = Object.entries(sample.uses).filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1])
            .slice(0, 3).map(([name, bytes]) => `${name} ${format.bytes(bytes)}`);
        this.readout.textContent =
            `${format.milliseconds(sample.at)}: ${format.bytes(sample.used)} (${parts.join(", ")})`;
    }

    #fillTable() {
        const run = this.#run;
        if (!this.details.open || !run?.samples.length) return;
        const step = Math.max(1, Math.ceil(run.samples.length / ROWS));
        const shown = run.samples.filter((_, i) => i % step === 0 || i === run.samples.length - 1);
        const names = order.filter((name) => shown.some((sample) => usesOf(sample)[name] > 0));
        const cells = (name, values) => element("tr", null, values.map((value) =>
            element(name, name === "th" ? { scope: "col" } : null, value)));
        this.table.replaceChildren(
            element("caption", { class: "unseen" }, summaryOf(run)),
            element("thead", null, cells("th", ["Time", "In use", ...names.map(shortName)])),
            element("tbody", null, shown.map((sample) => cells("td", [
                format.milliseconds(sample.at), format.bytes(sample.used),
                ...names.map((name) => format.bytes(usesOf(sample)[name] || 0)),
            ]))));
    }
}

const shortName = (name) => name === "outside" ? "Program" : name;
const longName = (name) => name === "outside" ? "The program itself" : useName(name);

function legendOf(run) {
    const names = order.filter((name) => run.samples.some((sample) => usesOf(sample)[name] > 0));
    const items = names.reverse().map((name) => element("li", null,
        element("span", { class: "swatch", "data-use": name }), longName(name)));
    if (predictedOf(run)) items.push(element("li", null, element("span",
        { class: "swatch-line predicted" }), "Predicted"));
    return items;
}

export function summaryOf(run) {
    const limit = run.samples.at(-1)?.limit;
    const predicted = predictedOf(run);
    return `At most ${format.bytes(highestOf(run))} in ${format.milliseconds(lengthOf(run))}` +
        `${predicted ? `, ${format.bytes(predicted)} predicted` : ""}` +
        `${limit ? `; limit ${format.bytes(limit)}` : ""}.`;
}

// Several runs in one picture: the whole of each as a line, on the same scale. `names[i]` of runs[i].
export function compareChart(runs, names, width) {
    const highest = Math.max(...runs.map((run) => Math.max(highestOf(run), predictedOf(run))));
    const scale = new Scale(Math.max(280, width), Math.max(...runs.map(lengthOf)), 1.08 * highest);
    const lines = runs.map((run, i) => {
        const points =
            run.samples.map((sample) =>
            `${scale.x(sample.at).toFixed(1)} ${scale.y(sample.used).toFixed(1)}`);
        const reliefs = run.events.filter((event) => event.kind === "relief").map((event) =>
            svg("circle", { class: `line-${i % 4} dot`, cx: scale.x(event.at),
                cy: scale.y(usedAt(run, event.at)), r: 4 }));
        return svg("g", null, svg("path", { class: `line line-${i % 4}`, d: `M${points.join("L")}` }),
            reliefs);
    });
    return element("figure", { class: "chart" },
        svg("svg", { role: "img", "aria-label": runs.map((run, i) => `${names[i]}: ${summaryOf(run)}`).join(
            " "),
            viewBox: `0 0 ${scale.width} ${HEIGHT}`, height: HEIGHT }, axes(scale), lines),
        element("figcaption", null, element("ul", { class: "plain legend small" }, names.map((name, i) =>
            element("li", null, element("span", { class: `swatch-line line-${i % 4}` }), name)))));
}

function usedAt(run, at) {
    return run.samples.reduce((best, one) => Math.abs(one.at - at) < Math.abs(best.at - at) ? one
        : best).used;
}
