/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slot falls asleep and wakes; what other programs, restarts and releases do meanwhile; and which slots are in use. */
#include "fabric/slot/answers.h"
#include "fabric/state.h"
#include "registry/spec.h"
#include "unit/fabric/fabric_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct wake_port ports[] = { { PROTO_TCP, 8080 }, { PROTO_UDP, 5353 } };
static const struct fabric_wake listed = { .ports = ports, .count = 2 }, any = { .any = true };

static struct fabric_slot slot;

static void on_scanned(void *context, const struct fabric_found *found, size_t count, const struct err *err)
{
	(void)found;
	(void)count;
	ck_assert(!err);
	*(bool *)context = true;
}

static void scan(void)
{
	bool scanned = false;

	fabric_scan(host.fabric, on_scanned, &scanned);
	fixture_await(&scanned);
}

static void setup(void)
{
	fixture_setup();
	scan();
	fabric_open(host.fabric);
	slot = fixture_make(1, "a1");
}

enum { POOL = 3 };

static bool is_full(void *context)
{
	struct fabric_pool state;

	(void)context;
	fabric_pool_state(host.fabric, &state);
	return state.ready == POOL;
}

static void setup_pool(void)
{
	fixture_setup_host();
	host.config->pool.size = POOL;
	host.config->pool.quarantine_ms = 0;
	fixture_start_fabric();
	scan();
	fabric_open(host.fabric);
	fixture_await_that(is_full, NULL, "a full pool");
	/* With room for it to come back. */
	host.config->pool.refill = 1;
	slot = fixture_make(1, "a1");
}

static void teardown(void)
{
	fixture_destroy(&slot);
	fixture_teardown();
}

static struct fabric_plan plan_with(const struct fabric_wake *wake)
{
	struct fabric_plan plan = fixture_plan(1, "a1");

	plan.wake = wake;
	return plan;
}

static void pause_with(const struct fabric_wake *wake)
{
	struct fabric_plan plan = plan_with(wake);
	struct result result = { 0 };

	fabric_pause(host.fabric, &plan, fixture_done, &result);
	ck_assert(!result.done);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
}

static void resume(bool keep)
{
	struct fabric_plan plan = plan_with(&listed);
	struct result result = { 0 };

	fabric_resume(host.fabric, &plan, keep, fixture_done, &result);
	ck_assert(!result.done);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
}

static bool inside_says(const char *text)
{
	return fixture_shell_says(text, "ip netns exec ns-1 nft list chain inet weft forward");
}

static bool is_wakeable(void *context)
{
	(void)context;
	return fixture_shell_says("10.11.0.1 . tcp . 8080", "nft list set inet weft wake_ports 2>/dev/null || true") &&
	       fixture_shell_says("10.11.0.1", "nft list set inet weft asleep 2>/dev/null || true");
}

static bool is_unwakeable(void *context)
{
	(void)context;
	return !fixture_shell_says("10.11.0.", "nft list set inet weft wake_ports; nft list set inet weft asleep;"
					       "nft list set inet weft asleep_any");
}

static bool answers_all(void)
{
	return fixture_shell_says("6160", "ip netns exec ns-1 cat /proc/sys/net/ipv4/icmp_ratemask");
}

/* ---- Pausing and resuming ---- */

START_TEST(a_pause_turns_the_slot_and_a_resume_turns_it_back)
{
	ck_assert(is_unwakeable(NULL));
	pause_with(&listed);
	ck_assert(inside_says("host-unreachable"));
	ck_assert(is_wakeable(NULL));
	ck_assert(answers_all());
	resume(true);
	ck_assert(!inside_says("host-unreachable"));
	ck_assert(!inside_says("reset"));
	ck_assert(is_unwakeable(NULL));
	ck_assert(!answers_all());
}
END_TEST

