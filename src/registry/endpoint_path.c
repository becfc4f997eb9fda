/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry leads clients past the forwarder, so there is one only where the forwarder has nothing to do: no header to send, no limit or
 * timer to keep, no user to tell from others, no client to hold. Behind a port that has not answered yet a server may be starting, and then
 * its clients are held.
 */
#include "registry/endpoint_path.h"

static const char *const path_reasons[] = {
	[PATH_WAITING] = "waiting",
	[PATH_ENTERED] = NULL,
	[PATH_OFF] = "off",
	[PATH_NOT_THERE] = "not-there",
	[PATH_NOT_LOOPBACK] = "not-loopback",
	[PATH_PROXY_PROTOCOL] = "proxy-protocol",
	[PATH_LIMITS] = "limits",
	[PATH_LOCAL_USERS] = "local-users",
	[PATH_NOT_READY_PORT] = "not-ready-port",
	[PATH_STOPPING] = "stopping",
	[PATH_DRAINING] = "draining",
	[PATH_FAILED] = "failed",
	[PATH_PAUSED] = "paused",
	[PATH_CLOSED] = "closed",
	[PATH_NOT_ANSWERED_YET] = "not-answered-yet",
	[PATH_TROUBLE] = "trouble",
};

struct path_facts registry_path_facts(const struct config *config)
{
	return (struct path_facts){
		.loopback = config->forwarder.loopback,
		.local_users = config->ingress.local_users.count > 0,
		.limits_connections = config->forwarder.connections || config->forwarder.sandbox_connections,
	};
}

/* The addresses of ENDPOINT that could have an entry once weft listens there. */
static bool registry_path_fits(const struct addr *listen, const struct path_facts *facts)
{
	return addr_is_loopback(listen) && (listen->any.sa_family == AF_INET || facts->ipv6);
}

bool registry_path_takes(const struct endpoint *endpoint, size_t index, const struct path_facts *facts)
{
	return endpoint->handles[index] && registry_path_fits(&endpoint->listen[index], facts);
}

/* The reasons of the specification and the options, which last until somebody changes these. */
static enum path_reason registry_path_judge_wish(const struct path_question *question, const struct path_facts *facts)
{
	const struct spec *spec = question->sandbox->spec;
	const struct endpoint *endpoint = question->endpoint;
	const struct limits *limits = &spec->limits;
	bool fits = false;

	if (facts->loopback == LOOPBACK_FORWARDER)
		return PATH_OFF;
	if (!facts->there)
		return PATH_NOT_THERE;
	for (size_t i = 0; i < endpoint->listen_count; i++)
		fits |= registry_path_fits(&endpoint->listen[i], facts);
	if (!fits)
		return PATH_NOT_LOOPBACK;
	if (endpoint->port.proxy_protocol)
		return PATH_PROXY_PROTOCOL;
	if (facts->limits_connections || limits->connections || limits->idle_ms || limits->half_closed_ms)
		return PATH_LIMITS;
	if (facts->local_users)
		return PATH_LOCAL_USERS;
	if (facts->loopback == LOOPBACK_AUTO && !question->is_default &&
	    (endpoint->port.proto != PROTO_TCP || !spec->ready_port || endpoint->port.guest_port != spec->ready_port))
		return PATH_NOT_READY_PORT;
	return PATH_ENTERED;
}

/* The reasons of the present state, which pass by themselves. */
static enum path_reason registry_path_judge_state(const struct path_question *question, const struct path_facts *facts)
{
	const struct sandbox *sandbox = question->sandbox;
	const struct endpoint *endpoint = question->endpoint;

	if (facts->stopping)
		return PATH_STOPPING;
	if (sandbox->state == SANDBOX_DRAINING)
		return PATH_DRAINING;
	if (sandbox->state == SANDBOX_FAILED)
		return PATH_FAILED;
	if (sandbox->paused)
		return PATH_PAUSED;
	if (sandbox->state != SANDBOX_READY || !sandbox->carrier)
		return PATH_WAITING;
	bool takes = false;
	for (size_t i = 0; i < endpoint->listen_count; i++)
		takes |= registry_path_takes(endpoint, i, facts);
	if (!takes)
		return PATH_CLOSED;
	return question->answered ? PATH_ENTERED : PATH_NOT_ANSWERED_YET;
}

enum path_reason registry_path_decide(const struct path_question *question, const struct path_facts *facts)
{
	enum path_reason reason = registry_path_judge_wish(question, facts);

	return reason == PATH_ENTERED ? registry_path_judge_state(question, facts) : reason;
}

bool registry_path_is_kernel(const struct endpoint *endpoint)
{
	bool entered = endpoint->port.via == VIA_NAT;

	for (size_t i = 0; i < endpoint->listen_count; i++)
		entered |= endpoint->entered[i];
	return entered;
}

const char *registry_path_name(const struct endpoint *endpoint)
{
	return registry_path_is_kernel(endpoint) ? "kernel" : "forwarder";
}

const char *registry_path_reason(const struct endpoint *endpoint)
{
	if (registry_path_is_kernel(endpoint))
		return NULL;
	/* It is to have an entry, and has none. */
	return path_reasons[endpoint->path_reason == PATH_ENTERED ? PATH_TROUBLE : endpoint->path_reason];
}
