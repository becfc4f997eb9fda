/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which packets are heard, and that a copy of one is the flow's own when it is sent again. */
#include "kernel/conntrack.h"
#include "kernel/packet_log.h"
#include "unit/run_suite.h"
#include "unit/wake/wake_lab.h"

#include <check.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAYLOAD_LONG = KERN_WAKE_BYTES };

static uint8_t proto_of(int i)
{
	return i ? IPPROTO_UDP : IPPROTO_TCP;
}

/* ---- Hearing and sending again ---- */

START_TEST(a_first_packet_is_heard)
{
	struct packet packet = wake_lab_packet(proto_of(_i), GUEST, 8080);

	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	ck_assert_uint_eq(lab.last.host_ip, GUEST);
	ck_assert_uint_eq(lab.last.source, CLIENT);
	ck_assert_uint_eq(lab.last.source_port, 40000);
	ck_assert_uint_eq(lab.last.dest_port, 8080);
	ck_assert_int_eq(lab.last.proto, _i ? PROTO_UDP : PROTO_TCP);
	ck_assert_uint_eq(wake_lab_stats().heard, 1);
	ck_assert_uint_eq(wake_lab_stats().kept, 1);
	wake_lab_arrives(packet.proto);
}
END_TEST

/* Protocols, and whether by a published port. */
START_TEST(a_copy_is_sent_again_as_the_flows_own_packet)
{
	struct packet packet =
	    _i / 2 ? wake_lab_packet(proto_of(_i % 2), HOST, 18080) : wake_lab_packet(proto_of(_i % 2), GUEST, 8080);

	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	ck_assert_uint_eq(lab.last.dest_port, 8080);
	wake_lab_arrives(packet.proto);
	wake_lab_wakes_up(true);
	wake_lab_arrives(packet.proto);
	ck_assert_uint_eq(wake_lab_stats().sent_again, 1);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
	ck_assert_uint_eq(wake_lab_flows(), 1);
	wake_lab_guest_answers(&packet);
	ck_assert_uint_eq(wake_lab_flows(), 1);
	ck_assert(lab_receives_nothing(lab.guest));
}
END_TEST

START_TEST(a_copy_need_not_be_sent_again)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	wake_lab_arrives(IPPROTO_TCP);
	wake_lab_wakes_up(false);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
	ck_assert_uint_eq(wake_lab_stats().sent_again, 0);
	ck_assert(lab_receives_nothing(lab.guest));
}
END_TEST

/* One that was logged before the TAP was opened is, even if it is read only now. */
START_TEST(what_comes_to_an_open_tap_is_not_sent_again)
{
	struct packet early = wake_lab_packet(IPPROTO_UDP, GUEST, 8080), late = early, got;

	late.source_port++;
	lab_sends(lab.client, &early);
	wake_lab_arrives(IPPROTO_UDP);
	wake_note_tap(lab.wake, GUEST, true);
	ck_assert_uint_eq(wake_lab_stats().kept, 1);
	lab_sends(lab.client, &late);
	run_until(lab.heard == 2);
	ck_assert(lab_receives(lab.guest, &got));
	ck_assert_uint_eq(wake_lab_stats().kept, 2);
	wake_lab_wakes_up(true);
	wake_lab_arrives(IPPROTO_UDP);
	ck_assert(lab_receives_nothing(lab.guest));
	ck_assert_uint_eq(wake_lab_stats().sent_again, 1);
}
END_TEST

START_TEST(what_its_client_had_asked_for_outlives_the_flow)
{
	struct packet packet = wake_lab_packet(IPPROTO_UDP, HOST, 18080);

	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	wake_lab_arrives(IPPROTO_UDP);
	ck_assert_int_eq(kern_conntrack_flush(-1, &lab.err), 0);
	wake_lab_wakes_up(true);
	wake_lab_arrives(IPPROTO_UDP);
	wake_lab_guest_answers(&packet);
}
END_TEST

START_TEST(a_packet_longer_than_its_copy_is_heard_and_not_sent_again)
{
	struct packet packet = wake_lab_packet(IPPROTO_UDP, GUEST, 8080);

	packet.payload = PAYLOAD_LONG;
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	wake_lab_arrives(IPPROTO_UDP);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
	wake_lab_wakes_up(true);
	ck_assert(lab_receives_nothing(lab.guest));
	ck_assert_uint_eq(wake_lab_stats().sent_again, 0);
}
END_TEST

