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
	inspect_ruleset_add_step(of, &(struct ruleset_step){ .kind = STEP_DOUBT, .elsewhere = true });
}

static void iif_match(struct ruleset_rule *of, const char *name, bool differs)
{
	struct ruleset_step comparing = { .kind = STEP_COMPARE,
					  .compare = differs ? COMPARE_DIFFERS : COMPARE_EQUAL,
					  .length = (uint8_t)strlen(name) };

	memcpy(comparing.a, name, strlen(name));
	inspect_ruleset_add_step(of, &(struct ruleset_step){ .kind = STEP_LOAD, .field = FIELD_IIFNAME, .length = 16 });
	inspect_ruleset_add_step(of, &comparing);
}

static void port_range(struct ruleset_rule *of, uint16_t low, uint16_t high)
{
	struct ruleset_step range = { .kind = STEP_RANGE,
				      .length = 2,
				      .a = { (uint8_t)(low >> 8), (uint8_t)low },
				      .b = { (uint8_t)(high >> 8), (uint8_t)high } };

	inspect_ruleset_add_step(
	    of, &(struct ruleset_step){ .kind = STEP_LOAD, .field = FIELD_TRANSPORT, .offset = 2, .length = 2 });
	inspect_ruleset_add_step(of, &range);
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

/* Each path of it ends in the same way. */
START_TEST(a_drop_that_comes_one_way_or_the_other_is_sure)
{
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, true);

	unknown_match(rule(forward, VERDICT_DROP, ""));
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
	ck_assert_ptr_null(asked().rule);
}
END_TEST

START_TEST(what_perhaps_returns_leaves_its_own_chain_alone)
{
	struct ruleset_chain *user = chain("user", HOOK_NONE, false);
	unknown_match(rule(user, VERDICT_RETURN, ""));
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, false);
	rule(forward, VERDICT_JUMP, "user");
	rule(forward, VERDICT_DROP, "");
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
}
END_TEST

START_TEST(a_mark_that_is_perhaps_set_is_not_known)
{
	struct ruleset_chain *forward = chain("FORWARD", HOOK_FORWARD, false);
	struct ruleset_rule *marks = rule(forward, VERDICT_NONE, "");
	struct ruleset_step mark = { .kind = STEP_MARK, .source = RULESET_NO_REGISTER, .b = { 5 } };
	struct ruleset_step compare = { .kind = STEP_COMPARE, .length = 1, .a = { 5 } };

	unknown_match(marks);
	inspect_ruleset_add_step(marks, &mark);
	struct ruleset_rule *drops = rule(forward, VERDICT_DROP, "");
	inspect_ruleset_add_step(drops, &(struct ruleset_step){ .kind = STEP_LOAD, .field = FIELD_MARK, .length = 4 });
	inspect_ruleset_add_step(drops, &compare);
	ck_assert_int_eq(asked().certainty, RULESET_PERHAPS);
	forward->rules.items[0].steps.items[0].kind = STEP_FORGET;
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
	forward->rules.items[0].steps.items[0].kind = STEP_NEVER;
	ck_assert_int_eq(asked().certainty, RULESET_NO);
}
END_TEST

START_TEST(earlier_chains_come_first)
{
	struct ruleset_chain *late = chain("late", HOOK_FORWARD, false);
	late->priority = 10;
	rule(late, VERDICT_REDIRECT, "");
	struct ruleset_chain *early = chain("early", HOOK_FORWARD, false);
	early->priority = -10;
	rule(early, VERDICT_DROP, "");
	struct ruleset_answer answer = inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_REDIRECT, &packet);
	ck_assert_int_eq(answer.certainty, RULESET_NO);
	/* The newer of two comes first. */
	early->priority = 10;
	answer = inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_REDIRECT, &packet);
	ck_assert_int_eq(answer.certainty, RULESET_NO);
	early->priority = 20;
	answer = inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_REDIRECT, &packet);
	ck_assert_int_eq(answer.certainty, RULESET_SURELY);
}
END_TEST

static uint32_t edges[16];
static size_t edge_count;

static void take_edge(void *context, uint32_t value)
{
	(void)context;
	edges[edge_count++] = value;
}

