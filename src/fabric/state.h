/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_STATE_H
#define WEFT_FABRIC_STATE_H

/*
 * The fabric as its own files see it. Main thread alone, but for the configuration, which the jobs' threads read. The parts of it
 * stand in headers of their own: slot.h, pool.h, patrol.h ...
 */

#include "base/vec.h"
#include "config/config.h"
#include "fabric/fabric.h"
#include "fabric/slot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct activity;
struct answers;
struct clients;
struct event_base;
struct mailbox;
struct host_facts;
struct observer;
struct patrol;
struct pool;
struct relief;
struct scan_number;
struct scanning;
struct suspects;
struct traffic;
struct troubles;

/* How often one thing is tried ahead of its time in one pause. */
enum { FABRIC_HURRIES_MAX = 3 };

/* Why the pool may not take a number; both may hold. */
enum shun {
	SHUN_FOREIGN = 1, /* a foreign object has its name; ends when that goes */
	SHUN_CALLER = 2,  /* fabric_shun() */
};

struct fabric {
	struct event_base *base;
	const struct config *config;
	struct fabric_watcher watcher;
	atomic_uint mtu; /* of new links; the builder sets it */
	bool stopping;
	bool opened;        /* fabric_open() was called: the slots' plans are all that is wanted */
	bool wake_reviewed; /* a review of the sets of what sleeps is under way ... */
	bool wake_raced;    /* ... and a slot that it takes for asleep was released meanwhile */
	bool wake_unsure;   /* fabric_suspect_wake() was called, and no visit of the patrol has begun since */

	struct mailbox *mailbox;
	struct answers *answers;
	struct job_thread *builder, *claimer;

	struct slot **slots; /* by number, CONFIG_SLOT_MAX + 1 places */
	uint16_t *by_nsid;   /* slot numbers, NAMESPACE_ID_MAX + 1 places; 0: none */
	struct slot_states states;

	struct scan_number *numbers; /* by slot, of namespaces that the scan saw, until all is adopted; NULL: none */

	struct scanning *scanning;

	uint8_t *shunned; /* enum shun by number */

	struct slot_queue teardowns; /* in SLOT_LEAVING, oldest first */
	uint64_t deferred_total;     /* teardowns that found claims waiting before them */

	uint64_t defer_from_ms, defer_until_ms; /* see defer.c */

	struct observer *observer;
	struct suspects *suspects;
	struct troubles *troubles;
	struct relief *relief;
	void (*met_shortage)(struct fabric *fabric); /* whoever meets one, and is to try again, calls it */
	struct patrol *patrol;
	struct host_facts *host_facts;
	struct clients *clients;   /* whose end is due: clients.c */
	struct traffic *traffic;   /* the one reading of traffic.c */
	struct activity *activity; /* the one of activity.c */
	struct pool *pool;
};

/* What was read of all slots, in no order. */
struct traffic_list {
	VEC_OF(struct fabric_traffic);
};

/* Reads what all slots have sent and got into LIST, whose former contents go. 0, or -1 with ERR. Any thread, one at a time. */
int fabric_traffic_read_all(const struct config *config, struct traffic_list *list, struct err *err);

/* Room for a reading. NULL for want of memory. FREE after the threads; NULL is fine. */
struct traffic *fabric_traffic_new(struct fabric *fabric);
void fabric_traffic_free(struct traffic *traffic);

/* The same for clients.c. NULL with ERR. */
struct clients *fabric_clients_new(struct fabric *fabric, struct err *err);
void fabric_clients_free(struct clients *clients);
/* The same for those of activity.c. */
struct activity *fabric_activity_new(struct fabric *fabric);
void fabric_activity_free(struct activity *activity);

#endif
