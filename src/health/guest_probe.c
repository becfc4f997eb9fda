/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each probe makes a socket inside the namespace, sends one question, and polls for the answer until its deadline. TCP sockets
 * are closed with a reset, so that a probe leaves nothing behind in the namespace.
 */
#include "health/guest_probe.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/netns.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Waits for EVENTS on FD until DEADLINE_US. False when it has passed. */
static bool health_probe_wait(int fd, short events, uint64_t deadline_us)
{
	for (;;) {
		uint64_t now = clock_now_us();
		struct pollfd poll_fd = { .fd = fd, .events = events };

		if (now >= deadline_us)
			return false;
		int ready = poll(&poll_fd, 1, (int)((deadline_us - now) / 1000 + 1));
		if (ready > 0)
			return true;
		if (ready < 0 && errno != EINTR)
			return false;
	}
}

static enum probe_result health_probe_result(int code, const char *what, struct err *err)
{
	if (code == ECONNREFUSED || code == ECONNRESET)
		return PROBE_REFUSED;
	err_set(err, code, "%s", what);
	if (code == ENETUNREACH || code == EHOSTUNREACH || code == ENETDOWN || code == EADDRNOTAVAIL)
		return PROBE_UNREACHABLE;
	return PROBE_FAILED;
}

/* Index and MAC of LINK in the namespace of the socket FD. */
static int health_probe_link(int fd, const char *name, int *index, struct mac *mac, struct err *err)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		return err_set(err, errno, "link %s", name);
	*index = request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return err_set(err, errno, "MAC of link %s", name);
	memcpy(mac->octets, request.ifr_hwaddr.sa_data, sizeof(mac->octets));
	return 0;
}

static struct ether_arp health_probe_arp_question(const struct mac *mac, uint32_t sender, uint32_t target)
{
	struct ether_arp question = { 0 };
	uint32_t from = htonl(sender), to = htonl(target);

	question.arp_hrd = htons(ARPHRD_ETHER);
	question.arp_pro = htons(ETHERTYPE_IP);
	question.arp_hln = ETH_ALEN;
	question.arp_pln = 4;
	question.arp_op = htons(ARPOP_REQUEST);
	memcpy(question.arp_sha, mac->octets, ETH_ALEN);
	memcpy(question.arp_spa, &from, sizeof(from));
	memcpy(question.arp_tpa, &to, sizeof(to));
	return question;
}

static bool health_probe_is_arp_answer(const struct ether_arp *arp, ssize_t length, uint32_t target)
{
	uint32_t wanted = htonl(target);

	return length >= (ssize_t)sizeof(*arp) && arp->arp_op == htons(ARPOP_REPLY) &&
	       memcmp(arp->arp_spa, &wanted, sizeof(wanted)) == 0;
}

enum probe_result health_probe_arp(int netns_fd, const char *link, uint32_t sender, uint32_t target,
				   unsigned timeout_ms, struct probe_answer *answer, struct err *err)
{
	AUTO_FD int fd =
	    base_netns_socket(netns_fd, AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ARP), err);
	uint64_t started = clock_now_us(), deadline = started + (uint64_t)timeout_ms * 1000;
	struct sockaddr_ll everybody = { .sll_family = AF_PACKET,
					 .sll_protocol = htons(ETH_P_ARP),
					 .sll_halen = ETH_ALEN };
	struct mac mac;

	if (fd < 0 || health_probe_link(fd, link, &everybody.sll_ifindex, &mac, err) < 0)
		return PROBE_FAILED;
	memset(everybody.sll_addr, 0xff, ETH_ALEN);
	if (bind(fd, (struct sockaddr *)&everybody, sizeof(everybody)) < 0)
		return health_probe_result(errno, "binding to the TAP for ARP", err);
	struct ether_arp question = health_probe_arp_question(&mac, sender, target);
	if (sendto(fd, &question, sizeof(question), 0, (struct sockaddr *)&everybody, sizeof(everybody)) < 0)
		return health_probe_result(errno, "sending an ARP request", err);
	while (health_probe_wait(fd, POLLIN, deadline)) {
		struct ether_arp arp;
		ssize_t length = recv(fd, &arp, sizeof(arp), 0);

		if (!health_probe_is_arp_answer(&arp, length, target))
			continue;
		memcpy(answer->mac.octets, arp.arp_sha, ETH_ALEN);
		answer->took_us = clock_now_us() - started;
		return PROBE_ANSWERED;
	}
	return PROBE_SILENT;
}

static uint16_t health_probe_checksum(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): the initializer sets the union */
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return htons((uint16_t)~sum);
}

