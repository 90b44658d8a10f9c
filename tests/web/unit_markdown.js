// SPDX-License-Identifier: Apache-2.0
// unit_markdown.js - what Markdown becomes, as elements; that hostile text stays text; that a text which
// grows is shown as the whole text would be; that nothing that was written is lost.

import { Markdown, renderMarkdown } from "/web/markdown.js";
import { safeAddress } from "/web/markdown_inline.js";
import { Checks, randomly } from "/web/unit.js";

// Elements with what matters of them: <a href>, <ol start>, checked boxes, alignment. The frame of code is
// left out.
function outline(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const inside = [...node.childNodes].map(outline).join("");
    if (node.classList.contains("code-head")) return "";
    if (node.localName === "div") return inside;
    const name = node.localName;
    let more = node.getAttribute("href") || /align-(\w+)/.exec(node.className)?.[1] || "";
    if (name === "ol" && node.start !== 1) more = node.start;
    if (name === "input") return node.checked ? "[x]" : "[ ]";
    if (inside === "" && !["p", "code", "td"].includes(name)) return `<${name}>`;
    return `<${name}${more && ` ${more}`}>${inside}</${name}>`;
}

function rendered(text) {
    const place = document.createElement("div");
    renderMarkdown(place, text);
    return place;
}

const cases = [
    ["paragraphs", "one\n\n\n two", "<p>one</p><p>two</p>"],
    ["a line's end is kept", "one  \ntwo\\\nthree\nfour", "<p>one<br>two<br>three<br>four</p>"],
    ["emphasis", "*a* _b_ **c** __d__ ***e*** ~~f~~",
        "<p><em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <em><strong>e</strong></em> " +
        "<del>f</del></p>"],
    ["emphasis within emphasis", "*a **b** c* **d *e***",
        "<p><em>a <strong>b</strong> c</em> <strong>d <em>e</em></strong></p>"],
    ["marks within words", "snake_case_name 2*3*4 a**b**c",
        "<p>snake_case_name 2<em>3</em>4 a<strong>b</strong>c</p>"],
    ["marks that are none", "2 * 3 ** 4 _ 5 ~6~", "<p>2 * 3 ** 4 _ 5 ~6~</p>"],
    ["what is not closed is as written", "**bold and `code", "<p>**bold and `code</p>"],
    ["crossing marks", "*a __b* c__", "<p><em>a __b</em> c__</p>"],
    ["code", "`a *b*` ``c`d`` ` e `", "<p><code>a *b*</code> <code>c`d</code> <code>e</code></p>"],
    ["escapes and entities", "\\*a\\* \\q &lt;b&gt; &amp; &nosuch;", "<p>*a* \\q <b> & &nosuch;</p>"],
    ["a link", "[a *b*](https://example.com/x_y_z \"t\")",
        "<p><a https://example.com/x_y_z>a <em>b</em></a></p>"],
    ["a link with brackets", "[a](https://example.com/x_(y))", "<p><a https://example.com/x_(y)>a</a></p>"],
    ["brackets that are no link", "[a] [b](no) [c][d] e](f)", "<p>[a] [b](no) [c][d] e](f)</p>"],
    ["no link in a link", "[a [b](https://example.com/) c](https://example.org/)",
        "<p>[a <a https://example.com/>b</a> c](<a https://example.org/>https://example.org/</a>)</p>"],
    ["addresses",
        "<https://example.com/a> <a@example.com> see https://example.com/b_c_d. (https://example.com/)",
        "<p><a https://example.com/a>https://example.com/a</a> " +
        "<a mailto:a@example.com>a@example.com</a> see " +
        "<a https://example.com/b_c_d>https://example.com/b_c_d</a>. " +
        "(<a https://example.com/>https://example.com/</a>)</p>"],
    ["no address in code", "`https://example.com/`", "<p><code>https://example.com/</code></p>"],
    ["a picture is a link", "![a cat](https://example.com/c.png)",
        "<p><a https://example.com/c.png>Picture: a cat</a></p>"],
    ["headings", "# A #\n### B\nC\n===\n####### D", "<h3>A</h3><h5>B</h5><h3>C</h3><p>####### D</p>"],
    ["a rule", "a\n\n---\n\n* * *", "<p>a</p><hr><hr>"],
    ["a list", "- a\n- b\n  c\n* d", "<ul><li>a</li><li>b<br>c</li></ul><ul><li>d</li></ul>"],
    ["a numbered list", "3. a\n4. b", "<ol 3><li>a</li><li>b</li></ol>"],
    ["lists in lists", "1. a\n   - b\n     - c\n2. d",
        "<ol><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ol>"],
    ["a list indented by less than it should", "1. a\n  - b\n2. c",
        "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"],
    ["a list with space between", "- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"],
    ["a paragraph in an item", "- a\n\n  b\n- c", "<ul><li><p>a</p><p>b</p></li><li><p>c</p></li></ul>"],
    ["code in an item", "- a\n  ```\n  x\n  ```\n- b",
        "<ul><li>a<pre><code>x</code></pre></li><li>b</li></ul>"],
    ["boxes", "- [x] a\n- [ ] b", "<ul><li>[x]a</li><li>[ ]b</li></ul>"],
    ["a number in a text begins no list", "It was\n1986. What a year.",
        "<p>It was<br>1986. What a year.</p>"],
    ["quotes", "> a\nb\n> > c\n\nd",
        "<blockquote><p>a<br>b</p><blockquote><p>c</p></blockquote></blockquote><p>d</p>"],
    ["code blocks", "```c\n*a*\n\n  <b>\n```\nc", "<pre><code>*a*\n\n  <b></code></pre><p>c</p>"],
    ["a code block that is not closed", "~~~\na\n```\nb", "<pre><code>a\n```\nb</code></pre>"],
    ["code with backticks in it", "````\n```\n````", "<pre><code>```</code></pre>"],
    ["a table", "| a | b | c |\n|:-:|--:|---|\n| `x|y` | 1\\|2 |\n| *d* | e | f | g |",
        "<table><thead><tr><th center>a</th><th right>b</th><th>c</th></tr></thead><tbody>" +
        "<tr><td center><code>x|y</code></td><td right>1|2</td><td></td></tr>" +
        "<tr><td center><em>d</em></td><td right>e</td><td>f | g</td></tr></tbody></table>"],
    ["a line with a bar is no table", "a | b\nc | d", "<p>a | b<br>c | d</p>"],
];

