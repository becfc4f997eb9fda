/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judgement of packets that the guest sends into the world, as chain guest_egress of a slot's table:
 *
 *	an isolated guest                        is denied everything
 *	services of the host and DNS servers     pass
 *	the ranges of sandboxes, private ranges  are denied
 *	TCP that the host hands to a proxy       passes, for the proxy to judge
 *	guest_policy                             denies, or returns
 *	guest_flows                              passes, but denies new flows beyond the guest's share of tracked flows
 *
 * Services and DNS have a share of their own: a guest that has used up the other still finds names, and neither share is
 * without a limit.
 *
 * What is for a service or a proxy leaves with a TTL of 1. The host's table redirects it to the host itself, where that is enough.
 * Whoever takes that table away also takes the redirection, and the kernel then drops what it would have to forward: to the world
 * past the proxy, or to whoever else has the service's address, such as a cloud's metadata service.
 *
 * To count a guest's flows, the kernel walks a list of them: 85 us for 8,192. So it counts only the first packet of a flow
 * that everything else lets pass. Beyond the limit it does not count at all for a while: the first packet that is denied puts
 * an element with a timeout into a set, and the rule in front of the count denies whatever finds it there.
 */
#include "fabric/rules/slot_rules.h"

#include "config/config.h"
#include "fabric/rules/policy.h"
#include "nft/expr.h"

#include <linux/netfilter.h>
#include <netinet/in.h>

enum {
	/* Denials recorded at once. The kernel reserves room for all of them in each slot. */
	DENIALS_MAX = 128,
	PORTLESS_MAX = 32,
	/* How long new flows are denied without a count. */
	FULL_MS = 100,
	/* One element, and those that timed out within the second that the kernel takes to remove them. */
	FULL_ELEMENTS = 32,
	/* Enough for the host itself, and too little to be forwarded. */
	HERE_TTL = 1,
};

const struct nft_set set_denied_ports = { .name = "denied_ports",
					  .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT | NFT_KEY_MARK,
					  .timeout_ms = RULES_DENIAL_KEPT_MS,
					  .size = DENIALS_MAX };
const struct nft_set set_denied_protocols = { .name = "denied_protocols",
					      .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_MARK,
					      .timeout_ms = RULES_DENIAL_KEPT_MS,
					      .size = PORTLESS_MAX };

void rules_egress_add_denied(struct nft_batch *batch)
{
	nft_set_add(batch, &set_denied_ports);
	nft_set_add(batch, &set_denied_protocols);

	nft_chain_add(batch, RULES_CHAIN_DENIED, NULL, NULL);
	RULE(batch, RULES_CHAIN_DENIED, match_ipv4(batch, NFT_IS), match_l4proto(batch, NFT_IS, IPPROTO_TCP),
	     act_record_destination(batch, &set_denied_ports));
	RULE(batch, RULES_CHAIN_DENIED, match_ipv4(batch, NFT_IS), match_l4proto(batch, NFT_IS, IPPROTO_UDP),
	     act_record_destination(batch, &set_denied_ports));
	RULE(batch, RULES_CHAIN_DENIED, match_l4proto(batch, NFT_IS_NOT, IPPROTO_TCP),
	     match_l4proto(batch, NFT_IS_NOT, IPPROTO_UDP), act_record_destination(batch, &set_denied_protocols));
	rules_policy_add_answer(batch, RULES_CHAIN_DENIED, NULL);
}

/* A share of tracked flows. */
struct flows_share {
	const char *chain, *over;
	struct nft_set full;
};

#define SHARE(text)                                                                                                    \
	{                                                                                                              \
		text, text "_over",                                                                                    \
		{                                                                                                      \
			.name = text "_full", .key = NFT_KEY_LINK, .timeout_ms = FULL_MS, .size = FULL_ELEMENTS        \
		}                                                                                                      \
	}

static const struct flows_share of_services = SHARE("guest_services"), of_world = SHARE("guest_flows");

