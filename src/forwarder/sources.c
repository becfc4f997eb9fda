/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses follow each other, so their low bits spread them evenly.
 *
 * A worker looks a route up while it accepts, under its own lock. Main takes a route that ends out of the table, and then waits until
 * each worker has let go of that lock once: a worker that had found the route has passed its client on by then, in front of all that
 * main says about the route afterwards.
 */
#include "forwarder/sources.h"

#include "forwarder/core.h"
#include "forwarder/route.h"

void fwd_sources_init(struct sources *sources)
{
	pthread_mutex_init(&sources->lock, NULL);
	for (size_t i = 0; i < SOURCE_LISTS; i++)
		LIST_INIT(&sources->by_ip[i]);
}

void fwd_sources_free(struct sources *sources)
{
	pthread_mutex_destroy(&sources->lock);
}

void fwd_sources_set(struct fwd_route *route, uint32_t ip)
{
	struct sources *sources = &route->forwarder->sources;
	uint32_t former = route->source_ip;

	if (former == ip)
		return;
	pthread_mutex_lock(&sources->lock);
	if (former)
		LIST_REMOVE(route, of_source);
	route->source_ip = ip;
	if (ip)
		LIST_INSERT_HEAD(&sources->by_ip[ip % SOURCE_LISTS], route, of_source);
	pthread_mutex_unlock(&sources->lock);
}

struct fwd_route *fwd_sources_find(struct forwarder *forwarder, uint32_t ip)
{
	struct sources *sources = &forwarder->sources;
	struct fwd_route *route;

	pthread_mutex_lock(&sources->lock);
	LIST_FOREACH(route, &sources->by_ip[ip % SOURCE_LISTS], of_source)
	{
		if (route->source_ip == ip)
			break;
	}
	pthread_mutex_unlock(&sources->lock);
	return route;
}
