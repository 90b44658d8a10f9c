/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fits.h - which models fit: the whole catalogue is planned, which takes a second of a processor, and kept
 * until what the plans depend on is another.
 */
#ifndef SNUG_SERVER_FITS_H
#define SNUG_SERVER_FITS_H

#include <pthread.h>

#include <snug/catalog.h>

struct server;

typedef struct server_fits {
    pthread_mutex_t lock; /* held while it is planned, too: who asks meanwhile waits for that answer */
    snug_catalog_choice *choice;
    snug_catalog_query query; /* that it answers */
} server_fits;

void server_fits_init(struct server *server);
void server_fits_deinit(struct server *server);

/*
 * The plans for the strategy of now, within the limit that was set or the machine's if that is less. A limit
 * of the machine's, which moves with what others take, is taken for the one of before within a thirty-second
 * part of it. Nobody else has them until server_fits_leave(), which is called only after success. Errors:
 * those of snug_catalog_best().
 */
SNUG_MUST_CHECK snug_status server_fits_take(const snug_catalog_choice **choice_out, struct server *server,
                                             snug_error *error);
void server_fits_leave(struct server *server);

#endif /* SNUG_SERVER_FITS_H */
