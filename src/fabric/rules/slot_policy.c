/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sandbox's policy and limits, as additions to the empty chains of its tables. Each list is up to three sets, which exist
 * only if they have elements: entries for all protocols, for one protocol, and for one protocol and port. Within one set, two
 * networks are disjoint or one contains the other, and the inner one can be left out. Mixed in one set they could cross, which
 * the kernel refuses. Ranges of ports can cross, and are separated (elements.c).
 *
 * A batch is atomic for its rules, but not for their sets: when the kernel starts a new generation, a set made in the same
 * batch is still empty for some microseconds. So each list has two sides, and a policy is replaced by two batches. The first
 * makes and fills the sets of the side that no rule uses; the second makes the rules use them and removes the others. Every
 * packet meets all of the former policy or all of the new one.
 */
#include "fabric/rules/slot_rules.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "fabric/rules/elements.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/plan.h"
#include "nft/expr.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <string.h>

enum {
	/* The kernel's bucket holds one second's bytes and the burst. A segment of 64 KB must fit. */
	BURST_MIN = 128 * 1024,
};

static const uint64_t rate_max = 8000000000u; /* bytes a second; above it the kernel's sum overflows */

#define LIST(text, more)                                                                                               \
	{                                                                                                              \
		.name = (text), .key = NFT_KEY_ADDRESS | (more), .interval = true                                      \
	}
#define PROTO NFT_KEY_PROTO
#define PORT  (NFT_KEY_PROTO | NFT_KEY_PORT)

const struct nft_set set_policy_allow[RULES_POLICY_SIDES][RULES_POLICY_SETS] = {
	{ LIST("policy_allow", 0), LIST("policy_allow_proto", PROTO), LIST("policy_allow_port", PORT) },
	{ LIST("policy_allow2", 0), LIST("policy_allow2_proto", PROTO), LIST("policy_allow2_port", PORT) },
};
const struct nft_set set_policy_deny[RULES_POLICY_SIDES][RULES_POLICY_SETS] = {
	{ LIST("policy_deny", 0), LIST("policy_deny_proto", PROTO), LIST("policy_deny_port", PORT) },
	{ LIST("policy_deny2", 0), LIST("policy_deny2_proto", PROTO), LIST("policy_deny2_port", PORT) },
};

/* The number of the set, of three, that RULE belongs to. */
static size_t rules_slot_policy_kind_of(const struct egress_rule *rule)
{
	if (rule->any_proto)
		return 0;
	return rule->port_count ? 2 : 1;
}

static bool rules_slot_policy_has_kind(const struct egress_rule *rules, size_t count, size_t kind)
{
	for (size_t i = 0; i < count; i++)
		if (rules_slot_policy_kind_of(&rules[i]) == kind)
			return true;
	return false;
}

/* Collects the elements of all RULES of KIND in LIST. 0, or -1 for want of memory. */
static int rules_slot_policy_collect(const struct egress_rule *rules, size_t count, size_t kind,
				     struct rules_elements *list)
{
	for (size_t i = 0; i < count; i++) {
		const struct egress_rule *rule = &rules[i];

		if (rules_slot_policy_kind_of(rule) != kind)
			continue;
		for (size_t port = 0; port < (kind == 2 ? rule->port_count : 1); port++) {
			struct nft_element *element = vec_push(list);
			if (!element)
				return -1;
			*element = (struct nft_element){
				.first = addr_cidr4_first(&rule->cidr),
				.last = addr_cidr4_last(&rule->cidr),
				.proto = kind ? rule->ip_proto : 0,
				.port = kind == 2 ? rule->ports[port].first : 0,
				.port_last = kind == 2 ? rule->ports[port].last : 0,
			};
		}
	}
	return 0;
}

static int rules_slot_policy_check_list(const struct egress_rule *rules, size_t count, const char *name,
					struct err *err)
{
	struct rules_elements list = { 0 };
	int status = 0;

	if (!rules_slot_policy_has_kind(rules, count, RULES_POLICY_SETS - 1))
		return 0;
	if (rules_slot_policy_collect(rules, count, RULES_POLICY_SETS - 1, &list) < 0)
		status = err_set(err, ENOMEM, "%s", name);
	else if (rules_elements_separate(&list, RULES_POLICY_ELEMENTS_MAX) < 0)
		status = err_set(err, errno == E2BIG ? 0 : errno,
				 "%s: ranges of ports cross so often that they make more than %d entries", name,
				 RULES_POLICY_ELEMENTS_MAX);
	vec_free(&list);
	return status;
}

