/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_catalog.c - the catalogue's rows against what is published, and the choice among them.
 */
#define _DEFAULT_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "catalog/catalog.h"

#define GIB  ((uint64_t)1 << 30)
#define MINI SNUG_SOURCE_FOLDER "/models/mini"

typedef struct rig {
    snug_memory *memory;
    snug_catalog *catalog;
    char folder[64];
} rig;

static void rig_open(rig *r, const char *user_file, const char *cache, const char *bundled)
{
    const snug_catalog_options options = { .struct_size = sizeof options,
                                           .user_file = user_file,
                                           .cache_folder = cache,
                                           .bundled_folder = bundled };
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    if (snug_catalog_open(&r->catalog, r->memory, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
}

static void rig_close(rig *r)
{
    snug_catalog_close(r->catalog);
    snug_memory_destroy(r->memory);
}

static snug_catalog_choice *choose(const rig *r, uint64_t limit, bool is_installed_only)
{
    const snug_catalog_query query = { .struct_size = sizeof query,
                                       .limit_bytes = limit,
                                       .is_installed_only = is_installed_only };
    snug_catalog_choice *choice = NULL;
    snug_error error = { SNUG_OK, "" };

    if (snug_catalog_best(&choice, r->catalog, &query, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return choice;
}

static snug_catalog_candidate candidate_at(const snug_catalog_choice *choice, size_t index)
{
    snug_catalog_candidate c = { .struct_size = sizeof c };

    snug_catalog_read_candidate(&c, choice, index);
    return c;
}

static const catalog_model *row(const rig *r, const char *name)
{
    size_t model, source;

    if (!snug_catalog_find(&model, &source, r->catalog, name))
        fail_msg("no %s", name);
    return &r->catalog->models[model];
}

/* --- the rows ------------------------------------------------------------------------------------------- */

static snug_model_info outline_info(const rig *r, const catalog_model *model, const char *weights)
{
    const snug_model_outline outline = { .struct_size = sizeof outline,
                                         .name = model->name,
                                         .config = model->config.data,
                                         .config_bytes = model->config.bytes,
                                         .weights = weights };
    snug_model_info info = { .struct_size = sizeof info };
    snug_error error = { SNUG_OK, "" };
    snug_model *opened;

    if (snug_model_open_outline(&opened, r->memory, &outline, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    snug_model_read_info(&info, opened);
    snug_model_close(opened);
    return info;
}

/* Counts that publishers give; each is the sum of all shapes. */
static void shapes_have_the_published_numbers_of_parameters(void **state)
{
    static const struct {
        const char *name;
        uint64_t parameters;
    } published[] = {
        { "openelm-270m", 271527168 }, { "qwen3-0.6b", 596049920 }, { "qwen3-1.7b", 1720574976 },
        { "qwen3-4b", 4022468096 },    { "qwen3-8b", 8190735360 },  { "llama3.2-1b", 1235814400 },
        { "llama3.2-3b", 3212749824 }, { "llama3-8b", 8030261248 }, { "phi3.5-mini", 3821079552 },
        { "smollm3-3b", 3075098624 },  { "gemma3-1b", 999885952 },
    };
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        assert_int_equal(outline_info(&r, row(&r, published[i].name), "bf16").parameters,
                         published[i].parameters);
    /* 10 of its 30 layers share keys and values: theirs are in the file, unused. */
    assert_in_range(outline_info(&r, row(&r, "gemma3n-e2b"), "bf16").parameters, 4456156768u - 25000000u,
                    4456156768u);
    assert_int_equal(snug_catalog_model_count(r.catalog), 12);
    rig_close(&r);
}

/* Sizes of published files. They hold the tokenizer too, which is no weight: 6 to 8 MB of them. */
static void weights_take_what_published_files_take(void **state)
{
    static const struct {
        const char *repository;
        uint64_t bytes;
    } published[] = {
        { "Qwen/Qwen3-0.6B-GGUF", 639446688 },        { "Qwen/Qwen3-4B-GGUF", 2497280256 },
        { "ggml-org/SmolLM3-3B-GGUF", 1915305312 },   { "bartowski/Llama-3.2-3B-Instruct-GGUF", 2019377696 },
        { "ggml-org/gemma-3-1b-it-GGUF", 806058240 },
    };
    snug_catalog_choice *choice;
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, NULL);
    choice = choose(&r, GIB, false);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        size_t model, source, found = 0;

        assert_true(snug_catalog_find(&model, &source, r.catalog, published[i].repository));
        for (size_t c = 0; c < snug_catalog_candidate_count(choice); c++) {
            const snug_catalog_candidate candidate = candidate_at(choice, c);

            if (candidate.model != model || candidate.source != source)
                continue;
            found++;
            print_message("%s: %llu of %llu\n", published[i].repository,
                          (unsigned long long)candidate.file_bytes, (unsigned long long)published[i].bytes);
            assert_in_range(candidate.file_bytes, published[i].bytes - published[i].bytes / 100,
                            published[i].bytes);
        }
        assert_int_equal(found, 1);
    }
    snug_catalog_choice_destroy(choice);
    rig_close(&r);
}

/* Every source can be planned: names, weights and shapes make sense. */
static void every_row_is_planned(void **state)
{
    snug_catalog_choice *choice;
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, NULL);
    choice = choose(&r, 64 * GIB, false);
    assert_true(snug_catalog_candidate_count(choice) >= 36);
    for (size_t i = 0; i < snug_catalog_candidate_count(choice); i++) {
        const snug_catalog_candidate c = candidate_at(choice, i);

        assert_true(c.is_planned);
        assert_true(c.fits);
        assert_true(c.weight_bytes <= c.file_bytes && c.need_bytes == c.plan.peak_bytes + c.weight_bytes);
        assert_true(c.parameters > 0);
    }
    snug_catalog_choice_destroy(choice);
    rig_close(&r);
}

/* --- the choice ----------------------------------------------------------------------------------------- */

/* In each tier the choice is one of those that the document names, or one with more parameters that fits. */
static void chooses_at_least_as_well_as_the_documents_tiers(void **state)
{
    static const uint64_t limits[SNUG_CATALOG_TIERS] = { GIB, 3 * GIB, 6 * GIB, 12 * GIB };
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, NULL);
    for (unsigned tier = 0; tier < SNUG_CATALOG_TIERS; tier++) {
        snug_catalog_choice *choice = choose(&r, limits[tier], false);
        snug_catalog_candidate best;

        assert_true(snug_catalog_chosen(choice) != SIZE_MAX);
        best = candidate_at(choice, snug_catalog_chosen(choice));
        print_message("%s\n", snug_catalog_explanation(choice));
        assert_true(best.fits && best.is_chosen && best.need_bytes <= limits[tier]);
        assert_true((double)best.plan.peak_bytes <=
                    snug_strategy_rules_of(SNUG_STRATEGY_AUTO)->plan_share * (double)limits[tier]);
        assert_int_equal(best.plan.context_tokens, 4096);
        assert_non_null(strstr(snug_catalog_explanation(choice), "the best that fits: needs"));
        for (size_t i = 0; i < snug_catalog_candidate_count(choice); i++) {
            const snug_catalog_candidate c = candidate_at(choice, i);

            assert_true(c.why[0] != '\0');
            assert_int_equal(c.is_chosen, i == snug_catalog_chosen(choice));
            if ((r.catalog->models[c.model].tiers >> tier & 1) == 0)
                continue;
            /* Of the document's list: not better, or it does not fit, and the sentence has the figures. */
            assert_true(!c.fits || c.parameters <= best.parameters);
            if (!c.fits)
                assert_non_null(strstr(c.why, "needs"));
        }
        snug_catalog_choice_destroy(choice);
    }
    rig_close(&r);
}

static void more_memory_never_means_a_smaller_model(void **state)
{
    uint64_t parameters = 0;
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, MINI);
    for (uint64_t limit = GIB / 2; limit <= 16 * GIB; limit += limit / 2) {
        snug_catalog_choice *choice = choose(&r, limit, false);
        const snug_catalog_candidate best = candidate_at(choice, snug_catalog_chosen(choice));

        assert_true(best.parameters >= parameters);
        parameters = best.parameters;
        snug_catalog_choice_destroy(choice);
    }
    assert_true(parameters > 7000000000u);
    rig_close(&r);
}

static void says_that_nothing_fits(void **state)
{
    snug_catalog_choice *choice;
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, NULL);
    choice = choose(&r, GIB / 8, false);
    assert_true(snug_catalog_chosen(choice) == SIZE_MAX);
    assert_non_null(strstr(snug_catalog_explanation(choice), "nothing fits in 128.0 MiB: the smallest, "));
    snug_catalog_choice_destroy(choice);
    choice = choose(&r, GIB, true);
    assert_string_equal(snug_catalog_explanation(choice), "no model is installed");
    assert_int_equal(snug_catalog_candidate_count(choice), 0);
    snug_catalog_choice_destroy(choice);
    rig_close(&r);
}

