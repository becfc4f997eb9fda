/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of one slot's namespace.
 *
 * `netdev weft` sees each frame of the guest first, before conntrack. It counts and drops everything but honest ARP and IPv4
 * from the guest's own addresses to its gateway, and limits the guest's bandwidth.
 *
 * `inet weft` translates between the guest's address, which all guests share, and the slot's own on the host, and holds the
 * guest to its policy. Each packet of a flow that the guest opened is judged (direction original, before established), so a
 * tightened policy cuts live flows. Replies to flows that others opened pass, even to private addresses.
 *
 * Policy and limits have chains of their own: a slot of the pool gets them by additions alone (slot_policy.c).
 */
#include "fabric/rules/slot_rules.h"

#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"
#include "nft/check.h"
#include "nft/expr.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#define TAP     RULES_TAP
#define UPWARDS RULES_UPWARDS

enum {
	ARP_SECOND = 100, /* ARP packets of one guest */
};

static const struct cidr4 not_unicast = { 224u << 24, 3 };
/* Never valid as a destination on a wire. */
static const struct cidr4 martian[] = { { 0, 8 }, { 127u << 24, 8 } };

static void rules_slot_add_counters(struct nft_batch *batch, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		nft_counter_add(batch, names[i], 0, 0);
}

#define ADD_COUNTERS(batch, names) rules_slot_add_counters((batch), (names), sizeof(names) / sizeof((names)[0]))

/* ---- netdev weft ---- */

static void rules_slot_add_arp(struct nft_batch *batch, const struct config_layout *layout)
{
	uint32_t guest = layout->guest.ip, tap = layout->tap.ip;

	nft_chain_add(batch, "from_guest_arp", NULL, NULL);
	RULE(batch, "from_guest_arp",
	     layout->guest_mac_learn ? match_arp_sender(batch, guest)
				     : match_arp_from(batch, &layout->guest_mac, guest),
	     match_arp_target(batch, tap), match_packets_under(batch, ARP_SECOND, ARP_SECOND), verdict_accept(batch));
	RULE(batch, "from_guest_arp", act_count(batch, "drop_arp"), verdict_drop(batch));
}

/* Judges frames that are honest so far by their destination. The forwarder's come first. */
static void rules_slot_add_from_guest_honest(struct nft_batch *batch, const struct config_layout *layout)
{
	nft_chain_add(batch, RULES_CHAIN_FROM_GUEST_RATE, NULL, NULL);
	nft_chain_add(batch, "from_guest_passed", NULL, NULL);
	RULE(batch, "from_guest_passed", verdict_jump(batch, RULES_CHAIN_FROM_GUEST_RATE));
	RULE(batch, "from_guest_passed", act_count(batch, "from_guest"), verdict_accept(batch));

	nft_chain_add(batch, "from_guest_honest", NULL, NULL);
	RULE(batch, "from_guest_honest", match_ip_daddr(batch, NFT_IS, layout->tap.ip),
	     verdict_goto(batch, "from_guest_passed"));
	RULE(batch, "from_guest_honest", match_ip_daddr_in(batch, NFT_IS, &not_unicast),
	     act_count(batch, "drop_multicast"), verdict_drop(batch));
	/* The kernel would drop these as well, but without a count. */
	for (size_t i = 0; i < sizeof(martian) / sizeof(martian[0]); i++)
		RULE(batch, "from_guest_honest", match_ip_daddr_in(batch, NFT_IS, &martian[i]),
		     act_count(batch, "drop_martian"), verdict_drop(batch));
	RULE(batch, "from_guest_honest", verdict_goto(batch, "from_guest_passed"));
}

