/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_INSPECT_H
#define WEFT_INSPECT_INSPECT_H

/*
 * The kernel's links, addresses, routes and policy rules of IPv4 in the namespace of the calling thread, ours or not, for
 * checks of a host. Reads only; opens a socket for each call and closes it again. Any thread; needs no privileges.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_mistakes;
struct err;

enum { INSPECT_NAME_SIZE = 16, INSPECT_ALIAS_SIZE = 80 };

struct inspect_link {
	unsigned index;
	char name[INSPECT_NAME_SIZE];
	char kind[INSPECT_NAME_SIZE];   /* "veth", "tun", ...; "" for hardware and lo */
	char alias[INSPECT_ALIAS_SIZE]; /* cut to fit; "": none */
	struct mac mac;                 /* zero: none, or of another length */
	bool peer_elsewhere;            /* the other end of a veth is in another namespace */
	uint32_t group;
	bool up;
	bool carrier; /* up, and connected to something */
};

struct inspect_address {
	struct cidr4 cidr;
	unsigned link; /* index */
};

struct inspect_route {
	struct cidr4 destination;
	uint32_t table;
	uint8_t type;  /* RTN_UNICAST, ... */
	unsigned link; /* index; 0: none, or several */
};

struct inspect_rule {
	uint32_t priority;
	uint32_t table;           /* 0: the rule's action is not a lookup */
	struct cidr4 source;      /* length 0: any */
	struct cidr4 destination; /* length 0: any */
	bool inverted;            /* "not" */
	bool selects_more;        /* by mark, link, user, port, ...: addresses alone do not decide whether it applies */
	int suppress_length;      /* routes of at most this length are ignored; -1: none */
};

/* All of them, in a list each. inspect_host_clear() frees; a zeroed struct is empty. */
struct inspect_host {
	struct inspect_link *links;
	size_t link_count;
	struct inspect_address *addresses;
	size_t address_count;
	struct inspect_route *routes;
	size_t route_count;
	struct inspect_rule *rules; /* by priority */
	size_t rule_count;
};

/* 0, or -1 with ERR; HOST is empty then. */
int inspect_host(struct inspect_host *host, struct err *err);
void inspect_host_clear(struct inspect_host *host);

/* The name of the link with INDEX; "?" if there is none. */
const char *inspect_link_name(const struct inspect_host *host, unsigned index);

/*
 * Checks the configuration against the host: ranges against the host's addresses and routes, listening addresses that the host
 * lacks, the uplink. Adds to MISTAKES; a wider route only logs a warning. Any thread; needs no privileges.
 */
void inspect_check_config(const struct config *config, struct config_mistakes *mistakes);

/*
 * Makes one object of each kind that weft needs (veth, TAP with vnet header, tables with fib and ct expressions) in a namespace
 * that exists only during the call. Writes to MISSING what the kernel refused ("veth: Operation not supported; ..."), or "".
 * Returns 0, or -1 with ERR if it cannot try (EPERM).
 */
int inspect_features(char *missing, size_t size, struct err *err);

#endif
