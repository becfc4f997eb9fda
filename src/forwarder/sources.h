/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_SOURCES_H
#define WEFT_FORWARDER_SOURCES_H

/*
 * Whose a guest's own connection is: the routes by the address from which the host sees their guests. The kernel lets no guest use
 * another's.
 */

#include "base/queue.h"

#include <pthread.h>
#include <stdint.h>

struct forwarder;
struct fwd_route;

enum { SOURCE_LISTS = 1024 };

/* Main writes under LOCK; any thread reads under it. */
struct sources {
	pthread_mutex_t lock;
	LIST_HEAD(, fwd_route) by_ip[SOURCE_LISTS];
};

void fwd_sources_init(struct sources *sources);
void fwd_sources_free(struct sources *sources);

/*
 * ROUTE's guest comes from IP, host order, from now on; 0: from nowhere. A worker that is in the middle of accepting may still know
 * it otherwise: fwd_wait_for_accepting(). Main thread.
 */
void fwd_sources_set(struct fwd_route *route, uint32_t ip);

/* The route whose guest comes from IP; NULL: none. Valid as long as the caller holds its worker's lock `accepting`. */
struct fwd_route *fwd_sources_find(struct forwarder *forwarder, uint32_t ip);

#endif
