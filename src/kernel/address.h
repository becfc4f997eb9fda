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

/* An address of a link: a prefix with host bits. */
struct kern_address {
	int index; /* of its link */
	struct cidr4 cidr;
};

/*
 * Hands the addresses of the link INDEX (0: of all links) of the socket's namespace to TAKE. 0, or -1 with ERR; EINTR: they changed
 * meanwhile, ask again.
 */
int kern_address_dump(struct kern_rtnl *rtnl, int index,
		      void (*take)(void *context, const struct kern_address *address), void *context, struct err *err);

/* Whether the link has CIDR. 0 and *THERE, or -1 with ERR. */
int kern_address_find(struct kern_rtnl *rtnl, int index, const struct cidr4 *cidr, bool *there, struct err *err);

#endif
