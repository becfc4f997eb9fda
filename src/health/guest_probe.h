/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_GUEST_PROBE_H
#define WEFT_HEALTH_GUEST_PROBE_H

/*
 * Probes of a guest from inside its sandbox's namespace, or from the host (NETNS_FD -1), each with a deadline. They block, so they need a thread of their own.
 * Addresses and ports in host order; NETNS_FD as in base/netns.h.
 */

#include "base/addr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum probe_result {
	PROBE_ANSWERED,
	PROBE_REFUSED,     /* a reset, or an ICMP message that says no */
	PROBE_SILENT,      /* no answer within the deadline */
	PROBE_UNREACHABLE, /* by the namespace's own routes or links, see ERR */
	PROBE_FAILED,      /* the probe could not be sent, see ERR */
};

struct probe_answer {
	uint64_t took_us;
	struct mac mac;  /* health_probe_arp(): of the answer */
	int http_status; /* health_probe_http() */
};

/* Asks by ARP (RFC 826) for TARGET, on the link LINK, from SENDER with the link's own MAC. */
enum probe_result health_probe_arp(int netns_fd, const char *link, uint32_t sender, uint32_t target,
				   unsigned timeout_ms, struct probe_answer *answer, struct err *err);

/* An ICMP echo request (RFC 792). A guest may be silent on purpose. */
enum probe_result health_probe_ping(int netns_fd, uint32_t target, unsigned timeout_ms, struct probe_answer *answer,
				    struct err *err);

/* A port and, after the call, the outcome there. */
struct probe_port {
	uint16_t port;
	enum probe_result result;
	uint64_t took_us;
	struct err err;
};

/* TCP connections to COUNT ports of TARGET, some at once, each reset as soon as it is established. */
void health_probe_ports(int netns_fd, uint32_t target, struct probe_port *ports, size_t count, unsigned timeout_ms);

enum { PROBES_AT_ONCE = 16 };

/* A connection that stays until its descriptor is closed; that resets it. */
struct probe_dial {
	struct probe_port probe; /* the caller sets its port */
	int fd;                  /* -1: it could not be begun */
	uint32_t source;
	uint16_t source_port;
};

/*
 * TCP connections to COUNT ports of TARGET, PROBES_AT_ONCE at most; waits for their outcomes. The caller closes the descriptor of
 * each, whatever the outcome.
 */
void health_probe_dial(int netns_fd, uint32_t target, struct probe_dial *dials, size_t count, unsigned timeout_ms);

/*
 * Sends an empty datagram in the name of SOURCE, an address that is not the namespace's own, and waits for no answer, which is SOURCE's.
 * *SOURCE_PORT: from which; 0: it was not even tried. 0, or -1 with ERR: EPERM if a rule of the namespace dropped it.
 */
int health_probe_datagram(int netns_fd, uint32_t source, uint32_t target, uint16_t port, uint16_t *source_port,
			  struct err *err);

/* GET PATH; ANSWERED once a status line came. */
enum probe_result health_probe_http(int netns_fd, uint32_t target, uint16_t port, const char *path, unsigned timeout_ms,
				    struct probe_answer *answer, struct err *err);

#endif
