// SPDX-License-Identifier: Apache-2.0
// chat_list.js - the list of conversations: by day, with renaming in place and a menu each; and the drawer
// it becomes where there is no room for it.

import { element, find, iconButton } from "/web/dom.js";
import { openMenu } from "/web/feedback.js";
import * as format from "/web/format.js";

// `actions`: open(id), rename(id, title), remove(id), exportAs(id, "json" | "md").
export class ConversationList {
    #actions;
    #current = null;
    #running = new Set();
    #entries = [];

    constructor(node, actions) {
        this.node = node;
        this.#actions = actions;
        node.addEventListener("keydown", (event) => this.#move(event));
    }

    show(summaries, current, running) {
        this.#entries = summaries;
        this.#current = current;
        this.#running = running;
        const focused = this.node.contains(document.activeElement) ? document.activeElement.dataset.id : null;
        const groups = new Map();
        for (const summary of summaries) {
            const day = format.dayName(summary.changed);
            groups.set(day, [...groups.get(day) || [], summary]);
        }
        const nodes = [...groups].map(([day, list]) => element("section", null,
            element("h2", { class: "list-title" }, day),
            element("ul", { class: "plain" }, list.map((summary) => this.#entry(summary)))));
        if (nodes.length === 0) nodes.push(element("p", { class: "help list-title" }, "None yet."));
        this.node.replaceChildren(...nodes);
        if (focused) this.#open(focused)?.focus();
    }

    // The entry to go to when `id` vanishes.
    neighbour(id) {
        const at = this.#entries.findIndex((summary) => summary.id === id);
        return (this.#entries[at + 1] || this.#entries[at - 1])?.id || null;
    }

    focus(id) {
        (this.#open(id) || find("#new")).focus();
    }

    #open(id) {
        return this.node.querySelector(`.entry-open[data-id="${CSS.escape(id || "")}"]`);
    }

    #entry(summary) {
        const actions = this.#actions;
        const isCurrent = summary.id === this.#current;
        const isRunning = this.#running.has(summary.id);
        const open = element("button", { type: "button", class: "entry-open", "data-id": summary.id,
            "aria-current": isCurrent ? "true" : null, title: summary.title,
            "aria-description": isRunning ? "An answer is being written" : null,
            onclick: () => this.#actions.open(summary.id) }, summary.title);
        const more = iconButton("more", `More about ${summary.title}`, () => openMenu(more, "Conversation", [
            { icon: "edit", label: "Rename", action: () => this.#rename(item, summary) },
            { icon: "save", label: "Save as Markdown", action: () => actions.exportAs(summary.id, "md") },
            { icon: "save", label: "Save as JSON", action: () => actions.exportAs(summary.id, "json") },
            { icon: "trash", label: "Delete", isDanger: true, action: () => actions.remove(summary.id) },
        ]), { "aria-haspopup": "true", "aria-expanded": "false" });
        const item = element("li", {
            class: `entry${isCurrent ? " is-current" : ""}${isRunning ? " is-running" : ""}`,
        }, open, more);
        open.addEventListener("dblclick", () => this.#rename(item, summary));
        open.addEventListener("keydown", (event) => {
            if (event.key === "F2") this.#rename(item, summary);
            if (event.key === "Delete") this.#actions.remove(summary.id);
        });
        return item;
    }

    #rename(item, summary) {
        const input = element("input", { value: summary.title, maxlength: "200", "aria-label": "New name",
            autocomplete: "off" });
        let isDone = false;
        const finish = (isKept) => {
            if (isDone) return;
            isDone = true;
            const title = input.value.trim();
            if (isKept && title && title !== summary.title) this.#actions.rename(summary.id, title);
            else this.show(this.#entries, this.#current, this.#running);
            this.focus(summary.id);
        };
        input.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && !event.isComposing) finish(true);
            if (event.key === "Escape") {
                event.stopPropagation();
                finish(false);
            }
        });
        input.addEventListener("blur", () => finish(true));
        item.replaceChildren(input);
        input.focus();
        input.select();
    }

    #move(event) {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step || !event.target.classList.contains("entry-open")) return;
        event.preventDefault();
        const buttons = [...this.node.querySelectorAll(".entry-open")];
        buttons[buttons.indexOf(event.target) + step]?.focus();
    }
}

// The drawer: while it is open nothing else can be reached, and Escape closes it.
export function setUpDrawer() {
    const [drawer, shade, opener] = [find("#drawer"), find("#drawer-shade"), find("#drawer-open")];
    const others = [find("#bar"), find("#main")];
    const narrow = matchMedia("(max-width: 47.99rem)");
    const set = (isOpen) => {
        const wasOpen = drawer.classList.contains("is-open");
        drawer.classList.toggle("is-open", isOpen);
        shade.hidden = !isOpen;
        opener.setAttribute("aria-expanded", String(isOpen));
        for (const other of others) other.inert = isOpen;
        if (isOpen) find("#drawer-close").focus();
        else if (wasOpen) opener.focus();
    };
    opener.addEventListener("click", () => set(true));
    find("#drawer-close").addEventListener("click", () => set(false));
    shade.addEventListener("click", () => set(false));
    drawer.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && drawer.classList.contains("is-open")) set(false);
    });
    narrow.addEventListener("change", () => set(false));
    return { close: () => set(false) };
}
