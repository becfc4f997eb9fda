/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_BPF_STATE_H
#define WEFT_KERNEL_BPF_STATE_H

/* What is behind a struct kern_loopback: for bpf.c and bpf_entries.c. The main thread. */

#include "bpf/loopback_maps.h"

struct bpf_object;
struct err;

enum kern_loopback_map { MAP_ENTRIES, MAP_STATE, MAP_ORIGIN, MAP_SENT, MAPS };

enum { PROGRAMS = 9 };

struct kern_loopback {
	char *pins; /* path */
	int folder; /* of the pins, locked */
	int cgroup;
	struct bpf_object *object;
	int map_fds[MAPS]; /* the object's */
	int links[PROGRAMS];
	struct loopback_state state; /* as the map has it */
	char no_ipv6[256];           /* why; "": clients of IPv6 are led */
};

/* Attaches what entries for datagrams need besides. Harmless a second time. 0, or -1 with ERR. */
int kern_loopback_attach_datagrams(struct kern_loopback *loopback, struct err *err);

#endif
