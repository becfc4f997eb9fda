/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Endpoints of the forwarder are listeners, one for each address; endpoints of nat are entries of the host's table, which the
 * fabric makes. ::1 may be missing on a host: then IPv4 serves alone, after one warning.
 */
#include "daemon/endpoints.h"

#include "base/clock.h"
#include "base/err.h"
#include "daemon/daemon.h"
#include "daemon/inherited.h"
#include "daemon/listeners.h"
#include "daemon/loopback.h"
#include "daemon/not_open.h"
#include "daemon/port_holder.h"
#include "daemon/tenant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool daemon_endpoints_lack_ipv6(const struct addr *listen, const struct err *err)
{
	if (listen->any.sa_family != AF_INET6 || !addr_is_loopback(listen))
		return false;
	return err->code == EADDRNOTAVAIL || err->code == EAFNOSUPPORT;
}

struct fwd_listener *daemon_endpoints_listen(struct daemon *daemon, struct fwd_route *route,
					     struct fwd_listener_options options, const struct addr *listen,
					     struct err *err)
{
	struct fwd_listener *listener;

	options.fd = daemon_inherited_take(daemon->inherited, listen, options.proto);
	listener = fwd_listener_open(daemon->forwarder, listen, route, &options, err);
	if (listener) {
		daemon_listeners_add(daemon, fwd_listener_fd(listener));
	} else if (options.fd >= 0) {
		/* Or it would be in its own way at the next try. */
		daemon_listeners_close(daemon, options.fd, options.proto);
	}
	return listener;
}

void daemon_endpoints_unlisten(struct daemon *daemon, struct fwd_listener *listener, bool reset)
{
	daemon_listeners_remove(daemon, fwd_listener_fd(listener));
	fwd_listener_close(listener, reset);
}

static struct fwd_listener_options daemon_endpoints_options(const struct endpoint *endpoint)
{
	return (struct fwd_listener_options){ .proto = endpoint->port.proto,
					      .guest_port = endpoint->port.guest_port,
					      .proxy_protocol = endpoint->port.proxy_protocol };
}

/* The problem of an address that cannot be listened on: it names the port's field and the holder of the address. */
static void daemon_endpoints_explain(const struct endpoint *endpoints, size_t index, const char *list,
				     const struct addr *listen, const struct err *err, struct problem *problem)
{
	const struct endpoint *endpoint = &endpoints[index];
	struct socket_holder holder;
	char text[ADDR_TEXT_SIZE], field[64];

	snprintf(field, sizeof(field), "%s/%zu%s", list, index, endpoint->port.automatic ? "" : "/listen");
	addr_format(listen, text);
	if (err->code == EADDRINUSE) {
		daemon_port_holder_find(listen, endpoint->port.proto, &holder);
		registry_problem_set(problem, PROBLEM_CONFLICT, field, "%s is in use by %s", text, holder.text);
	} else if (err->code == EADDRNOTAVAIL) {
		registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
				     "%s: this host has no such address of its own", text);
	} else if (daemon_not_open_is_shortage(err)) {
		registry_problem_set(problem, PROBLEM_UNAVAILABLE, field, "%s", err->text);
	} else {
		registry_problem_set(problem, PROBLEM_INTERNAL, field, "%s", err->text);
	}
}

/* Closes the OPENED listeners, which are among the handles of ENDPOINTS. */
static void daemon_endpoints_undo(struct daemon *daemon, struct endpoint *endpoints, void **opened, size_t opened_count,
				  size_t count)
{
	for (size_t k = 0; k < opened_count; k++)
		for (size_t i = 0; i < count; i++)
			for (size_t j = 0; j < endpoints[i].listen_count; j++)
				if (endpoints[i].handles[j] == opened[k])
					endpoints[i].handles[j] = NULL;
	for (size_t k = 0; k < opened_count; k++)
		daemon_endpoints_unlisten(daemon, opened[k], true);
}

