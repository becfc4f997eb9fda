/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a former run pinned is taken over, replaced or removed, and never both: nobody is led by what nobody keeps. */
#include "kernel/bpf.h"

#include "unit/kernel/loopback_lab.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_LIBBPF
#include "bpf/loopback_maps.h"

#include <bpf/bpf.h>
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

static void start_with_entry(void)
{
	loopback_lab_start(&lab);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
}

/* Ends the run as a kill does. */
static void crash(void)
{
	kern_loopback_close(lab.loopback, true);
	lab.loopback = NULL;
}

static void open_again(const char *cgroup)
{
	lab.loopback = kern_loopback_open(cgroup, lab.pins, &lab.err);
	ck_assert_msg(lab.loopback != NULL, "%s", lab.err.text);
}

struct found {
	unsigned count;
	struct kern_loopback_entry last;
};

static void find(void *context, const struct kern_loopback_entry *entry)
{
	struct found *found = context;
	uint64_t hits;

	found->count++;
	found->last = *entry;
	/* Each of them was read before the first was told of. */
	ck_assert_int_eq(kern_loopback_take(lab.loopback, &entry->listen, entry->proto, &hits, &lab.err), 0);
}

static struct found take_all(void)
{
	struct found found = { 0 };

	ck_assert_msg(kern_loopback_each(lab.loopback, find, &found, &lab.err) == 0, "%s", lab.err.text);
	return found;
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

START_TEST(entries_are_listed_and_go)
{
	struct found found;

	start_with_entry();
	for (unsigned port = 1; port <= 500; port++) {
		struct kern_loopback_entry entry = { .listen = addr_loopback6((uint16_t)port),
						     .proto = PROTO_UDP,
						     .host_ip = LAB_HOST_IP,
						     .guest_port = 9 };
		ck_assert_int_eq(kern_loopback_put(lab.loopback, &entry, &lab.err), 0);
	}
	ck_assert_uint_eq(take_all().count, 501);
	ck_assert_uint_eq(take_all().count, 0);
	loopback_lab_put(&lab, "[::1]:7000", PROTO_UDP);
	found = take_all();
	ck_assert_uint_eq(found.count, 1);
	ck_assert(addr_equal(&found.last.listen, &(struct addr){ .in6 = addr_loopback6(7000).in6 }));
	ck_assert_int_eq(found.last.proto, PROTO_UDP);
	ck_assert_uint_eq(found.last.host_ip, LAB_HOST_IP);
	ck_assert_uint_eq(found.last.guest_port, LAB_GUEST_PORT);
	ck_assert_uint_eq(found.last.hits, 0);
}
END_TEST

START_TEST(other_addresses_are_refused)
{
	struct kern_loopback_entry entry = { .listen = addr_from_ipv4(0x0a000001, 80), .proto = PROTO_TCP };

	start_with_entry();
	ck_assert_int_eq(kern_loopback_put(lab.loopback, &entry, &lab.err), -1);
	ck_assert_int_eq(lab.err.code, EINVAL);
	ck_assert_ptr_nonnull(strstr(lab.err.text, "10.0.0.1:80"));
}
END_TEST

START_TEST(a_new_entry_counts_only_from_the_first_renewal)
{
	lab.loopback = kern_loopback_open(lab.cgroup, lab.pins, &lab.err);
	ck_assert_msg(lab.loopback != NULL, "%s", lab.err.text);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, UINT64_MAX, &lab.err), 0);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

START_TEST(a_killed_run_is_taken_over)
{
	struct found found;

	start_with_entry();
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	crash();
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	open_again(lab.cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	found = take_all();
	ck_assert_uint_eq(found.count, 1);
	ck_assert_uint_eq(found.last.hits, 3);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
}
END_TEST

/* A client that was led before a kill is told the same after it. */
START_TEST(a_client_outlives_the_run)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM), guest = -1;

	start_with_entry();
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(loopback_lab_accept(&lab, &guest), GUEST);
	crash();
	ck_assert_str_eq(loopback_lab_peer(fd), "127.0.0.1:7000");
	open_again(lab.cgroup);
	ck_assert_str_eq(loopback_lab_peer(fd), "127.0.0.1:7000");
	/* An orderly stop leaves the connection, which tells the truth then. */
	kern_loopback_close(lab.loopback, false);
	lab.loopback = NULL;
	ck_assert_str_eq(loopback_lab_peer(fd), "10.11.0.1:7001");
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	close(fd);
	close(guest);
}
END_TEST

