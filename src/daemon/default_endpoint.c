/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One listener for each address of default_listen that the host has. Its port may lie in the range of outgoing connections. One
 * of these can hold it for a moment at the start, so opening is tried for some seconds before weftd goes on without it. Afterwards
 * it is tried each second.
 */
#include "daemon/default_endpoint.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/loopback.h"
#include "daemon/not_open.h"
#include "daemon/port_holder.h"
#include "daemon/tenant.h"

#include <errno.h>
#include <stdlib.h>

enum { DEFAULT_TRIES_MS = 5000 };

static const char default_option[] = "[forwarder] default_listen";

struct default_endpoint {
	size_t tried;      /* of default_listen, at the start */
	uint64_t until_ms; /* clock_now_ms(): until then a port of an outgoing connection is waited for */
	size_t count;
	struct {
		struct fwd_listener *listener; /* NULL: not open */
		bool absent;                   /* the host has no ::1 */
	} addresses[];                         /* as in the option */
};

/* Whether the holder of LISTEN may be an outgoing connection (49983 lies in the ephemeral range) that ends in a moment. */
static bool daemon_default_may_wait(const struct default_endpoint *endpoint, const struct addr *listen)
{
	struct socket_holder holder;

	if (clock_now_ms() >= endpoint->until_ms)
		return false;
	daemon_port_holder_look(listen, PROTO_TCP, &holder);
	return !holder.listening;
}

/* Opens one address. 0: it is open, or the host lacks it; -1 with ERR. */
static int daemon_default_listen(struct daemon *daemon, size_t index, struct err *err)
{
	const struct addr_list *wanted = &daemon->config->forwarder.default_listen;
	struct default_endpoint *endpoint = daemon->default_endpoint;
	struct fwd_listener_options options = { .proto = PROTO_TCP,
						.guest_port = daemon->config->forwarder.default_guest_port };
	struct fwd_listener *listener = daemon_endpoints_listen(daemon, NULL, options, &wanted->items[index], err);

	if (listener) {
		endpoint->addresses[index].listener = listener;
		daemon_loopback_default_opens(daemon, &wanted->items[index], true);
		daemon_not_open_remove(daemon, &wanted->items[index], PROTO_TCP);
		return 0;
	}
	endpoint->addresses[index].absent = wanted->count > 1 && daemon_endpoints_lack_ipv6(&wanted->items[index], err);
	return endpoint->addresses[index].absent ? 0 : -1;
}

static struct default_endpoint *daemon_default_new(struct daemon *daemon)
{
	size_t count = daemon->config->forwarder.default_listen.count;
	struct default_endpoint *endpoint = calloc(1, sizeof(*endpoint) + count * sizeof(endpoint->addresses[0]));

	if (!endpoint)
		return NULL;
	endpoint->count = count;
	endpoint->until_ms = clock_now_ms() + DEFAULT_TRIES_MS;
	return endpoint;
}

int daemon_default_open(struct daemon *daemon, struct err *err)
{
	const struct addr_list *wanted = &daemon->config->forwarder.default_listen;
	struct default_endpoint *endpoint = daemon->default_endpoint;

	if (!endpoint)
		daemon->default_endpoint = endpoint = daemon_default_new(daemon);
	if (!endpoint)
		return err_set(err, ENOMEM, "default endpoint");
	for (; endpoint->tried < wanted->count; endpoint->tried++) {
		const struct addr *listen = &wanted->items[endpoint->tried];

		if (daemon_default_listen(daemon, endpoint->tried, err) == 0)
			continue;
		if (!daemon_not_open_may_pass(err))
			return -1;
		if (err->code == EADDRINUSE && daemon_default_may_wait(endpoint, listen))
			return 1;
		daemon_not_open_add(daemon, listen, PROTO_TCP, NULL, default_option, err);
	}
	return 0;
}

void daemon_default_retry(struct daemon *daemon)
{
	struct default_endpoint *endpoint = daemon->default_endpoint;
	struct err err;

	for (size_t i = 0; endpoint && i < endpoint->tried; i++) {
		if (endpoint->addresses[i].listener || endpoint->addresses[i].absent)
			continue;
		if (daemon_default_listen(daemon, i, &err) < 0)
			daemon_not_open_add(daemon, &daemon->config->forwarder.default_listen.items[i], PROTO_TCP, NULL,
					    default_option, &err);
	}
}

void daemon_default_follow(struct daemon *daemon)
{
	struct sandbox *sandbox = registry_default(daemon->registry);
	bool serves =
	    sandbox && sandbox->tenant && sandbox->state != SANDBOX_DRAINING && daemon_tenant_of(sandbox)->route;

	daemon_loopback_leave_default(daemon, serves ? daemon_tenant_of(sandbox) : NULL);
	fwd_set_default(daemon->forwarder, serves ? daemon_tenant_of(sandbox)->route : NULL);
	if (serves)
		daemon_loopback_follow(daemon_tenant_of(sandbox));
}

void daemon_default_free(struct daemon *daemon)
{
	free(daemon->default_endpoint);
	daemon->default_endpoint = NULL;
}
