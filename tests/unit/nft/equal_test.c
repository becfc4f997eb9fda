/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each rule that our tables can have goes through the kernel and comes back equal. Then each byte of its values, and each of
 * its expressions, is altered in turn, which must show.
 */
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include "base/err.h"
#include "fabric/rules/host_rules.h"
#include "fabric/rules/slot_rules.h"
#include "nft/equal.h"
#include "nft/expr.h"

#include <check.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define OK(call)       ck_assert_msg((call) == 0, "%s", err.text)

enum { RULES_MAX = 128 };

static struct lab lab;
static struct err err;

/* Rules as messages, in the order of the chains' rules. */
struct rule_list {
	struct nlmsghdr *rules[RULES_MAX];
	size_t count;
};

static void setup(void)
{
	err = (struct err){ 0 };
	lab = lab_open();
}

/* ---- Messages ---- */

static struct nlmsghdr *copy_of(const struct nlmsghdr *message, size_t more)
{
	struct nlmsghdr *copy = calloc(1, message->nlmsg_len + more);

	ck_assert_ptr_nonnull(copy);
	return memcpy(copy, message, message->nlmsg_len);
}

static int keep_rule(const struct nlmsghdr *message, void *data)
{
	struct rule_list *list = data;

	ck_assert_uint_lt(list->count, RULES_MAX);
	list->rules[list->count++] = copy_of(message, 0);
	return MNL_CB_OK;
}

/* Dumps the rules of CHAIN. */
static void dump_rules(uint8_t family, const char *chain, struct rule_list *list)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	int fd = nft_socket(-1, &err);
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETRULE, family, NLM_F_DUMP);

	ck_assert_int_ge(fd, 0);
	mnl_attr_put_strz(request, NFTA_RULE_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_RULE_CHAIN, chain);
	OK(nft_ask(fd, request, keep_rule, list, &err));
	close(fd);
}

static void forget_rules(struct rule_list *list)
{
	while (list->count)
		free(list->rules[--list->count]);
}

static struct nlattr *attribute_of(const struct nlmsghdr *message, unsigned type)
{
	const struct nlattr *attr;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == type)
			return (struct nlattr *)attr;
	}
	ck_abort_msg("no attribute %u", type);
}

static const char *chain_of(const struct nlmsghdr *rule)
{
	return mnl_attr_get_str(attribute_of(rule, NFTA_RULE_CHAIN));
}

static uint8_t family_of(const struct nlmsghdr *message)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);

	return generic->nfgen_family;
}

/* The place of RULE, a message of BATCH, among the rules of its chain. */
static size_t place_of(const struct nft_batch *batch, const struct nlmsghdr *rule)
{
	const struct nlmsghdr *message = NULL;
	size_t place = 0;

	while ((message = nft_batch_next(batch, message)) != rule)
		place += NFNL_MSG_TYPE(message->nlmsg_type) == NFT_MSG_NEWRULE &&
			 family_of(message) == family_of(rule) && strcmp(chain_of(message), chain_of(rule)) == 0;
	return place;
}

/* ---- Alterations of a rule as the kernel has it ---- */

/* The N-th attribute of TYPE in NEST; NULL. */
static const struct nlattr *nth_of(const struct nlattr *nest, unsigned type, size_t n)
{
	const struct nlattr *attr;

	nft_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == type && n-- == 0)
			return attr;
	}
	return NULL;
}

/* Flips each byte of each value within FOUND, a nest of the rule. NEST is the wanted one, whose nests are flagged. */
static void flip_values(const struct nlmsghdr *wanted_rule, const struct nlmsghdr *found_rule,
			const struct nlattr *nest, const struct nlattr *found)
{
	size_t seen[64] = { 0 };
	const struct nlattr *attr;

	nft_for_each_nested(attr, found)
	{
		unsigned type = mnl_attr_get_type(attr);
		const struct nlattr *wanted = nth_of(nest, type, seen[type]++);
		uint8_t *bytes = mnl_attr_get_payload(attr);

		if (wanted && wanted->nla_type & NLA_F_NESTED) {
			flip_values(wanted_rule, found_rule, wanted, attr);
			continue;
		}
		for (size_t i = 0; i < mnl_attr_get_payload_len(attr); i++) {
			bytes[i] ^= 0x41;
			ck_assert_msg(!nft_equal_rules(wanted_rule, found_rule), "chain %s: byte %zu of attribute %u",
				      chain_of(wanted_rule), i, type);
			bytes[i] ^= 0x41;
		}
	}
}

