// SPDX-License-Identifier: Apache-2.0
// markdown_inline.js - emphasis, code, links and breaks within one paragraph, as DOM nodes. The rules are
// CommonMark's (delimiter runs and their pairing); HTML is not among them: a tag is text like any other.
// Built from text nodes and seven kinds of elements, so nothing that was written can become anything else.

import { element } from "/web/dom.js";

const DEEPEST = 40; // emphasis within emphasis, pictures within pictures: what is deeper is text

const PLAIN = /[^\\`*_~[\]!<&\n]+/y;
// (address "title") behind a link's text, and <address>. Bounded, so that hostile text costs little.
const TARGET = "(?:<([^<>\\n]{0,2000})>|([^\\s()<>]*(?:\\([^\\s()]*\\)[^\\s()]*)*))";
const TITLE = "(?:\\s{1,9}(?:\"([^\"]{0,500})\"|'([^']{0,500})'))?";
const DESTINATION = new RegExp(`\\(\\s{0,9}${TARGET}${TITLE}\\s{0,9}\\)`, "y");
const MAIL = "[\\w.+-]{1,64}@[\\w-]{1,63}(?:\\.[\\w-]{1,63}){1,8}";
const AUTOLINK = new RegExp(`<([a-z][a-z0-9+.-]{1,31}:[^\\s<>]{0,2000}|${MAIL})>`, "iy");
const ENTITY = /&(amp|lt|gt|quot|apos|nbsp|#39|hellip|ndash|mdash);/y;
const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/gi;
const entities = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'", "#39": "'", nbsp: "\u00a0",
    hellip: "\u2026", ndash: "\u2013", mdash: "\u2014" };
const isSpace = (c) => c === "" || /\s/.test(c);
const isPunctuation = (c) => /[\p{P}\p{S}]/u.test(c);

// The address as it may be followed, or null. Only what leads to a page or a letter, and says so itself.
export function safeAddress(text) {
    const trimmed = text.trim();
    if (!/^(https?:\/\/|mailto:)/i.test(trimmed)) return null;
    try {
        const address = new URL(trimmed);
        return ["http:", "https:", "mailto:"].includes(address.protocol) ? address.href : null;
    } catch {
        return null;
    }
}

function anchor(href, title, ...children) {
    return element("a", { href, title: title || null, rel: "noopener noreferrer", target: "_blank" },
        ...children);
}

// Appends what `text` means to `parent`.
export function renderInline(parent, text) {
    const parser = new Inline(text);
    parser.run();
    linkAddresses(parser.root, false);
    parent.append(...parser.root.childNodes);
}

class Inline {
    constructor(text) {
        this.text = text;
        this.at = 0;
        this.root = document.createDocumentFragment();
        this.brackets = [];  // open ones: {node, isImage, isActive, delimiter}
        this.delimiter = null; // the newest run of * _ ~ that may still open or close
        this.lastTicks = null;
        this.depths = new WeakMap(); // of elements that hold others
    }

    run() {
        while (this.at < this.text.length) this.step();
        this.pair(null);
    }

    step() {
        const c = this.text[this.at];
        if (c === "\\") this.escape();
        else if (c === "`") this.code();
        else if (c === "*" || c === "_" || c === "~") this.marks(c);
        else if (c === "[") this.open(false);
        else if (c === "!" && this.text[this.at + 1] === "[") this.open(true);
        else if (c === "]") this.close();
        else if (c === "<") this.autolink();
        else if (c === "&") this.entity();
        else if (c === "\n") this.newline();
        else this.say(this.match(PLAIN)?.[0] || c);
    }

    // The pattern at the place we are at, which moves behind it.
    match(pattern) {
        pattern.lastIndex = this.at;
        const found = pattern.exec(this.text);
        if (found) this.matched = pattern.lastIndex;
        return found;
    }

    say(text) {
        this.at += text.length;
        this.put(text);
    }

    put(text) {
        const node = document.createTextNode(text);
        this.root.append(node);
        return node;
    }

    escape() {
        const next = this.text[this.at + 1];
        if (next === "\n") {
            this.at++;
            this.newline();
        } else if (next && /[!-/:-@[-`{-~]/.test(next)) {
            this.put(next);
            this.at += 2;
        } else {
            this.say("\\");
        }
    }

    // A line's end is kept: people and models who write lines mean them (poems, addresses).
    newline() {
        const last = this.root.lastChild;
        if (last?.nodeType === Node.TEXT_NODE) last.data = last.data.trimEnd();
        this.root.append(element("br"));
        this.at++;
        while (this.text[this.at] === " ") this.at++;
    }

    code() {
        const ticks = /`+/y;
        ticks.lastIndex = this.at;
        const run = ticks.exec(this.text)[0];
        const start = this.at + run.length;
        const end = this.ticksAfter(start, run.length);
        if (end < 0) {
            this.say(run);
            return;
        }
        let inside = this.text.slice(start, end).replace(/\n/g, " ");
        if (/^ .* $/.test(inside) && inside.trim() !== "") inside = inside.slice(1, -1);
        this.root.append(element("code", null, inside));
        this.at = end + run.length;
    }

    // Where the next run of exactly so many backticks begins. What is known not to come is not looked for
    // again.
    ticksAfter(start, length) {
        if (!this.lastTicks) {
            this.lastTicks = new Map();
            for (const run of this.text.matchAll(/`+/g)) this.lastTicks.set(run[0].length, run.index);
        }
        if ((this.lastTicks.get(length) ?? -1) < start) return -1;
        const runs = /`+/g;
        runs.lastIndex = start;
        for (let run = runs.exec(this.text); run; run = runs.exec(this.text))
            if (run[0].length === length) return run.index;
        return -1;
    }

    marks(c) {
        let end = this.at;
        while (this.text[end] === c) end++;
        const count = end - this.at;
        const before = this.text.slice(Math.max(0, this.at - 2), this.at).match(/.$/su)?.[0] ?? "";
        const after = this.text.slice(end, end + 2).match(/^./su)?.[0] ?? "";
        const opens = !isSpace(after) && (!isPunctuation(after) || isSpace(before) || isPunctuation(before));
        const closes = !isSpace(before) && (!isPunctuation(before) || isSpace(after) || isPunctuation(after));
        const node = this.put(this.text.slice(this.at, end));
        this.at = end;
        if (c === "~" && count !== 2) return;
        const canOpen = c === "_" ? opens && (!closes || isPunctuation(before)) : opens;
        const canClose = c === "_" ? closes && (!opens || isPunctuation(after)) : closes;
        if (!canOpen && !canClose) return;
        const run = { node, c, count, length: count, canOpen, canClose, previous: this.delimiter,
            next: null };
        if (this.delimiter) this.delimiter.next = run;
        this.delimiter = run;
    }

    open(isImage) {
        const node = this.put(isImage ? "![" : "[");
        this.at += isImage ? 2 : 1;
        this.brackets.push({ node, isImage, isActive: true, delimiter: this.delimiter });
    }

    close() {
        this.at++;
        const isTooDeep = this.brackets.length > DEEPEST;
        const bracket = this.brackets.pop();
        const target = bracket?.isActive && !isTooDeep ? this.match(DESTINATION) : null;
        const href = target ? safeAddress(target[1] ?? target[2]) : null;
        if (!href) {
            this.put("]");
            return;
        }
        this.at = this.matched;
        const link = anchor(href, target[3] ?? target[4]);
        bracket.node.before(link);
        this.pair(bracket.delimiter);
        while (bracket.node.nextSibling) link.append(bracket.node.nextSibling);
        bracket.node.remove();
        // Pictures are not fetched from elsewhere: a link to the picture, with what it shows.
        if (bracket.isImage) link.prepend("Picture: ");
        else for (const outer of this.brackets) outer.isActive &&= outer.isImage;
    }

    autolink() {
        const found = this.match(AUTOLINK);
        const href = found ? safeAddress(/^[^:]+@/.test(found[1]) ? `mailto:${found[1]}` : found[1]) : null;
        if (!href) {
            this.say("<");
            return;
        }
        this.root.append(anchor(href, null, found[1].replace(/^mailto:/i, "")));
        this.at = this.matched;
    }

    entity() {
        const found = this.match(ENTITY);
        if (!found) {
            this.say("&");
            return;
        }
        this.put(entities[found[1]]);
        this.at = this.matched;
    }

    // Pairs the runs of delimiters above `bottom`, as CommonMark's "process emphasis" does.
    pair(bottom) {
        const floor = new Map(); // below what no opener of a kind is to be found
        let closer = bottom ? bottom.next : this.first();
        while (closer) {
            if (!closer.canClose) {
                closer = closer.next;
                continue;
            }
            const kind = `${closer.c}${closer.canOpen}${closer.length % 3}`;
            const opener = this.openerOf(closer, bottom, floor.get(kind));
            if (!opener) {
                floor.set(kind, closer.previous);
                const next = closer.next;
                if (!closer.canOpen) this.drop(closer);
                closer = next;
                continue;
            }
            closer = this.wrap(opener, closer);
        }
        while (this.delimiter && this.delimiter !== bottom) this.drop(this.delimiter);
    }

    first() {
        let run = this.delimiter;
        while (run?.previous) run = run.previous;
        return run;
    }

    openerOf(closer, bottom, floor) {
        for (let run = closer.previous; run && run !== bottom && run !== floor; run = run.previous) {
            if (run.c !== closer.c || !run.canOpen) continue;
            const isOdd = (run.canClose || closer.canOpen) && (run.length + closer.length) % 3 === 0 &&
                (run.length % 3 !== 0 || closer.length % 3 !== 0);
            if (!isOdd) return run;
        }
        return null;
    }

    // Puts what lies between the two into an element; returns the run to look at next.
    wrap(opener, closer) {
        const isDouble = opener.count >= 2 && closer.count >= 2;
        const used = isDouble ? 2 : 1;
        const name = closer.c === "~" ? "del" : isDouble ? "strong" : "em";
        const wrapper = element(name);
        const depth = this.depthBetween(opener.node, closer.node) + 1;
        while (closer.previous !== opener) this.drop(closer.previous);
        if (depth > DEEPEST) {
            const { next } = closer;
            this.drop(opener);
            this.drop(closer);
            return next;
        }
        this.depths.set(wrapper, depth);
        while (opener.node.nextSibling !== closer.node) wrapper.append(opener.node.nextSibling);
        opener.node.after(wrapper);
        for (const run of [opener, closer]) {
            run.count -= used;
            run.node.data = run.node.data.slice(used);
        }
        const next = closer.count > 0 ? closer : closer.next;
        for (const run of [opener, closer]) {
            if (run.count > 0) continue;
            run.node.remove();
            this.drop(run);
        }
        return next;
    }

    depthBetween(first, last) {
        let depth = 0;
        for (let node = first.nextSibling; node !== last; node = node.nextSibling)
            depth = Math.max(depth, this.depths.get(node) || 0);
        return depth;
    }

    drop(run) {
        if (run.previous) run.previous.next = run.next;
        if (run.next) run.next.previous = run.previous;
        else this.delimiter = run.previous;
    }
}

// Addresses that stand in the text as they are.
function linkAddresses(parent, isInLink) {
    parent.normalize();
    for (const node of [...parent.childNodes]) {
        if (node.nodeType === Node.ELEMENT_NODE) {
            if (node.localName !== "code") linkAddresses(node, isInLink || node.localName === "a");
        } else if (!isInLink && node.data.includes("://")) {
            node.replaceWith(...withLinks(node.data));
        }
    }
}

function withLinks(text) {
    const parts = [];
    let from = 0;
    for (const found of text.matchAll(ADDRESS)) {
        let address = found[0].replace(/[.,;:!?'"*_~]+$/, "");
        // A bracket that was opened before the address closes behind it.
        while (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
        const href = safeAddress(address);
        if (!href) continue;
        parts.push(text.slice(from, found.index), anchor(href, null, address));
        from = found.index + address.length;
    }
    parts.push(text.slice(from));
    return parts.filter((part) => part !== "");
}
