/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_HOST_RULES_H
#define WEFT_FABRIC_RULES_HOST_RULES_H

/*
 * The host's table, and those of its sets that its rules fill: the packets dropped or denied of each sandbox, by the number of
 * the link that they came in by. Private to fabric/rules/.
 */

#include "fabric/rules/elements.h"
#include "fabric/rules/slot_rules.h"

struct config;

enum {
	RULES_HOST_DROPS_KEPT_MS = 24 * 3600 * 1000,
	RULES_HOST_DENIALS_MAX = 1024, /* of all sandboxes together */
};

/* Adds the whole of the host's table for CONFIG, with no published ports. */
void rules_host_add_table(struct nft_batch *batch, const struct config *config);

/*
 * Adds the chain that leads flows of sandboxes to services and proxies of the host. Returns its name; NULL: CONFIG has neither, and
 * nothing was added.
 */
const char *rules_redirect_add_chain(struct nft_batch *batch, const struct config *config);

/* In the chain for packets to the host: accepts those that a proxy gets, and only what was redirected to it. */
void rules_redirect_accept(struct nft_batch *batch, const struct config *config, const char *chain);

/* In the chain for packets that leave the host: denies those that a proxy should have got, as of flows from before it had them. */
void rules_redirect_deny_direct(struct nft_batch *batch, const struct config *config, const char *chain);

/* In the chain for packets that come from elsewhere than sandboxes: weftd's port for services is not for them. */
void rules_redirect_shut(struct nft_batch *batch, const struct config *config, const char *chain);

/* Ports published on one address, and on all addresses of the host. */
extern const struct nft_set map_published, map_published_anywhere;

/* Host addresses of sandboxes that sleep and that a packet wakes: all, those that any port wakes, and the others with each port. */
extern const struct nft_set set_asleep, set_asleep_any, set_wake_ports;

/* Adds the chains that report packets for sandboxes that sleep, with their sets, which are empty. */
void rules_wake_add(struct nft_batch *batch, const struct config *config);

/* Whether the kernel has NFLOG, without which it refuses the rule that reports. At first it is taken to have it. */
void rules_wake_can_log(bool can);

/* Reads the elements of a set of the host's table; a missing one has none. 0, or -1 with ERR, and then ELEMENTS are none either. */
int rules_host_read_set(const struct nft_set *set, struct rules_elements *elements, struct err *err);

/*
 * Adds to BATCH what makes the elements HAS of SET those of WANTED. Both are sorted by it. Returns how many elements are added.
 * Broken without memory.
 */
size_t rules_host_change_set(struct nft_batch *batch, const struct nft_set *set, struct rules_elements *has,
			     struct rules_elements *wanted);

extern const struct nft_set set_sandbox_drops;
extern const struct nft_set set_denied_host_ports, set_denied_host_protocols;

#endif
