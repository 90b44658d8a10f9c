/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.c - all matches of a literal or a regex, in the order and with the empty ones that the tokenizers
 * library sees: an empty match counts, but not directly behind the match before it.
 */
#include "text/tables.h"

#include "base/status.h"
#include "text/character.h"

/* The next place where the literal (never empty) stands. */
static bool literal_search(size_t *start_out, snug_str literal, snug_str subject, size_t from)
{
    while (subject.bytes - from >= literal.bytes) {
        const char *at =
            memchr(subject.data + from, literal.data[0], subject.bytes - from - literal.bytes + 1);

        if (!at)
            return false;
        from = (size_t)(at - subject.data);
        if (memcmp(at, literal.data, literal.bytes) == 0) {
            *start_out = from;
            return true;
        }
        from++;
    }
    return false;
}

snug_status snug_pattern_next(bool *found_out, size_t *start_out, size_t *end_out,
                              snug_pattern_search *search, snug_error *error)
{
    const snug_str literal = snug_literal_str(&search->pattern->literal);

    if (!search->pattern->regex.code) {
        *found_out = literal_search(start_out, literal, search->subject, search->at);
        if (*found_out)
            *end_out = search->at = *start_out + literal.bytes;
        return SNUG_OK;
    }
    *found_out = false;
    while (search->at <= search->subject.bytes) {
        SNUG_TRY(snug_regex_search(found_out, start_out, end_out, &search->pattern->regex, search->matcher,
                                   search->subject, search->at, error));
        if (!*found_out)
            return SNUG_OK;
        if (*start_out != *end_out || *end_out != search->last_end) {
            search->at = *end_out;
            search->last_end = *end_out;
            return SNUG_OK;
        }
        /* Empty, right behind the last match: one character on. */
        *found_out = false;
        search->at +=
            search->at < search->subject.bytes ? snug_utf8_length(search->subject.data[search->at]) : 1;
    }
    return SNUG_OK;
}
