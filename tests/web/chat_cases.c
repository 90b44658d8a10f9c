/* SPDX-License-Identifier: Apache-2.0 */
/* chat_cases.c - the page /chat: asking, stopping, memory getting short, what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cases.h"

#define LAST   "document.querySelector('.message.assistant:last-of-type')"
#define ANSWER LAST "?.querySelector('.prose').textContent"
/* Of a conversation in the browser's storage: the one that was changed last. */
#define KEPT                                                                                                 \
    "Object.entries(localStorage).filter(([key]) => key.startsWith('snug.chat.')).map(([, text]) => "        \
    "JSON.parse(text)).sort((a, b) => b.changed - a.changed)[0]"

static void open_settings(void)
{
    web_press("#settings");
    web_wait("document.querySelector('dialog[open] #set-strategy')");
}

static void close_dialog(void)
{
    web_keys(WEB_ESCAPE);
    web_wait("!document.querySelector('dialog')");
}

/* Words that come again and again: the bundled model never ends such an answer by itself. */
static void write_long_answers(void)
{
    open_settings();
    web_fill("#set-repetition_penalty", "0.8");
    web_fill("#set-temperature", "0");
    web_fill("#set-max_tokens", "3500");
    close_dialog();
}

static void begin(const char *text)
{
    web_press("#text");
    web_keys(text);
    web_keys(WEB_ENTER);
    web_wait("(" ANSWER " || '').length > 100");
}

void chat_streams_and_stops(void **state)
{
    double length;

    (void)state;
    web_fresh("/chat");
    write_long_answers();
    begin("Tell me a story.");
    assert_true(
        web_holds("document.querySelector('#send').hidden && !document.querySelector('#stop').hidden"));
    length = web_number("return " ANSWER ".length");
    web_wait(LAST ".getAttribute('aria-busy') === 'true' || " LAST ".querySelector('.ending')");
    web_press("#stop");
    web_wait_answered();
    assert_string_equal(web_text("return " LAST ".querySelector('.ending').textContent"), "Stopped");
    assert_true(web_number("return " ANSWER ".length") >= length);
    assert_string_equal(web_text("return " KEPT ".messages[1].state"), "stopped");
    assert_true(
        web_holds("document.querySelector('#stop').hidden && !document.querySelector('#send').hidden"));
    /* The server noticed: nothing runs any more. */
    web_wait("fetch('/api/memory').then((r) => r.json()).then((m) => m.queue.running === 0)");
}

void chat_answers_again_and_brings_back(void **state)
{
    char first[64], condition[512];

    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    assert_true(web_number("return " ANSWER ".length") > 20);
    assert_true(web_holds("/^\\d+ tokens? · [\\d,.]+\\/s/.test(" LAST
                          ".querySelector('.figures-line').textContent)"));
    snprintf(first, sizeof first, "%.60s", web_text("return " KEPT ".messages[1].id"));
    web_press(".message.assistant .icon-button[aria-label^=Regenerate]");
    web_wait_answered();
    assert_string_not_equal(web_text("return " KEPT ".messages[1].id"), first);
    assert_int_equal((int)web_number("return " KEPT ".messages.length"), 2);
    web_press(".toast button");
    snprintf(condition, sizeof condition, KEPT ".messages[1].id === '%s'", first);
    web_wait(condition);
    assert_true(web_number("return " ANSWER ".length") > 20);
}

void chat_goes_on_from_an_edited_message(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    web_ask("Tell me another one.");
    assert_int_equal((int)web_number("return " KEPT ".messages.length"), 4);
    json_decref(web_run("document.querySelector('.message.user [aria-label^=Edit]').focus()", NULL));
    web_keys(WEB_ENTER);
    web_wait("document.activeElement.closest('.editor')");
    json_decref(web_run("document.activeElement.select()", NULL));
    web_keys("Tell me a story about a cat." WEB_ENTER);
    web_wait(KEPT ".messages.length === 2");
    web_wait_answered();
    assert_string_equal(web_text("return " KEPT ".messages[0].text"), "Tell me a story about a cat.");
    assert_int_equal((int)web_number("return document.querySelectorAll('.message').length"), 2);
}

