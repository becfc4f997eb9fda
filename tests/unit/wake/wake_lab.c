/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/wake/wake_lab.h"

#include "kernel/conntrack.h"
#include "kernel/packet_log.h"

#include <check.h>
#include <netinet/in.h>
#include <unistd.h>

struct wake_lab lab;

static void on_heard(void *context, const struct wake_heard *packet)
{
	(void)context;
	lab.heard++;
	lab.last = *packet;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

struct wake_stats wake_lab_stats(void)
{
	struct wake_stats now;

	wake_stats(lab.wake, &now);
	return now;
}

void wake_lab_begin(void)
{
	const struct wake_watcher watcher = { .heard = on_heard };

	lab.wake = wake_new(lab.base, lab.net.config, &watcher, &lab.err);
	ck_assert_msg(lab.wake, "%s", lab.err.text);
}

void wake_lab_open(void)
{
	const struct timeval often = { .tv_usec = 5000 };

	lab.net = lab_open();
	lab_run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1");
	lab.client = lab_add_link("uplink", "192.0.2.1/24", "192.0.2.2", 0);
	lab.guest = lab_add_link("guest", "10.11.0.1/24", "10.11.0.2", KERN_WAKE_GROUP);
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
	    KERN_WAKE_GROUP, KERN_WAKE_BYTES, KERN_WAKE_GROUP);
	lab.base = event_base_new();
	lab.tick = event_new(lab.base, -1, EV_PERSIST, on_tick, NULL);
	event_add(lab.tick, &often);
	wake_lab_begin();
	wake_sleep(lab.wake, GUEST);
	ck_assert_ptr_null(wake_lab_stats().log_error);
}

void wake_lab_close(void)
{
	wake_free(lab.wake);
	event_free(lab.tick);
	event_base_free(lab.base);
	config_free(lab.net.config);
	close(lab.client);
	close(lab.guest);
}

struct packet wake_lab_packet(uint8_t proto, uint32_t destination, uint16_t port)
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

void wake_lab_arrives(uint8_t proto)
{
	struct packet packet;

	ck_assert(lab_receives(lab.guest, &packet));
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

void wake_lab_wakes_up(bool send_again)
{
	lab_run("nft delete element inet weft asleep '{ 10.11.0.2 }'");
	wake_awake(lab.wake, GUEST, send_again);
}

void wake_lab_guest_answers(const struct packet *asked)
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

	lab_sends(lab.guest, &answer);
	ck_assert(lab_receives(lab.client, &got));
	ck_assert_uint_eq(got.proto, asked->proto);
	ck_assert_uint_eq(got.source, asked->destination);
	ck_assert_uint_eq(got.source_port, asked->destination_port);
	ck_assert_uint_eq(got.destination_port, 40000);
}

unsigned wake_lab_flows(void)
{
	unsigned count;

	ck_assert_msg(kern_conntrack_count(-1, &count, &lab.err) == 0, "%s", lab.err.text);
	return count;
}
