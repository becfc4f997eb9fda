/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After each change that may concern a tenant's entries, its endpoints are judged anew: entries that are not wanted any more are deleted
 * first, then the missing ones are put. Endpoints note which of their addresses have an entry, so a change that concerns none costs no
 * system call. An entry that cannot be deleted would lead clients astray. Then the lease of all entries is ended at once, and
 * loopback_open.c makes a new table.
 */
#include "daemon/loopback.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/loopback_state.h"
#include "daemon/tenant.h"
#include "fabric/fabric.h"

#include <stdio.h>

enum { AGAIN_MS = 1000 };

struct path_facts daemon_loopback_facts(const struct loopback *loopback)
{
	struct path_facts facts = registry_path_facts(loopback->daemon->config);

	facts.there = loopback->kern && !loopback->broken;
	facts.ipv6 = loopback->kern && kern_loopback_has_ipv6(loopback->kern, NULL);
	facts.stopping = loopback->daemon->state == DAEMON_STOPPING;
	return facts;
}

/* ---- Updates of the table ---- */

void daemon_loopback_complain(struct loopback *loopback, const char *what, const struct err *err)
{
	log_seldom(LOG_WARNING_LEVEL, what, F_STR("error", err->text));
	snprintf(loopback->error, sizeof(loopback->error), "%s", err->text);
	/* Further failures do not put it off, because the same timer renews the lease. */
	if (!loopback->troubled)
		timer_start(&loopback->timer, AGAIN_MS);
	loopback->troubled = true;
}

/* Datagrams are no connections. */
void daemon_loopback_count(struct tenant *tenant, const struct endpoint *endpoint, uint64_t hits)
{
	if (endpoint->port.proto == PROTO_TCP)
		tenant->entered.gone += hits;
}

static void daemon_loopback_take(struct loopback *loopback, struct tenant *tenant, struct endpoint *endpoint,
				 size_t index)
{
	uint64_t hits = endpoint->hits[index];
	struct err err, ignored;

	if (!loopback->broken &&
	    kern_loopback_take(loopback->kern, &endpoint->listen[index], endpoint->port.proto, &hits, &err) < 0) {
		hits = endpoint->hits[index];
		loopback->broken = true;
		kern_loopback_renew(loopback->kern, 0, &ignored);
		daemon_loopback_complain(
		    loopback, "an entry for loopback clients was not removed; the forwarder serves all until it is",
		    &err);
	}
	daemon_loopback_count(tenant, endpoint, hits);
	endpoint->entered[index] = false;
	endpoint->hits[index] = 0;
	loopback->entries--;
}

static void daemon_loopback_put(struct loopback *loopback, const struct tenant *tenant, struct endpoint *endpoint,
				size_t index)
{
	const struct sandbox *sandbox = tenant->sandbox;
	const struct kern_loopback_entry entry = { .listen = endpoint->listen[index],
						   .proto = endpoint->port.proto,
						   .host_ip = config_host_ip(sandbox->layout, sandbox->slot),
						   .guest_port = endpoint->port.guest_port };
	struct err err;

	if (kern_loopback_put(loopback->kern, &entry, &err) < 0) {
		daemon_loopback_complain(loopback,
					 "an entry for loopback clients was not made; the forwarder serves them", &err);
		return;
	}
	endpoint->entered[index] = true;
	endpoint->hits[index] = 0;
	loopback->entries++;
}

/* ---- What is wanted ---- */

static uint32_t daemon_loopback_key(uint16_t port, enum proto proto)
{
	return port | (proto == PROTO_UDP ? UINT32_C(1) << 16 : 0);
}

static bool daemon_loopback_has_answered(const struct tenant *tenant, const struct spec_port *port)
{
	const struct sandbox *sandbox = tenant->sandbox;

	if (sandbox->guest_answers && port->proto == PROTO_TCP && port->guest_port == sandbox->spec->ready_port)
		return true;
	for (size_t i = 0; i < tenant->entered.answered.count; i++)
		if (tenant->entered.answered.items[i] == daemon_loopback_key(port->guest_port, port->proto))
			return true;
	return false;
}

static void daemon_loopback_judge(const struct loopback *loopback, const struct tenant *tenant,
				  struct endpoint *endpoint, const struct path_facts *facts)
{
	const struct path_question question = { .sandbox = tenant->sandbox,
						.endpoint = endpoint,
						.is_default = endpoint == &loopback->default_endpoint,
						.answered = daemon_loopback_has_answered(tenant, &endpoint->port) };