START_TEST(the_edges_of_ranges_and_their_neighbours_are_told)
{
	port_range(rule(chain("FORWARD", HOOK_FORWARD, false), VERDICT_DROP, ""), 1000, 65535);
	inspect_ruleset_edges(&ruleset, EDGE_PORT, take_edge, NULL);
	ck_assert_uint_eq(edge_count, 5);
	const uint32_t expected[] = { 999, 1000, 1001, 65534, 65535 };
	ck_assert_mem_eq(edges, expected, sizeof(expected));
	edge_count = 0;
	inspect_ruleset_edges(&ruleset, EDGE_USER, take_edge, NULL);
	ck_assert_uint_eq(edge_count, 0);
}
END_TEST

START_TEST(a_packet_on_the_same_way_is_known_by_it)
{
	struct ruleset_rule *drop = rule(chain("FORWARD", HOOK_FORWARD, false), VERDICT_DROP, "");
	struct ruleset_packet other = packet;

	port_range(drop, 1000, 2000);
	unknown_match(drop);
	other.port = 1000;
	struct ruleset_answer one = inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_DROP, &other);
	ck_assert(one.elsewhere);
	other.port = 2000;
	ck_assert_uint_eq(inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_DROP, &other).way, one.way);
	other.port = 2001;
	ck_assert_uint_ne(inspect_ruleset_ask(&ruleset, HOOK_FORWARD, VERDICT_DROP, &other).way, one.way);
}
END_TEST

/* A hostile ruleset: 2 to the power of 16 ways. The kernel has none such, but time must end. */
START_TEST(doubtful_jumps_that_multiply_end)
{
	char name[8], next[8];

	for (int i = 0; i < 15; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		snprintf(next, sizeof(next), "c%d", i + 1);
		struct ruleset_chain *one = chain(name, HOOK_NONE, false);
		for (int j = 0; j < 4; j++)
			unknown_match(rule(one, VERDICT_JUMP, next));
	}
	chain("c15", HOOK_NONE, false);
	rule(chain("FORWARD", HOOK_FORWARD, true), VERDICT_JUMP, "c0");
	ck_assert_int_ge(asked().certainty, RULESET_PERHAPS);
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
	drop->steps.count = 0;
	info.flags = XT_ADDRTYPE_INVERT_DEST;
	inspect_ruleset_add_xt_match(drop, "addrtype", 1, &info, sizeof(info));
	ck_assert_int_eq(asked().certainty, RULESET_SURELY);
}
END_TEST

START_TEST(xtables_targets_are_understood)
{
	struct ruleset_rule any = { 0 };

	inspect_ruleset_set_xt_target(&any, "REJECT", 0, NULL, 0);
	ck_assert_int_eq(any.verdict, VERDICT_DROP);
	inspect_ruleset_set_xt_target(&any, "TPROXY", 0, NULL, 0);
	ck_assert_int_eq(any.verdict, VERDICT_REDIRECT);
	inspect_ruleset_set_xt_target(&any, "LOG", 0, NULL, 0);
	ck_assert_int_eq(any.verdict, VERDICT_NONE);
	inspect_ruleset_set_xt_target(&any, "SOMETHING-LONG-AND-NEW", 0, NULL, 0);
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
	tcase_add_test(walking, a_drop_that_comes_one_way_or_the_other_is_sure);
	tcase_add_test(walking, what_perhaps_returns_leaves_its_own_chain_alone);
	tcase_add_test(walking, a_mark_that_is_perhaps_set_is_not_known);
	tcase_add_test(walking, earlier_chains_come_first);
	tcase_add_test(walking, the_edges_of_ranges_and_their_neighbours_are_told);
	tcase_add_test(walking, a_packet_on_the_same_way_is_known_by_it);
	tcase_add_test(walking, doubtful_jumps_that_multiply_end);
	tcase_add_test(walking, xtables_states_are_understood);
	tcase_add_test(walking, what_is_not_local_is_known);
	tcase_add_test(walking, xtables_targets_are_understood);

	Suite *suite = suite_create("ruleset");
	suite_add_tcase(suite, walking);

	return run_suite(suite);
}
