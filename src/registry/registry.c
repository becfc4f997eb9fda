/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandboxes, found by id or name (keys.c) and by slot (an array with a bitmap of the slots taken). Adding a sandbox claims a
 * slot, its id and name, the default and its addresses, in this order, and releases them when a later claim fails. Its cost grows
 * only with the logarithm of the number of sandboxes.
 */
#include "registry/registry.h"

#include "base/clock.h"
#include "registry/problem.h"
#include "registry/registry_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* No sandbox can publish an address on which weftd itself listens. */
static int registry_hold_own(struct registry_ports *ports, const struct addr_list *list, const char *name)
{
	struct port_holder holder;

	for (size_t i = 0; i < list->count; i++) {
		if (registry_ports_hold(ports, PROTO_TCP, &list->items[i], NULL, name, &holder) < 0)
			return -1;
	}
	return 0;
}

struct registry *registry_new(const struct config *config)
{
	struct registry *registry = calloc(1, sizeof(*registry));

	if (!registry)
		return NULL;
	registry->config = config;
	registry->ports = registry_ports_new(config->ports.first, config->ports.last);
	if (!registry->ports ||
	    registry_hold_own(registry->ports, &config->forwarder.default_listen, "the default endpoint") < 0 ||
	    registry_hold_own(registry->ports, &config->http.listen, "the status page ([http] listen)") < 0) {
		registry_free(registry);
		return NULL;
	}
	return registry;
}

static void registry_sandbox_free(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	registry_spec_free(sandbox->spec);
	free(sandbox->endpoints);
	free(sandbox->others);
	free(sandbox);
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	registry_ports_free(registry->ports);
	for (unsigned slot = 1; slot < SLOTS; slot++) {
		registry_sandbox_free(registry->sandboxes[slot]);
		free(registry->blocked_why[slot]);
	}
	free(registry);
}

void registry_set_ipv6_loopback(struct registry *registry, bool present)
{
	registry->lacks_ipv6_loopback = !present;
}

void registry_watch(struct registry *registry, const struct registry_watcher *watcher)
{
	registry->watcher = *watcher;
}

size_t registry_count(const struct registry *registry)
{
	return registry->count;
}

size_t registry_count_state(const struct registry *registry, enum sandbox_state state)
{
	return registry->count_state[state];
}

struct sandbox *registry_default(struct registry *registry)
{
	if (registry->default_sandbox)
		return registry->default_sandbox;
	return registry->count == 1 ? registry_next(registry, 0) : NULL;
}

struct sandbox *registry_default_explicit(struct registry *registry)
{
	return registry->default_sandbox;
}

struct sandbox *registry_default_holder(struct registry *registry)
{
	return registry->default_holder;
}

void registry_set_default_turn(struct registry *registry, struct sandbox *sandbox, uint64_t turn)
{
	sandbox->default_turn = turn;
	if (turn > registry->default_turns)
		registry->default_turns = turn < DEFAULT_TURN_MAX ? turn : DEFAULT_TURN_MAX - 1;
}

int registry_claim_default(struct registry *registry, struct sandbox *sandbox, bool takes, struct problem *problem)
{
	if (registry->default_holder && registry->default_holder != sandbox && !takes)
		return registry_problem_set(problem, PROBLEM_CONFLICT, "/default", "sandbox %s is the default already",
					    registry->default_holder->id);
	registry->default_holder = sandbox;
	return 0;
}

/* A UUID of version 4. 0, or -1: the kernel has no random numbers. */
static int registry_sandbox_new_execution(struct sandbox *sandbox)
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return -1;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(sandbox->execution, sizeof(sandbox->execution),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
		 b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

/* A sandbox without slot and addresses, in no list yet. It does not own SPEC until it is entered. */
static struct sandbox *registry_sandbox_new(const struct registry *registry, const char *id, const struct spec *spec)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));

	if (!sandbox)
		return NULL;
	snprintf(sandbox->id, sizeof(sandbox->id), "%s", id);
	sandbox->state = SANDBOX_CREATING;
	sandbox->carrier_downs = -1;
	sandbox->registered_ms = sandbox->since_ms = clock_wall_ms();
	if (registry_sandbox_new_execution(sandbox) < 0 ||
	    registry_endpoints_for(registry, spec, &sandbox->endpoints) < 0) {
		free(sandbox);
		return NULL;
	}
	sandbox->endpoint_count = spec->port_count;
	return sandbox;
}

/* Enters a sandbox that has slot, keys and addresses into the lists. */
static void registry_sandbox_enter(struct registry *registry, struct sandbox *sandbox, struct spec *spec)
{
	sandbox->spec = spec;
	registry->sandboxes[sandbox->slot] = sandbox;
	registry_bitmap_add(registry->taken, sandbox->slot);
	registry->count++;
	registry->count_state[sandbox->state]++;
	if (spec->is_default)
		registry->default_sandbox = sandbox;
}

