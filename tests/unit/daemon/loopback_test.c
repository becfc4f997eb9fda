/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's table of loopback endpoints as weftd keeps it, with a table that only pretends. The endpoint is the default one, which
 * leads to the fixture's only sandbox.
 */
#include "daemon/loopback.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "daemon/loopback_state.h"
#include "daemon/tenant.h"
#include "unit/daemon/flow_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 8, PORT = 49983 };

/* ---- The table that pretends ---- */

static struct {
	bool open;
	bool pinned;   /* something of a former run is there */
	bool detached; /* by another program */
	struct kern_loopback_entry entries[ROOM];
	size_t count;
	uint64_t lease;
	int open_error, put_error, take_error;
	unsigned opens, removals;
} table;

char *kern_loopback_pins(uint32_t link_group, char path[static KERN_LOOPBACK_PATH_SIZE])
{
	(void)link_group;
	snprintf(path, KERN_LOOPBACK_PATH_SIZE, "%s", table.pinned ? "/" : "/nowhere");
	return path;
}

const char *kern_loopback_find_cgroup(char path[static KERN_LOOPBACK_PATH_SIZE])
{
	snprintf(path, KERN_LOOPBACK_PATH_SIZE, "/sys/fs/cgroup");
	return path;
}

bool kern_loopback_is_built(void)
{
	return true;
}

struct kern_loopback *kern_loopback_open(const char *cgroup, const char *pins, struct err *err)
{
	(void)cgroup;
	(void)pins;
	table.opens++;
	if (table.open_error) {
		err_set(err, table.open_error, "fake");
		return NULL;
	}
	table.open = true;
	table.detached = false;
	return (struct kern_loopback *)&table;
}

int kern_loopback_check(const struct kern_loopback *loopback, struct err *err)
{
	ck_assert_ptr_eq(loopback, &table);
	return table.detached ? err_set(err, ENOLINK, "fake") : 0;
}

bool kern_loopback_has_ipv6(const struct kern_loopback *loopback, const char **why)
{
	(void)loopback;
	(void)why;
	return true;
}

static size_t table_find(const struct addr *listen)
{
	size_t i = 0;

	while (i < table.count && !addr_equal(&table.entries[i].listen, listen))
		i++;
	return i;
}

int kern_loopback_put(struct kern_loopback *loopback, const struct kern_loopback_entry *entry, struct err *err)
{
	size_t i = table_find(&entry->listen);

	ck_assert_ptr_eq(loopback, &table);
	if (table.put_error)
		return err_set(err, table.put_error, "fake");
	ck_assert_uint_lt(i, ROOM);
	table.entries[i] = *entry;
	table.count += i == table.count;
	return 0;
}

int kern_loopback_take(struct kern_loopback *loopback, const struct addr *listen, enum proto proto, uint64_t *hits,
		       struct err *err)
{
	size_t i = table_find(listen);

	(void)proto;
	ck_assert_ptr_eq(loopback, &table);
	*hits = 0;
	if (table.take_error)
		return err_set(err, table.take_error, "fake");
	if (i == table.count)
		return 0;
	*hits = table.entries[i].hits;
	table.entries[i] = table.entries[--table.count];
	return 0;
}

int kern_loopback_each(struct kern_loopback *loopback,
		       void (*take)(void *context, const struct kern_loopback_entry *entry), void *context,
		       struct err *err)
{
	struct kern_loopback_entry entries[ROOM];
	size_t count = table.count;

	(void)loopback;
	(void)err;
	memcpy(entries, table.entries, sizeof(entries));
	for (size_t i = 0; i < count; i++)
		take(context, &entries[i]);
	return 0;
}

int kern_loopback_renew(struct kern_loopback *loopback, uint64_t until_ns, struct err *err)
{
	(void)loopback;
	(void)err;
	table.lease = until_ns;
	return 0;
}

int kern_loopback_origins(const struct kern_loopback *loopback)
{
	(void)loopback;
	return -1;
}

void kern_loopback_close(struct kern_loopback *loopback, bool keep_pins)
{
	ck_assert_ptr_eq(loopback, &table);
	table.open = false;
	if (keep_pins)
		return;
	table.count = 0;
	table.lease = 0;
}

int kern_loopback_remove(const char *pins, bool *there, struct err *err)
{
	(void)pins;
	(void)err;
	*there = false;
	table.removals++;
	return 0;
}

/* ---- The daemon ---- */

static struct addr listens[2];

static struct tenant *tenant(void)
{
	return daemon_tenant_of(found());
}

static const struct endpoint *endpoint(void)
{
	return &weftd.loopback->default_endpoint;
}

/* Its guest is ready; the default endpoint's port has not answered. */
static void setup(void)
{
	struct sandbox *sandbox;
	struct err err;

	flow_setup();
	memset(&table, 0, sizeof(table));
	weftd.base = event_base_new();
	ck_assert_ptr_nonnull(weftd.base);
	have_sandbox();
	ck_assert_int_eq(daemon_loopback_start(&weftd, &err), 0);
	sandbox = found();
	sandbox->carrier = true;
	sandbox->state = SANDBOX_READY;
	tenant()->netns_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listens[0] = addr_from_ipv4(INADDR_LOOPBACK, PORT);
	listens[1] = addr_loopback6(PORT);
	for (size_t i = 0; i < 2; i++)
		daemon_loopback_default_opens(&weftd, &listens[i], true);
}

