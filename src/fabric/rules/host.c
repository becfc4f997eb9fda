/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's table. Its rules know sandboxes by the group of their links, never one by one, so thousands of sandboxes need no
 * more rules than one. The published ports are elements of two maps. The table trusts nothing that a slot's own tables do: a
 * sandbox whose tables are empty is still shut in.
 *
 * The kernel's NFT_TABLE_F_OWNER would keep others from flushing the table, but only while a socket of ours is open, and it
 * would keep operators from changing it. Besides, nft 1.0.6 lists such a table so that it cannot be loaded again: as owned,
 * which ends with the nft that loads it, or, once the owner is gone and PERSIST remains, with flags that are a syntax error. So
 * a table that others flush is made again instead.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "config/layouts.h"
#include "fabric/rules/host_rules.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"
#include "nft/check.h"
#include "nft/expr.h"
#include "nft/read.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

enum {
	ANSWERED_KEPT_MS = 10 * 1000, /* by then the limit is unused again */
	ANSWERED_MAX = 4096,          /* sandboxes with denials at once */
};

static const struct nft_set set_ingress = { .name = "ingress_sources", .key = NFT_KEY_ADDRESS, .interval = true };
/* The addresses of host_services: destinations of flows before their redirection. */
static const struct nft_set set_service_addresses = { .name = "host_service_addresses",
						      .key = NFT_KEY_ADDRESS,
						      .interval = true };

/* By the sandbox's link, since its source may be forged. An element that is not renewed for long goes. */
const struct nft_set set_sandbox_drops = { .name = "sandbox_drops",
					   .key = NFT_KEY_LINK,
					   .timeout_ms = RULES_HOST_DROPS_KEPT_MS,
					   .size = CONFIG_SLOT_MAX + 1,
					   .count = true };
static const struct nft_set set_answered = { .name = "answered",
					     .key = NFT_KEY_LINK,
					     .timeout_ms = ANSWERED_KEPT_MS,
					     .size = ANSWERED_MAX,
					     .packets_a_second = RULES_POLICY_ANSWERS };
const struct nft_set set_denied_host_ports = { .name = "denied_host_ports",
					       .key = NFT_KEY_LINK | NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT,
					       .timeout_ms = RULES_DENIAL_KEPT_MS,
					       .size = RULES_HOST_DENIALS_MAX };
const struct nft_set set_denied_host_protocols = { .name = "denied_host_protocols",
						   .key = NFT_KEY_LINK | NFT_KEY_ADDRESS | NFT_KEY_PROTO,
						   .timeout_ms = RULES_DENIAL_KEPT_MS,
						   .size = RULES_HOST_DENIALS_MAX };

static const struct nft_hook hook_raw = { NFT_CHAIN_FILTER, NF_INET_PRE_ROUTING, NF_IP_PRI_RAW, false, NULL };
static const struct nft_hook hook_prerouting = { NFT_CHAIN_NAT, NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST, false, NULL };
static const struct nft_hook hook_output = { NFT_CHAIN_NAT, NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST, false, NULL };
static const struct nft_hook hook_postrouting = { NFT_CHAIN_NAT, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, false, NULL };
static const struct nft_hook hook_input = { NFT_CHAIN_FILTER, NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, false, NULL };
static const struct nft_hook hook_forward = { NFT_CHAIN_FILTER, NF_INET_FORWARD, NF_IP_PRI_FILTER, false, NULL };
static const struct nft_hook hook_local = { NFT_CHAIN_FILTER, NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER, false, NULL };

static const struct cidr4 loopback = { 127u << 24, 8 };

/* Slots of former configurations may have other link groups. */
struct rules_groups {
	uint32_t items[CONFIG_LAYOUTS_MAX];
	size_t count;
};

static struct rules_groups rules_host_groups(const struct config *config)
{
	struct rules_groups groups;

	groups.count = config_layout_groups(config, groups.items);
	return groups;
}

/* One rule for each of GROUPS, which it calls `group'. */
#define RULE_PER_GROUP(batch, chain, groups, ...)                                                                      \
	for (size_t at = 0; at < (groups)->count; at++) {                                                              \
		const uint32_t group = (groups)->items[at];                                                            \
		RULE(batch, chain, __VA_ARGS__);                                                                       \
	}

/* ---- Chains ---- */

