/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FD_QUEUE_H
#define WEFT_DAEMON_FD_QUEUE_H

/*
 * The format of a queue of descriptors: a unix SEQPACKET socket whose messages hold descriptors (SCM_RIGHTS) for the next run of
 * weftd, a list of listening sockets or a parcel (fd_parcel.h). Pure: bytes and numbers alone. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FD_QUEUE_MESSAGE_FDS = 253,  /* the kernel's SCM_MAX_FD */
	FD_QUEUE_FDS_MAX = 16 << 10, /* of a list; beyond, it is not ours */
	FD_PARCEL_FDS_MAX = 8 << 20, /* of a parcel: more than the kernel lets a process have */
	FD_QUEUE_HEADER_SIZE = 48,   /* of a message, which has no other bytes */
};

enum fd_kind {
	FD_LIST,     /* listening sockets; its messages come first */
	FD_ADDITION, /* adds to the list before it */
	FD_PARCEL,   /* alone in its queue, but for one addition with its burden */
};

/* The header of a message. */
struct fd_header {
	uint64_t run; /* which run of weftd wrote it: a random number */
	/* Of a list: the highest complete one of RUN and COUPLE counts. Of a parcel: how many connections it has. */
	uint64_t generation;
	uint32_t couple; /* two queues, used in turn for one list; 0: of a parcel */
	uint32_t total;  /* descriptors of the whole list, or parcel */
	enum fd_kind kind;
	uint16_t index; /* of the list's or parcel's messages, or of the additions, from 0 */
	uint16_t count; /* descriptors of this message */
};

/* How many messages a list of TOTAL descriptors has. An empty one has a message, too, so that it is known to be empty. */
size_t daemon_fd_queue_messages(size_t total);

/* How many descriptors the message INDEX of a list of TOTAL has. */
size_t daemon_fd_queue_part(size_t total, size_t index);

void daemon_fd_queue_encode(const struct fd_header *header, uint8_t bytes[static FD_QUEUE_HEADER_SIZE]);

/* Whether BYTES are a header, and one that daemon_fd_queue_encode() would write; then HEADER gets it. */
bool daemon_fd_queue_decode(const uint8_t *bytes, size_t size, struct fd_header *header);

/* Whether A and B are of the same run and couple. */
bool daemon_fd_queue_is_mate(const struct fd_header *a, const struct fd_header *b);

/* What a queue holds. Zeroed to begin with. */
struct fd_survey {
	struct fd_header first; /* of the list or parcel; valid once MESSAGES is not 0 */
	size_t messages;        /* that can be used, from the first on: the list's and the additions to it */
	size_t fds;             /* in these */
	bool complete;          /* all of the list or parcel is there */
	bool burdened; /* an addition is behind the parcel, which counts neither as message nor with its descriptors */
	bool strange;  /* a message came that cannot follow: it does not count, nor do those behind it */
	bool chosen;
};

/* Takes the queue's next message, SIZE bytes. */
void daemon_fd_queue_survey(struct fd_survey *survey, const uint8_t *bytes, size_t size);

/* Of the SURVEYS of all queues: chooses the highest complete generation of each run and couple. */
void daemon_fd_queue_choose(struct fd_survey *surveys, size_t count);

#endif