/* The first rule passes honest frames, which most are. The other rules find the fault of the rest. */
static void rules_slot_add_from_guest(struct nft_batch *batch, const struct config_layout *layout)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_NETDEV_INGRESS, NF_IP_PRI_FILTER, true, TAP };
	const struct mac *guest_mac = layout->guest_mac_learn ? NULL : &layout->guest_mac;

	nft_chain_add(batch, "from_guest", &hook, NULL);
	RULE(batch, "from_guest", match_ether_ipv4(batch, &layout->tap_mac, guest_mac), match_ip_version(batch, 4),
	     match_ip_hdrlength(batch, 5), match_ip_saddr(batch, NFT_IS, layout->guest.ip),
	     verdict_goto(batch, "from_guest_honest"));
	RULE(batch, "from_guest", match_ether_tag(batch, ETH_P_8021Q), act_count(batch, "drop_protocol"),
	     verdict_drop(batch));
	RULE(batch, "from_guest", match_ether_tag(batch, ETH_P_8021AD), act_count(batch, "drop_protocol"),
	     verdict_drop(batch));
	if (guest_mac)
		RULE(batch, "from_guest", match_ether_saddr(batch, NFT_IS_NOT, guest_mac), act_count(batch, "drop_mac"),
		     verdict_drop(batch));
	RULE(batch, "from_guest", match_ether_type(batch, NFT_IS, ETH_P_ARP), verdict_goto(batch, "from_guest_arp"));
	/* A guest asks for a router of IPv6 without end (RFC 7559), and there is none. That is no sign of mischief. */
	RULE(batch, "from_guest", match_icmpv6_type(batch, ND_ROUTER_SOLICIT), act_count(batch, "router_solicitations"),
	     verdict_drop(batch));
	RULE(batch, "from_guest", match_ether_type(batch, NFT_IS, ETH_P_IPV6), act_count(batch, "drop_ipv6"),
	     verdict_drop(batch));
	RULE(batch, "from_guest", match_ether_type(batch, NFT_IS_NOT, ETH_P_IP), act_count(batch, "drop_protocol"),
	     verdict_drop(batch));
	RULE(batch, "from_guest", match_ip_saddr(batch, NFT_IS_NOT, layout->guest.ip), act_count(batch, "drop_source"),
	     verdict_drop(batch));
	RULE(batch, "from_guest", match_ether_daddr(batch, NFT_IS_NOT, &layout->tap_mac),
	     act_count(batch, "drop_multicast"), verdict_drop(batch));
	/* The header is cut short, or has options, such as a source route. */
	RULE(batch, "from_guest", act_count(batch, "drop_malformed"), verdict_drop(batch));
}

static void rules_slot_add_netdev_table(struct nft_batch *batch, const struct config_layout *layout,
					const struct fabric_counts *counts)
{
	static const char *const counters[] = {
		"drop_mac",       "drop_arp",     "drop_ipv6",      "drop_protocol", "drop_source",
		"drop_multicast", "drop_martian", "drop_malformed", "drop_rate",     "router_solicitations"
	};

	batch->family = NFPROTO_NETDEV;
	nft_table_add(batch, NLM_F_EXCL);
	nft_counter_add(batch, "from_guest", counts->packets_from_guest, counts->bytes_from_guest);
	ADD_COUNTERS(batch, counters);
	rules_slot_add_arp(batch, layout);
	rules_slot_add_from_guest_honest(batch, layout);
	rules_slot_add_from_guest(batch, layout);
}

/* ---- inet weft ---- */

static void rules_slot_add_translation(struct nft_batch *batch, uint32_t guest, uint32_t host_ip)
{
	static const struct nft_hook before = { NFT_CHAIN_NAT, NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST, false, NULL };
	static const struct nft_hook after = { NFT_CHAIN_NAT, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, false, NULL };

	nft_chain_add(batch, "prerouting", &before, NULL);
	RULE(batch, "prerouting", match_iifname(batch, UPWARDS), match_ip_daddr(batch, NFT_IS, host_ip),
	     act_dnat(batch, guest));

	nft_chain_add(batch, "postrouting", &after, NULL);
	/* A chain of this type sees only the first packet of a flow. */
	RULE(batch, "postrouting", match_ct_state(batch, NFT_CT_STATE_NEW), act_count(batch, "connections"));
	RULE(batch, "postrouting", match_oifname(batch, UPWARDS), match_ip_saddr(batch, NFT_IS, guest),
	     act_snat(batch, host_ip));
}

static void rules_slot_add_to_guest(struct nft_batch *batch)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_POST_ROUTING, NF_IP_PRI_FILTER, false, NULL };

	nft_chain_add(batch, "to_guest", &hook, NULL);
	RULE(batch, "to_guest", match_oifname(batch, TAP), act_count(batch, "to_guest"));
}

