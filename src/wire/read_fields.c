/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads JSON into a struct along the table of its fields. Fields that an object does not name keep their value, the default.
 */
#include "base/sandbox_name.h"
#include "wire/reading.h"

#include <stdlib.h>
#include <string.h>

static int wire_read_number(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    const struct spec_field *field, void *structure)
{
	int64_t integer = 0;

	if (wire_read_integer(reader, place, value, (int64_t)field->min, (int64_t)field->max, &integer) < 0)
		return -1;
	if (field->kind == SPEC_NUMBER)
		*(uint32_t *)registry_spec_field_place(field, structure) = (uint32_t)integer;
	else
		*(uint64_t *)registry_spec_field_place(field, structure) = (uint64_t)integer;
	return 0;
}

/* null and "" take the name away, as they are shown, and as clients write an empty value. */
static int wire_read_name(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			  char name[static SANDBOX_ID_MAX + 1])
{
	const char *text = "";

	if (!json_is_null(value) && wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (*text && !registry_sandbox_id_is_valid(text))
		return wire_refuse(
		    reader, place,
		    "\"%s\" is no name: 1 to 64 of A-Z a-z 0-9 _ . -, the first a letter or a digit; null for none",
		    text);
	if (strcmp(text, BASE_NAME_OF_CHECKS) == 0 && !reader->stored)
		return wire_refuse(reader, place, "\"%s\" is reserved: the door is checked by it", text);
	strcpy(name, text);
	return 0;
}

static int wire_read_list(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			  const struct spec_field *field, void *structure)
{
	struct wire_array array = { .item_size = field->items->size, .max = field->items->max };
	struct label *labels = NULL;
	void *items = NULL;
	size_t count = 0;
	int result;

	switch (field->items->kind) {
	case SPEC_ITEM_PORT:
		array.read = wire_read_published;
		break;
	case SPEC_ITEM_RULE:
		array.read = wire_read_rule;
		break;
	case SPEC_ITEM_UNPUBLISH:
		array.read = wire_read_unpublish;
		break;
	case SPEC_ITEM_WAKE:
		array.read = wire_read_wake_port;
		break;
	case SPEC_ITEM_LABEL:
		result = wire_read_labels(reader, place, value, &labels, &count);
		registry_spec_list_set(field, structure, labels, count);
		return result;
	}
	result = wire_read_array(reader, place, value, &array, &items, &count);
	registry_spec_list_set(field, structure, items, count);
	return result;
}

int wire_read_field(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct spec_field *field, void *structure)
{
	void *target = registry_spec_field_place(field, structure);

	registry_spec_field_set_given(field, structure, true);
	switch (field->kind) {
	case SPEC_BOOL:
		return wire_read_bool(reader, place, value, target);
	case SPEC_EITHER:
		return wire_read_either(reader, place, value, field->words, target);
	case SPEC_PORT:
		return wire_read_port(reader, place, value, target);
	case SPEC_NUMBER:
	case SPEC_LARGE:
		return wire_read_number(reader, place, value, field, structure);
	case SPEC_NAME:
		return wire_read_name(reader, place, value, target);
	case SPEC_TOKEN:
		return wire_read_token(reader, place, value, field, structure);
	case SPEC_OBJECT:
		if (field->members->is_none && json_is_null(value))
			return 0; /* as it is by default */
		return wire_read_fields(reader, place, value, field->members, 0, target);
	case SPEC_LIST:
		return wire_read_list(reader, place, value, field, structure);
	case SPEC_WAKE:
		return wire_read_wake(reader, place, value, field, structure);
	case SPEC_ACCESS:
		return wire_read_access(reader, place, value, field, structure);
	}
	return -1;
}

struct wire_fields_reading {
	const struct spec_table *table;
	unsigned in;
	void *structure;
};

static int wire_read_key(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			 void *context)
{
	const struct wire_fields_reading *reading = context;
	const struct spec_field *field = registry_spec_field_find(reading->table, place->key);

	if (!field || (reading->in && !(field->flags & reading->in)))
		return 1;
	return wire_read_field(reader, place, value, field, reading->structure);
}

int wire_read_fields(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct spec_table *table, unsigned in, void *structure)
{
	struct wire_fields_reading reading = { .table = table, .in = in, .structure = structure };

	if (wire_read_keys(reader, place, value, wire_read_key, &reading) < 0)
		return -1;
	for (size_t i = 0; i < table->count; i++) {
		const struct spec_field *field = &table->fields[i];

		if (field->flags & SPEC_REQUIRED && wire_require(reader, place, value, field->name) < 0)
			return -1;
	}
	if (table->complete)
		table->complete(structure);
	return 0;
}
