/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a PATCH: commands, and fields of the specification. A field given replaces the stored one whole, so it is read
 * into a specification of its own that has the defaults.
 */
#include "registry/problem.h"
#include "registry/spec_patch.h"
#include "wire/reading.h"
#include "wire/wire.h"

#include <string.h>

static int wire_read_patch_key(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *context)
{
	struct spec_patch *patch = context;
	const struct spec_field *command = registry_spec_field_find(&spec_patch_table, place->key);
	const struct spec_field *field = registry_spec_field_find(&spec_table, place->key);

	if (command)
		return wire_read_field(reader, place, value, command, patch);
	if (!field || !(field->flags & SPEC_IN_PATCH))
		return 1;
	if (!patch->given)
		patch->given = registry_spec_new(reader->config);
	if (!patch->given)
		return registry_problem_no_memory(reader->problem);
	patch->given_fields |= UINT64_C(1) << (field - spec_table.fields);
	if (field->flags & SPEC_TAKEN && json_is_string(value)) {
		if (strcmp(json_string_value(value), "take") != 0)
			return wire_refuse(reader, place, "must be true, false or \"take\"");
		patch->takes_default = true;
		*(bool *)registry_spec_field_place(field, patch->given) = true;
		return 0;
	}
	return wire_read_field(reader, place, value, field, patch->given);
}

static int wire_read_no_key(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    void *context)
{
	(void)reader, (void)place, (void)value, (void)context;
	return 1;
}

int wire_read_nothing(const json_t *body, struct problem *problem)
{
	struct wire_reader reader = { .problem = problem };
	struct wire_place document = { 0 };

	return wire_read_keys(&reader, &document, body, wire_read_no_key, NULL);
}

int wire_read_patch(const json_t *body, const struct config *config, struct spec_patch *patch, struct problem *problem)
{
	struct wire_reader reader = { .config = config, .problem = problem };
	struct wire_place document = { 0 };

	*patch = (struct spec_patch){ 0 };
	if (wire_read_keys(&reader, &document, body, wire_read_patch_key, patch) < 0 ||
	    (patch->given && wire_check_door(&reader, body, &patch->given->door) < 0))
		return -1;
	return registry_spec_patch_check(patch, problem);
}