/*
 * The forwarder's own TCP, between the TAP's two ends, is not tracked. The socket here knows its own segments, and tracking
 * would add a tenth to the cost of each.
 */
static void rules_slot_add_untracked(struct nft_batch *batch, const struct config_layout *layout)
{
	static const struct nft_hook in = { NFT_CHAIN_FILTER, NF_INET_PRE_ROUTING, NF_IP_PRI_RAW, false, NULL };
	static const struct nft_hook out = { NFT_CHAIN_FILTER, NF_INET_LOCAL_OUT, NF_IP_PRI_RAW, false, NULL };

	nft_chain_add(batch, "untracked_in", &in, NULL);
	RULE(batch, "untracked_in", match_iifname(batch, TAP), match_ip_daddr(batch, NFT_IS, layout->tap.ip),
	     match_l4proto(batch, NFT_IS, IPPROTO_TCP), verdict_notrack(batch));
	nft_chain_add(batch, "untracked_out", &out, NULL);
	RULE(batch, "untracked_out", match_oifname(batch, TAP), match_ip_saddr(batch, NFT_IS, layout->tap.ip),
	     match_l4proto(batch, NFT_IS, IPPROTO_TCP), verdict_notrack(batch));
}

static void rules_slot_add_input(struct nft_batch *batch, const struct config_layout *layout)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, false, NULL };

	nft_chain_add(batch, "input", &hook, NULL);
	/*
	 * Replies to the forwarder's connections, which come from here, and the error that ends an attempt. They are for this
	 * address alone: packets to another address in here are tracked, and would fill the table.
	 */
	RULE(batch, "input", match_iifname(batch, TAP), match_ip_daddr(batch, NFT_IS, layout->tap.ip),
	     match_tcp_in_flow(batch), verdict_accept(batch));
	RULE(batch, "input", match_iifname(batch, TAP), match_icmp_unreachable(batch, layout->tap.ip, layout->guest.ip),
	     verdict_accept(batch));
	RULE(batch, "input", match_iifname(batch, TAP), match_ct_direction(batch, IP_CT_DIR_REPLY),
	     match_ct_state(batch, NFT_CT_STATE_ESTABLISHED | NFT_CT_STATE_RELATED), verdict_accept(batch));
	RULE(batch, "input", match_iifname(batch, TAP), rules_deny(batch, "denied_gateway", RULES_DENIAL_GATEWAY));
}

static void rules_slot_add_inet_table(struct nft_batch *batch, const struct config *config,
				      const struct fabric_plan *plan, const struct fabric_counts *counts)
{
	static const char *const counters[] = { "denied_private",       "denied_sandbox", "denied_policy",
						RULES_COUNTER_INTERNET, "denied_gateway", "denied_connections",
						"denied_protocol",      "drop_forward",   RULES_COUNTER_ISOLATED,
						RULES_COUNTER_ACTIVE };
	const struct config_layout *layout = config_layout_or_new(config, plan->layout);
	const struct cidr4 ranges[] = { layout->host_cidr, layout->veth_cidr, layout->tap };
	uint32_t guest = layout->guest.ip;

	batch->family = NFPROTO_INET;
	nft_table_add(batch, NLM_F_EXCL);
	nft_counter_add(batch, "to_guest", counts->packets_to_guest, counts->bytes_to_guest);
	nft_counter_add(batch, "connections", counts->connections, 0);
	/* Drops that former tables counted, see rules_slot_repair(). */
	nft_counter_add(batch, "drop_earlier", counts->drops, 0);
	ADD_COUNTERS(batch, counters);
	/* The ranges of other layouts are the host's to deny, so that a live slot's rules stay as they are. */
	rules_policy_add_sets(batch, config, ranges, sizeof(ranges) / sizeof(ranges[0]));
	rules_egress_add_denied(batch);
	rules_slot_add_translation(batch, guest, config_host_ip(layout, plan->slot));
	rules_slot_add_to_guest(batch);
	rules_slot_add_untracked(batch, layout);
	rules_slot_add_input(batch, layout);
	rules_egress_add(batch, config, rules_slot_egress_of(plan)->isolated);
	rules_forward_add(batch, config, plan);
}

