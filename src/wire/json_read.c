/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The document is walked once. On the way down each function links a place on its stack to that of its parent, which costs
 * nothing. Only a refusal turns the chain into a JSON pointer.
 *
 * Text in an answer must be UTF-8. The parser lets nothing else through, but cutting a text to the size of a buffer may break a
 * character, which wire_write_problem() repairs.
 */
#include "wire/json_read.h"

#include "registry/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends KEY with "~" and "/" escaped, RFC 6901. */
static size_t wire_append_key(char *text, size_t size, size_t used, const char *key)
{
	for (; *key && used + 3 < size; key++) {
		if (*key == '~' || *key == '/') {
			text[used++] = '~';
			text[used++] = *key == '~' ? '0' : '1';
		} else {
			text[used++] = *key;
		}
	}
	text[used] = '\0';
	return used;
}

static size_t wire_append_place(const struct wire_place *place, char *text, size_t size)
{
	size_t used;

	if (!place->parent) {
		text[0] = '\0';
		return 0;
	}
	used = wire_append_place(place->parent, text, size);
	if (place->key) {
		if (used + 2 < size)
			text[used++] = '/';
		return wire_append_key(text, size, used, place->key);
	}
	used += (size_t)snprintf(text + used, size - used, "/%zu", place->index);
	return used < size ? used : size - 1;
}

char *wire_place_format(const struct wire_place *place, char *text, size_t size)
{
	wire_append_place(place, text, size);
	return text;
}

int wire_refuse(const struct wire_reader *reader, const struct wire_place *place, const char *format, ...)
{
	char field[sizeof(reader->problem->field)], detail[sizeof(reader->problem->detail)];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	return registry_problem_set(reader->problem, PROBLEM_BAD_REQUEST,
				    wire_place_format(place, field, sizeof(field)), "%s", detail);
}

static const char *wire_type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction or exponent";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

int wire_refuse_type(const struct wire_reader *reader, const struct wire_place *place, const char *wanted,
		     const json_t *value)
{
	return wire_refuse(reader, place, "must be %s, not %s", wanted, wire_type_name(value));
}

int wire_read_bool(const struct wire_reader *reader, const struct wire_place *place, const json_t *value, bool *result)
{
	if (!json_is_boolean(value))
		return wire_refuse_type(reader, place, "true or false", value);
	*result = json_is_true(value);
	return 0;
}

int wire_read_integer(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		      int64_t min, int64_t max, int64_t *result)
{
	json_int_t integer = json_integer_value(value);

	if (!json_is_integer(value))
		return wire_refuse_type(reader, place, "an integer", value);
	if (integer < min || integer > max)
		return wire_refuse(reader, place, "%lld is out of range: %lld to %lld", (long long)integer,
				   (long long)min, (long long)max);
	*result = integer;
	return 0;
}

int wire_read_port(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		   uint16_t *port)
{
	int64_t integer = 0;

	if (wire_read_integer(reader, place, value, 1, 65535, &integer) < 0)
		return -1;
	*port = (uint16_t)integer;
	return 0;
}

int wire_read_string(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const char **text)
{
	if (!json_is_string(value))
		return wire_refuse_type(reader, place, "a string", value);
	*text = json_string_value(value);
	return 0;
}

int wire_read_either(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const char *const words[2], bool *result)
{
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	*result = strcmp(text, words[1]) == 0;
	if (!*result && strcmp(text, words[0]) != 0)
		return wire_refuse(reader, place, "must be \"%s\" or \"%s\", not \"%s\"", words[0], words[1], text);
	return 0;
}

int wire_read_proto(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    enum proto *proto)
{
	const char *const words[] = { addr_proto_name(PROTO_TCP), addr_proto_name(PROTO_UDP) };
	bool is_udp = false;

	if (wire_read_either(reader, place, value, words, &is_udp) < 0)
		return -1;
	*proto = is_udp ? PROTO_UDP : PROTO_TCP;
	return 0;
}

int wire_read_address(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		      struct addr *addr)
{
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (addr_parse(text, addr) < 0)
		return wire_refuse(reader, place,
				   "\"%s\" is no address: ADDR:PORT, such as \"127.0.0.1:18080\" or \"[::1]:18080\", "
				   "port 1 to 65535",
				   text);
	return 0;
}

int wire_read_keys(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		   wire_key_reader *read, void *context)
{
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return wire_refuse_type(reader, place, "an object", value);
	json_object_foreach((json_t *)value, key, member)
	{
		struct wire_place here = wire_place_key(place, key);
		int result = read(reader, &here, member, context);

		if (result > 0)
			return wire_refuse(reader, &here, "unknown field \"%s\"", key);
		if (result < 0)
			return -1;
	}
	return 0;
}

int wire_require(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		 const char *name)
{
	struct wire_place here = wire_place_key(place, name);

	return json_object_get(value, name) ? 0 : wire_refuse(reader, &here, "is missing");
}

struct wire_object_reading {
	const struct wire_object *object;
	void *target;
};

static int wire_read_member(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    void *context)
{
	const struct wire_object_reading *reading = context;

	for (size_t i = 0; i < reading->object->count; i++) {
		const struct wire_member *member = &reading->object->members[i];

		if (strcmp(member->name, place->key) == 0)
			return member->read(reader, place, value, reading->target);
	}
	return 1;
}

int wire_read_object(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct wire_object *object, void *target)
{
	struct wire_object_reading reading = { .object = object, .target = target };

	if (wire_read_keys(reader, place, value, wire_read_member, &reading) < 0)
		return -1;
	for (size_t i = 0; i < object->count; i++) {
		const struct wire_member *member = &object->members[i];

		if (member->need == WIRE_REQUIRED && wire_require(reader, place, value, member->name) < 0)
			return -1;
	}
	return 0;
}

int wire_read_array(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct wire_array *array, void *items, size_t *count)
{
	size_t length = json_array_size(value);
	char *memory = NULL;

	*count = 0;
	memcpy(items, &memory, sizeof(memory));
	if (!json_is_array(value))
		return wire_refuse_type(reader, place, "an array", value);
	if (length > array->max)
		return wire_refuse(reader, place, "%zu entries, and %zu are the most", length, array->max);
	if (length == 0)
		return 0;
	memory = calloc(length, array->item_size);
	if (!memory)
		return registry_problem_no_memory(reader->problem);
	memcpy(items, &memory, sizeof(memory));
	for (size_t i = 0; i < length; i++) {
		struct wire_place here = wire_place_index(place, i);

		if (array->read(reader, &here, json_array_get(value, i), memory + i * array->item_size) < 0)
			return -1;
		*count = i + 1;
	}
	return 0;
}