/* Else what began since would be taken for one of the flows that the guest had. */
START_TEST(a_pause_that_is_asked_for_again_is_the_same_one)
{
	char *first, *again, *next;

	pause_with(&listed);
	first = fixture_shell("ip netns exec ns-1 nft list chain inet weft forward");
	pause_with(&listed);
	again = fixture_shell("ip netns exec ns-1 nft list chain inet weft forward");
	ck_assert_str_eq(first, again);
	resume(true);
	pause_with(&listed);
	next = fixture_shell("ip netns exec ns-1 nft list chain inet weft forward");
	ck_assert_str_ne(first, next);
	free(first);
	free(again);
	free(next);
}
END_TEST

START_TEST(without_wake_it_is_turned_and_nothing_wakes_it)
{
	pause_with(NULL);
	ck_assert(inside_says("host-unreachable"));
	ck_assert(is_unwakeable(NULL));
	resume(true);
	ck_assert(!inside_says("host-unreachable"));
}
END_TEST

START_TEST(a_resume_without_flows_forgets_them_and_makes_it_strict)
{
	pause_with(&listed);
	free(fixture_shell("ip netns exec ns-1 ping -c1 -W1 10.12.0.2 || true"));
	resume(false);
	ck_assert(inside_says("reject with tcp reset"));
	ck_assert(!inside_says("host-unreachable"));
	ck_assert(is_unwakeable(NULL));
	ck_assert(fixture_shell_says("0", "ip netns exec ns-1 cat /proc/sys/net/netfilter/nf_conntrack_count"));
	pause_with(&any);
	ck_assert(!inside_says("reject with tcp reset"));
	ck_assert(fixture_shell_says("10.11.0.1", "nft list set inet weft asleep_any"));
	resume(true);
	ck_assert(!inside_says("reject"));
}
END_TEST

