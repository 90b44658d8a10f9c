/* SPDX-License-Identifier: Apache-2.0 */
/* webdriver.c - see the header. */
#define _GNU_SOURCE

#include "webdriver.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum {
    WORDS_MAX = 32,
    WAIT_MS = 60000,
    PAUSE_MS = 15,
};

static struct {
    pid_t driver;
    CURL *curl;
    char base[64];     /* of chromedriver */
    char session[160]; /* of the browser: base/session/ID */
    char *text;        /* what web_text gave out */
} web;

bool web_is_there(void)
{
    return access("/usr/bin/chromium", X_OK) == 0 && access("/usr/bin/chromedriver", X_OK) == 0;
}

/* --- processes ----------------------------------------------------------------------------------------- */

/* Starts a program that is ended with us; its standard output comes through *out. */
static pid_t start(int *out, const char *const *words)
{
    int ends[2];
    pid_t process;

    assert_int_equal(pipe(ends), 0);
    process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        const int nothing = open("/dev/null", O_RDWR);

        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)dup2(nothing, STDIN_FILENO);
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(nothing, STDERR_FILENO);
        (void)close(ends[0]);
        /* execv() promises to leave the words alone, and has the wrong type for that. */
        (void)execv(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    (void)close(ends[1]);
    *out = ends[0];
    return process;
}

/* Reads lines until one holds `mark`; what follows the mark is copied up to one of `ends`. */
static bool read_after(char *out, size_t capacity, int from, const char *mark, const char *ends)
{
    FILE *file = fdopen(from, "r");
    char line[512];
    bool is_found = false;

    while (file && !is_found && fgets(line, sizeof line, file)) {
        const char *found = strstr(line, mark);

        is_found = found != NULL;
        if (is_found)
            snprintf(out, capacity, "%.*s", (int)strcspn(found + strlen(mark), ends), found + strlen(mark));
    }
    /* It stays open: a program whose output nobody takes would die of it. */
    return is_found;
}

static void end(pid_t *process)
{
    if (*process <= 0)
        return;
    (void)kill(*process, SIGTERM);
    (void)waitpid(*process, NULL, 0);
    *process = 0;
}

/* --- chromedriver -------------------------------------------------------------------------------------- */

typedef struct received {
    char *data;
    size_t bytes;
} received;

static size_t receive(char *data, size_t size, size_t count, void *user)
{
    received *all = user;
    char *more = realloc(all->data, all->bytes + size * count + 1);

    if (!more)
        return 0;
    all->data = more;
    memcpy(more + all->bytes, data, size * count);
    all->bytes += size * count;
    more[all->bytes] = '\0';
    return size * count;
}

