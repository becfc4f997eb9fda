/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_LINK_H
#define WEFT_KERNEL_LINK_H

/* Makes, reads, changes and deletes links, by RTNETLINK. Each call belongs to the thread of its socket. */

#include "base/addr.h"
#include "kernel/rtnl.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* In place of a namespace's number: the namespace of the socket itself. */
enum { KERN_LINK_HERE = -1 };

/* The alias of a veth of ours, for people, is this and the sandbox. */
#define KERN_LINK_ALIAS_PREFIX "weft:"

enum { KERN_LINK_NAME_SIZE = 16, KERN_LINK_ALIAS_SIZE = 256 }; /* with their NUL: IFNAMSIZ, IFALIASZ */

/* One link, as the kernel reports it. */
struct kern_link {
	int index;
	char name[KERN_LINK_NAME_SIZE];
	char kind[16]; /* "veth", "tun", "" */
	char alias[KERN_LINK_ALIAS_SIZE];
	uint32_t group;
	unsigned flags;         /* IFF_* */
	unsigned mtu;           /* bytes */
	bool carrier;           /* IFLA_CARRIER */
	uint32_t carrier_downs; /* how often the carrier was lost so far */
	struct mac mac;
	bool has_peer_nsid;
	int peer_nsid; /* IFLA_LINK_NETNSID: where the veth's other end lives */
	int peer_index;
	int master;      /* the number of the bridge or bond that it belongs to; 0: none */
	bool xdp;        /* a program looks at its packets before all else */
	bool forwarding; /* of IPv4 */
	bool redirects;  /* it sends or believes IPv4 redirects */
	bool ipv6;       /* it has IPv6 */
	char qdisc[16];  /* the root's kind */
	bool tap;        /* a TAP, not a TUN */
	uid_t owner;     /* of a TAP; (uid_t)-1: none */
	gid_t owner_group;
};

/*
 * Reads one RTM_NEWLINK or RTM_DELLINK message. -1: it is malformed, or not about a link as such: one that leaves a bridge is said to be
 * deleted, as a port.
 */
int kern_link_parse(const struct nlmsghdr *header, struct kern_link *info);

/*
 * Looks NAME up in the namespace that NSID stands for (KERN_LINK_HERE: the socket's own). 0, or -1 with ERR: ENODEV where
 * there is no such link; where the NSID is gone, EINVAL.
 */
int kern_link_get(struct kern_rtnl *rtnl, int nsid, const char *name, struct kern_link *info, struct err *err);
int kern_link_get_index(struct kern_rtnl *rtnl, int index, struct kern_link *info, struct err *err);

/* All links of the socket's namespace, each handed to TAKE. */
int kern_link_dump(struct kern_rtnl *rtnl, void (*take)(void *context, const struct kern_link *info), void *context,
		   struct err *err);

/*
 * A veth pair made in place: this end here, PEER in the namespace of PEER_FD, each with its final name. ENAMETOOLONG: a name
 * has no room in a link; nothing was made.
 */
struct kern_veth {
	const char *name, *peer;
	struct mac mac, peer_mac;
	int peer_fd;
	unsigned mtu;
	uint32_t group; /* of this end */
};
int kern_link_make_veth(struct kern_rtnl *rtnl, const struct kern_veth *veth, struct err *err);

/* Sets the link up, with our settings of links that carry sandboxes: IPv4 forwarding; no redirects sent or believed. */
int kern_link_up_forwarding(struct kern_rtnl *rtnl, int index, const char *name, struct err *err);

/*
 * Turns IPv6 off on a link of the calling thread's namespace, while it is still down. Each link with IPv6 that is up adds a route
 * to the one table of the host, and the kernel looks through all of that whenever a link comes up or goes.
 */
int kern_link_no_ipv6(const char *name, struct err *err);

int kern_link_up(struct kern_rtnl *rtnl, int index, const char *name, struct err *err);

/* MAC and MTU; the MAC of a veth or a TAP may change while it is up. */
int kern_link_set_mac_mtu(struct kern_rtnl *rtnl, int index, const char *name, const struct mac *mac, unsigned mtu,
			  struct err *err);

/* Whether the kernel tells the others on the link, by ARP, that its MAC has changed or that it is up again; it does not by default. */
int kern_link_announce(struct kern_rtnl *rtnl, int index, const char *name, bool announce, struct err *err);

int kern_link_set_group(struct kern_rtnl *rtnl, int index, const char *name, uint32_t group, struct err *err);

/* Takes the link out of its bridge or bond. */
int kern_link_release(struct kern_rtnl *rtnl, int index, const char *name, struct err *err);

/* Lets a link use ARP that was told not to. */
int kern_link_use_arp(struct kern_rtnl *rtnl, int index, const char *name, struct err *err);

/* Gives a link the name NAME, up or down. Kernels before 6.2 rename a link that is down alone, and so it is set down, and stays so. */
int kern_link_rename(struct kern_rtnl *rtnl, int index, const char *name, struct err *err);

int kern_link_set_alias(struct kern_rtnl *rtnl, int index, const char *name, const char *alias, struct err *err);

/* Deletes NAME in the namespace that NSID stands for. ENODEV is an error as well. */
int kern_link_delete(struct kern_rtnl *rtnl, int nsid, const char *name, struct err *err);

#endif
