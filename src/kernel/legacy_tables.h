/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_LEGACY_TABLES_H
#define WEFT_KERNEL_LEGACY_TABLES_H

#include <stddef.h>

struct err;

/*
 * The first table that iptables-legacy, ip6tables-legacy or arptables-legacy has made in the namespace of NETNS_FD, such as "iptables
 * filter", into NAME; "" if there is none. Those of iptables-nft are tables of nftables. Any thread. 0, or -1 with ERR.
 */
int kern_legacy_tables_find(int netns_fd, char *name, size_t size, struct err *err);

#endif
