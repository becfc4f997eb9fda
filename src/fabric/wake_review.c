/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each pause and resume changes the sets of what wakes sandboxes by a few elements, in a job of the claimer. The plans are gathered when the
 * visit is posted, and the claimer runs its jobs in order. So a pause that is asked for later adds its elements after the review, which
 * cannot take them for a stranger's. A slot that is released meanwhile is the builder's: if the review puts its elements back after the
 * builder removed them, the next review removes them.
 */
#include "fabric/wake_review.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "fabric/rules/rules.h"
#include "fabric/state.h"
#include "fabric/suspects.h"

#include <errno.h>
#include <stdlib.h>

void fabric_wake_review_gather(struct wake_review *review, struct fabric *fabric, uint32_t generation)
{
	/* Until all slots are taken over, nobody knows what else sleeps. */
	if (!fabric->opened)
		return;
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		const struct slot *slot = fabric->slots[number];
		struct plan_share **held;

		if (!slot || !fabric_slot_is_live(slot) || !slot->plan || !slot_plan_wake(slot->plan->plan))
			continue;
		held = vec_push(&review->asleep);
		if (!held)
			return;
		*held = slot_plan_share_hold(slot->plan);
	}
	review->wanted = true;
	review->unsure = fabric->wake_unsure;
	review->generation = review->unsure ? 0 : generation;
	fabric->wake_unsure = false;
	fabric->wake_reviewed = true;
}

static int fabric_wake_review_compare(struct wake_review *review, const struct config *config, struct err *err)
{
	AUTO_FREE const struct fabric_plan **plans =
	    calloc(review->asleep.count + 1, sizeof(const struct fabric_plan *));
	size_t lost;

	if (!plans)
		return err_set(err, ENOMEM, "what wakes sandboxes");
	for (size_t i = 0; i < review->asleep.count; i++)
		plans[i] = review->asleep.items[i]->plan;
	if (rules_host_wake_review(config, plans, review->asleep.count, &lost, err) < 0)
		return -1;
	review->repaired = lost && !review->unsure;
	return 0;
}

int fabric_wake_review_run(struct wake_review *review, const struct config *config, struct err *err)
{
	uint32_t before, after;

	if (!review->wanted)
		return 0;
	if (rules_generation(-1, &before, err) < 0)
		return -1;
	if (before == review->generation)
		return 0;
	if (fabric_wake_review_compare(review, config, err) < 0 || rules_generation(-1, &after, err) < 0)
		return -1;
	/* Where something changed meanwhile, be it by this, the next review looks again. */
	review->generation = before == after ? after : 0;
	return 0;
}

uint32_t fabric_wake_review_end(struct wake_review *review, struct fabric *fabric, bool failed)
{
	for (size_t i = 0; i < review->asleep.count; i++)
		slot_plan_share_release(review->asleep.items[i]);
	vec_free(&review->asleep);
	fabric->wake_unsure |= failed && review->unsure;
	if (fabric->wake_raced)
		fabric_suspect_wake(fabric);
	fabric->wake_reviewed = fabric->wake_raced = false;
	return failed ? 0 : review->generation;
}
