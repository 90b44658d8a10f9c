// SPDX-License-Identifier: Apache-2.0
// theme.js - light or dark: the system's choice until somebody chooses. Not a module, because it has to run
// before the page is painted for the first time; else a dark page would flash white.

(function () {
    "use strict";
    const KEY = "snug.setting.theme";
    const root = document.documentElement;
    const dark = matchMedia("(prefers-color-scheme: dark)");

    function chosen() {
        try {
            return JSON.parse(localStorage.getItem(KEY));
        } catch {
            return null;
        }
    }

    function isDark() {
        const choice = chosen();
        return choice === "dark" || (choice !== "light" && dark.matches);
    }

    function apply() {
        root.dataset.theme = isDark() ? "dark" : "light";
        const label = isDark() ? "Light colours" : "Dark colours";
        for (const button of document.querySelectorAll("[data-theme-switch]")) {
            button.setAttribute("aria-label", label);
            button.title = label;
        }
    }

    // Choosing what the system has is choosing to follow it.
    function change() {
        const wanted = isDark() ? "light" : "dark";
        const isSystems = (wanted === "dark") === dark.matches;
        try {
            if (isSystems) localStorage.removeItem(KEY);
            else localStorage.setItem(KEY, JSON.stringify(wanted));
        } catch {
            root.dataset.theme = wanted; // for this page only
            return;
        }
        apply();
    }

    apply();
    dark.addEventListener("change", apply);
    addEventListener("storage", (event) => {
        if (event.key === KEY) apply();
    });
    document.addEventListener("DOMContentLoaded", () => {
        apply();
        for (const button of document.querySelectorAll("[data-theme-switch]"))
            button.addEventListener("click", change);
    });
})();
