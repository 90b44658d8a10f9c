/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.h - which function answers which path: a new one is a row.
 */
#ifndef SNUG_SERVER_ROUTES_H
#define SNUG_SERVER_ROUTES_H

#include "server/http.h"

/* Ends with a row whose path is NULL. */
extern const server_route server_routes[];

/* openai.c */
enum MHD_Result server_handle_chat(server_call *call);
enum MHD_Result server_handle_completion(server_call *call);
enum MHD_Result server_handle_embeddings(server_call *call);
enum MHD_Result server_handle_model_list(server_call *call);
enum MHD_Result server_handle_model(server_call *call);

/* memory.c */
enum MHD_Result server_handle_health(server_call *call);
enum MHD_Result server_handle_memory(server_call *call);
enum MHD_Result server_handle_limit(server_call *call);
enum MHD_Result server_handle_strategy(server_call *call);

/* metrics.c */
enum MHD_Result server_handle_metrics(server_call *call);

/* tokens.c */
enum MHD_Result server_handle_tokenize(server_call *call);
enum MHD_Result server_handle_detokenize(server_call *call);

/* catalog.c */
enum MHD_Result server_handle_models(server_call *call);
enum MHD_Result server_handle_load(server_call *call);
enum MHD_Result server_handle_unload(server_call *call);
enum MHD_Result server_handle_pull(server_call *call);
enum MHD_Result server_handle_plan(server_call *call);

/* events.c */
enum MHD_Result server_handle_events(server_call *call);

/* pages.c */
enum MHD_Result server_handle_home(server_call *call);
enum MHD_Result server_handle_page(server_call *call);

#endif /* SNUG_SERVER_ROUTES_H */
