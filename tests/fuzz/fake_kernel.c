/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_kernel.h"

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { PORT = 1, ANSWERS_MAX = 256 };

static struct {
	bool on;
	const uint8_t *data;
	size_t size, used;
	struct nlmsghdr request; /* of the last one that was sent */
	bool owes_end;           /* that request is not answered to its end */
	unsigned answers;        /* so far: a reader that asks for ever is cut off */
} kernel;

void fake_kernel_start(const uint8_t *data, size_t size)
{
	kernel.on = true;
	kernel.data = data;
	kernel.size = size;
	kernel.used = 0;
	kernel.answers = 0;
}

void fake_kernel_stop(void)
{
	kernel.on = false;
}

/* Moves up to ROOM bytes of the input to TO. Returns how many there were. */
static size_t take(void *to, size_t room)
{
	size_t left = kernel.size - kernel.used;

	if (room > left)
		room = left;
	if (room)
		memcpy(to, kernel.data + kernel.used, room);
	kernel.used += room;
	return room;
}

/* ---- Netlink ---- */

static void address_to_reader(char *datagram, size_t length)
{
	struct nlmsghdr *header = (struct nlmsghdr *)datagram;
	int left = (int)length;

	for (; left >= NLMSG_HDRLEN; header = NLMSG_NEXT(header, left)) {
		if (header->nlmsg_len > (unsigned)left)
			header->nlmsg_len = (unsigned)left;
		if (header->nlmsg_len < NLMSG_HDRLEN)
			header->nlmsg_len = NLMSG_HDRLEN;
		header->nlmsg_seq = kernel.request.nlmsg_seq;
		header->nlmsg_pid = PORT;
	}
}

static size_t write_end(char *datagram)
{
	struct nlmsghdr header = { .nlmsg_seq = kernel.request.nlmsg_seq, .nlmsg_pid = PORT };
	struct nlmsgerr ack = { .msg = kernel.request };
	int code = 0;

	if (kernel.request.nlmsg_flags & NLM_F_ACK) {
		header.nlmsg_type = NLMSG_ERROR;
		header.nlmsg_len = NLMSG_LENGTH(sizeof(ack));
		memcpy(datagram + NLMSG_HDRLEN, &ack, sizeof(ack));
	} else {
		header.nlmsg_type = NLMSG_DONE;
		header.nlmsg_flags = NLM_F_MULTI;
		header.nlmsg_len = NLMSG_LENGTH(sizeof(code));
		memcpy(datagram + NLMSG_HDRLEN, &code, sizeof(code));
	}
	memcpy(datagram, &header, sizeof(header));
	return header.nlmsg_len;
}

/* One datagram into the SIZE bytes of a reader. */
static ssize_t answer(void *to, size_t size, int flags)
{
	_Alignas(struct nlmsghdr) static char datagram[1 << 16];
	uint8_t length[2];
	size_t got;

	if (kernel.answers++ >= ANSWERS_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	if (take(length, sizeof(length)) == sizeof(length)) {
		got = take(datagram, length[0] | (size_t)length[1] << 8);
		address_to_reader(datagram, got);
	} else if (kernel.owes_end) {
		kernel.owes_end = false;
		got = write_end(datagram);
	} else {
		errno = EAGAIN;
		return -1;
	}
	memcpy(to, datagram, got < size ? got : size);
	return (ssize_t)(got > size && !(flags & MSG_TRUNC) ? size : got);
}

static void hear_request(const void *message, size_t length)
{
	const struct nlmsghdr *header = message;

	if (length < sizeof(*header))
		return;
	kernel.request = *header;
	/* A batch is acknowledged by its last message but one; the end of a batch has no flags. */
	if (header->nlmsg_type == NLMSG_MIN_TYPE)
		kernel.request.nlmsg_flags |= NLM_F_ACK;
	kernel.owes_end = true;
}

jmp_buf fake_kernel_ends;

void exit(int status)
{
	if (kernel.on)
		longjmp(fake_kernel_ends, 1);
	fuzz_real(exit)(status);
	abort(); /* it does not return */
}

/* Such an end loses memory of libnftnl's, so leaks are left to the unit tests. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int socket(int domain, int type, int protocol)
{
	return kernel.on ? open("/dev/null", O_RDWR | O_CLOEXEC) : fuzz_real(socket)(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return kernel.on ? 0 : fuzz_real(bind)(fd, address, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	return kernel.on ? 0 : fuzz_real(setsockopt)(fd, level, name, value, length);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	const struct sockaddr_nl ours = { .nl_family = AF_NETLINK, .nl_pid = PORT };

	if (!kernel.on)
		return fuzz_real(getsockname)(fd, address, length);
	memset(address, 0, *length);
	memcpy(address, &ours, *length < sizeof(ours) ? *length : sizeof(ours));
	return 0;
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
	if (!kernel.on)
		return fuzz_real(sendto)(fd, data, size, flags, to, length);
	hear_request(data, size);
	return (ssize_t)size;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	return kernel.on ? answer(data, size, flags) : fuzz_real(recv)(fd, data, size, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t got;

	if (!kernel.on)
		return fuzz_real(recvmsg)(fd, message, flags);
	fuzz_check(message->msg_iovlen == 1);
	got = answer(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, flags | MSG_TRUNC);
	message->msg_flags = got > (ssize_t)message->msg_iov[0].iov_len ? MSG_TRUNC : 0;
	message->msg_controllen = 0;
	if (message->msg_name)
		memset(message->msg_name, 0, message->msg_namelen);
	if (message->msg_name && message->msg_namelen >= sizeof(struct sockaddr_nl))
		((struct sockaddr_nl *)message->msg_name)->nl_family = AF_NETLINK;
	return message->msg_flags ? (ssize_t)message->msg_iov[0].iov_len : got;
}

/* ---- Socket options, whose values are the input's bytes; what is missing of them is 0 ---- */

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	if (!kernel.on)
		return fuzz_real(getsockopt)(fd, level, name, value, length);
	memset(value, 0, *length);
	take(value, *length);
	return 0;
}

/* ---- Files of /proc ---- */

/* The kernel has one legacy table, whose contents come by getsockopt(). */
static char legacy_tables[] = "filter\n";

FILE *fopen(const char *path, const char *mode)
{
	if (!kernel.on || strncmp(path, "/proc/", 6) != 0)
		return fuzz_real(fopen)(path, mode);
	if (strcmp(path, "/proc/net/ip_tables_names") == 0)
		return fmemopen(legacy_tables, strlen(legacy_tables), "r");
	if (kernel.used == kernel.size) {
		errno = ENOENT;
		return NULL;
	}
	/* The whole rest: the next file is missing. */
	FILE *file = fmemopen((void *)(kernel.data + kernel.used), kernel.size - kernel.used, "r");
	kernel.used = kernel.size;
	return file;
}
