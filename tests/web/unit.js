// SPDX-License-Identifier: Apache-2.0
// unit.js - what the unit tests of the pages share: they run in the browser, beside the modules they test,
// and give back how much was checked and what was wrong.

export class Checks {
    count = 0;
    failures = [];

    is(name, seen, expected) {
        this.count++;
        const [a, b] = [seen, expected].map((value) => JSON.stringify(value));
        if (a !== b) this.failures.push(`${name}: expected ${b}, came ${a}`);
    }

    holds(name, isTrue) {
        this.count++;
        if (!isTrue) this.failures.push(name);
    }

    get result() {
        return { count: this.count, failures: this.failures.slice(0, 20) };
    }
}

// The same numbers each time.
export function randomly(seed) {
    let state = seed >>> 0;
    return (below) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor(state / 4294967296 * below);
    };
}
