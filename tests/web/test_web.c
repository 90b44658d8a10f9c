/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_web.c - the pages /chat and /eval, in headless Chromium against llm-tool serve with the bundled model.
 *
 *   test_web [NAME]      all cases, or those whose names hold NAME; 77 where there is no Chromium
 *
 * Environment: LLM_TOOL, MODEL (a folder), LARGER (one that need not be there), PAGES (server/web), UNITS
 * (this folder).
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

web_server web_pages;

/* What goes wrong in a page is kept over its reloads, for the last test. */
static const char watch[] =
    "const note = (what) => { try { localStorage.setItem('seen', (localStorage.getItem('seen') || '') + what "
    "+ "
    "'\\n'); } catch {} };"
    "document.addEventListener('securitypolicyviolation', (e) => note(`policy: ${e.violatedDirective} "
    "${e.blockedURI}`));"
    "addEventListener('error', (e) => note(`error: ${e.message} ${e.filename}:${e.lineno}`));"
    "addEventListener('unhandledrejection', (e) => note(`rejection: ${e.reason?.stack || e.reason}`));";

void web_fresh(const char *page)
{
    char url[256];

    snprintf(url, sizeof url, "%s%s", web_pages.url, page);
    web_size(1280, 800, false);
    web_go(url);
    (void)web_holds("(() => { for (const key of Object.keys(localStorage)) if (key !== 'seen') "
                    "localStorage.removeItem(key); return 1; })()");
    /* Leaving a page keeps what is half written: so it is left before the storage is emptied for good. */
    web_go(url);
    web_wait("document.querySelector('#model-name').textContent !== '…'");
}

void web_fill(const char *selector, const char *value)
{
    char script[512];

    snprintf(script, sizeof script,
             "const field = document.querySelector('%s'); field.value = arguments[0];"
             "for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {bubbles: true}));",
             selector);
    json_decref(web_run(script, value));
}

void web_wait_answered(void)
{
    web_wait(
        "document.querySelector('#stop').hidden && document.querySelector('.message.assistant:last-of-type "
        ".message-actions')");
}

void web_ask(const char *text)
{
    web_press("#text");
    web_keys(text);
    web_keys(WEB_ENTER);
    web_wait_answered();
}

void web_catch_saved(void)
{
    json_decref(web_run("const make = URL.createObjectURL; window.saved = null;"
                        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = "
                        "{...window.saved, text, type: blob.type}; }); return make.call(URL, blob); };"
                        "document.addEventListener('click', (e) => { if (e.target.download) { window.saved = "
                        "{...window.saved, name: e.target.download}; e.preventDefault(); } });",
                        NULL));
}

void nothing_broke_the_policy_and_nothing_was_thrown(void **state)
{
    (void)state;
    web_go(web_pages.url);
    assert_string_equal(web_text("return localStorage.getItem('seen') || ''"), "");
    /* And that it would have been noticed. */
    json_decref(
        web_run("const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
                "document.body.append(script);",
                NULL));
    web_wait("(localStorage.getItem('seen') || '').includes('policy: script-src')");
    assert_true(web_holds("window.ran === undefined"));
}

static int set_up(void **state)
{
    const char *const words[] = { "--model", getenv("MODEL"), NULL };

    (void)state;
    web_server_start(&web_pages, words);
    web_open();
    web_before_each_page(watch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    web_close();
    web_server_stop(&web_pages);
    return 0;
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markdown_is_elements_and_hostile_text_stays_text),
        cmocka_unit_test(what_is_kept_is_read_back_or_left_alone),
        cmocka_unit_test(chat_streams_and_stops),
        cmocka_unit_test(chat_answers_again_and_brings_back),
        cmocka_unit_test(chat_goes_on_from_an_edited_message),
        cmocka_unit_test(chat_obeys_a_strategy_and_shows_what_was_chosen),
        cmocka_unit_test(chat_tells_when_memory_was_given_back),
        cmocka_unit_test(chat_tells_when_another_model_went_on),
        cmocka_unit_test(chat_keeps_everything_over_a_reload),
        cmocka_unit_test(chat_shows_hostile_text_as_text),
        cmocka_unit_test(chat_shows_errors_with_a_retry),
        cmocka_unit_test(chat_lists_renames_deletes_and_brings_back),
        cmocka_unit_test(chat_exports_what_was_said),
        cmocka_unit_test(chat_is_one_in_two_tabs),
        cmocka_unit_test(chat_asks_for_the_key_once),
        cmocka_unit_test(chat_chooses_among_the_models_there_are),
        cmocka_unit_test(chat_can_be_used_with_keys_alone),
        cmocka_unit_test(chat_fits_a_phone),
        cmocka_unit_test(eval_measures_and_compares),
        cmocka_unit_test(eval_shows_a_limit_that_is_lowered),
        cmocka_unit_test(eval_fits_a_phone),
        cmocka_unit_test(colours_have_contrast),
        cmocka_unit_test(nothing_broke_the_policy_and_nothing_was_thrown),
    };
    char pattern[128];

    if (getenv("SANITIZED")) {
        printf("skipped: the memory of a sanitizer is in no plan, and the pages are the same\n");
        return 77;
    }
    if (!web_is_there()) {
        printf("skipped: chromium and chromedriver are not installed (tools/install-deps --ci gets them)\n");
        return 77;
    }
    if (count > 1) {
        snprintf(pattern, sizeof pattern, "*%s*", words[1]);
        cmocka_set_test_filter(pattern);
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
