/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FD_MESSAGE_H
#define WEFT_DAEMON_FD_MESSAGE_H

/*
 * A queue of descriptors, message by message: a pair of unix sockets. What was sent stays when its sender is gone, as long as
 * somebody has the receiving end. Any thread, one at a time.
 */

#include "daemon/fd_queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is sent to IN waits at OUT. */
struct fd_queue {
	int in, out; /* -1: closed */
};

/* Opens QUEUE, empty, with room for MESSAGES. 0, or -1 with errno. */
int daemon_fd_message_open(size_t messages, struct fd_queue *queue);

/*
 * Sends HEADER with the HEADER->count descriptors FDS, which stay the caller's. 0, or -1 with errno (EAGAIN: the queue is full;
 * ENOBUFS, ENOMEM, ETOOMANYREFS).
 */
int daemon_fd_message_send(int in, const struct fd_header *header, const int *fds);

/* The next daemon_fd_message_peek() is of the queue's first message. 0, or -1 with errno. */
int daemon_fd_message_rewind(int out);

/*
 * The next message: its bytes into BYTES, ROOM at most, and copies of its descriptors, close-on-exec, into FDS, which has room for
 * *COUNT, and *COUNT gets how many there are. Fewer than were sent: there were not enough free descriptors. FDS and COUNT may be
 * NULL, and no descriptor is copied. The message stays in the queue after a peek, and not after a take. Returns the number of bytes;
 * 0: there is no more; -1 with errno.
 */
ssize_t daemon_fd_message_peek(int out, uint8_t *bytes, size_t room, int *fds, size_t *count);
ssize_t daemon_fd_message_take(int out, uint8_t *bytes, size_t room, int *fds, size_t *count);

/* Whether nobody has the receiving end of the queue that is filled at IN. */
bool daemon_fd_message_is_abandoned(int in);

/* Drops everything in the queue. */
void daemon_fd_message_drain(int out);

#endif