void chat_obeys_a_strategy_and_shows_what_was_chosen(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    assert_string_equal(web_text("return " KEPT ".messages[1].snug.strategy"), "balanced");
    open_settings();
    /* What was chosen for the last answer stands beside the field. */
    assert_non_null(
        strstr(web_text("return document.querySelector('#set-kv_bits-help').textContent"), "8 bits"));
    web_fill("#set-strategy", "aggressive");
    close_dialog();
    assert_string_equal(web_text("return document.querySelector('#settings-name').textContent"),
                        "Adaptive, 1 set");
    web_ask("Tell me another one.");
    assert_string_equal(web_text("return " KEPT ".messages[3].snug.strategy"), "aggressive");
    web_press(".message.assistant:last-of-type .figures-line");
    assert_non_null(
        strstr(web_text("return document.querySelector('dialog').textContent"), "Strategyaggressive"));
    assert_non_null(strstr(web_text("return document.querySelector('dialog').textContent"), "5/4 bits"));
    close_dialog();
}

void chat_tells_when_memory_was_given_back(void **state)
{
    char body[64];

    (void)state;
    web_fresh("/chat");
    write_long_answers();
    open_settings();
    web_fill("#set-strategy", "conservative");
    close_dialog();
    begin("Tell me a story.");
    /* What is used now is the limit: what comes next has to be paid for. */
    snprintf(body, sizeof body, "{\"bytes\": %.0f}",
             web_number("return fetch('/api/memory').then((r) => r.json()).then((m) => m.used_bytes)"));
    web_post(&web_pages, "/api/limit", body);
    web_wait("document.querySelector('.notice.relief')");
    assert_true(web_number("return document.querySelector('.notice.relief').textContent.length") > 20);
    web_wait("document.querySelector('#memory-open').getAttribute('aria-label').includes('MiB in use')");
    web_wait_answered();
    web_post(&web_pages, "/api/limit", "{\"bytes\": null}");
    /* The end stayed in sight, notices included. */
    web_wait("(({scrollTop, scrollHeight, clientHeight}) => scrollHeight - scrollTop - clientHeight < 4)"
             "(document.querySelector('#log'))");
    assert_true(web_holds("document.querySelector('#newest').hidden"));
    assert_true(web_number("return " KEPT ".messages.filter((m) => m.kind === 'relief').length") >= 1);
    /* As many notices as the server counts steps, each told once. */
    assert_true(web_holds(KEPT ".messages.filter((m) => m.kind === 'relief').length === " KEPT
                               ".messages[1].snug.relief.length"));
    assert_string_equal(web_text("return " KEPT ".messages[1].state"), "done");
}

/* A thousand tokens whose cache, in a format that was set, cannot stay under half of what is used. */
void chat_tells_when_another_model_went_on(void **state)
{
    const char *const words[] = { "--model", getenv("LARGER"), "--allow-switch", NULL };
    char url[256], config[512], body[64];
    web_server server;

    (void)state;
    snprintf(config, sizeof config, "%s/config.json", words[1] ? words[1] : "");
    if (access(config, R_OK) != 0) {
        printf("skipped: no larger model than the bundled one\n");
        skip();
    }
    web_server_start(&server, words);
    snprintf(url, sizeof url, "%s/chat", server.url);
    web_go(url);
    web_wait("document.querySelector('#model-name').textContent === 'base'");
    write_long_answers();
    open_settings();
    web_fill("#set-kv_bits", "16");
    web_fill("#set-context", "4000");
    web_fill("#set-max_tokens", "1000");
    close_dialog();
    json_decref(web_run("document.querySelector('#text').value = "
                        "'The dog and the cat went to the park to play with a red ball. '.repeat(60)",
                        NULL));
    begin("Tell me a story.");
    snprintf(
        body, sizeof body, "{\"bytes\": %.0f}",
        web_number("return fetch('/api/memory').then((r) => r.json()).then((m) => m.used_bytes / 2 | 0)"));
    web_post(&server, "/api/limit", body);
    web_wait("[...document.querySelectorAll('.notice.relief')].some((notice) => "
             "notice.textContent.includes('mini goes on instead of base: memory has run out.'))");
    web_wait_answered();
    assert_string_equal(web_text("return " KEPT ".messages[1].state"), "done");
    assert_string_equal(web_text("return " KEPT ".messages[1].model"), "mini");
    assert_string_equal(web_text("return " KEPT ".messages[1].snug.asked_model"), "base");
    assert_true(web_holds(KEPT ".messages.filter((m) => m.kind === 'relief').length === " KEPT
                               ".messages[1].snug.relief.length"));
    /* The next message asks for the larger one again: there is room for none of it now. */
    web_ask("And then?");
    assert_true(
        web_holds("[...document.querySelectorAll('.notice.relief')].some((notice) => "
                  "notice.textContent.includes('mini answers instead of base: memory has run out.'))"));
    web_go("about:blank");
    web_server_stop(&server);
}

