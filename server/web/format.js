// SPDX-License-Identifier: Apache-2.0
// format.js - numbers as people read them. Bytes are counted as llm-tool counts them: KiB, MiB, GiB.

const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];

// Three figures are enough: 952 KiB, 9.1 MiB, 21.8 GiB.
export function bytes(count) {
    if (!Number.isFinite(count) || count < 0) return "unknown";
    let unit = 0;
    let value = count;
    while (value >= 1024 && unit < units.length - 1) {
        value /= 1024;
        unit++;
    }
    if (unit === 0) return `${Math.round(value)} bytes`;
    return `${value.toFixed(value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

// "9.1 of 21.8 MiB" when the unit is the same, "9.1 MiB of 2.0 GiB" when it is not.
export function bytesOf(part, whole) {
    const [a, b] = [bytes(part), bytes(whole)];
    const unit = b.slice(b.indexOf(" "));
    return a.endsWith(unit) && a !== "unknown" ? `${a.slice(0, -unit.length)} of ${b}` : `${a} of ${b}`;
}

// Where nothing limits, the limit is null.
export const ofLimit = (part, limit) => limit ? bytesOf(part, limit) : `${bytes(part)}, no limit`;

export const number = (value) =>
    Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "unknown";

export const percent = (part) => Number.isFinite(part) ? `${Math.round(part * 100)} %` : "unknown";

// 4,285 tokens/s; 42.3; 3.07
export function rate(value) {
    if (!Number.isFinite(value)) return "unknown";
    if (value >= 100) return number(value);
    return value.toFixed(value >= 10 ? 1 : 2);
}

export function milliseconds(value) {
    if (!Number.isFinite(value)) return "unknown";
    if (value < 10) return `${value.toFixed(1)} ms`;
    if (value < 1000) return `${Math.round(value)} ms`;
    if (value < 60000) return `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
    return `${Math.floor(value / 60000)} min ${Math.round(value % 60000 / 1000)} s`;
}

// "planes, 8 bits"; "planes, 5/4 bits": of keys and values
export function cacheFormat(kv) {
    if (!kv?.format) return "unknown";
    return `${kv.format}, ${bits(kv)} bits`;
}

export const bits = (kv) => kv.key_bits === kv.value_bits ? `${kv.key_bits}`
    : `${kv.key_bits}/${kv.value_bits}`;

// Under which heading of the list a conversation stands.
export function dayName(time, now = Date.now()) {
    const midnight = new Date(now);
    midnight.setHours(0, 0, 0, 0);
    const days = Math.ceil((midnight.getTime() - time) / 86400000);
    if (days <= 0) return "Today";
    if (days === 1) return "Yesterday";
    if (days <= 7) return "The last seven days";
    return new Date(time).toLocaleDateString("en-GB", { month: "long", year: "numeric" });
}

export const timeOf = (time) =>
    new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
