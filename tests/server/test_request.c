/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_request.c - bodies of requests: what is taken, what is refused and with which words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/request.h"

static snug_memory *memory;

static bool parse(server_request *out, server_request_kind kind, const char *body, server_refusal *refusal)
{
    *refusal = (server_refusal){ 0 };
    return server_request_parse(out, memory, kind, snug_str_from(body), refusal);
}

static void takes(server_request *out, server_request_kind kind, const char *body)
{
    server_refusal refusal;

    if (!parse(out, kind, body, &refusal))
        fail_msg("%s: %s", body, refusal.text);
}

static void refuses(server_request_kind kind, const char *body, const char *param, const char *part)
{
    server_request request;
    server_refusal refusal;

    if (parse(&request, kind, body, &refusal))
        fail_msg("taken: %s", body);
    assert_int_equal(refusal.status, 400);
    assert_string_equal(refusal.param, param);
    if (!strstr(refusal.text, part))
        fail_msg("%s: expected \"%s\" in \"%s\"", body, part, refusal.text);
}

#define CHAT(rest) "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" rest "}"

static void reads_every_member(void **state)
{
    server_request r;

    (void)state;
    takes(
        &r, SERVER_REQUEST_CHAT,
        CHAT(",\"model\":\"m\",\"temperature\":0.5,\"top_p\":0.9,\"max_completion_tokens\":7,\"stop\":[\"a\","
             "\"b\"],\"seed\":-1,\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logprobs\":"
             "true,\"top_logprobs\":3,\"presence_penalty\":1,\"frequency_penalty\":-2,\"n\":1,\"user\":\"u\","
             "\"tools\":null,\"logit_bias\":{},\"snug\":{\"strategy\":\"aggressive\",\"context\":256,"
             "\"kv_bits\":\"5/4\",\"max_kv_size\":64,\"top_k\":5,\"min_p\":0.1,\"repetition_penalty\":1.1}"));
    assert_string_equal(r.model, "m");
    assert_true(r.temperature == 0.5 && r.top_p == 0.9 && r.presence_penalty == 1 &&
                r.frequency_penalty == -2);
    assert_true(r.top_k == 5 && r.min_p == 0.1 && r.repetition_penalty == 1.1);
    assert_int_equal(r.max_tokens, 7);
    assert_int_equal(r.stop_count, 2);
    assert_string_equal(r.stop[1], "b");
    assert_true(r.has_seed && r.seed == UINT64_MAX);
    assert_true(r.is_stream && r.has_usage && r.has_logprobs);
    assert_int_equal(r.top_logprobs, 3);
    assert_int_equal(r.strategy, SNUG_STRATEGY_AGGRESSIVE);
    assert_int_equal(r.context_tokens, 256);
    assert_int_equal(r.kv.key.format, SNUG_KV_FORMAT_PLANES);
    assert_int_equal(r.kv.key.bits, 5);
    assert_int_equal(r.kv.value.bits, 4);
    assert_int_equal(r.kv.retention.kind, SNUG_KV_RETENTION_ROTATING);
    assert_int_equal(r.kv.retention.max_tokens, 64);
    server_request_free(&r);
}

static void reads_messages_of_every_form(void **state)
{
    server_request r;

    (void)state;
    takes(
        &r, SERVER_REQUEST_CHAT,
        "{\"messages\":[{\"role\":\"developer\",\"content\":\"Be \\u00e9\"},{\"role\":\"user\",\"content\":["
        "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":"
        "\"b\"}]},{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"annotations\":[],\"tool_"
        "calls\":"
        "null},{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":[]}]}");
    assert_int_equal(r.message_count, 4);
    assert_string_equal(r.messages[0].role, "system");
    assert_string_equal(r.messages[0].content, "Be \xc3\xa9");
    assert_string_equal(r.messages[1].content, "ab");
    assert_string_equal(r.messages[2].content, "");
    assert_string_equal(r.messages[3].content, "");
    server_request_free(&r);
}