/* Takes the N-th expression out. False: there is none. */
static bool without_expression(const struct nlmsghdr *wanted, const struct nlmsghdr *found, size_t n)
{
	struct nlmsghdr *copy = copy_of(found, 0);
	struct nlattr *list = attribute_of(copy, NFTA_RULE_EXPRESSIONS);
	const struct nlattr *expression;
	size_t i = 0;
	bool done = false;

	nft_for_each_nested(expression, list)
	{
		if (i++ != n)
			continue;
		char *at = (char *)expression, *after = at + MNL_ALIGN(expression->nla_len);
		char *end = (char *)list + list->nla_len;
		uint16_t gone = (uint16_t)MNL_ALIGN(expression->nla_len);
		memmove(at, after, (size_t)(end - after));
		list->nla_len = (uint16_t)(list->nla_len - gone);
		/* Whatever follows the list does not matter: handles, comments. */
		copy->nlmsg_len = (uint32_t)((char *)list + MNL_ALIGN(list->nla_len) - (char *)copy);
		done = true;
		break;
	}
	if (done)
		ck_assert_msg(!nft_equal_rules(wanted, copy), "chain %s: without expression %zu", chain_of(wanted), n);
	free(copy);
	return done;
}

static void with_another_expression(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	struct nlmsghdr *copy = copy_of(found, 256);
	struct nlattr *list = attribute_of(copy, NFTA_RULE_EXPRESSIONS);

	copy->nlmsg_len = (uint32_t)((char *)list + MNL_ALIGN(list->nla_len) - (char *)copy);
	struct nlattr *item = mnl_attr_nest_start(copy, NFTA_LIST_ELEM);
	mnl_attr_put_strz(copy, NFTA_EXPR_NAME, "counter");
	mnl_attr_nest_end(copy, item);
	list->nla_len = (uint16_t)((char *)copy + copy->nlmsg_len - (char *)list);
	ck_assert_msg(!nft_equal_rules(wanted, copy), "chain %s: one expression more", chain_of(wanted));
	free(copy);
}

static void must_show_alterations(const struct nlmsghdr *wanted, struct nlmsghdr *found)
{
	flip_values(wanted, found, attribute_of(wanted, NFTA_RULE_EXPRESSIONS),
		    attribute_of(found, NFTA_RULE_EXPRESSIONS));
	for (size_t i = 0; without_expression(wanted, found, i);)
		i++;
	with_another_expression(wanted, found);
	ck_assert(nft_equal_rules(wanted, found));
}

/* Has the kernel do BATCH. Each rule must come back equal, and equal to no altered one. */
static void must_come_back(struct nft_batch *batch)
{
	const struct nlmsghdr *message = NULL;
	size_t rules = 0;

	OK(nft_batch_send(batch, -1, &err));
	while ((message = nft_batch_next(batch, message))) {
		struct rule_list found = { .count = 0 };
		if (NFNL_MSG_TYPE(message->nlmsg_type) != NFT_MSG_NEWRULE)
			continue;
		size_t place = place_of(batch, message);
		dump_rules(family_of(message), chain_of(message), &found);
		ck_assert_uint_lt(place, found.count);
		ck_assert_msg(nft_equal_rules(message, found.rules[place]), "chain %s, rule %zu", chain_of(message),
			      place);
		must_show_alterations(message, found.rules[place]);
		forget_rules(&found);
		rules++;
	}
	ck_assert_uint_gt(rules, 0);
	nft_batch_free(batch);
}

/* ---- Tables of ours ---- */

START_TEST(all_rules_of_the_hosts_table_come_back_equal)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	rules_host_add_table(&batch, lab.config);
	must_come_back(&batch);
}
END_TEST