enum probe_result health_probe_ping(int netns_fd, uint32_t target, unsigned timeout_ms, struct probe_answer *answer,
				    struct err *err)
{
	AUTO_FD int fd =
	    base_netns_socket(netns_fd, AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP, err);
	uint64_t started = clock_now_us(), deadline = started + (uint64_t)timeout_ms * 1000;
	struct icmphdr echo = { .type = ICMP_ECHO, .un.echo = { .id = (uint16_t)started, .sequence = htons(1) } };
	struct addr addr = addr_from_ipv4(target, 0);

	if (fd < 0)
		return PROBE_FAILED;
	echo.checksum = health_probe_checksum(&echo, sizeof(echo));
	if (sendto(fd, &echo, sizeof(echo), 0, &addr.any, addr_length(&addr)) < 0)
		return health_probe_result(errno, "sending a ping", err);
	while (health_probe_wait(fd, POLLIN, deadline)) {
		char packet[1500];
		ssize_t length = recv(fd, packet, sizeof(packet), 0);
		struct icmphdr reply;

		if (length < (ssize_t)sizeof(struct iphdr))
			continue;
		size_t header = (size_t)(packet[0] & 0x0f) * 4;
		if ((size_t)length < header + sizeof(reply))
			continue;
		memcpy(&reply, packet + header, sizeof(reply));
		if (reply.type != ICMP_ECHOREPLY || reply.un.echo.id != echo.un.echo.id)
			continue;
		answer->took_us = clock_now_us() - started;
		return PROBE_ANSWERED;
	}
	return PROBE_SILENT;
}

/* ---- TCP ---- */

/* A socket that begins to connect, to be reset when it is closed; -1 with *RESULT and ERR. */
static int health_probe_begin(int netns_fd, uint32_t target, uint16_t port, enum probe_result *result, struct err *err)
{
	AUTO_FD int fd = base_netns_socket(netns_fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, err);
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct addr addr = addr_from_ipv4(target, port);

	*result = PROBE_FAILED;
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0) {
		*result = health_probe_result(errno, "SO_LINGER", err);
		return -1;
	}
	if (connect(fd, &addr.any, addr_length(&addr)) < 0 && errno != EINPROGRESS) {
		*result = health_probe_result(errno, "connecting", err);
		return -1;
	}
	return steal_fd(&fd);
}

/* The outcome on a socket of health_probe_begin() that poll() finds writable. */
static enum probe_result health_probe_conclude(int fd, struct err *err)
{
	int code = 0;
	socklen_t length = sizeof(code);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		code = errno;
	return code ? health_probe_result(code, "connecting", err) : PROBE_ANSWERED;
}

/* A connected socket in *CONNECTED, which the caller closes; -1 unless ANSWERED. */
static enum probe_result health_probe_connect(int netns_fd, uint32_t target, uint16_t port, uint64_t deadline_us,
					      int *connected, struct err *err)
{
	enum probe_result result;
	AUTO_FD int fd = health_probe_begin(netns_fd, target, port, &result, err);

	*connected = -1;
	if (fd < 0)
		return result;
	if (!health_probe_wait(fd, POLLOUT, deadline_us))
		return PROBE_SILENT;
	result = health_probe_conclude(fd, err);
	if (result == PROBE_ANSWERED)
		*connected = steal_fd(&fd);
	return result;
}

/* Begins DIAL, which is silent from then on, or has the outcome of one that could not be begun. */
static void health_probe_begin_dial(int netns_fd, uint32_t target, struct probe_dial *dial)
{
	struct probe_port *probe = &dial->probe;
	struct addr local = { 0 };
	socklen_t length = sizeof(local);

	dial->fd = health_probe_begin(netns_fd, target, probe->port, &probe->result, &probe->err);
	if (dial->fd < 0)
		return;
	probe->result = PROBE_SILENT;
	if (getsockname(dial->fd, &local.any, &length) < 0) {
		probe->result = health_probe_result(errno, "the address of a socket", &probe->err);
		cleanup_fd(&dial->fd);
		return;
	}
	dial->source = ntohl(local.in.sin_addr.s_addr);
	dial->source_port = addr_port(&local);
}

/* Takes the outcomes that are there; their polls become -1. KEEP: the sockets stay open. Returns how many are still awaited. */
static size_t health_probe_take_outcomes(struct pollfd *polls, struct probe_dial *dials, size_t count, uint64_t started,
					 bool keep)
{
	size_t open = 0;

	for (size_t i = 0; i < count; i++) {
		if (polls[i].fd >= 0 && polls[i].revents) {
			dials[i].probe.result = health_probe_conclude(polls[i].fd, &dials[i].probe.err);
			dials[i].probe.took_us = clock_now_us() - started;
			polls[i].fd = -1;
			if (!keep)
				cleanup_fd(&dials[i].fd);
		}
		open += polls[i].fd >= 0;
	}
	return open;
}