static void registry_drop_default(struct registry *registry, const struct sandbox *sandbox)
{
	if (registry->default_holder == sandbox)
		registry->default_holder = NULL;
	if (registry->default_sandbox == sandbox)
		registry->default_sandbox = NULL;
}

/* The claims that registry_add() and registry_adopt() share, for a sandbox that has its slot. */
static struct sandbox *registry_claim_and_enter(struct registry *registry, struct sandbox *sandbox, struct spec *spec,
						struct problem *problem)
{
	struct endpoint_list list = { .count = sandbox->endpoint_count, .prefix = "/ports" };

	if (registry_keys_hold(registry, sandbox, spec->name, problem) < 0)
		goto fail;
	if (spec->is_default && registry_claim_default(registry, sandbox, false, problem) < 0)
		goto fail;
	if (registry_endpoints_hold(registry, sandbox, sandbox->endpoints, &list, problem) < 0)
		goto fail;
	registry_sandbox_enter(registry, sandbox, spec);
	return sandbox;

fail:
	registry_keys_release(sandbox);
	registry_drop_default(registry, sandbox);
	registry_sandbox_free(sandbox);
	return NULL;
}

struct sandbox *registry_add(struct registry *registry, const char *id, struct spec *spec, struct problem *problem)
{
	struct sandbox *sandbox = registry_sandbox_new(registry, id, spec);

	if (!sandbox) {
		registry_problem_no_memory(problem);
		return NULL;
	}
	sandbox->layout = &registry->config->layout;
	sandbox->slot = registry_choose_slot(registry, problem);
	if (sandbox->slot == 0) {
		registry_sandbox_free(sandbox);
		return NULL;
	}
	return registry_claim_and_enter(registry, sandbox, spec, problem);
}

/* Whether a stored sandbox can be adopted, apart from its addresses. */
static int registry_check_adoption(struct registry *registry, const char *id, unsigned slot,
				   const struct config_layout *layout, const struct spec *spec, size_t endpoint_count,
				   struct problem *problem)
{
	const struct sandbox *other;

	if (slot < 1 || slot > config_slot_max(layout))
		return registry_problem_set(problem, PROBLEM_CONFLICT, NULL,
					    "slot %u does not exist: there are 1 to %u", slot, config_slot_max(layout));
	if ((other = registry_at(registry, slot)))
		return registry_problem_set(problem, PROBLEM_CONFLICT, NULL, "slot %u has a sandbox already: %s", slot,
					    other->id);
	if ((other = registry_find(registry, id)))
		return registry_problem_set(problem, PROBLEM_CONFLICT, "id", "sandbox %s exists already, in slot %u",
					    id, other->slot);
	if (endpoint_count != spec->port_count)
		return registry_problem_set(problem, PROBLEM_CONFLICT, "/ports", "%zu endpoints for %zu ports",
					    endpoint_count, spec->port_count);
	return 0;
}

struct sandbox *registry_adopt(struct registry *registry, const char *id, unsigned slot,
			       const struct config_layout *layout, struct spec *spec, const struct endpoint *endpoints,
			       size_t endpoint_count, struct problem *problem)
{
	struct sandbox *sandbox;

	layout = config_layout_or_new(registry->config, layout);
	if (registry_check_adoption(registry, id, slot, layout, spec, endpoint_count, problem) < 0)
		return NULL;
	sandbox = registry_sandbox_new(registry, id, spec);
	if (!sandbox) {
		registry_problem_no_memory(problem);
		return NULL;
	}
	sandbox->slot = slot;
	sandbox->layout = layout;
	for (size_t i = 0; i < endpoint_count; i++) {
		memcpy(sandbox->endpoints[i].listen, endpoints[i].listen, sizeof(endpoints[i].listen));
		sandbox->endpoints[i].listen_count = endpoints[i].listen_count;
	}
	return registry_claim_and_enter(registry, sandbox, spec, problem);
}

void registry_remove(struct registry *registry, struct sandbox *sandbox)
{
	registry_endpoints_release(registry, sandbox->endpoints, sandbox->endpoint_count);
	registry_drop_default(registry, sandbox);
	registry_keys_release(sandbox);
	registry->sandboxes[sandbox->slot] = NULL;
	registry_bitmap_drop(registry->taken, sandbox->slot);
	registry->count--;
	registry->count_state[sandbox->state]--;
	registry_sandbox_free(sandbox);
}

void registry_avoid_port(struct registry *registry, uint16_t port)
{
	registry_ports_avoid(registry->ports, port);
}
