// SPDX-License-Identifier: Apache-2.0
// chat.js - the page /chat: holds the conversations, the one that is looked at and the answers that are
// being written, and connects list, view, field, settings and models. What each of them looks like is in
// their own files.

import { download, element, find, placeIcons } from "/web/dom.js";
import { setKeyDialog } from "/web/api.js";
import { Answer } from "/web/chat_answer.js";
import { ConversationList, setUpDrawer } from "/web/chat_list.js";
import { openSettings, settingsName } from "/web/chat_settings.js";
import { ConversationView } from "/web/chat_view.js";
import * as record from "/web/conversation.js";
import { ServerEvents } from "/web/events.js";
import { askForKey, toast } from "/web/feedback.js";
import { placeGauge } from "/web/memory.js";
import { Models, openModels } from "/web/models.js";
import { Collection, readSetting, writeSetting } from "/web/store.js";
import * as format from "/web/format.js";

const ideas = ["Tell me a story about a dog who finds a red ball.",
    "Tell me a story about two friends and a kite.",
    "Tell me a story about a rainy day."];

class Chat {
    answers = new Map(); // conversation id -> the Answer that is being written
    conversation = null;

    constructor() {
        this.events = new ServerEvents();
        this.models = new Models(this.events);
        this.store = new Collection({ prefix: "snug.chat.", check: record.checkConversation,
            summarise: record.summarise, what: "conversations" });
        this.view = new ConversationView({
            retry: (message) => this.retry(message),
            edit: (message, text) => this.edit(message, text),
            isBusy: () => this.answers.has(this.conversation.id),
        });
        this.list = new ConversationList(find("#list"), {
            open: (id) => this.open(id),
            rename: (id, title) => this.change(id, (one) => Object.assign(one, { title, isNamed: true })),
            remove: (id) => this.remove(id),
            exportAs: (id, kind) => this.exportAs(id, kind),
        });
        this.drawer = setUpDrawer();
        this.text = find("#text");
    }

    start() {
        placeIcons();
        setKeyDialog(askForKey);
        this.#listen();
        this.#open(location.hash.slice(1) || readSetting("conversation"));
        if (this.store.unreadable > 0)
            toast(`${format.plural(this.store.unreadable, "conversation")} could not be read; left as kept.`);
        placeGauge(this.events);
        this.events.start();
        this.#refreshModels();
        this.text.focus();
    }

    #listen() {
        find("#new").addEventListener("click", () => this.open(null));
        find("#composer").addEventListener("submit", (event) => {
            event.preventDefault();
            this.send();
        });
        find("#stop").addEventListener("click", () => this.stop());
        find("#settings").addEventListener("click", () => openSettings(this.conversation, () => {
            this.save(this.conversation);
            this.#showState();
        }));
        find("#model-open").addEventListener("click", () => openModels(this.models, {
            current: this.model, onChoose: (id) => this.chooseModel(id),
        }));
        this.text.addEventListener("keydown", (event) => this.#onKey(event));
        this.text.addEventListener("input", () => this.#showState());
        this.models.addEventListener("changed", () => this.#showState());
        this.store.addEventListener("problem", ({ detail }) => {
            find("#problem").textContent = detail;
            find("#problem").hidden = !detail;
        });
        this.store.addEventListener("changed", ({ detail }) => this.#onOtherTab(detail));
        this.events.on("connection", (state) => {
            if (state === "open" && this.models.list.length === 0) this.#refreshModels();
        });
        addEventListener("popstate", () => this.#open(location.hash.slice(1)));
        // What is half written is kept as it is.
        addEventListener("pagehide", () => {
            for (const answer of this.answers.values()) answer.save();
        });
    }

    #refreshModels() {
        this.models.refresh().catch((error) => {
            find("#model-name").textContent = "no model";
            find("#model-open").title = error.message;
        });
    }

    // The model that would answer now.
    get model() {
        return this.conversation?.model || this.models.preferred;
    }

    get messages() {
        return this.conversation.messages;
    }

    // Opens a conversation (null: a new one) and makes it a step of the browser's history.
    open(id) {
        this.#open(id);
        const address = id ? `#${id}` : location.pathname;
        if (location.hash.slice(1) !== (id || "")) history.pushState(null, "", address);
        this.drawer.close();
        this.text.focus();
    }

    #open(id) {
        const running = this.answers.get(id);
        const stored = running ? null : id && this.store.load(id);
        this.conversation = running?.conversation || stored || record.newConversation();
        // Nobody writes on it any more: the page was closed meanwhile.
        if (stored) {
            for (const message of stored.messages)
                if (message.state === "streaming") message.state = "cut";
        }
        writeSetting("conversation", running || stored ? id : null);
        this.#showAll();
    }

    #showAll() {
        const answer = this.answers.get(this.conversation.id);
        this.view.show(this.conversation, (message) => answer?.message === message ? answer : undefined,
            this.#welcome());
        this.#showList();
        this.#showState();
    }

    #showList() {
        this.list.show(this.store.list(), this.conversation.id, new Set(this.answers.keys()));
    }

    #showState() {
        const { conversation } = this;
        const isBusy = this.answers.has(conversation.id);
        const title = conversation.messages.length > 0 ? conversation.title : "Chat";
        document.title = `${title} - Snug`;
        find("#title").textContent = title;
        find("#send").hidden = isBusy;
        find("#stop").hidden = !isBusy;
        find("#send").disabled = this.text.value.trim() === "";
        find("#settings-name").textContent = settingsName(conversation);
        if (this.models.list.length > 0) find("#model-name").textContent = this.models.title(this.model);
    }

