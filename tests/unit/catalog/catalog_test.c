/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is sent to Redis, and what its answers lead to. The connection is this file's: it keeps the commands, and answers when told to. */
#include "catalog/catalog.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "catalog/records.h"
#include "catalog/redis_link.h"
#include "config/config.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMANDS_MAX = 1024, WINDOW = 256 };

struct catalog_link {
	struct catalog_link_owner owner;
	bool up;
	struct {
		void *subject;
		char text[1024]; /* its words, with blanks between; of a script, its name */
	} commands[COMMANDS_MAX];
	size_t count, answered;
	char given_up[128];
};

static struct catalog_link fake;
static struct event_base *base;
static struct config *config;
static struct catalog *catalog;

struct catalog_link *catalog_link_new(struct event_base *loop, const struct config *options,
				      const struct catalog_link_owner *owner, struct err *err)
{
	(void)loop;
	(void)options;
	(void)err;
	fake = (struct catalog_link){ .owner = *owner };
	return &fake;
}

void catalog_link_free(struct catalog_link *link)
{
	(void)link;
}

bool catalog_link_is_up(const struct catalog_link *link)
{
	return link->up;
}

unsigned catalog_link_owed(const struct catalog_link *link)
{
	return (unsigned)(link->count - link->answered);
}

const char *catalog_link_error(const struct catalog_link *link)
{
	return link->up ? NULL : "down";
}

uint64_t catalog_link_losses(const struct catalog_link *link)
{
	(void)link;
	return 0;
}

int catalog_link_send(struct catalog_link *link, void *subject, int count, const char *const words[])
{
	char *text = link->commands[link->count].text;

	if (!link->up)
		return -1;
	ck_assert_uint_lt(link->count, COMMANDS_MAX);
	text[0] = '\0';
	for (int i = 0; i < count; i++) {
		const char *word = words[i];

		if (i == 1 && strcmp(words[0], "EVAL") == 0)
			word = strstr(word, "DEL") ? "remove" : "renew";
		snprintf(text + strlen(text), 1024 - strlen(text), "%s%s", i ? " " : "", word);
	}
	link->commands[link->count++].subject = subject;
	return 0;
}

void catalog_link_give_up(struct catalog_link *link, const char *why)
{
	snprintf(link->given_up, sizeof(link->given_up), "%s", why);
}

void catalog_link_reload(struct catalog_link *link)
{
	(void)link;
}

static void comes_up(void)
{
	fake.up = true;
	fake.owner.up(fake.owner.context);
}

static void goes_down(void)
{
	fake.up = false;
	fake.answered = fake.count;
	fake.owner.down(fake.owner.context);
}

/* Answers the oldest command that has none yet. */
static void answer(enum catalog_answer_kind kind, long long integer, const char *text)
{
	const struct catalog_answer made = { .kind = kind, .integer = integer, .text = text, .length = strlen(text) };

	ck_assert_uint_lt(fake.answered, fake.count);
	fake.owner.answered(fake.owner.context, fake.commands[fake.answered++].subject, &made);
}

static void answer_ok(void)
{
	answer(CATALOG_ANSWER_TEXT, 0, "OK");
}

static void answer_number(long long number)
{
	answer(CATALOG_ANSWER_INTEGER, number, "");
}

/* The last command begins with TEXT, and COUNT were sent in all. */
static void sent(size_t count, const char *text)
{
	ck_assert_uint_eq(fake.count, count);
	ck_assert_msg(strncmp(fake.commands[count - 1].text, text, strlen(text)) == 0, "%s",
		      fake.commands[count - 1].text);
}

static void set(const char *key, const char *execution, enum catalog_claim claim)
{
	const struct catalog_entry entry = { .execution = execution, .started_ms = 1785000000123 };

	catalog_set(catalog, key, &entry, claim);
}

static struct catalog_stats stats(void)
{
	struct catalog_stats now;

	catalog_stats(catalog, &now);
	return now;
}

