/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LOOPBACK_H
#define WEFT_DAEMON_LOOPBACK_H

/*
 * Entries of the kernel's table of loopback endpoints (kernel/bpf.h): with one, a client's connect() to the endpoint leads straight to
 * the guest. What wants an entry is decided by registry/endpoint_path.h; here the table is brought to it. A host that has no such
 * table is served by the forwarder alone.
 */

#include "base/addr.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct endpoint;
struct err;
struct health_loopback;
struct tenant;

/* Makes the part. 0, or -1 with ERR (ENOMEM). */
int daemon_loopback_start(struct daemon *daemon, struct err *err);

/*
 * Opens the table, as the options have it, and removes all that a former run left in it. The sandboxes of that run are known by then,
 * and learn which of their ports had answered. That it cannot be opened is told once. Unless it is LATE already, only if a former run
 * left something. Once: a further call does nothing.
 */
void daemon_loopback_open(struct daemon *daemon, bool late);

/* Brings the entries of TENANT's endpoints, and of the default one where that leads to it, to what is wanted now. */
void daemon_loopback_follow(struct tenant *tenant);

/* The same for all tenants: an option has changed. */
void daemon_loopback_reload(struct daemon *daemon);

/* Removes all its entries, before anything else is done that its clients would feel. They come again with daemon_loopback_follow(). */
void daemon_loopback_cut(struct tenant *tenant);

/* The same before a change by PATCH comes into force, after which ENDPOINTS are the sandbox's. */
void daemon_loopback_cut_for_patch(struct tenant *tenant, struct endpoint *endpoints, size_t count);

/* Whether weft listens at LISTEN for the default endpoint. */
void daemon_loopback_default_opens(struct daemon *daemon, const struct addr *listen, bool open);

/* The default endpoint leads to another tenant from now on (NULL: to none): the former's entries go. */
void daemon_loopback_leave_default(struct daemon *daemon, const struct tenant *next);

/*
 * Ends the host's own TCP connections to the sandbox's host address, or those that came by an address of ENDPOINT. They have nobody else
 * who would end them. Nothing where nobody was led. Of datagrams it is not known what a socket had asked for: then
 * all that are connected to the guest's port are ended.
 */
void daemon_loopback_end_clients(struct tenant *tenant);
void daemon_loopback_end_clients_of(struct tenant *tenant, const struct endpoint *endpoint, size_t index);

/* The same, and sockets that are connected for datagrams: the address is another sandbox's soon. */
void daemon_loopback_end_all(struct tenant *tenant);

/* For fwd_route_on_answered(); CONTEXT is the tenant. */
void daemon_loopback_on_answered(void *context, uint16_t port, enum proto proto);

/* Its guest is another one from now on, whose ports have not answered yet. */
void daemon_loopback_forget(struct tenant *tenant);

/* Connections of TENANT that went by an entry: all in this run, and ENTERED of these by those that are in the table still. */
void daemon_loopback_connections(struct tenant *tenant, uint64_t *ever, uint64_t *entered);

/*
 * Whether there may be clients that were led: there was a table since the start, or it is the start, and there may have been one before.
 * And kern_loopback_origins(); -1: there is no table now.
 */
bool daemon_loopback_may_have_led(const struct daemon *daemon);
int daemon_loopback_origins(const struct daemon *daemon);

/* The member `loopback' of the status. NULL for want of memory. */
json_t *daemon_loopback_describe(const struct daemon *daemon);

/* The same for the doctor's check. */
void daemon_loopback_tell_doctor(const struct daemon *daemon, struct health_loopback *told);

/* An orderly stop: table and programs go. Clients wait at the listeners from now on. */
void daemon_loopback_close(struct daemon *daemon);

/* Frees the part. */
void daemon_loopback_stop(struct daemon *daemon);

#endif
