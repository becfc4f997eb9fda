/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel handles a frame written to a TAP before write() returns, up to where it leaves by another TAP, so a test need not
 * wait to know that nothing came.
 */
#include "unit/nft_lab.h"

#include "base/err.h"
#include "base/log.h"
#include "base/netns.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FRAME_MAX = 4096, ETHERNET = 14 };

static const struct mac host_mac = { { 0x02, 0xfc, 0x01, 0, 0, 1 } }, eth0_mac = { { 0x02, 0xfc, 0x02, 0, 0, 1 } };

void lab_require_root(void)
{
	if (geteuid() != 0) {
		fputs("needs root: network namespaces\n", stderr);
		exit(77);
	}
}

struct lab lab_open(void)
{
	struct lab lab = { .config = config_default(), .guest = -1, .host = -1 };
	struct err err = { 0 };

	ck_assert_ptr_nonnull(lab.config);
	ck_assert_msg(unshare(CLONE_NEWNET) == 0, "unshare: %s", strerror(errno));
	ck_assert_msg(base_netns_init(&err) == 0, "%s", err.text);
	if (getenv("WEFT_TEST_LOG"))
		log_setup(LOG_DEBUG_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	lab_run("ip link set lo up");
	return lab;
}

static int open_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &request), 0);
	return fd;
}

void lab_add_links(struct lab *lab)
{
	lab->guest = open_tap("tap0");
	lab->host = open_tap("eth0");
	lab_run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1 && "
		"ip link set tap0 address 02:fc:00:00:00:06 up && ip addr add 169.254.0.22/30 dev tap0 && "
		"ip neigh add 169.254.0.21 lladdr 02:fc:00:00:00:05 dev tap0 && "
		"ip link set eth0 address 02:fc:02:00:00:01 up && ip addr add 10.12.0.3/31 dev eth0 && "
		"ip neigh add 10.12.0.2 lladdr 02:fc:01:00:00:01 dev eth0 && ip route add default via 10.12.0.2");
}

int lab_add_link(const char *name, const char *address, const char *gateway, unsigned group)
{
	int fd = open_tap(name);

	lab_run("ip link set %s address 02:00:00:00:00:01 group %u up && ip addr add %s dev %s && "
		"ip neigh add %s lladdr 02:00:00:00:00:02 dev %s",
		name, group, address, name, gateway, name);
	return fd;
}

/* ---- Commands ---- */

void lab_run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	int status = system(command);
	ck_assert_msg(status == 0, "%s: status %d", command, status);
}

char *lab_output(const char *command)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size), *pipe = popen(command, "re");

	ck_assert_ptr_nonnull(out);
	ck_assert_ptr_nonnull(pipe);
	for (int c; (c = fgetc(pipe)) != EOF;)
		fputc(c, out);
	int status = pclose(pipe);
	fclose(out);
	ck_assert_msg(status == 0, "%s: status %d", command, status);
	return text;
}

char *lab_round_trip(void)
{
	char file[] = "/tmp/nft-listing.XXXXXX";
	int fd = mkstemp(file);

	ck_assert_int_ge(fd, 0);
	char *before = lab_output("nft list ruleset");
	ck_assert_int_eq(write(fd, before, strlen(before)), (ssize_t)strlen(before));
	close(fd);
	lab_run("nft flush ruleset && nft -f %s", file);
	unlink(file);
	char *after = lab_output("nft list ruleset");
	ck_assert_str_eq(after, before);
	free(after);
	return before;
}

uint64_t lab_counter(const char *family, const char *name)
{
	char command[128];
	unsigned long long packets;

	snprintf(command, sizeof(command), "nft list counter %s weft %s", family, name);
	char *text = lab_output(command);
	const char *at = strstr(text, "packets ");
	ck_assert_msg(at && sscanf(at, "packets %llu", &packets) == 1, "%s", text);
	free(text);
	return packets;
}

/* ---- Frames ---- */

static uint16_t checksum(const void *data, size_t size, uint32_t sum)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The sum of the addresses, protocol and length, which TCP and UDP include. */
static uint32_t pseudo_sum(const struct packet *packet, size_t length)
{
	return (packet->source >> 16) + (packet->source & 0xffff) + (packet->destination >> 16) +
	       (packet->destination & 0xffff) + packet->proto + (uint32_t)length;
}

static size_t put_tcp(uint8_t *at, const struct packet *packet)
{
	size_t header = sizeof(struct tcphdr) + (packet->mss ? 4 : 0), length = header + packet->payload;
	struct tcphdr tcp = { .th_sport = htons(packet->source_port),
			      .th_dport = htons(packet->destination_port),
			      .th_seq = htonl(packet->sequence),
			      .th_ack = htonl(packet->acknowledged),
			      .th_off = (header / 4) & 0xf,
			      .th_flags = packet->tcp_flags,
			      .th_win = htons(65535) };

	memcpy(at, &tcp, sizeof(tcp));
	if (packet->mss) {
		const uint8_t option[] = { 2, 4, (uint8_t)(packet->mss >> 8), (uint8_t)packet->mss };
		memcpy(at + sizeof(tcp), option, sizeof(option));
	}
	tcp.th_sum = checksum(at, length, pseudo_sum(packet, length));
	memcpy(at, &tcp, sizeof(tcp));
	return length;
}