void rules_slot_add_tables(struct nft_batch *batch, const struct config *config, const struct fabric_plan *plan,
			   const struct fabric_counts *counts, unsigned side)
{
	rules_slot_add_netdev_table(batch, config_layout_or_new(config, plan->layout), counts);
	rules_slot_add_inet_table(batch, config, plan, counts);
	rules_slot_add_policy(batch, plan, side);
}

/* ---- Making and looking ---- */

/* Tables that exist go in the same batch. */
static void rules_slot_delete_tables(struct nft_batch *batch)
{
	static const uint8_t families[] = { NFPROTO_NETDEV, NFPROTO_INET };

	for (size_t i = 0; i < sizeof(families); i++) {
		batch->family = families[i];
		nft_table_add(batch, 0);
		nft_table_delete(batch);
	}
}

static bool rules_slot_has_lists(const struct fabric_plan *plan)
{
	return plan->egress && (plan->egress->allow_count || plan->egress->deny_count);
}

/*
 * AGAIN: replaces existing tables, under traffic. When the new tables start to count, their sets are still empty. The host's
 * table denies the always-denied ranges as well. But if the policy has lists, the tables are closed to all that the guest sends
 * out until the sets are filled: for about 15 ms its datagrams are lost and its segments sent again, but none is misjudged.
 */
static int rules_slot_make_tables(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				  const struct fabric_counts *counts, bool again, struct err *err)
{
	struct nft_batch batch;
	bool closed = again && rules_slot_has_lists(plan);

	nft_batch_begin(&batch, NFPROTO_INET);
	if (again)
		rules_slot_delete_tables(&batch);
	rules_slot_add_tables(&batch, config, plan, counts, 0);
	if (closed)
		rules_egress_close(&batch);
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status == 0 && closed ? rules_egress_open(netns_fd, config, plan->egress->isolated, err) : status;
}

int rules_slot_apply(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err)
{
	const struct fabric_counts none = { 0 };
	/* A new slot has no tables, and a batch that deletes would wait for the kernel. */
	int status = rules_slot_make_tables(netns_fd, config, plan, &none, false, err);

	if (status < 0 && err->code == EEXIST)
		status = rules_slot_make_tables(netns_fd, config, plan, &none, true, err);
	return status < 0 ? err_wrap(err, "tables of slot %u", plan->slot) : 0;
}

static uint64_t rules_larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Sets that rules fill, and the chain that carries the name. */
static const char *const filled_by_rules[] = { "denied_ports",     "denied_protocols", "guest_services_full",
					       "guest_flows_full", "sandbox",          NULL };

static int rules_slot_check_side(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				 unsigned side, bool *intact, struct err *err)
{
	struct nft_batch wanted;

	struct fabric_plan same = *plan;

	/* Which number the sleep has does not matter. */
	if (plan->paused && rules_forward_read_sleep(netns_fd, &same.sleep, err) < 0)
		return -1;
	nft_batch_begin(&wanted, NFPROTO_INET);
	rules_slot_add_tables(&wanted, config, &same, &(struct fabric_counts){ 0 }, side);
	int status = nft_check(netns_fd, &wanted, filled_by_rules, intact, err);
	nft_batch_free(&wanted);
	return status;
}

int rules_slot_check(int netns_fd, const struct config *config, const struct fabric_plan *plan, bool *intact,
		     struct err *err)
{
	int status = rules_slot_check_side(netns_fd, config, plan, 0, intact, err);

	if (status == 0 && !*intact && rules_slot_has_lists(plan))
		status = rules_slot_check_side(netns_fd, config, plan, 1, intact, err);
	return status < 0 ? err_wrap(err, "tables of slot %u", plan->slot) : 0;
}

/* If the policy alone differs, as after a change that was killed halfway, it is changed as ever, and nothing else. */
static bool rules_slot_repair_policy(int netns_fd, const struct config *config, const struct fabric_plan *plan)
{
	struct err ignored;
	bool intact = false;

	return rules_slot_has_lists(plan) && rules_slot_update(netns_fd, config, plan, NULL, &ignored) == 0 &&
	       rules_slot_check(netns_fd, config, plan, &intact, &ignored) == 0 && intact;
}