void chat_keeps_everything_over_a_reload(void **state)
{
    char before[8192];
    char half[128];

    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    snprintf(before, sizeof before, "%s", web_text("return document.querySelector('#messages').innerText"));
    web_reload();
    web_wait("document.querySelectorAll('.message').length === 2");
    assert_string_equal(web_text("return document.querySelector('#messages').innerText"), before);
    assert_string_equal(web_text("return document.title"), "Tell me a story about a dog. - Snug");

    web_press("#new");
    write_long_answers();
    begin("Tell me a story.");
    snprintf(half, sizeof half, "%.100s", web_text("return " ANSWER ".slice(0, 60)"));
    web_reload();
    web_wait("document.querySelectorAll('.message').length === 2");
    assert_non_null(strstr(web_text("return " LAST ".querySelector('.ending').textContent"), "Cut off"));
    assert_string_equal(web_text("return " ANSWER ".slice(0, 60)"), half);
    assert_true(web_number("return " ANSWER ".length") >= 60);
    /* It can be asked for again. */
    assert_true(web_holds(LAST ".querySelector('[aria-label^=Regenerate]')"));
}

void chat_shows_hostile_text_as_text(void **state)
{
    static const char text[] =
        "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script> **b**";
    static const char put[] =
        "const id = 'hostile0'; const text = arguments[0];"
        "localStorage.setItem('snug.chat.' + id, JSON.stringify({version: 1, id, title: text, created: 1, "
        "changed: Date.now(), messages: [{id: 'a', role: 'user', text, time: 1}, {id: 'b', role: "
        "'assistant', "
        "text: text + ' [x](javascript:window.harmed=1)', time: 2, state: 'error', error: {message: text}}, "
        "{id: 'c', role: 'notice', kind: text, text}]})); location.hash = id;";

    (void)state;
    web_fresh("/chat");
    json_decref(web_run(put, text));
    web_reload();
    web_wait("document.querySelectorAll('.message').length === 3");
    assert_string_equal(web_text("return document.querySelector('.bubble').textContent"), text);
    assert_true(web_holds("document.querySelector('.prose strong').textContent === 'b'"));
    assert_int_equal(
        (int)web_number(
            "return document.querySelectorAll('main img, main script, main a, #list img').length"),
        0);
    /* In the list, the title, the message, the answer, the error and the notice. */
    assert_int_equal((int)web_number("return document.body.textContent.split('<script>').length - 1"), 6);
    assert_true(web_holds("window.harmed === undefined"));
    /* And typed: it goes to the model and back as it is. */
    web_ask("<b onclick=alert(1)>hello</b>");
    assert_string_equal(web_text("return [...document.querySelectorAll('.bubble')].at(-1).textContent"),
                        "<b onclick=alert(1)>hello</b>");
}

void chat_shows_errors_with_a_retry(void **state)
{
    (void)state;
    web_fresh("/chat");
    open_settings();
    web_fill("#set-context", "16");
    close_dialog();
    web_ask("Tell me a story about a dog who finds a red ball under a tree and a cat who wants to have it.");
    assert_true(web_holds(LAST ".querySelector('.failure button').textContent.includes('Retry')"));
    /* The server's sentence, not a code. */
    assert_true(web_number("return " LAST ".querySelector('.failure p').textContent.split(' ').length") > 5);
    open_settings();
    web_fill("#set-context", "512");
    close_dialog();
    web_press(".failure button");
    web_wait("document.querySelector('.figures-line')");
    assert_int_equal((int)web_number("return document.querySelectorAll('.failure').length"), 0);
    assert_int_equal((int)web_number("return " KEPT ".messages.length"), 2);
}

