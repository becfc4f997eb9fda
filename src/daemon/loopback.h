/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LOOPBACK_H
#define WEFT_DAEMON_LOOPBACK_H

/*
 * Entries of the kernel's table of loopback endpoints (kernel/bpf.h): with one, a client's connect() to the endpoint leads straight to
 * the guest. What wants an entry is decided by registry/endpoint_path.h; here the table is brought to it. A host that has no such
 * table is served by the forwarder alone.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct endpoint;
struct err;
struct tenant;

/* The folder of a bpffs where the table outlives a daemon that is killed. */
#define LOOPBACK_PINS "/sys/fs/bpf/weft"

/* Makes the part. 0, or -1 with ERR (ENOMEM). */
int daemon_loopback_start(struct daemon *daemon, struct err *err);

/*
 * Opens the table, as the configuration has it, and removes all that a former run left in it: the sandboxes of that run are known, and
 * learn which of their ports had answered. That it cannot be opened is told once.
 */
void daemon_loopback_open(struct daemon *daemon);

/* Brings the entries of TENANT's endpoints, and of the default one where that leads to it, to what is wanted now. */
void daemon_loopback_follow(struct tenant *tenant);

/* The same for all tenants: an option has changed. */
void daemon_loopback_reload(struct daemon *daemon);

/* Removes all its entries, before anything else is done that its clients would feel. They come again with daemon_loopback_follow(). */
void daemon_loopback_cut(struct tenant *tenant);

/* Removes the entry of one address, whose listener is about to be closed. */
void daemon_loopback_leave(struct tenant *tenant, struct endpoint *endpoint, size_t index);

/* The default endpoint leads to another tenant from now on (NULL: to none): the former's entries go. */
void daemon_loopback_leave_default(struct daemon *daemon, const struct tenant *next);

/*
 * Ends the host's own TCP connections to the sandbox's host address; with ENDPOINT those that came by it. They have nobody who would end
 * them otherwise. Nothing while no connection goes that way.
 */
void daemon_loopback_end_clients(struct tenant *tenant, const struct endpoint *endpoint);

/* Its guest is another one from now on, whose ports have not answered yet. */
void daemon_loopback_forget(struct tenant *tenant);

/* Connections ever of TENANT that went by an entry. */
uint64_t daemon_loopback_connections(struct tenant *tenant);

/* The member `loopback' of the status. NULL for want of memory. */
json_t *daemon_loopback_describe(const struct daemon *daemon);

/* An orderly stop: table and programs go. Clients wait at the listeners from now on. */
void daemon_loopback_close(struct daemon *daemon);

/* Frees the part. */
void daemon_loopback_stop(struct daemon *daemon);

#endif
