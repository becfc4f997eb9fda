/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of what weft depends on, and whose links there are, on made-up hosts. All advice of all checks is read for harm.
 */
#include "health/owner.h"
#include "health/process.h"
#include "unit/health/doctor_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void teardown(void)
{
	/* They are the tests'. */
	facts.host = (struct inspect_host){ 0 };
	facts.ruleset = (struct ruleset){ 0 };
	doctor_teardown();
}

/* A veth as weft makes it for slot N. */
static struct inspect_link slot_link(unsigned index, const char *name, unsigned slot, uint32_t group)
{
	struct inspect_link link = { .index = index,
				     .kind = "veth",
				     .mac = config_veth_host_mac(slot),
				     .peer_elsewhere = true,
				     .group = group,
				     .up = true,
				     .carrier = true };

	strcpy(link.name, name);
	return link;
}

START_TEST(a_link_with_any_look_of_a_sandboxs_is_not_taken_out)
{
	struct inspect_link link = slot_link(4, "veth-1", 1, 1874);

	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_WEFT);
	/* Its MAC was changed: the name and the group are left. */
	link.mac = (struct mac){ { 2 } };
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_UNCLEAR);
	strcpy(link.alias, "weft:a1");
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_WEFT);
	strcpy(link.name, "renamed");
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_WEFT);
	link.alias[0] = '\0';
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_UNCLEAR);
	/* Only the MAC is left of one that is in no group. */
	link.group = 0;
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_FOREIGN);
	link.mac = config_veth_host_mac(1);
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_UNCLEAR);
	/* No sandbox is behind these, whatever they are called. */
	link = slot_link(4, "veth-1", 0x1234, 1874);
	strcpy(link.kind, "bridge");
	ck_assert_int_eq(health_claim_link(&facts, &link), CLAIM_FOREIGN);
}
END_TEST

START_TEST(links_are_judged_by_the_names_of_all_live_slots)
{
	struct inspect_link links[] = { slot_link(4, "veth-1", 1, 1874), slot_link(5, "sb-2", 2, 77) };
	struct health_layout former = health_layout_of_config(config);

	facts.host = (struct inspect_host){ .links = links, .link_count = 2 };
	/* Neither the name nor the group is known: nothing is said about it. */
	found(check_link_group, HEALTH_OK, "group 1874 has 1 links");
	strcpy(former.veth_prefix, "sb-");
	former.link_group = 77;
	health_note_layout(&facts, &former);
	health_note_layout(&facts, &former);
	ck_assert_uint_eq(facts.layouts.count, 2);
	found(check_link_group, HEALTH_OK, "group 1874 and 77 has 2 links");
	links[1].group = 0;
	strcpy(links[1].alias, "weft:b2");
	ck_assert_str_eq(
	    found(check_link_group, HEALTH_FAIL, "link sb-2 of sandbox b2 is in group 0, and weft's is 77")->fix,
	    "ip link set dev sb-2 group 77 (weftd does so by itself while it runs)");
}
END_TEST

START_TEST(a_link_in_the_group_of_an_unknown_configuration_is_left_there)
{
	struct inspect_link link = slot_link(4, "veth-1", 1, 1874);

	facts.host = (struct inspect_host){ .links = &link, .link_count = 1 };
	facts.layouts.items[0].link_group = 77;
	const struct health_finding *finding = found(check_link_group, HEALTH_WARN, "in group 1874, and weft's is 77");
	ck_assert_msg(strstr(finding->fix, "leave it") && !strstr(finding->fix, "group 77"), "%s", finding->fix);
	/* Its name is none that is known, and its alias says whose it is. */
	strcpy(link.alias, "weft:a1");
	strcpy(link.name, "sb-1");
	finding = found(check_link_group, HEALTH_WARN, "link sb-1 of sandbox a1 is in group 1874");
	ck_assert_ptr_nonnull(strstr(finding->fix, "leave it"));
	link.group = 0;
	ck_assert_ptr_nonnull(strstr(found(check_link_group, HEALTH_FAIL, "group 0")->fix, "systemctl start weftd"));
	/* A daemon that runs knows all groups. */
	strcpy(link.name, "veth-1");
	link.group = 1874;
	facts.said.all_layouts = true;
	ck_assert_ptr_nonnull(strstr(found(check_link_group, HEALTH_FAIL, "in group 1874")->fix, "group 77"));
}
END_TEST

