/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a PATCH, and what becomes of a request by it. An object that was given replaces the stored one whole, so it is
 * read into a specification of its own, over the defaults, and moved from there.
 */
#include "wire/wire.h"

#include "registry/problem.h"
#include "wire/json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What reading needs beside the patch itself. */
struct patch_reader {
	struct wire_patch *patch;
	bool has_flows;
};

static int patch_publish(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	return read_array(reader, place, value, &wire_ports_array, &patch->publish, &patch->publish_count);
}

static int read_unpublish(const struct reader *reader, const struct place *place, const json_t *value, void *item)
{
	struct wire_unpublish *unpublish = item;

	if (json_is_integer(value))
		return read_port(reader, place, value, &unpublish->guest_port);
	if (!json_is_string(value))
		return read_refuse(reader, place, "must be a guest port or a string \"ADDR:PORT\"");
	return read_address(reader, place, value, &unpublish->listen);
}

static int patch_unpublish(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	static const struct array array = {
		.item_size = sizeof(struct wire_unpublish),
		.max = SPEC_PORTS_MAX,
		.read = read_unpublish,
	};
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	return read_array(reader, place, value, &array, &patch->unpublish, &patch->unpublish_count);
}

static int patch_default(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	patch->has_default = true;
	return read_bool(reader, place, value, &patch->is_default);
}

static int patch_paused(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	patch->has_paused = true;
	return read_bool(reader, place, value, &patch->paused);
}

static int patch_flows(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct patch_reader *patch_reader = target;
	const char *text = "";

	patch_reader->has_flows = true;
	if (read_string(reader, place, value, &text) < 0)
		return -1;
	if (strcmp(text, "reset") != 0 && strcmp(text, "keep") != 0)
		return read_refuse(reader, place, "must be \"keep\" or \"reset\", not \"%s\"", text);
	patch_reader->patch->reset_flows = strcmp(text, "reset") == 0;
	return 0;
}

/* The specification that holds the given objects, made with the first of them. */
static struct spec *given(const struct reader *reader, struct wire_patch *patch)
{
	if (!patch->given)
		patch->given = spec_new(reader->config);
	if (!patch->given)
		problem_set(reader->problem, PROBLEM_INTERNAL, NULL, "out of memory");
	return patch->given;
}

static int patch_egress(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	patch->has_egress = true;
	return given(reader, patch) ? read_egress(reader, place, value, patch->given) : -1;
}

static int patch_bandwidth(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	patch->has_bandwidth = true;
	return given(reader, patch) ? read_bandwidth(reader, place, value, patch->given) : -1;
}

static int patch_limits(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	patch->has_limits = true;
	return given(reader, patch) ? read_limits(reader, place, value, patch->given) : -1;
}

static int patch_labels(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct wire_patch *patch = ((struct patch_reader *)target)->patch;

	patch->has_labels = true;
	return given(reader, patch) ? read_labels(reader, place, value, patch->given) : -1;
}

int wire_read_patch(const json_t *body, const struct config *config, struct wire_patch *patch, struct problem *problem)
{
	static const struct field fields[] = {
		{ "publish", patch_publish, FIELD_OPTIONAL },     { "unpublish", patch_unpublish, FIELD_OPTIONAL },
		{ "default", patch_default, FIELD_OPTIONAL },     { "paused", patch_paused, FIELD_OPTIONAL },
		{ "flows", patch_flows, FIELD_OPTIONAL },         { "egress", patch_egress, FIELD_OPTIONAL },
		{ "bandwidth", patch_bandwidth, FIELD_OPTIONAL }, { "limits", patch_limits, FIELD_OPTIONAL },
		{ "labels", patch_labels, FIELD_OPTIONAL },
	};
	struct reader reader = { .config = config, .problem = problem };
	struct patch_reader patch_reader = { .patch = patch };
	struct place document = { 0 };
	struct place flows = place_in_object(&document, "flows");

	*patch = (struct wire_patch){ 0 };
	if (read_object(&reader, &document, body, fields, FIELD_COUNT(fields), &patch_reader) < 0)
		return -1;
	if (patch_reader.has_flows && (!patch->has_paused || patch->paused))
		return read_refuse(&reader, &flows, "goes with \"paused\": false alone");
	return spec_check_ports(patch->publish, patch->publish_count, "/publish", problem);
}

void wire_patch_clear(struct wire_patch *patch)
{
	free(patch->publish);
	free(patch->unpublish);
	spec_free(patch->given);
	*patch = (struct wire_patch){ 0 };
}

/* ---- Application ---- */

static bool is_meant(const struct wire_unpublish *unpublish, const struct endpoint *endpoint)
{
	if (unpublish->guest_port)
		return endpoint->port.guest_port == unpublish->guest_port;
	for (size_t i = 0; i < endpoint->listen_count; i++) {
		if (addr_equal(&endpoint->listen[i], &unpublish->listen))
			return true;
	}
	return false;
}

