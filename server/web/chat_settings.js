// SPDX-License-Identifier: Apache-2.0
// chat_settings.js - the settings of one conversation: system prompt and parameters. What is empty is
// adaptive: the server chooses, and what it chose for the last answer stands beside the field.

import { element } from "/web/dom.js";
import { parameterList } from "/web/conversation.js";
import { openDialog } from "/web/feedback.js";
import * as format from "/web/format.js";

// What the server chose, in words, from the last answer's figures.
const chosen = {
    strategy: (snug) => snug.strategy,
    context: (snug) => snug.context_tokens && format.plural(snug.context_tokens, "token"),
    kv_bits: (snug) => snug.kv?.key_bits && `${format.bits(snug.kv)} bits`,
};

// "Adaptive", or how much of it is not.
export function settingsName(conversation) {
    const count = Object.keys(conversation.parameters).length;
    const parts = [count === 0 ? "Adaptive" : `Adaptive, ${count} set`];
    if (conversation.system.trim()) parts.push("system prompt");
    return parts.join(" · ");
}

// `onChange()` after each change of `conversation`.
export function openSettings(conversation, onChange) {
    const { body } = openDialog("Settings of this conversation", { className: "sheet" });
    const last = conversation.messages.findLast((message) => message.snug)?.snug;
    const system = element("textarea", { id: "system", "aria-describedby": "system-help" });
    system.value = conversation.system;
    system.addEventListener("input", () => {
        conversation.system = system.value;
        onChange();
    });
    const fields = parameterList.map((parameter) => field(parameter, conversation, last, onChange));
    body.append(element("div", { class: "settings" },
        element("div", { class: "field" }, element("label", { for: "system" }, "System prompt"), system,
            element("p", { class: "help", id: "system-help" },
                "How the model should behave, in all of this conversation.")),
        fields.map(({ node }) => node),
        element("div", { class: "dialog-foot" },
            element("button", { type: "button", class: "button", onclick: () => {
                conversation.parameters = {};
                for (const { clear } of fields) clear();
                onChange();
            } }, "All adaptive"))));
}

function field(parameter, conversation, last, onChange) {
    const { name, label, unit, choices, least, most, step, help, otherwise = "adaptive" } = parameter;
    const id = `set-${name}`;
    const input = choices
        ? element("select", { id, "aria-describedby": `${id}-help` },
            element("option", { value: "" }, otherwise),
            choices.map((choice) => element("option", { value: choice }, choice)))
        : element("input", { id, type: "number", min: least, max: most, step: step === 1 ? 1 : "any",
            inputmode: step === 1 ? "numeric" : "decimal", placeholder: otherwise,
            "aria-describedby": `${id}-help` });
    const value = conversation.parameters[name];
    if (value !== undefined) input.value = String(value);
    input.addEventListener("input", () => {
        input.setCustomValidity("");
        if (input.value === "" && !input.validity.badInput) delete conversation.parameters[name];
        else if (choices) conversation.parameters[name] = input.value;
        else if (input.checkValidity()) conversation.parameters[name] = Number(input.value);
        else return;
        onChange();
    });
    input.addEventListener("change", () => input.reportValidity?.());
    const did = last && chosen[name]?.(last);
    return {
        node: element("div", { class: "field" },
            element("label", { for: id }, unit ? `${label}, in ${unit}` : label), input,
            element("p", { class: "help", id: `${id}-help` }, help, did ? " " : "",
                did ? element("span", { class: "chosen" }, `The last answer: ${did}.`) : null)),
        clear: () => {
            input.value = "";
        },
    };
}
