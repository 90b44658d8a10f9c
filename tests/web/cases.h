/* SPDX-License-Identifier: Apache-2.0 */
/* cases.h - the tests of the pages, and what they share: one server with the bundled model, one browser. */
#ifndef SNUG_TESTS_WEB_CASES_H
#define SNUG_TESTS_WEB_CASES_H

#include "webdriver.h"

extern web_server web_pages; /* that most tests look at */

/* Opens a page with an empty storage, 1280 x 800, and waits until it knows the models. */
void web_fresh(const char *page);
/* Sets a field of a form as if it was typed. */
void web_fill(const char *selector, const char *value);
/* What the page hands the browser to save comes to window.saved as {name, text} from here on. */
void web_catch_saved(void);

/* Sends a message in /chat, and waits until its answer has ended. */
void web_ask(const char *text);
void web_wait_answered(void);

/* The unit tests of the pages' own modules. */
void markdown_is_elements_and_hostile_text_stays_text(void **state);
void what_is_kept_is_read_back_or_left_alone(void **state);

void chat_streams_and_stops(void **state);
void chat_answers_again_and_brings_back(void **state);
void chat_goes_on_from_an_edited_message(void **state);
void chat_obeys_a_strategy_and_shows_what_was_chosen(void **state);
void chat_tells_when_memory_was_given_back(void **state);
void chat_tells_when_another_model_went_on(void **state);
void chat_keeps_everything_over_a_reload(void **state);
void chat_shows_hostile_text_as_text(void **state);
void chat_shows_errors_with_a_retry(void **state);
void chat_lists_renames_deletes_and_brings_back(void **state);
void chat_exports_what_was_said(void **state);
void chat_is_one_in_two_tabs(void **state);
void chat_asks_for_the_key_once(void **state);
void chat_chooses_among_the_models_there_are(void **state);
void chat_can_be_used_with_keys_alone(void **state);
void chat_fits_a_phone(void **state);

void eval_measures_and_compares(void **state);
void eval_shows_a_limit_that_is_lowered(void **state);
void eval_fits_a_phone(void **state);

void colours_have_contrast(void **state);
void nothing_broke_the_policy_and_nothing_was_thrown(void **state);

#endif /* SNUG_TESTS_WEB_CASES_H */