static void strategies_plan_less_or_more_full(void **state)
{
    static const snug_strategy strategies[] = { SNUG_STRATEGY_CONSERVATIVE, SNUG_STRATEGY_BALANCED,
                                                SNUG_STRATEGY_AGGRESSIVE };
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        const snug_strategy_rules *rules = snug_strategy_rules_of(strategies[i]);
        const snug_catalog_query query = { .struct_size = sizeof query,
                                           .limit_bytes = 3 * GIB,
                                           .strategy = strategies[i],
                                           .context_tokens = 8192 };
        snug_catalog_choice *choice = NULL;

        assert_int_equal(snug_catalog_best(&choice, r.catalog, &query, NULL), SNUG_OK);
        for (size_t c = 0; c < snug_catalog_candidate_count(choice); c++) {
            const snug_catalog_candidate candidate = candidate_at(choice, c);
            const uint32_t bits = candidate.plan.kv.key.bits ? candidate.plan.kv.key.bits : 16;

            if (candidate.fits)
                assert_true((double)candidate.plan.peak_bytes <= rules->plan_share * 3.0 * (double)GIB);
            assert_in_range(bits, rules->floor_key_bits, rules->first_key_bits);
        }
        snug_catalog_choice_destroy(choice);
    }
    rig_close(&r);
}