/* Whether the sets of PLAN's policy, on SIDE, and those of the configuration are there and hold what they should. */
static bool rules_slot_has_contents(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				    unsigned side)
{
	struct nft_batch wanted;
	struct err ignored;
	bool intact = false;

	nft_batch_begin(&wanted, NFPROTO_INET);
	rules_slot_add_tables(&wanted, config, plan, &(struct fabric_counts){ 0 }, side);
	int status = nft_check_contents(netns_fd, &wanted, filled_by_rules, &intact, &ignored);
	nft_batch_free(&wanted);
	return status == 0 && intact;
}

static int rules_slot_renew_rules(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				  const struct fabric_counts *counts, unsigned side)
{
	/* Chains that only tables of an older version have. */
	static const char *const former[] = { "guest_allow", "guest_deny" };
	struct nft_batch batch;
	struct err ignored;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_batch_over(&batch);
	rules_slot_add_tables(&batch, config, plan, counts, side);
	batch.family = NFPROTO_INET;
	for (size_t i = 0; i < sizeof(former) / sizeof(former[0]); i++) {
		/* To delete what is not there would be an error. */
		nft_chain_add(&batch, former[i], NULL, NULL);
		nft_chain_delete(&batch, former[i]);
	}
	int status = nft_batch_send(&batch, netns_fd, &ignored);
	nft_batch_free(&batch);
	return status;
}

/*
 * Where sets hold what they should, as after an upgrade that brought other rules, one batch replaces the rules: each packet meets
 * all of the former or all of the new ones, and none is lost.
 */
static bool rules_slot_repair_rules(int netns_fd, const struct config *config, const struct fabric_plan *plan,
				    const struct fabric_counts *counts)
{
	struct fabric_counts lacking = *counts;
	struct err ignored;
	bool intact = false;
	unsigned side = 0;

	/* Counters that are there go on. */
	lacking.drops = 0;
	while (side < RULES_POLICY_SIDES && !rules_slot_has_contents(netns_fd, config, plan, side))
		side++;
	return side < RULES_POLICY_SIDES && rules_slot_renew_rules(netns_fd, config, plan, &lacking, side) == 0 &&
	       rules_slot_check(netns_fd, config, plan, &intact, &ignored) == 0 && intact;
}

int rules_slot_repair(int netns_fd, const struct config *config, const struct fabric_plan *plan,
		      const struct fabric_counts *known, struct err *err)
{
	struct fabric_counts counts = { 0 };

	if (rules_slot_repair_policy(netns_fd, config, plan))
		return 0;
	/* Packets between this and the batch are not counted. */
	if (rules_slot_counts(netns_fd, &counts, err) < 0 && err->code != ENOENT)
		return err_wrap(err, "tables of slot %u", plan->slot);
	if (known) {
		counts.packets_to_guest = rules_larger(counts.packets_to_guest, known->packets_to_guest);
		counts.bytes_to_guest = rules_larger(counts.bytes_to_guest, known->bytes_to_guest);
		counts.packets_from_guest = rules_larger(counts.packets_from_guest, known->packets_from_guest);
		counts.bytes_from_guest = rules_larger(counts.bytes_from_guest, known->bytes_from_guest);
		counts.connections = rules_larger(counts.connections, known->connections);
		counts.drops = rules_larger(counts.drops, known->drops);
	}
	if (rules_slot_repair_rules(netns_fd, config, plan, &counts))
		return 0;
	if (rules_slot_make_tables(netns_fd, config, plan, &counts, true, err) < 0)
		return err_wrap(err, "tables of slot %u", plan->slot);
	return 0;
}

/* The kernel sets a comment only with the object, so an empty chain, which can be replaced, carries the name. */
static int rules_slot_comment_once(int netns_fd, const char *id, bool again, struct err *err)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	if (again)
		nft_chain_delete(&batch, "sandbox");
	nft_chain_add(&batch, "sandbox", NULL, id);
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status;
}

int rules_slot_comment(int netns_fd, const char *id, struct err *err)
{
	int status = rules_slot_comment_once(netns_fd, id, false, err);

	if (status < 0 && err->code == EEXIST)
		status = rules_slot_comment_once(netns_fd, id, true, err);
	return status < 0 ? err_wrap(err, "comment") : 0;
}