int rules_slot_policy_check(const struct egress *egress, struct err *err)
{
	if (rules_slot_policy_check_list(egress->allow, egress->allow_count, "allow", err) < 0)
		return -1;
	return rules_slot_policy_check_list(egress->deny, egress->deny_count, "deny", err);
}

/* Adds the SET of KIND with the entries of RULES, if there are any. */
static void rules_slot_policy_add_set(struct nft_batch *batch, const struct nft_set *set,
				      const struct egress_rule *rules, size_t count, size_t kind)
{
	struct rules_elements list = { 0 };

	if (!rules_slot_policy_has_kind(rules, count, kind))
		return;
	if (rules_slot_policy_collect(rules, count, kind, &list) < 0 ||
	    (kind == 2 && rules_elements_separate(&list, SIZE_MAX) < 0)) {
		batch->broken = true;
	} else {
		nft_set_add(batch, set);
		nft_elements_add(batch, set, list.items, nft_elements_merge(list.items, list.count));
	}
	vec_free(&list);
}

static void rules_slot_policy_add_sets(struct nft_batch *batch, const struct egress *egress, unsigned side)
{
	for (size_t kind = 0; kind < RULES_POLICY_SETS; kind++) {
		rules_slot_policy_add_set(batch, &set_policy_allow[side][kind], egress->allow, egress->allow_count,
					  kind);
		rules_slot_policy_add_set(batch, &set_policy_deny[side][kind], egress->deny, egress->deny_count, kind);
	}
}

static void rules_slot_policy_allow(struct nft_batch *batch, const struct egress *egress, unsigned side, size_t kind)
{
	if (rules_slot_policy_has_kind(egress->allow, egress->allow_count, kind))
		RULE(batch, RULES_CHAIN_POLICY, match_destination_in(batch, NFT_IS, &set_policy_allow[side][kind]),
		     verdict_return(batch));
}

/* What is allowed by name may be of any protocol, all else of three. */
static void rules_slot_policy_add_usual(struct nft_batch *batch)
{
	RULE(batch, RULES_CHAIN_POLICY, match_l4proto(batch, NFT_IS_NOT, IPPROTO_TCP),
	     match_l4proto(batch, NFT_IS_NOT, IPPROTO_UDP), match_l4proto(batch, NFT_IS_NOT, IPPROTO_ICMP),
	     rules_deny(batch, "denied_protocol", RULES_DENIAL_PROTOCOL));
}

/* The rules behind that of the usual protocols. */
static void rules_slot_policy_add_rest(struct nft_batch *batch, const struct egress *egress, unsigned side)
{
	rules_slot_policy_allow(batch, egress, side, 0);
	for (size_t kind = 0; kind < RULES_POLICY_SETS; kind++)
		if (rules_slot_policy_has_kind(egress->deny, egress->deny_count, kind))
			RULE(batch, RULES_CHAIN_POLICY,
			     match_destination_in(batch, NFT_IS, &set_policy_deny[side][kind]),
			     rules_deny(batch, "denied_policy", RULES_DENIAL_POLICY));
	if (!egress->internet)
		RULE(batch, RULES_CHAIN_POLICY, rules_deny(batch, RULES_COUNTER_INTERNET, RULES_DENIAL_INTERNET));
}

/* One chain, since its return must leave the whole policy. */
static void rules_slot_policy_add_side(struct nft_batch *batch, const struct egress *egress, unsigned side)
{
	for (size_t kind = 1; kind < RULES_POLICY_SETS; kind++)
		rules_slot_policy_allow(batch, egress, side, kind);
	rules_slot_policy_add_usual(batch);
	rules_slot_policy_add_rest(batch, egress, side);
}

/* The same around the only rule of a policy without lists. To replace that rule would take 20 times as long. */
static void rules_slot_policy_add_around(struct nft_batch *batch, const struct egress *egress, unsigned side)
{
	batch->ahead = true;
	for (size_t kind = RULES_POLICY_SETS - 1; kind > 0; kind--)
		rules_slot_policy_allow(batch, egress, side, kind);
	batch->ahead = false;
	rules_slot_policy_add_rest(batch, egress, side);
}

/* The other direction is limited by the TAP's queue. */
static void rules_slot_policy_add_rate(struct nft_batch *batch, const struct rate *rate)
{
	uint64_t burst = rate->burst < BURST_MIN ? BURST_MIN : rate->burst;

	if (!rate->rate)
		return;
	batch->family = NFPROTO_NETDEV;
	RULE(batch, RULES_CHAIN_FROM_GUEST_RATE,
	     match_bytes_over(batch, rate->rate < rate_max ? rate->rate : rate_max,
			      burst < UINT32_MAX ? (uint32_t)burst : UINT32_MAX),
	     act_count(batch, "drop_rate"), verdict_drop(batch));
}