/* --- what is installed, and the user's own file --------------------------------------------------------- */

static void make_folder(const char *folder, const char *rest)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, rest);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void write_file(const char *folder, const char *rest, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, rest);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void link_file(const char *folder, const char *rest, const char *target)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, rest);
    assert_int_equal(symlink(target, path), 0);
}

static void remove_all(const char *folder)
{
    char command[256];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define CONFIG                                                                                               \
    "{\"model_type\":\"qwen3\",\"vocab_size\":4096,\"hidden_size\":128,\"intermediate_size\":384,"           \
    "\"num_hidden_layers\":4,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":64,"           \
    "\"max_position_embeddings\":4096,\"tie_word_embeddings\":true}"
#define USER_FILE                                                                                            \
    "{\"format\":1,\"tokenizers\":{\"own\":{\"pieces\":4096,\"piece_bytes\":30000,\"merges\":3800}},"        \
    "\"models\":[{\"name\":\"tiny\",\"tokenizer\":\"own\",\"sources\":[{\"repository\":\"me/tiny\","         \
    "\"weights\":\"bf16\"}],\"config\":" CONFIG "},"                                                         \
    "{\"name\":\"qwen3-8b\",\"tokenizer\":\"qwen\",\"sources\":[{\"repository\":\"me/other\","               \
    "\"weights\":\"q8_0\"}],\"config\":" CONFIG "}]}"

/* A user's catalogue and a cache folder as the hub's tools leave it. */
static void make_places(rig *r, char *user_file, char *cache)
{
    static const char *const files[] = { "config.json", "model.safetensors", "tokenizer.json",
                                         "tokenizer_config.json" };

    snprintf(r->folder, sizeof r->folder, "/tmp/snug-catalog-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    write_file(r->folder, "catalog.json", USER_FILE);
    make_folder(r->folder, "hub");
    make_folder(r->folder, "hub/models--me--tiny");
    make_folder(r->folder, "hub/models--me--tiny/refs");
    make_folder(r->folder, "hub/models--me--tiny/snapshots");
    make_folder(r->folder, "hub/models--me--tiny/snapshots/" COMMIT);
    write_file(r->folder, "hub/models--me--tiny/refs/main", COMMIT);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char rest[256], target[512];

        snprintf(rest, sizeof rest, "hub/models--me--tiny/snapshots/" COMMIT "/%s", files[i]);
        snprintf(target, sizeof target, MINI "/%s", files[i]);
        link_file(r->folder, rest, target);
    }
    snprintf(user_file, 256, "%s/catalog.json", r->folder);
    snprintf(cache, 256, "%s/hub", r->folder);
}

static void finds_what_other_programs_have_fetched(void **state)
{
    char user_file[256], cache[256];
    snug_catalog_choice *installed, *all;
    snug_catalog_candidate real, planned;
    rig r, outline;

    (void)state;
    make_places(&r, user_file, cache);
    rig_open(&r, user_file, cache, NULL);
    installed = choose(&r, GIB, true);
    assert_int_equal(snug_catalog_candidate_count(installed), 1);
    real = candidate_at(installed, 0);
    assert_non_null(strstr(real.path, "hub/models--me--tiny/snapshots/" COMMIT));
    assert_true(real.is_planned && real.is_chosen);
    /* The same row planned from its shape alone. */
    rig_open(&outline, user_file, NULL, NULL);
    all = choose(&outline, GIB, false);
    planned = candidate_at(all, snug_catalog_candidate_count(all) - 1);
    assert_string_equal(outline.catalog->models[planned.model].name, "tiny");
    assert_null(planned.path);
    assert_int_equal(real.weight_bytes, planned.weight_bytes);
    assert_int_equal(real.parameters, planned.parameters);
    assert_int_equal(real.plan.use_bytes[SNUG_MEMORY_KV], planned.plan.use_bytes[SNUG_MEMORY_KV]);
    assert_int_equal(real.plan.use_bytes[SNUG_MEMORY_SCRATCH], planned.plan.use_bytes[SNUG_MEMORY_SCRATCH]);
    /* Its tokenizer is far smaller than those the estimate is made for. What the process has beside the
     * ledger grows from plan to plan under a sanitizer. */
    planned.need_bytes -= planned.plan.fixed_bytes;
    real.need_bytes -= real.plan.fixed_bytes;
    assert_in_range(planned.need_bytes, real.need_bytes - 512 * 1024, real.need_bytes + 512 * 1024);
    snug_catalog_choice_destroy(all);
    snug_catalog_choice_destroy(installed);
    rig_close(&outline);
    rig_close(&r);
    remove_all(r.folder);
}

static void a_damaged_download_is_a_sentence(void **state)
{
    char user_file[256], cache[256];
    snug_catalog_candidate c;
    snug_catalog_choice *choice;
    rig r;

    (void)state;
    make_places(&r, user_file, cache);
    write_file(r.folder, "cut", "cut");
    {
        char path[512];

        snprintf(path, sizeof path, "%s/hub/models--me--tiny/snapshots/" COMMIT "/model.safetensors",
                 r.folder);
        assert_int_equal(unlink(path), 0);
        link_file(r.folder, "hub/models--me--tiny/snapshots/" COMMIT "/model.safetensors", "../../../../cut");
    }
    rig_open(&r, user_file, cache, MINI);
    choice = choose(&r, GIB, true);
    c = candidate_at(choice, 0);
    assert_false(c.is_planned);
    assert_false(c.fits);
    assert_non_null(strstr(c.why, "model.safetensors"));
    assert_int_equal(snug_catalog_chosen(choice), 1); /* the bundled one */
    snug_catalog_choice_destroy(choice);
    rig_close(&r);
    remove_all(r.folder);
}

static void a_users_row_takes_the_place_of_ours(void **state)
{
    char user_file[256], cache[256];
    snug_catalog_source source = { .struct_size = sizeof source };
    size_t model, index;
    rig r;

    (void)state;
    make_places(&r, user_file, cache);
    rig_open(&r, user_file, cache, MINI);
    assert_int_equal(snug_catalog_model_count(r.catalog), 14);
    assert_true(snug_catalog_find(&model, &index, r.catalog, "qwen3-8b"));
    snug_catalog_read_source(&source, r.catalog, model, index);
    assert_string_equal(source.repository, "me/other");
    rig_close(&r);
    remove_all(r.folder);
}

static void finds_by_name_and_repository(void **state)
{
    static const struct {
        const char *name;
        const char *model;
        size_t source;
    } rows[] = {
        { "qwen3-4b", "qwen3-4b", 0 },
        { "Qwen3-4B", "qwen3-4b", 0 },
        { "Qwen/Qwen3-4B", "qwen3-4b", 2 },
        { "qwen/qwen3-4b-gguf", "qwen3-4b", 1 },
        { "Qwen/Qwen3-4B-GGUF:Qwen3-4B-Q4_K_M.gguf", "qwen3-4b", 1 },
        { "mini", "mini", 0 },
        { "Qwen/Qwen3-4B-GGUF:other.gguf", NULL, 0 },
        { "Qwen/Qwen3-4", NULL, 0 },
        { "qwen3-4b:", NULL, 0 },
        { "", NULL, 0 },
    };
    rig r;

    (void)state;
    rig_open(&r, NULL, NULL, MINI);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t model, source;

        if (!snug_catalog_find(&model, &source, r.catalog, rows[i].name)) {
            assert_null(rows[i].model);
            continue;
        }
        assert_non_null(rows[i].model);
        assert_string_equal(r.catalog->models[model].name, rows[i].model);
        assert_int_equal(source, rows[i].source);
    }
    rig_close(&r);
}

