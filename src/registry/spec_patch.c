/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Applies a PATCH to a specification. The specification is copied once. Each field given is exchanged with that of the copy,
 * and the former value is freed with the patch.
 */
#include "registry/spec_patch.h"

#include "registry/fields.h"
#include "registry/problem.h"
#include "registry/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct spec_items spec_unpublish_items = {
	.kind = SPEC_ITEM_UNPUBLISH,
	.size = sizeof(struct spec_unpublish),
	.max = SPEC_PORTS_MAX,
};

static const char *const spec_flows_words[] = { "keep", "reset" };

static const struct spec_field spec_patch_fields[] = {
	SPEC_ROW_LIST("publish", struct spec_patch, publish, publish_count, &spec_port_items, SPEC_IN_PATCH),
	SPEC_ROW_LIST("unpublish", struct spec_patch, unpublish, unpublish_count, &spec_unpublish_items, SPEC_IN_PATCH),
	SPEC_ROW_BOOL("paused", struct spec_patch, paused, SPEC_IN_PATCH | SPEC_HAS_GIVEN,
		      SPEC_GIVEN_BY(struct spec_patch, has_paused)),
	SPEC_ROW_EITHER("flows", struct spec_patch, reset_flows, spec_flows_words, SPEC_IN_PATCH | SPEC_HAS_GIVEN,
			SPEC_GIVEN_BY(struct spec_patch, has_flows)),
};
const struct spec_table spec_patch_table = { SPEC_TABLE_OF(spec_patch_fields, struct spec_patch) };

bool registry_spec_patch_gives(const struct spec_patch *patch, const char *name)
{
	const struct spec_field *field = registry_spec_field_find(&spec_table, name);

	return field && patch->given_fields >> (field - spec_table.fields) & 1;
}

bool registry_spec_patch_is_unpublish(const struct spec_patch *patch)
{
	return patch->unpublish_count && !patch->publish_count && !patch->has_paused && !patch->has_flows &&
	       !patch->given_fields;
}

int registry_spec_patch_check(const struct spec_patch *patch, struct problem *problem)
{
	if (patch->has_flows && (!patch->has_paused || patch->paused))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "/flows",
					    "goes with \"paused\": false alone");
	return registry_spec_check_ports(patch->publish, patch->publish_count, "/publish", problem);
}

void registry_spec_patch_clear(struct spec_patch *patch)
{
	registry_spec_fields_clear(&spec_patch_table, patch);
	registry_spec_free(patch->given);
	*patch = (struct spec_patch){ 0 };
}

/* ---- Application ---- */

static bool registry_spec_patch_means(const struct spec_unpublish *unpublish, const struct endpoint *endpoint)
{
	if (unpublish->guest_port)
		return endpoint->port.guest_port == unpublish->guest_port &&
		       (unpublish->any_proto || endpoint->port.proto == unpublish->proto);
	for (size_t i = 0; i < endpoint->listen_count; i++) {
		if (addr_equal(&endpoint->listen[i], &unpublish->listen))
			return true;
	}
	return false;
}

/* Marks in GONE the endpoints that the patch removes. */
static int registry_spec_patch_mark_gone(const struct sandbox *sandbox, const struct spec_patch *patch, bool *gone,
					 struct problem *problem)
{
	for (size_t i = 0; i < patch->unpublish_count; i++) {
		const struct spec_unpublish *unpublish = &patch->unpublish[i];
		char field[64], text[ADDR_TEXT_SIZE];
		bool found = false;

		for (size_t j = 0; j < sandbox->endpoint_count; j++) {
			if (registry_spec_patch_means(unpublish, &sandbox->endpoints[j]))
				found = gone[j] = true;
		}
		if (found)
			continue;
		snprintf(field, sizeof(field), "/unpublish/%zu", i);
		if (unpublish->guest_port)
			snprintf(text, sizeof(text), "guest port %u%s%s%s", unpublish->guest_port,
				 unpublish->any_proto ? "" : " (",
				 unpublish->any_proto ? "" : addr_proto_name(unpublish->proto),
				 unpublish->any_proto ? "" : ")");
		else
			addr_format(&unpublish->listen, text);
		return registry_problem_set(problem, PROBLEM_CONFLICT, field, "%s is not published", text);
	}
	return 0;
}

