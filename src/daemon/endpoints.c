/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Endpoints of the forwarder are listeners, one for each address; endpoints of nat are entries of the host's table and none of
 * this file's business. ::1 may be missing on a host: then IPv4 serves alone, after one warning.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/inherited.h"
#include "daemon/port_holder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_TRIES_MS = 5000 };

/* Whether ERR only says that this host has no ::1, which was told at the start. */
static bool lacks_ipv6_loopback(const struct addr *listen, const struct err *err)
{
	if (listen->any.sa_family != AF_INET6 || !addr_is_loopback(listen))
		return false;
	return err->code == EADDRNOTAVAIL || err->code == EAFNOSUPPORT;
}

/* OPTIONS without a socket: one that was kept for LISTEN is taken. ROUTE: NULL for the default endpoint. */
static struct listener *open_one(struct daemon *daemon, struct fwd_route *route, struct listener_options options,
				 const struct addr *listen, struct err *err)
{
	struct listener *listener;

	options.fd = inherited_take(daemon->inherited, listen, options.proto);
	listener = listener_open(daemon->forwarder, listen, route, &options, err);
	if (!listener)
		cleanup_fd(&options.fd); /* or it would be in its own way at the next try */
	return listener;
}

static struct listener_options options_of(const struct endpoint *endpoint)
{
	return (struct listener_options){ .proto = endpoint->port.proto,
					  .guest_port = endpoint->port.guest_port,
					  .proxy_protocol = endpoint->port.proxy_protocol };
}

/* An err for an address that cannot be listened on, as a problem that names the port's field and who is in the way. */
static void explain(const struct endpoint *endpoints, size_t index, const char *list, const struct addr *listen,
		    const struct err *err, struct problem *problem)
{
	const struct endpoint *endpoint = &endpoints[index];
	struct socket_holder holder;
	char text[ADDR_TEXT_SIZE], field[64];

	snprintf(field, sizeof(field), "%s/%zu%s", list, index, endpoint->port.automatic ? "" : "/listen");
	addr_format(listen, text);
	if (err->code == EADDRINUSE) {
		port_holder_find(listen, endpoint->port.proto, &holder);
		problem_set(problem, PROBLEM_CONFLICT, field, "%s is in use by %s", text, holder.text);
	} else if (err->code == EADDRNOTAVAIL) {
		problem_set(problem, PROBLEM_BAD_REQUEST, field, "%s: this host has no such address", text);
	} else if (err->code == EMFILE || err->code == ENFILE || err->code == ENOMEM) {
		problem_set(problem, PROBLEM_UNAVAILABLE, field, "%s: %s", text, err->text);
	} else {
		problem_set(problem, PROBLEM_INTERNAL, field, "%s: %s", text, err->text);
	}
}

/* Closes what this call opened: OPENED marks them by index of endpoint and address. */
static void close_opened(struct endpoint *endpoints, void **opened, size_t opened_count, size_t count)
{
	for (size_t k = 0; k < opened_count; k++)
		for (size_t i = 0; i < count; i++)
			for (size_t j = 0; j < endpoints[i].listen_count; j++)
				if (endpoints[i].handles[j] == opened[k])
					endpoints[i].handles[j] = NULL;
	for (size_t k = 0; k < opened_count; k++)
		listener_close(opened[k], true);
}

int endpoints_open(struct daemon *daemon, struct tenant *tenant, struct endpoint *endpoints, size_t count,
		   const char *list, uint16_t *taken, struct problem *problem)
{
	void **opened = calloc(count * SPEC_LISTEN_MAX + 1, sizeof(*opened));
	size_t opened_count = 0;

	if (!opened)
		return problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct endpoint *endpoint = &endpoints[i];

		for (size_t j = 0; j < endpoint->listen_count && endpoint->port.via == VIA_FORWARDER; j++) {
			struct err err;

			if (endpoint->handles[j])
				continue;
			endpoint->handles[j] =
			    open_one(daemon, tenant->route, options_of(endpoint), &endpoint->listen[j], &err);
			if (endpoint->handles[j]) {
				opened[opened_count++] = endpoint->handles[j];
				continue;
			}
			if (endpoint->listen_count > 1 && lacks_ipv6_loopback(&endpoint->listen[j], &err))
				continue;
			if (taken && endpoint->port.automatic && err.code == EADDRINUSE)
				*taken = addr_port(&endpoint->listen[j]);
			explain(endpoints, i, list, &endpoint->listen[j], &err, problem);
			close_opened(endpoints, opened, opened_count, count);
			free(opened);
			return -1;
		}
	}
	free(opened);
	return 0;
}