static void says_what_is_wrong_with_a_users_file(void **state)
{
#define MODEL_WITH(rest) "{\"format\":1,\"models\":[{\"name\":\"x\",\"config\":{}," rest "}]}"
    static const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        { "{", "catalog.json: " },
        { "[]", "not a catalogue: expected an object with \"format\": 1" },
        { "{\"format\":2,\"models\":[]}", "\"format\": 1" },
        { "{\"format\":1,\"models\":{}}", "models should be a list" },
        { "{\"format\":1,\"models\":[{}]}", "name is missing, expected a short text" },
        { "{\"format\":1,\"models\":[{\"name\":\"x\"}]}", "config is missing" },
        { MODEL_WITH("\"tokenizer\":\"none\""), "model \"x\": tokenizer is \"none\"" },
        { MODEL_WITH("\"tokenizer\":\"qwen\""), "model \"x\": sources is missing" },
        { MODEL_WITH("\"tokenizer\":\"qwen\",\"tiers\":[\"huge\"]"), "tiers is [\"huge\"]" },
        { MODEL_WITH("\"tokenizer\":\"qwen\",\"sources\":[{\"repository\":\"../x\",\"weights\":\"bf16\"}]"),
          "each with a repository" },
        { MODEL_WITH("\"tokenizer\":\"qwen\",\"sources\":[{\"repository\":\"a/b\",\"file\":\"/etc/x\","
                     "\"weights\":\"bf16\"}]"),
          "a path inside its repository" },
        { MODEL_WITH("\"tokenizer\":\"qwen\",\"sources\":[{\"repository\":\"a/b\"}]"), "each with weights" },
    };
    rig r;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[256], cache[256];
        const snug_catalog_options options = { .struct_size = sizeof options, .user_file = path };
        snug_error error = { SNUG_OK, "" };

        make_places(&r, path, cache);
        write_file(r.folder, "catalog.json", rows[i].text);
        assert_int_equal(snug_memory_create(&r.memory, NULL), SNUG_OK);
        assert_int_equal(snug_catalog_open(&r.catalog, r.memory, &options, &error), SNUG_ERR_CORRUPT);
        if (!strstr(error.text, rows[i].sentence))
            fail_msg("\"%s\" is not in \"%s\"", rows[i].sentence, error.text);
        snug_memory_destroy(r.memory);
        remove_all(r.folder);
    }
}