START_TEST(what_wakes_it_changes_while_it_sleeps)
{
	struct fabric_plan plan = plan_with(&any);
	struct result result = { 0 };

	pause_with(&listed);
	/* What a plan says of the state is not looked at. */
	plan.strict = true;
	fabric_update(host.fabric, &plan, fixture_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(inside_says("host-unreachable"));
	ck_assert(fixture_shell_says("10.11.0.1", "nft list set inet weft asleep_any"));
	ck_assert(!fixture_shell_says("8080", "nft list set inet weft wake_ports"));
	resume(true);
	ck_assert(is_unwakeable(NULL));
}
END_TEST

START_TEST(a_slot_that_is_not_live_neither_sleeps_nor_wakes)
{
	struct fabric_plan plan = fixture_plan(9, "a9");
	struct result paused = { 0 }, resumed = { 0 };

	fabric_pause(host.fabric, &plan, fixture_done, &paused);
	fixture_await(&paused.done);
	ck_assert_int_eq(paused.err.code, ENOENT);
	fabric_resume(host.fabric, &plan, false, fixture_done, &resumed);
	fixture_await(&resumed.done);
	ck_assert_int_eq(resumed.err.code, ENOENT);
}
END_TEST

/* ---- Others' changes ---- */

static bool is_asleep_inside(void *context)
{
	(void)context;
	return fixture_shell_says("host-unreachable",
				  "ip netns exec ns-1 nft list chain inet weft forward 2>/dev/null || true");
}

START_TEST(rules_and_sets_that_others_take_away_are_put_back)
{
	pause_with(&listed);
	free(fixture_shell("ip netns exec ns-1 nft flush ruleset"));
	fixture_await_that(is_asleep_inside, NULL, "the rules of one that sleeps");
	free(fixture_shell("nft flush ruleset"));
	fixture_await_that(is_wakeable, NULL, "the sets with the table");
	free(fixture_shell("nft flush set inet weft wake_ports"));
	fixture_await_that(is_wakeable, NULL, "a set that was emptied");
	free(fixture_shell("nft add element inet weft wake_ports { 10.11.0.7 . tcp . 1 }"));
	resume(true);
	fixture_await_that(is_unwakeable, NULL, "empty sets");
}
END_TEST

START_TEST(a_pause_without_the_hosts_table_is_made_up_for_later)
{
	struct fabric_plan plan = plan_with(&listed);
	struct result result = { 0 };

	free(fixture_shell("nft delete table inet weft"));
	fabric_pause(host.fabric, &plan, fixture_done, &result);
	fixture_await(&result.done);
	fixture_await_that(is_wakeable, NULL, "what wakes it");
	ck_assert(inside_says("host-unreachable"));
}
END_TEST

/* ---- Restarts ---- */

static void restart(void)
{
	close(slot.netns_fd);
	fixture_stop_fabric();
	memset(host.seen, 0, sizeof(host.seen));
	fixture_start_fabric();
	scan();
}

static void adopt(const struct fabric_plan *plan)
{
	struct result result = { 0 };

	fabric_adopt(host.fabric, plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	slot = result.slot;
}

static char *rules(void)
{
	return fixture_shell("ip netns exec ns-1 nft -a list ruleset; nft list set inet weft asleep; "
			     "nft list set inet weft wake_ports");
}

START_TEST(one_that_sleeps_is_taken_over_untouched)
{
	struct fabric_plan plan = plan_with(&listed);
	char *before, *after;

	pause_with(&listed);
	before = rules();
	restart();
	plan.paused = true;
	adopt(&plan);
	fabric_open(host.fabric);
	ck_assert_msg(host.seen[1].repaired == 0, "%s", host.seen[1].what);
	ck_assert_msg(host.seen[0].repaired == 0, "%s", host.seen[0].what);
	after = rules();
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	resume(true);
	ck_assert(is_unwakeable(NULL));
}
END_TEST

START_TEST(so_is_a_strict_one)
{
	struct fabric_plan plan = plan_with(&listed);

	pause_with(&listed);
	resume(false);
	restart();
	plan.strict = true;
	adopt(&plan);
	ck_assert_msg(host.seen[1].repaired == 0, "%s", host.seen[1].what);
	ck_assert(inside_says("reject with tcp reset"));
}
END_TEST

START_TEST(one_whose_pause_was_not_stored_is_woken_by_nothing)
{
	struct fabric_plan plan = plan_with(&listed);

	pause_with(&listed);
	restart();
	adopt(&plan);
	fabric_open(host.fabric);
	ck_assert(!inside_says("host-unreachable"));
	ck_assert(!answers_all());
	fixture_await_that(is_unwakeable, NULL, "empty sets");
}
END_TEST

START_TEST(one_whose_resume_was_not_stored_sleeps_on)
{
	struct fabric_plan plan = plan_with(&listed);

	pause_with(&listed);
	resume(true);
	restart();
	plan.paused = true;
	adopt(&plan);
	fabric_open(host.fabric);
	ck_assert(inside_says("host-unreachable"));
	ck_assert(answers_all());
	fixture_await_that(is_wakeable, NULL, "what wakes it");
}
END_TEST

START_TEST(one_taken_over_late_is_woken_again)
{
	struct fabric_plan plan = plan_with(&listed);

	pause_with(&listed);
	restart();
	fabric_open(host.fabric);
	fixture_await_that(is_unwakeable, NULL, "empty sets");
	plan.paused = true;
	adopt(&plan);
	fixture_await_that(is_wakeable, NULL, "what wakes it");
}
END_TEST

/* ---- Releases ---- */

START_TEST(nothing_of_one_that_is_destroyed_wakes_its_successor)
{
	pause_with(&listed);
	fixture_destroy(&slot);
	fixture_await_that(is_unwakeable, NULL, "empty sets");
	slot = fixture_make(2, "b1");
}
END_TEST

static bool is_free(void *context)
{
	(void)context;
	return host.seen[1].slot_free > 0;
}

START_TEST(nor_of_one_that_is_used_again)
{
	uint64_t inode = slot.netns_inode;

	pause_with(&listed);
	fixture_destroy(&slot);
	fixture_await_that(is_unwakeable, NULL, "empty sets");
	fixture_await_that(is_free, NULL, "a free number");
	slot = fixture_make(1, "b1");
	ck_assert_uint_eq(slot.netns_inode, inode);
	ck_assert(!inside_says("reject"));
	ck_assert(!answers_all());
}
END_TEST

/* ---- Use ---- */

struct activity_seen {
	bool done;
	size_t count;
	uint64_t packets;
};

static void on_activity(void *context, const struct fabric_activity *activity, size_t count, const struct err *err)
{
	struct activity_seen *seen = context;

	ck_assert_msg(!err, "%s", err ? err->text : "");
	seen->count = count;
	for (size_t i = 0; i < count; i++)
		if (activity[i].slot == 1)
			seen->packets = activity[i].packets;
	seen->done = true;
}

static uint64_t activity(void)
{
	struct activity_seen seen = { 0 };

	ck_assert(fabric_read_activity(host.fabric, on_activity, &seen));
	ck_assert(!fabric_read_activity(host.fabric, on_activity, &seen));
	ck_assert(!seen.done);
	fixture_await(&seen.done);
	ck_assert_uint_eq(seen.count, 1);
	return seen.packets;
}

static void send_datagram(void)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(5000),
					.sin_addr = { htonl(0x0a0b0001) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(sendto(fd, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)), 1);
	close(fd);
}

static bool carries(void *context)
{
	(void)context;
	return host.seen[1].carrier;
}

START_TEST(a_slot_in_use_is_told_from_one_that_is_not)
{
	int tap = fixture_open_tap(&slot);
	uint64_t before;

	fixture_await_that(carries, NULL, "the carrier");
	before = activity();
	ck_assert_uint_eq(before, 0);
	ck_assert_uint_eq(activity(), 0);
	send_datagram();
	ck_assert_uint_eq(activity(), 1);
	close(tap);
}
END_TEST

static bool has_tables(void *context)
{
	(void)context;
	return fixture_shell_says("activity", "ip netns exec ns-1 nft list ruleset");
}

START_TEST(the_count_goes_on_when_the_tables_are_lost)
{
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carries, NULL, "the carrier");
	send_datagram();
	send_datagram();
	ck_assert_uint_eq(activity(), 2);
	free(fixture_shell("ip netns exec ns-1 nft flush ruleset"));
	fixture_await_that(has_tables, NULL, "the tables");
	send_datagram();
	ck_assert_uint_eq(activity(), 3);
	close(tap);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name, void (*begin)(void))
{
	TCase *tests = tcase_create(name);

	tcase_add_checked_fixture(tests, begin, teardown);
	tcase_set_timeout(tests, 120);
	suite_add_tcase(suite, tests);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("fabric asleep");
	TCase *turns = add_case(suite, "turns", setup), *rest = add_case(suite, "rest", setup);
	TCase *used_again = add_case(suite, "used again", setup_pool);

	tcase_add_test(turns, a_pause_turns_the_slot_and_a_resume_turns_it_back);
	tcase_add_test(turns, a_pause_that_is_asked_for_again_is_the_same_one);
	tcase_add_test(turns, without_wake_it_is_turned_and_nothing_wakes_it);
	tcase_add_test(turns, a_resume_without_flows_forgets_them_and_makes_it_strict);
	tcase_add_test(turns, what_wakes_it_changes_while_it_sleeps);
	tcase_add_test(turns, a_slot_that_is_not_live_neither_sleeps_nor_wakes);
	tcase_add_test(turns, rules_and_sets_that_others_take_away_are_put_back);
	tcase_add_test(turns, a_pause_without_the_hosts_table_is_made_up_for_later);
	tcase_add_test(rest, one_that_sleeps_is_taken_over_untouched);
	tcase_add_test(rest, so_is_a_strict_one);
	tcase_add_test(rest, one_whose_pause_was_not_stored_is_woken_by_nothing);
	tcase_add_test(rest, one_whose_resume_was_not_stored_sleeps_on);
	tcase_add_test(rest, one_taken_over_late_is_woken_again);
	tcase_add_test(rest, nothing_of_one_that_is_destroyed_wakes_its_successor);
	tcase_add_test(rest, a_slot_in_use_is_told_from_one_that_is_not);
	tcase_add_test(rest, the_count_goes_on_when_the_tables_are_lost);
	tcase_add_test(used_again, nor_of_one_that_is_used_again);
	return fixture_run(suite);
}