const struct egress *rules_slot_egress_of(const struct fabric_plan *plan)
{
	static const struct egress without_lists = { .internet = true };

	return plan->egress ? plan->egress : &without_lists;
}

static const struct rate *rules_slot_policy_rate_of(const struct fabric_plan *plan)
{
	static const struct rate unlimited;

	return plan->bandwidth ? &plan->bandwidth->from_guest : &unlimited;
}

/* Adds the chain that sets the DSCP, if EGRESS sets one. */
static void rules_slot_policy_add_dscp(struct nft_batch *batch, const struct egress *egress)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_POST_ROUTING, NF_IP_PRI_MANGLE, false, NULL };

	batch->family = NFPROTO_INET;
	if (!egress->dscp)
		return;
	nft_chain_add(batch, RULES_CHAIN_DSCP, &hook, NULL);
	RULE(batch, RULES_CHAIN_DSCP, match_oifname(batch, RULES_UPWARDS), act_set_dscp(batch, (uint8_t)egress->dscp));
}

void rules_slot_add_policy(struct nft_batch *batch, const struct fabric_plan *plan, unsigned side)
{
	const struct egress *egress = rules_slot_egress_of(plan);

	batch->family = NFPROTO_INET;
	rules_slot_policy_add_sets(batch, egress, side);
	rules_slot_policy_add_side(batch, egress, side);
	rules_slot_policy_add_dscp(batch, egress);
	rules_slot_policy_add_rate(batch, rules_slot_policy_rate_of(plan));
}

int rules_slot_claim(int netns_fd, const struct fabric_plan *plan, struct err *err)
{
	const struct egress *egress = rules_slot_egress_of(plan);
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	rules_slot_policy_add_sets(&batch, egress, 0);
	rules_slot_policy_add_around(&batch, egress, 0);
	if (egress->isolated) {
		batch.ahead = true;
		rules_egress_isolate(&batch);
		batch.ahead = false;
	}
	rules_slot_policy_add_dscp(&batch, egress);
	rules_slot_policy_add_rate(&batch, rules_slot_policy_rate_of(plan));
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status < 0 ? err_wrap(err, "policy of slot %u", plan->slot) : 0;
}

/* ---- Replacing ---- */

/* The slot's sets, by side, those of allow before those of deny. */
struct present {
	bool sets[RULES_POLICY_SIDES][2 * RULES_POLICY_SETS];
};

static const char *rules_slot_policy_set_name(unsigned side, size_t i)
{
	return i < RULES_POLICY_SETS ? set_policy_allow[side][i].name
				     : set_policy_deny[side][i - RULES_POLICY_SETS].name;
}

static int rules_slot_policy_note_set(const struct nlmsghdr *message, void *data)
{
	struct present *present = data;
	const struct nlattr *attr;
	const char *name = "";

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_NAME)
			name = mnl_attr_get_str(attr);
	}
	for (unsigned side = 0; side < RULES_POLICY_SIDES; side++)
		for (size_t i = 0; i < 2 * RULES_POLICY_SETS; i++)
			present->sets[side][i] |= strcmp(name, rules_slot_policy_set_name(side, i)) == 0;
	return MNL_CB_OK;
}

/* A dump that others disturb is repeated, but not without end. */
static int rules_slot_policy_find_sets(int netns_fd, struct present *present, struct err *err)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (unsigned i = 0; i < NFT_ATTEMPTS; i++) {
		AUTO_FD int fd = nft_socket(netns_fd, err);
		if (fd < 0)
			return -1;
		*present = (struct present){ 0 };
		struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSET, NFPROTO_INET, NLM_F_DUMP);
		mnl_attr_put_strz(request, NFTA_SET_TABLE, NFT_TABLE_NAME);
		if (nft_ask(fd, request, rules_slot_policy_note_set, present, err) == 0)
			return 0;
		if (err->code != EINTR)
			break;
	}
	return err_wrap(err, "sets of table %s", NFT_TABLE_NAME);
}

static bool rules_slot_policy_has_side(const struct present *present, unsigned side)
{
	for (size_t i = 0; i < 2 * RULES_POLICY_SETS; i++)
		if (present->sets[side][i])
			return true;
	return false;
}

static void rules_slot_policy_delete_side(struct nft_batch *batch, const struct present *present, unsigned side)
{
	for (size_t i = 0; i < 2 * RULES_POLICY_SETS; i++)
		if (present->sets[side][i])
			nft_set_delete(batch, rules_slot_policy_set_name(side, i));
}

