/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_INHERITED_SOCKET_H
#define WEFT_DAEMON_INHERITED_SOCKET_H

/* What a descriptor is that a former run left. Any thread. */

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct inherited_socket {
	union addr_socket address;
	enum proto proto; /* TCP for a unix socket */
	ino_t inode;
	int fd;
	bool taken;
};

/* The number of the namespace in which this process makes its sockets; 0: it cannot be asked. */
uint64_t daemon_inherited_socket_host(void);

/* Whether FD is an end of a queue of descriptors (fd_message.h). */
bool daemon_inherited_socket_is_queue(int fd);

/* Whether FD is a socket of the namespace HOST that listens, or a bound UDP socket; then FOUND describes it. */
bool daemon_inherited_socket_describe(int fd, uint64_t host, struct inherited_socket *found);

/* The order by protocol and address, and the same with the inode after it, for qsort(3). */
int daemon_inherited_socket_compare_key(const struct inherited_socket *a, const struct inherited_socket *b);
int daemon_inherited_socket_compare(const void *left, const void *right);

#endif
