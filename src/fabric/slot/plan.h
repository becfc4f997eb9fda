/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_PLAN_H
#define WEFT_FABRIC_SLOT_PLAN_H

/* Plans of our own, for a caller's plan is valid during its call only. Plain data, no locks. */

#include "fabric/fabric.h"

#include <stdbool.h>

/* A deep copy, for slot_plan_free(). NULL only for lack of memory. */
struct fabric_plan *slot_plan_copy(const struct fabric_plan *plan);
void slot_plan_free(struct fabric_plan *plan);

/* A plan of ours that a slot shares with the jobs at work on it. Main thread counts; the jobs' threads only read PLAN. */
struct plan_share {
	struct fabric_plan *plan;
	unsigned users;
};

/* A copy of PLAN with one user, the caller. NULL only for lack of memory. */
struct plan_share *slot_plan_share_new(const struct fabric_plan *plan);

/* One more user. Returns SHARE. Main thread. */
struct plan_share *slot_plan_share_hold(struct plan_share *share);

/* One user less; the last one frees it. NULL is fine. Main thread. */
void slot_plan_share_release(struct plan_share *share);

/* Whether both ask for the same egress policy, rule by rule. */
bool slot_plan_same_egress(const struct fabric_plan *a, const struct fabric_plan *b);
bool slot_plan_same_rate(const struct rate *a, const struct rate *b);
bool slot_plan_same_bandwidth(const struct bandwidth *a, const struct bandwidth *b);
/* What wakes the sandbox of PLAN as it is now; NULL: nothing does. */
const struct fabric_wake *slot_plan_wake(const struct fabric_plan *plan);
bool slot_plan_same_owner(const struct fabric_plan *a, const struct fabric_plan *b);

#endif