START_TEST(many_foreign_links_with_names_of_slots_are_summed_up)
{
	struct inspect_link links[9];

	for (unsigned i = 0; i < 9; i++) {
		links[i] = (struct inspect_link){ .index = i + 2, .kind = "tun" };
		snprintf(links[i].name, sizeof(links[i].name), "veth-%u", i + 1);
	}
	facts.host = (struct inspect_host){ .links = links, .link_count = 9 };
	check_link_group(&facts, &report);
	ck_assert_uint_eq(report.count, 5);
	ck_assert_ptr_nonnull(strstr(report.findings[0].detail, "link veth-1 (tun, group 0) has the name of slot 1"));
	ck_assert_ptr_nonnull(strstr(report.findings[4].detail, "5 more links"));
}
END_TEST

START_TEST(a_route_to_a_sandbox_of_another_layout_is_no_fault)
{
	struct inspect_link links[] = { slot_link(4, "veth-1", 1, 0) };
	struct inspect_route routes[] = {
		{ .destination = { 0x0a0b0001, 32 }, .table = RT_TABLE_MAIN, .type = RTN_UNICAST, .link = 4 }
	};

	facts.host = (struct inspect_host){ .links = links, .link_count = 1, .routes = routes, .route_count = 1 };
	found(check_routes, HEALTH_OK, "nobody else");
	links[0] = (struct inspect_link){ .index = 4, .kind = "tun", .name = "other0" };
	ck_assert_ptr_nonnull(strstr(found(check_routes, HEALTH_FAIL, "10.11.0.1")->fix, "ip route del"));
	routes[0].type = RTN_LOCAL;
	ck_assert_ptr_nonnull(strstr(found(check_routes, HEALTH_FAIL, "own address")->fix, "ip addr del"));
	/* It has no link, and the command names none. */
	routes[0] = (struct inspect_route){ .destination = { 0x0a0b0000, 16 }, .table = 99, .type = RTN_BLACKHOLE };
	ck_assert_ptr_nonnull(
	    strstr(found(check_routes, HEALTH_FAIL, "10.11.0.0/16")->fix, "ip route del 10.11.0.0/16 table 99"));
}
END_TEST

START_TEST(a_catalogue_is_judged_by_what_the_daemon_says_of_it)
{
	struct health_catalog *catalog = &facts.said.catalog;

	found(check_catalog, HEALTH_OK, "none is set");
	ck_assert_int_eq(config_set(config, "catalog", "redis", "192.0.2.1:6379"), 0);
	found(check_catalog, HEALTH_SKIPPED, "does not say");
	*catalog = (struct health_catalog){ .redis = "192.0.2.1:6379", .error = "Connection refused" };
	found(check_catalog, HEALTH_FAIL, "192.0.2.1:6379 is not reached: Connection refused");
	*catalog = (struct health_catalog){ .redis = "192.0.2.1:6379", .up = true, .published = 3 };
	found(check_catalog, HEALTH_OK, "has 3 sandboxes");
	catalog->foreign = 1;
	found(check_catalog, HEALTH_WARN, "1 sandbox of this host belongs to another writer");
	catalog->foreign = 0;
	snprintf(catalog->error, sizeof(catalog->error), "OOM");
	found(check_catalog, HEALTH_FAIL, "refuses entries: OOM");
}
END_TEST

