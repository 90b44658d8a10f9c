/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mhd.h - libmicrohttpd, loaded when a server starts: it brings a TLS library and its data along, which no
 * other command should pay for (0.6 MB, docs/decisions/0015). Include this, not <microhttpd.h>.
 */
#ifndef SNUG_SERVER_MHD_H
#define SNUG_SERVER_MHD_H

#include <microhttpd.h>

#include <snug/base.h>

#define SERVER_MHD_FUNCTIONS(X)                                                                              \
    X(add_response_header)                                                                                   \
    X(create_response_from_buffer)                                                                           \
    X(create_response_from_buffer_with_free_callback)                                                        \
    X(create_response_from_callback)                                                                         \
    X(create_response_from_iovec)                                                                            \
    X(destroy_response)                                                                                      \
    X(get_connection_info)                                                                                   \
    X(lookup_connection_value)                                                                               \
    X(queue_response)                                                                                        \
    X(quiesce_daemon)                                                                                        \
    X(resume_connection)                                                                                     \
    X(start_daemon)                                                                                          \
    X(stop_daemon)                                                                                           \
    X(suspend_connection)

typedef struct server_mhd_functions {
#define SERVER_MHD_MEMBER(name) __typeof__(&MHD_##name) name;
    SERVER_MHD_FUNCTIONS(SERVER_MHD_MEMBER)
#undef SERVER_MHD_MEMBER
} server_mhd_functions;

/* Written once, before there are threads. */
extern server_mhd_functions server_mhd;

/* Errors: UNSUPPORTED (it is not on this machine). */
SNUG_MUST_CHECK snug_status server_mhd_load(snug_error *error);

#define MHD_add_response_header         server_mhd.add_response_header
#define MHD_create_response_from_buffer server_mhd.create_response_from_buffer
#define MHD_create_response_from_buffer_with_free_callback                                                   \
    server_mhd.create_response_from_buffer_with_free_callback
#define MHD_create_response_from_callback server_mhd.create_response_from_callback
#define MHD_create_response_from_iovec    server_mhd.create_response_from_iovec
#define MHD_destroy_response              server_mhd.destroy_response
#define MHD_get_connection_info           server_mhd.get_connection_info
#define MHD_lookup_connection_value       server_mhd.lookup_connection_value
#define MHD_queue_response                server_mhd.queue_response
#define MHD_quiesce_daemon                server_mhd.quiesce_daemon
#define MHD_resume_connection             server_mhd.resume_connection
#define MHD_start_daemon                  server_mhd.start_daemon
#define MHD_stop_daemon                   server_mhd.stop_daemon
#define MHD_suspend_connection            server_mhd.suspend_connection

#endif /* SNUG_SERVER_MHD_H */
