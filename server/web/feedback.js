// SPDX-License-Identifier: Apache-2.0
// feedback.js - what a page says back: toasts with an undo, the voice for screen readers, dialogs, menus,
// the question for the key.

import { element, icon, iconButton } from "/web/dom.js";

const TOAST_MS = 8000;

function region(id, properties) {
    let node = document.getElementById(id);
    if (!node) {
        node = element("div", { id, ...properties });
        document.body.append(node);
    }
    return node;
}

// A short message at the bottom. With `undo` it has a button, and it stays while it is looked at.
export function toast(text, { undo = null, undoLabel = "Undo" } = {}) {
    const place = region("toasts", { class: "toasts", role: "status" });
    const node = element("div", { class: "toast" }, element("span", null, text));
    let timer = 0;
    const close = () => {
        clearTimeout(timer);
        node.remove();
    };
    const wait = () => {
        clearTimeout(timer);
        timer = setTimeout(close, TOAST_MS);
    };
    if (undo) {
        node.append(element("button", { type: "button", onclick: () => {
            close();
            undo();
        } }, undoLabel));
    }
    for (const name of ["pointerenter", "focusin"]) node.addEventListener(name, () => clearTimeout(timer));
    for (const name of ["pointerleave", "focusout"]) node.addEventListener(name, wait);
    while (place.childElementCount >= 2) place.firstChild.remove();
    place.append(node);
    wait();
}

// Says something to a screen reader without showing it. Sentences queue up; they are not read over each
// other.
export function speak(text) {
    const voice = region("voice", { class: "unseen", role: "log", "aria-live": "polite",
        "aria-relevant": "additions" });
    if (!text.trim()) return;
    voice.append(element("p", null, text));
    while (voice.childElementCount > 20) voice.firstChild.remove();
}

// An empty dialog with a title and a button to close it: {dialog, body}. It is removed from the page when
// closed. Escape and a press beside it close it too.
export function openDialog(title, { className = "", onClose = null } = {}) {
    const heading = `dialog-${title.toLowerCase().replace(/\W+/g, "-")}`;
    const body = element("div", { class: "dialog-body" });
    const dialog = element("dialog", { class: className, "aria-labelledby": heading },
        element("div", { class: "dialog-head" }, element("h2", { id: heading }, title),
            iconButton("close", "Close", () => dialog.close())), body);
    let isPressOutside = false;
    dialog.addEventListener("pointerdown", (event) => {
        isPressOutside = event.target === dialog && isBeside(dialog, event);
    });
    dialog.addEventListener("click", (event) => {
        if (isPressOutside && event.target === dialog && isBeside(dialog, event)) dialog.close();
    });
    dialog.addEventListener("close", () => {
        dialog.remove();
        onClose?.(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
    return { dialog, body };
}

function isBeside(dialog, event) {
    const box = dialog.getBoundingClientRect();
    return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top ||
        event.clientY > box.bottom;
}

// A menu of buttons below (or above) the one that was pressed: [{icon, label, action, isDanger}].
export function openMenu(button, label, entries) {
    const menu = element("div", { class: "menu", popover: "auto", "aria-label": label, role: "group" });
    for (const entry of entries) {
        const act = () => {
            menu.hidePopover();
            entry.action();
        };
        const className = entry.isDanger ? "danger" : null;
        menu.append(element("button", { type: "button", class: className, onclick: act },
            icon(entry.icon), entry.label));
    }
    button.after(menu);
    menu.showPopover();
    const from = button.getBoundingClientRect();
    const size = menu.getBoundingClientRect();
    const isAbove = from.bottom + size.height + 8 > innerHeight;
    menu.style.top = `${isAbove ? from.top - size.height - 4 : from.bottom + 4}px`;
    menu.style.left = `${Math.max(8, Math.min(from.right - size.width, innerWidth - size.width - 8))}px`;
    button.setAttribute("aria-expanded", "true");
    menu.firstElementChild.focus();
    menu.addEventListener("keydown", (event) => moveWithin(menu, event));
    menu.addEventListener("toggle", (event) => {
        if (event.newState !== "closed") return;
        button.setAttribute("aria-expanded", "false");
        const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
        menu.remove();
        if (hadFocus && button.isConnected) button.focus();
    });
}

function moveWithin(menu, event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const entries = [...menu.children];
    const at = entries.indexOf(document.activeElement);
    entries[(at + step + entries.length) % entries.length].focus();
}

// Asks for the server's key: {key, isKept}, or null when the dialog is closed without one. `problem` is what
// was wrong with the last one.
export function askForKey(problem) {
    return new Promise((resolve) => {
        let answer = null;
        const { dialog, body } = openDialog("This server asks for a key", {
            className: "small", onClose: () => resolve(answer),
        });
        const key = element("input", { id: "key", type: "password", required: true, autocomplete: "off",
            spellcheck: "false", "aria-describedby": "key-help" });
        const keep = element("input", { id: "key-keep", type: "checkbox" });
        const form = element("form", { class: "dialog-body", method: "dialog", onsubmit: () => {
            answer = { key: key.value.trim(), isKept: keep.checked };
        } },
        problem ? element("p", { class: "error-line", role: "alert" }, problem) : null,
        element("div", { class: "field" }, element("label", { for: "key" }, "Key"), key,
            element("p", { id: "key-help", class: "help" },
                "The one the server was started with (--api-key). It is kept until this tab is closed.")),
        element("label", { class: "check" }, keep, "Keep it in this browser"),
        element("div", { class: "dialog-foot" },
            element("button", { class: "button primary" }, "Go on")));
        body.replaceWith(form);
        dialog.addEventListener("cancel", () => {
            answer = null;
        });
        key.focus();
    });
}
