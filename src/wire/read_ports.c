/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a port to publish, which is a number or an object, and a port to unpublish. Addresses are checked against the
 * configuration here, where the place of each is known. Whether ports agree with each other is checked for the whole list.
 */
#include "registry/problem.h"
#include "registry/spec_patch.h"
#include "wire/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "localhost:PORT" means both families. 1 if TEXT has that form, 0 if not, -1 if its port is bad. */
static int wire_parse_localhost(const char *text, struct spec_port *port)
{
	static const char name[] = "localhost:";
	char numeric[ADDR_TEXT_SIZE];
	struct addr addr;

	if (strncmp(text, name, sizeof(name) - 1) != 0)
		return 0;
	snprintf(numeric, sizeof(numeric), "127.0.0.1:%.16s", text + sizeof(name) - 1);
	if (addr_parse(numeric, &addr) < 0)
		return -1;
	port->listen[0] = addr;
	port->listen[1] = addr_loopback6(addr_port(&addr));
	port->listen_count = 2;
	return 1;
}

static int wire_read_listen_list(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				 struct spec_port *port)
{
	size_t length = json_array_size(value);

	if (length == 0)
		return wire_refuse(reader, place, "names no address; without \"listen\" a free port is chosen");
	if (length > SPEC_LISTEN_MAX)
		return wire_refuse(reader, place, "%zu addresses, and %d are the most", length, SPEC_LISTEN_MAX);
	for (size_t i = 0; i < length; i++) {
		struct wire_place here = wire_place_index(place, i);

		if (wire_read_address(reader, &here, json_array_get(value, i), &port->listen[i]) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (registry_spec_listen_collides(&port->listen[i], &port->listen[j]))
				return wire_refuse(reader, &here, "is given twice: entry %zu has it already", j);
		}
		port->listen_count = i + 1;
	}
	return 0;
}

static int wire_read_listen(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    void *target)
{
	struct spec_port *port = target;

	port->automatic = false;
	if (json_is_array(value))
		return wire_read_listen_list(reader, place, value, port);
	if (!json_is_string(value))
		return wire_refuse(reader, place, "must be a string \"ADDR:PORT\" or a list of them");
	switch (wire_parse_localhost(json_string_value(value), port)) {
	case 1:
		return 0;
	case 0:
		port->listen_count = 1;
		return wire_read_address(reader, place, value, &port->listen[0]);
	}
	return wire_refuse(reader, place, "\"%s\" has no port from 1 to 65535", json_string_value(value));
}

static int wire_read_guest_port(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				void *target)
{
	struct spec_port *port = target;

	return wire_read_port(reader, place, value, &port->guest_port);
}

static int wire_read_port_proto(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				void *target)
{
	struct spec_port *port = target;

	return wire_read_proto(reader, place, value, &port->proto);
}

static int wire_read_via(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			 void *target)
{
	static const char *const words[] = { "forwarder", "nat" };
	struct spec_port *port = target;
	bool is_nat = false;

	if (wire_read_either(reader, place, value, words, &is_nat) < 0)
		return -1;
	port->via = is_nat ? VIA_NAT : VIA_FORWARDER;
	return 0;
}

static int wire_read_proxy_protocol(const struct wire_reader *reader, const struct wire_place *place,
				    const json_t *value, void *target)
{
	struct spec_port *port = target;
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (strcmp(text, "v2") != 0)
		return wire_refuse(reader, place, "must be \"v2\", not \"%s\"", text);
	port->proxy_protocol = true;
	return 0;
}

static int wire_check_addresses(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				const struct spec_port *port)
{
	struct wire_place listen = wire_place_key(place, "listen");
	bool listed = json_is_array(json_object_get(value, "listen"));

	for (size_t i = 0; i < port->listen_count; i++) {
		struct wire_place entry = wire_place_index(&listen, i);
		char field[128];

		wire_place_format(listed ? &entry : &listen, field, sizeof(field));
		if (registry_spec_check_listen(&port->listen[i], port->via, reader->config, field, reader->problem) < 0)
			return -1;
	}
	return 0;
}

static const struct wire_member wire_port_members[] = {
	{ "guest_port", wire_read_guest_port, WIRE_REQUIRED },
	{ "listen", wire_read_listen, WIRE_OPTIONAL },
	{ "proto", wire_read_port_proto, WIRE_OPTIONAL },
	{ "via", wire_read_via, WIRE_OPTIONAL },
	{ "proxy_protocol", wire_read_proxy_protocol, WIRE_OPTIONAL },
};
const struct wire_object wire_port_object = WIRE_OBJECT_OF(wire_port_members);

int wire_read_published(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item)
{
	struct spec_port *port = item;

	port->automatic = true;
	if (json_is_integer(value))
		return wire_read_port(reader, place, value, &port->guest_port);
	if (!json_is_object(value))
		return wire_refuse(reader, place, "must be a port number or an object");
	if (wire_read_object(reader, place, value, &wire_port_object, port) < 0)
		return -1;
	return reader->stored ? 0 : wire_check_addresses(reader, place, value, port);
}

/* "53/udp". 1 if TEXT has that form, 0 if not. */
static int wire_parse_port_of_proto(const char *text, struct spec_unpublish *unpublish)
{
	static const enum proto protos[] = { PROTO_TCP, PROTO_UDP };
	size_t digits = strspn(text, "0123456789");
	unsigned long port = strtoul(text, NULL, 10);

	if (!digits || digits > 5 || text[digits] != '/' || port < 1 || port > 65535)
		return 0;
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		if (strcmp(text + digits + 1, addr_proto_name(protos[i])) == 0) {
			unpublish->guest_port = (uint16_t)port;
			unpublish->proto = protos[i];
			return 1;
		}
	}
	return 0;
}

int wire_read_unpublish(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item)
{
	struct spec_unpublish *unpublish = item;

	if (json_is_integer(value)) {
		unpublish->any_proto = true;
		return wire_read_port(reader, place, value, &unpublish->guest_port);
	}
	if (!json_is_string(value))
		return wire_refuse(reader, place, "must be a guest port or a string \"PORT/PROTO\" or \"ADDR:PORT\"");
	if (wire_parse_port_of_proto(json_string_value(value), unpublish))
		return 0;
	return wire_read_address(reader, place, value, &unpublish->listen);
}
