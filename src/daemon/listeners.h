/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LISTENERS_H
#define WEFT_DAEMON_LISTENERS_H

/*
 * The one table of everything that weftd listens on, of any family and protocol: the service manager keeps these sockets from the
 * moment they are opened, so that no stranger gets a port while weftd is down, however it ended. Without a service manager, and
 * while daemon->listeners is NULL, nothing is kept. Main thread only.
 */

#include "base/addr.h"
#include "base/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct err;

/* Sets daemon->listeners. 0, or -1 with ERR. */
int daemon_listeners_start(struct daemon *daemon, struct err *err);

/*
 * FD listens, or is a bound UDP socket. It stays the caller's. It is kept in the next iteration of the loop; a reply that
 * promises the listener waits for that by daemon_listeners_settle().
 */
void daemon_listeners_add(struct daemon *daemon, int fd);

/*
 * FD is about to be closed. The caller must shut down a socket that accepts, or it would go on doing so until the next iteration
 * of the loop. Harmless for one that is not in the table.
 */
void daemon_listeners_remove(struct daemon *daemon, int fd);

/* Takes FD, the caller's own copy, out of the table, shuts it down if it accepts, and closes it. PROTO is TCP for a unix socket. */
void daemon_listeners_close(struct daemon *daemon, int fd, enum proto proto);

/* Whether FD outlives this run. */
bool daemon_listeners_keeps(const struct daemon *daemon, int fd);

/*
 * From now on the sockets of the table, those of daemon->inherited among them, are in the service manager's store. What a
 * former run stored is given up once they are there for certain.
 */
void daemon_listeners_keep(struct daemon *daemon);

/* Closes those of daemon->inherited that nobody took: all who might want one have opened what they wanted. */
void daemon_listeners_close_unwanted(struct daemon *daemon);

/* A continuation, in its owner's struct. */
struct listeners_waiter {
	TAILQ_ENTRY(listeners_waiter) next;
	void (*done)(void *context); /* may free the waiter */
	void *context;
	uint64_t since_ms;
};

/*
 * Calls DONE, now or later, when all that was added until now is kept and the ports of all that was removed are free for
 * other programs. If that takes longer than some seconds, for a shortage or a busy service manager, DONE is called all the same,
 * which is logged.
 */
void daemon_listeners_settle(struct daemon *daemon, struct listeners_waiter *waiter, void (*done)(void *context),
			     void *context);

/* The end is near: brings all to rest and calls who waits. What is settled afterwards, is at once. */
void daemon_listeners_finish(struct daemon *daemon);

/* What is kept stays so. */
void daemon_listeners_free(struct daemon *daemon);

#endif
