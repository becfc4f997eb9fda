/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DEFAULT_ENDPOINT_H
#define WEFT_DAEMON_DEFAULT_ENDPOINT_H

/* The default endpoint: the listeners of [forwarder] default_listen, and the sandbox they lead to. */

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

/* Forgets the listeners, which go with the forwarder. */
void daemon_default_free(struct daemon *daemon);

#endif
