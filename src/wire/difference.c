/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two specifications are compared by the registry, for which the order of rules does not count, and shown as JSON, as their sender
 * wrote them. Of an object its members are told one by one, and long values are cut, in ASCII so that no character is: the sender has the whole.
 */
#include "base/cleanup.h"
#include "base/memory_text.h"
#include "registry/fields.h"
#include "wire/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_SHOWN = 60, DIFFERENCE_SHOWN = 4 };

struct wire_difference {
	FILE *out;
	unsigned count;
};

static void wire_print_value(FILE *out, const json_t *value)
{
	AUTO_FREE char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_ENSURE_ASCII) : NULL;

	if (!text)
		fputs(value ? "?" : "none", out);
	else
		fprintf(out, "%.*s%s", VALUE_SHOWN, text, strlen(text) > VALUE_SHOWN ? "..." : "");
}

static void wire_tell_difference(struct wire_difference *difference, const char *name, const json_t *a, const json_t *b)
{
	if (difference->count++ >= DIFFERENCE_SHOWN)
		return;
	fprintf(difference->out, "%s%s is ", difference->count > 1 ? "; " : "", name);
	wire_print_value(difference->out, a);
	if (!b || (json_is_array(b) && !json_array_size(b))) {
		fputs(", and none was given", difference->out);
		return;
	}
	fputs(", not ", difference->out);
	wire_print_value(difference->out, b);
}

/* Tells the members of A and B that differ, whose name begins with PREFIX. */
static void wire_tell_members(struct wire_difference *difference, const char *prefix, const struct spec_table *table,
			      const void *a, const void *b, const json_t *json_a, const json_t *json_b)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct spec_field *field = &table->fields[i];
		const json_t *left = json_object_get(json_a, field->name),
			     *right = json_object_get(json_b, field->name);
		char name[64];

		if (field->flags & SPEC_APART || registry_spec_field_equal(field, a, b))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", field->name);
		if (field->kind == SPEC_OBJECT && left && right)
			wire_tell_members(difference, name, field->members, registry_spec_field_value(field, a),
					  registry_spec_field_value(field, b), left, right);
		else
			wire_tell_difference(difference, name, left, right);
	}
}

char *wire_write_difference(const struct spec *a, const struct spec *b)
{
	json_t *left = wire_write_spec(a), *right = wire_write_spec(b);
	struct wire_difference difference = { 0 };
	struct base_text written;
	char *text = NULL;
	size_t length;

	if (left && right && (difference.out = base_text_open(&written))) {
		wire_tell_members(&difference, "", &spec_table, a, b, left, right);
		if (difference.count > DIFFERENCE_SHOWN)
			fprintf(difference.out, "; and %u more", difference.count - DIFFERENCE_SHOWN);
		text = base_text_close(&written, difference.out, &length);
	}
	json_decref(left);
	json_decref(right);
	return text;
}