static void teardown(void)
{
	daemon_loopback_stop(&weftd);
	ck_assert(!table.open);
	flow_teardown();
	event_base_free(weftd.base);
}

static void opened(void)
{
	daemon_loopback_open(&weftd, true);
	ck_assert(table.open);
	ck_assert_uint_gt(table.lease, 0);
}

static void entered(void)
{
	opened();
	daemon_loopback_on_answered(tenant(), PORT, PROTO_TCP);
	ck_assert_uint_eq(table.count, 2);
}

/* The next timer of the daemon expires. */
static void tick(void)
{
	event_base_loop(weftd.base, EVLOOP_ONCE);
}

static uint64_t connections(void)
{
	uint64_t ever, in_table;

	weftd.loopback->read_again_us = 0;
	daemon_loopback_connections(tenant(), &ever, &in_table);
	return ever;
}

START_TEST(an_answer_makes_the_entries_and_a_pause_removes_them)
{
	opened();
	ck_assert_uint_eq(table.count, 0);
	ck_assert_str_eq(registry_path_reason(endpoint()), "not-answered-yet");
	daemon_loopback_on_answered(tenant(), PORT, PROTO_UDP);
	ck_assert_uint_eq(table.count, 0);
	daemon_loopback_on_answered(tenant(), PORT, PROTO_TCP);
	ck_assert_uint_eq(table.count, 2);
	ck_assert_uint_eq(table.entries[0].host_ip, config_host_ip(found()->layout, found()->slot));
	ck_assert_uint_eq(table.entries[0].guest_port, PORT);
	ck_assert_str_eq(registry_path_name(endpoint()), "kernel");
	daemon_loopback_cut(tenant());
	ck_assert_uint_eq(table.count, 0);
	found()->paused = true;
	daemon_loopback_follow(tenant());
	ck_assert_uint_eq(table.count, 0);
	ck_assert_str_eq(registry_path_reason(endpoint()), "paused");
	found()->paused = false;
	daemon_loopback_follow(tenant());
	ck_assert_uint_eq(table.count, 2);
}
END_TEST

START_TEST(another_guest_has_to_answer_anew)
{
	entered();
	daemon_loopback_cut(tenant());
	daemon_loopback_forget(tenant());
	daemon_loopback_follow(tenant());
	ck_assert_uint_eq(table.count, 0);
}
END_TEST

START_TEST(an_entry_that_was_refused_is_tried_again)
{
	opened();
	table.put_error = ENOMEM;
	daemon_loopback_on_answered(tenant(), PORT, PROTO_TCP);
	ck_assert_str_eq(registry_path_reason(endpoint()), "trouble");
	tick();
	ck_assert_uint_eq(table.count, 0);
	table.put_error = 0;
	tick();
	ck_assert_uint_eq(table.count, 2);
	ck_assert_str_eq(registry_path_name(endpoint()), "kernel");
	ck_assert_str_eq(weftd.loopback->error, "");
}
END_TEST

START_TEST(where_an_entry_cannot_be_removed_none_counts_and_the_table_is_made_anew)
{
	entered();
	table.take_error = ENOMEM;
	daemon_loopback_cut(tenant());
	ck_assert_uint_eq(table.lease, 0);
	ck_assert_str_eq(registry_path_name(endpoint()), "forwarder");
	daemon_loopback_follow(tenant());
	ck_assert_uint_eq(table.lease, 0);
	table.take_error = 0;
	tick();
	ck_assert_uint_eq(table.opens, 2);
	ck_assert_uint_eq(table.count, 2);
	ck_assert_uint_gt(table.lease, 0);
}
END_TEST

/* Else the lease would end under all the others' entries. */
START_TEST(troubles_that_do_not_end_keep_nobody_from_the_lease)
{
	uint64_t begun_us = clock_now_us();

	entered();
	table.lease = 0;
	table.put_error = ENOMEM;
	daemon_loopback_cut(tenant());
	while (!table.lease) {
		ck_assert_uint_lt(clock_now_us() - begun_us, 60000000);
		daemon_loopback_follow(tenant());
		event_base_loop(weftd.base, EVLOOP_NONBLOCK);
		usleep(20000);
	}
}
END_TEST

START_TEST(programs_that_were_detached_are_attached_again)
{
	entered();
	table.entries[0].hits = 5;
	table.detached = true;
	weftd.loopback->troubled = false;
	timer_start(&weftd.loopback->timer, 0);
	tick();
	ck_assert_uint_eq(table.opens, 2);
	ck_assert_uint_eq(table.count, 2);
	ck_assert_uint_eq(connections(), 5);
	ck_assert_str_eq(registry_path_name(endpoint()), "kernel");
	table.detached = true;
	table.open_error = ENOTSUP;
	timer_start(&weftd.loopback->timer, 0);
	tick();
	ck_assert_str_eq(registry_path_reason(endpoint()), "not-there");
	ck_assert_str_ne(weftd.loopback->error, "");
}
END_TEST

