/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's own log, conntrack and translation in a namespace: a client behind one TAP, a guest behind another. Frames of the test's own
 * are never repeated by a TCP of the kernel's, so that what comes a second time was sent again by weft.
 */
#include "wake/wake.h"

#include "base/err.h"
#include "base/log.h"
#include "kernel/conntrack.h"
#include "kernel/packet_log.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	GUEST = 0x0a0b0002,  /* 10.11.0.2 */
	HOST = 0xc0000201,   /* 192.0.2.1, where a port is published */
	CLIENT = 0xc0000202, /* 192.0.2.2 */
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
	PAYLOAD_LONG = WAKE_SNAPLEN,
};

static struct lab lab;
static int client_fd, guest_fd; /* the far sides of the links */
static struct event_base *base;
static struct event *tick;
static struct wake *wake;
static struct err err;
static unsigned heard;
static struct wake_heard last;

static void on_heard(void *context, const struct wake_heard *packet)
{
	(void)context;
	heard++;
	last = *packet;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* Runs the loop until CONDITION holds; Check ends a test in which it never does. */
#define run_until(condition)                                                                                           \
	while (!(condition))                                                                                           \
	event_base_loop(base, EVLOOP_ONCE)

static struct wake_stats stats(void)
{
	struct wake_stats now;

	wake_stats(wake, &now);
	return now;
}

static void open_wake(void)
{
	const struct wake_watcher watcher = { .heard = on_heard };

	wake = wake_new(base, lab.config, &watcher, &err);
	ck_assert_msg(wake, "%s", err.text);
}

static void open_all(void)
{
	const struct timeval often = { .tv_usec = 5000 };

	lab = lab_open();
	lab_run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1");
	client_fd = lab_add_link("uplink", "192.0.2.1/24", "192.0.2.2", 0);
	guest_fd = lab_add_link("guest", "10.11.0.1/24", "10.11.0.2", WAKE_LOG_GROUP);
	lab_run("ip link set uplink mtu 3600 && ip link set guest mtu 3600");
	lab_run(
	    "nft -f - <<'X'\n"
	    "table inet weft {\n"
	    "	set asleep { type ipv4_addr; elements = { 10.11.0.2 } }\n"
	    "	chain wake { type filter hook postrouting priority 10;\n"
	    "		oifgroup %u ip daddr @asleep log prefix \"weft-wake\" snaplen %u group %u; }\n"
	    "	chain published { type nat hook prerouting priority -100;\n"
	    "		ip daddr 192.0.2.1 meta l4proto { tcp, udp } th dport 18080 dnat ip to 10.11.0.2:8080; }\n"
	    "	chain published_here { type nat hook output priority -100;\n"
	    "		ip daddr 192.0.2.1 meta l4proto { tcp, udp } th dport 18080 dnat ip to 10.11.0.2:8080; }\n"
	    "}\n"
	    "X",
	    WAKE_LOG_GROUP, WAKE_SNAPLEN, WAKE_LOG_GROUP);
	base = event_base_new();
	tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	event_add(tick, &often);
	open_wake();
	wake_sleep(wake, GUEST);
	ck_assert_ptr_null(stats().log_error);
}

static void close_all(void)
{
	wake_free(wake);
	event_free(tick);
	event_base_free(base);
	config_free(lab.config);
	close(client_fd);
	close(guest_fd);
}

/* From the client to DESTINATION and PORT. */
static struct packet packet_to(uint8_t proto, uint32_t destination, uint16_t port)
{
	return (struct packet){ .proto = proto,
				.source = CLIENT,
				.source_port = 40000,
				.destination = destination,
				.destination_port = port,
				.tcp_flags = SYN,
				.sequence = 0x01020304,
				.mss = proto == IPPROTO_TCP ? 1460 : 0,
				.payload = proto == IPPROTO_UDP ? 5 : 0 };
}

/* The packet that weft has let through reaches the guest's side: there it would be lost, were its TAP closed. */
static void arrives(uint8_t proto)
{
	struct packet packet;

	ck_assert(lab_receives(guest_fd, &packet));
	ck_assert_uint_eq(packet.proto, proto);
	ck_assert_uint_eq(packet.source, CLIENT);
	ck_assert_uint_eq(packet.source_port, 40000);
	ck_assert_uint_eq(packet.destination, GUEST);
	ck_assert_uint_eq(packet.destination_port, 8080);
	if (proto == IPPROTO_TCP) {
		ck_assert_uint_eq(packet.sequence, 0x01020304);
		ck_assert_uint_eq(packet.mss, 1460);
	}
}

static void wake_up(bool send_again)
{
	lab_run("nft delete element inet weft asleep '{ 10.11.0.2 }'");
	wake_awake(wake, GUEST, send_again);
}

/* The guest answers, and the client has the answer from where it had asked. */
static void guest_answers(const struct packet *asked)
{
	const struct packet answer = { .proto = asked->proto,
				       .source = GUEST,
				       .source_port = 8080,
				       .destination = CLIENT,
				       .destination_port = 40000,
				       .tcp_flags = SYN | ACK,
				       .sequence = 7,
				       .acknowledged = asked->sequence + 1,
				       .payload = asked->payload };
	struct packet got;

	lab_sends(guest_fd, &answer);
	ck_assert(lab_receives(client_fd, &got));
	ck_assert_uint_eq(got.proto, asked->proto);
	ck_assert_uint_eq(got.source, asked->destination);
	ck_assert_uint_eq(got.source_port, asked->destination_port);
	ck_assert_uint_eq(got.destination_port, 40000);
}

static unsigned tracked_flows(void)
{
	unsigned count;

	ck_assert_msg(kern_conntrack_count(-1, &count, &err) == 0, "%s", err.text);
	return count;
}

static uint8_t proto_of(int i)
{
	return i ? IPPROTO_UDP : IPPROTO_TCP;
}

/* ---- Hearing and sending again ---- */

START_TEST(a_first_packet_is_heard)
{
	struct packet packet = packet_to(proto_of(_i), GUEST, 8080);

	lab_sends(client_fd, &packet);
	run_until(heard);
	ck_assert_uint_eq(last.host_ip, GUEST);
	ck_assert_uint_eq(last.source, CLIENT);
	ck_assert_uint_eq(last.source_port, 40000);
	ck_assert_uint_eq(last.dest_port, 8080);
	ck_assert_int_eq(last.proto, _i ? PROTO_UDP : PROTO_TCP);
	ck_assert_uint_eq(stats().heard, 1);
	ck_assert_uint_eq(stats().kept, 1);
	arrives(packet.proto);
}
END_TEST

/* Protocols, and whether by a published port. */
START_TEST(a_copy_is_sent_again_as_the_flows_own_packet)
{
	struct packet packet =
	    _i / 2 ? packet_to(proto_of(_i % 2), HOST, 18080) : packet_to(proto_of(_i % 2), GUEST, 8080);

	lab_sends(client_fd, &packet);
	run_until(heard);
	ck_assert_uint_eq(last.dest_port, 8080);
	arrives(packet.proto);
	wake_up(true);
	arrives(packet.proto);
	ck_assert_uint_eq(stats().sent_again, 1);
	ck_assert_uint_eq(stats().kept, 0);
	ck_assert_uint_eq(tracked_flows(), 1);
	guest_answers(&packet);
	ck_assert_uint_eq(tracked_flows(), 1);
	ck_assert(lab_receives_nothing(guest_fd));
}
END_TEST

START_TEST(a_copy_need_not_be_sent_again)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	lab_sends(client_fd, &packet);
	run_until(heard);
	arrives(IPPROTO_TCP);
	wake_up(false);
	ck_assert_uint_eq(stats().kept, 0);
	ck_assert_uint_eq(stats().sent_again, 0);
	ck_assert(lab_receives_nothing(guest_fd));
}
END_TEST

