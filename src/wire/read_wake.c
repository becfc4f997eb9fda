/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads which of the guest's ports wake it: 8080, "8080/tcp" or "5353/udp" each, or a word for all of some kind.
 */
#include "base/addr.h"
#include "wire/reading.h"
#include "wire/write.h"

#include <string.h>

/* "PORT" or "PORT/PROTO". 0 or -1. */
static int wire_parse_wake_port(const char *text, struct wake_port *port)
{
	static const enum proto protos[] = { PROTO_TCP, PROTO_UDP };
	size_t digits = strcspn(text, "/");

	port->proto = PROTO_TCP;
	if (addr_port_parse(text, digits, &port->port) < 0)
		return -1;
	if (!text[digits])
		return 0;
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		port->proto = protos[i];
		if (strcmp(text + digits + 1, addr_proto_name(protos[i])) == 0)
			return 0;
	}
	return -1;
}

int wire_read_wake_port(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item)
{
	struct wake_port *port = item;

	if (json_is_integer(value))
		return wire_read_port(reader, place, value, &port->port);
	if (!json_is_string(value))
		return wire_refuse_type(reader, place, "a port, such as 8080 or \"5353/udp\"", value);
	if (wire_parse_wake_port(json_string_value(value), port) < 0)
		return wire_refuse(reader, place,
				   "\"%s\" is no port: such as 8080, \"8080/tcp\" or \"5353/udp\", 1 to 65535",
				   json_string_value(value));
	return 0;
}

static int wire_read_wake_list(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       const struct spec_field *field, void *structure)
{
	const struct wire_array array = {
		.item_size = sizeof(struct wake_port),
		.max = field->items->max,
		.read = wire_read_wake_port,
	};
	struct wake_port *ports;
	size_t count;
	int result;

	if (json_array_size(value) == 0)
		return wire_refuse(reader, place, "names no port; \"wake\": null is for a sandbox that nothing wakes");
	result = wire_read_array(reader, place, value, &array, &ports, &count);
	registry_spec_list_set(field, structure, ports, count);
	for (size_t i = 1; result == 0 && i < count; i++) {
		struct wire_place here = wire_place_index(place, i);

		for (size_t j = 0; j < i; j++) {
			if (field->items->compare(&ports[i], &ports[j]) == 0)
				return wire_refuse(reader, &here, "is given twice: entry %zu has it already", j);
		}
	}
	return result;
}

int wire_read_wake(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		   const struct spec_field *field, void *structure)
{
	const char *word = json_string_value(value);

	if (json_is_array(value)) {
		registry_spec_set_which(field, structure, WAKE_LISTED);
		return wire_read_wake_list(reader, place, value, field, structure);
	}
	if (!word)
		return wire_refuse_type(reader, place, "an array of ports, \"published\" or \"any\"", value);
	for (unsigned which = 0; which <= WAKE_ANY; which++) {
		if (!wire_wake_names[which] || strcmp(word, wire_wake_names[which]) != 0)
			continue;
		registry_spec_set_which(field, structure, (enum wake_which)which);
		return 0;
	}
	return wire_refuse(reader, place, "must be an array of ports, \"published\" or \"any\", not \"%s\"", word);
}
