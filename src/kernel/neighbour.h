/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_NEIGHBOUR_H
#define WEFT_KERNEL_NEIGHBOUR_H

#include "base/addr.h"
#include "kernel/rtnl.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/*
 * A permanent entry of the link's neighbour table: IP (host order) is at MAC. Replaces what is there. 0, or -1 with ERR. The
 * thread of the socket.
 */
int kern_neighbour_ensure(struct kern_rtnl *rtnl, int index, uint32_t ip, const struct mac *mac, struct err *err);

/*
 * Hands the permanent entries of the link's neighbour table to TAKE: IP (host order) is at MAC. 0, or -1 with ERR; EINTR: they changed
 * meanwhile, ask again.
 */
int kern_neighbour_dump(struct kern_rtnl *rtnl, int index,
			void (*take)(void *context, uint32_t ip, const struct mac *mac), void *context,
			struct err *err);

/* Whether the link's neighbour table has that entry, and permanently. 0 and *THERE, or -1 with ERR. */
int kern_neighbour_find(struct kern_rtnl *rtnl, int index, uint32_t ip, const struct mac *mac, bool *there,
			struct err *err);

#endif