START_TEST(loopback_without_a_table_deserves_a_look_only_where_it_was_asked_for)
{
	struct health_loopback *loopback = &facts.said.loopback;

	found(check_loopback, HEALTH_SKIPPED, "does not say which way");
	*loopback = (struct health_loopback){ .mode = "forwarder" };
	found(check_loopback, HEALTH_OK, "off");
	*loopback = (struct health_loopback){ .mode = "auto", .error = "this host has no cgroup2" };
	found(check_loopback, HEALTH_OK, "through the forwarder: this host has no cgroup2");
	snprintf(loopback->mode, sizeof(loopback->mode), "kernel");
	found(check_loopback, HEALTH_WARN, "through the forwarder: this host has no cgroup2");
	*loopback = (struct health_loopback){ .mode = "auto", .open = true, .cgroup = "/sys/fs/cgroup", .wanted = 2 };
	found(check_loopback, HEALTH_WARN, "0 of 2 entries");
	loopback->entries = 2;
	found(check_loopback, HEALTH_OK,
	      "2 loopback addresses straight to guests, for processes in /sys/fs/cgroup; clients of ::1");
	loopback->ipv6 = true;
	snprintf(loopback->error, sizeof(loopback->error), "no room");
	found(check_loopback, HEALTH_WARN, "2 of 2 entries are in the kernel's table: no room");
}
END_TEST

START_TEST(a_state_directory_that_takes_no_files_is_a_fault)
{
	struct health_directory *directory = &facts.state_directory;

	found(check_state_directory, HEALTH_OK, "/run/weft/state takes files");
	directory->trial = -1;
	found(check_state_directory, HEALTH_OK, "as far as can be seen");
	directory->bytes = 64 << 20;
	found(check_state_directory, HEALTH_FAIL, "full file system");
	directory->free_bytes = 1 << 20;
	found(check_state_directory, HEALTH_WARN, "1024 KiB of 65536 KiB left");
	directory->free_bytes = 32 << 20;
	directory->files = 10000;
	found(check_state_directory, HEALTH_FAIL, "without free inodes");
	directory->free_files = 10;
	found(check_state_directory, HEALTH_WARN, "10 of 10000 inodes");
	directory->free_files = 9000;
	directory->trial = EDQUOT;
	found(check_state_directory, HEALTH_FAIL, "quota");
	directory->trial = ENOSPC;
	found(check_state_directory, HEALTH_FAIL, "full file system");
	directory->trial = EPERM;
	ck_assert_ptr_nonnull(strstr(
	    found(check_state_directory, HEALTH_FAIL, "takes no files: Operation not permitted")->fix, "lsattr"));
	directory->read_only = true;
	found(check_state_directory, HEALTH_FAIL, "mounted read-only");
}
END_TEST

/* With these weftd does not start; with the others it does. */
START_TEST(a_state_directory_may_end_a_start)
{
	struct health_directory *directory = &facts.state_directory;

	directory->trial = ENOSPC;
	ck_assert(!found(check_state_directory, HEALTH_FAIL, "full")->ends_start);
	directory->trial = EROFS;
	ck_assert(found(check_state_directory, HEALTH_FAIL, "read-only")->ends_start);
	directory->mode = S_IFDIR | 0702;
	ck_assert(found(check_state_directory, HEALTH_FAIL, "mode 0702")->ends_start);
	directory->mode = S_IFREG | 0600;
	ck_assert(found(check_state_directory, HEALTH_FAIL, "no directory")->ends_start);
}
END_TEST

START_TEST(a_state_directory_that_weftd_would_refuse_is_a_fault)
{
	struct health_directory *directory = &facts.state_directory;

	directory->mode = S_IFDIR | 0770;
	found(check_state_directory, HEALTH_FAIL, "belongs to uid 0 and has mode 0770");
	directory->mode = S_IFDIR | 0755;
	found(check_state_directory, HEALTH_OK, "takes files");
	directory->owner = 33;
	found(check_state_directory, HEALTH_FAIL, "belongs to uid 33");
	directory->mode = S_IFLNK | 0777;
	found(check_state_directory, HEALTH_FAIL, "a symbolic link");
	directory->error = EACCES;
	found(check_state_directory, HEALTH_SKIPPED, "not visible");
	directory->error = ENOENT;
	found(check_state_directory, HEALTH_OK, "at its start");
	daemon_runs();
	found(check_state_directory, HEALTH_WARN, "is gone");
}
END_TEST

