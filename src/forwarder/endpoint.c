/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages lie inside, so that closing an endpoint never fails for lack of memory. A message under way holds a reference.
 */
#include "forwarder/endpoint.h"

#include <stdio.h>
#include <stdlib.h>

struct fwd_endpoint *fwd_endpoint_new(size_t shares, const struct addr *listen, uint16_t guest_port,
				      bool proxy_protocol)
{
	struct fwd_endpoint *endpoint = calloc(1, sizeof(*endpoint) + shares * sizeof(endpoint->shares[0]));

	if (!endpoint)
		return NULL;
	atomic_init(&endpoint->references, 1);
	endpoint->share_count = shares;
	endpoint->listen = *listen;
	endpoint->guest_port = guest_port;
	endpoint->proxy_protocol = proxy_protocol;
	return endpoint;
}

struct fwd_endpoint *fwd_endpoint_new_out(size_t shares, const struct addr *listen, const struct fwd_target *target)
{
	struct fwd_endpoint *endpoint =
	    fwd_endpoint_new(shares, listen, addr_port(listen), target && target->proxy_protocol);

	if (!endpoint)
		return NULL;
	endpoint->direction = DIRECTION_OUT;
	if (target)
		endpoint->target = *target;
	return endpoint;
}

struct fwd_endpoint *fwd_endpoint_new_for_door(size_t shares)
{
	const struct addr none = addr_from_ipv4(INADDR_ANY, 0);
	struct fwd_endpoint *endpoint = fwd_endpoint_new(shares, &none, 0, false);

	if (endpoint)
		endpoint->door = true;
	return endpoint;
}

struct fwd_endpoint *fwd_endpoint_new_door(enum door_kind kind, uint16_t port, const struct door_token *token)
{
	const struct addr none = addr_from_ipv4(INADDR_ANY, port);
	struct fwd_endpoint *endpoint = fwd_endpoint_new(0, &none, port, false);

	if (!endpoint)
		return NULL;
	endpoint->door = true;
	endpoint->kind = kind;
	endpoint->token = *token;
	return endpoint;
}

char *fwd_endpoint_format_door(uint16_t port, char text[static ADDR_TEXT_SIZE])
{
	snprintf(text, ADDR_TEXT_SIZE, "door:%u", port);
	return text;
}

char *fwd_endpoint_format(const struct fwd_endpoint *endpoint, char text[static ADDR_TEXT_SIZE])
{
	return endpoint->door ? fwd_endpoint_format_door(endpoint->guest_port, text)
			      : addr_format(&endpoint->listen, text);
}

char *fwd_endpoint_format_client(const struct addr *client, char text[static ADDR_TEXT_SIZE])
{
	if (client->any.sa_family)
		return addr_format(client, text);
	snprintf(text, ADDR_TEXT_SIZE, "unknown");
	return text;
}

struct fwd_endpoint *fwd_endpoint_reference(struct fwd_endpoint *endpoint)
{
	atomic_fetch_add_explicit(&endpoint->references, 1, memory_order_relaxed);
	return endpoint;
}

void fwd_endpoint_release(struct fwd_endpoint *endpoint)
{
	if (atomic_fetch_sub_explicit(&endpoint->references, 1, memory_order_acq_rel) == 1)
		free(endpoint);
}

bool fwd_endpoint_is(const struct fwd_endpoint *endpoint, const struct fwd_endpoint *listening)
{
	return endpoint == listening ||
	       (endpoint->former && !endpoint->door && addr_equal(&endpoint->listen, &listening->listen));
}
