/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel handles a frame within the call that sends it, so what has not come out by then never will.
 */
#include "unit/inspect/reality_lab.h"
#include "base/err.h"
#include "inspect/ruleset.h"
#include "unit/nft_lab.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SANDBOX = 0x0a0b0001, ELSEWHERE = 0x01010101, HOST = 0x0a0c0002 };

static const char *const way_names[] = { "out", "through", "in", "back" };
static struct lab lab;
static int veth, uplink;
static unsigned veth_index, uplink_index;
static uint16_t next_port = 20000;
static unsigned long seed;
static char file[] = "/tmp/weft-rules.XXXXXX";

unsigned some(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % below;
}

const char *one_of(const char *const *list, size_t count)
{
	return list[some((unsigned)count)];
}

/* ---- The host ---- */

static unsigned index_of(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "ip -o link show dev %s | cut -d: -f1", name);
	char *text = lab_output(command);
	unsigned number = (unsigned)strtoul(text, NULL, 10);

	free(text);
	return number;
}

void reality_setup(void)
{
	const char *given = getenv("WEFT_SEED");

	seed = given ? strtoul(given, NULL, 10) : 7;
	fprintf(stderr, "WEFT_SEED=%lu\n", seed);
	lab = lab_open();
	lab_run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 "
		"net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.ip_forward=1");
	veth = lab_add_link("veth-1", "10.12.0.2/31", "10.12.0.3", 1874);
	uplink = lab_add_link("eth9", "198.51.100.1/24", "198.51.100.2", 0);
	lab_run("ip route add 10.11.0.1/32 via 10.12.0.3 && ip route add default via 198.51.100.2");
	veth_index = index_of("veth-1");
	uplink_index = index_of("eth9");
	int fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

void reality_teardown(void)
{
	unlink(file);
	config_free(lab.config);
}

/* Loads TEXT with PROGRAM. Whether the program took it. */
bool reality_load(const char *program, const char *text)
{
	char command[128];
	FILE *out = fopen(file, "we");

	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
	snprintf(command, sizeof(command), "%s %s", program, file);
	return system(command) == 0;
}

/* ---- The packets ---- */

static struct ruleset_packet question(enum way way, uint16_t port, uint16_t source_port)
{
	struct ruleset_packet packet = { .iif = "", .oif = "", .port = port, .source_port = source_port };

	if (way == WAY_OUT) {
		packet.oif = "veth-1";
		packet.source = HOST;
		packet.destination = SANDBOX;
	} else if (way == WAY_BACK) {
		packet.iif = "eth9";
		packet.oif = "veth-1";
		packet.source = ELSEWHERE;
		packet.destination = SANDBOX;
		packet.established = true;
	} else {
		packet.iif = "veth-1";
		packet.source = SANDBOX;
		packet.oif = way == WAY_IN ? "" : "eth9";
		packet.destination = way == WAY_IN ? HOST : ELSEWHERE;
		packet.local_destination = way == WAY_IN;
	}
	packet.iif_index = packet.iif[0] == 'v' ? veth_index : packet.iif[0] ? uplink_index : 0;
	packet.oif_index = packet.oif[0] == 'v' ? veth_index : packet.oif[0] ? uplink_index : 0;
	packet.iif_group = packet.iif[0] == 'v' ? 1874 : 0;
	packet.oif_group = packet.oif[0] == 'v' ? 1874 : 0;
	return packet;
}

/* Whether a packet with those ports comes out of FD, now that it has been sent; all others are lost. */
static bool comes_out(int fd, uint16_t port, uint16_t source_port)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	struct packet packet;
	bool came = false;

	while (poll(&ready, 1, 0) > 0 && lab_receives(fd, &packet))
		came = came || (packet.destination_port == port && packet.source_port == source_port);
	return came;
}

static void drain(void)
{
	comes_out(veth, 0, 0);
	comes_out(uplink, 0, 0);
}

static bool goes_out(uint16_t port, uint16_t source_port)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(source_port) };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(SANDBOX) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	from.sin_addr.s_addr = htonl(HOST);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	(void)!connect(fd, (struct sockaddr *)&to, sizeof(to));
	bool came = comes_out(veth, port, source_port);
	close(fd);
	return came;
}

static void send_syn(int fd, uint32_t source, uint32_t destination, uint16_t port, uint16_t source_port, uint8_t flags)
{
	const struct packet packet = { .proto = IPPROTO_TCP,
				       .source = source,
				       .destination = destination,
				       .source_port = source_port,
				       .destination_port = port,
				       .sequence = flags & TH_ACK ? 2000 : 1000,
				       .acknowledged = flags & TH_ACK ? 1001 : 0,
				       .tcp_flags = flags };

	lab_sends(fd, &packet);
}