static void silent(const char *state)
{
	forget_files();
	daemon_runs();
	strcpy(facts.said.silent, "weftd (process 70) does not answer");
	file("/proc/70/status", state);
}

START_TEST(a_daemon_that_does_not_answer_is_told_with_its_state)
{
	silent("Name:\tweftd\nState:\tT (stopped)\nTracerPid:\t0\n");
	ck_assert_str_eq(found(check_leftovers, HEALTH_FAIL, "a signal has stopped it (state T)")->fix,
			 "kill -CONT 70");
	silent("Name:\tweftd\nState:\tt (tracing stop)\nTracerPid:\t99\n");
	file("/proc/99/comm", "gdb\n");
	found(check_leftovers, HEALTH_FAIL, "a debugger has stopped it (state t): process 99 (gdb)");
	silent("Name:\tweftd\nState:\tD (disk sleep)\n");
	file("/proc/70/wchan", "jbd2_log_wait_commit");
	ck_assert_ptr_nonnull(
	    strstr(found(check_leftovers, HEALTH_FAIL, "in the kernel, in jbd2_log_wait_commit (state D)")->fix,
		   "cat /proc/70/stack"));
	silent("Name:\tweftd\nState:\tS (sleeping)\n");
	ck_assert_ptr_nonnull(
	    strstr(found(check_leftovers, HEALTH_FAIL, "its state is S (sleeping)")->fix, "systemctl restart weftd"));
	/* Nothing of it is visible. */
	forget_files();
	ck_assert_str_eq(found(check_leftovers, HEALTH_FAIL, "does not answer")->detail,
			 "weftd (process 70) does not answer");
}
END_TEST

START_TEST(a_frozen_control_group_is_seen_in_a_process_that_sleeps)
{
	silent("Name:\tweftd\nState:\tS (sleeping)\n");
	file("/proc/70/cgroup", "1:cpu:/x\n0::/system.slice/weftd.service\n");
	file("/sys/fs/cgroup/system.slice/weftd.service/cgroup.events", "populated 1\nfrozen 1\n");
	ck_assert_ptr_nonnull(strstr(found(check_leftovers, HEALTH_FAIL, "its control group is frozen (state S)")->fix,
				     "echo 0 > /sys/fs/cgroup/system.slice/weftd.service/cgroup.freeze"));
	files[3].text = "populated 1\nfrozen 0\n";
	found(check_leftovers, HEALTH_FAIL, "its state is S (sleeping)");
	silent("Name:\tweftd\nState:\tD (disk sleep)\n");
	file("/proc/70/cgroup", "7:freezer:/docker/x\n0::/\n");
	file("/sys/fs/cgroup/freezer/docker/x/freezer.state", "FROZEN\n");
	found(check_leftovers, HEALTH_FAIL, "its control group is frozen (state D)");
}
END_TEST

START_TEST(an_orchestrator_that_reclaims_is_a_fault_where_slots_have_its_names)
{
	struct health_orchestrator *one = vec_push(&facts.orchestrators);

	*one = (struct health_orchestrator){ .pid = 90, .visible = true };
	found(check_startup_reclaim, HEALTH_FAIL, "process 90 (orchestrator) runs without");
	one->disabled = true;
	found(check_startup_reclaim, HEALTH_OK, "leaves weft's slots alone");
	*one = (struct health_orchestrator){ .pid = 90 };
	found(check_startup_reclaim, HEALTH_SKIPPED, "not visible");
	one->visible = true;
	strcpy(facts.layouts.items[0].netns_prefix, "weft-");
	found(check_startup_reclaim, HEALTH_OK, "no slot has a name");
	/* One of a former configuration is enough. */
	const struct health_layout former = health_layout_of_config(config);
	health_note_layout(&facts, &former);
	found(check_startup_reclaim, HEALTH_FAIL, "process 90");
}
END_TEST

