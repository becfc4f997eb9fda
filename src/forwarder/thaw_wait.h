/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_THAW_WAIT_H
#define WEFT_FORWARDER_THAW_WAIT_H

/* Connections of the former run that wait for their sandbox. Main thread. */

#include "base/loop.h"
#include "forwarder/forwarder.h"
#include "forwarder/frozen.h"
#include "forwarder/handover.h"

struct thaw {
	struct forwarder *forwarder;
	struct frozen_list waiting;
	size_t count;       /* connections of WAITING */
	uint64_t frozen_ms; /* when the former run stood still */
	uint64_t aged_ms;   /* up to when their age is counted */
	size_t letters;     /* to workers, which are not back */
	struct fwd_thaw_result result;
	void (*done)(void *context, const struct fwd_thaw_result *result);
	void *context;
	struct mail finished; /* to main itself */
	bool finishing;
};

/* None waits yet. NULL for lack of memory. */
struct thaw *fwd_thaw_wait_new(struct forwarder *forwarder);

/* Resets those that still wait (reason: shutdown). */
void fwd_thaw_wait_free(struct forwarder *forwarder);

/* All that wait; NULL: none. */
const struct frozen_list *fwd_thaw_wait_list(const struct forwarder *forwarder);

/* Takes a route of sandbox ID out of those that wait: the caller's. NULL: there is none any more. */
struct frozen_route *fwd_thaw_wait_take(struct thaw *thaw, const char *id);

/* Their age is as of NOW_MS from now on, clock_now_ms(). */
void fwd_thaw_wait_age(struct forwarder *forwarder, uint64_t now_ms);

/* The next run has copies of them: forgets them without a word to their peers. */
void fwd_thaw_wait_leave(struct forwarder *forwarder);

/* Resets FROZEN, of ROUTE, which does not wait any more, for REASON: counted, with its line in the log. */
void fwd_thaw_wait_reset(struct thaw *thaw, const struct frozen_route *route, struct frozen *frozen,
			 enum fwd_close_reason reason);

/* Resets those that wait for sandbox ID. */
void fwd_thaw_wait_drop(struct forwarder *forwarder, const char *id, enum fwd_close_reason reason);

/* To be called when something is over: tells who began the thaw, once nothing waits any more. */
void fwd_thaw_wait_check(struct thaw *thaw);

#endif
