/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a request that are given whole or not at all: egress policy, bandwidth, limits, labels. Each starts from the
 * configuration's defaults, so that an object replaces what was there.
 */
#include "wire/json_read.h"

#include "config/config.h"
#include "registry/problem.h"

#include <stdlib.h>
#include <string.h>

/* ---- Egress ---- */

static int read_cidr(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct egress_rule *rule = target;
	const char *text = "";

	if (read_string(reader, place, value, &text) < 0)
		return -1;
	if (cidr4_parse(text, &rule->cidr) < 0)
		return read_refuse(reader, place,
				   "\"%s\" is no IPv4 network: such as \"203.0.113.0/24\" or \"203.0.113.7\"", text);
	rule->cidr.ip = cidr4_first(&rule->cidr);
	return 0;
}

static int read_rule_proto(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct egress_rule *rule = target;

	rule->any_proto = false;
	return read_proto(reader, place, value, &rule->proto);
}

static int port_compare(const void *left, const void *right)
{
	return *(const uint16_t *)left - *(const uint16_t *)right;
}

static int read_rule_ports(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct egress_rule *rule = target;
	size_t length = json_array_size(value);

	if (!json_is_array(value) || length == 0 || length > SPEC_EGRESS_PORTS_MAX)
		return read_refuse(reader, place, "must be an array of 1 to %d ports", SPEC_EGRESS_PORTS_MAX);
	for (size_t i = 0; i < length; i++) {
		struct place here = place_in_array(place, i);

		if (read_port(reader, &here, json_array_get(value, i), &rule->ports[i]) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (rule->ports[j] == rule->ports[i])
				return read_refuse(reader, &here, "port %u is given twice", rule->ports[i]);
		}
	}
	rule->port_count = length;
	qsort(rule->ports, length, sizeof(rule->ports[0]), port_compare);
	return 0;
}

static int read_rule(const struct reader *reader, const struct place *place, const json_t *value, void *item)
{
	static const struct field fields[] = {
		{ "cidr", read_cidr, FIELD_REQUIRED },
		{ "proto", read_rule_proto, FIELD_OPTIONAL },
		{ "ports", read_rule_ports, FIELD_OPTIONAL },
	};
	struct egress_rule *rule = item;
	struct place ports = place_in_object(place, "ports");

	rule->any_proto = true;
	if (json_is_string(value))
		return read_cidr(reader, place, value, rule);
	if (!json_is_object(value))
		return read_refuse(reader, place, "must be a string \"CIDR\" or an object");
	if (read_object(reader, place, value, fields, FIELD_COUNT(fields), rule) < 0)
		return -1;
	if (rule->port_count && rule->any_proto)
		return read_refuse(reader, &ports, "ports need a \"proto\": \"tcp\" or \"udp\"");
	return 0;
}

static const struct array rules_array = {
	.item_size = sizeof(struct egress_rule),
	.max = SPEC_EGRESS_MAX,
	.read = read_rule,
};

static int read_internet(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_bool(reader, place, value, &spec->egress.internet);
}

static int read_allow(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_array(reader, place, value, &rules_array, &spec->egress.allow, &spec->egress.allow_count);
}

static int read_deny(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_array(reader, place, value, &rules_array, &spec->egress.deny, &spec->egress.deny_count);
}

int read_egress(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	static const struct field fields[] = {
		{ "internet", read_internet, FIELD_OPTIONAL },
		{ "allow", read_allow, FIELD_OPTIONAL },
		{ "deny", read_deny, FIELD_OPTIONAL },
	};

	return read_object(reader, place, value, fields, FIELD_COUNT(fields), target);
}

/* ---- Bandwidth ---- */

enum { BURST_MIN = 65536, BURST_PER_SECOND = 10 };

#define RATE_MAX INT64_C(1000000000000) /* a terabyte a second: more than any link, and exact in every JSON reader */

static int read_rate_value(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct rate *rate = target;
	int64_t integer = 0;

	if (read_integer(reader, place, value, 0, RATE_MAX, &integer) < 0)
		return -1;
	rate->rate = (uint64_t)integer;
	return 0;
}

static int read_burst(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct rate *rate = target;
	int64_t integer = 0;

	if (read_integer(reader, place, value, 0, UINT32_MAX, &integer) < 0)
		return -1;
	rate->burst = (uint64_t)integer;
	return 0;
}

/* Without a burst, a tenth of a second's worth, but no less than what TCP sends in one piece. */
static uint64_t default_burst(uint64_t rate)
{
	uint64_t burst = rate / BURST_PER_SECOND;

	if (burst < BURST_MIN)
		return BURST_MIN;
	return burst > UINT32_MAX ? UINT32_MAX : burst;
}

static int read_rate(const struct reader *reader, const struct place *place, const json_t *value, struct rate *rate)
{
	static const struct field fields[] = {
		{ "rate", read_rate_value, FIELD_REQUIRED },
		{ "burst", read_burst, FIELD_OPTIONAL },
	};

	*rate = (struct rate){ 0 };
	if (read_object(reader, place, value, fields, FIELD_COUNT(fields), rate) < 0)
		return -1;
	if (rate->rate == 0)
		rate->burst = 0;
	else if (rate->burst == 0)
		rate->burst = default_burst(rate->rate);
	return 0;
}