static void reads_prompts_of_every_form(void **state)
{
    server_request r;

    (void)state;
    takes(&r, SERVER_REQUEST_COMPLETION, "{\"prompt\":\"a\\nb\",\"logprobs\":5}");
    assert_string_equal(r.prompt, "a\nb");
    assert_true(r.has_logprobs);
    assert_int_equal(r.top_logprobs, 5);
    server_request_free(&r);
    takes(&r, SERVER_REQUEST_COMPLETION, "{\"prompt\":[\"one\"]}");
    assert_string_equal(r.prompt, "one");
    server_request_free(&r);
    takes(&r, SERVER_REQUEST_COMPLETION, "{\"prompt\":[1,2,4294967295]}");
    assert_int_equal(r.id_count, 3);
    assert_int_equal(r.ids[2], UINT32_MAX);
    server_request_free(&r);
    takes(&r, SERVER_REQUEST_COMPLETION, "{\"prompt\":[[7,8]]}");
    assert_int_equal(r.id_count, 2);
    server_request_free(&r);
}

static void refuses_by_name_what_it_cannot_do(void **state)
{
    (void)state;
    refuses(SERVER_REQUEST_CHAT, "", "", "no body");
    refuses(SERVER_REQUEST_CHAT, "[]", "", "an object is expected");
    refuses(SERVER_REQUEST_CHAT, "{\"messages\":[}", "", "not JSON");
    refuses(SERVER_REQUEST_CHAT, "{}", "messages", "missing");
    refuses(SERVER_REQUEST_COMPLETION, "{}", "prompt", "missing");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"nonsense\":1"), "nonsense", "not a parameter");
    refuses(SERVER_REQUEST_COMPLETION, "{\"prompt\":\"a\",\"messages\":[]}", "messages", "not a parameter");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"snug\":{\"bits\":1}"), "snug.bits", "not a parameter");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"n\":2"), "n", "can only be 1");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"tools\":[{}]"), "tools", "not supported");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"response_format\":{\"type\":\"json_object\"}"), "response_format",
            "only be");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"temperature\":2.5"), "temperature", "from 0 to 2");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"temperature\":\"hot\""), "temperature", "not \"hot\"");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"max_tokens\":0"), "max_tokens", "from 1");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"), "stop", "at most 4");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"stop\":\"\""), "stop", "0 bytes");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"top_logprobs\":2"), "top_logprobs", "needs");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"messages\":[]"), "messages", "twice");
    refuses(SERVER_REQUEST_CHAT, "{\"messages\":[{\"role\":\"king\",\"content\":\"\"}]}", "messages[0]",
            "role is");
    refuses(SERVER_REQUEST_CHAT,
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", "messages[0]",
            "text alone");
    refuses(SERVER_REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"\",\"name\":\"x\"}]}",
            "messages[0]", "\"name\"");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"snug\":{\"kv_format\":\"f16\",\"kv_bits\":8}"), "snug.kv_bits",
            "16 bits");
    refuses(SERVER_REQUEST_CHAT, CHAT(",\"snug\":{\"kv_bits\":\"7\"}"), "snug.kv_bits", "K/V");
}

/* Cut anywhere, a body is refused or taken, and nothing stays in the ledger. */
static void takes_no_harm_from_cut_bodies(void **state)
{
    static const char body[] =
        CHAT(",\"stop\":[\"a\"],\"snug\":{\"kv_bits\":\"5/4\"},\"stream_options\":{\"include_usage\":true}");
    server_request request;
    server_refusal refusal;

    (void)state;
    for (size_t bytes = 0; bytes < sizeof body; bytes++) {
        char *cut = malloc(bytes + 1); /* exactly so large: a sanitizer sees what is read beyond */

        assert_non_null(cut);
        memcpy(cut, body, bytes);
        if (server_request_parse(&request, memory, SERVER_REQUEST_CHAT, (snug_str){ cut, bytes }, &refusal))
            server_request_free(&request);
        free(cut);
    }
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
}

static int create(void **state)
{
    (void)state;
    return snug_memory_create(&memory, NULL) == SNUG_OK ? 0 : -1;
}

static int destroy(void **state)
{
    (void)state;
    snug_memory_destroy(memory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_member),
        cmocka_unit_test(reads_messages_of_every_form),
        cmocka_unit_test(reads_prompts_of_every_form),
        cmocka_unit_test(refuses_by_name_what_it_cannot_do),
        cmocka_unit_test(takes_no_harm_from_cut_bodies),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
