/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For want of descriptors or of room an entry is refused, or all of it; what is there then is whole, or is nothing. */
#include "kernel/bpf.h"

#include "unit/kernel/loopback_lab.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef HAVE_LIBBPF
#include "bpf/loopback_maps.h"
#else
enum { LOOPBACK_ENTRIES = 1 };
#endif

static struct loopback_lab lab;

static void open_lab(void)
{
	lab = loopback_lab_open();
}

static void close_lab(void)
{
	loopback_lab_close(&lab);
}

static unsigned count_pins(void)
{
	char command[LAB_PATH + 32];

	snprintf(command, sizeof(command), "ls %s 2>/dev/null | wc -l", lab.pins);
	char *text = lab_output(command);
	unsigned count = (unsigned)atoi(text);
	free(text);
	return count;
}

static unsigned count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* So that there are COUNT descriptors more; returns what to give back. */
static struct rlimit allow(unsigned count)
{
	struct rlimit before, now;
	int lowest = dup(0);

	ck_assert_int_ge(lowest, 0);
	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = (struct rlimit){ .rlim_cur = (rlim_t)lowest + count, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

/* All descriptors below the limit are taken, for it is by number. */
static bool open_with(unsigned count)
{
	struct rlimit before = allow(count);

	lab.loopback = kern_loopback_open(lab.cgroup, lab.pins, &lab.err);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	return lab.loopback != NULL;
}

static void crash(void)
{
	kern_loopback_close(lab.loopback, true);
	lab.loopback = NULL;
}

/* _i: after a crash. */
START_TEST(a_start_without_descriptors_leaves_nothing)
{
	unsigned before = count_descriptors();

	for (unsigned count = 0;; count++) {
		if (_i) {
			loopback_lab_start(&lab);
			loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
			loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_UDP);
			crash();
		}
		if (open_with(count))
			break;
		ck_assert_msg(lab.err.code == EMFILE, "%u: %s", count, lab.err.text);
		ck_assert_uint_eq(count_descriptors(), before);
		if (count)
			ck_assert_msg(count_pins() == 0, "%u: %s", count, lab.err.text);
		ck_assert_uint_lt(count, 200);
	}
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, UINT64_MAX, &lab.err), 0);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

START_TEST(an_entry_for_datagrams_waits_for_descriptors)
{
	const struct kern_loopback_entry entry = { .listen = loopback_lab_addr("127.0.0.1:7000"),
						   .proto = PROTO_UDP,
						   .host_ip = LAB_HOST_IP,
						   .guest_port = LAB_GUEST_PORT };
	unsigned count = 0, before, fails = 0;

	loopback_lab_start(&lab);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	before = count_descriptors();
	for (;; count++, fails++) {
		struct rlimit limit = allow(count);
		int result = kern_loopback_put(lab.loopback, &entry, &lab.err);

		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		ck_assert_int_eq(kern_loopback_check(lab.loopback, &(struct err){ 0 }), 0);
		ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
		if (result == 0)
			break;
		ck_assert_msg(lab.err.code == EMFILE, "%u: %s", count, lab.err.text);
		ck_assert_uint_lt(count, 20);
	}
	ck_assert_uint_gt(fails, 0);
	ck_assert_uint_eq(count_descriptors(), before + 3);
}
END_TEST

START_TEST(a_full_table_takes_an_entry_once_another_has_gone)
{
	struct kern_loopback_entry entry = { .proto = PROTO_TCP, .host_ip = LAB_HOST_IP, .guest_port = LAB_GUEST_PORT };
	struct addr first = loopback_lab_addr("127.0.0.1:7000");
	unsigned count = 1;
	uint64_t hits;

	loopback_lab_start(&lab);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	for (;; count++) {
		entry.listen = addr_from_ipv4(0x7f000000 + 256 + count, 1);
		if (kern_loopback_put(lab.loopback, &entry, &lab.err) < 0)
			break;
	}
	ck_assert_int_eq(lab.err.code, E2BIG);
	ck_assert_uint_ge(count, LOOPBACK_ENTRIES);
	/* It can be replaced, and leads on. */
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	ck_assert_int_eq(kern_loopback_take(lab.loopback, &first, PROTO_TCP, &hits, &lab.err), 0);
	ck_assert_int_eq(kern_loopback_put(lab.loopback, &entry, &lab.err), 0);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bpf_shortage");
	TCase *tests = tcase_create("shortages");

	if (!kern_loopback_is_built())
		return 77;
	loopback_lab_begin();
	tcase_set_timeout(tests, 300);
	tcase_add_checked_fixture(tests, open_lab, close_lab);
	tcase_add_loop_test(tests, a_start_without_descriptors_leaves_nothing, 0, 2);
	tcase_add_test(tests, an_entry_for_datagrams_waits_for_descriptors);
	tcase_add_test(tests, a_full_table_takes_an_entry_once_another_has_gone);
	suite_add_tcase(suite, tests);
	int status = run_suite(suite);
	loopback_lab_end();
	return status;
}
