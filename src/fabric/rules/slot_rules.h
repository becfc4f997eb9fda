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
struct err;

extern const struct nft_set set_denied_ports, set_denied_protocols; /* denials; rules fill them */

/*
 * Lists of a policy: networks with all protocols, with one protocol, or with one protocol and port. Each list has two names,
 * its sides: the rules use the sets of one side, and a change of policy first fills those of the other.
 */
enum { RULES_POLICY_SETS = 3, RULES_POLICY_SIDES = 2 };
extern const struct nft_set set_policy_allow[RULES_POLICY_SIDES][RULES_POLICY_SETS];
extern const struct nft_set set_policy_deny[RULES_POLICY_SIDES][RULES_POLICY_SETS];

/* Chains for the policy and the limits alone. */
#define RULES_CHAIN_POLICY          "guest_policy"
#define RULES_CHAIN_FROM_GUEST_RATE "from_guest_rate" /* netdev */

/* The chain that sets the DSCP of what leaves the slot; it exists only in a slot whose policy says so. */
#define RULES_CHAIN_DSCP "guest_dscp"

/* The links of a slot's namespace: to the guest, and to the host. */
#define RULES_TAP     "tap0"
#define RULES_UPWARDS "eth0"

/* The counter of packets that show a sandbox in use. */
#define RULES_COUNTER_ACTIVE "active"

/* The chain that judges what the guest sends into the world. */
#define RULES_CHAIN_EGRESS "guest_egress"

/* Adds the chain RULES_CHAIN_DENIED with its sets. */
void rules_egress_add_denied(struct nft_batch *batch);

/* Adds the chain RULES_CHAIN_EGRESS with all chains that it leads to but RULES_CHAIN_DENIED. */
void rules_egress_add(struct nft_batch *batch, const struct config *config, bool isolated);

/* Adds the rules of the empty chain RULES_CHAIN_EGRESS, ISOLATED: with the one that denies everything in front. */
void rules_egress_fill(struct nft_batch *batch, const struct config *config, bool isolated);

/* Adds the rule that denies everything to RULES_CHAIN_EGRESS. */
void rules_egress_isolate(struct nft_batch *batch);

/*
 * Stops all that the guest sends out, until rules_egress_open(). A rule does it: the kernel sets the drop policy of a new hook
 * as late as it fills sets.
 */
void rules_egress_close(struct nft_batch *batch);

/* Lets pass again what the configuration and the policy allow, in a batch of its own. 0, or -1 with ERR. */
int rules_egress_open(int netns_fd, const struct config *config, bool isolated, struct err *err);

/* Adds the chains for what passes between guest and host, as PLAN is paused, strict or neither. RULES_CHAIN_EGRESS is there. */
void rules_forward_add(struct nft_batch *batch, const struct config *config, const struct fabric_plan *plan);

/* Adds both tables of PLAN's slot. Counters start at COUNTS; the policy's lists are on SIDE. */
void rules_slot_add_tables(struct nft_batch *batch, const struct config *config, const struct fabric_plan *plan,
			   const struct fabric_counts *counts, unsigned side);

/* The egress policy of PLAN; one without lists, with the internet, where it has none. */
const struct egress *rules_slot_egress_of(const struct fabric_plan *plan);

/* Adds PLAN's policy and limits to chains that are empty. The lists are on SIDE. */
void rules_slot_add_policy(struct nft_batch *batch, const struct fabric_plan *plan, unsigned side);

#endif