static void setup(void)
{
	struct err err;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	base = event_base_new();
	config = config_default();
	ck_assert_int_eq(config_set(config, "catalog", "redis", "127.0.0.1:6379"), 0);
	ck_assert_int_eq(config_set(config, "catalog", "address", "192.0.2.7"), 0);
	ck_assert_int_eq(config_set(config, "catalog", "host_id", "host-a"), 0);
	catalog = catalog_new(base, config, &err);
	ck_assert_ptr_nonnull(catalog);
}

static void teardown(void)
{
	catalog_free(catalog);
	config_free(config);
	event_base_free(base);
}

START_TEST(a_start_sets_the_entry_with_all_that_readers_want)
{
	set("a1", "x1", CATALOG_START);
	comes_up();
	sent(1, "SET sandbox:catalog:a1 "
		"{\"orchestrator_id\":\"host-a\",\"orchestrator_ip\":\"192.0.2.7\",\"execution_id\":\"x1\","
		"\"sandbox_started_at\":\"2026-07-25T17:20:00.123Z\",\"sandbox_max_length_in_hours\":24} PX 90000");
	ck_assert_uint_eq(stats().pending, 1);
	answer_ok();
	ck_assert(stats().up && stats().published == 1 && !stats().pending && !stats().error);
}
END_TEST

START_TEST(what_was_there_before_is_not_taken_from_another_writer)
{
	comes_up();
	set("a1", "x1", CATALOG_KEEP);
	sent(1, "EVAL renew 1 sandbox:catalog:a1 \"execution_id\":\"x1\" {");
	answer_number(0);
	ck_assert(stats().foreign == 1 && !stats().published && !stats().pending);
	goes_down();
	comes_up();
	answer_number(1);
	ck_assert(!stats().foreign && stats().published == 1);
}
END_TEST

START_TEST(an_entry_that_was_taken_is_only_renewed_after_a_loss)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	answer_ok();
	goes_down();
	ck_assert(!stats().published && stats().pending == 1);
	comes_up();
	sent(2, "EVAL renew");
}
END_TEST

START_TEST(a_start_without_an_answer_is_still_a_start_after_a_loss)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	goes_down();
	comes_up();
	sent(2, "SET sandbox:catalog:a1");
}
END_TEST

START_TEST(the_last_state_wins)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	sent(1, "SET");
	catalog_remove(catalog, "a1", "x1");
	set("a1", "x2", CATALOG_START);
	catalog_remove(catalog, "a1", "x2");
	set("a1", "x3", CATALOG_START);
	sent(1, "SET");
	answer_ok();
	sent(2, "SET sandbox:catalog:a1 {\"orchestrator_id\":\"host-a\",\"orchestrator_ip\":\"192.0.2.7\","
		"\"execution_id\":\"x3\"");
	answer_ok();
	ck_assert(stats().published == 1 && !stats().pending);
	sent(2, "SET");
}
END_TEST

START_TEST(a_removal_names_its_execution_and_leaves_that_of_another)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	answer_ok();
	catalog_remove(catalog, "a1", "x0");
	sent(1, "SET");
	catalog_remove(catalog, "a1", "x1");
	sent(2, "EVAL remove 1 sandbox:catalog:a1 \"execution_id\":\"x1\"");
	answer_number(1);
	ck_assert(!stats().published && !stats().pending);
	/* Of a former run: nothing is known of it here. */
	catalog_remove(catalog, "old", "x9");
	sent(3, "EVAL remove 1 sandbox:catalog:old \"execution_id\":\"x9\"");
	answer_number(0);
	ck_assert_uint_eq(stats().pending, 0);
}
END_TEST

START_TEST(what_redis_never_heard_of_is_not_removed_from_it)
{
	set("a1", "x1", CATALOG_START);
	catalog_remove(catalog, "a1", "x1");
	comes_up();
	ck_assert_uint_eq(fake.count, 0);
}
END_TEST

