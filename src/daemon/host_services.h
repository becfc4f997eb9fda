/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_HOST_SERVICES_H
#define WEFT_DAEMON_HOST_SERVICES_H

/*
 * Services of the host to which weftd itself connects the guests ([egress] allow_host with an address or a unix socket), and the
 * listener on [egress] service_port, where the host's rules redirect them.
 */

struct daemon;
struct err;

/* Tells the new forwarder of them. 0, or -1 with ERR. */
int daemon_services_set(struct daemon *daemon, struct err *err);

/*
 * Opens the listener at the start, if there is such a service, once all sandboxes are known. One that another program or a shortage
 * keeps closed is left for daemon_services_retry(). 0, or -1 with ERR for another fault.
 */
int daemon_services_open(struct daemon *daemon, struct err *err);
void daemon_services_retry(struct daemon *daemon);

/* Forgets the listener, which goes with the forwarder. */
void daemon_services_free(struct daemon *daemon);

#endif