void chat_lists_renames_deletes_and_brings_back(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    web_press("#new");
    web_ask("Tell me a story about a cat.");
    assert_int_equal((int)web_number("return document.querySelectorAll('.entry').length"), 2);
    web_press(".entry.is-current .icon-button");
    web_wait("document.querySelector('.menu:popover-open')");
    web_press(".menu button:first-child");
    json_decref(web_run("document.activeElement.select()", NULL));
    web_keys("Cats" WEB_ENTER);
    assert_string_equal(web_text("return document.querySelector('.entry.is-current').textContent"), "Cats");
    web_ask("Tell me another one.");
    assert_string_equal(web_text("return document.querySelector('.entry.is-current').textContent"), "Cats");

    web_press(".entry.is-current .icon-button");
    web_press(".menu .danger");
    web_wait("document.querySelectorAll('.entry').length === 1");
    assert_string_equal(web_text("return document.querySelector('.bubble').textContent"),
                        "Tell me a story about a dog.");
    web_press(".toast button");
    web_wait("document.querySelectorAll('.entry').length === 2");
    assert_string_equal(web_text("return document.querySelector('.entry.is-current').textContent"), "Cats");
    assert_int_equal((int)web_number("return " KEPT ".messages.length"), 4);
}

static void save_as(const char *label)
{
    char script[256];

    json_decref(web_run("window.saved = null;", NULL));
    web_press(".entry.is-current .icon-button");
    web_wait("document.querySelector('.menu:popover-open')");
    snprintf(script, sizeof script,
             "[...document.querySelectorAll('.menu button')].find((one) => one.textContent.includes('%s'))"
             ".click();",
             label);
    json_decref(web_run(script, NULL));
    web_wait("window.saved?.name && window.saved?.text");
}

void chat_exports_what_was_said(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    web_catch_saved();
    save_as("JSON");
    assert_string_equal(web_text("return window.saved.name"), "snug-tell-me-a-story-about-a-dog.json");
    assert_string_equal(web_text("return window.saved.type"), "application/json");
    /* All that is kept, and nothing else. */
    assert_true(web_holds("JSON.stringify(JSON.parse(window.saved.text)) === JSON.stringify(" KEPT ")"));
    save_as("Markdown");
    assert_string_equal(web_text("return window.saved.name"), "snug-tell-me-a-story-about-a-dog.md");
    assert_true(web_holds("window.saved.text.startsWith('# Tell me a story about a dog.\\n')"));
    assert_true(web_holds(KEPT ".messages.every((message) => window.saved.text.includes(message.text))"));
}

/* A second tab, in which the other one's conversation is gone on with. */
void chat_is_one_in_two_tabs(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_ask("Tell me a story about a dog.");
    json_decref(web_run("window.other = window.open(location.href);", NULL));
    web_wait("other.document?.querySelectorAll('.message').length === 2");
    assert_true(web_holds("other.document.querySelector('#messages').innerText === "
                          "document.querySelector('#messages').innerText"));
    json_decref(web_run("const field = other.document.querySelector('#text'); field.value = 'And then?';"
                        "field.dispatchEvent(new other.Event('input', {bubbles: true}));"
                        "other.document.querySelector('#send').click();",
                        NULL));
    /* What is said there is seen here, without a reload, and nothing twice. */
    web_wait("document.querySelectorAll('.message').length === 4 && " KEPT ".messages.length === 4 && " KEPT
             ".messages[3].state === 'done'");
    web_wait(KEPT ".messages[3].text.trim() !== '' && " LAST ".querySelector('.message-actions')");
    assert_int_equal((int)web_number("return document.querySelectorAll('.entry').length"), 1);
    /* And a question asked here comes behind it. */
    web_ask("What was his name?");
    assert_int_equal((int)web_number("return " KEPT ".messages.length"), 6);
    web_wait("other.document.querySelectorAll('.message').length === 6");
    json_decref(web_run("other.close();", NULL));
}

void chat_asks_for_the_key_once(void **state)
{
    const char *const words[] = { "--model", getenv("MODEL"), "--api-key", "k3y-f0r-us", NULL };
    web_server server;
    char url[256];

    (void)state;
    web_server_start(&server, words);
    snprintf(url, sizeof url, "%s/chat", server.url);
    web_go(url);
    web_wait("document.querySelector('dialog #key')");
    assert_int_equal((int)web_number("return document.querySelectorAll('dialog').length"), 1);
    /* Who declines is left alone until something is asked for. */
    close_dialog();
    web_wait(
        "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/api/events')).length "
        ">= 3");
    assert_int_equal((int)web_number("return document.querySelectorAll('dialog').length"), 0);
    web_press("#text");
    web_keys("Hello." WEB_ENTER);
    web_wait("document.querySelector('dialog #key')");
    web_keys("wrong" WEB_ENTER);
    web_wait("document.querySelector('dialog .error-line')");
    web_keys("k3y-f0r-us" WEB_ENTER);
    web_wait_answered();
    assert_string_equal(web_text("return " KEPT ".messages[1].state"), "done");
    web_reload();
    web_wait("document.querySelector('#memory-open .figures').textContent.includes('iB')");
    assert_int_equal((int)web_number("return document.querySelectorAll('dialog').length"), 0);
    /* Until the tab is closed, and nowhere else. */
    assert_false(web_holds("JSON.stringify({...localStorage}).includes('k3y-f0r-us')"));
    web_go("about:blank");
    web_server_stop(&server);
}

