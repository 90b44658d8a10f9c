// SPDX-License-Identifier: Apache-2.0
// gauge.js - the memory gauge: a bar up to the limit with what is used and what is predicted, marks where
// pressure changes its level, a needle for the pressure itself (of which our own use is only one cause), and
// the same in words.

import { element } from "/web/dom.js";
import * as format from "/web/format.js";

const VOICE_MS = 10000; // a screen reader that has the gauge in focus is not told every byte

export class Gauge {
    #spoken = 0;
    #last = "";

    // `isPart`: within a button, which then carries the words.
    constructor({ isPart = false } = {}) {
        this.used = element("div", { class: "gauge-used" });
        this.predicted = element("div", { class: "gauge-predicted" });
        this.bands = [0, 1, 2].map(() => element("div", { class: "gauge-band" }));
        this.needle = element("div", { class: "gauge-needle" });
        this.amount = element("span", { class: "figures" }, "Memory");
        this.level = element("span", { class: "level" }, "…");
        this.node = element("div", { class: "gauge", ...isPart ? {} : { role: "meter", tabindex: "0",
            "aria-label": "Memory", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0" } },
        element("div", { class: "gauge-track", "aria-hidden": "true" }, this.predicted, this.used,
            ...this.bands),
        this.needle, element("div", { class: "gauge-text", "aria-hidden": "true" }, this.amount, this.level));
        this.isPart = isPart;
    }

    // The words for it all; `memory` as the server says it.
    static words(memory) {
        const ahead = memory.predicted_bytes > 0 ? `, ${format.bytes(memory.predicted_bytes)} predicted` : "";
        return `${format.ofLimit(memory.used_bytes, memory.limit_bytes)} in use${ahead}; ` +
            `pressure ${memory.level}, ${format.percent(memory.usage)}`;
    }

    show(memory) {
        const limit = memory.limit_bytes || Infinity;
        const part = (bytes) => `${Math.min(100, 100 * bytes / limit).toFixed(2)}%`;
        this.node.dataset.level = memory.level;
        this.node.classList.remove("is-lost");
        this.used.style.setProperty("--part", part(memory.used_bytes));
        this.predicted.style.setProperty("--part", part(memory.predicted_bytes || 0));
        this.needle.style.setProperty("--part", `${Math.min(100, 100 * memory.usage).toFixed(2)}%`);
        const bands = memory.bands || [];
        this.bands.forEach((band, i) => {
            band.hidden = !(bands[i] > 0);
            band.style.setProperty("--part", `${100 * bands[i]}%`);
        });
        this.amount.textContent = format.ofLimit(memory.used_bytes, memory.limit_bytes);
        this.level.textContent = memory.level;
        if (!this.isPart) this.#tell(memory);
    }

    #tell(memory) {
        const now = Date.now();
        if (memory.level === this.#last && now - this.#spoken < VOICE_MS) return;
        this.#last = memory.level;
        this.#spoken = now;
        this.node.setAttribute("aria-valuenow", Math.round(100 * memory.usage));
        this.node.setAttribute("aria-valuetext", Gauge.words(memory));
    }

    lose() {
        this.node.classList.add("is-lost");
        this.level.textContent = "no contact";
    }
}
