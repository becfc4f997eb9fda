/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_ENDPOINTS_H
#define WEFT_DAEMON_ENDPOINTS_H

/* The sandboxes' endpoints of the forwarder: their listeners. */

#include "forwarder/forwarder.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct err;
struct problem;
struct tenant;

/*
 * Opens the forwarder's listeners of ENDPOINTS that are still closed; those of nat need none. All or nothing: on failure what
 * this call opened is closed again, and PROBLEM names port and holder; its field is LIST ("/ports" or "/publish") and the place
 * among ENDPOINTS. *TAKEN, where not NULL, gets an automatic port that another program holds (then the caller may choose
 * another), else 0.
 */
int daemon_endpoints_open(struct daemon *daemon, struct tenant *tenant, struct endpoint *endpoints, size_t count,
			  const char *list, uint16_t *taken, struct problem *problem);

/* Closes all. RESET: connections that came through them end, too. The ports are free after daemon_listeners_settle(). */
void daemon_endpoints_close(struct daemon *daemon, struct endpoint *endpoints, size_t count, bool reset);

/*
 * Opens the closed ones of SANDBOX as far as it goes, each address by itself, and notes the others as not open: another program
 * may have taken a port over a restart. ABSENT_TOO: also those on an address that the host lacked. 0, or -1 in a shortage.
 */
int daemon_endpoints_open_some(struct daemon *daemon, struct sandbox *sandbox, bool absent_too);

/*
 * The same for all sandboxes above *SLOT, until UNTIL_US of clock_now_us(). True: there are more, and *SLOT is where to go on; else
 * it is 0.
 */
bool daemon_endpoints_retry(struct daemon *daemon, unsigned *slot, uint64_t until_us, bool absent_too);

/*
 * Opens one listener on LISTEN; a socket that was kept for it is taken. OPTIONS come without a socket. ROUTE: NULL for the
 * default endpoint. NULL with ERR.
 */
struct fwd_listener *daemon_endpoints_listen(struct daemon *daemon, struct fwd_route *route,
					     struct fwd_listener_options options, const struct addr *listen,
					     struct err *err);

/* Closes a listener that daemon_endpoints_listen() opened, as daemon_endpoints_close() does. */
void daemon_endpoints_unlisten(struct daemon *daemon, struct fwd_listener *listener, bool reset);

/* Whether ERR, of a listener on LISTEN, only says that this host has no ::1, which was logged. */
bool daemon_endpoints_lack_ipv6(const struct addr *listen, const struct err *err);

#endif