void chat_chooses_among_the_models_there_are(void **state)
{
    (void)state;
    web_fresh("/chat");
    web_press("#model-open");
    web_wait("document.querySelector('dialog .model')");
    assert_true(web_number("return document.querySelectorAll('dialog .model').length") >= 10);
    assert_true(web_holds("[...document.querySelectorAll('dialog .model-row')].every((row) => "
                          "/needs [\\d.]+ [KMG]iB/.test(row.textContent) && "
                          "row.querySelector('.why').textContent.length > 10)"));
    assert_int_equal((int)web_number("return document.querySelectorAll('dialog .tag.accent').length"), 1);
    close_dialog();
    assert_string_equal(web_text("return document.activeElement.id"), "model-open");
}

void chat_can_be_used_with_keys_alone(void **state)
{
    (void)state;
    web_fresh("/chat");
    /* The field has the focus; a line is begun with Shift. */
    assert_string_equal(web_text("return document.activeElement.id"), "text");
    web_keys("one");
    web_shifted(WEB_ENTER);
    web_keys("two");
    assert_string_equal(web_text("return document.querySelector('#text').value"), "one\ntwo");
    /* Everything that can be pressed can be reached, and has a name. */
    web_ask(" three");
    web_keys(WEB_TAB WEB_ENTER);
    web_wait("document.querySelector('dialog.sheet')");
    web_keys(WEB_ESCAPE);
    web_wait("!document.querySelector('dialog')");
    assert_string_equal(web_text("return document.activeElement.id"), "settings");
    assert_string_equal(
        web_text(
            "return [...document.querySelectorAll('button, a[href], input, textarea, select')].filter((node) "
            "=> !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length || "
            "node.getAttribute('aria-labelledby'))).map((node) => node.outerHTML).join('\\n')"),
        "");
    /* The list: down to the entry, F2 renames, Escape gives up. */
    json_decref(web_run("document.querySelector('.entry-open').focus()", NULL));
    web_keys("\xEE\x80\xB2");
    assert_string_equal(web_text("return document.activeElement.getAttribute('aria-label')"), "New name");
    web_keys("other" WEB_ESCAPE);
    assert_string_equal(web_text("return document.activeElement.textContent"), "one two three");
    /* What was answered was said to those who listen, in whole blocks. */
    assert_true(web_number("return document.querySelectorAll('#voice p').length") >= 2);
}

void chat_fits_a_phone(void **state)
{
    static const int widths[] = { 320, 400, 500, 640, 767, 768, 900 };

    (void)state;
    web_fresh("/chat");
    web_size(360, 740, true);
    web_ask("Tell me a story about a dog.");
    assert_true(web_number("return document.documentElement.scrollWidth") <= 360);
    assert_true(web_holds("getComputedStyle(document.querySelector('#drawer')).visibility === 'hidden'"));
    web_press("#drawer-open");
    web_wait("getComputedStyle(document.querySelector('#drawer')).visibility === 'visible'");
    assert_string_equal(web_text("return document.activeElement.id"), "drawer-close");
    assert_true(web_holds("document.querySelector('#main').inert"));
    web_keys(WEB_ESCAPE);
    web_wait("!document.querySelector('#drawer').classList.contains('is-open')");
    assert_string_equal(web_text("return document.activeElement.id"), "drawer-open");
    web_press("#settings");
    web_wait("document.querySelector('dialog.sheet')");
    assert_true(web_number("return document.querySelector('dialog').getBoundingClientRect().width") <= 360);
    close_dialog();
    /* Every button of the bar is within every width. */
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        web_size(widths[i], 740, widths[i] < 768);
        web_wait("document.querySelector('#memory-open').getBoundingClientRect().width > 0");
        if (!web_holds("[...document.querySelectorAll('#bar > *, #bar .level, #bar .gauge')].every((part) => "
                       "part.getBoundingClientRect().right <= innerWidth)"))
            fail_msg("the bar is cut off at %d pixels", widths[i]);
    }
    web_size(1280, 800, false);
}
