/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_SCAN_H
#define WEFT_FABRIC_SLOT_SCAN_H

/* The objects in the kernel that carry our mark, and those that have our names without it. Any thread. */

#include "base/vec.h"
#include "fabric/fabric.h"
#include "kernel/namespace.h"
#include "kernel/rtnl.h"

struct scan_foreign {
	unsigned slot;
	char why[128];
};

/*
 * A namespace and the number that it has for as long as it exists. To ask for a number costs the kernel a walk over all
 * namespaces.
 */
struct scan_number {
	struct kern_namespace_key key; /* inode 0: not known */
	int nsid;
};

struct scan_found_list {
	VEC_OF(struct fabric_found);
};

struct scan_foreign_list {
	VEC_OF(struct scan_foreign);
};

struct scan {
	struct scan_found_list found;     /* sorted by slot */
	struct scan_foreign_list foreign; /* each slot once */
	struct scan_number *numbers; /* by slot: of the namespace that has the slot's name and its veth; NULL: none */
};

/* Fills a zeroed SCAN, which slot_scan_clear() empties. Removes half-made names of ours. 0 or -1 with ERR. */
int slot_scan_host(struct kern_rtnl *host, const struct config *config, struct scan *scan, struct err *err);
void slot_scan_clear(struct scan *scan);

#endif
