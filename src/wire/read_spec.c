/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a registration. Each field is read into a specification that already has the configuration's defaults.
 */
#include "wire/wire.h"

#include "registry/problem.h"
#include "wire/json_read.h"

static int read_ports(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_array(reader, place, value, &wire_ports_array, &spec->ports, &spec->port_count);
}

static int read_default(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_bool(reader, place, value, &spec->is_default);
}

static int read_ready_port(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_port(reader, place, value, &spec->ready_port);
}

/* The highest number means "leave it as it is" to the kernel, and is nobody's. */
static int read_user(const struct reader *reader, const struct place *place, const json_t *value, uint32_t *user)
{
	int64_t integer = 0;

	if (read_integer(reader, place, value, 0, UINT32_MAX - 1, &integer) < 0)
		return -1;
	*user = (uint32_t)integer;
	return 0;
}

static int read_uid(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_user(reader, place, value, &spec->tap_uid);
}

static int read_gid(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_user(reader, place, value, &spec->tap_gid);
}

static int read_tap_owner(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	static const struct field fields[] = {
		{ "uid", read_uid, FIELD_REQUIRED },
		{ "gid", read_gid, FIELD_REQUIRED },
	};
	struct spec *spec = target;

	spec->has_tap_owner = true;
	return read_object(reader, place, value, fields, FIELD_COUNT(fields), target);
}

static struct spec *read_spec(const struct reader *reader, const json_t *body)
{
	static const struct field fields[] = {
		{ "ports", read_ports, FIELD_OPTIONAL },           { "default", read_default, FIELD_OPTIONAL },
		{ "ready_port", read_ready_port, FIELD_OPTIONAL }, { "tap_owner", read_tap_owner, FIELD_OPTIONAL },
		{ "egress", read_egress, FIELD_OPTIONAL },         { "bandwidth", read_bandwidth, FIELD_OPTIONAL },
		{ "limits", read_limits, FIELD_OPTIONAL },         { "labels", read_labels, FIELD_OPTIONAL },
	};
	struct place document = { 0 };
	struct spec *spec = spec_new(reader->config);

	if (!spec) {
		problem_set(reader->problem, PROBLEM_INTERNAL, NULL, "out of memory");
		return NULL;
	}
	if (read_object(reader, &document, body, fields, FIELD_COUNT(fields), spec) < 0 ||
	    spec_check_ports(spec->ports, spec->port_count, "/ports", reader->problem) < 0) {
		spec_free(spec);
		return NULL;
	}
	return spec;
}

struct spec *wire_read_spec(const json_t *body, const struct config *config, struct problem *problem)
{
	struct reader reader = { .config = config, .problem = problem };

	return read_spec(&reader, body);
}

struct spec *wire_read_stored_spec(const json_t *body, const struct config *config, struct problem *problem)
{
	struct reader reader = { .config = config, .problem = problem, .stored = true };

	return read_spec(&reader, body);
}
