// SPDX-License-Identifier: Apache-2.0
// markdown.js - the Markdown that models write, as DOM nodes, made for text that grows: while an answer
// streams, only the block that is being written is built again. What is not finished is shown as if it were
// (an open code block is a code block). Headings, paragraphs, lists (nested, numbered, with boxes), quotes,
// code, tables, rules; HTML is text.

import { copyText, element, iconButton, icon } from "/web/dom.js";
import { renderInline } from "/web/markdown_inline.js";

const FENCE = /^( {0,3})(`{3,}|~{3,}) *([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:( +)(?=\S)|[ \t]*$)/;
const UNDERLINE = /^ {0,3}(=+|-{2,})[ \t]*$/;
const COLUMNS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const DEEPEST = 12; // lists and quotes within each other; deeper ones are text

const isBlank = (line) => /^\s*$/.test(line);
const indentOf = (line) => line.length - line.trimStart().length;

// A view of a text that grows. update(text) is cheap when only the end has changed. onBlock(text) is told
// each block as it is completed, for those who listen instead of looking.
export class Markdown {
    #container;
    #onBlock;
    #shown = []; // {source, node, block}
    #told = 0;

    constructor(container, onBlock = null) {
        this.#container = container;
        this.#onBlock = onBlock;
    }

    update(text) {
        const lines = linesOf(text);
        const blocks = parseBlocks(lines);
        for (const block of blocks) block.source = lines.slice(block.start, block.end).join("\n");
        let same = 0;
        while (same < blocks.length && same < this.#shown.length &&
            blocks[same].source === this.#shown[same].source)
            same++;
        if (!this.#grow(blocks, same)) {
            for (const old of this.#shown.splice(same)) old.node.remove();
            for (const block of blocks.slice(same)) {
                const node = renderBlock(block, 0);
                this.#container.append(node);
                this.#shown.push({ source: block.source, node, block });
            }
        }
        this.#tell(this.#shown.length - 1);
    }

    finish() {
        this.#tell(this.#shown.length);
    }

    // Code that only got longer keeps its element: what is selected in it stays selected.
    #grow(blocks, same) {
        const old = this.#shown[same];
        const block = blocks[same];
        if (same !== this.#shown.length - 1 || same !== blocks.length - 1 || !old) return false;
        if (old.block.type !== "code" || block.type !== "code" || old.block.language !== block.language)
            return false;
        old.node.querySelector("code").textContent = block.lines.join("\n");
        Object.assign(old, { source: block.source, block });
        return true;
    }

    #tell(count) {
        for (; this.#onBlock && this.#told < count; this.#told++) {
            const { node, block } = this.#shown[this.#told];
            this.#onBlock(block.type === "code" ? `Code, ${block.lines.length} lines.` : node.textContent);
        }
    }
}

export function renderMarkdown(container, text) {
    container.replaceChildren();
    new Markdown(container).update(text);
}

const linesOf = (text) => text.replace(/\r\n?/g, "\n").replace(/\0/g, "\ufffd").split("\n")
    .map((line) => line.replace(/\t/g, "    "));

// The blocks of one level; what is within lists and quotes is parsed when it is drawn. Each has `type`,
// `start` and `end` (lines), and what its type needs.
export function parseBlocks(lines) {
    const blocks = [];
    let at = 0;
    while (at < lines.length) {
        if (isBlank(lines[at])) {
            at++;
            continue;
        }
        const block = parseCode(lines, at) || parseHeading(lines, at) || parseRule(lines, at) ||
            parseQuote(lines, at) || parseList(lines, at) || parseTable(lines, at) ||
            parseParagraph(lines, at);
        block.start = at;
        at = block.end;
        blocks.push(block);
    }
    return blocks;
}

function parseCode(lines, start) {
    const opening = FENCE.exec(lines[start]);
    if (!opening || (opening[2][0] === "~" ? false : opening[3].includes("`"))) return null;
    const [, indent, fence, info] = opening;
    const closing = new RegExp(`^ {0,3}${fence[0]}{${fence.length},} *$`);
    let end = start + 1;
    while (end < lines.length && !closing.test(lines[end])) end++;
    const strip = new RegExp(`^ {0,${indent.length}}`);
    const code = lines.slice(start + 1, end).map((line) => line.replace(strip, ""));
    const language = info.trim();
    return { type: "code", language, lines: code, end: Math.min(end + 1, lines.length) };
}

