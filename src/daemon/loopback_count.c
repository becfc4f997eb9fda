/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel counts the connections that go by each entry. The hits of all entries are read together, because a request that shows one
 * sandbox mostly shows the others, too.
 */
#include "daemon/loopback_state.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/layouts.h"
#include "daemon/daemon.h"
#include "daemon/loopback.h"
#include "daemon/tenant.h"

enum { READ_SHARE = 20 }; /* reading the hits takes at most this part of the time */

struct tenant *daemon_loopback_owner(const struct daemon *daemon, uint32_t host_ip)
{
	const struct config_layout *layout;
	struct sandbox *sandbox;

	for (size_t at = 0; (layout = config_layout_next(daemon->config, &at));) {
		if (!addr_cidr4_contains(&layout->host_cidr, host_ip))
			continue;
		sandbox = registry_at(daemon->registry, host_ip - addr_cidr4_first(&layout->host_cidr));
		if (sandbox && daemon_tenant_of(sandbox) && config_host_ip(sandbox->layout, sandbox->slot) == host_ip)
			return daemon_tenant_of(sandbox);
	}
	return NULL;
}

static void daemon_loopback_note_hits(struct endpoint *endpoint, const struct kern_loopback_entry *entry)
{
	for (size_t i = 0; i < endpoint->listen_count; i++)
		if (endpoint->entered[i] && endpoint->port.proto == entry->proto &&
		    addr_equal(&endpoint->listen[i], &entry->listen))
			endpoint->hits[i] = entry->hits;
}

static void daemon_loopback_take_hits(void *context, const struct kern_loopback_entry *entry)
{
	struct loopback *loopback = context;
	const struct tenant *tenant =
	    entry->proto == PROTO_TCP ? daemon_loopback_owner(loopback->daemon, entry->host_ip) : NULL;

	if (!tenant)
		return;
	for (size_t i = 0; i < tenant->sandbox->endpoint_count; i++)
		daemon_loopback_note_hits(&tenant->sandbox->endpoints[i], entry);
	daemon_loopback_note_hits(&loopback->default_endpoint, entry);
}

void daemon_loopback_read_hits(struct loopback *loopback, bool now)
{
	uint64_t begun_us = clock_now_us();
	struct err ignored;

	if (!loopback->kern || !loopback->entries || (!now && begun_us < loopback->read_again_us))
		return;
	kern_loopback_each(loopback->kern, daemon_loopback_take_hits, loopback, &ignored);
	loopback->read_again_us = begun_us + (clock_now_us() - begun_us) * READ_SHARE;
}

static uint64_t daemon_loopback_sum(const struct endpoint *endpoint)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < endpoint->listen_count; i++)
		sum += endpoint->entered[i] ? endpoint->hits[i] : 0;
	return sum;
}

void daemon_loopback_connections(struct tenant *tenant, uint64_t *ever, uint64_t *entered)
{
	struct loopback *loopback = tenant->daemon->loopback;
	const struct sandbox *sandbox = tenant->sandbox;

	*entered = 0;
	*ever = tenant->entered.gone;
	if (!loopback)
		return;
	daemon_loopback_read_hits(loopback, false);
	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		if (sandbox->endpoints[i].port.proto == PROTO_TCP)
			*entered += daemon_loopback_sum(&sandbox->endpoints[i]);
	if (loopback->default_tenant == tenant)
		*entered += daemon_loopback_sum(&loopback->default_endpoint);
	*ever += *entered;
}