    #welcome() {
        return element("section", { class: "welcome", "aria-label": "Begin" },
            element("h2", null, "What shall we talk about?"),
            element("p", null,
                "Everything stays on this machine: the model runs here, inside the memory there is, " +
                "and conversations are kept in this browser only."),
            element("div", { class: "ideas" }, ideas.map((idea) =>
                element("button", { type: "button", onclick: () => this.send(idea) }, idea))));
    }

    #onKey(event) {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            this.send();
        } else if (event.key === "Escape") {
            this.stop();
        }
    }

    send(text = this.text.value) {
        if (text.trim() === "" || this.answers.has(this.conversation.id)) return;
        if (text === this.text.value) this.text.value = "";
        this.messages.push(record.userMessage(text.trim()));
        this.#answer();
    }

    // Asks for an answer to what the conversation is now.
    #answer() {
        const { conversation } = this;
        const { id } = conversation;
        const message = record.answerMessage(this.model);
        this.messages.push(message);
        record.nameByFirst(conversation);
        const answer = new Answer({ conversation, message, model: this.model, events: this.events,
            save: () => this.save(conversation) });
        this.answers.set(id, answer);
        answer.addEventListener("change", () => this.view.update(message));
        answer.addEventListener("notice", ({ detail }) => {
            if (this.conversation === conversation) this.view.insert(conversation, detail);
        });
        answer.addEventListener("end", () => {
            this.answers.delete(id);
            this.events.refresh();
            this.view.complete(message);
            this.#showList();
            this.#showState();
        });
        this.save(conversation);
        if (location.hash.slice(1) !== id) history.replaceState(null, "", `#${id}`);
        writeSetting("conversation", id);
        this.#showAll();
        answer.run();
        this.text.focus();
    }

    stop() {
        this.answers.get(this.conversation.id)?.stop();
    }

    save(conversation) {
        conversation.changed = Date.now();
        this.store.save(conversation);
        this.#showList();
    }

    // Answers once more. What stood there, and after it, can be had back.
    retry(message) {
        this.#replaceFrom(message, null, "Answering once more.");
    }

    edit(message, text) {
        this.#replaceFrom(message, text, "The message was replaced.");
    }

    #replaceFrom(message, text, said) {
        const { conversation } = this;
        if (this.answers.has(conversation.id)) return;
        const at = this.messages.indexOf(message);
        const isWorthKeeping = message.role === "user" || message.text !== "";
        const before = structuredClone(conversation.messages);
        conversation.messages.length = at;
        if (text !== null) this.messages.push(record.userMessage(text));
        this.#answer();
        if (!isWorthKeeping) return;
        toast(said, { undoLabel: "Bring back what it replaced", undo: () => {
            this.answers.get(conversation.id)?.stop();
            conversation.messages = before;
            this.save(conversation);
            if (this.conversation.id === conversation.id) this.#open(conversation.id);
        } });
    }

    chooseModel(id) {
        if (id === this.model) return;
        const { conversation } = this;
        conversation.model = id;
        if (conversation.messages.length > 0) {
            const last = conversation.messages.at(-1);
            if (last.role === "notice" && last.kind === "model") conversation.messages.pop();
            conversation.messages.push(record.noticeMessage("model",
                `${this.models.title(id)} answers from here on.`));
            this.save(conversation);
        }
        this.#showAll();
    }

    // Changes a conversation, the one that is looked at or another.
    change(id, action) {
        const one = id === this.conversation.id ? this.conversation
            : this.answers.get(id)?.conversation || this.store.load(id);
        if (!one) return;
        action(one);
        this.store.save(one);
        this.#showList();
        this.#showState();
    }

    remove(id) {
        this.answers.get(id)?.stop();
        const removed = id === this.conversation.id ? this.conversation : this.store.load(id);
        if (!removed) return;
        const next = this.list.neighbour(id);
        // A stopped answer saves once more; only then it is taken away.
        setTimeout(() => {
            this.store.remove(id);
            if (id === this.conversation.id) this.#open(next);
            else this.#showList();
            this.list.focus(next);
        });
        toast(`“${removed.title}” was deleted.`, { undo: () => {
            this.store.save(removed);
            this.open(id);
        } });
    }

    exportAs(id, kind) {
        const one = id === this.conversation.id ? this.conversation : this.store.load(id);
        if (!one) return;
        const isJson = kind === "json";
        download(record.fileName(one.title, kind), isJson ? "application/json" : "text/markdown",
            isJson ? record.toJson(one) : record.toMarkdown(one));
    }

    // Another tab wrote. What is written here stays as it is here.
    #onOtherTab(id) {
        const isShown = id === null || id === this.conversation.id;
        if (isShown && !this.answers.has(this.conversation.id)) {
            const stored = this.store.load(this.conversation.id);
            if (stored) {
                this.conversation = stored;
                this.#showAll();
            }
        }
        this.#showList();
    }
}

new Chat().start();
