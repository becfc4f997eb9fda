/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_POLICY_H
#define WEFT_FABRIC_RULES_POLICY_H

/*
 * The common parts of the host's table and the slots': the destinations that no guest may reach, and the exceptions that the
 * configuration makes. Private to fabric/rules/.
 */

#include "fabric/rules/denial.h"
#include "nft/table.h"

struct config;

extern const struct nft_set set_always_denied;  /* private, link-local, multicast ... ranges */
extern const struct nft_set set_sandbox_ranges; /* the sandboxes' own; no exceptions */
extern const struct nft_set set_opened;         /* [egress] open: exceptions from set_always_denied */
extern const struct nft_set set_dns;            /* [addresses] dns, port 53 */
extern const struct nft_set set_host_services;  /* [egress] allow_host */

enum { RULES_DNS_PORT = 53 };

/* Adds those of these five sets that have elements. RANGES are the elements of set_sandbox_ranges. */
void rules_policy_add_sets(struct nft_batch *batch, const struct config *config, const struct cidr4 *ranges,
			   size_t range_count);

/* In an ordinary chain: accepts packets to DNS servers and services of the host. */
void rules_policy_add_exceptions(struct nft_batch *batch, const struct config *config, const char *chain);

/* In a rule: matches destinations that are denied to all sandboxes, and not opened. */
void rules_match_always_denied(struct nft_batch *batch, const struct config *config);

/* Adds SET, of intervals of addresses, with NETWORKS (which may overlap). */
void rules_policy_add_networks(struct nft_batch *batch, const struct nft_set *set, const struct cidr4 *networks,
			       size_t count);

/* The chain of a slot's table that records denials and answers them. */
#define RULES_CHAIN_DENIED "denied"

/* In a rule of a slot's ordinary chain: counts as COUNTER, and goes to RULES_CHAIN_DENIED with WHY. */
void rules_deny(struct nft_batch *batch, const char *counter, enum rules_denial why);

/* Answers a second to the denied packets of one sandbox. Further ones are dropped without an answer. */
enum { RULES_POLICY_ANSWERS = 100 };

/*
 * In an ordinary chain: answers denied packets at once, within limits. LIMITS: for a chain that serves many sandboxes, the set
 * with each one's limit, so that a sandbox that never stops trying does not use up the answers for others; NULL: none.
 */
void rules_policy_add_answer(struct nft_batch *batch, const char *chain, const struct nft_set *limits);

uint8_t rules_ip_proto(enum proto proto); /* IPPROTO_* */

#endif
