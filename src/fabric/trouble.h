/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_TROUBLE_H
#define WEFT_FABRIC_TROUBLE_H

/*
 * What is wrong with a live slot, or with the host. A trouble is a look or a repair that did not come off, for whatever reason: it
 * is reported once, tried again after 1, 2, 4 ... 30 s, reported once more when it is over, and changes no state. A failure is
 * proved, and does. Main thread alone.
 */

#include "base/queue.h"
#include "registry/failure.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct fabric;
struct fabric_rival;
struct slot;
struct troubles;

enum trouble_kind {
	TROUBLE_LOOK,  /* the slot could not be looked at */
	TROUBLE_LINKS, /* its links, addresses, routes and name could not be compared or repaired */
	TROUBLE_ROUTE, /* somebody else decides instead of one of its routes */
	TROUBLE_RULES, /* its tables could not be compared or repaired */
	TROUBLE_KINDS,
};

/* Part of a slot, or the host's. Zeroed but for the first two members: there is none. */
struct trouble {
	unsigned slot; /* 0: the host */
	enum trouble_kind kind;
	bool reported;   /* its begin was, and its end is due */
	bool waits;      /* in the queue */
	uint8_t pause;   /* seconds between the last two tries; 0: none yet */
	uint8_t left;    /* seconds */
	bool ahead;      /* it is tried ahead of its time now */
	uint8_t hurries; /* how often it was, since its pause grew last */
	char what[48];   /* as it was reported; "": by its kind */
	TAILQ_ENTRY(trouble) next;
};

/* Prepares the troubles of SLOT's record. */
void fabric_trouble_init(struct slot *slot);

/* KIND did not come off, because of ERR, or because RIVAL is in the way: reported if it is news, and tried again in time. */
void fabric_trouble_begin(struct slot *slot, enum trouble_kind kind, const struct err *err);
void fabric_trouble_begin_rival(struct slot *slot, const struct fabric_rival *rival);

/* SLOT is looked at once more in a second, without a report. */
void fabric_trouble_look_again(struct slot *slot);

/* WHAT of SLOT, or of the host (0), was put back just now: reported. */
void fabric_report_repair(const struct fabric *fabric, unsigned slot, const char *what);

/* The tables of SLOT, or of the host (0), for reports. */
const char *fabric_trouble_tables(unsigned slot);

/* KIND came off. */
void fabric_trouble_end(struct slot *slot, enum trouble_kind kind);

/* SLOT is no sandbox's any more: its troubles end without a report. */
void fabric_trouble_drop(struct slot *slot);

/* The same for the host: TROUBLE_RULES, TROUBLE_LINKS (its `unreachable` routes) and TROUBLE_ROUTE (one of those). */
void fabric_trouble_begin_host_rival(struct fabric *fabric, const struct fabric_rival *rival);
void fabric_trouble_begin_host(struct fabric *fabric, enum trouble_kind kind, const struct err *err);
void fabric_trouble_end_host(struct fabric *fabric, enum trouble_kind kind);

/* A second has passed. */
void fabric_trouble_tick(struct fabric *fabric);

/* A shortage is over: the time of all that wait has come, but for those that were tried ahead of it several times in their pause. */
void fabric_troubles_hurry(struct fabric *fabric);

/* The next trouble whose time has come, or NULL. The caller tries again, and that begins or ends it. */
struct trouble *fabric_trouble_take_due(struct fabric *fabric);

/* A look proved FAILURE of the live SLOT, says WHY: it becomes failed, and is looked at again as after a trouble. */
void fabric_slot_fail(struct slot *slot, enum failure failure, const char *why);

/* A look found nothing wrong: a failure that is not final is over. */
void fabric_slot_recover(struct slot *slot);

struct troubles *fabric_troubles_new(struct err *err);
void fabric_troubles_free(struct troubles *troubles);

#endif
