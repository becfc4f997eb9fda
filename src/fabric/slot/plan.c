/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy is one struct that has everything it points to inside or beside it. Absent parts of the caller's plan become empty ones,
 * so that its readers need not ask for NULL.
 */
#include "fabric/slot/plan.h"

#include "base/container_of.h"

#include <stdlib.h>
#include <string.h>

struct slot_plan_copy {
	struct fabric_plan plan; /* the one that callers hold */
	struct egress egress;
	struct bandwidth bandwidth;
	struct fabric_wake wake;
	char id[SANDBOX_ID_MAX + 1];
};

/* 0, or -1 for lack of memory. */
static int slot_plan_copy_array(void *to, const void *from, size_t count, size_t size)
{
	void **place = to;

	*place = NULL;
	if (!count)
		return 0;
	*place = calloc(count, size);
	if (!*place)
		return -1;
	memcpy(*place, from, count * size);
	return 0;
}

static int slot_plan_copy_egress(struct egress *to, const struct egress *from)
{
	*to = *from;
	to->allow = NULL;
	to->deny = NULL;
	if (slot_plan_copy_array(&to->allow, from->allow, from->allow_count, sizeof(*to->allow)) < 0)
		return -1;
	return slot_plan_copy_array(&to->deny, from->deny, from->deny_count, sizeof(*to->deny));
}

static int slot_plan_copy_wake(struct slot_plan_copy *copy, const struct fabric_wake *wake)
{
	struct wake_port *ports;

	if (slot_plan_copy_array(&ports, wake->ports, wake->count, sizeof(*ports)) < 0)
		return -1;
	copy->wake = *wake;
	copy->wake.ports = ports;
	copy->plan.wake = &copy->wake;
	return 0;
}

struct fabric_plan *slot_plan_copy(const struct fabric_plan *plan)
{
	struct slot_plan_copy *copy = calloc(1, sizeof(*copy));
	struct fabric_nat *nat;

	if (!copy)
		return NULL;
	copy->plan = *plan;
	copy->plan.id = copy->id;
	copy->plan.egress = &copy->egress;
	copy->plan.bandwidth = &copy->bandwidth;
	copy->plan.nat = NULL;
	copy->plan.wake = NULL;
	if (plan->id)
		strncat(copy->id, plan->id, SANDBOX_ID_MAX);
	if (plan->bandwidth)
		copy->bandwidth = *plan->bandwidth;
	copy->egress.internet = true;
	if (plan->egress && slot_plan_copy_egress(&copy->egress, plan->egress) < 0)
		goto fail;
	if (slot_plan_copy_array(&nat, plan->nat, plan->nat_count, sizeof(*nat)) < 0)
		goto fail;
	copy->plan.nat = nat;
	if (plan->wake && slot_plan_copy_wake(copy, plan->wake) < 0)
		goto fail;
	return &copy->plan;

fail:
	slot_plan_free(&copy->plan);
	return NULL;
}

void slot_plan_free(struct fabric_plan *plan)
{
	struct slot_plan_copy *copy;

	if (!plan)
		return;
	copy = container_of(plan, struct slot_plan_copy, plan);
	free(copy->egress.allow);
	free(copy->egress.deny);
	free((void *)plan->nat);
	free((void *)copy->wake.ports);
	free(copy);
}

static bool slot_plan_same_rule(const struct egress_rule *a, const struct egress_rule *b)
{
	if (a->cidr.ip != b->cidr.ip || a->cidr.length != b->cidr.length || a->any_proto != b->any_proto)
		return false;
	if (a->any_proto)
		return true;
	return a->ip_proto == b->ip_proto && a->port_count == b->port_count &&
	       memcmp(a->ports, b->ports, a->port_count * sizeof(*a->ports)) == 0;
}

static bool slot_plan_same_rules(const struct egress_rule *a, size_t a_count, const struct egress_rule *b,
				 size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++) {
		if (!slot_plan_same_rule(&a[i], &b[i]))
			return false;
	}
	return true;
}

bool slot_plan_same_egress(const struct fabric_plan *a, const struct fabric_plan *b)
{
	return a->egress->internet == b->egress->internet && a->egress->isolated == b->egress->isolated &&
	       a->egress->dscp == b->egress->dscp &&
	       slot_plan_same_rules(a->egress->allow, a->egress->allow_count, b->egress->allow,
				    b->egress->allow_count) &&
	       slot_plan_same_rules(a->egress->deny, a->egress->deny_count, b->egress->deny, b->egress->deny_count);
}

bool slot_plan_same_rate(const struct rate *a, const struct rate *b)
{
	return a->rate == b->rate && a->burst == b->burst;
}

bool slot_plan_same_bandwidth(const struct bandwidth *a, const struct bandwidth *b)
{
	return slot_plan_same_rate(&a->to_guest, &b->to_guest) && slot_plan_same_rate(&a->from_guest, &b->from_guest);
}

bool slot_plan_same_owner(const struct fabric_plan *a, const struct fabric_plan *b)
{
	return a->has_tap_owner == b->has_tap_owner &&
	       (!a->has_tap_owner || (a->tap_uid == b->tap_uid && a->tap_gid == b->tap_gid));
}

const struct fabric_wake *slot_plan_wake(const struct fabric_plan *plan)
{
	return plan->paused ? plan->wake : NULL;
}

struct plan_share *slot_plan_share_new(const struct fabric_plan *plan)
{
	struct plan_share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->plan = slot_plan_copy(plan);
	share->users = 1;
	if (share->plan)
		return share;
	free(share);
	return NULL;
}

struct plan_share *slot_plan_share_hold(struct plan_share *share)
{
	share->users++;
	return share;
}

void slot_plan_share_release(struct plan_share *share)
{
	if (!share || --share->users)
		return;
	slot_plan_free(share->plan);
	free(share);
}