START_TEST(the_longest_copy_is_sent_again)
{
	struct packet packet = wake_lab_packet(IPPROTO_UDP, GUEST, 8080);

	packet.payload = KERN_WAKE_BYTES - 28;
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	wake_lab_arrives(IPPROTO_UDP);
	wake_lab_wakes_up(true);
	wake_lab_arrives(IPPROTO_UDP);
}
END_TEST

START_TEST(a_packet_that_cannot_be_sent_is_left_to_its_clients_retry)
{
	struct packet packet = wake_lab_packet(IPPROTO_UDP, GUEST, 8080);

	packet.payload = 1400;
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	wake_lab_arrives(IPPROTO_UDP);
	lab_run("ip link set guest mtu 1000");
	wake_lab_wakes_up(true);
	ck_assert_uint_eq(wake_lab_stats().not_sent, 1);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
}
END_TEST

START_TEST(packets_of_connections_wake_nobody)
{
	static const uint8_t flags[] = { ACK, RST, SYN | ACK, ACK | 0x08, ACK | 0x01 };
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	for (size_t i = 0; i < sizeof(flags); i++) {
		packet.tcp_flags = flags[i];
		lab_sends(lab.client, &packet);
	}
	run_until(wake_lab_stats().unreadable == sizeof(flags));
	ck_assert_uint_eq(lab.heard, 0);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
}
END_TEST

static struct cidr4 ignored = { .ip = CLIENT, .length = 32 };

START_TEST(ignored_sources_wake_nobody)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	lab.net.config->wake.ignore.items = &ignored;
	lab.net.config->wake.ignore.count = 1;
	lab_sends(lab.client, &packet);
	run_until(wake_lab_stats().ignored == 1);
	ck_assert_uint_eq(lab.heard, 0);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
	/* As soon as they are ignored no more. */
	lab.net.config->wake.ignore.items = NULL;
	lab.net.config->wake.ignore.count = 0;
	lab_sends(lab.client, &packet);
	run_until(lab.heard == 1);
}
END_TEST

START_TEST(an_unknown_address_is_heard_but_nothing_is_kept_for_it)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	wake_awake(lab.wake, GUEST, true);
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	ck_assert_uint_eq(wake_lab_stats().kept, 0);
}
END_TEST

/* ---- Clients on the host itself, whose packets bear no checksum of their own ---- */

static size_t receive_datagram(char *payload, size_t size)
{
	struct pollfd ready = { .fd = lab.guest, .events = POLLIN };
	uint8_t frame[4096];
	ssize_t got;

	do {
		ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
		got = read(lab.guest, frame, sizeof(frame));
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
	run_until(lab.heard);
	wake_lab_wakes_up(true);
	ck_assert_uint_eq(wake_lab_stats().sent_again, 1);
	ck_assert_uint_eq(receive_datagram(payload, sizeof(payload)), 5);
	ck_assert_mem_eq(payload, "hello", 5);
	ck_assert_uint_eq(wake_lab_flows(), 1);
	const struct packet answer = { .proto = IPPROTO_UDP,
				       .source = GUEST,
				       .source_port = 8080,
				       .destination = lab.last.source,
				       .destination_port = lab.last.source_port,
				       .payload = 3 };
	lab_sends(lab.guest, &answer);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
	ck_assert_int_eq(recv(fd, payload, sizeof(payload), 0), 3);
	close(fd);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("wake");
	TCase *packets = tcase_create("packets");

	tcase_set_timeout(packets, 120);
	tcase_add_checked_fixture(packets, wake_lab_open, wake_lab_close);
	tcase_add_loop_test(packets, a_first_packet_is_heard, 0, 2);
	tcase_add_loop_test(packets, a_copy_is_sent_again_as_the_flows_own_packet, 0, 4);
	tcase_add_test(packets, a_copy_need_not_be_sent_again);
	tcase_add_test(packets, what_comes_to_an_open_tap_is_not_sent_again);
	tcase_add_test(packets, what_its_client_had_asked_for_outlives_the_flow);
	tcase_add_test(packets, a_packet_longer_than_its_copy_is_heard_and_not_sent_again);
	tcase_add_test(packets, the_longest_copy_is_sent_again);
	tcase_add_test(packets, a_packet_that_cannot_be_sent_is_left_to_its_clients_retry);
	tcase_add_test(packets, packets_of_connections_wake_nobody);
	tcase_add_test(packets, ignored_sources_wake_nobody);
	tcase_add_test(packets, an_unknown_address_is_heard_but_nothing_is_kept_for_it);
	tcase_add_loop_test(packets, a_datagram_of_the_host_is_sent_again_and_answered, 0, 2);
	suite_add_tcase(suite, packets);
	return run_suite(suite);
}
