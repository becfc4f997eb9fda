/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads who may come to a sandbox through the door.
 */
#include "base/addr.h"
#include "base/base64.h"
#include "registry/problem.h"
#include "wire/reading.h"
#include "wire/write.h"

#include <stdlib.h>
#include <string.h>

int wire_read_token(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct spec_field *field, void *structure)
{
	const char *text = "";

	registry_spec_field_set_given(field, structure, !json_is_null(value));
	if (json_is_null(value))
		return 0;
	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (base_base64_read(text, strlen(text), registry_spec_field_place(field, structure), DOOR_TOKEN_SIZE) !=
	    DOOR_TOKEN_SIZE)
		return wire_refuse(
		    reader, place,
		    "must be the SHA-256 of the token in base64, 44 characters with the padding; null for none");
	return 0;
}

/* One text alone for each port, so that none is given twice. */
static int wire_read_port_key(const struct wire_reader *reader, const struct wire_place *place, uint16_t *port)
{
	if (*place->key == '0' || addr_port_parse(place->key, strlen(place->key), port) < 0)
		return wire_refuse(reader, place, "\"%s\" is no port: such as \"8080\", \"1\" to \"65535\"",
				   place->key);
	return 0;
}

static int wire_read_door_port(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       struct door_port *port)
{
	const char *text = "";
	unsigned access = 0;

	if (wire_read_port_key(reader, place, &port->port) < 0 || wire_read_string(reader, place, value, &text) < 0)
		return -1;
	while (access < WIRE_ACCESSES && strcmp(text, wire_access_names[access]) != 0)
		access++;
	if (access == WIRE_ACCESSES)
		return wire_refuse(reader, place, "must be \"public\", \"token\" or \"closed\"");
	port->access = (enum door_access)access;
	if (port->port == DOOR_FREE_PORT && port->access == DOOR_ACCESS_TOKEN)
		return wire_refuse(
		    reader, place,
		    "port %d asks for no token at the door, for envd has its own; it can be \"public\" or \"closed\"",
		    DOOR_FREE_PORT);
	return 0;
}

static int wire_compare_door_ports(const void *left, const void *right)
{
	return ((const struct door_port *)left)->port - ((const struct door_port *)right)->port;
}

int wire_read_access(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct spec_field *field, void *structure)
{
	struct door_port *ports = registry_spec_field_place(field, structure);
	size_t count = 0;
	const char *key;
	json_t *member;

	registry_spec_access_set_count(field, structure, 0);
	if (!json_is_object(value))
		return wire_refuse(reader, place, "must be an object of ports, such as {\"8080\": \"token\"}");
	if (json_object_size(value) > DOOR_PORTS_MAX)
		return wire_refuse(reader, place, "%zu ports, and %d are the most", json_object_size(value),
				   DOOR_PORTS_MAX);
	json_object_foreach((json_t *)value, key, member)
	{
		struct wire_place here = wire_place_key(place, key);

		if (wire_read_door_port(reader, &here, member, &ports[count++]) < 0)
			return -1;
	}
	qsort(ports, count, sizeof(*ports), wire_compare_door_ports);
	registry_spec_access_set_count(field, structure, count);
	return 0;
}

/*
 * Where the configuration lets nobody in who has no token, a registration need not have one: nobody comes in then. One that asks for
 * tokens itself has forgotten something.
 */
int wire_check_door(const struct wire_reader *reader, const json_t *body, const struct door_policy *door)
{
	const json_t *given = json_object_get(body, "door");
	struct wire_place document = { 0 };
	struct wire_place here = wire_place_key(&document, "door");
	struct wire_place token = wire_place_key(&here, "token_sha256");

	if (!given || reader->stored || door->has_token)
		return 0;
	if (json_is_false(json_object_get(given, "public")))
		return wire_refuse(reader, &token, "is needed with \"public\": false");
	for (size_t i = 0; i < door->port_count; i++) {
		if (door->ports[i].access == DOOR_ACCESS_TOKEN)
			return wire_refuse(reader, &token, "is needed: port %u is \"token\"", door->ports[i].port);
	}
	return 0;
}
