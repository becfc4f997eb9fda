/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One listener for each address of default_listen that the host has. Its port may lie in the range of outgoing connections: one
 * of these can hold it for a moment at the start, so opening is tried for some seconds.
 */
#include "daemon/default_endpoint.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/port_holder.h"
#include "daemon/tenant.h"

#include <errno.h>
#include <stdlib.h>

enum { DEFAULT_TRIES_MS = 5000 };

struct default_endpoint {
	size_t tried;      /* of default_listen: those that were opened, or that the host lacks */
	uint64_t until_ms; /* clock_now_ms(): until then a port that is in use is tried again */
	size_t listener_count;
	struct fwd_listener *listeners[];
};

/*
 * LISTEN is in use. 1 while the holder may be an outgoing connection (49983 lies in the ephemeral range) that ends in a
 * moment; -1 with ERR naming the holder.
 */
static int daemon_default_judge(const struct default_endpoint *endpoint, const struct addr *listen, struct err *err)
{
	struct socket_holder holder;
	char text[ADDR_TEXT_SIZE];

	daemon_port_holder_find(listen, PROTO_TCP, &holder);
	if (!holder.listening && clock_now_ms() < endpoint->until_ms)
		return 1;
	err_set(err, 0, "[forwarder] default_listen %s is in use by %s", addr_format(listen, text), holder.text);
	err->code = EADDRINUSE;
	return -1;
}

int daemon_default_open(struct daemon *daemon, struct err *err)
{
	const struct addr_list *wanted = &daemon->config->forwarder.default_listen;
	struct fwd_listener_options options = { .proto = PROTO_TCP,
						.guest_port = daemon->config->forwarder.default_guest_port };
	struct default_endpoint *endpoint = daemon->default_endpoint;

	if (!endpoint) {
		endpoint = calloc(1, sizeof(*endpoint) + wanted->count * sizeof(struct fwd_listener *));
		if (!endpoint)
			return err_set(err, ENOMEM, "default endpoint");
		endpoint->until_ms = clock_now_ms() + DEFAULT_TRIES_MS;
		daemon->default_endpoint = endpoint;
	}
	for (; endpoint->tried < wanted->count; endpoint->tried++) {
		const struct addr *listen = &wanted->items[endpoint->tried];
		struct fwd_listener *listener = daemon_endpoints_listen(daemon, NULL, options, listen, err);

		if (listener)
			endpoint->listeners[endpoint->listener_count++] = listener;
		else if (err->code == EADDRINUSE)
			return daemon_default_judge(endpoint, listen, err);
		else if (wanted->count == 1 || !daemon_endpoints_lack_ipv6(listen, err))
			return -1;
	}
	return 0;
}

void daemon_default_follow(struct daemon *daemon)
{
	struct sandbox *sandbox = registry_default(daemon->registry);
	bool serves =
	    sandbox && sandbox->tenant && sandbox->state != SANDBOX_DRAINING && daemon_tenant_of(sandbox)->route;

	fwd_set_default(daemon->forwarder, serves ? daemon_tenant_of(sandbox)->route : NULL);
}

size_t daemon_default_count(const struct daemon *daemon)
{
	return daemon->default_endpoint ? daemon->default_endpoint->listener_count : 0;
}

size_t daemon_default_list_fds(const struct daemon *daemon, int *fds, size_t room)
{
	size_t count = 0;

	for (; count < daemon_default_count(daemon) && count < room; count++)
		fds[count] = fwd_listener_fd(daemon->default_endpoint->listeners[count]);
	return count;
}

void daemon_default_free(struct daemon *daemon)
{
	free(daemon->default_endpoint);
	daemon->default_endpoint = NULL;
}