function parseHeading(lines, start) {
    const found = HEADING.exec(lines[start]);
    return found && { type: "heading", level: found[1].length, text: found[2] || "", end: start + 1 };
}

const parseRule = (lines, start) => RULE.test(lines[start]) ? { type: "rule", end: start + 1 } : null;

function parseQuote(lines, start) {
    if (!QUOTE.test(lines[start])) return null;
    const inside = [];
    let end = start;
    for (; end < lines.length && !isBlank(lines[end]); end++) {
        // A line without ">" goes on with the paragraph, unless it begins something of its own.
        if (!QUOTE.test(lines[end]) && interrupts(lines[end])) break;
        inside.push(lines[end].replace(QUOTE, ""));
    }
    return { type: "quote", lines: inside, end };
}

function parseList(lines, start) {
    const first = ITEM.exec(lines[start]);
    if (!first || RULE.test(lines[start])) return null;
    const kind = first[2].slice(-1);
    const list = { type: "list", isNumbered: first[2].length > 1 || /\d/.test(first[2]), items: [],
        isLoose: false };
    list.first = list.isNumbered ? Number.parseInt(first[2], 10) : 1;
    let at = start;
    while (at < lines.length) {
        const marker = ITEM.exec(lines[at]);
        if (!marker || marker[2].slice(-1) !== kind || RULE.test(lines[at])) break;
        const item = parseItem(lines, at, marker);
        list.items.push(item.lines);
        at = item.end;
        let next = at;
        while (next < lines.length && isBlank(lines[next])) next++;
        const following = next < lines.length ? ITEM.exec(lines[next]) : null;
        if (!following || following[2].slice(-1) !== kind) break;
        if (next > at) list.isLoose = true;
        at = next;
    }
    list.end = at;
    list.isLoose ||= list.items.some((item) => item.some((line, i) => i > 0 && isBlank(line) &&
        i + 1 < item.length && indentOf(item[i + 1]) === 0 && !ITEM.test(item[i + 1])));
    return list;
}

// One item: its first line, what is indented below it, and lines that go on with its paragraph.
function parseItem(lines, start, marker) {
    const gap = marker[3] && marker[3].length <= 4 ? marker[3].length : 1;
    const width = marker[1].length + marker[2].length + gap;
    const inside = [lines[start].slice(Math.min(width, lines[start].length))];
    let end = start + 1;
    for (; end < lines.length; end++) {
        const line = lines[end];
        const indent = indentOf(line);
        if (isBlank(line)) {
            inside.push("");
        } else if (indent >= width) {
            inside.push(line.slice(width));
        } else if (indent >= 2 && ITEM.test(line.trimStart())) {
            inside.push(line.trimStart()); // models often indent by less than they should
        } else if (isBlank(lines[end - 1]) || interrupts(line) || ITEM.test(line)) {
            break;
        } else {
            inside.push(line.trimStart());
        }
    }
    while (inside.length > 1 && isBlank(inside[inside.length - 1])) {
        inside.pop();
        end--;
    }
    return { lines: inside, end };
}

function cellsOf(line) {
    const cells = [""];
    let isCode = false;
    const row = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
    for (let i = 0; i < row.length; i++) {
        if (row[i] === "\\" && row[i + 1] === "|") {
            cells[cells.length - 1] += "|";
            i++;
            continue;
        }
        if (row[i] === "`") isCode = !isCode && row.indexOf("`", i + 1) > 0;
        if (row[i] === "|" && !isCode) cells.push("");
        else cells[cells.length - 1] += row[i];
    }
    return cells.map((cell) => cell.trim());
}

function parseTable(lines, start) {
    if (start + 1 >= lines.length || !lines[start].includes("|") || !COLUMNS.test(lines[start + 1]))
        return null;
    const head = cellsOf(lines[start]);
    const columns = cellsOf(lines[start + 1]);
    if (head.length !== columns.length) return null;
    const align = columns.map((cell) =>
        cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "left");
    const rows = [];
    let end = start + 2;
    for (; end < lines.length && !isBlank(lines[end]) && !interrupts(lines[end]); end++)
        rows.push(fit(cellsOf(lines[end]), head.length));
    return { type: "table", head, align, rows, end };
}