START_TEST(a_table_that_cannot_be_opened_yet_is_opened_later)
{
	table.open_error = ENOSYS;
	daemon_loopback_open(&weftd, true);
	ck_assert(!timer_is_armed(&weftd.loopback->timer));
	ck_assert_str_eq(registry_path_reason(endpoint()), "not-there");
	table.open_error = ENOMEM;
	daemon_loopback_reload(&weftd);
	ck_assert(timer_is_armed(&weftd.loopback->timer));
	/* The service whose cgroup it is has not begun yet, or begins anew. */
	table.open_error = ENOENT;
	timer_start(&weftd.loopback->timer, 0);
	tick();
	ck_assert(timer_is_armed(&weftd.loopback->timer));
	table.open_error = 0;
	timer_start(&weftd.loopback->timer, 0);
	tick();
	ck_assert(table.open);
	daemon_loopback_on_answered(tenant(), PORT, PROTO_TCP);
	ck_assert_uint_eq(table.count, 2);
}
END_TEST

START_TEST(entries_of_a_killed_run_are_removed_and_what_they_tell_is_kept)
{
	table.pinned = true;
	kern_loopback_pins(0, weftd.loopback->pins);
	table.entries[0] = (struct kern_loopback_entry){ .listen = listens[0],
							 .host_ip = config_host_ip(found()->layout, found()->slot),
							 .guest_port = PORT,
							 .hits = 7 };
	table.entries[1] = (struct kern_loopback_entry){ .listen = addr_from_ipv4(INADDR_LOOPBACK, 1),
							 .host_ip = 0x0a0b7777,
							 .guest_port = PORT };
	table.count = 2;
	tenant()->base.connections_entered = 3;
	close(tenant()->netns_fd);
	tenant()->netns_fd = -1; /* not taken over yet */
	daemon_loopback_open(&weftd, false);
	ck_assert_uint_eq(table.count, 0);
	ck_assert_uint_eq(connections(), 4);
	tenant()->netns_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	daemon_loopback_follow(tenant());
	ck_assert_uint_eq(table.count, 2);
}
END_TEST

START_TEST(connections_are_counted_over_the_end_of_their_entries)
{
	entered();
	table.entries[0].hits = 5;
	ck_assert_uint_eq(connections(), 5);
	daemon_loopback_cut(tenant());
	ck_assert_uint_eq(connections(), 5);
	daemon_loopback_follow(tenant());
	table.entries[1].hits = 2;
	ck_assert_uint_eq(connections(), 7);
	table.entries[1].hits = 3;
	daemon_loopback_close(&weftd);
	ck_assert_uint_eq(connections(), 8);
}
END_TEST

START_TEST(a_reload_closes_and_opens_the_table)
{
	entered();
	weftd.config->forwarder.loopback = LOOPBACK_FORWARDER;
	daemon_loopback_reload(&weftd);
	ck_assert(!table.open);
	ck_assert_uint_eq(table.removals, 1);
	ck_assert_str_eq(registry_path_reason(endpoint()), "off");
	weftd.config->forwarder.loopback = LOOPBACK_KERNEL;
	daemon_loopback_reload(&weftd);
	ck_assert(table.open);
	ck_assert_uint_eq(table.count, 2);
}
END_TEST

START_TEST(another_default_gets_no_entry_of_the_former)
{
	entered();
	daemon_loopback_leave_default(&weftd, NULL);
	ck_assert_uint_eq(table.count, 0);
	daemon_loopback_follow(tenant());
	ck_assert_uint_eq(table.count, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loopback");
	TCase *keeping = tcase_create("keeping");

	tcase_set_timeout(keeping, 120);
	tcase_add_checked_fixture(keeping, setup, teardown);
	tcase_add_test(keeping, an_answer_makes_the_entries_and_a_pause_removes_them);
	tcase_add_test(keeping, another_guest_has_to_answer_anew);
	tcase_add_test(keeping, an_entry_that_was_refused_is_tried_again);
	tcase_add_test(keeping, where_an_entry_cannot_be_removed_none_counts_and_the_table_is_made_anew);
	tcase_add_test(keeping, troubles_that_do_not_end_keep_nobody_from_the_lease);
	tcase_add_test(keeping, programs_that_were_detached_are_attached_again);
	tcase_add_test(keeping, a_table_that_cannot_be_opened_yet_is_opened_later);
	tcase_add_test(keeping, entries_of_a_killed_run_are_removed_and_what_they_tell_is_kept);
	tcase_add_test(keeping, connections_are_counted_over_the_end_of_their_entries);
	tcase_add_test(keeping, a_reload_closes_and_opens_the_table);
	tcase_add_test(keeping, another_default_gets_no_entry_of_the_former);
	suite_add_tcase(suite, keeping);
	return run_suite(suite);
}
