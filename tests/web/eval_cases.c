/* SPDX-License-Identifier: Apache-2.0 */
/* eval_cases.c - the page /eval: measuring, the chart, comparing; and the colours of both pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

static void run_once(void)
{
    web_press("#run");
    web_wait("!document.querySelector('#run').hidden && document.querySelector('#figures dl')");
}

void eval_measures_and_compares(void **state)
{
    (void)state;
    web_fresh("/eval");
    run_once();
    assert_true(web_number("return document.querySelector('#answer').textContent.length") > 20);
    assert_true(web_number("return document.querySelectorAll('#chart .area').length") >= 3);
    assert_int_equal((int)web_number("return document.querySelectorAll('#chart .predicted').length"), 2);
    /* The figures are the server's, and the prediction held. */
    assert_true(
        web_holds("['Speed', 'First token after', 'Prompt', 'Peak, measured', 'Peak, predicted', 'Cache', "
                  "'Relief steps'].every((name) => document.querySelector('#figures').textContent."
                  "includes(name))"));
    assert_true(
        web_holds("Object.entries(localStorage).filter(([key]) => key.startsWith('snug.run.')).every(([, "
                  "text]) => JSON.parse(text).snug.measured_peak_bytes <= JSON.parse(text).snug."
                  "predicted_peak_bytes)"));
    /* The picture as a table. */
    web_press("#chart summary");
    web_wait("document.querySelectorAll('#chart tbody tr').length >= 2");

    web_fill("#strategy", "aggressive");
    run_once();
    web_wait("document.querySelectorAll('#runs tbody tr').length === 2");
    web_press("#runs tbody tr:nth-child(1) input");
    assert_true(web_holds("document.querySelector('#comparison').hidden"));
    web_press("#runs tbody tr:nth-child(2) input");
    web_wait("!document.querySelector('#comparison').hidden");
    assert_int_equal((int)web_number("return document.querySelectorAll('#compared .line').length"), 2);
    assert_true(
        web_holds("/balanced, 8 bits.*aggressive, 5\\/4 bits/.test(document.querySelector('#compared thead')"
                  ".textContent)"));
    assert_true(web_number("return document.querySelectorAll('#compared .best').length") >= 1);

    /* What is picked can be saved. */
    web_catch_saved();
    web_press("#export");
    web_wait("window.saved?.name && window.saved?.text");
    assert_true(web_holds("/^snug-runs-\\d{4}-\\d\\d-\\d\\d\\.json$/.test(window.saved.name)"));
    assert_true(
        web_holds("JSON.parse(window.saved.text).runs.map((run) => run.snug.strategy).sort().join() === "
                  "'aggressive,balanced'"));

    /* Kept over a reload; deleted, and brought back. */
    web_reload();
    web_wait("document.querySelectorAll('#runs tbody tr').length === 2");
    assert_true(web_number("return document.querySelectorAll('#chart .area').length") >= 3);
    web_press("#runs thead input");
    web_press("#delete");
    web_wait("document.querySelectorAll('#runs tbody tr').length === 0");
    web_press(".toast button");
    web_wait("document.querySelectorAll('#runs tbody tr').length === 2");
}

/* Runs what is filled in, and lowers the limit to hardly more than is used once words have come. */
static void run_into_a_limit(int seed)
{
    char text[64];

    snprintf(text, sizeof text, "%d", seed);
    web_fill("#seed", text);
    web_press("#run");
    web_wait("document.querySelector('#answer').textContent.length > 10");
    snprintf(
        text, sizeof text, "{\"bytes\": %.0f}",
        web_number("return fetch('/api/memory').then((r) => r.json()).then((m) => m.used_bytes + 65536)"));
    web_post(&web_pages, "/api/limit", text);
    web_wait("!document.querySelector('#run').hidden");
    web_post(&web_pages, "/api/limit", "{\"bytes\": null}");
}