START_TEST(so_do_those_that_a_configuration_adds)
{
	static char name[] = "uplink";
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 }, open = { IP(10, 9, 0, 0), 16 }, allow = { IP(1, 0, 0, 0), 24 };
	struct config_service services[] = {
		{ .address = addr_from_ipv4(IP(192, 0, 2, 1), 79), .kind = CONFIG_SERVICE_SAME },
		{ .address = addr_from_ipv4(IP(192, 0, 2, 1), 80), .kind = CONFIG_SERVICE_PORT, .port = 5010 },
		{ .address = addr_from_ipv4(IP(192, 0, 2, 1), 81), .kind = CONFIG_SERVICE_UNIX },
	};
	struct config_redirect redirects[] = { { 80, 5016 }, { 0, 5018 } };
	struct nft_batch batch;

	lab.config->egress.redirect = (struct config_redirect_list){ .items = redirects, .count = 1 + (size_t)_i };
	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->addresses.uplink = name;
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	lab.config->egress.allow_host = (struct config_service_list){ .items = services, .count = 3 };
	lab.config->ingress.allow = (struct cidr4_list){ .items = &allow, .count = 1 };
	nft_batch_begin(&batch, NFPROTO_INET);
	rules_host_add_table(&batch, lab.config);
	must_come_back(&batch);
}
END_TEST

/* Without and with a policy that has something in each set, no internet and a limit; isolated; asleep; with a given and a learned MAC. */
START_TEST(all_rules_of_a_slots_tables_come_back_equal)
{
	static struct egress_rule rules[] = {
		{ .cidr = { IP(203, 0, 113, 0), 24 }, .any_proto = true },
		{ .cidr = { IP(198, 51, 100, 0), 24 }, .ip_proto = IPPROTO_UDP },
		{ .cidr = { IP(192, 0, 2, 0), 24 },
		  .ip_proto = IPPROTO_TCP,
		  .ports = { { 443, 443 } },
		  .port_count = 1 },
	};
	static const struct egress egress = { .allow = rules, .allow_count = 3, .deny = rules, .deny_count = 3 };
	static const struct egress switched = { .internet = true, .dscp = 46, .isolated = true };
	static struct config_redirect redirects[] = { { 80, 5016 }, { 0, 5018 } };
	static const struct bandwidth slow = { .from_guest = { 1000, 1000 } };
	const struct fabric_plan plans[] = {
		{ .slot = 1, .id = "a" },
		{ .slot = 1, .id = "a", .egress = &egress, .bandwidth = &slow },
		{ .slot = 1, .id = "a", .egress = &switched },
		{ .slot = 1, .id = "a", .paused = true, .strict = true },
	};
	const struct fabric_counts counts = { 0 };
	struct nft_batch batch;

	lab_add_links(&lab);
	lab.config->layout.guest_mac_learn = _i % 2;
	if (_i / 2 == 2)
		lab.config->egress.redirect = (struct config_redirect_list){ .items = redirects, .count = 1 + _i % 2 };
	nft_batch_begin(&batch, NFPROTO_INET);
	rules_slot_add_tables(&batch, lab.config, &plans[_i / 2], &counts, 0);
	must_come_back(&batch);
}
END_TEST

/* ---- Pairs of rules ---- */

static const struct nft_set set_one = { .name = "one", .key = NFT_KEY_ADDRESS, .interval = true };
static const struct nft_set set_two = { .name = "two", .key = NFT_KEY_ADDRESS, .interval = true };
static const struct cidr4 wide = { IP(203, 0, 112, 0), 20 }, narrow = { IP(203, 0, 112, 0), 21 };