/* Removes the sets of SIDE. The kernel refuses that (EBUSY) while rules use them. */
static int rules_slot_policy_clear_side(int netns_fd, const struct present *present, unsigned side, struct err *err)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	rules_slot_policy_delete_side(&batch, present, side);
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status;
}

/* Finds the side that no rule uses, and removes its sets. Both sides have sets if a change ended between its batches. */
static int rules_slot_policy_find_free_side(int netns_fd, struct present *present, unsigned *side, struct err *err)
{
	if (rules_slot_policy_find_sets(netns_fd, present, err) < 0)
		return -1;
	*side = rules_slot_policy_has_side(present, 0) ? 1 : 0;
	if (!rules_slot_policy_has_side(present, *side))
		return 0;
	int status = rules_slot_policy_clear_side(netns_fd, present, *side, err);
	if (status < 0 && err->code == EBUSY) {
		*side = 1 - *side;
		status = rules_slot_policy_clear_side(netns_fd, present, *side, err);
	}
	return status;
}

static int rules_slot_policy_fill_side(int netns_fd, const struct egress *egress, unsigned side, struct err *err)
{
	struct nft_batch batch;
	int status = 0;

	nft_batch_begin(&batch, NFPROTO_INET);
	rules_slot_policy_add_sets(&batch, egress, side);
	if (batch.messages || batch.broken)
		status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status;
}

/* Makes the chain of the DSCP that of EGRESS, whatever was there. To delete a chain that is not there would be an error. */
static void rules_slot_policy_change_dscp(struct nft_batch *batch, const struct egress *egress)
{
	const struct egress some = { .dscp = 1 };

	nft_batch_over(batch);
	rules_slot_policy_add_dscp(batch, egress->dscp ? egress : &some);
	if (egress->dscp)
		return;
	nft_chain_flush(batch, RULES_CHAIN_DSCP);
	nft_chain_delete(batch, RULES_CHAIN_DSCP);
}

/* Makes the rules those of PLAN, with the sets of SIDE, and removes those of the other side. FORMER: see rules_slot_update(). */
static int rules_slot_policy_turn_to(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				     const struct fabric_plan *former, const struct present *present, unsigned side,
				     struct err *err)
{
	const struct egress *egress = rules_slot_egress_of(plan);
	const struct egress *before = former ? rules_slot_egress_of(former) : NULL;
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_chain_flush(&batch, RULES_CHAIN_POLICY);
	rules_slot_policy_add_side(&batch, egress, side);
	rules_slot_policy_delete_side(&batch, present, 1 - side);
	if (!before || before->isolated != egress->isolated) {
		nft_chain_flush(&batch, RULES_CHAIN_EGRESS);
		rules_egress_fill(&batch, config, egress->isolated);
	}
	if (!before || before->dscp != egress->dscp)
		rules_slot_policy_change_dscp(&batch, egress);
	/* A new rule has a full bucket: frequent changes of the policy would lift the limit. */
	if (!former || !slot_plan_same_rate(rules_slot_policy_rate_of(plan), rules_slot_policy_rate_of(former))) {
		batch.family = NFPROTO_NETDEV;
		nft_chain_flush(&batch, RULES_CHAIN_FROM_GUEST_RATE);
		rules_slot_policy_add_rate(&batch, rules_slot_policy_rate_of(plan));
	}
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status;
}

static int rules_slot_policy_replace(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				     const struct fabric_plan *former, struct err *err)
{
	struct present present;
	struct err ignored;
	unsigned side;

	if (rules_slot_policy_find_free_side(netns_fd, &present, &side, err) < 0)
		return -1;
	if (rules_slot_policy_fill_side(netns_fd, rules_slot_egress_of(plan), side, err) < 0)
		return -1;
	if (rules_slot_policy_turn_to(netns_fd, config, plan, former, &present, side, err) == 0)
		return 0;
	/* If this fails too, the next change or repair finds the leftover. */
	if (rules_slot_policy_find_sets(netns_fd, &present, &ignored) == 0 &&
	    rules_slot_policy_has_side(&present, side))
		rules_slot_policy_clear_side(netns_fd, &present, side, &ignored);
	return -1;
}

int rules_slot_update(int netns_fd, const struct config *config, const struct fabric_plan *plan,
		      const struct fabric_plan *former, struct err *err)
{
	return rules_slot_policy_replace(netns_fd, config, plan, former, err) < 0
		   ? err_wrap(err, "policy of slot %u", plan->slot)
		   : 0;
}
