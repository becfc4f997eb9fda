/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_RULESET_NFT_H
#define WEFT_INSPECT_RULESET_NFT_H

/*
 * The parts of the reader of nftables. Private to it.
 */

#include "inspect/ruleset.h"

#include <stdint.h>

struct mnl_socket;
struct nftnl_rule;

/*
 * Turns the kernel's RULE, which is one of CHAIN, into steps of ADDED, which is noted to be incomplete for want of memory. The sets
 * that it looks into are noted in RULESET, to be read.
 */
void inspect_expr_read_rule(struct ruleset *ruleset, const struct ruleset_chain *chain, const struct nftnl_rule *rule,
			    struct ruleset_rule *added);

/* Reads the sets of RULESET, on a SOCKET of netlink's netfilter. 0, or -1 with errno; EINTR: the ruleset changed meanwhile. */
int inspect_set_read_all(struct mnl_socket *socket, struct ruleset *ruleset);

/* The verdict with the kernel's NUMBER (NF_ACCEPT, NFT_JUMP, ...); VERDICT_NONE for "go on". */
enum ruleset_verdict inspect_verdict_of(int number);

#endif
