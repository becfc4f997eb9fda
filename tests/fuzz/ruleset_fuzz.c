/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as other programs' rules: nftables' in datagrams (see fake_kernel.h), and behind them those of iptables-legacy. They
 * are refused with a reason, or each question about a packet has an answer.
 */
#include "base/err.h"
#include "base/log.h"
#include "fake_kernel.h"
#include "fuzz.h"
#include "inspect/ruleset.h"
#include "nft/batch.h"

#include <endian.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <stdbool.h>

/* ---- What the kernel always sends, and libnftnl reads without a look. Input without it would find libnftnl's fault only. ---- */

static const struct nlattr *find(const struct nlattr *nest, unsigned type)
{
	const struct nlattr *attr;

	nft_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static bool is_text(const struct nlattr *attr)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0;
}

/* A jump has a chain to jump to. DATA may be NULL. */
static bool is_whole_data(const struct nlattr *data)
{
	const struct nlattr *verdict = data ? find(data, NFTA_DATA_VERDICT) : NULL;
	const struct nlattr *code = verdict ? find(verdict, NFTA_VERDICT_CODE) : NULL;

	if (!code || mnl_attr_get_payload_len(code) != sizeof(uint32_t))
		return !verdict;
	int number = (int)be32toh(mnl_attr_get_u32(code));
	return (number != NFT_JUMP && number != NFT_GOTO) || is_text(find(verdict, NFTA_VERDICT_CHAIN));
}

static bool is_whole_expression(const struct nlattr *expression)
{
	const struct nlattr *data = find(expression, NFTA_EXPR_DATA);

	return is_text(find(expression, NFTA_EXPR_NAME)) && (!data || is_whole_data(find(data, NFTA_IMMEDIATE_DATA)));
}

int nftnl_rule_nlmsg_parse(const struct nlmsghdr *message, struct nftnl_rule *rule)
{
	const struct nlattr *attr, *expression;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) != NFTA_RULE_EXPRESSIONS)
			continue;
		nft_for_each_nested(expression, attr)
		{
			if (!is_whole_expression(expression))
				return -1;
		}
	}
	return fuzz_real(nftnl_rule_nlmsg_parse)(message, rule);
}

int nftnl_set_elems_nlmsg_parse(const struct nlmsghdr *message, struct nftnl_set *set)
{
	const struct nlattr *attr, *element;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nft_for_each_nested(element, attr)
		{
			if (!is_whole_data(find(element, NFTA_SET_ELEM_DATA)))
				return -1;
		}
	}
	return fuzz_real(nftnl_set_elems_nlmsg_parse)(message, set);
}

/* ---- */

static void ask(const struct ruleset *ruleset)
{
	static const enum ruleset_hook hooks[] = { HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT,
						   HOOK_POSTROUTING };
	static const struct ruleset_packet packets[] = {
		{ .iif = "eth0",
		  .oif = "veth-1",
		  .iif_index = 2,
		  .oif_index = 7,
		  .oif_group = 1874,
		  .source = 0xc6336401,
		  .destination = 0x0a0b0001,
		  .port = 8080 },
		{ .iif = "",
		  .oif = "lo",
		  .oif_index = 1,
		  .source = 0x7f000001,
		  .destination = 0x7f000001,
		  .port = 20000,
		  .established = true },
	};

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		for (size_t j = 0; j < sizeof(packets) / sizeof(packets[0]); j++) {
			struct ruleset_answer drop = inspect_ruleset_ask(ruleset, hooks[i], VERDICT_DROP, &packets[j]);
			struct ruleset_answer moved =
			    inspect_ruleset_ask(ruleset, hooks[i], VERDICT_REDIRECT, &packets[j]);

			fuzz_check((drop.certainty == RULESET_NO) == !drop.chain);
			fuzz_check((moved.certainty == RULESET_NO) == !moved.chain);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ruleset ruleset;
	struct err err = { 0 };

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	if (!fake_kernel_run(data, size)) {
		fake_kernel_stop();
		return 0;
	}
	int result = inspect_ruleset_read(&ruleset, &err);
	fake_kernel_stop();
	if (result == 0)
		ask(&ruleset);
	else
		fuzz_check(err.text[0] && !ruleset.count);
	inspect_ruleset_clear(&ruleset);
	return 0;
}
