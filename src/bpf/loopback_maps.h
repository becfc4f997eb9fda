/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BPF_LOOPBACK_MAPS_H
#define WEFT_BPF_LOOPBACK_MAPS_H

/*
 * What the maps of loopback.bpf.c hold: written by kernel/bpf.c, and read there and by the programs. Addresses and ports are in network
 * order. Any thread.
 */

#include <linux/types.h>

/* Counts up when one of the maps changes its meaning, though perhaps not its sizes: those of a former run are not used then. */
#define LOOPBACK_LAYOUT 1

/* <sys/socket.h> has them too, but it is not for the programs. */
#define LOOPBACK_INET  2
#define LOOPBACK_INET6 10

#define LOOPBACK_ENTRIES 65536
#define LOOPBACK_SENT    8

/* An address that a client asks for. */
struct loopback_key {
	__u32 ip[4]; /* of IPv4 the first alone, the others are 0 */
	__u16 port;
	__u8 proto; /* IPPROTO_* */
	__u8 family;
};

struct loopback_entry {
	__u32 host_ip;
	__u16 guest_port;
	__u16 unused;
	__u64 hits;
};

/* The only element of its map. */
struct loopback_state {
	__u64 layout;       /* LOOPBACK_LAYOUT */
	__u64 netns_cookie; /* the namespace whose sockets are led */
	__u64 until_ns;     /* CLOCK_MONOTONIC: the end of the lease */
};

/* What a socket had asked for, and where it was led. */
struct loopback_origin {
	struct loopback_key asked; /* all zero: nothing */
	__u32 host_ip;
	__u16 guest_port;
	__u16 unused[3];
	__u64 since_ns; /* CLOCK_MONOTONIC */
};

/* The same of a socket that sends datagrams here and there. */
struct loopback_sent {
	struct loopback_origin origins[LOOPBACK_SENT];
	__u32 next; /* the oldest of them */
	__u32 unused;
};

#endif
