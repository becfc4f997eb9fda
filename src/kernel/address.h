/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_ADDRESS_H
#define WEFT_KERNEL_ADDRESS_H

/* IPv4 addresses of links. Each call belongs to the thread of its socket. */

#include "base/addr.h"
#include "kernel/rtnl.h"

#include <stdbool.h>

struct err;

/* Adds CIDR (host order) to the link; *ADDED (may be NULL) is false where it was there already. 0, or -1 with ERR. */
int kern_address_ensure(struct kern_rtnl *rtnl, int index, const struct cidr4 *cidr, bool *added, struct err *err);

#endif