/* What no sandbox may reach of another: host addresses, veths and the guests' links. Returns how many RANGES. */
static size_t rules_host_sandbox_ranges(const struct config *config, struct cidr4 ranges[static 3 * CONFIG_LAYOUTS_MAX])
{
	const struct config_layout *layout;
	size_t count = config_layout_ranges(config, ranges);

	for (size_t at = 0; (layout = config_layout_next(config, &at));)
		ranges[count++] = layout->tap;
	return count;
}

static void rules_host_add_sets(struct nft_batch *batch, const struct config *config)
{
	const struct config_service_list *services = &config->egress.allow_host;
	AUTO_FREE struct cidr4 *addresses = calloc(services->count + 1, sizeof(*addresses));

	if (!addresses) {
		batch->broken = true;
		return;
	}
	for (size_t i = 0; i < services->count; i++)
		addresses[i] = (struct cidr4){ ntohl(services->items[i].address.in.sin_addr.s_addr), 32 };
	struct cidr4 ranges[3 * CONFIG_LAYOUTS_MAX];

	rules_policy_add_sets(batch, config, ranges, rules_host_sandbox_ranges(config, ranges));
	if (services->count)
		rules_policy_add_networks(batch, &set_service_addresses, addresses, services->count);
	rules_policy_add_networks(batch, &set_ingress, config->ingress.allow.items, config->ingress.allow.count);
	nft_set_add(batch, &map_published);
	nft_set_add(batch, &map_published_anywhere);
}

/* Packets with a source that is not the sandbox's own do not even reach conntrack. */
static void rules_host_add_sources(struct nft_batch *batch, const struct rules_groups *groups)
{
	nft_chain_add(batch, "sandbox_sources", &hook_raw, NULL);
	nft_chain_add(batch, "sandbox_dropped", NULL, NULL);
	/* The drop is a rule of its own: if the set is full, the first rule ends, and the packet is dropped all the same. */
	RULE(batch, "sandbox_dropped", act_record_destination(batch, &set_sandbox_drops));
	RULE(batch, "sandbox_dropped", verdict_drop(batch));
	RULE_PER_GROUP(batch, "sandbox_sources", groups, match_iifgroup(batch, NFT_IS, group),
		       match_ipv4(batch, NFT_IS_NOT), act_count(batch, "drop_family"),
		       verdict_goto(batch, "sandbox_dropped"));
	RULE_PER_GROUP(batch, "sandbox_sources", groups, match_iifgroup(batch, NFT_IS, group),
		       match_saddr_not_routed_back(batch), act_count(batch, "drop_source"),
		       verdict_goto(batch, "sandbox_dropped"));
}

/*
 * ICMP errors. The kernel counts one to the flow of the packet that it quotes, whoever sends it, so a forged one would end a flow of the
 * host or of another sandbox, or lower the MTU of its path. A true one is about a packet that was addressed to its sender; then the
 * source of that flow's packets in the error's direction is an address of the sandbox, and leads back to the link it came in by. As
 * nftables can neither compare two fields nor ask for the route to an address of the flow, the error gets that source first. A true one
 * has it already, or comes from the namespace itself in the guest's place.
 */
static void rules_host_add_errors(struct nft_batch *batch)
{
	static const uint8_t directions[] = { IP_CT_DIR_REPLY, IP_CT_DIR_ORIGINAL };

	nft_chain_add(batch, "sandbox_errors", NULL, NULL);
	RULE(batch, "sandbox_errors", match_icmp_type(batch, ICMP_REDIRECT), act_count(batch, "drop_error"),
	     verdict_goto(batch, "sandbox_dropped"));
	for (size_t i = 0; i < sizeof(directions); i++)
		RULE(batch, "sandbox_errors", match_ct_direction(batch, directions[i]),
		     act_set_saddr_of_flow(batch, directions[i]));
	RULE(batch, "sandbox_errors", match_saddr_not_routed_back(batch), act_count(batch, "drop_error"),
	     verdict_goto(batch, "sandbox_dropped"));
	RULE(batch, "sandbox_errors", verdict_accept(batch));
}

/* In a rule of a chain for packets from sandboxes: goes there with errors. */
static void rules_host_judge_errors(struct nft_batch *batch)
{
	match_l4proto(batch, NFT_IS, IPPROTO_ICMP);
	match_ct_state(batch, NFT_CT_STATE_RELATED);
	verdict_goto(batch, "sandbox_errors");
}

/* In a rule: matches what leaves the host, and not by the link of a sandbox, whatever its group. */
static void rules_host_match_outward(struct nft_batch *batch, const struct config *config,
				     const struct rules_groups *groups)
{
	if (config->addresses.uplink) {
		match_oifname(batch, config->addresses.uplink);
		return;
	}
	for (size_t i = 0; i < groups->count; i++)
		match_oifgroup(batch, NFT_IS_NOT, groups->items[i]);
}