START_TEST(what_its_client_had_asked_for_outlives_the_flow)
{
	struct packet packet = packet_to(IPPROTO_UDP, HOST, 18080);

	lab_sends(client_fd, &packet);
	run_until(heard);
	arrives(IPPROTO_UDP);
	ck_assert_int_eq(kern_conntrack_flush(-1, &err), 0);
	wake_up(true);
	arrives(IPPROTO_UDP);
	guest_answers(&packet);
}
END_TEST

START_TEST(a_packet_longer_than_its_copy_is_heard_and_not_sent_again)
{
	struct packet packet = packet_to(IPPROTO_UDP, GUEST, 8080);

	packet.payload = PAYLOAD_LONG;
	lab_sends(client_fd, &packet);
	run_until(heard);
	arrives(IPPROTO_UDP);
	ck_assert_uint_eq(stats().kept, 0);
	wake_up(true);
	ck_assert(lab_receives_nothing(guest_fd));
	ck_assert_uint_eq(stats().sent_again, 0);
}
END_TEST

START_TEST(the_longest_copy_is_sent_again)
{
	struct packet packet = packet_to(IPPROTO_UDP, GUEST, 8080);

	packet.payload = WAKE_SNAPLEN - 28;
	lab_sends(client_fd, &packet);
	run_until(heard);
	arrives(IPPROTO_UDP);
	wake_up(true);
	arrives(IPPROTO_UDP);
}
END_TEST

