/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of the host that lead to sandboxes by NAT: elements of two maps.
 */
#include "base/err.h"
#include "config/layout.h"
#include "fabric/rules/host_rules.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"

#include <errno.h>
#include <linux/netfilter.h>

const struct nft_set map_published = { .name = "published",
				       .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT,
				       .map = true };
const struct nft_set map_published_anywhere = { .name = "published_anywhere",
						.key = NFT_KEY_PROTO | NFT_KEY_PORT,
						.map = true };

/* Selects the ports of NAT for the map of single addresses, or, with ANYWHERE, for the map of all. WANTED has room. */
static int rules_host_select_nat(const struct fabric_nat *nat, size_t count, uint32_t host_ip, bool anywhere,
				 struct rules_elements *wanted, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		char text[ADDR_TEXT_SIZE];

		if (nat[i].listen.any.sa_family != AF_INET || addr_is_loopback(&nat[i].listen))
			return err_set(err, EAFNOSUPPORT, "publishing %s by nat", addr_format(&nat[i].listen, text));
		if (addr_is_wildcard(&nat[i].listen) != anywhere)
			continue;
		uint32_t ip = ntohl(nat[i].listen.in.sin_addr.s_addr);
		wanted->items[wanted->count++] = (struct nft_element){
			.first = anywhere ? 0 : ip,
			.last = anywhere ? 0 : ip,
			.proto = rules_ip_proto(nat[i].proto),
			.port = addr_port(&nat[i].listen),
			.to_address = host_ip,
			.to_port = nat[i].guest_port,
		};
	}
	return 0;
}

/* The elements of MAP that lead to HOST_IP. */
static int rules_host_read_published(const struct nft_set *map, uint32_t host_ip, struct rules_elements *has,
				     struct err *err)
{
	size_t kept = 0;

	if (rules_host_read_set(map, has, err) < 0)
		return -1;
	for (size_t i = 0; i < has->count; i++)
		if (has->items[i].to_address == host_ip)
			has->items[kept++] = has->items[i];
	has->count = kept;
	return 0;
}

static int rules_host_publish_in(struct nft_batch *batch, const struct nft_set *map, uint32_t host_ip,
				 const struct fabric_nat *nat, size_t count, struct err *err)
{
	struct rules_elements has = { 0 }, wanted = { 0 };
	int status = 0;

	if (vec_reserve(&wanted, count) < 0)
		status = err_set(err, ENOMEM, "publishing");
	if (status == 0)
		status = rules_host_select_nat(nat, count, host_ip, map == &map_published_anywhere, &wanted, err);
	if (status == 0)
		status = rules_host_read_published(map, host_ip, &has, err);
	if (status == 0)
		rules_host_change_set(batch, map, &has, &wanted);
	vec_free(&has);
	vec_free(&wanted);
	return status;
}

int rules_host_publish(const struct config_layout *layout, unsigned slot, const struct fabric_nat *nat, size_t count,
		       struct err *err)
{
	uint32_t host_ip = config_host_ip(layout, slot);
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	int status = rules_host_publish_in(&batch, &map_published, host_ip, nat, count, err);
	if (status == 0)
		status = rules_host_publish_in(&batch, &map_published_anywhere, host_ip, nat, count, err);
	if (status == 0)
		status = nft_batch_send(&batch, -1, err);
	nft_batch_free(&batch);
	return status < 0 ? err_wrap(err, "published ports of slot %u", slot) : 0;
}
