/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_POLICY_RULE_H
#define WEFT_KERNEL_POLICY_RULE_H

/* The rules of policy routing (`ip rule`), of IPv4. Each call belongs to the thread of its socket. */

#include "base/addr.h"
#include "kernel/rtnl.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct kern_policy_rule {
	uint32_t preference;
	uint32_t table;       /* 0: it leads to none */
	unsigned char action; /* FR_ACT_* */
	struct cidr4 to;      /* length 0: all */
	bool plain;           /* it selects nothing: all packets meet it */
};

/*
 * Hands all rules of FAMILY to TAKE, in their order; of IPv6 without `to`. A kernel without it has none. 0, or -1 with ERR; EINTR: they
 * changed meanwhile, ask again.
 */
int kern_policy_rule_dump(struct kern_rtnl *rtnl, uint8_t family,
			  void (*take)(void *context, const struct kern_policy_rule *rule), void *context,
			  struct err *err);

/* Whether it is one of the three that each namespace has from the beginning. */
bool kern_policy_rule_is_ordinary(const struct kern_policy_rule *rule);

/* Whether it refuses the packets that meet it. */
bool kern_policy_rule_forbids(const struct kern_policy_rule *rule);

/*
 * Finds the first rule that leads packets to IP (host order) into TABLE. *PREFERENCE is 0 where there is none; so has the rule that each
 * namespace begins with. 0, or -1 with ERR.
 */
int kern_policy_rule_find(struct kern_rtnl *rtnl, uint32_t ip, uint32_t table, uint32_t *preference, struct err *err);

#endif
