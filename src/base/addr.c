/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts are read strictly: an address with anything behind it is none. inet_pton() does the work; it takes neither names nor the
 * old octal and short forms.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int addr_parse_number(const char *text, unsigned max, unsigned *number)
{
	char *end;

	if (*text < '0' || *text > '9' || strlen(text) > 9)
		return -1;
	if (*text == '0' && text[1]) /* "080" is written by nobody who means 80 */
		return -1;
	*number = (unsigned)strtoul(text, &end, 10);
	return *end || *number > max ? -1 : 0;
}

/* Splits "HOST:PORT" or "[HOST]:PORT" at the port; HOST has room for any address. */
static int addr_split_port(const char *text, char host[static INET6_ADDRSTRLEN], bool *bracketed, unsigned *port)
{
	const char *start = text, *end;

	*bracketed = *text == '[';
	if (*bracketed) {
		start = text + 1;
		end = strstr(start, "]:");
	} else {
		end = strchr(start, ':');
	}
	if (!end || end - start >= INET6_ADDRSTRLEN)
		return -1;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	return addr_parse_number(end + (*bracketed ? 2 : 1), 65535, port);
}

int addr_port_parse(const char *text, size_t length, uint16_t *port)
{
	char digits[sizeof("65535")];
	unsigned number;

	if (length >= sizeof(digits) || memchr(text, '\0', length))
		return -1;
	memcpy(digits, text, length);
	digits[length] = '\0';
	if (addr_parse_number(digits, 65535, &number) < 0 || number == 0)
		return -1;
	*port = (uint16_t)number;
	return 0;
}

int addr_parse(const char *text, struct addr *addr)
{
	char host[INET6_ADDRSTRLEN];
	bool bracketed;
	unsigned port;

	memset(addr, 0, sizeof(*addr));
	if (addr_split_port(text, host, &bracketed, &port) < 0 || port == 0)
		return -1;
	if (bracketed) {
		addr->in6.sin6_family = AF_INET6;
		if (inet_pton(AF_INET6, host, &addr->in6.sin6_addr) != 1)
			return -1;
	} else {
		addr->in.sin_family = AF_INET;
		if (inet_pton(AF_INET, host, &addr->in.sin_addr) != 1)
			return -1;
	}
	addr_set_port(addr, (uint16_t)port);
	return 0;
}

char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (addr->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT_SIZE, "[%s]:%u", host, addr_port(addr));
	} else {
		inet_ntop(AF_INET, &addr->in.sin_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT_SIZE, "%s:%u", host, addr_port(addr));
	}
	return text;
}

struct addr addr_from_ipv4(uint32_t ip, uint16_t port)
{
	struct addr addr;

	memset(&addr, 0, sizeof(addr));
	addr.in.sin_family = AF_INET;
	addr.in.sin_addr.s_addr = htonl(ip);
	addr.in.sin_port = htons(port);
	return addr;
}

struct addr addr_loopback6(uint16_t port)
{
	struct addr addr;

	memset(&addr, 0, sizeof(addr));
	addr.in6.sin6_family = AF_INET6;
	addr.in6.sin6_addr = in6addr_loopback;
	addr.in6.sin6_port = htons(port);
	return addr;
}