START_TEST(an_orderly_stop_leaves_nothing)
{
	struct stat status;

	start_with_entry();
	ck_assert_uint_gt(count_pins(), 0);
	kern_loopback_close(lab.loopback, false);
	lab.loopback = NULL;
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	ck_assert(stat(lab.pins, &status) < 0 && errno == ENOENT);
}
END_TEST

START_TEST(a_removal_needs_no_run)
{
	bool found = true;

	ck_assert_msg(kern_loopback_remove(lab.pins, &found, &lab.err) == 0, "%s", lab.err.text);
	ck_assert(!found);
	start_with_entry();
	ck_assert_int_eq(kern_loopback_remove(lab.pins, &found, &lab.err), -1);
	ck_assert_int_eq(lab.err.code, EBUSY);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	crash();
	ck_assert_msg(kern_loopback_remove(lab.pins, &found, &lab.err) == 0, "%s", lab.err.text);
	ck_assert(found);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	ck_assert_uint_eq(count_pins(), 0);
}
END_TEST

START_TEST(two_processes_do_not_share_pins)
{
	start_with_entry();
	ck_assert_ptr_null(kern_loopback_open(lab.cgroup, lab.pins, &lab.err));
	ck_assert_int_eq(lab.err.code, EBUSY);
	ck_assert_ptr_nonnull(strstr(lab.err.text, lab.pins));
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

START_TEST(another_cgroup_is_attached_instead)
{
	start_with_entry();
	crash();
	open_again(lab.other_cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	loopback_lab_move(lab.other_cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

START_TEST(the_root_of_all_cgroups_has_all_clients)
{
	open_again(lab.root_cgroup);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, UINT64_MAX, &lab.err), 0);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	loopback_lab_move(lab.other_cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	/* From there to a part of it. */
	crash();
	open_again(lab.cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	loopback_lab_move(lab.cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

/* The cgroup that a link was attached to may be gone, and the link with it. */
START_TEST(a_link_that_lost_its_cgroup_is_replaced)
{
	loopback_lab_move(lab.other_cgroup);
	start_with_entry();
	crash();
	ck_assert_int_eq(rmdir(lab.cgroup), 0);
	ck_assert_int_eq(mkdir(lab.cgroup, 0755), 0);
	open_again(lab.cgroup);
	loopback_lab_move(lab.cgroup);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

static bool is_pinned(const char *name)
{
	char path[LAB_PATH + 16];

	snprintf(path, sizeof(path), "%s/%s", lab.pins, name);
	return access(path, F_OK) == 0;
}

/* They would cost each datagram of the host something. */
START_TEST(programs_for_datagrams_wait_for_an_entry)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_DGRAM);

	start_with_entry();
	ck_assert(is_pinned("connect4") && !is_pinned("sendmsg4") && !is_pinned("recvmsg4") && !is_pinned("recvmsg6"));
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_UDP);
	ck_assert(is_pinned("sendmsg4") && is_pinned("recvmsg4") && is_pinned("recvmsg6"));
	crash();
	open_again(lab.cgroup);
	ck_assert(is_pinned("sendmsg4") && is_pinned("recvmsg4") && is_pinned("recvmsg6"));
	ck_assert_int_eq(sendto(fd, "ping", 4, 0, &addr.any, addr_length(&addr)), 4);
	ck_assert_int_eq(loopback_lab_answer(&lab), GUEST);
	close(fd);
}
END_TEST

START_TEST(what_is_missing_is_made_again)
{
	unsigned whole;

	start_with_entry();
	whole = count_pins();
	crash();
	lab_run("rm %s/connect4 %s/getpeername6", lab.pins, lab.pins);
	open_again(lab.cgroup);
	ck_assert_uint_eq(count_pins(), whole);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
	/* Without one of the maps the entries begin anew. */
	crash();
	lab_run("rm %s/state", lab.pins);
	open_again(lab.cgroup);
	ck_assert_uint_eq(count_pins(), whole);
	ck_assert_uint_eq(take_all().count, 0);
}
END_TEST

static void refuse(const char *cgroup, const char *pins, int code, const char *told)
{
	struct err err;

	ck_assert_ptr_null(kern_loopback_open(cgroup, pins, &err));
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(err.text, told) != NULL, "%s", err.text);
}

#ifdef HAVE_LIBBPF
static int open_pin(const char *name)
{
	char path[LAB_PATH + 16];

	snprintf(path, sizeof(path), "%s/%s", lab.pins, name);
	int fd = bpf_obj_get(path);
	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(a_program_that_was_detached_is_named)
{
	start_with_entry();
	ck_assert_msg(kern_loopback_check(lab.loopback, &lab.err) == 0, "%s", lab.err.text);
	int fd = open_pin("getsockname4");
	ck_assert_int_eq(bpf_link_detach(fd), 0);
	close(fd);
	ck_assert_int_eq(kern_loopback_check(lab.loopback, &lab.err), -1);
	ck_assert_int_eq(lab.err.code, ENOLINK);
	ck_assert_ptr_nonnull(strstr(lab.err.text, "getsockname4"));
	/* It is replaced, and entries are kept. */
	crash();
	open_again(lab.cgroup);
	ck_assert_int_eq(kern_loopback_check(lab.loopback, &lab.err), 0);
	ck_assert_uint_eq(take_all().count, 1);
}
END_TEST

/* A program of somebody else's, which was attached in the way of before there were links. */
START_TEST(a_hook_that_somebody_keeps_for_himself_is_named)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);

	start_with_entry();
	int link = open_pin("connect4"), cgroup = open(lab.cgroup, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(bpf_obj_get_info_by_fd(link, &info, &size), 0);
	int program = bpf_prog_get_fd_by_id(info.prog_id);
	ck_assert_int_ge(program, 0);
	close(link);
	kern_loopback_close(lab.loopback, false);
	lab.loopback = NULL;
	ck_assert_int_eq(bpf_prog_attach(program, cgroup, BPF_CGROUP_INET4_CONNECT, 0), 0);
	refuse(lab.cgroup, lab.pins, EPERM, "attaching to the cgroup: connect4 (a program is attached");
	ck_assert_uint_eq(count_pins(), 0);
	ck_assert_int_eq(bpf_prog_detach2(program, cgroup, BPF_CGROUP_INET4_CONNECT), 0);
	close(program);
	close(cgroup);
	start_with_entry();
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

/* As a later version's, which gave the same bytes another meaning; or those of a daemon in another namespace. */
START_TEST(entries_of_another_kind_are_not_taken_over)
{
	struct loopback_state state;
	uint32_t zero = 0;

	start_with_entry();
	crash();
	int fd = open_pin("state");
	ck_assert_int_eq(bpf_map_lookup_elem(fd, &zero, &state), 0);
	if (_i)
		state.layout++;
	else
		state.netns_cookie++;
	ck_assert_int_eq(bpf_map_update_elem(fd, &zero, &state, BPF_ANY), 0);
	close(fd);
	open_again(lab.cgroup);
	ck_assert_uint_eq(take_all().count, 0);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, UINT64_MAX, &lab.err), 0);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

START_TEST(a_map_of_other_sizes_is_replaced)
{
	char path[LAB_PATH + 16];

	start_with_entry();
	crash();
	snprintf(path, sizeof(path), "%s/entries", lab.pins);
	ck_assert_int_eq(unlink(path), 0);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "other", 4, 4, 16, NULL);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bpf_obj_pin(fd, path), 0);
	close(fd);
	open_again(lab.cgroup);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, UINT64_MAX, &lab.err), 0);
	ck_assert_int_eq(loopback_lab_who_gets(&lab), GUEST);
}
END_TEST

