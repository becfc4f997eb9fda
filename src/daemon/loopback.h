/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LOOPBACK_H
#define WEFT_DAEMON_LOOPBACK_H

/*
 * Keeps the kernel's table of loopback endpoints (kernel/bpf.h). An endpoint's address that has an entry there leads a client's connect()
 * straight to the guest. registry/endpoint_path.h decides which endpoints are to have entries. On a host that has no such table the
 * forwarder serves all clients.
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
 * Opens the table, if the options want it, and deletes the entries that a killed daemon left. Its sandboxes are known by then, and learn
 * from these entries which of their ports had answered. A failure is logged.
 *
 * A start calls this twice: before clients are served, when it does something only if a killed daemon left pins, and LATE, when nobody waits
 * for it. Once it was tried, further calls do nothing.
 */
void daemon_loopback_open(struct daemon *daemon, bool late);

/* Brings the entries of TENANT's endpoints, and of the default one where that leads to it, to what is wanted now. */
void daemon_loopback_follow(struct tenant *tenant);

/* The same for all tenants: an option has changed. */
void daemon_loopback_reload(struct daemon *daemon);

/* Deletes all entries of TENANT, before a change that its clients would feel. daemon_loopback_follow() puts them again. */
void daemon_loopback_cut(struct tenant *tenant);

/* The same before a PATCH takes effect. The sandbox has the COUNT ENDPOINTS afterwards, and these are noted to have no entries. */
void daemon_loopback_cut_for_patch(struct tenant *tenant, struct endpoint *endpoints, size_t count);

/* weft listens at LISTEN for the default endpoint from now on, or no longer (not OPEN). */
void daemon_loopback_default_opens(struct daemon *daemon, const struct addr *listen, bool open);

/* The default endpoint leads to the tenant NEXT from now on (NULL: to none). If that is another one, its entries are deleted. */
void daemon_loopback_leave_default(struct daemon *daemon, const struct tenant *next);

/*
 * Ends the connections of this host's processes to the sandbox's host address: all of TCP, or those that had asked for the address at
 * INDEX of ENDPOINT. weftd has no socket of these, so without this they would hang. If no client can have been led, it does nothing.
 * Of UDP it is not known what a socket had asked for, so all that are connected to the guest's port are ended.
 */
void daemon_loopback_end_clients(struct tenant *tenant);
void daemon_loopback_end_clients_of(struct tenant *tenant, const struct endpoint *endpoint, size_t index);

/* Ends all of TCP, and connected sockets of UDP, which would reach the next sandbox of this address. */
void daemon_loopback_end_all(struct tenant *tenant);

/* For fwd_route_on_answered(); CONTEXT is the tenant. */
void daemon_loopback_on_answered(void *context, uint16_t port, enum proto proto);

/* The VM has gone: no port of the next one has answered yet. */
void daemon_loopback_forget(struct tenant *tenant);

/* How many connections of TENANT went by an entry: *EVER in this run, and *ENTERED of these by the entries that are in the table now. */
void daemon_loopback_connections(struct tenant *tenant, uint64_t *ever, uint64_t *entered);

/* Whether some clients may have been led: there was a table in this run, or weftd starts, and a former run may have had one. */
bool daemon_loopback_may_have_led(const struct daemon *daemon);

/* kern_loopback_origins() of the table; -1: there is none now. */
int daemon_loopback_origins(const struct daemon *daemon);

/* The member `loopback' of the status. NULL for want of memory. */
json_t *daemon_loopback_describe(const struct daemon *daemon);

/* The same for the doctor's check. */
void daemon_loopback_tell_doctor(const struct daemon *daemon, struct health_loopback *told);

/* Removes table and programs, for an orderly stop or by the options. New clients come to the listeners from now on. */
void daemon_loopback_close(struct daemon *daemon);

/* Frees the part. */
void daemon_loopback_stop(struct daemon *daemon);

#endif
