/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_QDISC_H
#define WEFT_KERNEL_QDISC_H

#include "kernel/rtnl.h"

#include <stdint.h>

struct err;

/* How much a link may send. */
struct kern_rate {
	uint64_t rate;  /* bytes a second; 0: no limit */
	uint64_t burst; /* bytes; 0: ten milliseconds' worth of the rate */
};

/*
 * Limits what the link sends (on a TAP: what the guest receives) to RATE by a token bucket; a rate of 0 removes the limit.
 * MTU (bytes): the bucket holds at least one packet. Replaces what is there. 0, or -1 with ERR. The thread of the socket.
 */
int kern_qdisc_limit(struct kern_rtnl *rtnl, int index, const char *name, const struct kern_rate *rate, unsigned mtu,
		     struct err *err);

/*
 * Drops packets that would leave the link as more than BYTES, headers of all their segments counted, and limits nothing else.
 * Replaces what is there. 0, or -1 with ERR: ENOENT where the kernel has no token bucket. The thread of the socket.
 */
int kern_qdisc_guard(struct kern_rtnl *rtnl, int index, const char *name, uint32_t bytes, struct err *err);

#endif
