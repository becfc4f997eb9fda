/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/store/store_fixture.h"

#include "config/config.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void load(void)
{
	ck_assert_msg(store_load(store, &contents, &err) == 0, "%s", err.text);
}

/* The text of a file, for the test to free. */
static char *read_file(const char *name)
{
	FILE *file = fopen(path_of(name), "r");
	char *text = calloc(1, 65536);

	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
	fclose(file);
	return text;
}

/* One damaged file is found and nothing else, and its report has TEXT. */
static void expect_damage(unsigned slot, const char *text)
{
	load();
	ck_assert_uint_eq(contents.count, 0);
	ck_assert_uint_eq(contents.damage_count, 1);
	ck_assert_uint_eq(contents.damage[0].slot, slot);
	ck_assert_msg(strstr(contents.damage[0].text, text) != NULL, "\"%s\" lacks \"%s\"", contents.damage[0].text,
		      text);
	store_contents_clear(&contents);
}

START_TEST(what_is_saved_is_loaded_again)
{
	struct sandbox *a = added(
	    "a", "{\"ports\": [49983, {\"guest_port\": 53, \"proto\": \"udp\"}, {\"guest_port\": 1,"
		 " \"listen\": \"localhost:18080\", \"proxy_protocol\": \"v2\"}], \"default\": true,"
		 " \"ready_port\": 5, \"tap_owner\": {\"uid\": 1, \"gid\": 2}, \"labels\": {\"k\":"
		 " \"v\"}, \"name\": \"web\", \"egress\": {\"deny\": [{\"cidr\": \"192.0.2.0/24\", \"proto\": \"udp\","
		 " \"ports\": [7, 8]}]}, \"limits\": {\"connections\": 5}}");
	struct stored *stored;

	a->counters = (struct counters){ 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	a->paused = true;
	a->mtu = 1400;
	a->last_activity_ms = 1234567890123;
	a->wake_asked_ms = 1234567890124;
	strcpy(a->wake_by, "api");
	strcpy(a->wake_via, "front-door");
	a->strict = true;
	save(a);
	load();
	ck_assert_uint_eq(contents.count, 1);
	ck_assert_uint_eq(contents.damage_count, 0);
	stored = &contents.items[0];
	ck_assert_str_eq(stored->id, "a");
	ck_assert_uint_eq(stored->slot, 1);
	ck_assert(registry_spec_equal(stored->spec, a->spec));
	ck_assert_str_eq(stored->spec->name, "web");
	ck_assert_uint_eq(strlen(stored->execution), SANDBOX_EXECUTION_SIZE - 1);
	ck_assert_str_eq(stored->execution, a->execution);
	ck_assert_uint_eq(stored->endpoint_count, 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert(registry_spec_port_equal(&stored->endpoints[i].port, &a->endpoints[i].port));
		ck_assert_uint_eq(stored->endpoints[i].listen_count, 2);
		for (size_t j = 0; j < 2; j++)
			ck_assert(addr_equal(&stored->endpoints[i].listen[j], &a->endpoints[i].listen[j]));
	}
	ck_assert(stored->paused && !stored->draining);
	ck_assert_int_eq(stored->registered_ms, a->registered_ms);
	ck_assert_int_eq(stored->last_activity_ms, 1234567890123);
	ck_assert_int_eq(stored->wake_asked_ms, 1234567890124);
	ck_assert_str_eq(stored->wake_by, "api");
	ck_assert_str_eq(stored->wake_via, "front-door");
	ck_assert(stored->strict);
	ck_assert_uint_eq(stored->mtu, 1400);
	ck_assert_uint_eq(stored->base.bytes_to_guest, 1);
	ck_assert_uint_eq(stored->base.packets_from_guest, 4);
	ck_assert_uint_eq(stored->base.connections_total, 5);
	ck_assert_uint_eq(stored->base.connections_open, 0);
	ck_assert_uint_eq(stored->base.drops_total, 8);
}
END_TEST

START_TEST(state_and_carrier_are_saved_with_their_time)
{
	struct sandbox *a = added("a", "{}"), *b = added("b", "{}");
	const struct stored_status *status;

	a->carrier = a->was_attached = true;
	a->carrier_downs = UINT32_MAX;
	registry_sandbox_fail(registry, a, FAILURE_LINK, "kernel", "a \"bridge\" has its name");
	a->since_ms = 1234567890123;
	save(a);
	save(b);
	load();
	ck_assert_uint_eq(contents.count, 2);
	status = &contents.items[0].status;
	ck_assert(status->known && status->state == SANDBOX_FAILED && status->carrier && status->was_attached);
	ck_assert_str_eq(status->reason, "a \"bridge\" has its name");
	ck_assert_int_eq(status->since_ms, 1234567890123);
	ck_assert_int_eq(status->carrier_downs, UINT32_MAX);
	status = &contents.items[1].status;
	ck_assert(status->known && status->state == SANDBOX_CREATING && !status->carrier && !status->was_attached);
	ck_assert_int_eq(status->carrier_downs, -1);
}
END_TEST

/* Replaces the text FROM of a's file by TO. */
static void alter_status(const char *from, const char *to)
{
	struct sandbox *a = registry_find(registry, "a");

	save(a ? a : added("a", "{}"));
	char *text = read_file("1.json"), *place = strstr(text, from);
	FILE *file = fopen(path_of("1.json"), "w");

	ck_assert_ptr_nonnull(place);
	ck_assert_ptr_nonnull(file);
	fprintf(file, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
	fclose(file);
	free(text);
}

START_TEST(a_status_is_read_strictly_and_may_be_missing)
{
	alter_status("\"creating\"", "\"asleep\"");
	expect_damage(1, "status/state: \"asleep\" is no state");
	alter_status("\"carrier_downs\": null", "\"carrier_downs\": -1");
	expect_damage(1, "status/carrier_downs");
	alter_status("\"carrier\": false", "\"carrier\": 0");
	expect_damage(1, "status/carrier");
	/* As a weftd wrote it that did not store it. */
	char *text, *place;
	alter_status("\"status\": {", "\"status\": {");
	text = read_file("1.json");
	place = strstr(text, "\"status\"");
	ck_assert_ptr_nonnull(place);
	while (*place != ',')
		place--;
	strcpy(place, "}");
	FILE *file = fopen(path_of("1.json"), "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	free(text);
	load();
	ck_assert_uint_eq(contents.damage_count, 0);
	ck_assert_uint_eq(contents.count, 1);
	ck_assert(!contents.items[0].status.known);
}
END_TEST

START_TEST(what_is_loaded_can_be_adopted)
{
	struct sandbox *a = added("a", "{\"ports\": [1, {\"guest_port\": 2, \"listen\": \"127.0.0.1:18080\"}]}"),
		       *again;
	struct registry *later = registry_new(config);
	struct stored *stored;

	registry_sandbox_set_state(registry, a, SANDBOX_DRAINING, "unregistered", NULL);
	save(a);
	load();
	stored = &contents.items[0];
	ck_assert(stored->draining);
	again = registry_adopt(later, stored->id, stored->slot, NULL, stored->spec, stored->endpoints,
			       stored->endpoint_count, &problem);
	ck_assert_msg(again != NULL, "%s", problem.detail);
	stored->spec = NULL;
	ck_assert(registry_spec_equal(again->spec, a->spec));
	ck_assert(addr_equal(&again->endpoints[0].listen[1], &a->endpoints[0].listen[1]));
	registry_free(later);
}
END_TEST

START_TEST(saving_again_replaces_and_removing_removes)
{
	struct sandbox *a = added("a", "{}");

	save(a);
	a->paused = true;
	save(a);
	load();
	ck_assert_uint_eq(contents.count, 1);
	ck_assert(contents.items[0].paused);
	store_contents_clear(&contents);
	ck_assert_int_eq(store_remove(store, 1, &err), 0);
	ck_assert_int_eq(store_remove(store, 1, &err), 0);
	load();
	ck_assert_uint_eq(contents.count, 0);
	ck_assert_uint_eq(contents.damage_count, 0);
}
END_TEST

START_TEST(files_are_for_their_owner_alone)
{
	struct stat status;

	save(added("a", "{}"));
	ck_assert_int_eq(stat(path_of("1.json"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(directory, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0700);
}
END_TEST

START_TEST(an_unfinished_file_does_not_count_and_goes)
{
	save(added("a", "{}"));
	write_file("1.json.new", "{\"version\": 1,");
	write_file("2.json.new", "");
	load();
	ck_assert_uint_eq(contents.count, 1);
	ck_assert_uint_eq(contents.damage_count, 0);
	ck_assert_int_eq(access(path_of("1.json.new"), F_OK), -1);
}
END_TEST

START_TEST(an_unfinished_file_does_not_stop_a_new_one)
{
	write_file("1.json.new", "");
	save(added("a", "{}"));
	ck_assert_int_eq(access(path_of("1.json.new"), F_OK), -1);
}
END_TEST

START_TEST(an_unknown_version_is_refused_by_name_and_kept)
{
	char *text;

	write_file("7.json", "{\"version\": 9, \"what\": \"a later weftd wrote\"}");
	expect_damage(7, "7.json: version: version 9 is not known to this weftd (1 to 1)");
	text = read_file("7.json");
	ck_assert_str_eq(text, "{\"version\": 9, \"what\": \"a later weftd wrote\"}");
	free(text);
}
END_TEST

static const struct {
	const char *text, *told;
} damaged[] = {
	{ "", "1.json: the file is empty" },
	{ "{", "1.json: malformed JSON" },
	{ "[]", "1.json: the body must be" },
	{ "{}", "version" },
	{ "{\"version\": \"1\"}", "version" },
	{ "{\"version\": 1, \"id\": \"..\"}", "id" },
	{ "{\"version\": 1, \"id\": \"a\"}", "slot: is missing" },
};

START_TEST(damage_is_reported_with_the_slot)
{
	write_file("1.json", damaged[_i].text);
	expect_damage(1, damaged[_i].told);
}
END_TEST

/* A change that spoils a good file, and its report. */
static const struct {
	const char *from, *to, *told;
} changes[] = {
	{ "\"slot\": 1", "\"slot\": 2", "1.json: speaks of slot 2" },
	{ "\"slot\": 1", "\"slot\": 0", "slot" },
	{ "\"paused\": false", "\"paused\": 0", "paused" },
	{ "127.0.0.1:20000", "127.0.0.1:20009", "endpoint 0 does not agree" },
	{ "127.0.0.1:20000", "192.0.2.1:20000", "endpoint 0 does not agree" },
	{ "\"default\": false", "\"default\": 7", "request/default" },
	{ "\"proto\": \"tcp\"", "\"proto\": \"sctp\"", "request/ports/0/proto" },
	{ "\"mtu\": 0", "\"mtu\": -1", "mtu" },
	{ "\"execution\": \"", "\"execution\": \"\\\"", "is no UUID" },
	{ "\"drops_total\": 0", "\"drops\": 0", "counters/drops" },
};

START_TEST(a_good_file_altered_is_damage)
{
	char *text, *place;
	char altered[65536];

	save(added("a", "{\"ports\": [80]}"));
	text = read_file("1.json");
	place = strstr(text, changes[_i].from);
	ck_assert_msg(place != NULL, "%s lacks %s", text, changes[_i].from);
	snprintf(altered, sizeof(altered), "%.*s%s%s", (int)(place - text), text, changes[_i].to,
		 place + strlen(changes[_i].from));
	write_file("1.json", altered);
	free(text);
	expect_damage(1, changes[_i].told);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_damage)
{
	char *text;
	size_t length;

	save(added("a", "{\"ports\": [80]}"));
	text = read_file("1.json");
	length = strlen(text);
	for (size_t cut = 0; cut < length - 2; cut += 7) {
		text[length - 2 - cut] = '\0';
		write_file("1.json", text);
		expect_damage(1, "1.json");
	}
	free(text);
}
END_TEST

START_TEST(what_others_may_write_is_not_trusted)
{
	save(added("a", "{}"));
	ck_assert_int_eq(chmod(path_of("1.json"), 0620), 0);
	expect_damage(1, "can be written by others (mode 0620)");
}
END_TEST

START_TEST(what_others_own_is_not_trusted)
{
	if (geteuid() != 0)
		return;
	save(added("a", "{}"));
	ck_assert_int_eq(chown(path_of("1.json"), 65534, 65534), 0);
	expect_damage(1, "belongs to uid 65534");
}
END_TEST

START_TEST(links_are_not_followed_and_fifos_not_waited_for)
{
	save(added("a", "{}"));
	ck_assert_int_eq(rename(path_of("1.json"), path_of("elsewhere.json.new")), 0);
	ck_assert_int_eq(symlink("elsewhere.json.new", path_of("1.json")), 0);
	expect_damage(1, "is a symbolic link");
	unlink(path_of("1.json"));
	ck_assert_int_eq(mkfifo(path_of("2.json"), 0600), 0);
	expect_damage(2, "is no regular file");
	unlink(path_of("2.json"));
	ck_assert_int_eq(mkdir(path_of("3.json"), 0700), 0);
	expect_damage(3, "is no regular file");
}
END_TEST

START_TEST(other_names_are_reported_and_left_alone)
{
	static const char *const names[] = { "07.json", "0.json", "32767.json", "x.json", "1.json~" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		write_file(names[i], "{}");
		expect_damage(0, names[i]);
		ck_assert_int_eq(unlink(path_of(names[i])), 0);
	}
}
END_TEST

START_TEST(of_two_files_with_one_id_the_lower_slot_counts)
{
	struct sandbox *a;

	registry_prefer_slot(registry, 9);
	a = added("a", "{}");
	save(a);
	registry_remove(registry, a);
	a = added("a", "{}");
	save(a);
	load();
	ck_assert_uint_eq(contents.count, 1);
	ck_assert_uint_eq(contents.items[0].slot, 1);
	ck_assert_uint_eq(contents.damage_count, 1);
	ck_assert_uint_eq(contents.damage[0].slot, 9);
}
END_TEST

START_TEST(a_second_daemon_is_refused_and_the_first_one_named)
{
	char text[64];

	snprintf(text, sizeof(text), "another weftd (pid %d) uses it", getpid());
	ck_assert_ptr_null(store_open(directory, config, &err));
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	store_close(store);
	store = store_open(directory, config, &err);
	ck_assert_msg(store != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_directory_that_others_may_write_is_refused)
{
	store_close(store);
	ck_assert_int_eq(chmod(directory, 0770), 0);
	store = store_open(directory, config, &err);
	ck_assert_ptr_null(store);
	ck_assert_msg(strstr(err.text, "can be written by others (mode 0770)") != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_directory_that_is_a_link_or_a_file_is_refused)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/link", root);
	ck_assert_int_eq(symlink(directory, path), 0);
	ck_assert_ptr_null(store_open(path, config, &err));
	ck_assert_msg(strstr(err.text, "symbolic link") != NULL, "%s", err.text);
	write_file("plain.json.new", "");
	ck_assert_ptr_null(store_open(path_of("plain.json.new"), config, &err));
	ck_assert_msg(strstr(err.text, "no directory") != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_directory_of_somebody_else_is_refused)
{
	if (geteuid() != 0)
		return;
	store_close(store);
	ck_assert_int_eq(chown(directory, 65534, 65534), 0);
	store = store_open(directory, config, &err);
	ck_assert_ptr_null(store);
	ck_assert_msg(strstr(err.text, "belongs to uid 65534") != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_save_that_cannot_be_says_why)
{
	struct sandbox *a = added("a", "{}");

	ck_assert_int_eq(mkdir(path_of("1.json"), 0700), 0);
	ck_assert_int_eq(store_save(store, a, &err), -1);
	ck_assert_msg(strstr(err.text, "1.json") != NULL, "%s", err.text);
	ck_assert_int_eq(access(path_of("1.json.new"), F_OK), -1);
}
END_TEST

/* Of this process: a machine that is busy with others does not make it more. */
static uint64_t busy_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

START_TEST(four_thousand_files_are_loaded_by_slot)
{
	enum { FILES = 4000 };
	uint64_t started_ms;
	char id[16];

	for (int i = 0; i < FILES; i++) {
		snprintf(id, sizeof(id), "s%d", i);
		save(added(id, "{\"ports\": [49983], \"labels\": {\"template\": \"base\"}}"));
	}
	started_ms = busy_ms();
	load();
	ck_assert_uint_eq(contents.count, FILES);
	for (unsigned i = 0; i < FILES; i++)
		ck_assert_uint_eq(contents.items[i].slot, i + 1);
	uint64_t took_ms = busy_ms() - started_ms;
	ck_assert_msg(took_ms < 10000, "took %llu ms", (unsigned long long)took_ms);
	if (getenv("WEFT_TEST_VERBOSE"))
		printf("%d files in %llu ms\n", FILES, (unsigned long long)took_ms);
}
END_TEST

static TCase *contents_case(void)
{
	TCase *tcase = tcase_create("contents");

	tcase_add_test(tcase, state_and_carrier_are_saved_with_their_time);
	tcase_add_test(tcase, a_status_is_read_strictly_and_may_be_missing);
	tcase_add_test(tcase, what_is_saved_is_loaded_again);
	tcase_add_test(tcase, what_is_loaded_can_be_adopted);
	tcase_add_test(tcase, saving_again_replaces_and_removing_removes);
	tcase_add_test(tcase, an_unfinished_file_does_not_count_and_goes);
	tcase_add_test(tcase, an_unfinished_file_does_not_stop_a_new_one);
	tcase_add_test(tcase, an_unknown_version_is_refused_by_name_and_kept);
	tcase_add_loop_test(tcase, damage_is_reported_with_the_slot, 0, sizeof(damaged) / sizeof(damaged[0]));
	tcase_add_loop_test(tcase, a_good_file_altered_is_damage, 0, sizeof(changes) / sizeof(changes[0]));
	tcase_add_test(tcase, a_file_cut_anywhere_is_damage);
	tcase_add_test(tcase, of_two_files_with_one_id_the_lower_slot_counts);
	tcase_add_test(tcase, four_thousand_files_are_loaded_by_slot);
	return tcase;
}

static TCase *trust_case(void)
{
	TCase *tcase = tcase_create("trust");

	tcase_add_test(tcase, files_are_for_their_owner_alone);
	tcase_add_test(tcase, what_others_may_write_is_not_trusted);
	tcase_add_test(tcase, what_others_own_is_not_trusted);
	tcase_add_test(tcase, links_are_not_followed_and_fifos_not_waited_for);
	tcase_add_test(tcase, other_names_are_reported_and_left_alone);
	tcase_add_test(tcase, a_second_daemon_is_refused_and_the_first_one_named);
	tcase_add_test(tcase, a_directory_that_others_may_write_is_refused);
	tcase_add_test(tcase, a_directory_that_is_a_link_or_a_file_is_refused);
	tcase_add_test(tcase, a_directory_of_somebody_else_is_refused);
	tcase_add_test(tcase, a_save_that_cannot_be_says_why);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tcases[] = { contents_case(), trust_case() };

	for (size_t i = 0; i < sizeof(tcases) / sizeof(tcases[0]); i++) {
		tcase_add_checked_fixture(tcases[i], store_setup, store_teardown);
		tcase_set_timeout(tcases[i], 120);
		suite_add_tcase(suite, tcases[i]);
	}
	return run_suite(suite);
}
