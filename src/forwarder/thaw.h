/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_THAW_H
#define WEFT_FORWARDER_THAW_H

/* Connections of the former run on their way from main to the worker on which they will live. */

#include "base/loop.h"
#include "base/vec.h"
#include "forwarder/forwarder.h"
#include "forwarder/frozen.h"
#include "forwarder/route_state.h"

struct fwd_endpoint;
struct route_side;
struct thaw;

/* What the facts about a route say of its connections. Main's judgement. */
struct thaw_verdict {
	bool all_end;   /* for REASON */
	bool flows_end; /* those in which the guest takes part do */
	enum fwd_close_reason reason;
};

/* A connection with its endpoint, of which it has a reference. Counted and admitted. */
struct thaw_item {
	struct frozen *frozen; /* the letter's */
	struct fwd_endpoint *endpoint;
};

/* Some connections of one frozen route: the first are revived while main writes the next letter. */
struct thaw_letter {
	struct mail mail;
	void (*answer)(struct mail *mail); /* called on main when the letter is back */
	struct thaw *thaw;
	struct frozen_route *frozen; /* has its connections: of main alone, but for these */
	struct route_side *side;
	struct route_state before; /* the route as these connections knew it, and as it was at the verdict */
	struct thaw_verdict verdict;
	uint64_t gap_us; /* since their age was counted */
	size_t taken, lost;
	VEC_OF(struct thaw_item);
};

/* Delivers a letter: revives its connections, or resets them, and sends it back. Worker's thread. */
void fwd_thaw_on_letter(struct mail *mail);

#endif
