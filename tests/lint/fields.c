/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the tables of fields and the version of the API as JSON, for tests/lint/openapi: {"specification": [FIELD...],
 * "commands": [FIELD...], "api_version": "1.1"}.
 */
#include "registry/fields.h"
#include "base/base64.h"
#include "control/control.h"
#include "registry/spec.h"
#include "registry/spec_patch.h"
#include "wire/reading.h"
#include "wire/write.h"

#include <stdio.h>
#include <stdlib.h>

static const char *kind_name(enum spec_kind kind)
{
	switch (kind) {
	case SPEC_BOOL:
		return "boolean";
	case SPEC_EITHER:
		return "word";
	case SPEC_PORT:
		return "port";
	case SPEC_NUMBER:
	case SPEC_LARGE:
		return "number";
	case SPEC_NAME:
		return "name";
	case SPEC_TOKEN:
		return "token";
	case SPEC_OBJECT:
		return "object";
	case SPEC_LIST:
		return "list";
	case SPEC_WAKE:
		return "wake";
	case SPEC_ACCESS:
		return "access";
	}
	return "unknown";
}

static const char *item_name(enum spec_item item)
{
	switch (item) {
	case SPEC_ITEM_PORT:
		return "port";
	case SPEC_ITEM_RULE:
		return "rule";
	case SPEC_ITEM_LABEL:
		return "label";
	case SPEC_ITEM_UNPUBLISH:
		return "unpublish";
	case SPEC_ITEM_WAKE:
		return "wake";
	}
	return "unknown";
}

/* The members of an item that may be an object. */
static json_t *item_members(enum spec_item item)
{
	const struct wire_object *object = item == SPEC_ITEM_PORT   ? &wire_port_object
					   : item == SPEC_ITEM_RULE ? &wire_rule_object
								    : NULL;
	json_t *list = json_array();

	for (size_t i = 0; object && i < object->count; i++)
		json_array_append_new(list, json_pack("{s:s, s:b}", "name", object->members[i].name, "required",
						      object->members[i].need == WIRE_REQUIRED));
	return list;
}

static json_t *access_words(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < WIRE_ACCESSES; i++)
		json_array_append_new(list, json_string(wire_access_names[i]));
	return list;
}

static json_t *describe_table(const struct spec_table *table);

static json_t *describe(const struct spec_field *field)
{
	json_t *json =
	    json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b}", "name", field->name, "kind", kind_name(field->kind),
		      "put", (field->flags & SPEC_IN_PUT) != 0, "patch", (field->flags & SPEC_IN_PATCH) != 0, "shown",
		      (field->flags & SPEC_SHOWN) != 0, "required", (field->flags & SPEC_REQUIRED) != 0, "taken",
		      (field->flags & SPEC_TAKEN) != 0, "nullable",
		      field->kind == SPEC_PORT || field->kind == SPEC_NAME || field->flags & SPEC_HAS_GIVEN ||
			  (field->kind == SPEC_OBJECT && field->members->is_none));

	if (field->kind == SPEC_NUMBER || field->kind == SPEC_LARGE)
		json_object_update_new(
		    json, json_pack("{s:I, s:I}", "min", (json_int_t)field->min, "max", (json_int_t)field->max));
	if (field->kind == SPEC_NAME)
		json_object_set_new(json, "pattern", json_string(SANDBOX_ID_PATTERN));
	if (field->kind == SPEC_TOKEN)
		json_object_set_new(json, "length", json_integer(BASE64_LENGTH(DOOR_TOKEN_SIZE)));
	if (field->kind == SPEC_ACCESS)
		json_object_update_new(json, json_pack("{s:i, s:o}", "max", DOOR_PORTS_MAX, "words", access_words()));
	if (field->kind == SPEC_PORT)
		json_object_update_new(json, json_pack("{s:i, s:i}", "min", 1, "max", 65535));
	if (field->kind == SPEC_EITHER)
		json_object_set_new(json, "words", json_pack("[s, s]", field->words[0], field->words[1]));
	if (field->kind == SPEC_OBJECT)
		json_object_set_new(json, "members", describe_table(field->members));
	if (field->kind == SPEC_WAKE)
		json_object_update_new(json, json_pack("{s:I, s:[s, s]}", "max", (json_int_t)field->items->max, "words",
						       wire_wake_names[WAKE_PUBLISHED], wire_wake_names[WAKE_ANY]));
	if (field->kind == SPEC_LIST)
		json_object_update_new(json, json_pack("{s:s, s:I, s:o}", "items", item_name(field->items->kind), "max",
						       (json_int_t)field->items->max, "members",
						       item_members(field->items->kind)));
	return json;
}

static json_t *describe_table(const struct spec_table *table)
{
	json_t *list = json_array();

	for (size_t i = 0; i < table->count; i++)
		json_array_append_new(list, describe(&table->fields[i]));
	return list;
}

int main(void)
{
	json_t *json = json_pack("{s:o, s:o, s:i, s:s}", "specification", describe_table(&spec_table), "commands",
				 describe_table(&spec_patch_table), "label_value_max", SPEC_LABEL_VALUE_MAX,
				 "api_version", CONTROL_API_VERSION);

	if (!json || json_dumpf(json, stdout, JSON_INDENT(1)) < 0)
		return EXIT_FAILURE;
	json_decref(json);
	return EXIT_SUCCESS;
}