/* Sends the packet of WAY. Whether it arrives, or, for one to the host, is answered. */
static bool arrives(enum way way, uint16_t port, uint16_t source_port)
{
	switch (way) {
	case WAY_OUT:
		return goes_out(port, source_port);
	case WAY_THROUGH:
		send_syn(veth, SANDBOX, ELSEWHERE, port, source_port, TH_SYN);
		return comes_out(uplink, port, source_port);
	case WAY_IN:
		send_syn(veth, SANDBOX, HOST, port, source_port, TH_SYN);
		return comes_out(veth, source_port, port);
	case WAY_BACK:
		send_syn(uplink, ELSEWHERE, SANDBOX, port, source_port, TH_SYN | TH_ACK);
		return comes_out(veth, port, source_port);
	case WAYS:
		break;
	}
	return false;
}

/* ---- Judging ---- */

static enum ruleset_certainty judge(const struct ruleset *ruleset, enum way way, const struct ruleset_packet *packet)
{
	static const enum ruleset_hook hooks[WAYS][3] = {
		[WAY_OUT] = { HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_NONE },
		[WAY_THROUGH] = { HOOK_PREROUTING, HOOK_FORWARD, HOOK_POSTROUTING },
		[WAY_IN] = { HOOK_PREROUTING, HOOK_INPUT, HOOK_NONE },
		[WAY_BACK] = { HOOK_PREROUTING, HOOK_FORWARD, HOOK_POSTROUTING },
	};
	enum ruleset_certainty worst = RULESET_NO;

	for (size_t i = 0; i < 3 && hooks[way][i] != HOOK_NONE; i++) {
		for (int redirect = 0; redirect < 2; redirect++) {
			struct ruleset_answer answer = inspect_ruleset_ask(
			    ruleset, hooks[way][i], redirect ? VERDICT_REDIRECT : VERDICT_DROP, packet);
			ck_assert_int_eq(answer.certainty == RULESET_NO, !answer.chain);
			if (answer.certainty > worst)
				worst = answer.certainty;
		}
	}
	return worst;
}

/* Sends packets of WAY to some ports and compares; TEXT: the rules, for the message. */
void reality_compare(enum way way, const char *text, struct tally *tally)
{
	static const uint16_t ports[] = { 22, 80, 443, 999, 1000, 8080, 49983, 65535 };
	struct ruleset ruleset;
	struct err err;

	ck_assert_msg(inspect_ruleset_read(&ruleset, &err) == 0, "%s", err.text);
	for (int i = 0; i < 3; i++) {
		uint16_t port = ports[some(8)], source_port = next_port++;
		if (way == WAY_BACK) {
			/* A connection that was there before the rules, to the port that the reply comes from. */
			port = (uint16_t)(10000 + i);
			source_port = 443;
		}
		struct ruleset_packet packet = question(way, port, source_port);
		enum ruleset_certainty said = judge(&ruleset, way, &packet);
		drain();
		bool came = arrives(way, port, source_port);
		ck_assert_msg(said == RULESET_PERHAPS || came == (said == RULESET_NO),
			      "%s to port %u from %u %s, but was judged %d, of:\n%s", way_names[way], port, source_port,
			      came ? "arrived" : "was lost", said, text);
		if (said == RULESET_PERHAPS)
			fprintf(stderr, "%s to port %u from %u cannot be told, of:\n%s", way_names[way], port,
				source_port, text);
		tally->perhaps += said == RULESET_PERHAPS;
		tally->caught += said == RULESET_SURELY;
		tally->free += said == RULESET_NO;
	}
	inspect_ruleset_clear(&ruleset);
}

void reality_begin(enum way way)
{
	ck_assert(reality_load("nft -f", "table inet weft { chain keep { type filter hook forward priority 500; "
					 "ct state new accept; }\n}\n"));
	for (uint16_t i = 0; way == WAY_BACK && i < 3; i++) {
		send_syn(veth, SANDBOX, ELSEWHERE, 443, (uint16_t)(10000 + i), TH_SYN);
		ck_assert(comes_out(uplink, 443, (uint16_t)(10000 + i)));
		send_syn(uplink, ELSEWHERE, SANDBOX, (uint16_t)(10000 + i), 443, TH_SYN | TH_ACK);
		ck_assert(comes_out(veth, (uint16_t)(10000 + i), 443));
	}
}

void reality_tell(enum way way, const struct tally *tally)
{
	fprintf(stderr, "%s: %u caught, %u free, %u perhaps\n", way_names[way], tally->caught, tally->free,
		tally->perhaps);
	ck_assert_uint_gt(tally->caught, 5);
	ck_assert_uint_gt(tally->free, 5);
	ck_assert_uint_eq(tally->perhaps, 0);
}