START_TEST(a_packet_that_cannot_be_sent_is_left_to_its_clients_retry)
{
	struct packet packet = packet_to(IPPROTO_UDP, GUEST, 8080);

	packet.payload = 1400;
	lab_sends(client_fd, &packet);
	run_until(heard);
	arrives(IPPROTO_UDP);
	lab_run("ip link set guest mtu 1000");
	wake_up(true);
	ck_assert_uint_eq(stats().not_sent, 1);
	ck_assert_uint_eq(stats().kept, 0);
}
END_TEST

START_TEST(packets_of_connections_wake_nobody)
{
	static const uint8_t flags[] = { ACK, RST, SYN | ACK, ACK | 0x08, ACK | 0x01 };
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	for (size_t i = 0; i < sizeof(flags); i++) {
		packet.tcp_flags = flags[i];
		lab_sends(client_fd, &packet);
	}
	run_until(stats().unreadable == sizeof(flags));
	ck_assert_uint_eq(heard, 0);
	ck_assert_uint_eq(stats().kept, 0);
}
END_TEST

static struct cidr4 ignored = { .ip = CLIENT, .length = 32 };

START_TEST(ignored_sources_wake_nobody)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	lab.config->wake.ignore.items = &ignored;
	lab.config->wake.ignore.count = 1;
	lab_sends(client_fd, &packet);
	run_until(stats().ignored == 1);
	ck_assert_uint_eq(heard, 0);
	ck_assert_uint_eq(stats().kept, 0);
	/* As soon as they are ignored no more. */
	lab.config->wake.ignore.items = NULL;
	lab.config->wake.ignore.count = 0;
	lab_sends(client_fd, &packet);
	run_until(heard == 1);
}
END_TEST

START_TEST(an_unknown_address_is_heard_but_nothing_is_kept_for_it)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	wake_awake(wake, GUEST, true);
	lab_sends(client_fd, &packet);
	run_until(heard);
	ck_assert_uint_eq(stats().kept, 0);
}
END_TEST

/* ---- Clients on the host itself, whose packets bear no checksum of their own ---- */

