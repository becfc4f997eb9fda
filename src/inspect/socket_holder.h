/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_SOCKET_HOLDER_H
#define WEFT_INSPECT_SOCKET_HOLDER_H

#include "base/addr.h"

#include <stdbool.h>

struct inspect_socket_holder {
	int pid;
	unsigned uid;  /* of the socket's owner */
	char name[32]; /* of the process; "?" if it has ended meanwhile */
};

/*
 * Finds a process that has a socket of TYPE (SOCK_STREAM, SOCK_DGRAM) in the way of LISTEN, in the network namespace of the calling
 * thread. Also finds one that is bound and neither listens nor is connected, which the kernel lists nowhere: each socket of each
 * process is asked for its address, so it takes the right to trace them (ptrace(2), PTRACE_MODE_ATTACH). False: none is visible from
 * here. Slow where there are many sockets: for messages. Any thread.
 */
bool inspect_socket_holder(const struct addr *listen, int type, struct inspect_socket_holder *holder);

#endif
