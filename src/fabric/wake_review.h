/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_WAKE_REVIEW_H
#define WEFT_FABRIC_WAKE_REVIEW_H

/* Compares the host's sets of what wakes sandboxes with the plans of all slots that sleep, as a part of the patrol's visit. */

#include "base/vec.h"
#include "fabric/slot/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct config;
struct err;
struct fabric;

struct wake_review {
	bool wanted;         /* it can be done: all slots are known, and there was memory */
	bool unsure;         /* weftd itself may have left elements out, so that no other program is to blame */
	bool repaired;       /* another program had removed some */
	uint32_t generation; /* of the host's ruleset when the sets were found right; 0: never */
	struct plan_list {
		VEC_OF(struct plan_share *);
	} asleep;
};

/* Fills in a zeroed REVIEW with what sleeps now. GENERATION: that of the review before. Main thread. */
void fabric_wake_review_gather(struct wake_review *review, struct fabric *fabric, uint32_t generation);

/* Compares, and puts right what differs; nothing if no rule or element has changed since the last time. 0, or -1 with ERR. Any thread. */
int fabric_wake_review_run(struct wake_review *review, const struct config *config, struct err *err);

/* Empties REVIEW. FAILED: it did not come off. Returns the generation for the next one. Main thread. */
uint32_t fabric_wake_review_end(struct wake_review *review, struct fabric *fabric, bool failed);

#endif
