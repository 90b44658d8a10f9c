// SPDX-License-Identifier: Apache-2.0
// dom.js - making elements without ever going through HTML. Text given here becomes a text node and nothing
// else, so whatever a user or a model wrote stays text. There is no innerHTML anywhere in these pages.

const SVG = "http://www.w3.org/2000/svg";

// element("button", {class: "plain", "aria-label": "Close", onclick: f}, "text", node, ...) A property that
// is false, null or undefined is left out; true makes an empty attribute; a function is a listener.
export function element(name, properties, ...children) {
    return build(document.createElement(name), properties, children);
}

export function svg(name, properties, ...children) {
    return build(document.createElementNS(SVG, name), properties, children);
}

function build(node, properties, children) {
    for (const [key, value] of Object.entries(properties || {})) {
        if (value === false || value === null || value === undefined) continue;
        if (typeof value === "function") node.addEventListener(key.replace(/^on/, ""), value);
        else node.setAttribute(key, value === true ? "" : String(value));
    }
    const isThere = (child) => child !== null && child !== undefined && child !== false;
    node.append(...children.flat().filter(isThere));
    return node;
}

export const find = (selector, within = document) => within.querySelector(selector);

// Shapes on a grid of 24, drawn with a line of 1.75 in the colour of the text.
const shapes = {
    menu: "M4 7h16M4 12h16M4 17h16",
    plus: "M12 5v14M5 12h14",
    close: "M6 6l12 12M18 6L6 18",
    more: "M5.5 12h.01M12 12h.01M18.5 12h.01",
    send: "M12 19V6M6 11.5L12 5.5l6 6",
    stop: "M8 8h8v8H8z",
    copy: "M9 9h10v11H9zM15 9V4H5v11h4",
    check: "M5 12.5l4.5 4.5L19 7.5",
    again: "M19 8a8 8 0 1 0 1 5.5M19.5 3.5V8H15",
    edit: "M5 19l1-4L16.5 4.5l3 3L9 18l-4 1zM14.5 6.5l3 3",
    trash: "M5 7h14M10 7V4.5h4V7M7 7l1 12.5h8L17 7M10.5 10.5v5.5M13.5 10.5v5.5",
    down: "M7 10l5 5 5-5",
    tune: "M4 8h9M17.5 8H20M4 16h2.5M11 16h9M15 5.8v4.4M8.8 13.8v4.4",
    save: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
    sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2" +
        "M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
    moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
    memory: "M5 6h14v12H5zM9 10h6v4H9zM9 6V3.5M15 6V3.5M9 20.5V18M15 20.5V18",
    warning: "M12 4.5l9 15.5H3zM12 10v4.5M12 17.2v.01",
    chip: "M12 3v3M12 18v3M3 12h3M18 12h3M7 7h10v10H7z",
    spark: "M12 4l1.8 6.2L20 12l-6.2 1.8L12 20l-1.8-6.2L4 12l6.2-1.8z",
};

// Icons say nothing to a screen reader: the control around them has a name.
export function icon(name) {
    return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
        svg("path", { d: shapes[name] || shapes.more }));
}

// A button that shows an icon, with its name for those who do not see it.
export function iconButton(name, label, onclick, properties) {
    return element("button", {
        type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...properties,
    }, icon(name));
}

// Fills every <span data-icon="NAME"> of the page with its icon.
export function placeIcons(root = document) {
    for (const place of root.querySelectorAll("[data-icon]")) place.replaceChildren(icon(place.dataset.icon));
}

export async function copyText(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        return false; // not allowed (a page that is not on this machine, without TLS): the caller says so
    }
}

// Hands the browser a file to save.
export function download(name, type, text) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    const link = element("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
}
