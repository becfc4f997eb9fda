/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_CLEAN_H
#define WEFT_FABRIC_SLOT_CLEAN_H

#include "fabric/slot/drift.h"
#include "fabric/slot/work.h"

/*
 * Whether the namespace of an existing slot, in WORK->netns_fd and WORK->inside, holds nothing beside what the list and fabric/rules/
 * have: links, addresses, routes, permanent neighbours, policy rules, IPsec, queue disciplines, tables of nftables and of iptables-legacy, settings. 0, or -1 with
 * ERR, which names the first foreign thing (code 0) or what could not be looked at. The builder's thread.
 */
int slot_clean_check(struct slot_work *work, struct err *err);

/*
 * The same of a slot in use, but for settings: names the first thing that is foreign in FOREIGN, "" for none. 0, or -1 with ERR. The
 * thread of WORK's sockets.
 */
int slot_clean_find(struct slot_work *work, char foreign[static SLOT_FOREIGN_SIZE], struct err *err);

#endif
