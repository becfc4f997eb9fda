/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_BPF_STATE_H
#define WEFT_KERNEL_BPF_STATE_H

/* The members of struct kern_loopback: for bpf.c and bpf_entries.c. The main thread. */

#include "bpf/loopback_maps.h"

struct bpf_object;
struct err;

enum kern_loopback_map { MAP_ENTRIES, MAP_STATE, MAP_ORIGIN, MAP_SENT, MAPS };

enum { PROGRAMS = 9 };

struct kern_loopback {
	char *pins; /* the path of their folder */
	int folder; /* the folder, open and locked */
	int cgroup;
	struct bpf_object *object;
	int map_fds[MAPS]; /* the object's */
	int links[PROGRAMS];
	struct loopback_state state; /* a copy of the map's only element */
	char no_ipv6[256];           /* why clients of IPv6 are not led; "": they are */
};

/* Attaches the programs that only entries for datagrams need, if that was not done yet. 0, or -1 with ERR. */
int kern_loopback_attach_datagrams(struct kern_loopback *loopback, struct err *err);

#endif
