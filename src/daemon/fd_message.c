/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel counts for each message its bytes and a header of its own. Draining is a read without room for descriptors: the
 * kernel drops them, and none is needed for it.
 */
#include "daemon/fd_message.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif

enum { MESSAGE_MEMORY = 2048 }; /* of the kernel, for one: about three times as much as it needs */

union fd_control {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(FD_QUEUE_MESSAGE_FDS * sizeof(int))];
};

int daemon_fd_message_open(size_t messages, struct fd_queue *queue)
{
	int ends[2], bytes = INT_MAX / 2;

	if (messages < (size_t)bytes / MESSAGE_MEMORY)
		bytes = (int)messages * MESSAGE_MEMORY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	/* Without the right to it the default remains, which is enough for a list of listening sockets. */
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	*queue = (struct fd_queue){ .in = ends[0], .out = ends[1] };
	return 0;
}

int daemon_fd_message_send(int in, const struct fd_header *header, const int *fds)
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

int daemon_fd_message_rewind(int out)
{
	int start = 0;

	return setsockopt(out, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start));
}

/* Takes the descriptors of MESSAGE, ROOM at most. */
static size_t daemon_fd_message_unpack(struct msghdr *message, int *fds, size_t room)
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

static ssize_t daemon_fd_message_receive(int out, int flags, uint8_t *bytes, size_t room, int *fds, size_t *count)
{
	union fd_control control;
	struct iovec data = { bytes, room };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	ssize_t size;

	if (fds) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	do
		size = recvmsg(out, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (fds)
		*count = size > 0 ? daemon_fd_message_unpack(&message, fds, *count) : 0;
	return size < 0 && errno == EAGAIN ? 0 : size;
}

ssize_t daemon_fd_message_peek(int out, uint8_t *bytes, size_t room, int *fds, size_t *count)
{
	return daemon_fd_message_receive(out, MSG_PEEK, bytes, room, fds, count);
}

ssize_t daemon_fd_message_take(int out, uint8_t *bytes, size_t room, int *fds, size_t *count)
{
	return daemon_fd_message_receive(out, 0, bytes, room, fds, count);
}

bool daemon_fd_message_is_abandoned(int in)
{
	struct pollfd end = { .fd = in };

	return poll(&end, 1, 0) > 0 && end.revents & POLLHUP;
}

void daemon_fd_message_drain(int out)
{
	char byte;
	ssize_t size;

	do
		size = recv(out, &byte, sizeof(byte), MSG_DONTWAIT);
	while (size > 0 || (size < 0 && errno == EINTR));
}
