/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each test runs in a process of its own (Check forks), which enters new namespaces in its set-up. So every test has an unused
 * host, and the objects that it leaves behind die with it.
 */
#include "unit/fabric/fabric_fixture.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/netns.h"
#include "unit/run_suite.h"

#include <event2/event.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct host host;

static void on_carrier(void *context, unsigned slot, bool up, int64_t downs)
{
	(void)downs;
	(void)context;
	host.seen[slot].carrier = up;
	if (up)
		host.seen[slot].carrier_up++;
	else
		host.seen[slot].carrier_down++;
}

static void on_failed(void *context, unsigned slot, enum failure failure, const char *why)
{
	(void)context;
	host.seen[slot].failed++;
	host.seen[slot].failure = failure;
	snprintf(host.seen[slot].what, sizeof(host.seen[slot].what), "%s", why);
}

static void on_recovered(void *context, unsigned slot)
{
	(void)context;
	host.seen[slot].recovered++;
	host.seen[slot].failure = FAILURE_NONE;
}

static void on_repair(void *context, const struct fabric_repair *repair)
{
	struct seen *seen = &host.seen[repair->slot];

	(void)context;
	if (!repair->ok) {
		seen->troubled++;
		snprintf(seen->trouble, sizeof(seen->trouble), "%s: %s", repair->what,
			 repair->error ? repair->error : "");
		if (repair->by)
			snprintf(seen->trouble, sizeof(seen->trouble), "%s: %08x %s %s %u %u", repair->what,
				 repair->by->gateway, repair->by->device, repair->by->protocol, repair->by->table,
				 repair->by->rule);
	} else if (!repair->changed) {
		seen->over++;
	} else {
		seen->repaired++;
		snprintf(seen->what, sizeof(seen->what), "%s", repair->what);
	}
}

static void on_slot_going(void *context, unsigned slot)
{
	(void)context;
	host.seen[slot].slot_going++;
}

static void on_slot_free(void *context, unsigned slot)
{
	(void)context;
	host.seen[slot].slot_free++;
}

static void on_slot_foreign(void *context, unsigned slot, const char *why)
{
	(void)context;
	host.seen[slot].foreign++;
	snprintf(host.seen[slot].what, sizeof(host.seen[slot].what), "%s", why);
}

static void on_denied(void *context, unsigned slot, const struct fabric_denial *denial)
{
	(void)context;
	(void)denial;
	host.seen[slot].denied++;
}

static void on_host(void *context, const char *check, bool ok, const char *detail)
{
	(void)context;
	(void)check;
	(void)ok;
	(void)detail;
}

static void on_pool_changed(void *context)
{
	(void)context;
	host.pool_changes++;
}

static const struct fabric_watcher watcher = {
	.carrier = on_carrier,
	.failed = on_failed,
	.recovered = on_recovered,
	.repair = on_repair,
	.host = on_host,
	.slot_going = on_slot_going,
	.slot_free = on_slot_free,
	.slot_foreign = on_slot_foreign,
	.denied = on_denied,
	.pool_changed = on_pool_changed,
};

int fixture_run(Suite *suite)
{
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: making network namespaces needs root\n");
		return 77;
	}
	return run_suite(suite);
}

