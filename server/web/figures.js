// SPDX-License-Identifier: Apache-2.0
// figures.js - what an answer cost, from its `snug` member: in one line, as a list, and as rows to compare.

import { element } from "/web/dom.js";
import { openDialog } from "/web/feedback.js";
import * as format from "/web/format.js";

const stops = { eos: "the model ended it", stop_string: "a stop text came",
    max_tokens: "longest answer reached",
    context: "the context is full", interrupted: "stopped" };

// Everything there is to say: {name, text, value, best}. `best` is which value is better, where one is:
// "most", "least".
export function figuresOf(snug) {
    if (!snug) return [];
    const cached = snug.cached_tokens > 0
        ? `, ${format.number(snug.cached_tokens)} of them known already` : "";
    const rows = [
        ["Answer", format.plural(snug.generated_tokens, "token"), snug.generated_tokens],
        ["Speed", `${format.rate(snug.tokens_per_second)} tokens/s`, snug.tokens_per_second, "most"],
        ["First token after", format.milliseconds(snug.first_token_ms), snug.first_token_ms, "least"],
        ["Prompt", `${format.plural(snug.prompt_tokens, "token")}${cached}`, snug.prompt_tokens],
        ["Prompt read at", `${format.rate(snug.prefill_tokens_per_second)} tokens/s`,
            snug.prefill_tokens_per_second, "most"],
        ["Waited in the queue", format.milliseconds(snug.queue_ms), snug.queue_ms, "least"],
        ["Peak, measured", format.bytes(snug.measured_peak_bytes), snug.measured_peak_bytes, "least"],
        ["Peak, predicted", format.bytes(snug.predicted_peak_bytes), snug.predicted_peak_bytes, "least"],
        ["Strategy", snug.strategy],
        ["Context", format.plural(snug.context_tokens, "token"), snug.context_tokens],
        ["Cache", format.cacheFormat(snug.kv)],
        ["Cache in all", format.bytes(snug.kv?.bytes), snug.kv?.bytes, "least"],
        ["Cache per token", format.bytes(snug.kv?.bytes_per_token), snug.kv?.bytes_per_token, "least"],
        ["Relief steps", format.number(snug.relief?.length || 0), snug.relief?.length || 0, "least"],
        ["Ended because", stops[snug.stop] || snug.stop],
    ];
    return rows.filter(([, text, value]) => text && !(text.includes("unknown") && !Number.isFinite(value)))
        .map(([name, text, value, best]) => ({ name, text, value, best }));
}

// "163 tokens · 4,285/s · first after 1.3 ms · 8 bits"
export function figuresLine(snug) {
    if (!snug) return "";
    const parts = [format.plural(snug.generated_tokens, "token")];
    if (snug.tokens_per_second > 0) parts.push(`${format.rate(snug.tokens_per_second)}/s`);
    if (snug.first_token_ms > 0) parts.push(`first after ${format.milliseconds(snug.first_token_ms)}`);
    if (snug.kv?.key_bits) parts.push(`cache ${format.bits(snug.kv)} bits`);
    return parts.join(" · ");
}

export const figuresList = (snug, className = "") => element("dl",
    { class: `statistics figures ${className}` }, figuresOf(snug).flatMap(
    ({ name, text }) => [element("dt", null, name), element("dd", null, text)]));

export function openFigures(snug) {
    const { body } = openDialog("Figures of this answer", { className: "small" });
    body.append(figuresList(snug));
    const more = [...(snug.relief || []).map((relief) => relief.text || relief.step), ...snug.warnings || []];
    if (more.length === 0) return;
    body.append(element("ul", { class: "help bullets" }, more.map((text) => element("li", null, text))));
}
