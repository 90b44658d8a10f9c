/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice.h - what the tool chooses by itself to stay within memory (--optimization-strategy,
 * --adaptive-memory), and how it is told: in sentences, as data, and as options to type.
 */
#ifndef SNUG_CLI_CHOICE_H
#define SNUG_CLI_CHOICE_H

#include "cli/engine.h"

/*
 * Whether what the user left open is chosen by the strategy. Commands that compare or measure (logits,
 * perplexity, bench) keep f16 and everything unless asked with either option: a figure must not depend on
 * how much memory was free.
 */
bool cli_choice_is_adaptive(const cli_options *options);

/* --optimization-strategy; BALANCED when it is not given. */
cli_exit cli_choice_read_strategy(snug_strategy *strategy_out, const cli_options *options);

/* "planes 8/6, prefill chunk 256": the settings of a plan that a search can choose. */
typedef struct cli_choice_text {
    char text[400];
} cli_choice_text;

cli_choice_text cli_choice_in_words(const snug_plan *plan);

/* What the user should know before it begins: what was given up to stay within memory. At most one note. */
void cli_choice_warn(const cli_engine *engine);

/* The lines of --verbose. */
void cli_choice_explain(const cli_engine *engine);

/* What was chosen and by what; every candidate that was tried; parameters by the names of mlx-lm. */
json_t *cli_choice_json(const cli_engine *engine);
json_t *cli_choice_candidates_json(const cli_engine *engine);
json_t *cli_choice_parameters_json(const cli_engine *engine);

/* What to type, and a sentence with the bytes needed then. */
cli_choice_text cli_choice_way_options(const cli_engine *engine, const snug_plan_way *way);
cli_choice_text cli_choice_way_in_words(const cli_engine *engine, const snug_plan_way *way);

#endif /* SNUG_CLI_CHOICE_H */