static size_t receive_datagram(char *payload, size_t size)
{
	struct pollfd ready = { .fd = guest_fd, .events = POLLIN };
	uint8_t frame[4096];
	ssize_t got;

	do {
		ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
		got = read(guest_fd, frame, sizeof(frame));
	} while (got < ETH_HLEN + 28 || frame[12] != 8 || frame[ETH_HLEN + 9] != IPPROTO_UDP);
	ck_assert_uint_le((size_t)got - ETH_HLEN - 28, size);
	memcpy(payload, frame + ETH_HLEN + 28, (size_t)got - ETH_HLEN - 28);
	/* The sum over pseudo header, header and payload. */
	uint32_t sum = IPPROTO_UDP + (uint32_t)got - ETH_HLEN - 20;
	for (ssize_t i = ETH_HLEN + 12; i < got; i++)
		sum += (i - ETH_HLEN) % 2 ? frame[i] : (uint32_t)frame[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	ck_assert_uint_eq(sum, 0xffff);
	return (size_t)got - ETH_HLEN - 28;
}

/* By the guest's address, and by a published port. */
START_TEST(a_datagram_of_the_host_is_sent_again_and_answered)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(_i ? 18080 : 8080),
					.sin_addr.s_addr = htonl(_i ? HOST : GUEST) };
	char payload[64];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(send(fd, "hello", 5, 0), 5);
	ck_assert_uint_eq(receive_datagram(payload, sizeof(payload)), 5);
	run_until(heard);
	wake_up(true);
	ck_assert_uint_eq(stats().sent_again, 1);
	ck_assert_uint_eq(receive_datagram(payload, sizeof(payload)), 5);
	ck_assert_mem_eq(payload, "hello", 5);
	ck_assert_uint_eq(tracked_flows(), 1);
	const struct packet answer = { .proto = IPPROTO_UDP,
				       .source = GUEST,
				       .source_port = 8080,
				       .destination = last.source,
				       .destination_port = last.source_port,
				       .payload = 3 };
	lab_sends(guest_fd, &answer);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
	ck_assert_int_eq(recv(fd, payload, sizeof(payload), 0), 3);
	close(fd);
}
END_TEST

/* ---- Floods and troubles ---- */

START_TEST(a_flood_from_many_sources_keeps_few_copies)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	for (uint32_t i = 0; i < 1000; i++) {
		packet.source = CLIENT + 1 + i % 200;
		packet.source_port = (uint16_t)(1024 + i);
		lab_sends(client_fd, &packet);
		if (i % 50 == 49)
			run_until(heard == i + 1);
	}
	run_until(heard == 1000);
	ck_assert_uint_eq(stats().kept, WAKE_KEPT_FLOWS);
}
END_TEST

START_TEST(packets_that_the_log_could_not_hold_are_lost_and_later_ones_heard)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	for (uint32_t i = 0; i < 4000; i++) {
		packet.source_port = (uint16_t)(1024 + i);
		lab_sends(client_fd, &packet);
	}
	run_until(stats().lost);
	while (heard < 10)
		event_base_loop(base, EVLOOP_ONCE);
	/* The rest of those that it held. */
	for (unsigned before = 0; before != heard;) {
		before = heard;
		for (int i = 0; i < 4; i++)
			event_base_loop(base, EVLOOP_ONCE);
	}
	unsigned so_far = heard;
	packet.source_port = 9;
	lab_sends(client_fd, &packet);
	run_until(heard > so_far);
	ck_assert_uint_eq(last.source_port, 9);
	ck_assert_ptr_null(stats().log_error);
}
END_TEST

START_TEST(a_log_that_another_run_reads_is_taken_over_when_that_ends)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);
	struct kern_packet_log other;

	wake_free(wake);
	ck_assert_int_eq(kern_packet_log_open(&other, WAKE_LOG_GROUP, WAKE_SNAPLEN, &err), 0);
	open_wake();
	ck_assert_ptr_null(stats().log_error);
	wake_sleep(wake, GUEST);
	ck_assert_ptr_nonnull(strstr(stats().log_error, "packet log, group 1874"));
	/* Posts and the sleep of others go on. */
	wake_sleep(wake, GUEST + 1);
	kern_packet_log_close(&other);
	run_until(!stats().log_error);
	lab_sends(client_fd, &packet);
	run_until(heard);
	ck_assert_uint_eq(stats().kept, 1);
}
END_TEST

