/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_RULES_H
#define WEFT_FABRIC_RULES_RULES_H

/*
 * The nftables side of the fabric: the host's table, the table of each slot's namespace, and conntrack. Each call opens its
 * netlink socket in the namespace meant (see base/netns.h), does atomic batches or dumps, and closes it: no netlink socket
 * lives in a namespace. Any thread of the fabric. What changes or judges rules of one namespace is not called at the same time as
 * other such calls; comments may be.
 *
 * NETNS_FD: the namespace; -1: the one weftd was started in.
 */

#include "fabric/fabric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct err;

/*
 * Brings the host's table `inet weft` to what CONFIG says, in one batch: made where it is missing, replaced where it differs
 * (elements of the published-port map are kept). 0 or -1 with ERR.
 */
int nft_host_apply(const struct config *config, struct err *err);

/* Whether the host's table is what nft_host_apply() makes. 0 and *INTACT, or -1 with ERR. */
int nft_host_check(const struct config *config, bool *intact, struct err *err);

/* Removes the host's table; none there is no error. *REMOVED says whether there was one. */
int nft_host_remove(bool *removed, struct err *err);

/* Packets that the host's table denied or dropped since it was made, by rule. 0, or -1 with ERR. */
int nft_host_counts(uint64_t denied[static FABRIC_RULES], struct err *err);

/* The same of sandboxes, all rules together: into DROPS[i] what came in by the link of number LINKS[i] (0: none). */
int nft_host_drops(const int *links, uint64_t *drops, size_t count, struct err *err);

/* Forgets what was counted of a link, which somebody else is to have. */
int nft_host_forget(int link, struct err *err);

/* What was denied on its way to the host itself, as nft_slot_denials() tells; LINK is the number of that by which it came. */
typedef void nft_host_denied(void *context, int link, const struct fabric_denial *denial);
int nft_host_denials(uint64_t *since_ms, nft_host_denied *told, void *context, struct err *err);

/* Makes the published ports of a slot on the host exactly NAT (none: removes them), and leaves those of others alone. */
int nft_host_publish(const struct config *config, unsigned slot, const struct fabric_nat *nat, size_t count,
		     struct err *err);

/*
 * Makes the tables of a new, or reused, slot in one batch; tap0 must be there. `inet weft` has the rules of an IP host; the kernel
 * shows inet tables no ARP, so what the guest sends is first looked at by `netdev weft`. PLAN's egress and bandwidth may be
 * NULL: the internet, and no limits.
 */
int nft_slot_apply(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err);

/*
 * Gives a slot of the pool, whose table nft_slot_apply() made of a plan without egress policy and
 * bandwidth, those of PLAN. One
 * batch that only adds, and so waits for nothing.
 */
int nft_slot_claim(int netns_fd, const struct fabric_plan *plan, struct err *err);

/* Whether the slot's table is what nft_slot_apply() makes of PLAN. */
int nft_slot_check(int netns_fd, const struct config *config, const struct fabric_plan *plan, bool *intact,
		   struct err *err);

/*
 * Replaces policy and limits, counters kept: every packet meets the former or the new policy, never parts of them. Flows that the
 * new one forbids end with their next packet; others go on. On failure the former stands. FORMER is what the tables were made of:
 * where its limits are the same, what was counted against them stays so; NULL: not known.
 */
int nft_slot_update(int netns_fd, const struct fabric_plan *plan, const struct fabric_plan *former, struct err *err);

/*
 * As nft_slot_apply(), for a slot that lives: counters go on from what they count where they still do, and from KNOWN, which may
 * be NULL (what was read before), where that is more. Where the policy alone differs it is replaced as nft_slot_update() does;
 * else the tables are, whole: with lists in the policy, what the guest sends out is dropped for about 15 ms then, and without,
 * always-denied ranges are for some microseconds the host's table's alone to deny.
 */
int nft_slot_repair(int netns_fd, const struct config *config, const struct fabric_plan *plan,
		    const struct fabric_counts *known, struct err *err);

/*
 * A number that changes with each change of the namespace's ruleset, whoever makes it: while it is what it was before a check that
 * found all well, all is well. Costs a fraction of a check. 0 is no such number.
 */
int nft_generation(int netns_fd, uint32_t *generation, struct err *err);

/* Writes the comments that help people (the sandbox's name on the table): after the reply, nothing depends on it. */
int nft_slot_comment(int netns_fd, const char *id, struct err *err);

/* Counters of the slot since its table was made; COUNTS->slot is left alone. */
int nft_slot_counts(int netns_fd, struct fabric_counts *counts, struct err *err);

/*
 * Tells the denials recorded after *SINCE_MS (0: all), a time of clock_now_ms() that is moved on; the caller keeps it with the slot
 * and asks at least once a minute, for which records are kept. A denial that goes on is told again each minute. Records are
 * left to time out: whatever deletes in nftables waits for the kernel.
 */
int nft_slot_denials(int netns_fd, uint64_t *since_ms, void (*told)(void *context, const struct fabric_denial *denial),
		     void *context, struct err *err);

/*
 * Whether the guest may send to DESTINATION, as the kernel's own sets have it. Rules: "allow_host", "dns", "open", "allow",
 * "internet" let through; "gateway", "sandbox", "private", "deny", "internet" do not.
 */
int nft_slot_reach(int netns_fd, const struct config *config, uint32_t destination, enum proto proto, uint16_t port,
		   struct fabric_reach *reach, struct err *err);

/* Forgets all tracked flows of a slot's namespace. */
int conntrack_flush(int netns_fd, struct err *err);

/* Forgets the host's tracked flows from or to HOST_IP (host order), also those translated to it. */
int conntrack_flush_host(uint32_t host_ip, struct err *err);

/* Tracked flows of the namespace, as the kernel counts them. */
int conntrack_count(int netns_fd, unsigned *count, struct err *err);

#endif