void fixture_setup_host(void)
{
	struct err err;

	ck_assert_int_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	mkdir("/run/netns", 0755);
	ck_assert_int_eq(mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=755"), 0);
	free(fixture_shell("ip link set lo up"));
	ck_assert_int_eq(base_netns_init(&err), 0);
	log_setup(getenv("WEFT_TEST_LOG") ? LOG_DEBUG_LEVEL : LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	host.base = event_base_new();
	host.config = config_default();
	ck_assert_ptr_nonnull(host.base);
	ck_assert_ptr_nonnull(host.config);
}

void fixture_start_fabric(void)
{
	struct err err;

	host.fabric = fabric_new(host.base, host.config, &watcher, &err);
	ck_assert_msg(host.fabric != NULL, "%s", host.fabric ? "" : err.text);
}

void fixture_stop_fabric(void)
{
	fabric_free(host.fabric);
	host.fabric = NULL;
}

void fixture_setup(void)
{
	fixture_setup_host();
	fixture_start_fabric();
}

void fixture_teardown(void)
{
	fixture_stop_fabric();
	config_free(host.config);
	event_base_free(host.base);
	memset(&host, 0, sizeof(host));
}

void fixture_slot_done(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct result *result = context;

	ck_assert(!result->done);
	result->done = true;
	result->failed = err != NULL;
	if (err)
		result->err = *err;
	if (slot)
		result->slot = *slot;
}

void fixture_done(void *context, const struct err *err)
{
	fixture_slot_done(context, NULL, err);
}

static void on_deadline(void *context)
{
	(void)context;
}

void fixture_iterate(void)
{
	event_base_loop(host.base, EVLOOP_NONBLOCK);
}

void fixture_await_that(bool (*condition)(void *context), void *context, const char *what)
{
	uint64_t deadline = clock_now_ms() + TIMEOUT_MS;
	struct timer timer = { 0 };
	struct err err;

	/* The loop wakes up now and then without an event, for conditions may lie outside it. */
	ck_assert_int_eq(timer_init(&timer, host.base, on_deadline, NULL, &err), 0);
	while (!condition(context)) {
		ck_assert_msg(clock_now_ms() < deadline, "waited in vain for: %s", what);
		timer_start(&timer, 20);
		event_base_loop(host.base, EVLOOP_ONCE);
	}
	timer_free(&timer);
}

static bool is_set(void *context)
{
	return *(const bool *)context;
}

void fixture_await(const bool *flag)
{
	fixture_await_that(is_set, (void *)flag, "a completion");
}

struct fabric_plan fixture_plan(unsigned slot, const char *id)
{
	static const struct egress egress = { .internet = true };
	static const struct bandwidth bandwidth;

	return (struct fabric_plan){ .slot = slot, .id = id, .egress = &egress, .bandwidth = &bandwidth };
}

struct fabric_slot fixture_make(unsigned slot, const char *id)
{
	struct fabric_plan plan = fixture_plan(slot, id);
	struct result result = { 0 };

	fabric_make(host.fabric, &plan, fixture_slot_done, &result);
	ck_assert(!result.done);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert_uint_eq(result.slot.slot, slot);
	ck_assert_int_ge(result.slot.netns_fd, 0);
	return result.slot;
}

void fixture_destroy(struct fabric_slot *slot)
{
	struct result result = { 0 };

	close(slot->netns_fd);
	fabric_destroy(host.fabric, slot->slot, NULL, fixture_done, &result);
	ck_assert(!result.done);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
}

static char *read_all(FILE *file)
{
	size_t room = 65536, used = 0;
	char *text = malloc(room);

	ck_assert_ptr_nonnull(text);
	for (size_t got; (got = fread(text + used, 1, room - used - 1, file));) {
		used += got;
		if (used + 1 < room)
			continue;
		room *= 2;
		text = realloc(text, room);
		ck_assert_ptr_nonnull(text);
	}
	text[used] = '\0';
	return text;
}

static char *run_shell(const char *format, va_list args)
{
	char command[1024];
	FILE *file;
	char *text;

	vsnprintf(command, sizeof(command), format, args);
	file = popen(command, "re");
	ck_assert_ptr_nonnull(file);
	text = read_all(file);
	ck_assert_msg(pclose(file) == 0, "%s", command);
	return text;
}

char *fixture_shell(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = run_shell(format, args);
	va_end(args);
	return text;
}

bool fixture_shell_says(const char *text, const char *format, ...)
{
	va_list args;
	char *output;
	bool says;

	va_start(args, format);
	output = run_shell(format, args);
	va_end(args);
	says = strstr(output, text) != NULL;
	free(output);
	return says;
}

char *fixture_world(void)
{
	/* The shell's own descriptors do not count, so the parent's are listed. */
	return fixture_shell("ip -o link | sed 's/^[0-9]*: //'; ip route show table all; ip neigh show nud all dev lo;"
			     "ls /run/netns; cut -d' ' -f5 /proc/self/mountinfo | grep netns;"
			     "ls -l /proc/%d/fd | grep -c -e net: -e socket: -e /dev/net/tun; true",
			     getpid());
}

struct world {
	char *before, *now;
};

static bool world_is_as_before(void *context)
{
	struct world *world = context;

	free(world->now);
	world->now = fixture_world();
	return strcmp(world->before, world->now) == 0;
}

void fixture_expect_world(char *before)
{
	struct world world = { .before = before, .now = fixture_world() };

	if (strcmp(before, world.now) != 0) {
		char *first = strdup(world.now);

		printf("before:\n%s\nnow:\n%s\n", before, first);
		free(first);
	}
	fixture_await_that(world_is_as_before, &world, "the world being as before");
	free(world.now);
	free(before);
}

int fixture_open_tap(const struct fabric_slot *slot)
{
	struct ifreq request = { .ifr_name = "tap0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct err err;
	int fd;

	ck_assert_int_eq(base_netns_enter(slot->netns_fd, &err), 0);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	base_netns_leave();
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &request), 0);
	return fd;
}