void endpoints_close(struct endpoint *endpoints, size_t count, bool reset)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < endpoints[i].listen_count; j++) {
			if (endpoints[i].handles[j])
				listener_close(endpoints[i].handles[j], reset);
			endpoints[i].handles[j] = NULL;
		}
	}
}

static bool has_closed(const struct endpoint *endpoint)
{
	for (size_t j = 0; j < endpoint->listen_count; j++)
		if (endpoint->port.via == VIA_FORWARDER && !endpoint->handles[j])
			return true;
	return false;
}

void endpoints_retry(struct daemon *daemon)
{
	struct problem problem;

	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot)) {
		struct tenant *tenant = tenant_of(sandbox);

		if (!tenant || !tenant->route || tenant->busy || tenant->kept || sandbox->state == SANDBOX_DRAINING)
			continue;
		for (size_t i = 0; i < sandbox->endpoint_count; i++) {
			struct endpoint *endpoint = &sandbox->endpoints[i];

			/* Without ::1 what is left closed stays so. */
			if (has_closed(endpoint) &&
			    endpoints_open(daemon, tenant, endpoint, 1, "/ports", NULL, &problem) == 0 &&
			    !has_closed(endpoint))
				log_info("endpoint open again", F_STR("sandbox", sandbox->id));
		}
	}
}

/*
 * LISTEN is in use: 1 while that may pass, as an outgoing connection may have the port for a moment (49983 lies in the ephemeral range);
 * -1 with ERR naming the holder.
 */
static int judge_default(const struct daemon *daemon, const struct addr *listen, struct err *err)
{
	struct socket_holder holder;
	char text[ADDR_TEXT_SIZE];

	port_holder_find(listen, PROTO_TCP, &holder);
	if (!holder.listening && clock_now_ms() < daemon->default_until_ms)
		return 1;
	err_set(err, 0, "[forwarder] default_listen %s is in use by %s", addr_format(listen, text), holder.text);
	err->code = EADDRINUSE;
	return -1;
}

int default_endpoint_open(struct daemon *daemon, struct err *err)
{
	const struct addr_list *wanted = &daemon->config->forwarder.default_listen;
	struct listener_options options = { .proto = PROTO_TCP,
					    .guest_port = daemon->config->forwarder.default_guest_port };

	if (!daemon->default_listeners) {
		daemon->default_listeners = calloc(wanted->count + 1, sizeof(struct listener *));
		daemon->default_until_ms = clock_now_ms() + DEFAULT_TRIES_MS;
	}
	if (!daemon->default_listeners)
		return err_set(err, ENOMEM, "default endpoint");
	for (; daemon->default_tried < wanted->count; daemon->default_tried++) {
		const struct addr *listen = &wanted->items[daemon->default_tried];
		struct listener *listener = open_one(daemon, NULL, options, listen, err);

		if (listener)
			daemon->default_listeners[daemon->default_listener_count++] = listener;
		else if (err->code == EADDRINUSE)
			return judge_default(daemon, listen, err);
		else if (wanted->count == 1 || !lacks_ipv6_loopback(listen, err))
			return -1;
	}
	return 0;
}

void default_endpoint_follow(struct daemon *daemon)
{
	struct sandbox *sandbox = registry_default(daemon->registry);
	bool serves = sandbox && sandbox->tenant && sandbox->state != SANDBOX_DRAINING && tenant_of(sandbox)->route;

	forwarder_set_default(daemon->forwarder, serves ? tenant_of(sandbox)->route : NULL);
}