/* Descriptors are lacking for the question what its client had asked for, until the copy is to be sent. */
START_TEST(a_shortage_when_a_packet_comes_loses_nothing)
{
	struct packet packet = packet_to(IPPROTO_TCP, HOST, 18080);
	struct rlimit before, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	lab_sends(client_fd, &packet);
	run_until(heard);
	ck_assert_uint_eq(stats().kept, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	arrives(IPPROTO_TCP);
	wake_up(true);
	arrives(IPPROTO_TCP);
	ck_assert_uint_eq(tracked_flows(), 1);
	guest_answers(&packet);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_is_asked_for_again)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);
	struct rlimit before, none;

	wake_free(wake);
	open_wake();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	wake_sleep(wake, GUEST);
	ck_assert_ptr_nonnull(strstr(stats().log_error, strerror(EMFILE)));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	run_until(!stats().log_error);
	lab_sends(client_fd, &packet);
	run_until(heard);
}
END_TEST

START_TEST(what_is_kept_is_freed_with_all_else)
{
	struct packet packet = packet_to(IPPROTO_TCP, GUEST, 8080);

	lab_sends(client_fd, &packet);
	run_until(heard);
	wake_tell(wake, "/nowhere", "a1", "{}");
	wake_tell(wake, "/nowhere", "a2", "{}");
	run_until(stats().tell_failures);
	wake_untell(wake, "a1");
	ck_assert_uint_eq(stats().telling, 1);
	ck_assert_ptr_nonnull(stats().tell_error);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("wake");
	TCase *packets = tcase_create("packets");

	tcase_set_timeout(packets, 120);
	tcase_add_checked_fixture(packets, open_all, close_all);
	tcase_add_loop_test(packets, a_first_packet_is_heard, 0, 2);
	tcase_add_loop_test(packets, a_copy_is_sent_again_as_the_flows_own_packet, 0, 4);
	tcase_add_test(packets, a_copy_need_not_be_sent_again);
	tcase_add_test(packets, what_its_client_had_asked_for_outlives_the_flow);
	tcase_add_test(packets, a_packet_longer_than_its_copy_is_heard_and_not_sent_again);
	tcase_add_test(packets, the_longest_copy_is_sent_again);
	tcase_add_test(packets, a_packet_that_cannot_be_sent_is_left_to_its_clients_retry);
	tcase_add_test(packets, packets_of_connections_wake_nobody);
	tcase_add_test(packets, ignored_sources_wake_nobody);
	tcase_add_test(packets, an_unknown_address_is_heard_but_nothing_is_kept_for_it);
	tcase_add_loop_test(packets, a_datagram_of_the_host_is_sent_again_and_answered, 0, 2);
	suite_add_tcase(suite, packets);
	TCase *troubles = tcase_create("troubles");
	tcase_set_timeout(troubles, 120);
	tcase_add_checked_fixture(troubles, open_all, close_all);
	tcase_add_test(troubles, a_flood_from_many_sources_keeps_few_copies);
	tcase_add_test(troubles, packets_that_the_log_could_not_hold_are_lost_and_later_ones_heard);
	tcase_add_test(troubles, a_log_that_another_run_reads_is_taken_over_when_that_ends);
	tcase_add_test(troubles, a_shortage_when_a_packet_comes_loses_nothing);
	tcase_add_test(troubles, a_log_that_cannot_be_opened_is_asked_for_again);
	tcase_add_test(troubles, what_is_kept_is_freed_with_all_else);
	suite_add_tcase(suite, troubles);
	return run_suite(suite);
}
