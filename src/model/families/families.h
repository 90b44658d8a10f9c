/* SPDX-License-Identifier: Apache-2.0 */
/*
 * families.h - one declaration per family; the table is in ../families.c.
 */
#ifndef SNUG_SRC_MODEL_FAMILIES_FAMILIES_H
#define SNUG_SRC_MODEL_FAMILIES_FAMILIES_H

#include "model/model.h"

extern const snug_family snug_family_gemma3;
extern const snug_family snug_family_gemma3n;
extern const snug_family snug_family_gemma3n_text;
extern const snug_family snug_family_llama;
extern const snug_family snug_family_openelm;
extern const snug_family snug_family_phi3;
extern const snug_family snug_family_qwen3;
extern const snug_family snug_family_smollm3;

#endif /* SNUG_SRC_MODEL_FAMILIES_FAMILIES_H */