static size_t put_udp(uint8_t *at, const struct packet *packet)
{
	size_t length = sizeof(struct udphdr) + packet->payload;
	struct udphdr udp = { .uh_sport = htons(packet->source_port),
			      .uh_dport = htons(packet->destination_port),
			      .uh_ulen = htons((uint16_t)length) };

	memcpy(at, &udp, sizeof(udp));
	udp.uh_sum = checksum(at, length, pseudo_sum(packet, length));
	memcpy(at, &udp, sizeof(udp));
	return length;
}

static size_t put_packet(uint8_t *at, const struct packet *packet);

static size_t put_icmp(uint8_t *at, const struct packet *packet)
{
	size_t length = sizeof(struct icmphdr) + packet->payload;
	struct icmphdr icmp = { .type = packet->icmp[0], .code = packet->icmp[1] };

	icmp.un.echo.id = htons(packet->source_port);
	if (packet->quoted) {
		icmp.un.gateway = 0;
		icmp.un.frag.mtu = htons(packet->mtu);
		length += put_packet(at + sizeof(icmp), packet->quoted);
	}
	memcpy(at, &icmp, sizeof(icmp));
	icmp.checksum = checksum(at, length, 0);
	memcpy(at, &icmp, sizeof(icmp));
	return length;
}

/* An IP header and what follows. Returns the length. */
static size_t put_packet(uint8_t *at, const struct packet *packet)
{
	uint8_t *inner = at + sizeof(struct iphdr);
	size_t length = packet->payload;

	if (packet->proto == IPPROTO_TCP)
		length = put_tcp(inner, packet);
	else if (packet->proto == IPPROTO_UDP)
		length = put_udp(inner, packet);
	else if (packet->proto == IPPROTO_ICMP)
		length = put_icmp(inner, packet);

	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tos = packet->tos,
			    .ttl = packet->ttl ? packet->ttl : 64,
			    .protocol = packet->proto,
			    .tot_len = htons((uint16_t)(length + sizeof(ip))),
			    .saddr = htonl(packet->source),
			    .daddr = htonl(packet->destination) };
	memcpy(at, &ip, sizeof(ip));
	ip.check = checksum(at, sizeof(ip), 0);
	memcpy(at, &ip, sizeof(ip));
	return length + sizeof(ip);
}

static void send_packet(int fd, const struct mac *from, const struct mac *to, const struct packet *packet)
{
	uint8_t frame[FRAME_MAX] = { 0 };

	ck_assert_uint_lt(packet->payload, FRAME_MAX - 256);
	memcpy(frame, to->octets, 6);
	memcpy(frame + 6, from->octets, 6);
	frame[12] = 8;
	lab_frame_sends(fd, frame, ETHERNET + put_packet(frame + ETHERNET, packet));
}

void lab_guest_sends(const struct lab *lab, const struct packet *packet)
{
	send_packet(lab->guest, &lab->config->layout.guest_mac, &lab->config->layout.tap_mac, packet);
}

void lab_host_sends(const struct lab *lab, const struct packet *packet)
{
	send_packet(lab->host, &host_mac, &eth0_mac, packet);
}

void lab_sends(int fd, const struct packet *packet)
{
	static const struct mac from = { { 2, 0, 0, 0, 0, 2 } }, to = { { 2, 0, 0, 0, 0, 1 } };

	send_packet(fd, &from, &to, packet);
}

void lab_frame_sends(int fd, const void *frame, size_t size)
{
	ck_assert_int_eq(write(fd, frame, size), (ssize_t)size);
}

static void parse_tcp(const uint8_t *at, struct packet *packet)
{
	struct tcphdr tcp;

	memcpy(&tcp, at, sizeof(tcp));
	packet->tcp_flags = tcp.th_flags;
	packet->sequence = ntohl(tcp.th_seq);
	packet->acknowledged = ntohl(tcp.th_ack);
	if (tcp.th_off > 5 && at[sizeof(tcp)] == 2)
		packet->mss = (uint16_t)(at[sizeof(tcp) + 2] << 8 | at[sizeof(tcp) + 3]);
}

static bool parse_packet(const uint8_t *frame, size_t size, struct packet *packet)
{
	struct iphdr ip;

	if (size < ETHERNET + sizeof(ip) + 8 || frame[12] != 8 || frame[13] != 0)
		return false;
	memcpy(&ip, frame + ETHERNET, sizeof(ip));
	const uint8_t *inner = frame + ETHERNET + ip.ihl * 4u;
	*packet = (struct packet){ .proto = ip.protocol,
				   .source = ntohl(ip.saddr),
				   .destination = ntohl(ip.daddr),
				   .tos = ip.tos,
				   .ttl = ip.ttl,
				   .payload = ntohs(ip.tot_len) - sizeof(ip) - 8 };
	if (ip.protocol == IPPROTO_ICMP) {
		memcpy(packet->icmp, inner, 2);
		return true;
	}
	packet->source_port = (uint16_t)(inner[0] << 8 | inner[1]);
	packet->destination_port = (uint16_t)(inner[2] << 8 | inner[3]);
	if (ip.protocol == IPPROTO_TCP)
		parse_tcp(inner, packet);
	return true;
}

static bool receive(int fd, int timeout_ms, struct packet *packet)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint8_t frame[FRAME_MAX];

	while (poll(&ready, 1, timeout_ms) > 0) {
		ssize_t size = read(fd, frame, sizeof(frame));
		ck_assert_int_gt(size, 0);
		if (parse_packet(frame, (size_t)size, packet))
			return true;
	}
	return false;
}

bool lab_receives(int fd, struct packet *packet)
{
	return receive(fd, LAB_TIMEOUT_MS, packet);
}

bool lab_receives_nothing(int fd)
{
	struct packet packet;

	return !receive(fd, 0, &packet);
}
