/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c - see the header.
 */
#include "server/routes.h"

const server_route server_routes[] = {
    { "GET", "/", SERVER_ROUTE_OPEN, server_handle_home },
    { "GET", "/chat", SERVER_ROUTE_OPEN, server_handle_page },
    { "GET", "/eval", SERVER_ROUTE_OPEN, server_handle_page },
    { "GET", "/web/", SERVER_ROUTE_OPEN | SERVER_ROUTE_TREE, server_handle_page },
    { "GET", "/health", SERVER_ROUTE_OPEN, server_handle_health },
    { "POST", "/v1/chat/completions", 0, server_handle_chat },
    { "POST", "/v1/completions", 0, server_handle_completion },
    { "POST", "/v1/embeddings", 0, server_handle_embeddings },
    { "GET", "/v1/models", 0, server_handle_model_list },
    { "GET", "/v1/models/", SERVER_ROUTE_TREE, server_handle_model },
    { "POST", "/tokenize", 0, server_handle_tokenize },
    { "POST", "/detokenize", 0, server_handle_detokenize },
    { "GET", "/metrics", 0, server_handle_metrics },
    { "GET", "/api/models", 0, server_handle_models },
    { "POST", "/api/models/load", 0, server_handle_load },
    { "POST", "/api/models/unload", 0, server_handle_unload },
    { "POST", "/api/models/pull", 0, server_handle_pull },
    { "POST", "/api/plan", 0, server_handle_plan },
    { "GET", "/api/memory", 0, server_handle_memory },
    { "POST", "/api/limit", 0, server_handle_limit },
    { "POST", "/api/strategy", 0, server_handle_strategy },
    { "GET", "/api/events", 0, server_handle_events },
    { NULL, NULL, 0, NULL },
};
