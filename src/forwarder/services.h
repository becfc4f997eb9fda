/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_SERVICES_H
#define WEFT_FORWARDER_SERVICES_H

/* The services that guests ask for, and the way of a guest's own connection to one of them. */

#include <stdbool.h>
#include <stddef.h>

struct addr;
struct arrival;
struct forwarder;
struct fwd_endpoint;
struct worker;

/* Constant once there is a route: any thread. */
struct services {
	size_t count;
	struct fwd_endpoint **endpoints; /* each with our reference */
};

/* The endpoint of the service that guests ask for at ADDRESS; NULL: there is none. Any thread. */
struct fwd_endpoint *fwd_services_find(const struct forwarder *forwarder, const struct addr *address);

/*
 * FD, accepted on WORKER from CLIENT, was redirected here: ARRIVAL says whose connection it is, and to which service. False: nobody's,
 * or to none; it was reset, with a line in the log. FD is the callee's then. The worker's thread, with its lock `accepting`.
 */
bool fwd_services_arrive(struct worker *worker, int fd, const struct addr *client, struct arrival *arrival);

void fwd_services_free(struct forwarder *forwarder);

#endif
