/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request as JSON, so that reading it gives the same request. Lack of memory shows as NULL, which jansson's setters pass on
 * as a failure of the whole.
 */
#include "wire/wire.h"
#include "wire/write.h"

const char *via_name(enum via via)
{
	switch (via) {
	case VIA_FORWARDER:
		return "forwarder";
	case VIA_NAT:
		return "nat";
	}
	return "unknown";
}

json_t *write_addresses(const struct addr *addrs, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		char text[ADDR_TEXT_SIZE];

		json_array_append_new(list, json_string(addr_format(&addrs[i], text)));
	}
	return list;
}

static json_t *write_rule(const struct egress_rule *rule)
{
	char text[CIDR4_TEXT_SIZE];
	json_t *object, *ports;

	cidr4_format(&rule->cidr, text);
	if (rule->any_proto)
		return json_string(text);
	object = json_pack("{s:s, s:s}", "cidr", text, "proto", proto_name(rule->proto));
	if (rule->port_count == 0)
		return object;
	ports = json_array();
	for (size_t i = 0; i < rule->port_count; i++)
		json_array_append_new(ports, json_integer(rule->ports[i]));
	json_object_set_new(object, "ports", ports);
	return object;
}

static json_t *write_rules(const struct egress_rule *rules, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, write_rule(&rules[i]));
	return list;
}

json_t *write_egress(const struct egress *egress)
{
	return json_pack("{s:b, s:o, s:o}", "internet", egress->internet, "allow",
			 write_rules(egress->allow, egress->allow_count), "deny",
			 write_rules(egress->deny, egress->deny_count));
}

static json_t *write_rate(const struct rate *rate)
{
	return json_pack("{s:I, s:I}", "rate", (json_int_t)rate->rate, "burst", (json_int_t)rate->burst);
}

json_t *write_bandwidth(const struct bandwidth *bandwidth)
{
	return json_pack("{s:o, s:o}", "to_guest", write_rate(&bandwidth->to_guest), "from_guest",
			 write_rate(&bandwidth->from_guest));
}

json_t *write_limits(const struct limits *limits)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "connections", (json_int_t)limits->connections,
			 "connect_deadline_ms", (json_int_t)limits->connect_deadline_ms, "idle_ms",
			 (json_int_t)limits->idle_ms, "half_closed_ms", (json_int_t)limits->half_closed_ms,
			 "keepalive_ms", (json_int_t)limits->keepalive_ms);
}

json_t *write_labels(const struct spec *spec)
{
	json_t *object = json_object();

	for (size_t i = 0; i < spec->label_count; i++)
		json_object_set_new(object, spec->labels[i].key, json_string(spec->labels[i].value));
	return object;
}

json_t *write_tap_owner(const struct spec *spec)
{
	if (!spec->has_tap_owner)
		return NULL;
	return json_pack("{s:I, s:I}", "uid", (json_int_t)spec->tap_uid, "gid", (json_int_t)spec->tap_gid);
}

static json_t *write_port(const struct spec_port *port)
{
	json_t *object = json_pack("{s:i}", "guest_port", port->guest_port);

	if (!port->automatic)
		json_object_set_new(object, "listen", write_addresses(port->listen, port->listen_count));
	json_object_set_new(object, "proto", json_string(proto_name(port->proto)));
	json_object_set_new(object, "via", json_string(via_name(port->via)));
	if (port->proxy_protocol)
		json_object_set_new(object, "proxy_protocol", json_string("v2"));
	return object;
}

json_t *wire_write_spec(const struct spec *spec)
{
	json_t *object = json_object(), *ports = json_array();

	for (size_t i = 0; i < spec->port_count; i++)
		json_array_append_new(ports, write_port(&spec->ports[i]));
	json_object_set_new(object, "ports", ports);
	json_object_set_new(object, "default", json_boolean(spec->is_default));
	if (spec->ready_port)
		json_object_set_new(object, "ready_port", json_integer(spec->ready_port));
	if (spec->has_tap_owner)
		json_object_set_new(object, "tap_owner", write_tap_owner(spec));
	json_object_set_new(object, "egress", write_egress(&spec->egress));
	json_object_set_new(object, "bandwidth", write_bandwidth(&spec->bandwidth));
	json_object_set_new(object, "limits", write_limits(&spec->limits));
	json_object_set_new(object, "labels", write_labels(spec));
	return object;
}
