/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel redirects the guests' connections to services, whatever their addresses, to one listening socket. Which service a guest
 * has asked for is known by the address that it used, which the kernel remembers; who it is, by where it comes from.
 */
#include "forwarder/services.h"

#include "base/err.h"
#include "base/log.h"
#include "forwarder/admission.h"
#include "forwarder/arrival.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>

/* ---- The services ---- */

int fwd_set_services(struct forwarder *forwarder, const struct fwd_service *services, size_t count, struct err *err)
{
	struct services *own = &forwarder->services;

	own->endpoints = calloc(count ? count : 1, sizeof(*own->endpoints));
	if (!own->endpoints)
		return err_set(err, ENOMEM, "services");
	for (; own->count < count; own->count++) {
		const struct fwd_service *service = &services[own->count];

		own->endpoints[own->count] = fwd_endpoint_new_out(0, &service->address, &service->target);
		if (!own->endpoints[own->count]) {
			fwd_services_free(forwarder);
			return err_set(err, ENOMEM, "services");
		}
	}
	return 0;
}

void fwd_services_free(struct forwarder *forwarder)
{
	struct services *own = &forwarder->services;

	while (own->count)
		fwd_endpoint_release(own->endpoints[--own->count]);
	free(own->endpoints);
	own->endpoints = NULL;
}

struct fwd_endpoint *fwd_services_find(const struct forwarder *forwarder, const struct addr *address)
{
	const struct services *own = &forwarder->services;

	for (size_t i = 0; i < own->count; i++) {
		if (addr_equal(&own->endpoints[i]->listen, address))
			return own->endpoints[i];
	}
	return NULL;
}

/* ---- A connection to one of them ---- */

static bool fwd_services_turn_away(struct worker *worker, int fd, const struct addr *client, const struct addr *asked,
				   enum fwd_close_reason reason)
{
	const char *error = reason == CLOSE_ERROR ? "it asks for no service of the host" : NULL;
	char from[ADDR_TEXT_SIZE], to[ADDR_TEXT_SIZE];

	fwd_socket_reset(&fd);
	fwd_tally_drop(worker->forwarder, reason, 1);
	log_limited(&fwd_admission_lines, LOG_INFO_LEVEL, "connection ended", F_STR("direction", "out"),
		    F_STR("endpoint", asked ? addr_format(asked, to) : NULL),
		    F_STR("client", addr_format(client, from)), F_STR("reason", fwd_close_reason_name(reason)),
		    F_STR("error", error));
	return false;
}

bool fwd_services_arrive(struct worker *worker, int fd, const struct addr *client, struct arrival *arrival)
{
	struct forwarder *forwarder = worker->forwarder;
	struct fwd_route *route = fwd_sources_find(forwarder, ntohl(client->in.sin_addr.s_addr));
	struct fwd_endpoint *endpoint;
	struct addr asked;

	if (!route)
		return fwd_services_turn_away(worker, fd, client, NULL, CLOSE_NO_SANDBOX);
	if (fwd_socket_original(fd, &asked) < 0)
		return fwd_services_turn_away(worker, fd, client, NULL, CLOSE_ERROR);
	endpoint = fwd_services_find(forwarder, &asked);
	if (!endpoint)
		return fwd_services_turn_away(worker, fd, client, &asked, CLOSE_ERROR);
	/* There are sides for all workers that may come here: fwd_route_new(). */
	*arrival = fwd_arrival_now(route->sides[worker->index], endpoint, fd, client);
	return true;
}
