/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What wakes a sandbox. Of the published ports these are the guest's, each once, by whatever addresses clients come.
 */
#include "registry/registry.h"

static bool registry_wake_port_is_among(const struct wake_port *ports, size_t count, enum proto proto, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		if (ports[i].port == port && ports[i].proto == proto)
			return true;
	}
	return false;
}

static bool registry_wake_is_published(const struct sandbox *sandbox, size_t count, enum proto proto, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		const struct spec_port *published = &sandbox->endpoints[i].port;

		if (published->guest_port == port && published->proto == proto)
			return true;
	}
	return false;
}

static size_t registry_wake_published(const struct sandbox *sandbox, struct wake_port *out, size_t room)
{
	size_t found = 0;

	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		const struct spec_port *port = &sandbox->endpoints[i].port;

		if (registry_wake_is_published(sandbox, i, port->proto, port->guest_port))
			continue;
		if (found < room)
			out[found] = (struct wake_port){ .proto = port->proto, .port = port->guest_port };
		found++;
	}
	return found;
}

size_t registry_wake_ports(const struct sandbox *sandbox, struct wake_port *out, size_t room)
{
	const struct spec_wake *wake = &sandbox->spec->wake;

	switch (wake->which) {
	case WAKE_NEVER:
	case WAKE_ANY:
		return 0;
	case WAKE_PUBLISHED:
		return registry_wake_published(sandbox, out, room);
	case WAKE_LISTED:
		for (size_t i = 0; i < wake->port_count && i < room; i++)
			out[i] = wake->ports[i];
		return wake->port_count;
	}
	return 0;
}

bool registry_wakes_at(const struct sandbox *sandbox, enum proto proto, uint16_t port)
{
	const struct spec_wake *wake = &sandbox->spec->wake;

	switch (wake->which) {
	case WAKE_NEVER:
		return false;
	case WAKE_ANY:
		return true;
	case WAKE_PUBLISHED:
		return registry_wake_is_published(sandbox, sandbox->endpoint_count, proto, port);
	case WAKE_LISTED:
		return registry_wake_port_is_among(wake->ports, wake->port_count, proto, port);
	}
	return false;
}

bool registry_sandbox_is_asleep(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_PAUSED && sandbox->spec->wake.which != WAKE_NEVER;
}
