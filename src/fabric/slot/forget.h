/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_FORGET_H
#define WEFT_FABRIC_SLOT_FORGET_H

/* The end of all flows that a guest had when it fell asleep. Any thread. */

#include <stdint.h>

struct err;

/*
 * Ends the connections of the host's own clients with HOST_IP (host order), and forgets its flows, in its namespace and on the host. Those
 * that began while it slept go on: they have the mark SLEEP; 0: there are none. Clients that are only being connected stay, too. 0, or -1
 * with ERR.
 */
int slot_forget_flows(int netns_fd, uint32_t host_ip, uint32_t sleep, struct err *err);

#endif
