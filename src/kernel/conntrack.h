/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_CONNTRACK_H
#define WEFT_KERNEL_CONNTRACK_H

/*
 * Tracked flows. Each call opens its socket in the namespace of NETNS_FD (-1: the home namespace) and closes it. 0, or -1
 * with ERR. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct err;
struct kern_rtnl;

/* Forgets all tracked flows of a namespace. */
int kern_conntrack_flush(int netns_fd, struct err *err);

/* Forgets the home namespace's tracked flows from or to HOST_IP (host order), also those translated to it. */
int kern_conntrack_flush_host(uint32_t host_ip, struct err *err);

/* One direction of a flow, in host order; 0: none, as the port of a protocol without ports. */
struct kern_conntrack_way {
	uint32_t source, destination;
	uint8_t protocol;     /* IPPROTO_* */
	uint16_t port;        /* of the destination */
	uint16_t source_port; /* of the source */
};

struct kern_conntrack_flow {
	struct kern_conntrack_way original;
	struct kern_conntrack_way reply; /* as the answers come, before they are translated back */
	bool answered;                   /* a packet came back */
	bool translated;                 /* an address or a port of it is */
	uint32_t mark;                   /* 0: it has none */
};

enum kern_conntrack_care {
	KERN_CONNTRACK_KEEP,
	KERN_CONNTRACK_FORGET,
	/*
	 * Of TCP: from now on its packets count as the flow's, whatever their sequence numbers are. (IP_CT_TCP_FLAG_BE_LIBERAL, which
	 * the kernel itself sets for a flow that it meets amid.)
	 */
	KERN_CONNTRACK_RELAX,
};

typedef enum kern_conntrack_care kern_conntrack_judge(const struct kern_conntrack_flow *flow, void *context);

/* Does with each tracked IPv4 flow as JUDGE says. Reads all flows of the namespace. */
int kern_conntrack_review(int netns_fd, kern_conntrack_judge *judge, void *context, struct err *err);

/*
 * Finds the IPv4 flow whose first packet went WAY, all of whose fields count. *FOUND: there is one that is confirmed, which means
 * that a packet of it passed all hooks of the namespace. The kernel's error is kept in ERR's code: EINVAL where it cannot be asked.
 */
int kern_conntrack_find(int netns_fd, const struct kern_conntrack_way *way, struct kern_conntrack_flow *flow,
			bool *found, struct err *err);

/* The same of the flow whose answers come as REPLY: for one of whose first packet only the translated form is known. */
int kern_conntrack_find_reply(int netns_fd, const struct kern_conntrack_way *reply, struct kern_conntrack_flow *flow,
			      bool *found, struct err *err);

/* Tracked flows of the namespace, as the kernel counts them. */
int kern_conntrack_count(int netns_fd, unsigned *count, struct err *err);

/*
 * kern_conntrack_flush_host() where the kernel cannot search for an address: dumps all flows, and deletes those of HOST_IP
 * (host order) one by one. NETFILTER: a socket of NETLINK_NETFILTER. For conntrack.c and its test.
 */
int kern_conntrack_flush_one_by_one(struct kern_rtnl *netfilter, uint32_t host_ip, struct err *err);

#endif
