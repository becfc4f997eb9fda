/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_DOOR_ENTRY_H
#define WEFT_FORWARDER_DOOR_ENTRY_H

/* The way of a client at the door, once it has said whom it wants, to that sandbox. */

#include <stdbool.h>
#include <stdint.h>

struct arrival;
struct door_request;
struct endpoint_share;

/*
 * FD, of the worker of SHARE, accepted at ACCEPTED_US (clock_now_us()), wants REQUEST. True: ARRIVAL, counted, is for this worker.
 * False: another worker has it, or it was refused, with a line in the log. FD is the callee's, and in nobody's poller. The worker's
 * thread, with its lock `accepting`.
 */
bool fwd_door_enter(struct endpoint_share *share, const struct door_request *request, int fd, uint64_t accepted_us,
		    struct arrival *arrival);

#endif