const hostile = [
    "<script>window.harmed = 1</script>", "<img src=x onerror=\"window.harmed = 1\">",
    "<b onclick=alert(1)>b</b>",
    "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](\u0001javascript:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)", "[a](vbscript:x)", "[a](//example.com)",
    "[a](/api/limit)",
    "[a](<javascript:alert(1)>)", "<javascript:alert(1)>", "![x](javascript:alert(1))",
    "<svg/onload=alert(1)>",
    "[a](https://example.com/\" onmouseover=\"alert(1))", "<a href=\"javascript:alert(1)\">a</a>",
    "`<img src=x onerror=alert(1)>`", "```<script>\nalert(1)\n```", "| <img src=x> |\n|---|\n| <iframe> |",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "<!-- x --> <?y?> <![CDATA[z]]>",
    "# <style>*{display:none}</style>",
];
const allowed = new Set(("p br em strong del code pre a h3 h4 h5 h6 hr ul ol li input blockquote div span " +
    "button svg path table thead tbody tr th td").split(" "));

function checkHostile(checks) {
    for (const text of hostile) {
        const place = rendered(text);
        document.body.append(place);
        for (const node of place.querySelectorAll("*")) {
            checks.holds(`${text}: made <${node.localName}>`, allowed.has(node.localName));
            const isHandler = ({ name }) => name.startsWith("on");
            checks.holds(`${text}: made a handler`, ![...node.attributes].some(isHandler));
            if (node.localName !== "a") continue;
            checks.holds(`${text}: leads to ${node.href}`, /^(https?|mailto):/.test(node.href));
            checks.is(`${text}: rel`, node.rel, "noopener noreferrer");
        }
        place.remove();
    }
    checks.is("nothing hostile ran", window.harmed, undefined);
    for (const text of ["javascript:1", " javascript:1", "https:", "file:///etc/passwd", "", "mailto",
        "blob:x"])
        checks.is(`the address ${text}`, safeAddress(text), null);
}

