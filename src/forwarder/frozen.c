/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory and the descriptors of connections on their way.
 */
#include "forwarder/frozen.h"

#include "base/cleanup.h"
#include "forwarder/endpoint.h"
#include "forwarder/socket.h"

#include <stdlib.h>

struct frozen_route *fwd_frozen_route_new(void)
{
	struct frozen_route *route = calloc(1, sizeof(*route));

	if (route)
		route->carrier_downs = -1;
	return route;
}

void fwd_frozen_init(struct frozen *frozen)
{
	*frozen = (struct frozen){
		.kind = FROZEN_ENDPOINT,
		.half_closed_ms = FROZEN_NEVER,
		.settle_ms = FROZEN_NEVER,
		.refused_ms = FROZEN_NEVER,
	};
	for (size_t i = 0; i < 2; i++) {
		frozen->peers[i].fd = -1;
		frozen->streams[i].pipe_read = frozen->streams[i].pipe_write = -1;
	}
}

enum fwd_direction fwd_frozen_direction(const struct frozen *frozen)
{
	return frozen->kind == FROZEN_SERVICE ? DIRECTION_OUT : DIRECTION_IN;
}

char *fwd_frozen_format_endpoint(const struct frozen *frozen, char text[static ADDR_TEXT_SIZE])
{
	return frozen->kind == FROZEN_DOOR ? fwd_endpoint_format_door(frozen->guest_port, text)
					   : addr_format(&frozen->listen, text);
}

uint64_t fwd_frozen_bytes(const struct frozen *frozen)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < 2; i++)
		bytes += frozen->streams[i].rest_size + frozen->streams[i].pipe_filled;
	return bytes;
}

void fwd_frozen_release(struct frozen *frozen)
{
	for (size_t i = 0; i < 2; i++) {
		free(frozen->streams[i].rest);
		frozen->streams[i].rest = NULL;
	}
}

void fwd_frozen_route_free(struct frozen_route *route)
{
	for (size_t i = 0; i < route->count; i++)
		fwd_frozen_release(&route->items[i]);
	vec_free(route);
	free(route);
}

size_t fwd_frozen_fds(const struct frozen *frozen)
{
	size_t count = 0;

	for (size_t i = 0; i < 2; i++)
		count += (frozen->peers[i].fd >= 0) + (frozen->streams[i].pipe_read >= 0) +
			 (frozen->streams[i].pipe_write >= 0);
	return count;
}

void fwd_frozen_reset(struct frozen *frozen)
{
	for (size_t i = 0; i < 2; i++) {
		fwd_socket_reset(&frozen->peers[i].fd);
		cleanup_fd(&frozen->streams[i].pipe_read);
		cleanup_fd(&frozen->streams[i].pipe_write);
	}
	fwd_frozen_release(frozen);
}
