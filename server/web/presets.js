// SPDX-License-Identifier: Apache-2.0
// presets.js - prompts to measure with: short ones, and long ones that fill the cache. The long ones are
// made here from a few names and things, the same each time, so that runs can be compared.

const names = ["Anna", "Ben", "Lily", "Max", "Sue", "Tom", "Rose", "Leo"];
const places = ["garden", "kitchen", "forest", "barn", "library", "cellar", "beach", "tent"];
const things = ["red ball", "kite", "little boat", "box of paints", "drum", "toy train", "lantern", "book"];

// The i-th small story of three sentences.
function story(i) {
    const pick = (list, step) => list[(i * step + (i >> 3)) % list.length];
    const [first, second] = [pick(names, 1), pick(names, 3)];
    const other = second === first ? names[(names.indexOf(first) + 1) % names.length] : second;
    const thing = pick(things, 7);
    return `One day, ${first} went to the ${pick(places, 5)} and found a ${thing}. ${other} wanted to play ` +
        `too, so they shared the ${thing} until the sun went down. They were tired and happy, and ` +
        `${first} said that it was the best day of the week.`;
}

const stories = (count) => Array.from({ length: count }, (_, i) => story(i)).join("\n\n");

const facts =
    "Leo is in the library.\nLily is in the tent.\nAnna is in the kitchen.\nSue is in the cellar.\n";

export const presets = [
    { name: "A short story", prompt: "Tell me a story about a dog who finds a red ball." },
    { name: "Two friends",
        prompt: "Tell me a story about two friends who build a kite together on a windy day." },
    { name: "A question about facts", prompt: `${facts}Where is Sue?` },
    { name: "A fact, then a long text", prompt: `${facts}\n${stories(12)}\n\nWhere is Sue?` },
    { name: "A long text to go on with", prompt: `${stories(30)}\n\nTell me a story like these.` },
    { name: "An explanation",
        prompt: "Explain how a refrigerator works to a ten-year-old, in five short paragraphs." },
    { name: "A table and code",
        prompt: "Compare three ways to sort numbers in a table (name, steps, memory), then " +
        "write the simplest of them in C, with comments." },
];