static void names_that_would_lead_elsewhere_are_refused(void **state)
{
    static const char *const bad_repositories[] = { "",      "a",     "a/",    "/b",    "../b",
                                                    "a/..",  "a/b/c", "a/b c", "a/b\\", "a--b/c",
                                                    "a/b:x", "./b",   "a/\n" };
    static const char *const bad_files[] = { "",  "/x",    "../x", "a/../x", "a//x", "x/",
                                             ".", "a/./x", "x\\y", "c:x",    "a\nb", "a/..." };
    static const char *const good_files[] = { "x", "a/b.gguf", ".gitattributes",
                                              "model-00001-of-00002.safetensors", "a..b" };

    (void)state;
    for (size_t i = 0; i < sizeof bad_repositories / sizeof bad_repositories[0]; i++)
        assert_false(snug_hub_is_repository(snug_str_from(bad_repositories[i])));
    assert_true(snug_hub_is_repository(snug_str_from("mlx-community/Qwen3-0.6B-4bit")));
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++)
        assert_false(snug_hub_is_file(snug_str_from(bad_files[i])));
    for (size_t i = 0; i < sizeof good_files / sizeof good_files[0]; i++)
        assert_true(snug_hub_is_file(snug_str_from(good_files[i])));
}

static void places_follow_the_environment(void **state)
{
    char path[64];

    (void)state;
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", "/h", 1);
    assert_true(snug_catalog_cache_folder(path, sizeof path));
    assert_string_equal(path, "/h/.cache/huggingface/hub");
    assert_true(snug_catalog_user_file(path, sizeof path));
    assert_string_equal(path, "/h/.config/snug/catalog.json");
    setenv("XDG_CACHE_HOME", "/x", 1);
    assert_true(snug_catalog_cache_folder(path, sizeof path));
    assert_string_equal(path, "/x/huggingface/hub");
    setenv("HF_HOME", "/f", 1);
    assert_true(snug_catalog_cache_folder(path, sizeof path));
    assert_string_equal(path, "/f/hub");
    setenv("HUGGINGFACE_HUB_CACHE", "/g", 1);
    assert_true(snug_catalog_cache_folder(path, sizeof path));
    assert_string_equal(path, "/g");
    assert_false(snug_catalog_cache_folder(path, 2));
}

