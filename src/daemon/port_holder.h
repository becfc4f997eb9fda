/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PORT_HOLDER_H
#define WEFT_DAEMON_PORT_HOLDER_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

/* The holder of a local address in this network namespace. */
struct socket_holder {
	bool found;     /* something has it */
	bool listening; /* a listener (or, for UDP, an unconnected socket); else an outgoing connection */
	bool
	    ended; /* no process has it any more: a connection in TIME_WAIT, or one whose last bytes are on their way */
	unsigned uid; /* of the socket's owner, unless it has ended */
	unsigned long inode;
	char text[112]; /* "nginx (pid 812) of uid 33", or "a process of uid 33 that is not visible from here" */
};

/*
 * Finds the socket that holds LISTEN (a wildcard holder counts) in the kernel's tables, proc_pid_net(5). TEXT does not name the
 * process. Any thread.
 */
void daemon_port_holder_look(const struct addr *listen, enum proto proto, struct socket_holder *holder);

/*
 * The same with the process in TEXT, from /proc/PID/fd. Slow where there are many processes: for messages. Any thread.
 */
void daemon_port_holder_find(const struct addr *listen, enum proto proto, struct socket_holder *holder);

#endif
