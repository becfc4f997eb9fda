/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the body of a registration into a specification that has the defaults of the configuration.
 */
#include "registry/problem.h"
#include "wire/reading.h"
#include "wire/wire.h"

static struct spec *wire_read_body(const struct wire_reader *reader, const json_t *body)
{
	struct wire_place document = { 0 };
	struct spec *spec = registry_spec_new(reader->config);

	if (!spec) {
		registry_problem_no_memory(reader->problem);
		return NULL;
	}
	if (wire_read_fields(reader, &document, body, &spec_table, SPEC_IN_PUT, spec) < 0 ||
	    registry_spec_check_ports(spec->ports, spec->port_count, "/ports", reader->problem) < 0 ||
	    wire_check_door(reader, body, &spec->door) < 0) {
		registry_spec_free(spec);
		return NULL;
	}
	return spec;
}

struct spec *wire_read_spec(const json_t *body, const struct config *config, struct problem *problem)
{
	struct wire_reader reader = { .config = config, .problem = problem };

	return wire_read_body(&reader, body);
}

struct spec *wire_read_stored_spec(const json_t *body, const struct config *config, struct problem *problem)
{
	struct wire_reader reader = { .config = config, .problem = problem, .stored = true };

	return wire_read_body(&reader, body);
}