static void rules_host_add_masquerade(struct nft_batch *batch, const struct config *config,
				      const struct rules_groups *groups)
{
	struct cidr4 ranges[CONFIG_LAYOUTS_MAX];
	size_t count = config_layout_host_ranges(config, ranges);

	for (size_t i = 0; i < count; i++)
		RULE(batch, "postrouting", match_ip_saddr_in(batch, NFT_IS, &ranges[i]),
		     rules_host_match_outward(batch, config, groups), act_masquerade(batch));
}

static void rules_host_add_translation(struct nft_batch *batch, const struct config *config,
				       const struct rules_groups *groups)
{
	nft_chain_add(batch, "prerouting", &hook_prerouting, NULL);
	const char *led_here = rules_redirect_add_chain(batch, config);
	/* A published port is no way from one sandbox to another. */
	RULE_PER_GROUP(batch, "prerouting", groups, match_iifgroup(batch, NFT_IS, group),
		       led_here ? verdict_goto(batch, led_here) : verdict_accept(batch));
	RULE(batch, "prerouting", act_dnat_by_destination(batch, &map_published));
	RULE(batch, "prerouting", match_daddr_local(batch, NFT_IS),
	     act_dnat_by_destination(batch, &map_published_anywhere));

	/* The host's own clients, except from loopback: a sandbox could never answer such a source. */
	nft_chain_add(batch, "output", &hook_output, NULL);
	RULE(batch, "output", match_ip_daddr_in(batch, NFT_IS, &loopback), verdict_accept(batch));
	RULE(batch, "output", act_dnat_by_destination(batch, &map_published));
	RULE(batch, "output", match_daddr_local(batch, NFT_IS),
	     act_dnat_by_destination(batch, &map_published_anywhere));

	nft_chain_add(batch, "postrouting", &hook_postrouting, NULL);
	rules_host_add_masquerade(batch, config, groups);
}

static void rules_host_add_denied(struct nft_batch *batch)
{
	nft_set_add(batch, &set_sandbox_drops);
	nft_set_add(batch, &set_answered);
	nft_set_add(batch, &set_denied_host_ports);
	nft_set_add(batch, &set_denied_host_protocols);
	nft_chain_add(batch, "denied", NULL, NULL);
	RULE(batch, "denied", act_record_destination(batch, &set_sandbox_drops));
	rules_policy_add_answer(batch, "denied", &set_answered);
}

/* Packets from a sandbox to the host itself. */
static void rules_host_add_input(struct nft_batch *batch, const struct config *config,
				 const struct rules_groups *groups)
{
	nft_chain_add(batch, "to_host", NULL, NULL);
	RULE(batch, "to_host", match_ct_direction(batch, IP_CT_DIR_REPLY),
	     match_ct_state(batch, NFT_CT_STATE_ESTABLISHED), verdict_accept(batch));
	/* It is about a packet to a port that is published on an address of the host's own, to which many other paths lead. */
	RULE(batch, "to_host", match_icmp_too_big(batch), match_ct_direction(batch, IP_CT_DIR_REPLY),
	     match_ct_dnat(batch), act_count(batch, "drop_error"), verdict_goto(batch, "sandbox_dropped"));
	RULE(batch, "to_host", rules_host_judge_errors(batch));
	rules_policy_add_exceptions(batch, config, "to_host");
	if (config->egress.allow_host.count)
		RULE(batch, "to_host", match_ct_original_daddr_in(batch, &set_service_addresses), match_ct_dnat(batch),
		     verdict_accept(batch));
	rules_redirect_accept(batch, config, "to_host");
	RULE(batch, "to_host", match_ipv4(batch, NFT_IS), match_l4proto(batch, NFT_IS, IPPROTO_TCP),
	     act_record_destination(batch, &set_denied_host_ports));
	RULE(batch, "to_host", match_ipv4(batch, NFT_IS), match_l4proto(batch, NFT_IS, IPPROTO_UDP),
	     act_record_destination(batch, &set_denied_host_ports));
	RULE(batch, "to_host", match_l4proto(batch, NFT_IS_NOT, IPPROTO_TCP),
	     match_l4proto(batch, NFT_IS_NOT, IPPROTO_UDP), act_record_destination(batch, &set_denied_host_protocols));
	RULE(batch, "to_host", act_count(batch, "denied_host"), verdict_goto(batch, "denied"));

	nft_chain_add(batch, "input", &hook_input, NULL);
	RULE_PER_GROUP(batch, "input", groups, match_iifgroup(batch, NFT_IS, group), verdict_goto(batch, "to_host"));
	rules_redirect_shut(batch, config, "input");
}