void eval_shows_a_limit_that_is_lowered(void **state)
{
    (void)state;
    web_fresh("/eval");
    /* A long text before the answer: it takes a while to be read, and fills the cache. */
    json_decref(web_run("const preset = document.querySelector('#preset'); preset.value = '4'; "
                        "preset.dispatchEvent(new Event('change'));",
                        NULL));
    assert_true(web_number("return document.querySelector('#prompt').value.length") > 3000);
    web_fill("#strategy", "conservative");
    web_fill("#temperature", "2");
    web_fill("#max_tokens", "4000");
    /* An answer may be over before the limit is lowered; of a few, one is long enough. */
    for (int seed = 1; seed <= 8; seed++) {
        run_into_a_limit(seed);
        if (web_holds("document.querySelector('#chart .limit')"))
            break;
    }
    assert_true(web_holds("document.querySelector('#chart .limit')"));
    assert_int_equal((int)web_number("return document.querySelectorAll('#chart .band').length % 3"), 0);
    assert_true(web_holds("document.querySelector('#chart .happened').textContent.includes('the limit is')"));
}

void eval_fits_a_phone(void **state)
{
    (void)state;
    web_fresh("/eval");
    web_size(360, 740, true);
    run_once();
    assert_true(web_number("return document.documentElement.scrollWidth") <= 360);
    assert_true(web_number("return document.querySelector('#chart svg').getBoundingClientRect().right") <=
                360);
    web_size(1280, 800, false);
}

/* The contrast of text and its ground by the formula of WCAG 2, for the pairs of tokens that are used. */
static const char contrast[] =
    "const style = getComputedStyle(document.documentElement);"
    "const light = (name) => { const hex = style.getPropertyValue('--' + name).trim().slice(1);"
    "  const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => "
    "    c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);"
    "  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };"
    "const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort(); "
    "  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };"
    "const texts = [['text', 'ground'], ['text', 'surface'], ['text', 'sunken'], ['text', 'hover'], "
    "  ['text', 'accent-soft'], ['muted', 'ground'], ['muted', 'surface'], ['muted', 'sunken'], ['muted', "
    "'hover'], "
    "  ['accent', 'ground'], ['accent', 'surface'], ['accent', 'accent-soft'], ['accent-hover', 'surface'], "
    "  ['on-accent', 'accent'], ['on-accent', 'accent-hover'], ['bad', 'bad-soft'], ['bad', 'surface'], "
    "  ['text', 'bad-soft'], ['warn', 'warn-soft'], ['warn', 'surface'], ['critical', 'surface'], "
    "  ['relief', 'surface'], ['ground', 'text']];"
    "const shapes = [['line-strong', 'surface'], ['line-strong', 'ground'], ['low', 'ground'], ['medium', "
    "'ground'], "
    "  ['high', 'ground'], ['critical', 'ground'], ['accent', 'ground'], ['use-kv', 'surface'], "
    "  ['use-cache', 'surface'], ['use-text', 'surface']];"
    "return [...texts.map((pair) => [4.5, ...pair]), ...shapes.map((pair) => [3, ...pair])].filter(([least, "
    "a, b]) "
    "  => ratio(a, b) < least).map(([least, a, b]) => `${a} on ${b}: ${ratio(a, b).toFixed(2)} of ${least}`)"
    "  .join('; ');";

void colours_have_contrast(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_scheme("light");
    assert_string_equal(web_text("return document.documentElement.dataset.theme"), "light");
    assert_string_equal(web_text(contrast), "");
    web_scheme("dark");
    web_wait("document.documentElement.dataset.theme === 'dark'");
    assert_string_equal(web_text(contrast), "");
    /* The switch is kept, and wins over the system. */
    web_press(".bar [data-theme-switch]");
    assert_string_equal(web_text("return document.documentElement.dataset.theme"), "light");
    web_reload();
    assert_string_equal(web_text("return document.documentElement.dataset.theme"), "light");
    web_press(".bar [data-theme-switch]");
    assert_string_equal(web_text("return document.documentElement.dataset.theme"), "dark");
    web_scheme("light");
    web_wait("document.documentElement.dataset.theme === 'light'");
}
