/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "inspect/ruleset.h"
#include "unit/run_suite.h"

#include <check.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_conntrack.h>
#include <stdio.h>
#include <string.h>

static struct ruleset ruleset;

static const struct ruleset_packet packet = {
	.iif = "veth-1", .oif = "eth0", .iif_group = 1874, .source = 0x0a0b0001, .destination = 0x01010101, .port = 443
};

static void teardown(void)
{
	inspect_ruleset_clear(&ruleset);
}

static struct ruleset_chain *chain(const char *name, enum ruleset_hook hook, bool drops)
{
	struct ruleset_chain *added = inspect_ruleset_add_chain(&ruleset);

	snprintf(added->family, sizeof(added->family), "ip");
	snprintf(added->table, sizeof(added->table), "filter");
	snprintf(added->name, sizeof(added->name), "%s", name);
	added->hook = hook;
	added->drops = drops;
	return added;
}

static struct ruleset_rule *rule(struct ruleset_chain *in, enum ruleset_verdict verdict, const char *target)
{
	struct ruleset_rule *added = inspect_ruleset_add_rule(in);

	added->verdict = verdict;
	snprintf(added->target, sizeof(added->target), "%s", target);
	return added;
}

static void unknown_match(struct ruleset_rule *of)
{
	inspect_ruleset_add_match(of, &(struct ruleset_match){ .field = FIELD_UNKNOWN });
}

static void iif_match(struct ruleset_rule *of, const char *name, bool differs)
{
	struct ruleset_match match = { .field = FIELD_IIFNAME, .differs = differs, .length = (uint8_t)strlen(name) };

	memcpy(match.value, name, strlen(name));
	memset(match.mask, 0xff, sizeof(match.mask));
	inspect_ruleset_add_match(of, &match);
}

static struct ruleset_answer asked(void)
{
	return inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_DROP, &packet);
}

START_TEST(a_policy_drops_what_no_rule_accepts)
{
	chain("FORWARD", HOOK_FORWARD, true);
	struct ruleset_answer answer = asked();

	ck_assert_int_eq(answer.certainty, RULESET_SURELY);
	ck_assert_ptr_null(answer.rule);
	ck_assert_str_eq(answer.chain->name, "FORWARD");
	ck_assert_int_eq(inspect_ruleset_ask(&ruleset, HOOK_INPUT, VERDICT_DROP, &packet).certainty, RULESET_NO);
}
END_TEST

START_TEST(an_accept_in_one_chain_does_not_save_from_another)
{
	rule(chain("FORWARD", HOOK_FORWARD, true), VERDICT_ACCEPT, "");
	ck_assert_int_eq(asked().certainty, RULESET_NO);
	chain("LATER", HOOK_FORWARD, true);
	ck_assert_str_eq(asked().chain->name, "LATER");
}
END_TEST

START_TEST(a_prefix_of_a_name_matches)
{
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, true);

	iif_match(rule(forward, VERDICT_ACCEPT, ""), "docker", false);
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
	iif_match(rule(forward, VERDICT_ACCEPT, ""), "veth-", false);
	ck_assert_int_eq(asked().certainty, RULESET_NO);
}
END_TEST

START_TEST(a_jump_comes_back_and_a_goto_does_not)
{
	chain("empty", HOOK_NONE, false);
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, false);
	rule(forward, VERDICT_JUMP, "empty");
	rule(forward, VERDICT_DROP, "");
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
	forward->rules.items[0].verdict = VERDICT_GOTO;
	ck_assert_int_eq(asked().certainty, RULESET_NO);
}
END_TEST

START_TEST(what_perhaps_ended_before_makes_a_drop_a_perhaps)
{
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, false);

	unknown_match(rule(forward, VERDICT_ACCEPT, ""));
	rule(forward, VERDICT_DROP, "");
	ck_assert_int_eq(asked().certainty, RULESET_PERHAPS);
	ck_assert_ptr_eq(asked().rule, &forward->rules.items[1]);
}
END_TEST

START_TEST(a_condition_that_does_not_hold_beats_one_that_cannot_be_told)
{
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, false);
	struct ruleset_rule *drop = rule(forward, VERDICT_DROP, "");

	unknown_match(drop);
	ck_assert_int_eq(asked().certainty, RULESET_PERHAPS);
	iif_match(drop, "veth-", true);
	ck_assert_int_eq(asked().certainty, RULESET_NO);
}
END_TEST