START_TEST(the_rules_of_an_orchestrator_are_named)
{
	struct ruleset_step steps[] = { { .kind = STEP_LOAD, .field = FIELD_IIFNAME, .length = 16 },
					{ .kind = STEP_COMPARE, .length = 5, .a = "veth-" } };
	struct ruleset_rule rule = {
		.steps = { .items = steps, .count = 2 },
	};
	struct ruleset_chain chain = { .family = "ip", .table = "filter", .name = "FORWARD" };

	chain.rules.items = &rule;
	chain.rules.count = 1;
	facts.ruleset.items = &chain;
	facts.ruleset.count = 1;
	found(check_startup_reclaim, HEALTH_WARN, "table ip filter, chain FORWARD");
	steps[1].a[0] = 'w';
	found(check_startup_reclaim, HEALTH_OK, "no orchestrator");
	strcpy(chain.table, "v2-host-firewall");
	found(check_startup_reclaim, HEALTH_WARN, "table ip v2-host-firewall");
}
END_TEST

START_TEST(options_that_are_not_in_force_are_named)
{
	struct config *other = config_copy(config);

	check_configuration(&facts, &report);
	ck_assert_uint_eq(report.count, 0);
	facts.file = other;
	facts.file_path = "/etc/weft/weftd.conf";
	found(check_configuration, HEALTH_OK, "weftd uses /etc/weft/weftd.conf");
	ck_assert_int_eq(config_set(other, "names", "veth_prefix", "sb-"), 0);
	ck_assert_int_eq(config_set(other, "forwarder", "default_listen", ""), 0);
	const struct health_finding *finding = found(check_configuration, HEALTH_WARN, "2 values");
	ck_assert_ptr_nonnull(strstr(finding->detail, "[names] veth_prefix = sb- (in use: veth-)"));
	ck_assert_ptr_nonnull(
	    strstr(finding->detail, "[forwarder] default_listen = \"\" (in use: 127.0.0.1:49983 [::1]:49983)"));
	config_free(other);
}
END_TEST

/* A host where all is wrong, with sandboxes of two layouts, all of which live. */
static void make_all_wrong(struct inspect_link *links, struct inspect_route *routes, struct inspect_rule *rules)
{
	struct health_layout former = health_layout_of_config(config);

	strcpy(former.veth_prefix, "sb-");
	strcpy(former.netns_prefix, "sb-");
	former.link_group = 77;
	former.host_cidr.ip = 0x0a150000;
	health_note_layout(&facts, &former);
	links[0] = slot_link(10, "veth-1", 1, 1874);
	links[1] = slot_link(11, "sb-2", 2, 77);
	links[2] = slot_link(12, "veth-3", 3, 0);
	links[3] = slot_link(13, "odd", 4, 1874);
	links[4] = slot_link(14, "veth-5", 0x2345, 1874);
	links[5] = slot_link(15, "sb-6", 0x3456, 0);
	links[6] = (struct inspect_link){ .index = 2, .name = "eth0" };
	links[4].mac.octets[0] = links[5].mac.octets[0] = 6;
	for (unsigned i = 0; i < 6; i++)
		routes[i] = (struct inspect_route){ .destination = { 0x0a0b0001 + i, 32 },
						    .table = RT_TABLE_MAIN,
						    .type = i % 2 ? RTN_LOCAL : RTN_UNICAST,
						    .link = 10 + i };
	routes[6] = (struct inspect_route){ .table = 2022, .type = RTN_UNICAST, .link = 2 };
	rules[0] = (struct inspect_rule){ .priority = 9000, .table = 2022, .suppress_length = -1 };
	facts.host = (struct inspect_host){
		.links = links, .link_count = 7, .routes = routes, .route_count = 7, .rules = rules, .rule_count = 1
	};
	facts.state_directory.trial = ENOSPC;
	http_proxy = "http://192.0.2.1:3128";
	trial_fails(NULL, EADDRINUSE);
	strcpy(facts.features_missing, "veth: Operation not supported");
	file("/proc/sys/net/ipv4/ip_forward", "0\n");
	file("/proc/sys/net/ipv4/conf/all/rp_filter", "1\n");
	file("/proc/sys/net/ipv4/conf/default/rp_filter", "1\n");
	file("/proc/sys/net/netfilter/nf_conntrack_max", "100\n");
	file("/proc/sys/net/netfilter/nf_conntrack_count", "100\n");
	file("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535\n");
	file("/proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/vda rw\n");
	file("/proc/sys/fs/file-nr", "95\t0\t100\n");
}