/* Marks in GONE which endpoints go. */
static int mark_gone(const struct sandbox *sandbox, const struct wire_patch *patch, bool *gone, struct problem *problem)
{
	for (size_t i = 0; i < patch->unpublish_count; i++) {
		const struct wire_unpublish *unpublish = &patch->unpublish[i];
		char field[64], text[ADDR_TEXT_SIZE];
		bool found = false;

		for (size_t j = 0; j < sandbox->endpoint_count; j++) {
			if (is_meant(unpublish, &sandbox->endpoints[j]))
				found = gone[j] = true;
		}
		if (found)
			continue;
		snprintf(field, sizeof(field), "/unpublish/%zu", i);
		if (unpublish->guest_port)
			snprintf(text, sizeof(text), "guest port %u", unpublish->guest_port);
		else
			addr_format(&unpublish->listen, text);
		return problem_set(problem, PROBLEM_CONFLICT, field, "%s is not published", text);
	}
	return 0;
}

/* Whether PORT, the INDEXth to be published, can stand beside ENDPOINT of the same sandbox. */
static int check_beside(const struct endpoint *endpoint, const struct spec_port *port, size_t index,
			struct problem *problem)
{
	const struct addr *addr = spec_port_collision(&endpoint->port, port);
	char field[64], text[ADDR_TEXT_SIZE] = "no address";

	if (addr) {
		snprintf(field, sizeof(field), "/publish/%zu/listen", index);
		return problem_set(problem, PROBLEM_CONFLICT, field,
				   "%s (%s) is published already, by this sandbox, for guest port %u",
				   addr_format(addr, text), proto_name(port->proto), endpoint->port.guest_port);
	}
	if (!port->automatic || !endpoint->port.automatic || port->guest_port != endpoint->port.guest_port ||
	    port->proto != endpoint->port.proto)
		return 0;
	if (endpoint->listen_count)
		addr_format(&endpoint->listen[0], text);
	snprintf(field, sizeof(field), "/publish/%zu", index);
	return problem_set(problem, PROBLEM_CONFLICT, field,
			   "guest port %u (%s) is published already, by this sandbox, on %s", port->guest_port,
			   proto_name(port->proto), text);
}

static int check_all_beside(const struct sandbox *sandbox, const struct wire_patch *patch, const bool *gone,
			    struct problem *problem)
{
	for (size_t i = 0; i < patch->publish_count; i++) {
		for (size_t j = 0; j < sandbox->endpoint_count; j++) {
			if (!gone[j] && check_beside(&sandbox->endpoints[j], &patch->publish[i], i, problem) < 0)
				return -1;
		}
	}
	return 0;
}

/* The list of ports that comes of it: what stays, then what is new. */
static int apply_ports(struct spec *spec, const struct sandbox *sandbox, const struct wire_patch *patch,
		       struct problem *problem)
{
	bool gone[SPEC_PORTS_MAX] = { false };
	struct spec_port *ports;
	size_t count = 0;

	if (mark_gone(sandbox, patch, gone, problem) < 0 || check_all_beside(sandbox, patch, gone, problem) < 0)
		return -1;
	ports = calloc(spec->port_count + patch->publish_count + 1, sizeof(*ports));
	if (!ports)
		return problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
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
		return problem_set(problem, PROBLEM_BAD_REQUEST, "/publish",
				   "%zu ports in all: a sandbox can publish at most %d", count, SPEC_PORTS_MAX);
	return 0;
}

#define SWAP(a, b)                                                                                                     \
	do {                                                                                                           \
		__typeof__(a) swapped_ = (a);                                                                          \
		(a) = (b);                                                                                             \
		(b) = swapped_;                                                                                        \
	} while (0)

/* Moves the given objects out of a copy of them. 0, or -1 for lack of memory. */
static int apply_given(struct spec *spec, const struct wire_patch *patch)
{
	struct spec *copy;

	if (!patch->given)
		return 0;
	copy = spec_copy(patch->given);
	if (!copy)
		return -1;
	if (patch->has_egress)
		SWAP(spec->egress, copy->egress);
	if (patch->has_bandwidth)
		SWAP(spec->bandwidth, copy->bandwidth);
	if (patch->has_limits)
		SWAP(spec->limits, copy->limits);
	if (patch->has_labels) {
		SWAP(spec->labels, copy->labels);
		SWAP(spec->label_count, copy->label_count);
	}
	spec_free(copy);
	return 0;
}

struct spec *wire_apply_patch(const struct sandbox *sandbox, const struct wire_patch *patch, struct problem *problem)
{
	struct spec *spec = spec_copy(sandbox->spec);

	if (!spec || apply_given(spec, patch) < 0) {
		spec_free(spec);
		problem_set(problem, PROBLEM_INTERNAL, NULL, "out of memory");
		return NULL;
	}
	if (patch->has_default)
		spec->is_default = patch->is_default;
	if (apply_ports(spec, sandbox, patch, problem) < 0) {
		spec_free(spec);
		return NULL;
	}
	return spec;
}
