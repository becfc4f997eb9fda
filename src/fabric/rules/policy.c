/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same sets are in the host's table and in those of the slots, so each holds even if the other is empty.
 */
#include "fabric/rules/policy.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "nft/expr.h"

#include <netinet/in.h>

enum {
	ANSWERS_FOR_ALL = 2000, /* of the host to all sandboxes together, a second */
};

const struct nft_set set_always_denied = { .name = "always_denied", .key = NFT_KEY_ADDRESS, .interval = true };
const struct nft_set set_sandbox_ranges = { .name = "sandbox_ranges", .key = NFT_KEY_ADDRESS, .interval = true };
const struct nft_set set_opened = { .name = "opened", .key = NFT_KEY_ADDRESS, .interval = true };
const struct nft_set set_dns = { .name = "dns_servers", .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT };
const struct nft_set set_host_services = { .name = "host_services",
					   .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT };

#define NETWORK(a, b, c, d, length)                                                                                    \
	{                                                                                                              \
		(a) << 24 | (b) << 16 | (c) << 8 | (d), (length)                                                       \
	}

static const struct cidr4 always_denied[] = {
	NETWORK(0u, 0, 0, 0, 8),      /* this network */
	NETWORK(10u, 0, 0, 0, 8),     /* private */
	NETWORK(100u, 64, 0, 0, 10),  /* shared, of carriers' NAT */
	NETWORK(127u, 0, 0, 0, 8),    /* loopback */
	NETWORK(169u, 254, 0, 0, 16), /* link-local, with the clouds' metadata service */
	NETWORK(172u, 16, 0, 0, 12),  /* private */
	NETWORK(192u, 168, 0, 0, 16), /* private */
	NETWORK(224u, 0, 0, 0, 3),    /* multicast, reserved, broadcast */
};

uint8_t rules_ip_proto(enum proto proto)
{
	return proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP;
}

void rules_policy_add_networks(struct nft_batch *batch, const struct nft_set *set, const struct cidr4 *networks,
			       size_t count)
{
	AUTO_FREE struct nft_element *elements = calloc(count + 1, sizeof(*elements));

	if (!elements) {
		batch->broken = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		elements[i] = (struct nft_element){ .first = addr_cidr4_first(&networks[i]),
						    .last = addr_cidr4_last(&networks[i]) };
	nft_set_add(batch, set);
	nft_elements_add(batch, set, elements, nft_elements_merge(elements, count));
}

/* Puts an address and port, for TCP and, with UDP, for that too. Returns how many elements it put. */
static size_t rules_policy_put_service(struct nft_element elements[static 2], uint32_t ip, uint16_t port, bool udp)
{
	elements[0] = (struct nft_element){ .first = ip, .last = ip, .proto = IPPROTO_TCP, .port = port };
	if (udp)
		elements[1] = (struct nft_element){ .first = ip, .last = ip, .proto = IPPROTO_UDP, .port = port };
	return udp ? 2 : 1;
}

static void rules_policy_add_services(struct nft_batch *batch, const struct nft_set *set, struct nft_element *elements,
				      size_t count)
{
	/* With a stated size, the kernel makes room for exactly these elements. */
	struct nft_set sized = *set;

	if (!count)
		return;
	sized.size = (unsigned)nft_elements_merge(elements, count);
	nft_set_add(batch, &sized);
	nft_elements_add(batch, &sized, elements, sized.size);
}

void rules_policy_add_sets(struct nft_batch *batch, const struct config *config, const struct cidr4 *ranges,
			   size_t range_count)
{
	const struct cidr4_list *open = &config->egress.open, *dns = &config->addresses.dns;
	const struct config_service_list *services = &config->egress.allow_host;
	AUTO_FREE struct nft_element *elements = calloc(2 * (dns->count + services->count) + 1, sizeof(*elements));
	size_t count = 0;

	if (!elements) {
		batch->broken = true;
		return;
	}
	rules_policy_add_networks(batch, &set_always_denied, always_denied,
				  sizeof(always_denied) / sizeof(always_denied[0]));
	rules_policy_add_networks(batch, &set_sandbox_ranges, ranges, range_count);
	if (open->count)
		rules_policy_add_networks(batch, &set_opened, open->items, open->count);

	for (size_t i = 0; i < dns->count; i++)
		rules_policy_put_service(&elements[2 * i], dns->items[i].ip, RULES_DNS_PORT, true);
	rules_policy_add_services(batch, &set_dns, elements, 2 * dns->count);
	for (size_t i = 0; i < services->count; i++)
		count += rules_policy_put_service(
		    &elements[count], ntohl(services->items[i].address.in.sin_addr.s_addr),
		    addr_port(&services->items[i].address), !config_service_is_forwarded(&services->items[i]));
	rules_policy_add_services(batch, &set_host_services, elements, count);
}

void rules_policy_add_exceptions(struct nft_batch *batch, const struct config *config, const char *chain)
{
	if (config->addresses.dns.count)
		RULE(batch, chain, match_destination_in(batch, NFT_IS, &set_dns), verdict_accept(batch));
	if (config->egress.allow_host.count)
		RULE(batch, chain, match_destination_in(batch, NFT_IS, &set_host_services), verdict_accept(batch));
}

void rules_match_always_denied(struct nft_batch *batch, const struct config *config)
{
	match_destination_in(batch, NFT_IS, &set_always_denied);
	if (config->egress.open.count)
		match_destination_in(batch, NFT_IS_NOT, &set_opened);
}

void rules_deny(struct nft_batch *batch, const char *counter, enum rules_denial why)
{
	act_count(batch, counter);
	act_mark(batch, why);
	verdict_goto(batch, RULES_CHAIN_DENIED);
}

void rules_policy_add_answer(struct nft_batch *batch, const char *chain, const struct nft_set *limits)
{
	unsigned answers = limits ? ANSWERS_FOR_ALL : RULES_POLICY_ANSWERS;

	if (limits)
		RULE(batch, chain, act_record_destination(batch, limits), verdict_drop(batch));
	RULE(batch, chain, match_packets_over(batch, answers, answers), verdict_drop(batch));
	RULE(batch, chain, act_reject_with_reset(batch));
	RULE(batch, chain, act_reject_as_prohibited(batch));
}