/* The whole of an answer, as text owned by the caller; NULL when nobody answered. */
static char *ask(const char *method, const char *url, const char *body)
{
    received all = { NULL, 0 };
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURLcode code;

    curl_easy_reset(web.curl);
    curl_easy_setopt(web.curl, CURLOPT_URL, url);
    curl_easy_setopt(web.curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(web.curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(web.curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(web.curl, CURLOPT_WRITEDATA, &all);
    curl_easy_setopt(web.curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(web.curl, CURLOPT_TIMEOUT, 60L);
    if (body)
        curl_easy_setopt(web.curl, CURLOPT_POSTFIELDS, body);
    code = curl_easy_perform(web.curl);
    curl_slist_free_all(headers);
    if (code == CURLE_OK)
        return all.data ? all.data : calloc(1, 1);
    free(all.data);
    return NULL;
}

/* A command; its `value` is the caller's. Takes `body`. NULL with the error printed when it failed. */
static json_t *command(const char *method, const char *url, json_t *body)
{
    char *sent = body ? json_dumps(body, 0) : NULL;
    char *text = ask(method, url, sent);
    json_t *answer = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *value = json_incref(json_object_get(answer, "value"));
    const json_t *error = json_object_get(value, "error");

    if (!value || json_is_string(error)) {
        print_error("%s %s: %.600s\n", method, url + strlen(web.base),
                    json_is_string(error) ? json_string_value(json_object_get(value, "message")) : text);
        json_decref(value);
        value = NULL;
    }
    free(sent);
    free(text);
    json_decref(body);
    json_decref(answer);
    return value;
}

static json_t *act(const char *path, json_t *body)
{
    char url[256];
    json_t *value;

    snprintf(url, sizeof url, "%s%s", web.session, path);
    value = command("POST", url, body);
    if (!value)
        fail_msg("the browser did not do %s", path);
    return value;
}

static void pause_ms(long ms)
{
    const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&time, NULL);
}

void web_open(void)
{
    static const char *const words[] = { "/usr/bin/chromedriver", "--port=0", NULL };
    char port[16] = "";
    char url[128];
    json_t *value;
    int out;

    web.curl = curl_easy_init();
    assert_non_null(web.curl);
    web.driver = start(&out, words);
    assert_true(read_after(port, sizeof port, out, "successfully on port ", ".\r\n"));
    snprintf(web.base, sizeof web.base, "http://127.0.0.1:%s", port);
    snprintf(url, sizeof url, "%s/session", web.base);
    value = command("POST", url,
                    json_pack("{s:{s:{s:{s:s,s:[s,s,s,s,s,s]}}}}", "capabilities", "alwaysMatch",
                              "goog:chromeOptions", "binary", "/usr/bin/chromium", "args", "--headless=new",
                              "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                              "--window-size=1280,800"));
    if (!value)
        fail_msg("chromedriver started no browser");
    snprintf(web.session, sizeof web.session, "%s/session/%s", web.base,
             json_string_value(json_object_get(value, "sessionId")));
    json_decref(value);
}

void web_close(void)
{
    if (web.session[0])
        json_decref(command("DELETE", web.session, NULL));
    end(&web.driver);
    curl_easy_cleanup(web.curl);
    free(web.text);
    memset(&web, 0, sizeof web);
}

/* --- pages --------------------------------------------------------------------------------------------- */

void web_go(const char *url)
{
    json_decref(act("/url", json_pack("{s:s}", "url", url)));
}

void web_reload(void)
{
    json_decref(act("/refresh", json_object()));
}

static void devtools(const char *name, json_t *params)
{
    json_decref(act("/goog/cdp/execute", json_pack("{s:s,s:o}", "cmd", name, "params", params)));
}

void web_size(int width, int height, bool is_phone)
{
    devtools("Emulation.setDeviceMetricsOverride",
             json_pack("{s:i,s:i,s:i,s:b}", "width", width, "height", height, "deviceScaleFactor", 1,
                       "mobile", is_phone));
}

void web_scheme(const char *scheme)
{
    devtools("Emulation.setEmulatedMedia",
             json_pack("{s:[{s:s,s:s}]}", "features", "name", "prefers-color-scheme", "value", scheme));
}

void web_network(double bytes_per_second)
{
    devtools("Network.enable", json_object());
    devtools("Network.emulateNetworkConditions",
             json_pack("{s:b,s:i,s:f,s:i}", "offline", 0, "latency", 0, "downloadThroughput",
                       bytes_per_second > 0 ? bytes_per_second : -1.0, "uploadThroughput", -1));
}

void web_before_each_page(const char *script)
{
    devtools("Page.addScriptToEvaluateOnNewDocument", json_pack("{s:s}", "source", script));
}

json_t *web_run(const char *script, const char *argument)
{
    return act("/execute/sync", json_pack("{s:s,s:[s?]}", "script", script, "args", argument));
}

const char *web_text(const char *script)
{
    json_t *value = web_run(script, NULL);

    free(web.text);
    web.text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
    json_decref(value);
    return web.text ? web.text : "";
}

double web_number(const char *script)
{
    json_t *value = web_run(script, NULL);
    const double number = json_number_value(value);
    const bool is_number = json_is_number(value);

    json_decref(value);
    if (!is_number)
        fail_msg("no number came of: %s", script);
    return number;
}

bool web_holds(const char *script)
{
    char whole[4096];
    json_t *value;
    bool is_true;

    snprintf(whole, sizeof whole, "return Promise.resolve(%s).then(Boolean)", script);
    value = web_run(whole, NULL);
    is_true = json_is_true(value);
    json_decref(value);
    return is_true;
}

void web_wait(const char *condition)
{
    for (int waited = 0; !web_holds(condition); waited += PAUSE_MS) {
        if (waited >= WAIT_MS)
            fail_msg("waited in vain for: %s", condition);
        pause_ms(PAUSE_MS);
    }
}

void web_press(const char *selector)
{
    json_t *found = act("/element", json_pack("{s:s,s:s}", "using", "css selector", "value", selector));
    const char *key = json_object_iter_key(json_object_iter(found));
    char path[200];

    snprintf(path, sizeof path, "/element/%s/click", json_string_value(json_object_get(found, key)));
    json_decref(found);
    json_decref(act(path, json_object()));
}

static void add_key(json_t *actions, const char *type, const char *key, size_t bytes)
{
    json_array_append_new(actions, json_pack("{s:s,s:s%}", "type", type, "value", key, bytes));
}

static void press_keys(const char *text, bool is_shifted)
{
    json_t *actions = json_array();

    if (is_shifted)
        add_key(actions, "keyDown", WEB_SHIFT, 3);
    while (*text) {
        size_t bytes = 1;

        while (((unsigned char)text[bytes] & 0xC0) == 0x80)
            bytes++;
        add_key(actions, "keyDown", text, bytes);
        add_key(actions, "keyUp", text, bytes);
        text += bytes;
    }
    if (is_shifted)
        add_key(actions, "keyUp", WEB_SHIFT, 3);
    json_decref(act("/actions", json_pack("{s:[{s:s,s:s,s:o}]}", "actions", "type", "key", "id", "keyboard",
                                          "actions", actions)));
}

void web_keys(const char *text)
{
    press_keys(text, false);
}

void web_shifted(const char *text)
{
    press_keys(text, true);
}

static int value_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

void web_screenshot(const char *path)
{
    char url[256];
    FILE *file = fopen(path, "wb");
    json_t *value;
    unsigned bits = 0;
    int count = 0;

    assert_non_null(file);
    snprintf(url, sizeof url, "%s/screenshot", web.session);
    value = command("GET", url, NULL);
    assert_true(json_is_string(value));
    for (const char *at = json_string_value(value); value_of(*at) >= 0; at++) {
        bits = bits << 6 | (unsigned)value_of(*at);
        count += 6;
        if (count >= 8) {
            count -= 8;
            assert_int_not_equal(fputc((int)(bits >> count & 255), file), EOF);
        }
    }
    json_decref(value);
    assert_int_equal(fclose(file), 0);
}

/* --- the server ---------------------------------------------------------------------------------------- */

void web_server_start(web_server *server, const char *const *words)
{
    static const char mark[] = "http://";
    const char *all[WORDS_MAX] = { getenv("LLM_TOOL"), "serve", "--port", "0", "--quiet" };
    char address[96];
    size_t count = 5;
    int out;

    assert_non_null(all[0]);
    for (; *words; words++) {
        assert_true(count + 1 < WORDS_MAX);
        all[count++] = *words;
    }
    server->process = start(&out, all);
    if (!read_after(address, sizeof address, out, mark, "\r\n"))
        fail_msg("llm-tool serve did not start");
    snprintf(server->url, sizeof server->url, "%s%s", mark, address);
}

void web_server_stop(web_server *server)
{
    end(&server->process);
}

void web_post(const web_server *server, const char *path, const char *body)
{
    char url[256];
    char *answer;

    snprintf(url, sizeof url, "%s%s", server->url, path);
    answer = ask("POST", url, body);
    if (!answer || strstr(answer, "\"error\""))
        fail_msg("POST %s: %.300s", path, answer ? answer : "no answer");
    free(answer);
}