const pieces = ["*", "**", "_", "~~", "`", "```\n", "\n", "\n\n", "- ", "1. ", "> ", "# ", "| ", "|---|\n",
    " ", "  ", "    ", "word", "x", "[", "](", ")", "https://example.com/", "<", ">", "&", "\\", "---\n", "é",
    "- [ ] "];

// However it was cut into pieces, a text is shown as the whole would be, at each step.
function checkGrowth(checks, random) {
    for (let round = 0; round < 50; round++) {
        const place = document.createElement("div");
        const view = new Markdown(place);
        let text = "";
        for (let i = 0; i < 40; i++) {
            text += pieces[random(pieces.length)];
            if (random(3) > 0) continue;
            view.update(text);
            const whole = outline(rendered(text));
            checks.count++;
            if (outline(place) !== whole) checks.is(`grown: ${JSON.stringify(text)}`, outline(place), whole);
        }
    }
}

// All letters are still there, in their order.
function checkNothingLost(checks, random) {
    const marks = ["*", "**", "_", "`", "``", "```\n", "~~", "\n", "\n\n", "- ", "> ", "# ", "|", "|---|\n",
        " ", "    ", "1. "];
    for (let round = 0; round < 400; round++) {
        let text = "";
        for (let i = 0; i < 30; i++)
            text += random(2) ? marks[random(marks.length)] : String.fromCharCode(97 + random(26));
        const place = rendered(text);
        // Code without a language is called "text"; that was not written.
        for (const head of place.querySelectorAll(".code-head span"))
            if (head.textContent === "text") head.remove();
        const [kept, written] = [place.textContent, text].map((all) => all.replace(/[^a-z]/g, ""));
        checks.is(`lost: ${JSON.stringify(text)}`, kept, written);
    }
}

// Long and nested without end: it has to come back, and be no deeper than a browser can draw.
function checkExcess(checks) {
    const depthOf = (node) => 1 + Math.max(0, ...[...node.children].map(depthOf));
    const many = {
        stars: "*".repeat(20000) + "a" + "*".repeat(20000),
        opened: "*a ".repeat(5000),
        brackets: "[".repeat(20000),
        closed: "]".repeat(20000),
        pictures: "![".repeat(2000) + "](https://example.com/)".repeat(2000),
        links: "[a](".repeat(5000),
        ticks: Array.from({ length: 300 }, (_, i) => "`".repeat(i + 1)).join(" "),
        quotes: "> ".repeat(20000) + "a",
        lists: "- ".repeat(5000) + "a",
        mixed: "> - ".repeat(3000) + "a",
        nested: Array.from({ length: 400 }, (_, i) => `${"  ".repeat(i)}- a`).join("\n"),
        emphasis: "*a **b ".repeat(5000),
        rows: `|a|b|\n|-|-|\n${"|c|d|\n".repeat(2000)}`,
        angle: "<".repeat(30000),
        tildes: "~~a ".repeat(10000),
        titles: "[a](https://example.com \"".repeat(3000),
        lines: "a\n".repeat(5000),
    };
    for (const [name, text] of Object.entries(many)) {
        const place = rendered(text);
        checks.holds(`${name}: something is shown`, place.textContent.length > 0);
        checks.holds(`${name}: ${depthOf(place)} deep`, depthOf(place) < 100);
    }
}

export function run() {
    const checks = new Checks();
    for (const [name, text, expected] of cases) checks.is(name, outline(rendered(text)), expected);
    checkHostile(checks);
    checkGrowth(checks, randomly(7));
    checkNothingLost(checks, randomly(11));
    checkExcess(checks);
    return checks.result;
}