/* Such as a program that a later version has besides. */
START_TEST(other_pins_go)
{
	char path[LAB_PATH + 16];
	unsigned whole;

	start_with_entry();
	whole = count_pins();
	crash();
	snprintf(path, sizeof(path), "%s/later", lab.pins);
	int fd = open_pin("connect4");
	ck_assert_int_eq(bpf_obj_pin(fd, path), 0);
	close(fd);
	open_again(lab.cgroup);
	ck_assert_uint_eq(count_pins(), whole);
}
END_TEST
#endif

START_TEST(what_stands_in_the_way_is_named)
{
	bool found = true;

	refuse("/tmp", lab.pins, ENOTSUP, "/tmp is no folder of a cgroup2 mount");
	refuse("/nowhere", lab.pins, ENOENT, "cgroup /nowhere");
	refuse(lab.cgroup, "/tmp/weft", ENOENT, "/tmp is not in a bpf file system");
	ck_assert_int_eq(access("/tmp/weft", F_OK), -1);
	ck_assert_uint_eq(count_pins(), 0);
	/* Nobody's files are removed. */
	ck_assert_int_eq(kern_loopback_remove("/tmp", &found, &lab.err), 0);
	ck_assert(!found && access("/tmp", F_OK) == 0);
}
END_TEST

