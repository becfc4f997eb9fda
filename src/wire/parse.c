/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From bytes to JSON. jansson refuses malformed text, duplicate keys and NUL, and reports the position, but not the field. The
 * field is found by a second walk over the text up to that position, which skips strings and follows brackets and commas.
 *
 * jansson does not always say that it found no memory, and its lexer then drops a byte of the text and goes on. So the first
 * allocation that fails is noted, and those after it fail too: the text is given up, whatever jansson makes of it.
 */
#include "wire/wire.h"

#include "registry/problem.h"
#include "wire/json_read.h"

#include <stdio.h>
#include <string.h>

enum { TRACE_DEPTH = 16 }; /* deeper than any request */

/* How jansson gets memory, and whether it got none for the text that is being parsed. One thread at a time parses. */
static struct {
	json_malloc_t allocate;
	bool failed;
} wire_memory;

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

static void *wire_allocate(size_t size)
{
	void *memory = wire_memory.failed ? NULL : wire_memory.allocate(size);

	wire_memory.failed |= !memory;
	return memory;
}

/* The JSON of TEXT. NULL with ERROR, or, if *NO_MEMORY, without. */
static json_t *wire_parse_text(const char *text, size_t length, bool *no_memory, json_error_t *error)
{
	json_free_t release;

	json_get_alloc_funcs(&wire_memory.allocate, &release);
	wire_memory.failed = false;
	json_set_alloc_funcs(wire_allocate, release);
	json_t *json =
	    length ? json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, error) : json_object();
	json_set_alloc_funcs(wire_memory.allocate, release);
	*no_memory = wire_memory.failed;
	if (!*no_memory)
		return json;
	json_decref(json);
	return NULL;
}

json_t *wire_parse_body(const char *body, size_t length, struct problem *problem)
{
	json_error_t error = { 0 };
	bool no_memory;
	json_t *json = wire_parse_text(body, length, &no_memory, &error);

	if (!json) {
		if (no_memory)
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
