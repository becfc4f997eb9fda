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
	char text[96];  /* "nginx (pid 812)", or "a process not visible from here" */
};

/*
 * Finds the holder of LISTEN (a wildcard holder counts): the kernel's socket tables, proc_pid_net(5), for the socket,
 * /proc/PID/fd for the process. Slow where there are many processes: for error messages. Any thread.
 */
void daemon_port_holder_find(const struct addr *listen, enum proto proto, struct socket_holder *holder);

#endif
