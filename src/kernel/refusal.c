/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lookup that is refused does not show the entry that refuses. So the narrowest entry about the destination is sought in each table, and
 * then the policy rules are asked in their order.
 */
#include "kernel/refusal.h"

#include "base/err.h"
#include "kernel/kern_route.h"
#include "kernel/policy_rule.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/socket.h>

enum { DUMP_TRIES = 10, REFUSAL_TABLES = 16 };

struct refusal {
	uint32_t ip;
	struct kern_route_entry
	    tables[REFUSAL_TABLES]; /* of each the narrowest about IP; of several the first, which decides */
	size_t count;
	bool decided;
	struct kern_route_rival rival;
};

static bool kern_refusal_is(const struct kern_route_entry *entry)
{
	return entry->type == RTN_BLACKHOLE || entry->type == RTN_UNREACHABLE || entry->type == RTN_PROHIBIT;
}

static void kern_refusal_keep_narrowest(void *context, const struct kern_route_entry *entry)
{
	struct refusal *refusal = context;
	size_t at = 0;

	if (entry->to.length && !addr_cidr4_contains(&entry->to, refusal->ip))
		return;
	while (at < refusal->count && refusal->tables[at].table != entry->table)
		at++;
	if (at == REFUSAL_TABLES)
		return;
	if (at == refusal->count)
		refusal->count++;
	else if (refusal->tables[at].to.length >= entry->to.length)
		return;
	refusal->tables[at] = *entry;
}

static void kern_refusal_ask_policy(void *context, const struct kern_policy_rule *rule)
{
	struct refusal *refusal = context;
	uint32_t named = kern_policy_rule_is_ordinary(rule) ? 0 : rule->preference;

	if (refusal->decided || (rule->to.length && !addr_cidr4_contains(&rule->to, refusal->ip)))
		return;
	if (kern_policy_rule_forbids(rule)) {
		refusal->decided = true;
		refusal->rival = (struct kern_route_rival){ .rule = named };
	}
	for (size_t i = 0; rule->table && i < refusal->count; i++) {
		const struct kern_route_entry *entry = &refusal->tables[i];

		if (entry->table != rule->table || !kern_refusal_is(entry))
			continue;
		refusal->decided = true;
		refusal->rival = (struct kern_route_rival){
			.table = entry->table, .protocol = entry->protocol, .index = entry->index, .rule = named
		};
	}
}

int kern_refusal_find(struct kern_rtnl *rtnl, uint32_t ip, struct kern_route_rival *rival, struct err *err)
{
	struct refusal refusal;
	int result = -1;

	for (int i = 0; i < DUMP_TRIES && result < 0; i++) {
		refusal = (struct refusal){ .ip = ip };
		result = kern_route_dump(rtnl, kern_refusal_keep_narrowest, &refusal, err);
		if (result == 0)
			result = kern_policy_rule_dump(rtnl, AF_INET, kern_refusal_ask_policy, &refusal, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	*rival = refusal.rival;
	return result;
}
