/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A descriptor in flight cannot be taken out of its queue, and keeps its socket, and so its port, alive. So a list without it is
 * written into the other queue, and then the first one is drained. The reader, of whatever a kill left, takes the highest complete
 * list. A descriptor that is added follows as a message of its own, which costs no more with many than with few; after
 * some of these the list is written as a whole again.
 *
 * Draining is a read without room for descriptors: the kernel drops them, and none is needed for it. Reading is looking
 * (MSG_PEEK): it copies the descriptors, and a reader that is killed meanwhile leaves the queue to the next.
 */
#include "daemon/fd_couple.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif

enum {
	ADDITIONS_MAX = 128,
	QUEUE_BYTES =
	    4 << 20, /* of the kernel's memory, for headers: far more than the largest list and its additions need */
};

void daemon_fd_couple_init(struct fd_couple *couple, uint64_t run, uint32_t number)
{
	*couple = (struct fd_couple){
		.queues = { { -1, -1 }, { -1, -1 } },
		.list = { .run = run, .couple = number },
		.stale = true,
	};
}

static void daemon_fd_couple_close(struct fd_couple *couple)
{
	for (size_t i = 0; i < 2; i++) {
		cleanup_fd(&couple->queues[i].in);
		cleanup_fd(&couple->queues[i].out);
	}
}

int daemon_fd_couple_open(struct fd_couple *couple)
{
	if (couple->queues[0].in >= 0)
		return 0;
	for (size_t i = 0; i < 2; i++) {
		int ends[2], bytes = QUEUE_BYTES;

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
			int error = errno;

			daemon_fd_couple_close(couple);
			errno = error;
			return -1;
		}
		/* Without the right to it the default remains, which is enough for a list. */
		(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
		couple->queues[i] = (struct fd_queue){ .in = ends[0], .out = ends[1] };
	}
	return 0;
}

void daemon_fd_couple_free(struct fd_couple *couple)
{
	daemon_fd_couple_close(couple);
	vec_free(&couple->fds);
}

int daemon_fd_couple_add(struct fd_couple *couple, int fd)
{
	int *added = vec_push(&couple->fds);

	if (!added)
		return -1;
	*added = fd;
	return 0;
}

void daemon_fd_couple_remove(struct fd_couple *couple, size_t index)
{
	if (index < couple->written)
		couple->stale = true;
	couple->fds.items[index] = couple->fds.items[--couple->fds.count];
}

bool daemon_fd_couple_is_written(const struct fd_couple *couple)
{
	return !couple->stale && couple->written == couple->fds.count;
}

/* ---- Writing ---- */

union fd_control {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(FD_QUEUE_MESSAGE_FDS * sizeof(int))];
};

static int daemon_fd_couple_send(int in, const struct fd_header *header, const int *fds)
{
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];
	union fd_control control;
	struct iovec data = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	ssize_t sent;

	daemon_fd_queue_encode(header, bytes);
	if (header->count) {
		size_t size = header->count * sizeof(*fds);

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(size);
		memset(&control, 0, message.msg_controllen);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(&control.header), fds, size);
	}
	do
		sent = sendmsg(in, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* Writes the whole list into the other queue, and drains this one. */
static int daemon_fd_couple_rewrite(struct fd_couple *couple)
{
	struct fd_queue *former = &couple->queues[couple->current];
	struct fd_queue *other = &couple->queues[!couple->current];
	struct fd_header list = couple->list;

	list.generation++;
	list.total = (uint32_t)couple->fds.count;
	list.addition = false;
	for (size_t i = 0; i < daemon_fd_queue_messages(list.total); i++) {
		list.index = (uint16_t)i;
		list.count = (uint16_t)daemon_fd_queue_part(list.total, i);
		if (daemon_fd_couple_send(other->in, &list, couple->fds.items + i * FD_QUEUE_MESSAGE_FDS) < 0) {
			int error = errno;

			daemon_fd_couple_drain(other->out);
			errno = error;
			return -1;
		}
	}
	couple->list = list;
	couple->current = !couple->current;
	couple->written = couple->fds.count;
	couple->additions = 0;
	couple->stale = false;
	daemon_fd_couple_drain(former->out);
	return 0;
}

static int daemon_fd_couple_append(struct fd_couple *couple)
{
	struct fd_header header = couple->list;

	header.addition = true;
	while (couple->written < couple->fds.count) {
		size_t left = couple->fds.count - couple->written;

		header.index = couple->additions;
		header.count = (uint16_t)(left < FD_QUEUE_MESSAGE_FDS ? left : FD_QUEUE_MESSAGE_FDS);
		if (daemon_fd_couple_send(couple->queues[couple->current].in, &header,
					  couple->fds.items + couple->written) < 0)
			return -1;
		couple->written += header.count;
		couple->additions++;
	}
	return 0;
}

int daemon_fd_couple_write(struct fd_couple *couple)
{
	if (daemon_fd_couple_is_written(couple))
		return 0;
	if (!couple->stale && couple->additions < ADDITIONS_MAX && daemon_fd_couple_append(couple) == 0)
		return 0;
	return daemon_fd_couple_rewrite(couple);
}

/* ---- Reading ---- */

/* The next look begins with the queue's first message. */
static int daemon_fd_couple_rewind(int out)
{
	int start = 0;

	return setsockopt(out, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start));
}

/* Looks at the next message: its size; 0: there is no more; -1 with errno. MESSAGE says where its contents go. */
static ssize_t daemon_fd_couple_peek(int out, struct msghdr *message)
{
	ssize_t size;

	do
		size = recvmsg(out, message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	return size < 0 && errno == EAGAIN ? 0 : size;
}

int daemon_fd_couple_survey(int out, struct fd_survey *survey)
{
	uint8_t bytes[FD_QUEUE_HEADER_SIZE + 1];
	ssize_t size;

	*survey = (struct fd_survey){ 0 };
	if (daemon_fd_couple_rewind(out) < 0)
		return -1;
	do {
		struct iovec data = { bytes, sizeof(bytes) };
		struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };

		size = daemon_fd_couple_peek(out, &message);
		if (size > 0)
			daemon_fd_queue_survey(survey, bytes, (size_t)size);
	} while (size > 0 && !survey->strange);
	return size < 0 ? -1 : 0;
}

/* Takes the descriptors of MESSAGE, ROOM at most. */
static size_t daemon_fd_couple_unpack(struct msghdr *message, int *fds, size_t room)
{
	size_t taken = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= header->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
			if (taken < room)
				fds[taken++] = fd;
			else
				close(fd);
		}
	}
	return taken;
}

size_t daemon_fd_couple_copy(int out, const struct fd_survey *survey, int *fds)
{
	size_t copied = 0;

	if (daemon_fd_couple_rewind(out) < 0)
		return 0;
	for (size_t i = 0; i < survey->messages; i++) {
		uint8_t bytes[FD_QUEUE_HEADER_SIZE];
		union fd_control control;
		struct iovec data = { bytes, sizeof(bytes) };
		struct msghdr message = {
			.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
		};

		if (daemon_fd_couple_peek(out, &message) <= 0)
			break;
		copied += daemon_fd_couple_unpack(&message, fds + copied, survey->fds - copied);
	}
	return copied;
}

void daemon_fd_couple_drain(int out)
{
	char byte;
	ssize_t size;

	do
		size = recv(out, &byte, sizeof(byte), MSG_DONTWAIT);
	while (size > 0 || (size < 0 && errno == EINTR));
}
