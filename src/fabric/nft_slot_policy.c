/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sandbox's policy and limits, as additions to the empty chains of its tables. Each list is up to three sets, made where there
 * is something to put in: entries for all protocols, for one, and for one with a port. In a set of their own, networks
 * of one kind are apart or within each other, and the inner ones can be left out; mixed, they could cross, which the kernel refuses.
 */
#include "fabric/nft_slot.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "fabric/nft.h"
#include "fabric/nft_expr.h"
#include "fabric/nft_policy.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>

enum {
	/* The kernel's bucket holds a second's worth and the burst; segments of 64 KB must fit into it. */
	BURST_MIN = 128 * 1024,
};

static const uint64_t rate_max = 8000000000u; /* bytes a second: beyond, the kernel's sum overflows */

const struct nft_set set_policy_allow[NFT_POLICY_SETS] = {
	{ .name = "policy_allow", .key = NFT_KEY_ADDRESS, .interval = true },
	{ .name = "policy_allow_proto", .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO, .interval = true },
	{ .name = "policy_allow_port", .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT, .interval = true },
};
const struct nft_set set_policy_deny[NFT_POLICY_SETS] = {
	{ .name = "policy_deny", .key = NFT_KEY_ADDRESS, .interval = true },
	{ .name = "policy_deny_proto", .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO, .interval = true },
	{ .name = "policy_deny_port", .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT, .interval = true },
};

/* Which of the three sets RULE belongs to. */
static size_t kind_of(const struct egress_rule *rule)
{
	if (rule->any_proto)
		return 0;
	return rule->port_count ? 2 : 1;
}

/* The elements of all RULES of KIND, into ELEMENTS unless that is NULL. Returns how many. */
static size_t collect(const struct egress_rule *rules, size_t count, size_t kind, struct nft_element *elements)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		const struct egress_rule *rule = &rules[i];
		size_t copies = kind == 2 ? rule->port_count : 1;

		if (kind_of(rule) != kind)
			continue;
		for (size_t port = 0; elements && port < copies; port++)
			elements[found + port] = (struct nft_element){
				.first = cidr4_first(&rule->cidr),
				.last = cidr4_last(&rule->cidr),
				.proto = kind ? nft_ip_proto(rule->proto) : 0,
				.port = kind == 2 ? rule->ports[port] : 0,
			};
		found += copies;
	}
	return found;
}

/* Adds the set of KIND. False: there is nothing in it, and no set. */
static bool add_list(struct nft_batch *batch, const struct nft_set *set, const struct egress_rule *rules, size_t count,
		     size_t kind)
{
	size_t found = collect(rules, count, kind, NULL);
	AUTO_FREE struct nft_element *elements = NULL;

	if (!found)
		return false;
	elements = calloc(found, sizeof(*elements));
	if (!elements) {
		batch->broken = true;
		return false;
	}
	collect(rules, count, kind, elements);
	nft_set_add(batch, set);
	nft_elements_add(batch, set, elements, nft_elements_merge(elements, found));
	return true;
}

static void add_egress(struct nft_batch *batch, const struct egress *egress)
{
	for (size_t kind = 0; kind < NFT_POLICY_SETS; kind++)
		if (add_list(batch, &set_policy_allow[kind], egress->allow, egress->allow_count, kind))
			RULE(batch, NFT_CHAIN_ALLOW, match_destination_in(batch, NFT_IS, &set_policy_allow[kind]),
			     verdict_accept(batch));
	for (size_t kind = 0; kind < NFT_POLICY_SETS; kind++)
		if (add_list(batch, &set_policy_deny[kind], egress->deny, egress->deny_count, kind))
			RULE(batch, NFT_CHAIN_DENY, match_destination_in(batch, NFT_IS, &set_policy_deny[kind]),
			     nft_slot_deny(batch, "denied_policy", NFT_DENIAL_POLICY));
	if (!egress->internet)
		RULE(batch, NFT_CHAIN_DENY, nft_slot_deny(batch, NFT_COUNTER_INTERNET, NFT_DENIAL_INTERNET));
}

/* The other direction is the TAP's queue to limit. */
static void add_rate(struct nft_batch *batch, const struct rate *rate)
{
	uint64_t burst = rate->burst < BURST_MIN ? BURST_MIN : rate->burst;

	if (!rate->rate)
		return;
	batch->family = NFPROTO_NETDEV;
	RULE(batch, NFT_CHAIN_FROM_GUEST_RATE,
	     match_bytes_over(batch, rate->rate < rate_max ? rate->rate : rate_max,
			      burst < UINT32_MAX ? (uint32_t)burst : UINT32_MAX),
	     count_as(batch, "drop_rate"), verdict_drop(batch));
}

void nft_slot_add_policy(struct nft_batch *batch, const struct fabric_plan *plan)
{
	batch->family = NFPROTO_INET;
	if (plan->egress)
		add_egress(batch, plan->egress);
	if (plan->bandwidth)
		add_rate(batch, &plan->bandwidth->from_guest);
}

/* ---- Replacing ---- */

struct present {
	bool allow[NFT_POLICY_SETS], deny[NFT_POLICY_SETS];
};

static int note_set(const struct nlmsghdr *message, void *data)
{
	struct present *present = data;
	const struct nlattr *attr;
	const char *name = "";

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_NAME)
			name = mnl_attr_get_str(attr);
	}
	for (size_t i = 0; i < NFT_POLICY_SETS; i++) {
		present->allow[i] |= strcmp(name, set_policy_allow[i].name) == 0;
		present->deny[i] |= strcmp(name, set_policy_deny[i].name) == 0;
	}
	return MNL_CB_OK;
}

/* Which of the policy's sets the slot has. Nobody else changes them, so an interrupted dump is only asked again. */
static int find_sets(int netns_fd, struct present *present, struct err *err)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));

	do {
		AUTO_FD int fd = nft_socket(netns_fd, err);
		if (fd < 0)
			return -1;
		*present = (struct present){ 0 };
		struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSET, NFPROTO_INET, NLM_F_DUMP);
		mnl_attr_put_strz(request, NFTA_SET_TABLE, NFT_TABLE_NAME);
		if (nft_ask(fd, request, note_set, present, err) == 0)
			return 0;
	} while (err->code == EINTR);
	return -1;
}

static void remove_policy(struct nft_batch *batch, const struct present *present)
{
	batch->family = NFPROTO_NETDEV;
	nft_chain_flush(batch, NFT_CHAIN_FROM_GUEST_RATE);
	batch->family = NFPROTO_INET;
	nft_chain_flush(batch, NFT_CHAIN_ALLOW);
	nft_chain_flush(batch, NFT_CHAIN_DENY);
	for (size_t i = 0; i < NFT_POLICY_SETS; i++) {
		if (present->allow[i])
			nft_set_delete(batch, set_policy_allow[i].name);
		if (present->deny[i])
			nft_set_delete(batch, set_policy_deny[i].name);
	}
}

int nft_slot_update(int netns_fd, const struct fabric_plan *plan, struct err *err)
{
	struct present present;
	struct nft_batch batch;

	if (find_sets(netns_fd, &present, err) < 0)
		return err_wrap(err, "policy of slot %u", plan->slot);
	nft_batch_begin(&batch, NFPROTO_INET);
	remove_policy(&batch, &present);
	nft_slot_add_policy(&batch, plan);
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status < 0 ? err_wrap(err, "policy of slot %u", plan->slot) : 0;
}