/*
 * Each packet of a flow that a guest opened is judged by the present rules (direction original, before established), so a
 * change cuts live flows too. Replies to flows that others opened pass, even to private addresses.
 */
static void rules_host_add_forward(struct nft_batch *batch, const struct config *config,
				   const struct rules_groups *groups)
{
	nft_chain_add(batch, "from_sandbox", NULL, NULL);
	RULE(batch, "from_sandbox", match_ct_direction(batch, IP_CT_DIR_REPLY),
	     match_ct_state(batch, NFT_CT_STATE_ESTABLISHED), verdict_accept(batch));
	RULE_PER_GROUP(batch, "from_sandbox", groups, match_oifgroup(batch, NFT_IS, group),
		       act_count(batch, "denied_sandbox"), verdict_goto(batch, "denied"));
	RULE(batch, "from_sandbox", rules_host_judge_errors(batch));
	/* What belongs to no flow would leave untranslated, and be taken for an error about a flow that the far side knows. */
	RULE(batch, "from_sandbox", match_ct_state(batch, NFT_CT_STATE_INVALID), act_count(batch, "drop_forward"),
	     verdict_goto(batch, "sandbox_dropped"));
	rules_policy_add_exceptions(batch, config, "from_sandbox");
	RULE(batch, "from_sandbox", rules_match_always_denied(batch, config), act_count(batch, "denied_private"),
	     verdict_goto(batch, "denied"));
	RULE(batch, "from_sandbox", match_destination_in(batch, NFT_IS, &set_sandbox_ranges),
	     act_count(batch, "denied_sandbox"), verdict_goto(batch, "denied"));
	rules_redirect_deny_direct(batch, config, "from_sandbox");
	RULE(batch, "from_sandbox", verdict_accept(batch));

	nft_chain_add(batch, "to_sandbox", NULL, NULL);
	RULE(batch, "to_sandbox", match_ct_state(batch, NFT_CT_STATE_ESTABLISHED | NFT_CT_STATE_RELATED),
	     verdict_accept(batch));
	RULE(batch, "to_sandbox", match_ct_dnat(batch), verdict_accept(batch));
	RULE(batch, "to_sandbox", match_source_in(batch, NFT_IS, &set_ingress), verdict_accept(batch));
	RULE(batch, "to_sandbox", act_count(batch, "denied_ingress"), verdict_drop(batch));

	nft_chain_add(batch, "forward", &hook_forward, NULL);
	RULE_PER_GROUP(batch, "forward", groups, match_iifgroup(batch, NFT_IS, group),
		       verdict_goto(batch, "from_sandbox"));
	RULE_PER_GROUP(batch, "forward", groups, match_oifgroup(batch, NFT_IS, group),
		       verdict_goto(batch, "to_sandbox"));
}

/*
 * The host's own clients. Each packet is judged, not the first alone: a flow that one user began is not for the next who gets its port.
 * Root may always, and so may the kernel, whose packets have no user, such as what a closed connection still has to send. These are rules
 * and no sets, since a set that is made in a batch finds nothing for some microseconds.
 */
static void rules_host_add_local(struct nft_batch *batch, const struct config *config,
				 const struct rules_groups *groups)
{
	const struct config_users_list *ids = &config->ingress.local_ids;

	nft_chain_add(batch, "local_refused", NULL, NULL);
	RULE(batch, "local_refused", act_reject_with_reset(batch));
	RULE(batch, "local_refused", act_reject_as_prohibited(batch));

	nft_chain_add(batch, "local_users", NULL, NULL);
	/* Published ports are for everybody who reaches them. */
	RULE(batch, "local_users", match_ct_dnat(batch), verdict_accept(batch));
	for (size_t i = 0; i < ids->count; i++)
		if (ids->items[i].group)
			RULE(batch, "local_users", match_skgid(batch, ids->items[i].first, ids->items[i].last),
			     verdict_accept(batch));
		else
			RULE(batch, "local_users", match_skuid(batch, ids->items[i].first, ids->items[i].last),
			     verdict_accept(batch));
	RULE(batch, "local_users", match_skuid_is_not(batch, 0), act_count(batch, "denied_local"),
	     verdict_goto(batch, "local_refused"));

	nft_chain_add(batch, "local_clients", &hook_local, NULL);
	RULE_PER_GROUP(batch, "local_clients", groups, match_oifgroup(batch, NFT_IS, group),
		       match_ct_direction(batch, IP_CT_DIR_ORIGINAL), verdict_goto(batch, "local_users"));
}