static void health_probe_round(int netns_fd, uint32_t target, struct probe_dial *dials, size_t count,
			       unsigned timeout_ms, bool keep)
{
	struct pollfd polls[PROBES_AT_ONCE];
	uint64_t started = clock_now_us(), deadline = started + (uint64_t)timeout_ms * 1000, now;
	size_t open = 0;

	for (size_t i = 0; i < count; i++) {
		health_probe_begin_dial(netns_fd, target, &dials[i]);
		polls[i] = (struct pollfd){ .fd = dials[i].fd, .events = POLLOUT };
		open += dials[i].fd >= 0;
	}
	while (open && (now = clock_now_us()) < deadline) {
		int ready = poll(polls, count, (int)((deadline - now) / 1000 + 1));

		if (ready < 0 && errno != EINTR)
			break;
		if (ready > 0)
			open = health_probe_take_outcomes(polls, dials, count, started, keep);
	}
}

void health_probe_dial(int netns_fd, uint32_t target, struct probe_dial *dials, size_t count, unsigned timeout_ms)
{
	health_probe_round(netns_fd, target, dials, count, timeout_ms, true);
}

void health_probe_ports(int netns_fd, uint32_t target, struct probe_port *ports, size_t count, unsigned timeout_ms)
{
	for (size_t done = 0; done < count; done += PROBES_AT_ONCE) {
		size_t round = count - done < PROBES_AT_ONCE ? count - done : PROBES_AT_ONCE;
		struct probe_dial dials[PROBES_AT_ONCE];

		for (size_t i = 0; i < round; i++)
			dials[i] = (struct probe_dial){ .probe = ports[done + i], .fd = -1 };
		health_probe_round(netns_fd, target, dials, round, timeout_ms, false);
		for (size_t i = 0; i < round; i++) {
			ports[done + i] = dials[i].probe;
			cleanup_fd(&dials[i].fd);
		}
	}
}

/* ---- a datagram ---- */

int health_probe_datagram(int netns_fd, uint32_t source, uint32_t target, uint16_t port, uint16_t *source_port,
			  struct err *err)
{
	AUTO_FD int fd = base_netns_socket(netns_fd, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, err);
	struct addr from = addr_from_ipv4(source, 0), to = addr_from_ipv4(target, port);
	socklen_t length = sizeof(from);
	int on = 1;

	*source_port = 0;
	if (fd < 0)
		return -1;
	/* Lets a socket send in the name of an address that is forwarded here. */
	if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof(on)) < 0)
		return err_set(err, errno, "IP_TRANSPARENT");
	if (bind(fd, &from.any, addr_length(&from)) < 0 || getsockname(fd, &from.any, &length) < 0)
		return err_set(err, errno, "binding to the guest's address");
	*source_port = addr_port(&from);
	if (sendto(fd, "", 0, MSG_NOSIGNAL, &to.any, addr_length(&to)) < 0)
		return err_set(err, errno, "sending a datagram");
	return 0;
}

/* ---- HTTP ---- */

enum probe_result health_probe_http(int netns_fd, uint32_t target, uint16_t port, const char *path, unsigned timeout_ms,
				    struct probe_answer *answer, struct err *err)
{
	uint64_t started = clock_now_us(), deadline = started + (uint64_t)timeout_ms * 1000;
	char text[512];
	size_t used = 0;
	AUTO_FD int fd = -1;
	enum probe_result result = health_probe_connect(netns_fd, target, port, deadline, &fd, err);

	if (result != PROBE_ANSWERED)
		return result;
	int length =
	    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
		return health_probe_result(errno, "sending a request", err);
	while (used < sizeof(text) - 1 && health_probe_wait(fd, POLLIN, deadline)) {
		ssize_t got = recv(fd, text + used, sizeof(text) - 1 - used, 0);

		if (got == 0) {
			err_set(err, 0, "closed without an answer");
			return PROBE_FAILED;
		}
		if (got < 0)
			return health_probe_result(errno, "reading the answer", err);
		used += (size_t)got;
		text[used] = '\0';
		if (!strchr(text, '\n'))
			continue;
		answer->took_us = clock_now_us() - started;
		if (sscanf(text, "HTTP/1.%*1d %3d", &answer->http_status) == 1)
			return PROBE_ANSWERED;
		err_set(err, 0, "the answer is not HTTP");
		return PROBE_FAILED;
	}
	return PROBE_SILENT;
}
