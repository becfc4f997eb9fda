/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_REFUSAL_H
#define WEFT_KERNEL_REFUSAL_H

/* Who refuses packets: `blackhole`, `unreachable` and `prohibit`, as routes or as policy rules. The thread of the socket. */

#include "kernel/rtnl.h"

#include <stdint.h>

struct err;
struct kern_route_rival;

/*
 * Names in *RIVAL what refuses packets to IP (host order): a policy rule, or the entry of a table that one leads to. All zero if that
 * cannot be seen. 0, or -1 with ERR.
 */
int kern_refusal_find(struct kern_rtnl *rtnl, uint32_t ip, struct kern_route_rival *rival, struct err *err);

#endif
