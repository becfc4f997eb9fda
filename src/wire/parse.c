/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From bytes to JSON. jansson refuses malformed text, duplicate keys and NUL, and reports the position, but not the field. The
 * field is found by a second walk over the text up to that position, which skips strings and follows brackets and commas.
 */
#include "wire/wire.h"

#include "registry/problem.h"
#include "wire/json_read.h"

#include <stdio.h>
#include <string.h>

enum { TRACE_DEPTH = 16 }; /* deeper than any request */

struct wire_level {
	bool is_array;
	size_t index; /* of the current item, in an array */
	const char *key;
	size_t key_length;
};

struct wire_trace {
	struct wire_level levels[TRACE_DEPTH];
	size_t depth;
};

/* The end of the string that starts at TEXT (after its closing quote), or END. */
static const char *wire_skip_string(const char *text, const char *end)
{
	for (text++; text < end && *text != '"'; text++) {
		if (*text == '\\')
			text++;
	}
	return text < end ? text + 1 : end;
}

/* Follows one character outside of strings. Returns -1 if the nesting is too deep. */
static int wire_trace_step(struct wire_trace *trace, char c)
{
	switch (c) {
	case '{':
	case '[':
		if (trace->depth == TRACE_DEPTH)
			return -1;
		trace->levels[trace->depth++] = (struct wire_level){ .is_array = c == '[' };
		break;
	case '}':
	case ']':
		if (trace->depth)
			trace->depth--;
		break;
	case ',':
		if (trace->depth)
			trace->levels[trace->depth - 1].index++;
		break;
	}
	return 0;
}

static void wire_trace_to(struct wire_trace *trace, const char *text, const char *end)
{
	bool key_follows = false;

	while (text < end) {
		struct wire_level *level = trace->depth ? &trace->levels[trace->depth - 1] : NULL;

		if (*text == '"') {
			const char *start = text + 1;

			text = wire_skip_string(text, end);
			if (key_follows && level && !level->is_array) {
				level->key = start;
				level->key_length = (size_t)(text - start) - (text > start && text[-1] == '"');
			}
			key_follows = false;
			continue;
		}
		if (*text == '{' || *text == ',')
			key_follows = true;
		if (wire_trace_step(trace, *text++) < 0)
			return;
	}
}

static void wire_trace_format(const struct wire_trace *trace, char *text, size_t size)
{
	struct wire_place places[TRACE_DEPTH + 1] = { 0 };
	char keys[TRACE_DEPTH][128];
	size_t depth;

	for (depth = 0; depth < trace->depth; depth++) {
		const struct wire_level *level = &trace->levels[depth];

		if (level->is_array) {
			places[depth + 1] = wire_place_index(&places[depth], level->index);
			continue;
		}
		if (!level->key)
			break;
		snprintf(keys[depth], sizeof(keys[depth]), "%.*s", (int)level->key_length, level->key);
		places[depth + 1] = wire_place_key(&places[depth], keys[depth]);
	}
	wire_place_format(&places[depth], text, size);
}

static int wire_refuse_text(const char *body, size_t length, const json_error_t *error, struct problem *problem)
{
	enum json_error_code code = json_error_code(error);
	struct wire_trace trace = { 0 };
	char field[128] = "";

	if (code == json_error_duplicate_key || code == json_error_null_character ||
	    code == json_error_null_byte_in_key) {
		size_t position = (size_t)error->position;

		wire_trace_to(&trace, body, body + (position < length ? position : length));
		wire_trace_format(&trace, field, sizeof(field));
	}
	return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field, "malformed JSON in line %d, column %d: %s",
				    error->line, error->column, error->text);
}

json_t *wire_parse_body(const char *body, size_t length, struct problem *problem)
{
	json_error_t error;
	json_t *json;

	if (length == 0)
		json = json_object();
	else
		json = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!json) {
		if (length == 0)
			registry_problem_no_memory(problem);
		else
			wire_refuse_text(body, length, &error, problem);
		return NULL;
	}
	if (!json_is_object(json)) {
		registry_problem_set(problem, PROBLEM_BAD_REQUEST, NULL, "the body must be a JSON object");
		json_decref(json);
		return NULL;
	}
	return json;
}