START_TEST(a_renamed_sandbox_has_its_new_entry_first_also_after_a_loss)
{
	comes_up();
	set("old", "x1", CATALOG_START);
	answer_ok();
	for (unsigned i = 0; i < 2; i++) {
		size_t before = fake.count;

		if (i == 0) {
			set("new", "x1", CATALOG_START);
			catalog_remove(catalog, "old", "x1");
		} else {
			goes_down();
			comes_up();
		}
		ck_assert_uint_eq(fake.count, before + 2);
		ck_assert_ptr_nonnull(strstr(fake.commands[before].text, "SET sandbox:catalog:new"));
		ck_assert_ptr_nonnull(strstr(fake.commands[before + 1].text, "remove 1 sandbox:catalog:old"));
	}
}
END_TEST

START_TEST(a_redis_that_hangs_is_sent_no_more_than_a_window)
{
	char key[16];

	comes_up();
	for (unsigned i = 0; i < WINDOW + 50; i++) {
		snprintf(key, sizeof(key), "s%u", i);
		set(key, "x", CATALOG_START);
	}
	ck_assert_uint_eq(fake.count, WINDOW);
	ck_assert_uint_eq(stats().pending, WINDOW + 50);
	for (unsigned i = 0; i < WINDOW + 50; i++)
		answer_ok();
	ck_assert_uint_eq(stats().published, WINDOW + 50);
}
END_TEST

START_TEST(removals_that_redis_does_not_hear_of_are_bounded)
{
	char key[16];

	for (unsigned i = 0; i < CATALOG_GONE_MAX + 100; i++) {
		snprintf(key, sizeof(key), "s%u", i);
		catalog_remove(catalog, key, "x");
	}
	ck_assert_uint_eq(stats().pending, CATALOG_GONE_MAX);
}
END_TEST

START_TEST(renewals_are_spread_over_a_third_of_the_time_to_live)
{
	enum { ENTRIES = 200, TTL_MS = 6000 };
	char key[16];

	ck_assert_int_eq(config_set(config, "catalog", "ttl", "6s"), 0);
	comes_up();
	for (unsigned i = 0; i < ENTRIES; i++) {
		snprintf(key, sizeof(key), "s%u", i);
		set(key, "x", CATALOG_START);
		answer_ok();
	}
	uint64_t since = clock_now_ms();
	while (fake.count < ENTRIES + ENTRIES / 10) {
		event_base_loop(base, EVLOOP_ONCE);
		/* However late a tick was, no more are sent than the time that passed is worth. */
		uint64_t passed = clock_now_ms() - since + 300;
		ck_assert_uint_le(fake.count - ENTRIES, ENTRIES * passed * 3 / TTL_MS + 1);
		while (fake.answered < fake.count)
			answer_number(1);
	}
	sent(fake.count, "EVAL renew");
	ck_assert_ptr_nonnull(strstr(fake.commands[ENTRIES].text, "sandbox:catalog:s0 "));
}
END_TEST

START_TEST(without_scripts_a_renewal_looks_before_it_writes_and_nothing_is_removed)
{
	comes_up();
	set("a1", "x1", CATALOG_KEEP);
	answer(CATALOG_ANSWER_ERROR, 0, "NOPERM this user has no permissions to run the 'eval' command");
	sent(2, "GETRANGE sandbox:catalog:a1 0 1023");
	answer(CATALOG_ANSWER_TEXT, 0, "{\"execution_id\":\"x1\"}");
	sent(3, "SET sandbox:catalog:a1");
	answer_ok();
	ck_assert_uint_eq(stats().published, 1);
	catalog_remove(catalog, "a1", "x1");
	ck_assert(fake.count == 3 && !stats().pending && !stats().published);

	set("a2", "x2", CATALOG_KEEP);
	sent(4, "GETRANGE");
	answer(CATALOG_ANSWER_TEXT, 0, "{\"execution_id\":\"x9\"}");
	ck_assert(fake.count == 4 && stats().foreign == 1);
	set("a3", "x3", CATALOG_KEEP);
	answer(CATALOG_ANSWER_TEXT, 0, "");
	sent(6, "SET sandbox:catalog:a3");
	answer_ok();
	/* The next connection may be another user's. */
	goes_down();
	comes_up();
	sent(8, "EVAL renew");
}
END_TEST