static void rules_egress_add_share(struct nft_batch *batch, const struct flows_share *share, unsigned flows)
{
	nft_set_add(batch, &share->full);
	nft_chain_add(batch, share->over, NULL, NULL);
	RULE(batch, share->over, act_record_destination(batch, &share->full));
	RULE(batch, share->over, rules_deny(batch, "denied_connections", RULES_DENIAL_CONNECTIONS));

	nft_chain_add(batch, share->chain, NULL, NULL);
	/* UDP without an answer is `new` with each packet. */
	RULE(batch, share->chain, match_ct_confirmed(batch), verdict_accept(batch));
	RULE(batch, share->chain, match_destination_in(batch, NFT_IS, &share->full),
	     rules_deny(batch, "denied_connections", RULES_DENIAL_CONNECTIONS));
	RULE(batch, share->chain, match_ct_count_over(batch, flows), verdict_goto(batch, share->over));
	RULE(batch, share->chain, verdict_accept(batch));
}

static bool rules_egress_has_services(const struct config *config)
{
	return config->addresses.dns.count || config->egress.allow_host.count;
}

/* TCP for the ports that [egress] redirect names. */
static void rules_egress_add_redirects(struct nft_batch *batch, const struct config *config)
{
	const struct config_redirect_list *redirects = &config->egress.redirect;

	/* Of all ports is one rule enough. */
	if (config_redirect_find(config, 0)) {
		RULE(batch, RULES_CHAIN_EGRESS, match_l4proto(batch, NFT_IS, IPPROTO_TCP), act_set_ttl(batch, HERE_TTL),
		     verdict_goto(batch, of_world.chain));
		return;
	}
	for (size_t i = 0; i < redirects->count; i++)
		RULE(batch, RULES_CHAIN_EGRESS, match_dport(batch, IPPROTO_TCP, redirects->items[i].port),
		     act_set_ttl(batch, HERE_TTL), verdict_goto(batch, of_world.chain));
}

void rules_egress_isolate(struct nft_batch *batch)
{
	RULE(batch, RULES_CHAIN_EGRESS, rules_deny(batch, RULES_COUNTER_ISOLATED, RULES_DENIAL_ISOLATED));
}

void rules_egress_fill(struct nft_batch *batch, const struct config *config, bool isolated)
{
	if (isolated)
		rules_egress_isolate(batch);
	if (config->addresses.dns.count)
		RULE(batch, RULES_CHAIN_EGRESS, match_destination_in(batch, NFT_IS, &set_dns),
		     verdict_goto(batch, of_services.chain));
	if (config->egress.allow_host.count)
		RULE(batch, RULES_CHAIN_EGRESS, match_destination_in(batch, NFT_IS, &set_host_services),
		     act_set_ttl(batch, HERE_TTL), verdict_goto(batch, of_services.chain));
	RULE(batch, RULES_CHAIN_EGRESS, match_destination_in(batch, NFT_IS, &set_sandbox_ranges),
	     rules_deny(batch, "denied_sandbox", RULES_DENIAL_SANDBOX));
	RULE(batch, RULES_CHAIN_EGRESS, rules_match_always_denied(batch, config),
	     rules_deny(batch, "denied_private", RULES_DENIAL_PRIVATE));
	rules_egress_add_redirects(batch, config);
	RULE(batch, RULES_CHAIN_EGRESS, verdict_jump(batch, RULES_CHAIN_POLICY));
	RULE(batch, RULES_CHAIN_EGRESS, verdict_goto(batch, of_world.chain));
}

void rules_egress_add(struct nft_batch *batch, const struct config *config, bool isolated)
{
	if (rules_egress_has_services(config))
		rules_egress_add_share(batch, &of_services, config->egress.flows);
	rules_egress_add_share(batch, &of_world, config->egress.flows);
	nft_chain_add(batch, RULES_CHAIN_POLICY, NULL, NULL);
	nft_chain_add(batch, RULES_CHAIN_EGRESS, NULL, NULL);
	rules_egress_fill(batch, config, isolated);
}

void rules_egress_close(struct nft_batch *batch)
{
	batch->family = NFPROTO_INET;
	nft_chain_flush(batch, RULES_CHAIN_EGRESS);
	RULE(batch, RULES_CHAIN_EGRESS, verdict_drop(batch));
}

int rules_egress_open(int netns_fd, const struct config *config, bool isolated, struct err *err)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_chain_flush(&batch, RULES_CHAIN_EGRESS);
	rules_egress_fill(&batch, config, isolated);
	int status = nft_batch_send(&batch, netns_fd, err);
	nft_batch_free(&batch);
	return status;
}
