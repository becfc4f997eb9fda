/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_SOCK_LIST_H
#define WEFT_KERNEL_SOCK_LIST_H

/*
 * Lists the sockets of the home namespace that are connected to given addresses. One dump for each family finds them; the kernel itself
 * leaves out most other sockets. IPv6 sockets that are connected to such an address (::ffff:10.11.0.7) are listed too. Any thread.
 */

#include "base/addr.h"

#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct kern_sock;

struct kern_sock_filter {
	const uint32_t *dest_ips; /* host order; at least one */
	size_t dest_count;
	uint16_t dest_port; /* host order; 0: any */
	/* The map of kern_loopback_origins(), which the caller keeps open; 0 or less: kern_sock.asked stays unknown. */
	int origins;
	/* Only sockets that had asked for this address, which needs ORIGINS; NULL: all. UNTOLD: also those of which it is unknown. */
	const struct addr *asked;
	bool untold;
	/* Of UDP only connected sockets are found, and the kernel does not tell what these had asked for. */
	enum proto proto;
	/*
	 * For each of DEST_IPS a time of CLOCK_MONOTONIC: sockets that were led there at that time or later are left out, which needs ORIGINS.
	 * NULL: none is. LED_ONLY: sockets that were not led are left out, too.
	 */
	const uint64_t *led_before_ns;
	bool led_only;
	bool connected_only; /* TCP alone: not those that are only being connected */
	/* NULL, or leaves out the sockets for which it says so. */
	bool (*spare)(const void *context, const struct kern_sock *sock);
	const void *spare_context;
};

struct kern_sock {
	uint32_t dest_ip; /* host order */
	uint16_t dest_port;
	struct addr local; /* what the network sees; IPv4 */
	bool led;          /* it asked for ASKED, and was led here */
	struct addr asked; /* the loopback address that the client asked for; ::ffff:127.0.0.1 is 127.0.0.1 here */
	bool connecting;   /* not connected yet */
	bool closing;      /* one side has ended, or both */
	bool has_counts;   /* SENT and RECEIVED are known */
	uint64_t sent;     /* bytes that the destination has acknowledged */
	uint64_t received; /* bytes of the destination */
	uint64_t since_ns; /* CLOCK_MONOTONIC of connect(); 0: unknown (not led) */
	uint32_t uid;
	struct inet_diag_msg identity; /* by which the kernel knows it */
};

/*
 * Calls FOUND for each socket that fits FILTER; one that listens, or is in TIME-WAIT, never does. FOUND must not call this function. 0, or
 * -1 with ERR, when FOUND may have been called for some sockets.
 */
int kern_sock_list_to(const struct kern_sock_filter *filter, void (*found)(void *context, const struct kern_sock *sock),
		      void *context, struct err *err);

#endif
