/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The document is walked once. On the way down each function links a place on its stack to its parent's, which costs nothing
 * while all is well; whoever refuses a value turns the chain into a JSON pointer.
 *
 * Text that comes back in an answer must be UTF-8. What the parser let through is; cutting it to a buffer's size is not,
 * and wire_write_problem() sees to that.
 */
#include "wire/json_read.h"

#include "registry/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends KEY with "~" and "/" escaped, RFC 6901. */
static size_t append_key(char *text, size_t size, size_t used, const char *key)
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

static size_t append_place(const struct place *place, char *text, size_t size)
{
	size_t used;

	if (!place->parent) {
		text[0] = '\0';
		return 0;
	}
	used = append_place(place->parent, text, size);
	if (place->key) {
		if (used + 2 < size)
			text[used++] = '/';
		return append_key(text, size, used, place->key);
	}
	used += (size_t)snprintf(text + used, size - used, "/%zu", place->index);
	return used < size ? used : size - 1;
}

char *place_format(const struct place *place, char *text, size_t size)
{
	append_place(place, text, size);
	return text;
}

int read_refuse(const struct reader *reader, const struct place *place, const char *format, ...)
{
	char field[sizeof(reader->problem->field)], detail[sizeof(reader->problem->detail)];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	return problem_set(reader->problem, PROBLEM_BAD_REQUEST, place_format(place, field, sizeof(field)), "%s",
			   detail);
}

static const char *type_name(const json_t *value)
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

static int refuse_type(const struct reader *reader, const struct place *place, const char *wanted, const json_t *value)
{
	return read_refuse(reader, place, "must be %s, not %s", wanted, type_name(value));
}

int read_bool(const struct reader *reader, const struct place *place, const json_t *value, bool *result)
{
	if (!json_is_boolean(value))
		return refuse_type(reader, place, "true or false", value);
	*result = json_is_true(value);
	return 0;
}

int read_integer(const struct reader *reader, const struct place *place, const json_t *value, int64_t min, int64_t max,
		 int64_t *result)
{
	json_int_t integer = json_integer_value(value);

	if (!json_is_integer(value))
		return refuse_type(reader, place, "an integer", value);
	if (integer < min || integer > max)
		return read_refuse(reader, place, "%lld is out of range: %lld to %lld", (long long)integer,
				   (long long)min, (long long)max);
	*result = integer;
	return 0;
}

int read_port(const struct reader *reader, const struct place *place, const json_t *value, uint16_t *port)
{
	int64_t integer = 0;

	if (read_integer(reader, place, value, 1, 65535, &integer) < 0)
		return -1;
	*port = (uint16_t)integer;
	return 0;
}

int read_string(const struct reader *reader, const struct place *place, const json_t *value, const char **text)
{
	if (!json_is_string(value))
		return refuse_type(reader, place, "a string", value);
	*text = json_string_value(value);
	return 0;
}

int read_proto(const struct reader *reader, const struct place *place, const json_t *value, enum proto *proto)
{
	const char *text = "";

	if (read_string(reader, place, value, &text) < 0)
		return -1;
	if (strcmp(text, proto_name(PROTO_TCP)) == 0)
		*proto = PROTO_TCP;
	else if (strcmp(text, proto_name(PROTO_UDP)) == 0)
		*proto = PROTO_UDP;
	else
		return read_refuse(reader, place, "must be \"tcp\" or \"udp\", not \"%s\"", text);
	return 0;
}

int read_address(const struct reader *reader, const struct place *place, const json_t *value, struct addr *addr)
{
	const char *text = "";

	if (read_string(reader, place, value, &text) < 0)
		return -1;
	if (addr_parse(text, addr) < 0)
		return read_refuse(reader, place,
				   "\"%s\" is no address: ADDR:PORT, such as \"127.0.0.1:18080\" or \"[::1]:18080\", "
				   "port 1 to 65535",
				   text);
	return 0;
}

static const struct field *find_field(const struct field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	}
	return NULL;
}

int read_object(const struct reader *reader, const struct place *place, const json_t *value, const struct field *fields,
		size_t count, void *target)
{
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return refuse_type(reader, place, "an object", value);
	json_object_foreach((json_t *)value, key, member)
	{
		const struct field *field = find_field(fields, count, key);
		struct place here = place_in_object(place, key);

		if (!field)
			return read_refuse(reader, &here, "unknown field \"%s\"", key);
		if (field->read(reader, &here, member, target) < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		struct place here = place_in_object(place, fields[i].name);

		if (fields[i].need == FIELD_REQUIRED && !json_object_get(value, fields[i].name))
			return read_refuse(reader, &here, "is missing");
	}
	return 0;
}

int read_array(const struct reader *reader, const struct place *place, const json_t *value, const struct array *array,
	       void *items, size_t *count)
{
	size_t length = json_array_size(value);
	char *memory = NULL;

	*count = 0;
	memcpy(items, &memory, sizeof(memory));
	if (!json_is_array(value))
		return refuse_type(reader, place, "an array", value);
	if (length > array->max)
		return read_refuse(reader, place, "%zu entries, and %zu are the most", length, array->max);
	if (length == 0)
		return 0;
	memory = calloc(length, array->item_size);
	if (!memory)
		return problem_set(reader->problem, PROBLEM_INTERNAL, NULL, "out of memory");
	memcpy(items, &memory, sizeof(memory));
	for (size_t i = 0; i < length; i++) {
		struct place here = place_in_array(place, i);

		if (array->read(reader, &here, json_array_get(value, i), memory + i * array->item_size) < 0)
			return -1;
		*count = i + 1;
	}
	return 0;
}
