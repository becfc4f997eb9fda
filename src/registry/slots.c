/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chooses the lowest slot that is neither taken nor blocked. A blocked slot keeps the reason, for the message that no slot is
 * free.
 */
#include "registry/registry_internal.h"

#include "registry/problem.h"

#include <stdlib.h>
#include <string.h>

static bool registry_slot_exists(const struct registry *registry, unsigned slot)
{
	return slot >= 1 && slot <= config_slot_max(&registry->config->layout);
}

static bool registry_slot_is_free(const struct registry *registry, unsigned slot)
{
	return registry_slot_exists(registry, slot) && !registry_bitmap_has(registry->taken, slot) &&
	       !registry_bitmap_has(registry->blocked, slot);
}

unsigned registry_choose_slot(struct registry *registry, struct problem *problem)
{
	unsigned last = config_slot_max(&registry->config->layout), slot = registry->preferred, why;

	registry->preferred = 0;
	if (registry_slot_is_free(registry, slot))
		return slot;
	slot = registry_bitmap_lowest_absent(registry->taken, registry->blocked, 1, last);
	if (slot <= last)
		return slot;
	why = registry_bitmap_lowest(registry->blocked, 1, last);
	if (why > last)
		registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "no slot is free: all %u have a sandbox",
				     last);
	else
		registry_problem_set(
		    problem, PROBLEM_UNAVAILABLE, NULL,
		    "no slot is free: of %u, %zu have a sandbox and %zu cannot be used yet, such as %u: %s", last,
		    registry->count, registry->blocked_count, why,
		    registry->blocked_why[why] ? registry->blocked_why[why] : "not known why");
	return 0;
}

void registry_block_slot(struct registry *registry, unsigned slot, const char *why)
{
	if (slot < 1 || slot > CONFIG_SLOT_MAX)
		return;
	if (!registry_bitmap_has(registry->blocked, slot)) {
		registry_bitmap_add(registry->blocked, slot);
		registry->blocked_count++;
	}
	free(registry->blocked_why[slot]);
	registry->blocked_why[slot] = strdup(why);
}

void registry_unblock_slot(struct registry *registry, unsigned slot)
{
	if (slot < 1 || slot > CONFIG_SLOT_MAX || !registry_bitmap_has(registry->blocked, slot))
		return;
	registry_bitmap_drop(registry->blocked, slot);
	registry->blocked_count--;
	free(registry->blocked_why[slot]);
	registry->blocked_why[slot] = NULL;
}

void registry_prefer_slot(struct registry *registry, unsigned slot)
{
	registry->preferred = slot;
}

struct sandbox *registry_at(struct registry *registry, unsigned slot)
{
	return slot <= CONFIG_SLOT_MAX ? registry->sandboxes[slot] : NULL;
}

struct sandbox *registry_next(struct registry *registry, unsigned slot)
{
	unsigned next;

	if (slot >= CONFIG_SLOT_MAX)
		return NULL;
	next = registry_bitmap_lowest(registry->taken, slot + 1, CONFIG_SLOT_MAX);
	return next <= CONFIG_SLOT_MAX ? registry->sandboxes[next] : NULL;
}
