// SPDX-License-Identifier: Apache-2.0
// chat_view.js - the conversation as it is seen: a node per message, of which only the one that is written
// is touched while it is, at most once a frame; and scrolling that follows the end unless somebody scrolled
// away from it.

import { copyText, element, find, icon, iconButton } from "/web/dom.js";
import { endingOf } from "/web/conversation.js";
import { Markdown } from "/web/markdown.js";
import { speak, toast } from "/web/feedback.js";
import { figuresLine, openFigures } from "/web/figures.js";

const NEAR_END = 48; // pixels
const noticeIcons = { relief: "memory", model: "chip" };

// `actions`: retry(message), edit(message, text), isBusy().
export class ConversationView {
    #nodes = new Map(); // message id -> view with `node` and update()
    #frame = 0;
    #waiting = new Set();
    #isFollowing = true;
    #lastTop = 0;
    #actions;

    constructor(actions) {
        this.#actions = actions;
        this.log = find("#log");
        this.messages = find("#messages");
        this.newest = find("#newest");
        this.log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
        this.newest.addEventListener("click", () => this.follow());
        new ResizeObserver(() => this.#keepAtEnd()).observe(this.messages);
        new ResizeObserver(() => this.#keepAtEnd()).observe(this.log);
    }

    // `answerOf(message)`: the Answer that is writing it, or undefined. `welcome`: what stands where nothing
    // is yet.
    show(conversation, answerOf, welcome) {
        this.#nodes.clear();
        this.#waiting.clear();
        const views = conversation.messages.map((message) => this.#view(message, answerOf(message)));
        this.messages.replaceChildren(...views.length > 0 ? views.map((view) => view.node) : [welcome]);
        this.follow();
    }

    // Draws a message again, in the next frame.
    update(message) {
        this.#waiting.add(message.id);
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            for (const id of this.#waiting) this.#nodes.get(id)?.update();
            this.#waiting.clear();
        });
    }

    // At once, when it is complete: what is on the screen is then what is kept.
    complete(message) {
        this.#nodes.get(message.id)?.complete?.();
    }

    // A notice that came while the conversation is shown.
    insert(conversation, notice) {
        const at = conversation.messages.indexOf(notice);
        const before = this.#nodes.get(conversation.messages[at - 1]?.id);
        if (!before) return;
        before.node.after(this.#view(notice).node);
        speak(notice.text);
    }

    follow() {
        this.#isFollowing = true;
        this.#keepAtEnd();
    }

    #view(message, answer) {
        const view = message.role === "user" ? new UserView(message, this.#actions)
            : message.role === "notice" ? new NoticeView(message)
            : new AnswerView(message, answer, this.#actions);
        this.#nodes.set(message.id, view);
        return view;
    }

    // Only going up lets go of the end: while an answer grows, being away from it for a moment says nothing.
    #onScroll() {
        const { scrollTop, scrollHeight, clientHeight } = this.log;
        const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
        if (isAtEnd) this.#isFollowing = true;
        else if (scrollTop < this.#lastTop) this.#isFollowing = false;
        this.#lastTop = scrollTop;
        this.newest.hidden = isAtEnd || this.#isFollowing;
    }

    #keepAtEnd() {
        if (this.#isFollowing) this.log.scrollTop = this.log.scrollHeight;
    }
}

function copyButton(label, textOf) {
    return iconButton("copy", label, async () => {
        const isCopied = await copyText(textOf());
        toast(isCopied ? "Copied." : "This browser does not let the page copy; select the text instead.");
    });
}

class NoticeView {
    constructor(message) {
        this.node = element("p", { class: `message notice ${message.kind}` },
            icon(noticeIcons[message.kind] || "spark"), element("span", null, message.text));
    }

    update() {}
}

class UserView {
    constructor(message, actions) {
        this.message = message;
        this.actions = actions;
        this.node = element("article", { class: "message user", "aria-label": "You" });
        this.update();
    }

    update() {
        const isLong = this.message.text.length > 1500;
        this.editButton = iconButton("edit", "Edit this message and go on from it", () => this.edit());
        this.node.replaceChildren(element("h2", { class: "unseen" }, "You"),
            element("div", { class: `bubble${isLong ? " is-long" : ""}`, tabindex: isLong ? "0" : null },
                this.message.text),
            element("div", { class: "message-actions" },
                copyButton("Copy this message", () => this.message.text), this.editButton));
    }

    edit() {
        if (this.actions.isBusy()) {
            toast("Stop the answer first; then the message can be edited.");
            return;
        }
        const text = element("textarea", { "aria-label": "The message, edited", rows: "4" });
        text.value = this.message.text;
        const cancel = () => {
            this.update();
            this.editButton.focus();
        };
        const send = () => {
            const edited = text.value.trim();
            if (edited) this.actions.edit(this.message, edited);
        };
        text.addEventListener("keydown", (event) => {
            if (event.key === "Escape") cancel();
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
                event.preventDefault();
                send();
            }
        });
        this.node.replaceChildren(element("div", { class: "editor" }, text,
            element("p", { class: "help" },
                "The conversation goes on from here; what came after is replaced."),
            element("div", { class: "dialog-foot" },
                element("button", { type: "button", class: "button", onclick: cancel }, "Cancel"),
                element("button", { type: "button", class: "button primary", onclick: send }, "Send"))));
        text.focus();
    }
}

class AnswerView {
    constructor(message, answer, actions) {
        Object.assign(this, { message, answer, actions });
        this.prose = element("div", { class: "prose" });
        // What is read out is each block as it is completed, not each word.
        this.markdown = new Markdown(this.prose, answer ? speak : null);
        this.status = element("div", { class: "waiting", role: "status" });
        this.end = element("div");
        this.node = element("article", { class: "message assistant", "aria-label": "Answer" },
            element("h2", { class: "unseen" }, "Answer"), this.prose, this.status, this.end);
        if (answer) this.node.setAttribute("aria-busy", "true");
        this.markdown.update(message.text);
        if (answer) this.update();
        else this.complete();
    }

    update() {
        if (this.message.state !== "streaming") return;
        this.markdown.update(this.message.text);
        const isWaiting = this.message.text === "" && this.answer;
        this.status.hidden = !isWaiting;
        if (!isWaiting || this.status.dataset.text === this.answer.waiting) return;
        this.status.dataset.text = this.answer.waiting;
        this.status.replaceChildren(element("span", { class: "dots", "aria-hidden": "true" },
            element("span"), element("span"), element("span")), this.answer.waiting);
    }

    complete() {
        const { message } = this;
        this.markdown.update(message.text);
        this.markdown.finish();
        this.status.hidden = true;
        this.node.removeAttribute("aria-busy");
        const ending = endingOf(message);
        this.end.replaceChildren(...[
            ending ? element("p", { class: "ending" }, ending.text) : null,
            message.error ? this.#failure() : null,
            this.#actionRow(),
        ].filter(Boolean));
        if (!this.answer) return;
        if (message.error) speak(`Error. ${message.error.message}`);
        else speak(ending ? ending.text : "The answer is complete.");
        this.answer = null;
    }

    #failure() {
        const { message } = this;
        const retry = element("button", { type: "button", class: "button",
            onclick: () => this.actions.retry(message) },
            icon("again"), "Retry");
        const tick = () => {
            const seconds = Math.ceil(((message.retryAt || 0) - Date.now()) / 1000);
            if (seconds > 0 && retry.isConnected) {
                retry.lastChild.data = `Retry (the server asks to wait ${seconds} s)`;
                setTimeout(tick, 1000);
            } else {
                retry.lastChild.data = "Retry";
            }
        };
        setTimeout(tick);
        return element("div", { class: "failure" },
            element("strong", null, icon("warning"), message.text ? "The answer broke off" : "No answer"),
            element("p", null, message.error.message), retry);
    }

    #actionRow() {
        const { message } = this;
        const figures = figuresLine(message.snug);
        return element("div", { class: "message-actions" },
            message.text ? copyButton("Copy this answer", () => message.text) : null,
            message.error ? null : iconButton("again", "Regenerate: answer once more",
                () => this.actions.retry(message)),
            figures ? element("button", {
                type: "button", class: "figures-line figures", "aria-haspopup": "dialog",
                title: "All figures of this answer", onclick: () => openFigures(message.snug),
            }, figures) : null);
    }
}
