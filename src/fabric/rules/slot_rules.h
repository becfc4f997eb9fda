/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_SLOT_RULES_H
#define WEFT_FABRIC_RULES_SLOT_RULES_H

/*
 * The parts of a slot's tables that several files know of. Private to fabric/.
 */

#include "fabric/fabric.h"
#include "nft/table.h"

/* Why something is denied: the mark with which a denial is recorded. */
enum nft_denial {
	NFT_DENIAL_PRIVATE = 1, /* an always-denied range */
	NFT_DENIAL_SANDBOX,     /* the ranges of sandboxes */
	NFT_DENIAL_POLICY,      /* the sandbox's deny list */
	NFT_DENIAL_INTERNET,    /* the sandbox has no internet */
	NFT_DENIAL_GATEWAY,     /* the namespace's own addresses */
	NFT_DENIAL_CONNECTIONS, /* too many flows at once */
};

enum {
	NFT_DENIAL_KEPT_MS = 60 * 1000,
	/* The kernel's and our clock are compared with some slack: rather told twice than never. */
	NFT_DENIAL_SLACK_MS = 10,
};

extern const struct nft_set set_denied_ports, set_denied_protocols; /* what was denied; filled by rules */

/*
 * Lists of a policy: networks with all protocols, one protocol, or one protocol and port. Each has two names, its sides: the
 * rules use the sets of one, and a change of policy fills those of the other before they do.
 */
enum { NFT_POLICY_SETS = 3, NFT_POLICY_SIDES = 2 };
extern const struct nft_set set_policy_allow[NFT_POLICY_SIDES][NFT_POLICY_SETS];
extern const struct nft_set set_policy_deny[NFT_POLICY_SIDES][NFT_POLICY_SETS];

/* Chains that hold nothing but policy, and start empty. */
#define NFT_CHAIN_ALLOW           "guest_allow"
#define NFT_CHAIN_DENY            "guest_deny"
#define NFT_CHAIN_DENIED          "denied"
#define NFT_CHAIN_FROM_GUEST_RATE "from_guest_rate" /* netdev */

/* The comment of the last rule of NFT_CHAIN_DENY where there is no internet: counts as this. */
#define NFT_COUNTER_INTERNET "denied_internet"

/* Adds PLAN's policy and limits to tables that have none, with its lists on SIDE. */
void nft_slot_add_policy(struct nft_batch *batch, const struct fabric_plan *plan, unsigned side);

/* Writes what DENIAL calls PROTO (IPPROTO_*). */
void nft_denial_name_proto(struct fabric_denial *denial, uint8_t proto);

/* The rule whose packets the counter of this NAME counts; false: it counts no such thing. */
bool nft_counter_rule(const char *name, enum fabric_rule *rule);

/* In an ordinary chain: counts as COUNTER, and goes to where it is recorded as WHY and answered. */
void nft_slot_deny(struct nft_batch *batch, const char *counter, enum nft_denial why);

#endif