START_TEST(chains_that_jump_in_a_circle_end)
{
	rule(chain("a", HOOK_NONE, false), VERDICT_JUMP, "b");
	rule(chain("b", HOOK_NONE, false), VERDICT_JUMP, "a");
	rule(chain("FORWARD", HOOK_FORWARD, true), VERDICT_JUMP, "a");
	ck_assert_int_eq(asked().certainty, RULESET_PERHAPS);
}
END_TEST

START_TEST(too_many_conditions_cannot_be_told)
{
	struct ruleset_rule *drop = rule(chain("FORWARD", HOOK_FORWARD, false), VERDICT_DROP, "");

	for (int i = 0; i < RULESET_MATCHES_MAX + 3; i++)
		iif_match(drop, "veth-", false);
	ck_assert_uint_eq(drop->match_count, RULESET_MATCHES_MAX);
	ck_assert_int_eq(asked().certainty, RULESET_PERHAPS);
}
END_TEST

START_TEST(xtables_states_are_understood)
{
	struct ruleset_rule *drop = rule(chain("FORWARD", HOOK_FORWARD, false), VERDICT_DROP, "");
	struct xt_conntrack_mtinfo3 info = { .match_flags = XT_CONNTRACK_STATE,
					     .state_mask = XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) };
	struct ruleset_packet reply = packet;

	inspect_ruleset_add_xt_match(drop, "comment", 0, "", 0);
	inspect_ruleset_add_xt_match(drop, "conntrack", 3, &info, sizeof(info));
	ck_assert_int_eq(asked().certainty, RULESET_NO);
	reply.established = true;
	ck_assert_int_eq(inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_DROP, &reply).certainty, RULESET_SURELY);
	/* Cut short: not read beyond its end. */
	inspect_ruleset_add_xt_match(drop, "conntrack", 3, &info, 4);
	ck_assert_int_eq(inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_DROP, &reply).certainty, RULESET_PERHAPS);
}
END_TEST

START_TEST(what_is_not_local_is_known)
{
	struct ruleset_rule *drop = rule(chain("FORWARD", HOOK_FORWARD, false), VERDICT_DROP, "");
	struct xt_addrtype_info_v1 info = { .dest = XT_ADDRTYPE_LOCAL };

	inspect_ruleset_add_xt_match(drop, "addrtype", 1, &info, sizeof(info));
	ck_assert_int_eq(asked().certainty, RULESET_NO);
	drop->match_count = 0;
	info.flags = XT_ADDRTYPE_INVERT_DEST;
	inspect_ruleset_add_xt_match(drop, "addrtype", 1, &info, sizeof(info));
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
}
END_TEST

START_TEST(xtables_targets_are_understood)
{
	struct ruleset_rule any = { 0 };

	inspect_ruleset_set_xt_target(&any, "REJECT");
	ck_assert_int_eq(any.verdict, VERDICT_DROP);
	inspect_ruleset_set_xt_target(&any, "TPROXY");
	ck_assert_int_eq(any.verdict, VERDICT_REDIRECT);
	inspect_ruleset_set_xt_target(&any, "LOG");
	ck_assert_int_eq(any.verdict, VERDICT_NONE);
	inspect_ruleset_set_xt_target(&any, "SOMETHING-LONG-AND-NEW");
	ck_assert_int_eq(any.verdict, VERDICT_UNKNOWN);
	ck_assert_str_eq(any.word, "SOMETHING-LONG-");
}
END_TEST

int main(void)
{
	TCase *walking = tcase_create("walking");
	tcase_add_checked_fixture(walking, NULL, teardown);
	tcase_add_test(walking, a_policy_drops_what_no_rule_accepts);
	tcase_add_test(walking, an_accept_in_one_chain_does_not_save_from_another);
	tcase_add_test(walking, a_prefix_of_a_name_matches);
	tcase_add_test(walking, a_jump_comes_back_and_a_goto_does_not);
	tcase_add_test(walking, what_perhaps_ended_before_makes_a_drop_a_perhaps);
	tcase_add_test(walking, a_condition_that_does_not_hold_beats_one_that_cannot_be_told);
	tcase_add_test(walking, chains_that_jump_in_a_circle_end);
	tcase_add_test(walking, too_many_conditions_cannot_be_told);
	tcase_add_test(walking, xtables_states_are_understood);
	tcase_add_test(walking, what_is_not_local_is_known);
	tcase_add_test(walking, xtables_targets_are_understood);

	Suite *suite = suite_create("ruleset");
	suite_add_tcase(suite, walking);

	return run_suite(suite);
}