static void gives_all_back_when_memory_is_refused(void **state)
{
    snug_status status = SNUG_ERR_OVER_LIMIT;

    (void)state;
    for (uint64_t n = 1; status != SNUG_OK; n++) {
        const snug_memory_options options = { .struct_size = sizeof options, .fail_after = n };
        const snug_catalog_options places = { .struct_size = sizeof places, .bundled_folder = MINI };
        const snug_catalog_query query = { .struct_size = sizeof query, .limit_bytes = GIB };
        snug_catalog_choice *choice = NULL;
        rig r = { 0 };

        assert_true(n < 10);
        assert_int_equal(snug_memory_create(&r.memory, &options), SNUG_OK);
        status = snug_catalog_open(&r.catalog, r.memory, &places, NULL);
        if (status == SNUG_OK)
            status = snug_catalog_best(&choice, r.catalog, &query, NULL);
        snug_catalog_choice_destroy(choice);
        snug_catalog_close(r.catalog);
        assert_int_equal(snug_memory_read_all(r.memory).blocks, 0);
        snug_memory_destroy(r.memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_have_the_published_numbers_of_parameters),
        cmocka_unit_test(weights_take_what_published_files_take),
        cmocka_unit_test(every_row_is_planned),
        cmocka_unit_test(chooses_at_least_as_well_as_the_documents_tiers),
        cmocka_unit_test(more_memory_never_means_a_smaller_model),
        cmocka_unit_test(says_that_nothing_fits),
        cmocka_unit_test(strategies_plan_less_or_more_full),
        cmocka_unit_test(finds_what_other_programs_have_fetched),
        cmocka_unit_test(a_damaged_download_is_a_sentence),
        cmocka_unit_test(a_users_row_takes_the_place_of_ours),
        cmocka_unit_test(finds_by_name_and_repository),
        cmocka_unit_test(says_what_is_wrong_with_a_users_file),
        cmocka_unit_test(names_that_would_lead_elsewhere_are_refused),
        cmocka_unit_test(places_follow_the_environment),
        cmocka_unit_test(gives_all_back_when_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