	endpoint->path_reason = registry_path_decide(&question, facts);
	/* A sandbox of the former run gets entries once its slot is taken over. */
	if (endpoint->path_reason == PATH_ENTERED && (tenant->netns_fd < 0 || tenant->takeover.untaken))
		endpoint->path_reason = PATH_WAITING;
}

static bool daemon_loopback_wants(const struct endpoint *endpoint, size_t index, const struct path_facts *facts)
{
	return endpoint->path_reason == PATH_ENTERED && registry_path_takes(endpoint, index, facts);
}

/* Judges ENDPOINT anew, and deletes entries that it is not to have. */
static void daemon_loopback_shrink(struct loopback *loopback, struct tenant *tenant, struct endpoint *endpoint,
				   const struct path_facts *facts)
{
	if (endpoint->port.via != VIA_FORWARDER)
		return;
	daemon_loopback_judge(loopback, tenant, endpoint, facts);
	for (size_t i = 0; i < endpoint->listen_count; i++)
		if (endpoint->entered[i] && !daemon_loopback_wants(endpoint, i, facts))
			daemon_loopback_take(loopback, tenant, endpoint, i);
}

static void daemon_loopback_grow(struct loopback *loopback, const struct tenant *tenant, struct endpoint *endpoint,
				 const struct path_facts *facts)
{
	if (endpoint->port.via != VIA_FORWARDER || !loopback->kern)
		return;
	for (size_t i = 0; i < endpoint->listen_count; i++)
		if (!endpoint->entered[i] && daemon_loopback_wants(endpoint, i, facts))
			daemon_loopback_put(loopback, tenant, endpoint, i);
}

/* The tenant to which the default endpoint leads; NULL: none. */
static struct tenant *daemon_loopback_default(const struct daemon *daemon)
{
	struct sandbox *sandbox = registry_default(daemon->registry);
	struct tenant *tenant = sandbox ? daemon_tenant_of(sandbox) : NULL;

	return tenant && tenant->route && sandbox->state != SANDBOX_DRAINING ? tenant : NULL;
}

void daemon_loopback_follow(struct tenant *tenant)
{
	struct loopback *loopback = tenant->daemon->loopback;
	struct sandbox *sandbox = tenant->sandbox;
	struct path_facts facts;
	bool is_default;

	if (!loopback)
		return;
	facts = daemon_loopback_facts(loopback);
	is_default = loopback->default_tenant == tenant ||
		     (!loopback->default_tenant && daemon_loopback_default(tenant->daemon) == tenant);
	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		daemon_loopback_shrink(loopback, tenant, &sandbox->endpoints[i], &facts);
	if (is_default)
		daemon_loopback_shrink(loopback, tenant, &loopback->default_endpoint, &facts);
	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		daemon_loopback_grow(loopback, tenant, &sandbox->endpoints[i], &facts);
	if (is_default) {
		loopback->default_tenant = tenant;
		daemon_loopback_grow(loopback, tenant, &loopback->default_endpoint, &facts);
	}
}

void daemon_loopback_follow_all(struct loopback *loopback)
{
	struct registry *registry = loopback->daemon->registry;
	struct sandbox *sandbox;

	for (unsigned slot = 0; (sandbox = registry_next(registry, slot)); slot = sandbox->slot)
		if (daemon_tenant_of(sandbox))
			daemon_loopback_follow(daemon_tenant_of(sandbox));
}

/* ---- Deleting ahead of a change ---- */

static void daemon_loopback_cut_endpoint(struct loopback *loopback, struct tenant *tenant, struct endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->listen_count; i++)
		if (endpoint->entered[i])
			daemon_loopback_take(loopback, tenant, endpoint, i);
}

void daemon_loopback_cut(struct tenant *tenant)
{
	struct loopback *loopback = tenant->daemon->loopback;
	struct sandbox *sandbox = tenant->sandbox;

	if (!loopback)
		return;
	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		daemon_loopback_cut_endpoint(loopback, tenant, &sandbox->endpoints[i]);
	if (loopback->default_tenant == tenant)
		daemon_loopback_leave_default(tenant->daemon, NULL);
}

void daemon_loopback_cut_all(struct loopback *loopback)
{
	struct registry *registry = loopback->daemon->registry;
	struct sandbox *sandbox;

	for (unsigned slot = 0; (sandbox = registry_next(registry, slot)); slot = sandbox->slot)
		if (daemon_tenant_of(sandbox))
			daemon_loopback_cut(daemon_tenant_of(sandbox));
}

