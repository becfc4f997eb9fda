/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets that wake sandboxes: what the host hands to NFLOG, and the sets that decide. */
#include "fabric/rules/host_rules.h"
#include "kernel/packet_log.h"
#include "registry/spec.h"
#include "unit/fabric/rules/nft_host_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 8080 };

static const struct wake_port ports[] = { { PROTO_TCP, PORT }, { PROTO_UDP, 5353 } };
static const struct fabric_wake listed = { .ports = ports, .count = 2 }, any = { .any = true },
				first_only = { .ports = ports, .count = 1 };

static struct cidr4 outside = { IP(1, 0, 0, 0), 24 };
static int listener = -1;

/* ---- NFLOG ---- */

static void configure(uint16_t type, const void *data, size_t size)
{
	char buffer[128] __attribute__((aligned(NLMSG_ALIGNTO))), answer[512];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *body;

	message->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->nfgen_family = AF_UNSPEC;
	body->res_id = htobe16(KERN_WAKE_GROUP);
	mnl_attr_put(message, type, size, data);
	ck_assert_int_gt(send(listener, message, message->nlmsg_len, 0), 0);
	ssize_t got = recv(listener, answer, sizeof(answer), 0);
	ck_assert_int_ge(got, 0);
	ck_assert_int_ge(mnl_cb_run(answer, (size_t)got, 0, 0, NULL, NULL), 0);
}

static void listen_to_wakes(void)
{
	const struct nfulnl_msg_config_cmd bind_to = { .command = NFULNL_CFG_CMD_BIND };
	const struct nfulnl_msg_config_mode mode = { .copy_range = htobe32(2048), .copy_mode = NFULNL_COPY_PACKET };
	const uint32_t at_once = htobe32(1);

	listener = nft_socket(-1, &err);
	ck_assert_int_ge(listener, 0);
	configure(NFULA_CFG_CMD, &bind_to, sizeof(bind_to));
	configure(NFULA_CFG_MODE, &mode, sizeof(mode));
	configure(NFULA_CFG_QTHRESH, &at_once, sizeof(at_once));
}

static unsigned wakes;
static uint8_t woken[60]; /* the last packet's start */

static int count_wake(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr;

	(void)data;
	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFULA_PAYLOAD)
			memcpy(woken, mnl_attr_get_payload(attr),
			       mnl_attr_get_payload_len(attr) < sizeof(woken) ? mnl_attr_get_payload_len(attr)
									      : sizeof(woken));
	}
	wakes++;
	return MNL_CB_OK;
}

