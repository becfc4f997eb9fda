/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FD_PARCEL_H
#define WEFT_DAEMON_FD_PARCEL_H

/*
 * A parcel: connections, as a record in memory and the descriptors that belong to it, in one queue for the next run of weftd. It is
 * taken once. Main thread only.
 *
 * Behind it may lie a burden: descriptors that nobody needs, but whose last close takes long, such as that of an epoll set of
 * thousands. While one run follows the other every client waits, so the former one does not close them, and the next one does when
 * there is time.
 */

#include "daemon/fd_message.h"
#include "daemon/fd_queue.h"

#include <stddef.h>
#include <stdint.h>

struct err;

enum { FD_PARCEL_MEMORY_MAX = 1 << 30 }; /* bytes; beyond, it is not ours */

struct fd_parcel {
	uint64_t connections; /* that its sender put in; known also where it cannot be unpacked */
	uint8_t *memory;      /* SIZE bytes */
	size_t size;
	int *fds;     /* in the order in which they were sent; -1: lost on the way */
	size_t count; /* of FDS */
	size_t lost;  /* of these: most often for want of descriptors */

	const int *burden; /* to be packed; what is unpacked has none */
	size_t burden_count;
};

/*
 * Fills QUEUE, which is made for it, with copies of PARCEL's memory and descriptors, and of its burden if there is room. RUN: the
 * sender's number. The queue's ends are the caller's. 0, or -1 with ERR.
 */
int daemon_fd_parcel_pack(const struct fd_parcel *parcel, uint64_t run, struct fd_queue *queue, struct err *err);

/*
 * Takes the parcel that SURVEY found, complete, at OUT, out of its queue: whatever comes of it, nothing is left there for a later run, to
 * which it would be out of date. Its burden alone stays, unless descriptors were lost, until the queue is drained. Descriptors are
 * close-on-exec. 0, or -1 with ERR, and PARCEL has no more than its number of connections.
 */
int daemon_fd_parcel_unpack(int out, const struct fd_survey *survey, struct fd_parcel *parcel, struct err *err);

/* Closes the descriptors that are still PARCEL's (not -1), and frees. */
void daemon_fd_parcel_free(struct fd_parcel *parcel);

#endif
