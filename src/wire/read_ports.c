/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port to publish: a number, or an object that says more. Its addresses are held against the configuration here, where each
 * one's place is known; whether ports agree with each other is for the whole list to say.
 */
#include "wire/json_read.h"

#include "registry/problem.h"

#include <stdio.h>
#include <string.h>

/* "localhost:PORT" stands for both families. 1 if TEXT is that, 0 if it is something else, -1 if its port is bad. */
static int parse_localhost(const char *text, struct spec_port *port)
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

static int read_listen_list(const struct reader *reader, const struct place *place, const json_t *value,
			    struct spec_port *port)
{
	size_t length = json_array_size(value);

	if (length == 0)
		return read_refuse(reader, place, "names no address; without \"listen\" a free port is chosen");
	if (length > SPEC_LISTEN_MAX)
		return read_refuse(reader, place, "%zu addresses, and %d are the most", length, SPEC_LISTEN_MAX);
	for (size_t i = 0; i < length; i++) {
		struct place here = place_in_array(place, i);

		if (read_address(reader, &here, json_array_get(value, i), &port->listen[i]) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (spec_listen_collides(&port->listen[i], &port->listen[j]))
				return read_refuse(reader, &here, "is given twice: entry %zu has it already", j);
		}
		port->listen_count = i + 1;
	}
	return 0;
}

static int read_listen(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec_port *port = target;

	port->automatic = false;
	if (json_is_array(value))
		return read_listen_list(reader, place, value, port);
	if (!json_is_string(value))
		return read_refuse(reader, place, "must be a string \"ADDR:PORT\" or a list of them");
	switch (parse_localhost(json_string_value(value), port)) {
	case 1:
		return 0;
	case 0:
		port->listen_count = 1;
		return read_address(reader, place, value, &port->listen[0]);
	}
	return read_refuse(reader, place, "\"%s\" has no port from 1 to 65535", json_string_value(value));
}

static int read_guest_port(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec_port *port = target;

	return read_port(reader, place, value, &port->guest_port);
}

static int read_port_proto(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec_port *port = target;

	return read_proto(reader, place, value, &port->proto);
}

static int read_via(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec_port *port = target;
	const char *text = "";

	if (read_string(reader, place, value, &text) < 0)
		return -1;
	if (strcmp(text, "forwarder") == 0)
		port->via = VIA_FORWARDER;
	else if (strcmp(text, "nat") == 0)
		port->via = VIA_NAT;
	else
		return read_refuse(reader, place, "must be \"forwarder\" or \"nat\", not \"%s\"", text);
	return 0;
}

static int read_proxy_protocol(const struct reader *reader, const struct place *place, const json_t *value,
			       void *target)
{
	struct spec_port *port = target;
	const char *text = "";

	if (read_string(reader, place, value, &text) < 0)
		return -1;
	if (strcmp(text, "v2") != 0)
		return read_refuse(reader, place, "must be \"v2\", not \"%s\"", text);
	port->proxy_protocol = true;
	return 0;
}

static int check_addresses(const struct reader *reader, const struct place *place, const json_t *value,
			   const struct spec_port *port)
{
	struct place listen = place_in_object(place, "listen");
	bool listed = json_is_array(json_object_get(value, "listen"));

	for (size_t i = 0; i < port->listen_count; i++) {
		struct place entry = place_in_array(&listen, i);
		char field[128];

		place_format(listed ? &entry : &listen, field, sizeof(field));
		if (spec_check_listen(&port->listen[i], port->via, reader->config, field, reader->problem) < 0)
			return -1;
	}
	return 0;
}

static int read_spec_port(const struct reader *reader, const struct place *place, const json_t *value, void *item)
{
	static const struct field fields[] = {
		{ "guest_port", read_guest_port, FIELD_REQUIRED },
		{ "listen", read_listen, FIELD_OPTIONAL },
		{ "proto", read_port_proto, FIELD_OPTIONAL },
		{ "via", read_via, FIELD_OPTIONAL },
		{ "proxy_protocol", read_proxy_protocol, FIELD_OPTIONAL },
	};
	struct spec_port *port = item;

	port->automatic = true;
	if (json_is_integer(value))
		return read_port(reader, place, value, &port->guest_port);
	if (!json_is_object(value))
		return read_refuse(reader, place, "must be a port number or an object");
	if (read_object(reader, place, value, fields, FIELD_COUNT(fields), port) < 0)
		return -1;
	return reader->stored ? 0 : check_addresses(reader, place, value, port);
}

const struct array wire_ports_array = {
	.item_size = sizeof(struct spec_port),
	.max = SPEC_PORTS_MAX,
	.read = read_spec_port,
};
