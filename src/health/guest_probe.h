/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_GUEST_PROBE_H
#define WEFT_HEALTH_GUEST_PROBE_H

/*
 * Probes of a guest from inside its sandbox's namespace, each with a deadline. They block, so they need a thread of their own.
 * Addresses and ports in host order; NETNS_FD as in base/netns.h.
 */

#include "base/addr.h"

#include <stdint.h>

struct err;

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

/* A TCP connection, reset as soon as it is established. */
enum probe_result health_probe_tcp(int netns_fd, uint32_t target, uint16_t port, unsigned timeout_ms,
				   struct probe_answer *answer, struct err *err);

/* GET PATH; ANSWERED once a status line came. */
enum probe_result health_probe_http(int netns_fd, uint32_t target, uint16_t port, const char *path, unsigned timeout_ms,
				    struct probe_answer *answer, struct err *err);

#endif
