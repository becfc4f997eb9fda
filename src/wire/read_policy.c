/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the rules of an egress policy, and labels.
 */
#include "wire/reading.h"

#include "base/addr_proto.h"
#include "registry/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rules ---- */

static int wire_read_cidr(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			  void *target)
{
	struct egress_rule *rule = target;
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (addr_cidr4_parse(text, &rule->cidr) < 0)
		return wire_refuse(reader, place,
				   "\"%s\" is no IPv4 network: such as \"203.0.113.0/24\" or \"203.0.113.7\"", text);
	rule->cidr.ip = addr_cidr4_first(&rule->cidr);
	return 0;
}

static int wire_read_rule_proto(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				void *target)
{
	struct egress_rule *rule = target;
	const char *name = json_string_value(value);

	rule->any_proto = false;
	if (name && addr_ip_proto_from_name(name, &rule->ip_proto) == 0)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT8_MAX)
		return wire_refuse(reader, place, "must be " ADDR_IP_PROTO_ALLOWED);
	rule->ip_proto = (uint8_t)json_integer_value(value);
	return 0;
}

static int wire_compare_ports(const void *left, const void *right)
{
	return ((const struct port_range *)left)->first - ((const struct port_range *)right)->first;
}

/* 443, or "8000-8099". */
static int wire_read_port_range(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				struct port_range *range)
{
	const char *text = json_string_value(value);
	unsigned first = 0, last = 0;
	int length = 0;

	if (!text) {
		if (!json_is_integer(value))
			return wire_refuse(reader, place, "must be a port, or a string \"FIRST-LAST\"");
		if (wire_read_port(reader, place, value, &range->first) < 0)
			return -1;
		range->last = range->first;
		return 0;
	}
	/* sscanf() would take blanks and a sign. */
	if (strspn(text, "0123456789-") != strlen(text) || *text == '-' ||
	    sscanf(text, "%5u-%n%5u%n", &first, &length, &last, &length) != 2 || text[length] || strstr(text, "--") ||
	    first < 1 || last > 65535 || first > last)
		return wire_refuse(reader, place, "\"%s\" is no range of ports, such as \"8000-8099\"", text);
	*range = (struct port_range){ (uint16_t)first, (uint16_t)last };
	return 0;
}

static int wire_read_rule_ports(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				void *target)
{
	struct egress_rule *rule = target;
	size_t length = json_array_size(value);

	if (!json_is_array(value) || length == 0 || length > SPEC_EGRESS_PORTS_MAX)
		return wire_refuse(reader, place, "must be an array of 1 to %d ports", SPEC_EGRESS_PORTS_MAX);
	for (size_t i = 0; i < length; i++) {
		struct wire_place here = wire_place_index(place, i);

		if (wire_read_port_range(reader, &here, json_array_get(value, i), &rule->ports[i]) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			const struct port_range *a = &rule->ports[j], *b = &rule->ports[i];

			if (a->first <= b->last && b->first <= a->last)
				return wire_refuse(reader, &here, "port %u is given twice",
						   a->first > b->first ? a->first : b->first);
		}
	}
	rule->port_count = length;
	qsort(rule->ports, length, sizeof(rule->ports[0]), wire_compare_ports);
	return 0;
}

static const struct wire_member wire_rule_members[] = {
	{ "cidr", wire_read_cidr, WIRE_REQUIRED },
	{ "proto", wire_read_rule_proto, WIRE_OPTIONAL },
	{ "ports", wire_read_rule_ports, WIRE_OPTIONAL },
};
const struct wire_object wire_rule_object = WIRE_OBJECT_OF(wire_rule_members);

int wire_read_rule(const struct wire_reader *reader, const struct wire_place *place, const json_t *value, void *item)
{
	struct egress_rule *rule = item;
	struct wire_place ports = wire_place_key(place, "ports");

	rule->any_proto = true;
	if (json_is_string(value))
		return wire_read_cidr(reader, place, value, rule);
	if (!json_is_object(value))
		return wire_refuse(reader, place, "must be a string \"CIDR\" or an object");
	if (wire_read_object(reader, place, value, &wire_rule_object, rule) < 0)
		return -1;
	if (rule->port_count && (rule->any_proto || !addr_ip_proto_has_ports(rule->ip_proto)))
		return wire_refuse(reader, &ports, "ports need a \"proto\": \"tcp\" or \"udp\"");
	return 0;
}

/* ---- Labels ---- */

static bool wire_has_control_character(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == '\x7f')
			return true;
	}
	return false;
}

static int wire_check_label(const struct wire_reader *reader, const struct wire_place *place, const char *key,
			    const char *value)
{
	size_t length = strlen(key);

	if (length == 0 || length > SPEC_LABEL_KEY_MAX)
		return wire_refuse(reader, place, "a label's name must have 1 to %d bytes", SPEC_LABEL_KEY_MAX);
	if (strchr(key, '=') || wire_has_control_character(key))
		return wire_refuse(reader, place, "a label's name must have neither \"=\" nor control characters");
	if (strlen(value) > SPEC_LABEL_VALUE_MAX)
		return wire_refuse(reader, place, "a label's value must have at most %d bytes", SPEC_LABEL_VALUE_MAX);
	if (wire_has_control_character(value))
		return wire_refuse(reader, place, "a label's value must not have control characters");
	return 0;
}

static int wire_compare_labels(const void *left, const void *right)
{
	return strcmp(((const struct label *)left)->key, ((const struct label *)right)->key);
}

int wire_read_labels(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     struct label **labels, size_t *label_count)
{
	size_t count = json_object_size(value);
	const char *key, *text = "";
	json_t *member;

	if (!json_is_object(value))
		return wire_refuse(reader, place, "must be an object of strings");
	if (count > SPEC_LABELS_MAX)
		return wire_refuse(reader, place, "%zu labels, and %d are the most", count, SPEC_LABELS_MAX);
	if (count == 0)
		return 0;
	*labels = calloc(count, sizeof(**labels));
	if (!*labels)
		return registry_problem_no_memory(reader->problem);
	json_object_foreach((json_t *)value, key, member)
	{
		struct wire_place here = wire_place_key(place, key);
		struct label *label = &(*labels)[*label_count];

		if (wire_read_string(reader, &here, member, &text) < 0 ||
		    wire_check_label(reader, &here, key, text) < 0)
			return -1;
		++*label_count;
		label->key = strdup(key);
		label->value = strdup(text);
		if (!label->key || !label->value)
			return registry_problem_no_memory(reader->problem);
	}
	qsort(*labels, *label_count, sizeof(**labels), wire_compare_labels);
	return 0;
}