START_TEST(no_advice_takes_a_live_guest_out_of_isolation)
{
	static const char *const live[] = { "veth-1", "sb-2", "veth-3", "odd", "veth-5", "sb-6" };
	static const char *const harm[] = { "group default", "group 0 ", "link del",     "netns del",   "flush",
					    "delete table",  "nomaster", "ip route del", "ip addr del", "--cleanup (" };
	struct inspect_link links[7];
	struct inspect_route routes[7];
	struct inspect_rule rules[1];
	struct health_orchestrator *orchestrator = vec_push(&facts.orchestrators);
	size_t bad = 0;

	*orchestrator = (struct health_orchestrator){ .pid = 90, .visible = true };
	make_all_wrong(links, routes, rules);
	facts.netns_names.items = calloc(1, sizeof(facts.netns_names.items[0]));
	facts.netns_names.items[0] = (struct health_netns){ facts.layouts.items[0].netns_dir, strdup("ns-1") };
	facts.netns_names.count = facts.netns_names.room = 1;
	health_doctor_examine(&facts, &report);
	for (size_t i = 0; i < report.count; i++) {
		const struct health_finding *finding = &report.findings[i];
		bad += finding->status == HEALTH_WARN || finding->status == HEALTH_FAIL;
		for (size_t j = 0; j < sizeof(harm) / sizeof(harm[0]); j++)
			ck_assert_msg(!strstr(finding->fix, harm[j]), "%s: %s", finding->check, finding->fix);
		/* A link of a sandbox's may be looked at, and put into its group. */
		for (size_t j = 0; j < sizeof(live) / sizeof(live[0]); j++)
			ck_assert_msg(!strstr(finding->fix, live[j]) || strstr(finding->fix, "group 1874") ||
					  strstr(finding->fix, "ip -d link show"),
				      "%s: %s", finding->check, finding->fix);
	}
	ck_assert_uint_ge(bad, 14);
}
END_TEST

int main(void)
{
	TCase *checks = tcase_create("checks");
	tcase_add_checked_fixture(checks, doctor_setup, teardown);
	tcase_add_test(checks, a_link_with_any_look_of_a_sandboxs_is_not_taken_out);
	tcase_add_test(checks, links_are_judged_by_the_names_of_all_live_slots);
	tcase_add_test(checks, a_link_in_the_group_of_an_unknown_configuration_is_left_there);
	tcase_add_test(checks, many_foreign_links_with_names_of_slots_are_summed_up);
	tcase_add_test(checks, a_route_to_a_sandbox_of_another_layout_is_no_fault);
	tcase_add_test(checks, a_catalogue_is_judged_by_what_the_daemon_says_of_it);
	tcase_add_test(checks, loopback_without_a_table_deserves_a_look_only_where_it_was_asked_for);
	tcase_add_test(checks, a_state_directory_that_takes_no_files_is_a_fault);
	tcase_add_test(checks, a_state_directory_that_weftd_would_refuse_is_a_fault);
	tcase_add_test(checks, a_state_directory_may_end_a_start);
	tcase_add_test(checks, a_daemon_that_does_not_answer_is_told_with_its_state);
	tcase_add_test(checks, a_frozen_control_group_is_seen_in_a_process_that_sleeps);
	tcase_add_test(checks, an_orchestrator_that_reclaims_is_a_fault_where_slots_have_its_names);
	tcase_add_test(checks, the_rules_of_an_orchestrator_are_named);
	tcase_add_test(checks, options_that_are_not_in_force_are_named);
	tcase_add_test(checks, no_advice_takes_a_live_guest_out_of_isolation);

	Suite *suite = suite_create("host_checks");
	suite_add_tcase(suite, checks);

	return run_suite(suite);
}
