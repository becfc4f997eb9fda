/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_QDISC_H
#define WEFT_KERNEL_QDISC_H

#include "kernel/rtnl.h"
#include "registry/spec.h"

struct err;

/*
 * Limits what the link sends (on a TAP: what the guest receives) to RATE by a token bucket; a rate of 0 removes the limit.
 * MTU (bytes): the bucket holds at least one packet. Replaces what is there. The thread of the socket.
 */
int qdisc_limit(struct rtnl *rtnl, int index, const char *name, const struct rate *rate, unsigned mtu, struct err *err);

#endif
