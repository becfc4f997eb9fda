/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_SLOT_RULES_H
#define WEFT_FABRIC_RULES_SLOT_RULES_H

/*
 * The parts of a slot's tables that several files know. Private to fabric/rules/.
 */

#include "fabric/fabric.h"
#include "fabric/rules/denial.h"
#include "nft/table.h"

struct config;

extern const struct nft_set set_denied_ports, set_denied_protocols; /* denials; rules fill them */

/*
 * Lists of a policy: networks with all protocols, with one protocol, or with one protocol and port. Each list has two names,
 * its sides: the rules use the sets of one side, and a change of policy first fills those of the other.
 */
enum { RULES_POLICY_SETS = 3, RULES_POLICY_SIDES = 2 };
extern const struct nft_set set_policy_allow[RULES_POLICY_SIDES][RULES_POLICY_SETS];
extern const struct nft_set set_policy_deny[RULES_POLICY_SIDES][RULES_POLICY_SETS];

/* Chains for the policy alone, empty at first. */
#define RULES_CHAIN_ALLOW           "guest_allow"
#define RULES_CHAIN_DENY            "guest_deny"
#define RULES_CHAIN_FROM_GUEST_RATE "from_guest_rate" /* netdev */

/* Adds both tables of PLAN's slot. Counters start at COUNTS; the policy's lists are on SIDE. */
void rules_slot_add_tables(struct nft_batch *batch, const struct config *config, const struct fabric_plan *plan,
			   const struct fabric_counts *counts, unsigned side);

/* Adds PLAN's policy and limits to tables without any. The lists are on SIDE. */
void rules_slot_add_policy(struct nft_batch *batch, const struct fabric_plan *plan, unsigned side);

#endif
