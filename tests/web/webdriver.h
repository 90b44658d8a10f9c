/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webdriver.h - a browser for tests: headless Chromium, driven through chromedriver, which speaks HTTP and
 * JSON. And the server whose pages it looks at.
 *
 * What goes wrong fails the cmocka test that is running, with the script or the command in question.
 */
#ifndef SNUG_TESTS_WEB_WEBDRIVER_H
#define SNUG_TESTS_WEB_WEBDRIVER_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* Keys that have no character. */
#define WEB_ENTER  "\xEE\x80\x87"
#define WEB_TAB    "\xEE\x80\x84"
#define WEB_ESCAPE "\xEE\x80\x8C"
#define WEB_DOWN   "\xEE\x80\x95"
#define WEB_SHIFT  "\xEE\x80\x88"

/* Both are installed, so there is something to test with. */
bool web_is_there(void);

/* Starts the browser; ends it, with everything that it started. One at a time. */
void web_open(void);
void web_close(void);

void web_go(const char *url);
void web_reload(void);
/* In CSS pixels; a phone has touch, and its scroll bars lie on top. */
void web_size(int width, int height, bool is_phone);
void web_scheme(const char *scheme);           /* "light", "dark" */
void web_network(double bytes_per_second);     /* of what is received; 0: as fast as it goes */
void web_before_each_page(const char *script); /* run before the page's own */

/* The value of a script's `return`; owned by the caller. Promises are waited for. */
json_t *web_run(const char *script, const char *argument);
/* The same for text, numbers and conditions. The text is valid until the next call. */
const char *web_text(const char *script);
double web_number(const char *script);
bool web_holds(const char *script);
/* Until a condition holds; fails when it takes a minute. */
void web_wait(const char *condition);

/* A press with the pointer in the middle of what a selector finds; it must be there and not covered. */
void web_press(const char *selector);
/* Keys to whatever has the focus: text, and WEB_ keys in it. */
void web_keys(const char *text);
/* The same with Shift held down. */
void web_shifted(const char *text);
void web_screenshot(const char *path);

/* A server on a free port: words of llm-tool serve, ended by NULL. Its address is in `url`. */
typedef struct web_server {
    pid_t process;
    char url[128];
} web_server;

void web_server_start(web_server *server, const char *const *words);
void web_server_stop(web_server *server);
/* POST of a JSON body beside the browser. */
void web_post(const web_server *server, const char *path, const char *body);

#endif /* SNUG_TESTS_WEB_WEBDRIVER_H */
