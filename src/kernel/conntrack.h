/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_CONNTRACK_H
#define WEFT_KERNEL_CONNTRACK_H

/*
 * Tracked flows. Each call opens its socket in the namespace of NETNS_FD (-1: the home namespace) and closes it. 0, or -1
 * with ERR. Any thread.
 */

#include <stdint.h>

struct err;
struct kern_rtnl;

/* Forgets all tracked flows of a namespace. */
int kern_conntrack_flush(int netns_fd, struct err *err);

/* Forgets the home namespace's tracked flows from or to HOST_IP (host order), also those translated to it. */
int kern_conntrack_flush_host(uint32_t host_ip, struct err *err);

/* Tracked flows of the namespace, as the kernel counts them. */
int kern_conntrack_count(int netns_fd, unsigned *count, struct err *err);

/*
 * kern_conntrack_flush_host() where the kernel cannot search for an address: dumps all flows, and deletes those of HOST_IP
 * (host order) one by one. NETFILTER: a socket of NETLINK_NETFILTER. For conntrack.c and its test.
 */
int kern_conntrack_flush_one_by_one(struct kern_rtnl *netfilter, uint32_t host_ip, struct err *err);

#endif