/* Whether PORT, the INDEXth to be published, can stand beside ENDPOINT of the same sandbox. */
static int registry_spec_patch_check_beside(const struct endpoint *endpoint, const struct spec_port *port, size_t index,
					    struct problem *problem)
{
	const struct addr *addr = registry_spec_port_collision(&endpoint->port, port);
	char field[64], text[ADDR_TEXT_SIZE] = "no address";

	if (addr) {
		snprintf(field, sizeof(field), "/publish/%zu/listen", index);
		return registry_problem_set(problem, PROBLEM_CONFLICT, field,
					    "%s (%s) is published already, by this sandbox, for guest port %u",
					    addr_format(addr, text), addr_proto_name(port->proto),
					    endpoint->port.guest_port);
	}
	if (!port->automatic || !endpoint->port.automatic || port->guest_port != endpoint->port.guest_port ||
	    port->proto != endpoint->port.proto)
		return 0;
	if (endpoint->listen_count)
		addr_format(&endpoint->listen[0], text);
	snprintf(field, sizeof(field), "/publish/%zu", index);
	return registry_problem_set(problem, PROBLEM_CONFLICT, field,
				    "guest port %u (%s) is published already, by this sandbox, on %s", port->guest_port,
				    addr_proto_name(port->proto), text);
}

static int registry_spec_patch_check_all_beside(const struct sandbox *sandbox, const struct spec_patch *patch,
						const bool *gone, struct problem *problem)
{
	for (size_t i = 0; i < patch->publish_count; i++) {
		for (size_t j = 0; j < sandbox->endpoint_count; j++) {
			if (!gone[j] && registry_spec_patch_check_beside(&sandbox->endpoints[j], &patch->publish[i], i,
									 problem) < 0)
				return -1;
		}
	}
	return 0;
}

/* Makes the new list of ports: those that stay, then the new ones. */
static int registry_spec_patch_apply_ports(struct spec *spec, const struct sandbox *sandbox,
					   const struct spec_patch *patch, struct problem *problem)
{
	bool gone[SPEC_PORTS_MAX] = { false };
	struct spec_port *ports;
	size_t count = 0;

	if (registry_spec_patch_mark_gone(sandbox, patch, gone, problem) < 0 ||
	    registry_spec_patch_check_all_beside(sandbox, patch, gone, problem) < 0)
		return -1;
	ports = calloc(spec->port_count + patch->publish_count + 1, sizeof(*ports));
	if (!ports)
		return registry_problem_no_memory(problem);
	for (size_t i = 0; i < spec->port_count; i++) {
		if (!gone[i])
			ports[count++] = spec->ports[i];
	}
	for (size_t i = 0; i < patch->publish_count; i++)
		ports[count++] = patch->publish[i];
	free(spec->ports);
	spec->ports = ports;
	spec->port_count = count;
	if (count > SPEC_PORTS_MAX)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "/publish",
					    "%zu ports in all: a sandbox can publish at most %d", count,
					    SPEC_PORTS_MAX);
	return 0;
}

static void registry_spec_patch_apply_fields(struct spec *spec, struct spec_patch *patch)
{
	for (size_t i = 0; i < spec_table.count; i++) {
		if (patch->given_fields >> i & 1)
			registry_spec_field_swap(&spec_table.fields[i], spec, patch->given);
	}
}

struct spec *registry_spec_patch_apply(const struct sandbox *sandbox, struct spec_patch *patch, struct problem *problem)
{
	struct spec *spec = registry_spec_copy(sandbox->spec);

	if (!spec) {
		registry_problem_no_memory(problem);
		return NULL;
	}
	if (registry_spec_patch_apply_ports(spec, sandbox, patch, problem) < 0) {
		registry_spec_free(spec);
		return NULL;
	}
	registry_spec_patch_apply_fields(spec, patch);
	return spec;
}
