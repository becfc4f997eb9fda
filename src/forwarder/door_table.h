/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_DOOR_TABLE_H
#define WEFT_FORWARDER_DOOR_TABLE_H

/* The routes by the ids and names of their sandboxes, as clients at the door say whom they want. */

#include "base/queue.h"

#include <pthread.h>

struct forwarder;
struct fwd_route;

enum { DOOR_LISTS = 4096 };

/* Main writes under LOCK; any thread reads under it. */
struct door_table {
	pthread_mutex_t lock;
	LIST_HEAD(, fwd_route) by_id[DOOR_LISTS];
	LIST_HEAD(, fwd_route) by_name[DOOR_LISTS];
};

void fwd_door_table_init(struct door_table *table);
void fwd_door_table_free(struct door_table *table);

/* ROUTE, whose id is not empty, is found by it from now on. Main thread. */
void fwd_door_table_add(struct fwd_route *route);

/* By NAME too, and by no former name; "": by none. Main thread. */
void fwd_door_table_rename(struct fwd_route *route, const char *name);

/*
 * ROUTE is found no longer; harmless where it was not. A worker that is in the middle of accepting may still know it:
 * fwd_wait_for_accepting(). Main thread.
 */
void fwd_door_table_remove(struct fwd_route *route);

/* The route of the sandbox WANTED, an id or else a name; NULL: none. Valid as long as the caller holds its worker's lock `accepting`. */
struct fwd_route *fwd_door_table_find(struct forwarder *forwarder, const char *wanted);

#endif
