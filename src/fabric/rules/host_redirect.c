/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's table leads to the host itself: services at addresses that need not exist, services at other ports, and all TCP
 * that [egress] redirect hands to local proxies. The first packet of a flow decides, in chain sandbox_translation:
 *
 *	a service                        to its port, or to that of weftd, which connects to the service
 *	a DNS server                     stays as it is
 *	an address of the host           stays as it is, and is denied behind the routing, as always
 *	what no guest may reach          stays as it is, and is denied likewise
 *	other TCP                        to the proxy of its port
 *
 * So a proxy never gets a connection to a port of the host: it would open that from the host, where everything may be reached.
 *
 * These are rules and no sets, as many as the configuration has entries, since a set that is made in a batch finds nothing for some
 * microseconds, and a flow stays for its life what its first packet was taken for.
 */
#include "fabric/rules/host_rules.h"

#include "config/config.h"
#include "fabric/rules/policy.h"
#include "nft/expr.h"

#include <netinet/in.h>

#define CHAIN "sandbox_translation"

static uint32_t rules_redirect_ip_of(const struct config_service *service)
{
	return ntohl(service->address.in.sin_addr.s_addr);
}

/* In a rule: matches packets to SERVICE. */
static void rules_redirect_match(struct nft_batch *batch, const struct config_service *service, uint8_t proto)
{
	match_ip_daddr(batch, NFT_IS, rules_redirect_ip_of(service));
	match_dport(batch, proto, addr_port(&service->address));
}

static void rules_redirect_add_service(struct nft_batch *batch, const struct config *config,
				       const struct config_service *service, uint8_t proto)
{
	switch (service->kind) {
	case CONFIG_SERVICE_SAME:
		RULE(batch, CHAIN, rules_redirect_match(batch, service, proto), match_daddr_local(batch, NFT_IS_NOT),
		     act_redirect(batch));
		break;
	case CONFIG_SERVICE_PORT:
		RULE(batch, CHAIN, rules_redirect_match(batch, service, proto), act_redirect_to(batch, service->port));
		break;
	case CONFIG_SERVICE_ADDRESS:
	case CONFIG_SERVICE_UNIX:
		if (proto == IPPROTO_TCP)
			RULE(batch, CHAIN, rules_redirect_match(batch, service, proto),
			     act_redirect_to(batch, config->egress.service_port));
		break;
	}
}

static void rules_redirect_add_proxies(struct nft_batch *batch, const struct config *config)
{
	const struct config_redirect_list *redirects = &config->egress.redirect;
	const struct cidr4_list *dns = &config->addresses.dns;
	const struct config_redirect *rest = config_redirect_find(config, 0);

	for (size_t i = 0; i < dns->count; i++)
		RULE(batch, CHAIN, match_ip_daddr(batch, NFT_IS, dns->items[i].ip),
		     match_dport(batch, IPPROTO_TCP, RULES_DNS_PORT), verdict_accept(batch));
	RULE(batch, CHAIN, match_daddr_local(batch, NFT_IS), verdict_accept(batch));
	RULE(batch, CHAIN, rules_match_always_denied(batch, config), verdict_accept(batch));
	RULE(batch, CHAIN, match_destination_in(batch, NFT_IS, &set_sandbox_ranges), verdict_accept(batch));
	for (size_t i = 0; i < redirects->count; i++)
		if (redirects->items[i].port)
			RULE(batch, CHAIN, match_ipv4(batch, NFT_IS),
			     match_dport(batch, IPPROTO_TCP, redirects->items[i].port),
			     act_redirect_to(batch, redirects->items[i].to));
	if (rest)
		RULE(batch, CHAIN, match_ipv4(batch, NFT_IS), match_l4proto(batch, NFT_IS, IPPROTO_TCP),
		     act_redirect_to(batch, rest->to));
}

const char *rules_redirect_add_chain(struct nft_batch *batch, const struct config *config)
{
	const struct config_service_list *services = &config->egress.allow_host;

	if (!services->count && !config->egress.redirect.count)
		return NULL;
	nft_chain_add(batch, CHAIN, NULL, NULL);
	for (size_t i = 0; i < services->count; i++) {
		rules_redirect_add_service(batch, config, &services->items[i], IPPROTO_TCP);
		rules_redirect_add_service(batch, config, &services->items[i], IPPROTO_UDP);
	}
	if (config->egress.redirect.count)
		rules_redirect_add_proxies(batch, config);
	return CHAIN;
}

void rules_redirect_accept(struct nft_batch *batch, const struct config *config, const char *chain)
{
	const struct config_redirect_list *redirects = &config->egress.redirect;

	for (size_t i = 0; i < redirects->count; i++)
		RULE(batch, chain, match_ipv4(batch, NFT_IS), match_dport(batch, IPPROTO_TCP, redirects->items[i].to),
		     match_ct_dnat(batch), verdict_accept(batch));
}

void rules_redirect_deny_direct(struct nft_batch *batch, const struct config *config, const char *chain)
{
	const struct config_redirect_list *redirects = &config->egress.redirect;

	if (config_redirect_find(config, 0)) {
		RULE(batch, chain, match_l4proto(batch, NFT_IS, IPPROTO_TCP), act_count(batch, "drop_forward"),
		     verdict_goto(batch, RULES_CHAIN_DENIED));
		return;
	}
	for (size_t i = 0; i < redirects->count; i++)
		RULE(batch, chain, match_dport(batch, IPPROTO_TCP, redirects->items[i].port),
		     act_count(batch, "drop_forward"), verdict_goto(batch, RULES_CHAIN_DENIED));
}

void rules_redirect_shut(struct nft_batch *batch, const struct config *config, const char *chain)
{
	if (config_has_forwarded_service(config))
		RULE(batch, chain, match_dport(batch, IPPROTO_TCP, config->egress.service_port),
		     act_reject_with_reset(batch));
}