// As many cells as there are columns. What is too much is kept in the last.
function fit(cells, count) {
    if (cells.length > count) return [...cells.slice(0, count - 1), cells.slice(count - 1).join(" | ")];
    return [...cells, ...Array(count - cells.length).fill("")];
}

// What begins a block of its own even without an empty line before it.
function interrupts(line) {
    if (HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || FENCE.test(line)) return true;
    const item = ITEM.exec(line);
    return Boolean(item && item[3] && (!/\d/.test(item[2]) || Number.parseInt(item[2], 10) === 1));
}

function parseParagraph(lines, start) {
    let end = start + 1;
    while (end < lines.length && !isBlank(lines[end])) {
        const underline = UNDERLINE.exec(lines[end]);
        if (underline) {
            const text = lines.slice(start, end).join("\n").trim();
            return { type: "heading", level: underline[1][0] === "=" ? 1 : 2, text, end: end + 1 };
        }
        if (interrupts(lines[end])) break;
        end++;
    }
    const text = lines.slice(start, end).map((line) => line.trimStart()).join("\n").trimEnd();
    return { type: "paragraph", text, end };
}

function renderBlock(block, depth) {
    if (block.type === "heading") {
        // The page has headings of its own above: an answer's begin at the third level.
        return inline(`h${Math.min(6, block.level + 2)}`, block.text, `level-${block.level}`);
    }
    if (block.type === "rule") return element("hr");
    if (block.type === "code") return renderCode(block);
    if (block.type === "table") return renderTable(block);
    if (block.type === "paragraph") return inline("p", block.text);
    if (depth >= DEEPEST) return inline("p", (block.lines || block.items.flat()).join("\n"));
    if (block.type === "quote")
        return element("blockquote", null, renderBlocks(block.lines, depth + 1, true));
    return renderList(block, depth);
}

// Tight items have their text without a paragraph around it.
function renderBlocks(lines, depth, isLoose) {
    return parseBlocks(lines).flatMap((block) => {
        if (isLoose || block.type !== "paragraph") return [renderBlock(block, depth)];
        const part = document.createDocumentFragment();
        renderInline(part, block.text);
        return [...part.childNodes];
    });
}

function inline(name, text, className = null) {
    const node = element(name, { class: className });
    renderInline(node, text);
    return node;
}

function renderList(list, depth) {
    const start = list.isNumbered && list.first !== 1 ? list.first : null;
    return element(list.isNumbered ? "ol" : "ul", { start }, list.items.map((lines) => {
        const box = /^\[([ xX])\] +/.exec(lines[0]);
        const inside = box ? [lines[0].slice(box[0].length), ...lines.slice(1)] : lines;
        const item = element("li", { class: box ? "task" : null });
        if (box) {
            const isDone = box[1] !== " ";
            item.append(element("input", { type: "checkbox", disabled: true, checked: isDone,
                "aria-label": isDone ? "done" : "to do" }));
        }
        item.append(...renderBlocks(inside, depth + 1, list.isLoose));
        return item;
    }));
}

function renderCode(block) {
    const code = element("code", null, block.lines.join("\n"));
    const copy = iconButton("copy", "Copy this code", async () => {
        const isCopied = await copyText(code.textContent);
        copy.replaceChildren(icon(isCopied ? "check" : "warning"));
        setTimeout(() => copy.replaceChildren(icon("copy")), 1500);
    });
    return element("div", { class: "code" },
        element("div", { class: "code-head" }, element("span", null, block.language || "text"), copy),
        element("pre", { tabindex: "0", "aria-label": `Code, ${block.language || "text"}` }, code));
}

function renderTable(table) {
    const row = (cells, name) => element("tr", null, cells.map((cell, column) =>
        inline(name, cell, table.align[column] === "left" ? null : `align-${table.align[column]}`)));
    const rows = table.rows.map((cells) => row(cells, "td"));
    const body = rows.length > 0 ? element("tbody", null, rows) : null;
    return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" },
        element("table", null, element("thead", null, row(table.head, "th")), body));
}
