/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_ADDR_H
#define WEFT_BASE_ADDR_H

/*
 * Addresses: socket addresses of both families, IPv4 networks and MACs, with their texts. Pure; any thread.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* An IPv4 or IPv6 address with a port. Compare with addr_equal(), never with memcmp(). */
struct addr {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

/* The address of a socket that may be a unix socket, too. */
union addr_socket {
	struct sockaddr any;
	struct addr addr;
	struct sockaddr_un path;
};

enum { ADDR_TEXT_SIZE = 56 };

/* Reads "127.0.0.1:80" or "[::1]:80" (port 1 to 65535, no names, no zone). 0, or -1: not that. */
int addr_parse(const char *text, struct addr *addr);

/* Reads a port alone, the LENGTH characters at TEXT: 1 to 65535, no zero in front. 0, or -1: not that. */
int addr_port_parse(const char *text, size_t length, uint16_t *port);

/* "127.0.0.1:80", "[::1]:80". Returns TEXT. */
char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);

/* IP: host order. PORT: host order. */
struct addr addr_from_ipv4(uint32_t ip, uint16_t port);

/* ::1 with PORT (host order). */
struct addr addr_loopback6(uint16_t port);

socklen_t addr_length(const struct addr *addr);
uint16_t addr_port(const struct addr *addr); /* host order */
void addr_set_port(struct addr *addr, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b);     /* family, address and port */
bool addr_same_host(const struct addr *a, const struct addr *b); /* family and address */
bool addr_is_loopback(const struct addr *addr);                  /* 127.0.0.0/8 or ::1 */
bool addr_is_wildcard(const struct addr *addr);                  /* 0.0.0.0 or :: */

/*
 * Whether a client could ask at ADDR on some host. It could not at a multicast, broadcast or reserved address, in 0.0.0.0/8, at the
 * first or last address of 127.0.0.0/8, or at an IPv4 address written as IPv6. At a wildcard it could.
 */
bool addr_can_be_asked(const struct addr *addr);

/*
 * Whether a socket on LOCAL keeps WANTED, of the same protocol, from being opened. A socket of IPv6 may hold IPv4 too, unless it is
 * IPv6 only, which /proc/net/tcp6 does not show; one of IPv6 that is WANTED is IPv6 only.
 */
bool addr_is_in_the_way(const struct addr *local, const struct addr *wanted);

/* The IPv4 address of ADDR, in host order, also of one that is written as IPv6. 0, or -1: it has none. */
int addr_to_ipv4(const struct addr *addr, uint32_t *ip);

/* An IPv4 network, or an address with the length of its prefix. */
struct cidr4 {
	uint32_t ip;    /* host order, host bits kept */
	uint8_t length; /* 0 to 32 */
};

enum { CIDR4_TEXT_SIZE = 20, IPV4_TEXT_SIZE = 16 };

/* Reads "10.11.0.0/16"; without a slash the length is 32. Host bits are kept. 0, or -1. */
int addr_cidr4_parse(const char *text, struct cidr4 *cidr);
char *addr_cidr4_format(const struct cidr4 *cidr, char text[static CIDR4_TEXT_SIZE]);
uint32_t addr_cidr4_mask(const struct cidr4 *cidr);                  /* host order */
uint32_t addr_cidr4_first(const struct cidr4 *cidr);                 /* network address, host order */
uint32_t addr_cidr4_last(const struct cidr4 *cidr);                  /* highest address, host order */
bool addr_cidr4_equal(const struct cidr4 *a, const struct cidr4 *b); /* host bits count */
bool addr_cidr4_contains(const struct cidr4 *cidr, uint32_t ip);
bool addr_cidr4_overlaps(const struct cidr4 *a, const struct cidr4 *b);

/* IP in host order, dotted. Returns TEXT. */
char *addr_ipv4_format(uint32_t ip, char text[static IPV4_TEXT_SIZE]);
int addr_ipv4_parse(const char *text, uint32_t *ip); /* host order; 0 or -1 */

struct mac {
	uint8_t octets[6];
};

enum { MAC_TEXT_SIZE = 18 };

int addr_mac_parse(const char *text, struct mac *mac); /* "02:FC:00:00:00:05", either case; 0 or -1 */
char *addr_mac_format(const struct mac *mac, char text[static MAC_TEXT_SIZE]); /* upper case */
bool addr_mac_equal(const struct mac *a, const struct mac *b);

enum proto {
	PROTO_TCP, /* IPPROTO_TCP */
	PROTO_UDP, /* IPPROTO_UDP */
};

const char *addr_proto_name(enum proto proto); /* "tcp", "udp" */

#endif
