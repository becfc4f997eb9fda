/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a struct as JSON along the table of its fields; reading the document gives the same struct. A document is made whole
 * or, for lack of memory, not at all.
 */
#include "base/addr_proto.h"
#include "base/base64.h"
#include "registry/fields.h"
#include "wire/wire.h"
#include "wire/write.h"

#include <stdio.h>

const char *wire_via_name(enum via via)
{
	switch (via) {
	case VIA_FORWARDER:
		return "forwarder";
	case VIA_NAT:
		return "nat";
	}
	return "unknown";
}

json_t *wire_write_array(const void *items, size_t count, size_t size, json_t *(*write)(const void *item))
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < count; i++) {
		if (json_array_append_new(list, write((const char *)items + i * size)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *wire_write_address(const void *item)
{
	char text[ADDR_TEXT_SIZE];

	return json_string(addr_format(item, text));
}

json_t *wire_write_addresses(const struct addr *addrs, size_t count)
{
	return wire_write_array(addrs, count, sizeof(*addrs), wire_write_address);
}

/* ---- Items of lists ---- */

static json_t *wire_write_port_range(const void *item)
{
	const struct port_range *range = item;

	if (range->first == range->last)
		return json_integer(range->first);
	return json_sprintf("%u-%u", range->first, range->last);
}

static json_t *wire_write_rule(const void *item)
{
	const struct egress_rule *rule = item;
	const char *name = addr_ip_proto_name(rule->ip_proto);
	char text[CIDR4_TEXT_SIZE];

	addr_cidr4_format(&rule->cidr, text);
	if (rule->any_proto)
		return json_string(text);
	if (rule->port_count == 0)
		return json_pack("{s:s, s:o}", "cidr", text, "proto",
				 name ? json_string(name) : json_integer(rule->ip_proto));
	return json_pack(
	    "{s:s, s:s, s:o}", "cidr", text, "proto", name, "ports",
	    wire_write_array(rule->ports, rule->port_count, sizeof(rule->ports[0]), wire_write_port_range));
}

static json_t *wire_write_port(const void *item)
{
	const struct spec_port *port = item;
	json_t *listen = NULL;

	if (!port->automatic) {
		listen = wire_write_addresses(port->listen, port->listen_count);
		if (!listen)
			return NULL;
	}
	return json_pack("{s:i, s:o*, s:s, s:s, s:s*}", "guest_port", port->guest_port, "listen", listen, "proto",
			 addr_proto_name(port->proto), "via", wire_via_name(port->via), "proxy_protocol",
			 port->proxy_protocol ? "v2" : NULL);
}

static json_t *wire_write_labels(const struct label *labels, size_t count)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < count; i++) {
		if (json_object_set_new(object, labels[i].key, json_string(labels[i].value)) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *wire_write_wake_port(const void *item)
{
	const struct wake_port *port = item;

	if (port->proto == PROTO_TCP)
		return json_integer(port->port);
	return json_sprintf("%u/%s", port->port, addr_proto_name(port->proto));
}

static json_t *wire_write_list(const struct spec_field *field, const void *structure)
{
	size_t count, size = field->items->size;
	const void *items = registry_spec_list_items(field, structure, &count);

	switch (field->items->kind) {
	case SPEC_ITEM_PORT:
		return wire_write_array(items, count, size, wire_write_port);
	case SPEC_ITEM_RULE:
		return wire_write_array(items, count, size, wire_write_rule);
	case SPEC_ITEM_WAKE:
		return wire_write_array(items, count, size, wire_write_wake_port);
	case SPEC_ITEM_LABEL:
		return wire_write_labels(items, count);
	case SPEC_ITEM_UNPUBLISH:
		break; /* a command, which no document has */
	}
	return NULL;
}

const char *const wire_wake_names[] = { [WAKE_PUBLISHED] = "published", [WAKE_ANY] = "any" };

static json_t *wire_write_wake(const struct spec_field *field, const void *structure)
{
	const char *word = wire_wake_names[registry_spec_which(field, structure)];

	return word ? json_string(word) : wire_write_list(field, structure);
}

/* ---- The door ---- */

const char *const wire_access_names[WIRE_ACCESSES] = { "public", "token", "closed" };

static json_t *wire_write_token(const uint8_t token[static DOOR_TOKEN_SIZE])
{
	char text[BASE64_LENGTH(DOOR_TOKEN_SIZE) + 1];

	return json_string(base_base64_write(token, DOOR_TOKEN_SIZE, text));
}

static json_t *wire_write_access(const struct spec_field *field, const void *structure)
{
	size_t count;
	const struct door_port *ports = registry_spec_access(field, structure, &count);
	json_t *object = json_object();

	for (size_t i = 0; object && i < count; i++) {
		char port[8];

		snprintf(port, sizeof(port), "%u", ports[i].port);
		if (json_object_set_new(object, port, json_string(wire_access_names[ports[i].access])) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* ---- Fields ---- */

static json_t *wire_write_fields(const struct spec_table *table, const void *structure);

static json_t *wire_write_field(const struct spec_field *field, const void *structure)
{
	const void *value = registry_spec_field_value(field, structure);

	switch (field->kind) {
	case SPEC_BOOL:
		return json_boolean(*(const bool *)value);
	case SPEC_EITHER:
		return json_string(field->words[*(const bool *)value]);
	case SPEC_PORT:
		return json_integer(*(const uint16_t *)value);
	case SPEC_NUMBER:
		return json_integer(*(const uint32_t *)value);
	case SPEC_LARGE:
		return json_integer((json_int_t) * (const uint64_t *)value);
	case SPEC_NAME:
		return json_string(value);
	case SPEC_TOKEN:
		return wire_write_token(value);
	case SPEC_OBJECT:
		return wire_write_fields(field->members, value);
	case SPEC_LIST:
		return wire_write_list(field, structure);
	case SPEC_WAKE:
		return wire_write_wake(field, structure);
	case SPEC_ACCESS:
		return wire_write_access(field, structure);
	}
	return NULL;
}

int wire_put_fields(json_t *object, const struct spec_table *table, unsigned in, const void *structure)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct spec_field *field = &table->fields[i];
		json_t *value;

		if (in && !(field->flags & in))
			continue;
		if (registry_spec_field_is_given(field, structure))
			value = wire_write_field(field, structure);
		else if (in & SPEC_SHOWN)
			value = json_null();
		else
			continue;
		if (json_object_set_new(object, field->name, value) < 0)
			return -1;
	}
	return 0;
}

static json_t *wire_write_fields(const struct spec_table *table, const void *structure)
{
	json_t *object = json_object();

	if (object && wire_put_fields(object, table, 0, structure) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *wire_write_spec(const struct spec *spec)
{
	json_t *object = json_object();

	if (object && wire_put_fields(object, &spec_table, SPEC_IN_PUT, spec) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *wire_write_door_change(const struct sandbox *sandbox)
{
	const struct spec_field *door = registry_spec_field_find(&spec_table, "door");
	json_t *object = wire_write_field(door, sandbox->spec);

	if (object)
		json_object_del(object, "token_sha256");
	if (object && json_object_set_new(object, "token", json_boolean(sandbox->spec->door.has_token)) == 0)
		return object;
	json_decref(object);
	return NULL;
}
