/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dump in the order in which the kernel tries the rules. Of the selectors only the destination is read: a lookup has told already
 * that some rule applies, and here the rule gets its name.
 */
#include "kernel/policy_rule.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

struct kern_policy_rule_walk {
	uint8_t family;
	void (*take)(void *context, const struct kern_policy_rule *rule);
	void *context;
};

/* Whether a rule has no selector at all. */
static bool kern_policy_rule_is_plain(const struct fib_rule_hdr *body, const struct nlattr **table)
{
	static const int selectors[] = { FRA_DST,         FRA_SRC,         FRA_IIFNAME,   FRA_OIFNAME,
					 FRA_FWMARK,      FRA_L3MDEV,      FRA_UID_RANGE, FRA_IP_PROTO,
					 FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_TUN_ID };

	if (body->tos || body->flags & FIB_RULE_INVERT)
		return false;
	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
		if (table[selectors[i]])
			return false;
	return true;
}

static int kern_policy_rule_take(const struct nlmsghdr *header, void *context)
{
	const struct kern_policy_rule_walk *walk = context;
	const struct fib_rule_hdr *body = nlmsg_data(header);
	const struct nlattr *table[FRA_MAX + 1];
	struct kern_policy_rule rule;

	if (header->nlmsg_type != RTM_NEWRULE || nlmsg_datalen(header) < (int)sizeof(*body) ||
	    body->family != walk->family)
		return 0;
	kern_rtnl_attributes(header, sizeof(*body), table, FRA_MAX + 1);
	rule = (struct kern_policy_rule){
		.preference = kern_rtnl_u32(table[FRA_PRIORITY], 0),
		.table = body->action == FR_ACT_TO_TBL ? kern_rtnl_u32(table[FRA_TABLE], body->table) : 0,
		.action = body->action,
		.plain = kern_policy_rule_is_plain(body, table),
	};
	if (walk->family == AF_INET)
		rule.to = (struct cidr4){ .ip = ntohl(kern_rtnl_u32(table[FRA_DST], 0)), .length = body->dst_len };
	walk->take(walk->context, &rule);
	return 0;
}

int kern_policy_rule_dump(struct kern_rtnl *rtnl, uint8_t family,
			  void (*take)(void *context, const struct kern_policy_rule *rule), void *context,
			  struct err *err)
{
	const struct fib_rule_hdr body = { .family = family };
	struct kern_policy_rule_walk walk = { .family = family, .take = take, .context = context };

	if (kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETRULE, NLM_F_DUMP, &body, sizeof(body)), kern_policy_rule_take,
			  &walk, err, "policy rules") == 0)
		return 0;
	return family == AF_INET6 && (err->code == EAFNOSUPPORT || err->code == EOPNOTSUPP) ? 0 : -1;
}

bool kern_policy_rule_is_ordinary(const struct kern_policy_rule *rule)
{
	static const struct {
		uint32_t preference, table;
	} ordinary[] = { { 0, RT_TABLE_LOCAL }, { 32766, RT_TABLE_MAIN }, { 32767, RT_TABLE_DEFAULT } };

	for (size_t i = 0; i < sizeof(ordinary) / sizeof(ordinary[0]); i++)
		if (rule->preference == ordinary[i].preference && rule->table == ordinary[i].table)
			return rule->plain;
	return false;
}

bool kern_policy_rule_forbids(const struct kern_policy_rule *rule)
{
	return rule->action == FR_ACT_BLACKHOLE || rule->action == FR_ACT_UNREACHABLE ||
	       rule->action == FR_ACT_PROHIBIT;
}

struct kern_policy_rule_search {
	uint32_t ip, table;
	bool found;
	uint32_t preference;
};

static void kern_policy_rule_compare(void *context, const struct kern_policy_rule *rule)
{
	struct kern_policy_rule_search *search = context;

	if (search->found || rule->table != search->table ||
	    (rule->to.length && !addr_cidr4_contains(&rule->to, search->ip)))
		return;
	search->found = true;
	search->preference = rule->preference;
}

int kern_policy_rule_find(struct kern_rtnl *rtnl, uint32_t ip, uint32_t table, uint32_t *preference, struct err *err)
{
	enum { TRIES = 10 };
	struct kern_policy_rule_search search;
	int result = -1;

	for (int i = 0; i < TRIES && result < 0; i++) {
		search = (struct kern_policy_rule_search){ .ip = ip, .table = table };
		result = kern_policy_rule_dump(rtnl, AF_INET, kern_policy_rule_compare, &search, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	*preference = search.preference;
	return result;
}