/* Adds one of several rules that differ in one thing each. */
static void add_rule(struct nft_batch *batch, const char *chain, unsigned number)
{
	const uint32_t address = IP(203, 0, 113, 1), other = IP(203, 0, 113, 2);

	switch (number) {
	case 0:
		RULE(batch, chain, match_ip_daddr(batch, NFT_IS, address), verdict_accept(batch));
		break;
	case 1:
		RULE(batch, chain, match_ip_daddr(batch, NFT_IS, address), verdict_drop(batch));
		break;
	case 2:
		RULE(batch, chain, match_ip_daddr(batch, NFT_IS, other), verdict_accept(batch));
		break;
	case 3:
		RULE(batch, chain, match_ip_daddr(batch, NFT_IS_NOT, address), verdict_accept(batch));
		break;
	case 4:
		RULE(batch, chain, match_ip_saddr(batch, NFT_IS, address), verdict_accept(batch));
		break;
	case 5:
		RULE(batch, chain, match_ip_daddr_in(batch, NFT_IS, &wide), verdict_accept(batch));
		break;
	case 6:
		RULE(batch, chain, match_ip_daddr_in(batch, NFT_IS, &narrow), verdict_accept(batch));
		break;
	case 7:
		RULE(batch, chain, match_destination_in(batch, NFT_IS, &set_one), verdict_accept(batch));
		break;
	case 8:
		RULE(batch, chain, match_destination_in(batch, NFT_IS, &set_two), verdict_accept(batch));
		break;
	case 9:
		RULE(batch, chain, match_ip_daddr(batch, NFT_IS, address));
		break;
	case 10:
		RULE(batch, chain, match_l4proto(batch, NFT_IS, IPPROTO_TCP), match_ct_state(batch, NFT_CT_STATE_NEW),
		     verdict_accept(batch));
		break;
	case 11:
		RULE(batch, chain, match_ct_state(batch, NFT_CT_STATE_NEW), match_l4proto(batch, NFT_IS, IPPROTO_TCP),
		     verdict_accept(batch));
		break;
	case 12:
		RULE(batch, chain, verdict_goto(batch, "first"));
		break;
	case 13:
		RULE(batch, chain, verdict_goto(batch, "second"));
		break;
	case 14:
		RULE(batch, chain, verdict_jump(batch, "first"));
		break;
	case 15:
		RULE(batch, chain, verdict_accept(batch));
		break;
	}
}

enum { PAIR_RULES = 16 };

START_TEST(rules_that_differ_in_a_single_thing_are_not_equal)
{
	struct rule_list found = { .count = 0 };
	const struct nlmsghdr *message = NULL;
	struct nft_batch batch;
	size_t place = 0;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_table_add(&batch, 0);
	nft_chain_add(&batch, "first", NULL, NULL);
	nft_chain_add(&batch, "second", NULL, NULL);
	nft_chain_add(&batch, "rules", NULL, NULL);
	nft_set_add(&batch, &set_one);
	nft_set_add(&batch, &set_two);
	for (unsigned i = 0; i < PAIR_RULES; i++)
		add_rule(&batch, "rules", i);
	OK(nft_batch_send(&batch, -1, &err));
	dump_rules(NFPROTO_INET, "rules", &found);
	ck_assert_uint_eq(found.count, PAIR_RULES);
	while ((message = nft_batch_next(&batch, message))) {
		if (NFNL_MSG_TYPE(message->nlmsg_type) != NFT_MSG_NEWRULE)
			continue;
		for (size_t i = 0; i < PAIR_RULES; i++)
			ck_assert_msg(nft_equal_rules(message, found.rules[i]) == (i == place), "%zu and %zu", place,
				      i);
		place++;
	}
	ck_assert_uint_eq(place, PAIR_RULES);
	forget_rules(&found);
	nft_batch_free(&batch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nft_equal");
	TCase *tables = tcase_create("tables"), *pairs = tcase_create("pairs");

	lab_require_root();
	tcase_add_checked_fixture(tables, setup, NULL);
	tcase_set_timeout(tables, 120);
	tcase_add_test(tables, all_rules_of_the_hosts_table_come_back_equal);
	tcase_add_loop_test(tables, so_do_those_that_a_configuration_adds, 0, 2);
	tcase_add_loop_test(tables, all_rules_of_a_slots_tables_come_back_equal, 0, 8);
	suite_add_tcase(suite, tables);
	tcase_add_checked_fixture(pairs, setup, NULL);
	tcase_add_test(pairs, rules_that_differ_in_a_single_thing_are_not_equal);
	suite_add_tcase(suite, pairs);
	return run_suite(suite);
}
