/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_QDISC_H
#define WEFT_KERNEL_QDISC_H

#include "kernel/rtnl.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/* How much a link may send. */
struct kern_rate {
	uint64_t rate;  /* bytes a second; 0: no limit */
	uint64_t burst; /* bytes; 0: ten milliseconds' worth of the rate */
	uint32_t queue; /* bytes that wait, and none beyond; 0: fifty milliseconds' worth and the burst */
};

/*
 * Limits what the link sends (on a TAP: what the guest receives) to RATE by a token bucket; a rate of 0 removes the limit.
 * MTU (bytes): the bucket holds at least one packet. Replaces what is there. 0, or -1 with ERR. The thread of the socket.
 */
int kern_qdisc_limit(struct kern_rtnl *rtnl, int index, const char *name, const struct kern_rate *rate, unsigned mtu,
		     struct err *err);

/*
 * Whether the link has exactly the limit that kern_qdisc_limit() makes of the same arguments, which have a rate. 0 and *SAME, or -1
 * with ERR.
 */
int kern_qdisc_is_limit(struct kern_rtnl *rtnl, int index, const char *name, const struct kern_rate *rate, unsigned mtu,
			bool *same, struct err *err);

/* Whether somebody gave the link an `ingress` or `clsact`, of which we make none. 0 and *FOUND, or -1 with ERR. */
int kern_qdisc_find_ingress(struct kern_rtnl *rtnl, int index, const char *name, bool *found, struct err *err);

#endif