void daemon_loopback_cut_for_patch(struct tenant *tenant, struct endpoint *endpoints, size_t count)
{
	daemon_loopback_cut(tenant);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < endpoints[i].listen_count; j++) {
			endpoints[i].entered[j] = false;
			endpoints[i].hits[j] = 0;
		}
}

/* ---- Ending clients that were led ---- */

int daemon_loopback_origins(const struct daemon *daemon)
{
	return daemon->loopback && daemon->loopback->kern ? kern_loopback_origins(daemon->loopback->kern) : -1;
}

bool daemon_loopback_may_have_led(const struct daemon *daemon)
{
	return daemon->loopback && (daemon->loopback->was_open || !daemon->loopback->opened);
}

void daemon_loopback_end_clients_of(struct tenant *tenant, const struct endpoint *endpoint, size_t index)
{
	const struct daemon *daemon = tenant->daemon;
	const struct sandbox *sandbox = tenant->sandbox;
	uint32_t host_ip = config_host_ip(sandbox->layout, sandbox->slot);

	if (!daemon_loopback_may_have_led(daemon) || !daemon->fabric || !addr_is_loopback(&endpoint->listen[index]))
		return;
	if (endpoint->port.proto == PROTO_TCP)
		/* What clients had asked for went with the table that led them. */
		fabric_end_clients_of(daemon->fabric, host_ip, endpoint->port.guest_port, &endpoint->listen[index],
				      daemon_loopback_origins(daemon),
				      tenant->registering_since_us < daemon->loopback->since_us);
	else
		fabric_end_datagrams(daemon->fabric, host_ip, endpoint->port.guest_port);
}

void daemon_loopback_end_clients(struct tenant *tenant)
{
	const struct daemon *daemon = tenant->daemon;
	const struct sandbox *sandbox = tenant->sandbox;

	if (daemon_loopback_may_have_led(daemon) && daemon->fabric)
		fabric_end_clients(daemon->fabric, config_host_ip(sandbox->layout, sandbox->slot),
				   daemon_loopback_origins(daemon));
}

void daemon_loopback_end_all(struct tenant *tenant)
{
	const struct daemon *daemon = tenant->daemon;
	const struct sandbox *sandbox = tenant->sandbox;

	daemon_loopback_end_clients(tenant);
	if (daemon_loopback_may_have_led(daemon) && daemon->fabric)
		fabric_end_datagrams(daemon->fabric, config_host_ip(sandbox->layout, sandbox->slot), 0);
}

/* ---- The default endpoint ---- */

void daemon_loopback_default_opens(struct daemon *daemon, const struct addr *listen, bool open)
{
	struct endpoint *endpoint = &daemon->loopback->default_endpoint;
	size_t i = 0;

	while (i < endpoint->listen_count && !addr_equal(&endpoint->listen[i], listen))
		i++;
	if (i == SPEC_LISTEN_MAX)
		return;
	endpoint->port =
	    (struct spec_port){ .guest_port = daemon->config->forwarder.default_guest_port, .proto = PROTO_TCP };
	endpoint->listen_count = i < endpoint->listen_count ? endpoint->listen_count : i + 1;
	endpoint->listen[i] = *listen;
	endpoint->handles[i] = open ? daemon : NULL;
	if (open && daemon->loopback->default_tenant)
		daemon_loopback_follow(daemon->loopback->default_tenant);
}

void daemon_loopback_leave_default(struct daemon *daemon, const struct tenant *next)
{
	struct loopback *loopback = daemon->loopback;

	if (!loopback || !loopback->default_tenant || loopback->default_tenant == next)
		return;
	daemon_loopback_cut_endpoint(loopback, loopback->default_tenant, &loopback->default_endpoint);
	loopback->default_endpoint.path_reason = PATH_WAITING;
	loopback->default_tenant = NULL;
}

/* ---- Ports that have answered ---- */

void daemon_loopback_learn(struct tenant *tenant, uint16_t port, enum proto proto)
{
	const struct spec_port asked = { .guest_port = port, .proto = proto };
	uint32_t *item = daemon_loopback_has_answered(tenant, &asked) ? NULL : vec_push(&tenant->entered.answered);

	if (item)
		*item = daemon_loopback_key(port, proto);
}

void daemon_loopback_on_answered(void *context, uint16_t port, enum proto proto)
{
	struct tenant *tenant = context;

	daemon_loopback_learn(tenant, port, proto);
	daemon_loopback_follow(tenant);
}

void daemon_loopback_forget(struct tenant *tenant)
{
	tenant->entered.answered.count = 0;
}