/* Opens one address of an endpoint. 0: it is open, or the host lacks it; -1 with ERR. */
static int daemon_endpoints_open_one(struct daemon *daemon, struct fwd_route *route, struct endpoint *endpoint,
				     size_t index, struct err *err)
{
	const struct addr *listen = &endpoint->listen[index];
	void *opened = daemon_endpoints_listen(daemon, route, daemon_endpoints_options(endpoint), listen, err);

	endpoint->handles[index] = opened;
	endpoint->absent[index] = !opened && endpoint->listen_count > 1 && daemon_endpoints_lack_ipv6(listen, err);
	return opened || endpoint->absent[index] ? 0 : -1;
}

int daemon_endpoints_open(struct daemon *daemon, struct tenant *tenant, struct endpoint *endpoints, size_t count,
			  const char *list, uint16_t *taken, struct problem *problem)
{
	void **opened = calloc(count * SPEC_LISTEN_MAX + 1, sizeof(*opened));
	size_t opened_count = 0;

	if (!opened)
		return registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct endpoint *endpoint = &endpoints[i];

		for (size_t j = 0; j < endpoint->listen_count && endpoint->port.via == VIA_FORWARDER; j++) {
			struct err err;

			if (endpoint->handles[j])
				continue;
			if (daemon_endpoints_open_one(daemon, tenant->route, endpoint, j, &err) == 0) {
				if (endpoint->handles[j])
					opened[opened_count++] = endpoint->handles[j];
				continue;
			}
			if (taken && endpoint->port.automatic && err.code == EADDRINUSE)
				*taken = addr_port(&endpoint->listen[j]);
			daemon_endpoints_explain(endpoints, i, list, &endpoint->listen[j], &err, problem);
			daemon_endpoints_undo(daemon, endpoints, opened, opened_count, count);
			free(opened);
			return -1;
		}
	}
	free(opened);
	return 0;
}

void daemon_endpoints_close(struct daemon *daemon, struct endpoint *endpoints, size_t count, bool reset)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < endpoints[i].listen_count; j++) {
			if (endpoints[i].handles[j])
				daemon_endpoints_unlisten(daemon, endpoints[i].handles[j], reset);
			endpoints[i].handles[j] = NULL;
		}
	}
}

/* Opens one address of an endpoint, or notes why not. 0, or -1 with ERR. */
static int daemon_endpoints_try(struct daemon *daemon, struct sandbox *sandbox, struct endpoint *endpoint, size_t index,
				struct err *err)
{
	const struct addr *listen = &endpoint->listen[index];

	if (daemon_endpoints_open_one(daemon, daemon_tenant_of(sandbox)->route, endpoint, index, err) < 0) {
		daemon_not_open_add(daemon, listen, endpoint->port.proto, sandbox->id, NULL, err);
		return -1;
	}
	if (endpoint->handles[index])
		daemon_not_open_remove(daemon, listen, endpoint->port.proto);
	return 0;
}

int daemon_endpoints_open_some(struct daemon *daemon, struct sandbox *sandbox, bool absent_too)
{
	struct err err;
	bool shortage = false;

	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		struct endpoint *endpoint = &sandbox->endpoints[i];

		for (size_t j = 0; j < endpoint->listen_count && endpoint->port.via == VIA_FORWARDER; j++) {
			if (endpoint->handles[j] || (endpoint->absent[j] && !absent_too))
				continue;
			if (daemon_endpoints_try(daemon, sandbox, endpoint, j, &err) < 0)
				shortage |= daemon_not_open_is_shortage(&err);
		}
	}
	daemon_loopback_follow(daemon_tenant_of(sandbox));
	return shortage ? -1 : 0;
}

/* Whether its closed endpoints are to be open, and no change of it is under way. */
static bool daemon_endpoints_concern(const struct sandbox *sandbox)
{
	const struct tenant *tenant = daemon_tenant_of(sandbox);

	return tenant && tenant->route && !tenant->busy && !tenant->kept && sandbox->state != SANDBOX_DRAINING;
}

bool daemon_endpoints_retry(struct daemon *daemon, unsigned *slot, uint64_t until_us, bool absent_too)
{
	struct sandbox *sandbox;

	while ((sandbox = registry_next(daemon->registry, *slot))) {
		*slot = sandbox->slot;
		if (daemon_endpoints_concern(sandbox) && daemon_endpoints_open_some(daemon, sandbox, absent_too) < 0)
			break; /* the others would meet the same shortage */
		if (clock_now_us() >= until_us)
			return true;
	}
	*slot = 0;
	return false;
}
