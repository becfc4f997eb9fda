/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_RULES_H
#define WEFT_FABRIC_RULES_RULES_H

/*
 * The nftables side of the fabric: the host's table and the tables of each slot's namespace. Each call opens its
 * netlink socket in the namespace (see base/netns.h), does atomic batches or dumps, and closes it: no netlink socket stays in a
 * namespace. Any thread of the fabric. Calls that change or check the rules of one namespace must not overlap; comments may.
 *
 * NETNS_FD: the namespace; -1: weftd's own.
 */

#include "fabric/fabric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_layout;
struct err;

/*
 * Makes the host's table `inet weft` as CONFIG wants it, in one batch: a missing table is made, a different one is replaced and
 * keeps its published ports. 0 or -1 with ERR.
 */
int rules_host_apply(const struct config *config, struct err *err);

/* The same without a look at whether there is anything to do: for who has seen that already, by rules_host_check(). */
int rules_host_renew(const struct config *config, struct err *err);

/* Whether the host's table is as rules_host_apply() makes it. 0 and *INTACT, or -1 with ERR. */
int rules_host_check(const struct config *config, bool *intact, struct err *err);

/* Removes the host's table; a missing table is no error. *REMOVED: whether there was one. */
int rules_host_remove(bool *removed, struct err *err);

/* Counts the packets that the host's table has denied or dropped since it was made, by rule. 0, or -1 with ERR. */
int rules_host_counts(uint64_t denied[static FABRIC_RULES], struct err *err);

/* Counts the same by sandbox, over all rules: DROPS[i] is for the link with number LINKS[i] (0: none). */
int rules_host_drops(const int *links, uint64_t *drops, size_t count, struct err *err);

/* Forgets the counts of a link that another sandbox is to get. */
int rules_host_forget(int link, struct err *err);

/*
 * Reports the denials of packets to the host itself, as rules_slot_denials() does for a slot. LINK: the number of the incoming
 * link.
 */
typedef void rules_host_denied(void *context, int link, const struct fabric_denial *denial);
int rules_host_denials(uint64_t *since_ms, rules_host_denied *report, void *context, struct err *err);

/* Makes the published ports of SLOT on the host exactly NAT, and leaves those of other slots alone. COUNT 0 removes them. */
int rules_host_publish(const struct config_layout *layout, unsigned slot, const struct fabric_nat *nat, size_t count,
		       struct err *err);

/*
 * Has WAKE wake SLOT in the place of FORMER; NULL: nothing does. Changes the elements of this slot alone. If the sets do not have FORMER's,
 * all that they have of the slot is replaced.
 */
int rules_host_wake(const struct config_layout *layout, unsigned slot, const struct fabric_wake *former,
		    const struct fabric_wake *wake, struct err *err);

/* Removes whatever wakes SLOT, where that is not known. */
int rules_host_wake_forget(const struct config_layout *layout, unsigned slot, struct err *err);

/*
 * Makes the sets exactly what PLANS say, which are those of all slots that sleep and have a `wake`. *LOST: how many elements were missing.
 */
int rules_host_wake_review(const struct config *config, const struct fabric_plan *const *plans, size_t count,
			   size_t *lost, struct err *err);

/*
 * Makes the tables of a new or reused slot in one batch; tap0 must exist. `inet weft` has the rules of an IP host. The kernel
 * shows no ARP to inet tables, so `netdev weft` looks at the guest's frames first. PLAN's egress and bandwidth may be NULL: a
 * policy without lists, as befits a slot of the pool, and no limits.
 */
int rules_slot_apply(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err);

/*
 * Gives a slot of the pool the egress policy and bandwidth of PLAN; rules_slot_apply() has made its tables with a policy without
 * lists, and without limits. One batch that only adds, and so never waits.
 */
int rules_slot_claim(int netns_fd, const struct fabric_plan *plan, struct err *err);

/* Whether the slot's tables are as rules_slot_apply() makes them of PLAN. */
int rules_slot_check(int netns_fd, const struct config *config, const struct fabric_plan *plan, bool *intact,
		     struct err *err);

/* More entries than a body without ranges of ports can ask for. */
enum { RULES_POLICY_ELEMENTS_MAX = 20480 };

/* 0, or -1 with ERR: code 0 if a list of EGRESS makes more entries than that, or ENOMEM. */
int rules_slot_policy_check(const struct egress *egress, struct err *err);

/*
 * Replaces policy and limits, and keeps counters. Every packet meets the former or the new policy, never a mixture. Flows that
 * the new policy forbids end with their next packet; others go on. On failure the former policy stays. FORMER: the plan of the
 * present tables; if its limits are the same, the use counted against them stays. NULL: not known.
 */
int rules_slot_update(int netns_fd, const struct config *config, const struct fabric_plan *plan,
		      const struct fabric_plan *former, struct err *err);

/*
 * Reads the number of the sleep that the slot's table has, with which it marks the flows that begin; 0: it does not sleep. 0, or -1 with ERR.
 */
int rules_forward_read_sleep(int netns_fd, uint32_t *sleep, struct err *err);

/* Makes the slot paused, strict or neither, as PLAN is, in one batch; changes nothing else of it. 0, or -1 with ERR. */
int rules_slot_turn(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err);

/* Reads how many packets showed the sandbox in use since its tables were made. 0, or -1 with ERR. */
int rules_slot_activity(int netns_fd, uint64_t *packets, struct err *err);

/*
 * Does the same as rules_slot_apply() for a slot in use. Counters go on from their present values, or from KNOWN (read before;
 * may be NULL) if that is more. If the policy alone differs, it is replaced as by rules_slot_update(). Otherwise the tables are
 * replaced whole. With lists in the policy, all that the guest sends out is then dropped for about 15 ms; without, for some
 * microseconds the host's table alone denies the always-denied ranges.
 */
int rules_slot_repair(int netns_fd, const struct config *config, const struct fabric_plan *plan,
		      const struct fabric_counts *known, struct err *err);

/*
 * Reads a number that changes with each change of the namespace's ruleset, by anyone. While it is the same as before a check
 * that found the tables intact, they still are. Costs a fraction of a check. 0 is never such a number.
 */
int rules_generation(int netns_fd, uint32_t *generation, struct err *err);

/* Writes the sandbox's name as a comment, for people. Nothing depends on it, so it comes after the reply. */
int rules_slot_comment(int netns_fd, const char *id, struct err *err);

/* Reads the counters of the slot since its tables were made. COUNTS->slot is left alone. */
int rules_slot_counts(int netns_fd, struct fabric_counts *counts, struct err *err);

/*
 * Reports the denials recorded after *SINCE_MS (0: all), a time of clock_now_ms() that the call moves on. The caller keeps it
 * with the slot and calls at least once a minute, as long as records are kept. A denial that goes on is reported again each
 * minute. Records are left to time out, since any deletion in nftables waits for the kernel.
 */
int rules_slot_denials(int netns_fd, uint64_t *since_ms,
		       void (*report)(void *context, const struct fabric_denial *denial), void *context,
		       struct err *err);

/*
 * Whether the guest may send to DESTINATION, by the kernel's own sets. The rules "allow_host", "dns", "open", "allow",
 * "redirect" and "internet" let a packet through; "gateway", "isolated", "sandbox", "private", "protocol", "deny" and "internet" do
 * not. IP_PROTO: IPPROTO_*.
 */
int rules_slot_reach(int netns_fd, const struct config *config, const struct config_layout *layout,
		     uint32_t destination, uint8_t ip_proto, uint16_t port, struct fabric_reach *reach,
		     struct err *err);

#endif
