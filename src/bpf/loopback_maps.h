/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BPF_LOOPBACK_MAPS_H
#define WEFT_BPF_LOOPBACK_MAPS_H

/*
 * The keys and values of the maps of loopback.bpf.c, for the programs and for the daemon (kernel/bpf.c, bpf_entries.c, sock_list.c). Addresses
 * and ports are in network order. Any thread.
 */

#include <linux/types.h>

/* Raised with each change of what a map means, even if no size changes: maps of a former run with another number are not used. */
#define LOOPBACK_LAYOUT 1

/* <sys/socket.h> has them too, but it is not for the programs. */
#define LOOPBACK_INET  2
#define LOOPBACK_INET6 10

#define LOOPBACK_ENTRIES 65536
#define LOOPBACK_SENT    8

/* An address that a client asks for. */
struct loopback_key {
	__u32 ip[4]; /* IPv4: the first one, and the others are 0 */
	__u16 port;
	__u8 proto; /* IPPROTO_* */
	__u8 family;
};

/* Where it is led. */
struct loopback_entry {
	__u32 host_ip;
	__u16 guest_port;
	__u16 unused;
	__u64 hits; /* connections, or flows of datagrams, since the entry was put */
};

/* The only element of its map. */
struct loopback_state {
	__u64 layout;       /* LOOPBACK_LAYOUT */
	__u64 netns_cookie; /* the namespace whose sockets are led */
	__u64 until_ns;     /* CLOCK_MONOTONIC: the end of the lease */
};

/* What a socket had asked for, and where it was led. */
struct loopback_origin {
	struct loopback_key asked; /* all zero: it was not led */
	__u32 host_ip;
	__u16 guest_port;
	__u16 unused[3];
	__u64 since_ns; /* CLOCK_MONOTONIC */
};

/* The same of a socket that sends datagrams to several destinations, for the last ones of these. */
struct loopback_sent {
	struct loopback_origin origins[LOOPBACK_SENT];
	__u32 next; /* counts up; modulo LOOPBACK_SENT it is the place of the oldest */
	__u32 unused;
};

#endif
