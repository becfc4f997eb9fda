/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DEFAULT_ENDPOINT_H
#define WEFT_DAEMON_DEFAULT_ENDPOINT_H

/* The default endpoint: the listeners of [forwarder] default_listen, and the sandbox they lead to. */

#include <stddef.h>

struct daemon;
struct err;

/*
 * Opens it at the start. An address that another program holds, or that a shortage keeps closed, is left for
 * daemon_default_retry(). 0; 1: a port is in use that may be free in a moment, call again; or -1 with ERR for another fault.
 */
int daemon_default_open(struct daemon *daemon, struct err *err);

/* Tries those of its addresses again that are not open. */
void daemon_default_retry(struct daemon *daemon);

/* Leads it to the sandbox that it belongs to now. To be called after each change of that. */
void daemon_default_follow(struct daemon *daemon);

/* How many listeners it has at most, and the descriptors of those it has, ROOM at most; they stay the listeners'. */
size_t daemon_default_count(const struct daemon *daemon);
size_t daemon_default_list_fds(const struct daemon *daemon, int *fds, size_t room);

/* Forgets the listeners, which go with the forwarder. */
void daemon_default_free(struct daemon *daemon);

#endif