static int read_to_guest(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_rate(reader, place, value, &spec->bandwidth.to_guest);
}

static int read_from_guest(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_rate(reader, place, value, &spec->bandwidth.from_guest);
}

int read_bandwidth(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	static const struct field fields[] = {
		{ "to_guest", read_to_guest, FIELD_OPTIONAL },
		{ "from_guest", read_from_guest, FIELD_OPTIONAL },
	};

	return read_object(reader, place, value, fields, FIELD_COUNT(fields), target);
}

/* ---- Limits ---- */

enum {
	CONNECTIONS_MAX = 10000000,
	DURATION_MAX_MS = 7 * 24 * 3600 * 1000,
	KEEPALIVE_MAX_MS = 32767 * 1000, /* of TCP_KEEPIDLE, tcp(7) */
};

static int read_limit(const struct reader *reader, const struct place *place, const json_t *value, unsigned min,
		      unsigned max, unsigned *limit)
{
	int64_t integer = 0;

	if (read_integer(reader, place, value, min, max, &integer) < 0)
		return -1;
	*limit = (unsigned)integer;
	return 0;
}

static int read_connections(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_limit(reader, place, value, 0, CONNECTIONS_MAX, &spec->limits.connections);
}

static int read_deadline(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_limit(reader, place, value, 1, DURATION_MAX_MS, &spec->limits.connect_deadline_ms);
}

static int read_idle(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_limit(reader, place, value, 0, DURATION_MAX_MS, &spec->limits.idle_ms);
}

static int read_half_closed(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_limit(reader, place, value, 0, DURATION_MAX_MS, &spec->limits.half_closed_ms);
}

static int read_keepalive(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;

	return read_limit(reader, place, value, 0, KEEPALIVE_MAX_MS, &spec->limits.keepalive_ms);
}

int read_limits(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	static const struct field fields[] = {
		{ "connections", read_connections, FIELD_OPTIONAL },
		{ "connect_deadline_ms", read_deadline, FIELD_OPTIONAL },
		{ "idle_ms", read_idle, FIELD_OPTIONAL },
		{ "half_closed_ms", read_half_closed, FIELD_OPTIONAL },
		{ "keepalive_ms", read_keepalive, FIELD_OPTIONAL },
	};

	return read_object(reader, place, value, fields, FIELD_COUNT(fields), target);
}

/* ---- Labels ---- */

static bool has_control_character(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == '\x7f')
			return true;
	}
	return false;
}

static int check_label(const struct reader *reader, const struct place *place, const char *key, const char *value)
{
	size_t length = strlen(key);

	if (length == 0 || length > SPEC_LABEL_KEY_MAX)
		return read_refuse(reader, place, "a label's name must have 1 to %d bytes", SPEC_LABEL_KEY_MAX);
	if (strchr(key, '=') || has_control_character(key))
		return read_refuse(reader, place, "a label's name must have neither \"=\" nor control characters");
	if (strlen(value) > SPEC_LABEL_VALUE_MAX)
		return read_refuse(reader, place, "a label's value must have at most %d bytes", SPEC_LABEL_VALUE_MAX);
	if (has_control_character(value))
		return read_refuse(reader, place, "a label's value must not have control characters");
	return 0;
}

static int label_compare(const void *left, const void *right)
{
	return strcmp(((const struct label *)left)->key, ((const struct label *)right)->key);
}

static int add_label(const struct reader *reader, struct spec *spec, const char *key, const char *value)
{
	struct label *label = &spec->labels[spec->label_count++];

	label->key = strdup(key);
	label->value = strdup(value);
	if (!label->key || !label->value)
		return problem_set(reader->problem, PROBLEM_INTERNAL, NULL, "out of memory");
	return 0;
}

int read_labels(const struct reader *reader, const struct place *place, const json_t *value, void *target)
{
	struct spec *spec = target;
	size_t count = json_object_size(value);
	const char *key, *text = "";
	json_t *member;

	if (!json_is_object(value))
		return read_refuse(reader, place, "must be an object of strings");
	if (count > SPEC_LABELS_MAX)
		return read_refuse(reader, place, "%zu labels, and %d are the most", count, SPEC_LABELS_MAX);
	if (count == 0)
		return 0;
	spec->labels = calloc(count, sizeof(*spec->labels));
	if (!spec->labels)
		return problem_set(reader->problem, PROBLEM_INTERNAL, NULL, "out of memory");
	json_object_foreach((json_t *)value, key, member)
	{
		struct place here = place_in_object(place, key);

		if (read_string(reader, &here, member, &text) < 0 || check_label(reader, &here, key, text) < 0 ||
		    add_label(reader, spec, key, text) < 0)
			return -1;
	}
	qsort(spec->labels, spec->label_count, sizeof(*spec->labels), label_compare);
	return 0;
}