/* How many packets were reported since the last call. A packet is reported within the write that sends it. */
static unsigned take_wakes(void)
{
	char buffer[65536];
	ssize_t got;

	wakes = 0;
	while ((got = recv(listener, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
		ck_assert_int_ge(mnl_cb_run(buffer, (size_t)got, 0, 0, count_wake, NULL), 0);
	return wakes;
}

static uint32_t woken_ip(void)
{
	uint32_t ip;

	memcpy(&ip, woken + 16, sizeof(ip));
	return be32toh(ip);
}

static void setup_asleep(void)
{
	setup();
	lab.config->ingress.allow = (struct cidr4_list){ .items = &outside, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	listen_to_wakes();
	OK(rules_host_wake(&lab.config->layout, 1, NULL, &listed, &err));
	ck_assert(is_intact());
}

/* ---- What is reported ---- */

START_TEST(the_first_packet_to_a_listed_port_is_reported_and_carried_on)
{
	struct packet datagram = make(IPPROTO_UDP, CLIENT, first_ip, 5353);

	datagram.payload = 20;
	passes(uplink, first, syn(CLIENT, first_ip, PORT));
	ck_assert_uint_eq(take_wakes(), 1);
	ck_assert_uint_eq(woken_ip(), first_ip);
	passes(uplink, first, datagram);
	ck_assert_uint_eq(take_wakes(), 1);
	ck_assert_int_eq(woken[9], IPPROTO_UDP);
	/* The client tries again. */
	passes(uplink, first, syn(CLIENT, first_ip, PORT));
	ck_assert_uint_eq(take_wakes(), 1);
}
END_TEST

START_TEST(other_ports_other_sandboxes_and_other_protocols_are_not)
{
	passes(uplink, first, syn(CLIENT, first_ip, PORT + 1));
	passes(uplink, first, make(IPPROTO_UDP, CLIENT, first_ip, PORT));
	passes(uplink, first, syn(CLIENT, first_ip, 5353));
	passes(uplink, second, syn(CLIENT, second_ip, PORT));
	passes(uplink, first, make(IPPROTO_ICMP, CLIENT, first_ip, 0));
	ck_assert_uint_eq(take_wakes(), 0);
}
END_TEST

START_TEST(packets_amid_a_flow_never_are)
{
	static const uint8_t flags[] = { TH_ACK, TH_ACK | TH_PUSH, TH_FIN | TH_ACK, TH_RST, TH_SYN | TH_ACK };
	struct packet packet = syn(CLIENT, first_ip, PORT);

	passes(uplink, first, packet);
	passes(first, uplink, reply_to(&packet, TH_SYN | TH_ACK));
	ck_assert_uint_eq(take_wakes(), 1);
	packet.sequence++;
	packet.acknowledged = 501;
	for (size_t i = 0; i < sizeof(flags); i++) {
		packet.tcp_flags = flags[i];
		packet.payload = i;
		lab_sends(uplink, &packet);
	}
	while (!lab_receives_nothing(first))
		;
	ck_assert_uint_eq(take_wakes(), 0);
}
END_TEST

START_TEST(a_published_port_wakes_by_the_guests_port)
{
	const struct fabric_nat nat = { .listen = addr_from_ipv4(UPLINK_IP, 9000),
					.proto = PROTO_TCP,
					.guest_port = PORT };

	OK(rules_host_publish(&lab.config->layout, 1, &nat, 1, &err));
	passes(uplink, first, syn(CLIENT, UPLINK_IP, 9000));
	ck_assert_uint_eq(take_wakes(), 1);
	ck_assert_uint_eq(woken_ip(), first_ip);
}
END_TEST

START_TEST(who_may_not_come_in_wakes_nobody)
{
	is_dropped(uplink, syn(IP(9, 9, 9, 9), first_ip, PORT));
	passes(second, second, syn(second_ip, first_ip, PORT));
	ck_assert_uint_eq(take_wakes(), 0);
}
END_TEST

START_TEST(any_port_may_wake)
{
	OK(rules_host_wake(&lab.config->layout, 1, &listed, &any, &err));
	passes(uplink, first, syn(CLIENT, first_ip, 1));
	passes(uplink, first, make(IPPROTO_UDP, CLIENT, first_ip, 2));
	ck_assert_uint_eq(take_wakes(), 2);
	OK(rules_host_wake(&lab.config->layout, 1, &any, NULL, &err));
	passes(uplink, first, syn(CLIENT, first_ip, 3));
	ck_assert_uint_eq(take_wakes(), 0);
}
END_TEST

START_TEST(a_flood_is_cut_for_each_source_and_for_all)
{
	unsigned reports;

	for (unsigned i = 0; i < 500; i++) {
		struct packet packet = syn(CLIENT, first_ip, PORT);
		packet.source_port = (uint16_t)(1000 + i);
		passes(uplink, first, packet);
	}
	reports = take_wakes();
	ck_assert_uint_ge(reports, 20);
	ck_assert_uint_lt(reports, 400);
	for (unsigned i = 0; i < 2000; i++)
		passes(uplink, first, syn(IP(1, 0, 0, 3) + i % 250, first_ip, PORT));
	ck_assert_uint_lt(take_wakes(), 1900);
	/* Another sandbox is woken all the same. */
	OK(rules_host_wake(&lab.config->layout, 2, NULL, &listed, &err));
	passes(uplink, second, syn(IP(1, 0, 0, 254), second_ip, PORT));
	ck_assert_uint_eq(take_wakes(), 1);
}
END_TEST

/* ---- The sets ---- */

static void says(const char *set, const char *text)
{
	char command[128];

	snprintf(command, sizeof(command), "nft list set inet weft %s", set);
	char *listing = lab_output(command);
	if (text)
		ck_assert_msg(strstr(listing, text) != NULL, "%s", listing);
	else
		ck_assert_msg(!strstr(listing, "elements"), "%s", listing);
	free(listing);
}

static void nothing_is_left(void)
{
	says("asleep", NULL);
	says("asleep_any", NULL);
	says("wake_ports", NULL);
}

START_TEST(the_sets_follow_what_wakes)
{
	const struct fabric_wake none = { 0 };

	says("asleep", "10.11.0.1");
	says("wake_ports", "10.11.0.1 . tcp . 8080");
	OK(rules_host_wake(&lab.config->layout, 1, &listed, &first_only, &err));
	says("wake_ports", "{ 10.11.0.1 . tcp . 8080 }");
	OK(rules_host_wake(&lab.config->layout, 1, &first_only, &any, &err));
	says("wake_ports", NULL);
	says("asleep_any", "10.11.0.1");
	OK(rules_host_wake(&lab.config->layout, 1, &any, &none, &err));
	nothing_is_left();
}
END_TEST

START_TEST(sets_that_are_not_as_they_were_left_are_put_right)
{
	lab_run("nft flush set inet weft wake_ports");
	lab_run("nft add element inet weft wake_ports { 10.11.0.1 . tcp . 1, 10.11.0.2 . tcp . 2 }");
	OK(rules_host_wake(&lab.config->layout, 1, &listed, NULL, &err));
	says("asleep", NULL);
	says("wake_ports", "{ 10.11.0.2 . tcp . 2 }");
	/* And where it is there already. */
	OK(rules_host_wake(&lab.config->layout, 1, NULL, &listed, &err));
	OK(rules_host_wake(&lab.config->layout, 1, NULL, &listed, &err));
	OK(rules_host_wake_forget(&lab.config->layout, 1, &err));
	OK(rules_host_wake_forget(&lab.config->layout, 1, &err));
	says("wake_ports", "{ 10.11.0.2 . tcp . 2 }");
	says("asleep", NULL);
}
END_TEST

START_TEST(without_the_table_that_is_said_and_forgetting_is_no_error)
{
	bool removed;

	OK(rules_host_remove(&removed, &err));
	OK(rules_host_wake_forget(&lab.config->layout, 1, &err));
	OK(rules_host_wake(&lab.config->layout, 1, &listed, NULL, &err));
	ck_assert_int_eq(rules_host_wake(&lab.config->layout, 1, NULL, &listed, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(a_review_makes_the_sets_what_the_plans_say)
{
	const struct fabric_plan one = { .slot = 1, .paused = true, .wake = &listed };
	const struct fabric_plan two = { .slot = 2, .paused = true, .wake = &any };
	const struct fabric_plan *const plans[] = { &one, &two };
	size_t lost;

	lab_run("nft add element inet weft asleep_any { 10.11.0.9 }");
	OK(rules_host_wake_review(lab.config, plans, 2, &lost, &err));
	ck_assert_uint_eq(lost, 2);
	says("asleep", "10.11.0.2");
	says("asleep_any", "{ 10.11.0.2 }");
	OK(rules_host_wake_review(lab.config, plans, 2, &lost, &err));
	ck_assert_uint_eq(lost, 0);
	lab_run("nft flush set inet weft wake_ports");
	OK(rules_host_wake_review(lab.config, plans, 2, &lost, &err));
	ck_assert_uint_eq(lost, 2);
	OK(rules_host_wake_review(lab.config, plans, 0, &lost, &err));
	nothing_is_left();
}
END_TEST

START_TEST(a_table_that_is_replaced_keeps_who_sleeps)
{
	OK(rules_host_wake(&lab.config->layout, 2, NULL, &any, &err));
	lab_run("nft flush chain inet weft wake");
	ck_assert(!is_intact());
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
	says("asleep", "10.11.0.2");
	passes(uplink, first, syn(CLIENT, first_ip, PORT));
	passes(uplink, second, syn(CLIENT, second_ip, PORT));
	ck_assert_uint_eq(take_wakes(), 2);
}
END_TEST

START_TEST(a_table_of_before_sleep_is_replaced)
{
	lab_run("nft delete chain inet weft wake && nft delete chain inet weft wake_asked && "
		"nft delete chain inet weft wake_report");
	lab_run("for set in asleep asleep_any wake_ports wake_sources wake_targets; do nft delete set inet weft $set; "
		"done");
	ck_assert(!is_intact());
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
	nothing_is_left();
}
END_TEST

START_TEST(its_listing_can_be_loaded_again)
{
	char *listing = lab_round_trip();

	ck_assert_ptr_nonnull(strstr(listing, "log prefix \"weft-wake\" group 1874 snaplen 2048 queue-threshold 1"));
	free(listing);
	ck_assert(is_intact());
}
END_TEST

START_TEST(without_nflog_the_table_is_made_all_the_same)
{
	rules_wake_can_log(false);
	ck_assert(!is_intact());
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
	passes(uplink, first, syn(CLIENT, first_ip, PORT));
	ck_assert_uint_eq(take_wakes(), 0);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_host_wake");
	TCase *packets = tcase_create("packets"), *sets = tcase_create("sets");

	tcase_add_checked_fixture(packets, setup_asleep, NULL);
	tcase_set_timeout(packets, 120);
	tcase_add_test(packets, the_first_packet_to_a_listed_port_is_reported_and_carried_on);
	tcase_add_test(packets, other_ports_other_sandboxes_and_other_protocols_are_not);
	tcase_add_test(packets, packets_amid_a_flow_never_are);
	tcase_add_test(packets, a_published_port_wakes_by_the_guests_port);
	tcase_add_test(packets, who_may_not_come_in_wakes_nobody);
	tcase_add_test(packets, any_port_may_wake);
	tcase_add_test(packets, a_flood_is_cut_for_each_source_and_for_all);
	suite_add_tcase(suite, packets);
	tcase_add_checked_fixture(sets, setup_asleep, NULL);
	tcase_set_timeout(sets, 120);
	tcase_add_test(sets, the_sets_follow_what_wakes);
	tcase_add_test(sets, sets_that_are_not_as_they_were_left_are_put_right);
	tcase_add_test(sets, without_the_table_that_is_said_and_forgetting_is_no_error);
	tcase_add_test(sets, a_review_makes_the_sets_what_the_plans_say);
	tcase_add_test(sets, a_table_that_is_replaced_keeps_who_sleeps);
	tcase_add_test(sets, a_table_of_before_sleep_is_replaced);
	tcase_add_test(sets, its_listing_can_be_loaded_again);
	tcase_add_test(sets, without_nflog_the_table_is_made_all_the_same);
	suite_add_tcase(suite, sets);
	return run_suite(suite);
}
