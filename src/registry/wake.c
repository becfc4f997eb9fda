/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What wakes a sandbox, and for how long it has been idle. With "published" the ports that wake it are those of the guest, each once,
 * whatever the addresses are that lead to them.
 */
#include "registry/problem.h"
#include "registry/registry.h"

#include <stdio.h>
#include <string.h>

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

char *registry_wake_format(const struct sandbox *sandbox, char *text, size_t size)
{
	enum { OTHERS_SIZE = sizeof(" and 65535 more") };
	struct wake_port ports[SPEC_PORTS_MAX];
	size_t count = registry_wake_ports(sandbox, ports, SPEC_PORTS_MAX), used = 0;

	snprintf(text, size, "%s", sandbox->spec->wake.which == WAKE_ANY ? "any port" : "no port");
	for (size_t i = 0; i < count; i++) {
		char one[16];
		int length = snprintf(one, sizeof(one), "%s%u/%s", i ? ", " : "", ports[i].port,
				      addr_proto_name(ports[i].proto));

		if (used + (size_t)length + OTHERS_SIZE > size) {
			snprintf(text + used, size - used, " and %zu more", count - i);
			break;
		}
		strcpy(text + used, one);
		used += (size_t)length;
	}
	return text;
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

bool registry_sandbox_is_asked(const struct sandbox *sandbox)
{
	return registry_sandbox_is_asleep(sandbox) && sandbox->wake_asked_ms;
}

int registry_wake_check(const struct sandbox *sandbox, struct problem *problem)
{
	if (sandbox->state != SANDBOX_PAUSED)
		return registry_problem_set(problem, PROBLEM_CONFLICT, NULL,
					    "sandbox %s is %s, and only a paused one can be woken", sandbox->id,
					    registry_sandbox_state_name(sandbox->state));
	if (sandbox->spec->wake.which == WAKE_NEVER)
		return registry_problem_set(problem, PROBLEM_CONFLICT, "/wake",
					    "sandbox %s has no \"wake\": its manager alone resumes it", sandbox->id);
	return 0;
}

void registry_wake_note(struct sandbox *sandbox, int64_t now_ms, const char *by, const char *via)
{
	if (sandbox->wake_asked_ms)
		return;
	sandbox->wake_asked_ms = now_ms;
	snprintf(sandbox->wake_by, sizeof(sandbox->wake_by), "%s", by);
	snprintf(sandbox->wake_via, sizeof(sandbox->wake_via), "%s", via);
}

void registry_wake_forget(struct sandbox *sandbox)
{
	sandbox->wake_asked_ms = 0;
	sandbox->wake_by[0] = sandbox->wake_via[0] = '\0';
}

int64_t registry_sandbox_idle_ms(const struct sandbox *sandbox, int64_t now_ms)
{
	int64_t since_ms = sandbox->last_activity_ms ? sandbox->last_activity_ms : sandbox->registered_ms;

	return now_ms > since_ms ? now_ms - since_ms : 0; /* the clock may have been set back */
}
