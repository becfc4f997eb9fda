/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_ROOMS_H
#define WEFT_DAEMON_ROOMS_H

struct daemon;
struct err;

/* Makes fabric and forwarder, once the control socket answers. 0, or -1 with ERR. */
int daemon_rooms_start(struct daemon *daemon, struct err *err);

/* The connections of the control socket now: the forwarder leaves them their descriptors. Harmless without a forwarder. */
void daemon_rooms_count_clients(struct daemon *daemon);

/* The start failed for ERR: reports it and ends the loop. */
void daemon_rooms_give_up(struct daemon *daemon, const struct err *err);

#endif