void rules_host_add_table(struct nft_batch *batch, const struct config *config)
{
	static const char *const counters[] = { "drop_family",    "drop_source",    "denied_host",
						"denied_sandbox", "denied_private", "denied_ingress",
						"drop_error",     "drop_forward",   "denied_local" };
	const struct rules_groups groups = rules_host_groups(config);

	nft_table_add(batch, 0);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		nft_counter_add(batch, counters[i], 0, 0);
	rules_host_add_sets(batch, config);
	rules_host_add_denied(batch);
	rules_host_add_sources(batch, &groups);
	rules_host_add_errors(batch);
	rules_host_add_translation(batch, config, &groups);
	rules_host_add_input(batch, config, &groups);
	rules_host_add_forward(batch, config, &groups);
	if (config->ingress.local_users.count)
		rules_host_add_local(batch, config, &groups);
	rules_wake_add(batch, config);
}

/* ---- Making and looking ---- */

/* The sets that weftd fills, with what it changes. */
static const struct nft_set *const kept_sets[] = {
	&map_published, &map_published_anywhere, &set_asleep, &set_asleep_any, &set_wake_ports,
};
enum { KEPT_SETS = sizeof(kept_sets) / sizeof(kept_sets[0]) };

int rules_host_check(const struct config *config, bool *intact, struct err *err)
{
	static const char *const filled[] = {
		"published",    "published_anywhere", "sandbox_drops",         "answered",
		"asleep",       "asleep_any",         "denied_host_ports",     "wake_ports",
		"wake_sources", "wake_targets",       "denied_host_protocols", NULL
	};
	struct nft_batch wanted;

	nft_batch_begin(&wanted, NFPROTO_INET);
	rules_host_add_table(&wanted, config);
	int status = nft_check(-1, &wanted, filled, intact, err);
	nft_batch_free(&wanted);
	return status < 0 ? err_wrap(err, "the host's table") : 0;
}

static int rules_host_replace(const struct config *config, const struct rules_elements kept[static KEPT_SETS],
			      struct err *err)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	/* Made if it is missing, so that deleting it cannot fail. */
	nft_table_add(&batch, 0);
	nft_table_delete(&batch);
	rules_host_add_table(&batch, config);
	for (size_t i = 0; i < KEPT_SETS; i++)
		nft_elements_add(&batch, kept_sets[i], kept[i].items, kept[i].count);
	int status = nft_batch_send(&batch, -1, err);
	nft_batch_free(&batch);
	return status;
}

/* A host without NFLOG carries sandboxes all the same, but no packet wakes them. */
static int rules_host_replace_without_log(const struct config *config,
					  const struct rules_elements kept[static KEPT_SETS], struct err *err)
{
	struct err ignored;

	rules_wake_can_log(false);
	if (rules_host_replace(config, kept, &ignored) == 0) {
		log_warning("no packet can wake a sandbox: the kernel lacks NFLOG, its module is nfnetlink_log",
			    F_STR("error", err->text));
		return 0;
	}
	rules_wake_can_log(true);
	return -1;
}

int rules_host_renew(const struct config *config, struct err *err)
{
	struct rules_elements kept[KEPT_SETS] = { 0 };
	int status = 0;

	for (size_t i = 0; i < KEPT_SETS && status == 0; i++)
		status = rules_host_read_set(kept_sets[i], &kept[i], err);
	if (status == 0)
		status = rules_host_replace(config, kept, err);
	if (status < 0 && err->code == ENOENT)
		status = rules_host_replace_without_log(config, kept, err);
	for (size_t i = 0; i < KEPT_SETS; i++)
		vec_free(&kept[i]);
	return status < 0 ? err_wrap(err, "the host's table") : 0;
}

int rules_host_apply(const struct config *config, struct err *err)
{
	bool intact;

	if (rules_host_check(config, &intact, err) < 0)
		return -1;
	return intact ? 0 : rules_host_renew(config, err);
}

int rules_host_remove(bool *removed, struct err *err)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_table_delete(&batch);
	int status = nft_batch_send(&batch, -1, err);
	nft_batch_free(&batch);
	*removed = status == 0;
	return status < 0 && err->code != ENOENT ? err_wrap(err, "the host's table") : 0;
}