socklen_t addr_length(const struct addr *addr)
{
	return addr->any.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

uint16_t addr_port(const struct addr *addr)
{
	return ntohs(addr->any.sa_family == AF_INET6 ? addr->in6.sin6_port : addr->in.sin_port);
}

void addr_set_port(struct addr *addr, uint16_t port)
{
	if (addr->any.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
	else
		addr->in.sin_port = htons(port);
}

bool addr_same_host(const struct addr *a, const struct addr *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET6)
		return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

int addr_to_ipv4(const struct addr *addr, uint32_t *ip)
{
	const struct in6_addr *in6 = &addr->in6.sin6_addr;

	if (addr->any.sa_family == AF_INET)
		*ip = ntohl(addr->in.sin_addr.s_addr);
	else if (addr->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6))
		*ip = ntohl(in6->s6_addr32[3]);
	else
		return -1;
	return 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_same_host(a, b) && addr_port(a) == addr_port(b);
}

bool addr_is_loopback(const struct addr *addr)
{
	if (addr->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
	return ntohl(addr->in.sin_addr.s_addr) >> 24 == 127;
}

bool addr_is_wildcard(const struct addr *addr)
{
	if (addr->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
	return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool addr_can_be_asked(const struct addr *addr)
{
	if (addr_is_wildcard(addr))
		return true;
	if (addr->any.sa_family == AF_INET6)
		return !IN6_IS_ADDR_MULTICAST(&addr->in6.sin6_addr) && !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);

	uint32_t ip = ntohl(addr->in.sin_addr.s_addr);

	return ip >> 24 && ip < 0xe0000000 && ip != 0x7f000000 && ip != 0x7fffffff;
}

bool addr_is_in_the_way(const struct addr *local, const struct addr *wanted)
{
	struct addr held = *local;

	if (addr_port(local) != addr_port(wanted))
		return false;
	if (local->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&local->in6.sin6_addr))
		held = addr_from_ipv4(ntohl(local->in6.sin6_addr.s6_addr32[3]), addr_port(local));
	if (held.any.sa_family == wanted->any.sa_family)
		return addr_is_wildcard(&held) || addr_is_wildcard(wanted) || addr_same_host(&held, wanted);
	return held.any.sa_family == AF_INET6 && addr_is_wildcard(&held);
}

int addr_ipv4_parse(const char *text, uint32_t *ip)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return -1;
	*ip = ntohl(in.s_addr);
	return 0;
}

char *addr_ipv4_format(uint32_t ip, char text[static IPV4_TEXT_SIZE])
{
	snprintf(text, IPV4_TEXT_SIZE, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 0xff, ip >> 8 & 0xff, ip & 0xff);
	return text;
}

int addr_cidr4_parse(const char *text, struct cidr4 *cidr)
{
	const char *slash = strchr(text, '/');
	size_t host_length = slash ? (size_t)(slash - text) : strlen(text);
	char host[INET_ADDRSTRLEN];
	unsigned length = 32;

	if (host_length >= sizeof(host))
		return -1;
	memcpy(host, text, host_length);
	host[host_length] = '\0';
	if (slash && addr_parse_number(slash + 1, 32, &length) < 0)
		return -1;
	if (addr_ipv4_parse(host, &cidr->ip) < 0)
		return -1;
	cidr->length = (uint8_t)length;
	return 0;
}

char *addr_cidr4_format(const struct cidr4 *cidr, char text[static CIDR4_TEXT_SIZE])
{
	char ip[IPV4_TEXT_SIZE];

	snprintf(text, CIDR4_TEXT_SIZE, "%s/%u", addr_ipv4_format(cidr->ip, ip), cidr->length);
	return text;
}

uint32_t addr_cidr4_mask(const struct cidr4 *cidr)
{
	return cidr->length ? UINT32_MAX << (32 - cidr->length) : 0;
}

uint32_t addr_cidr4_first(const struct cidr4 *cidr)
{
	return cidr->ip & addr_cidr4_mask(cidr);
}

uint32_t addr_cidr4_last(const struct cidr4 *cidr)
{
	return cidr->ip | ~addr_cidr4_mask(cidr);
}

bool addr_cidr4_equal(const struct cidr4 *a, const struct cidr4 *b)
{
	return a->ip == b->ip && a->length == b->length;
}

bool addr_cidr4_contains(const struct cidr4 *cidr, uint32_t ip)
{
	return (ip & addr_cidr4_mask(cidr)) == addr_cidr4_first(cidr);
}

bool addr_cidr4_overlaps(const struct cidr4 *a, const struct cidr4 *b)
{
	return addr_cidr4_first(a) <= addr_cidr4_last(b) && addr_cidr4_first(b) <= addr_cidr4_last(a);
}

static int addr_mac_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20; /* lower case */
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int addr_mac_parse(const char *text, struct mac *mac)
{
	struct mac read;

	if (strlen(text) != MAC_TEXT_SIZE - 1)
		return -1;
	for (int i = 0; i < 6; i++, text += 3) {
		int high = addr_mac_hex_digit(text[0]), low = addr_mac_hex_digit(text[1]);

		if (high < 0 || low < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return -1;
		read.octets[i] = (uint8_t)(high << 4 | low);
	}
	*mac = read;
	return 0;
}

char *addr_mac_format(const struct mac *mac, char text[static MAC_TEXT_SIZE])
{
	const uint8_t *o = mac->octets;

	snprintf(text, MAC_TEXT_SIZE, "%02X:%02X:%02X:%02X:%02X:%02X", o[0], o[1], o[2], o[3], o[4], o[5]);
	return text;
}

bool addr_mac_equal(const struct mac *a, const struct mac *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

const char *addr_proto_name(enum proto proto)
{
	switch (proto) {
	case PROTO_TCP:
		return "tcp";
	case PROTO_UDP:
		return "udp";
	}
	return "unknown";
}
