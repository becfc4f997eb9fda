/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_SOCK_LIST_H
#define WEFT_KERNEL_SOCK_LIST_H

/*
 * Sockets of the home namespace by where they are connected to, from one dump for each family, in which the kernel leaves out most
 * others. Clients of 10.11.0.7 by an IPv6 socket (::ffff:10.11.0.7) are among them. Any thread.
 */

#include "base/addr.h"

#include <linux/inet_diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct kern_sock_filter {
	const uint32_t *dest_ips; /* host order; those of one destination at least */
	size_t dest_count;
	uint16_t dest_port; /* host order; 0: any */
	/* A map of kern_loopback_origins(), the caller's to keep open meanwhile; 0 or less: what a socket had asked for is not told. */
	int origins;
	/* Only those that had asked for it, which takes ORIGINS; NULL: all. */
	const struct addr *asked;
	/*
	 * Of UDP: sockets that are connected, and so stay with their destination whatever becomes of it. What they had asked for the kernel
	 * does not tell.
	 */
	enum proto proto;
	/*
	 * CLOCK_MONOTONIC, for each of DEST_IPS: those that were led there at that time or later are left out, which takes ORIGINS. NULL: all.
	 * LED_ONLY: so are those that were not led.
	 */
	const uint64_t *led_before_ns;
	bool led_only;
};

struct kern_sock {
	uint32_t dest_ip; /* host order */
	uint16_t dest_port;
	struct addr local; /* what the network sees; IPv4 */
	bool led;          /* it asked for ASKED, and was led here */
	struct addr asked; /* the loopback address, as the client wrote it but for a mapped one, which is IPv4 here */
	bool connecting;   /* not connected yet */
	bool closing;      /* one side has ended, or both */
	bool has_counts;   /* the kernel told what follows */
	uint64_t sent;     /* bytes that the destination has acknowledged */
	uint64_t received; /* bytes of the destination */
	uint64_t since_ns; /* CLOCK_MONOTONIC of connect(); 0: unknown (not led) */
	uint32_t uid;
	struct inet_diag_msg identity; /* as the kernel told it */
};

/*
 * Calls FOUND for each socket that FILTER lets pass, but none that listens or is long gone (TIME-WAIT). FOUND must not ask for other
 * lists. 0, or -1 with ERR; FOUND may have been called for some by then.
 */
int kern_sock_list_to(const struct kern_sock_filter *filter, void (*found)(void *context, const struct kern_sock *sock),
		      void *context, struct err *err);

#endif
