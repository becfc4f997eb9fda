/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FD_COUPLE_H
#define WEFT_DAEMON_FD_COUPLE_H

/*
 * A list of descriptors that outlives its process, as long as somebody keeps the receiving ends of its two queues. Main thread
 * only.
 */

#include "base/vec.h"
#include "daemon/fd_message.h"
#include "daemon/fd_queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FD_COUPLE_MAX = 2048 }; /* descriptors: writing all of them anew takes about a millisecond */

struct fd_couple {
	struct fd_queue queues[2];
	unsigned current;      /* the queue with the list; the other one is empty */
	struct fd_header list; /* the last one that was written */
	struct {
		VEC_OF(int);
	} fds;
	size_t written;     /* the first so many of FDS are in the current queue */
	uint16_t additions; /* in the current queue */
	bool stale;         /* the current queue has no list, or one with a descriptor that was taken out */
};

/* Makes COUPLE, number NUMBER of RUN, without queues. */
void daemon_fd_couple_init(struct fd_couple *couple, uint64_t run, uint32_t number);

/* Opens its queues, empty, unless they are open. 0, or -1 with errno, and then they are closed. */
int daemon_fd_couple_open(struct fd_couple *couple);

/* Closes its ends of the queues and frees the list. What is in the queues stays there for whoever has other copies of OUT. */
void daemon_fd_couple_free(struct fd_couple *couple);

/* Adds FD, which stays the caller's, at the end of FDS. 0, or -1 for want of memory. Written by daemon_fd_couple_write(). */
int daemon_fd_couple_add(struct fd_couple *couple, int fd);

/* Takes out the descriptor at INDEX of FDS; the last one moves to its place. */
void daemon_fd_couple_remove(struct fd_couple *couple, size_t index);

/* Whether the current queue holds just what FDS says. */
bool daemon_fd_couple_is_written(const struct fd_couple *couple);

/*
 * Brings the queues to FDS. At each instant one of them has a complete list, so that a kill loses nothing, and once it returns 0
 * no queue holds a descriptor that is not in FDS. -1 with errno (ENOBUFS, ENOMEM, ETOOMANYREFS, EAGAIN: the queue is full): the
 * former list stays as it is.
 */
int daemon_fd_couple_write(struct fd_couple *couple);

/* ---- The reader's side: OUT is the receiving end of a queue ---- */

/* Looks at everything in the queue, and takes nothing out. 0, or -1 with errno. */
int daemon_fd_couple_survey(int out, struct fd_survey *survey);

/*
 * Copies the descriptors of the messages that SURVEY counts into FDS, which has room for SURVEY->fds. Returns how many; fewer: the
 * rest was lost, mostly for want of descriptors. The queue keeps its own. Those returned are close-on-exec.
 */
size_t daemon_fd_couple_copy(int out, const struct fd_survey *survey, int *fds);

#endif