START_TEST(a_look_is_worth_nothing_after_a_change)
{
	comes_up();
	set("a1", "x1", CATALOG_KEEP);
	answer(CATALOG_ANSWER_ERROR, 0, "ERR unknown command `EVAL`, with args");
	sent(2, "GETRANGE");
	set("a1", "x2", CATALOG_KEEP);
	answer(CATALOG_ANSWER_TEXT, 0, "{\"execution_id\":\"x1\"}");
	sent(3, "GETRANGE");
}
END_TEST

START_TEST(an_error_is_shown_until_the_entry_is_taken)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	answer(CATALOG_ANSWER_ERROR, 0, "OOM command not\n allowed");
	ck_assert_str_eq(stats().error, "OOM command not? allowed");
	ck_assert(stats().up && stats().pending == 1 && stats().failures == 1);
	sent(1, "SET");
	fake.owner.checked(fake.owner.context);
	sent(2, "SET");
	ck_assert_ptr_nonnull(stats().error);
	answer_ok();
	ck_assert(!stats().error && stats().published == 1);
}
END_TEST

START_TEST(an_answer_of_a_wrong_kind_is_an_error)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	answer_number(1);
	ck_assert_ptr_nonnull(strstr(stats().error, "not an answer"));
	set("a2", "x2", CATALOG_KEEP);
	answer(CATALOG_ANSWER_NIL, 0, "");
	ck_assert_uint_eq(stats().failures, 2);
}
END_TEST

START_TEST(a_redis_that_takes_no_writes_is_left)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	answer(CATALOG_ANSWER_ERROR, 0, "READONLY You can't write against a read only replica.");
	ck_assert_ptr_nonnull(strstr(fake.given_up, "READONLY"));
	ck_assert_uint_eq(stats().pending, 1);
}
END_TEST

START_TEST(another_redis_gets_all_entries_also_those_under_way)
{
	comes_up();
	set("a1", "x1", CATALOG_START);
	answer_ok();
	set("a2", "x2", CATALOG_START);
	fake.owner.up(fake.owner.context);
	sent(3, "EVAL renew 1 sandbox:catalog:a1");
	answer_ok(); /* to a2, by the former one */
	sent(4, "SET sandbox:catalog:a2");
	answer_number(1);
	answer_ok();
	ck_assert(stats().published == 2 && !stats().pending);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("catalog");
	TCase *tests = tcase_create("catalog");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_start_sets_the_entry_with_all_that_readers_want);
	tcase_add_test(tests, what_was_there_before_is_not_taken_from_another_writer);
	tcase_add_test(tests, an_entry_that_was_taken_is_only_renewed_after_a_loss);
	tcase_add_test(tests, a_start_without_an_answer_is_still_a_start_after_a_loss);
	tcase_add_test(tests, the_last_state_wins);
	tcase_add_test(tests, a_removal_names_its_execution_and_leaves_that_of_another);
	tcase_add_test(tests, what_redis_never_heard_of_is_not_removed_from_it);
	tcase_add_test(tests, a_renamed_sandbox_has_its_new_entry_first_also_after_a_loss);
	tcase_add_test(tests, a_redis_that_hangs_is_sent_no_more_than_a_window);
	tcase_add_test(tests, removals_that_redis_does_not_hear_of_are_bounded);
	tcase_add_test(tests, renewals_are_spread_over_a_third_of_the_time_to_live);
	tcase_add_test(tests, without_scripts_a_renewal_looks_before_it_writes_and_nothing_is_removed);
	tcase_add_test(tests, a_look_is_worth_nothing_after_a_change);
	tcase_add_test(tests, an_error_is_shown_until_the_entry_is_taken);
	tcase_add_test(tests, an_answer_of_a_wrong_kind_is_an_error);
	tcase_add_test(tests, a_redis_that_takes_no_writes_is_left);
	tcase_add_test(tests, another_redis_gets_all_entries_also_those_under_way);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