/* A former run's programs are nobody's then, and lead nobody. */
START_TEST(a_start_that_fails_leaves_nothing)
{
	start_with_entry();
	crash();
	refuse("/tmp", lab.pins, ENOTSUP, "/tmp");
	ck_assert_int_eq(loopback_lab_who_gets(&lab), FORWARDER);
	ck_assert_uint_eq(count_pins(), 0);
}
END_TEST

static void leave_mounts(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
}

START_TEST(the_cgroup_is_found)
{
	static char path[KERN_LOOPBACK_PATH_SIZE];
	char place[] = "/tmp/weft a\\b XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(place));
	lab_run("umount -a -t cgroup2");
	ck_assert_ptr_null(kern_loopback_find_cgroup(path));
	ck_assert_int_eq(mount("none", place, "cgroup2", 0, NULL), 0);
	ck_assert_ptr_eq(kern_loopback_find_cgroup(path), path);
	ck_assert_str_eq(path, place);
	/* One that is mounted over does not count. */
	ck_assert_int_eq(mount("none", place, "tmpfs", 0, NULL), 0);
	ck_assert_ptr_null(kern_loopback_find_cgroup(path));
	ck_assert_int_eq(umount(place) | umount(place) | rmdir(place), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bpf_pins");
	TCase *tests = tcase_create("pins"), *mounts = tcase_create("mounts");

	if (!kern_loopback_is_built())
		return 77;
	loopback_lab_begin();
	tcase_add_checked_fixture(tests, open_lab, close_lab);
	tcase_add_test(tests, entries_are_listed_and_go);
	tcase_add_test(tests, other_addresses_are_refused);
	tcase_add_test(tests, a_new_entry_counts_only_from_the_first_renewal);
	tcase_add_test(tests, a_killed_run_is_taken_over);
	tcase_add_test(tests, a_client_outlives_the_run);
	tcase_add_test(tests, an_orderly_stop_leaves_nothing);
	tcase_add_test(tests, a_removal_needs_no_run);
	tcase_add_test(tests, two_processes_do_not_share_pins);
	tcase_add_test(tests, another_cgroup_is_attached_instead);
	tcase_add_test(tests, the_root_of_all_cgroups_has_all_clients);
	tcase_add_test(tests, a_link_that_lost_its_cgroup_is_replaced);
	tcase_add_test(tests, programs_for_datagrams_wait_for_an_entry);
	tcase_add_test(tests, what_is_missing_is_made_again);
#ifdef HAVE_LIBBPF
	tcase_add_test(tests, a_program_that_was_detached_is_named);
	tcase_add_test(tests, a_hook_that_somebody_keeps_for_himself_is_named);
	tcase_add_loop_test(tests, entries_of_another_kind_are_not_taken_over, 0, 2);
	tcase_add_test(tests, a_map_of_other_sizes_is_replaced);
	tcase_add_test(tests, other_pins_go);
#endif
	tcase_add_test(tests, what_stands_in_the_way_is_named);
	tcase_add_test(tests, a_start_that_fails_leaves_nothing);
	/* In a mount namespace of its own, which takes away the lab's. */
	tcase_add_checked_fixture(mounts, leave_mounts, NULL);
	tcase_add_test(mounts, the_cgroup_is_found);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, mounts);
	int status = run_suite(suite);
	loopback_lab_end();
	return status;
}
