/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sandbox, and a refusal, as the API shows them.
 */
#include "wire/wire.h"

#include "base/clock.h"
#include "config/config.h"
#include "registry/problem.h"
#include "wire/write.h"

#include <stdio.h>
#include <string.h>

#define TAP_NAME "tap0"

enum { BOOT_ARG_DNS = 2 }; /* the kernel's ip= has room for two */

static json_t *write_time(int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	return json_string(clock_format(wall_ms, text));
}

/* "ip=GUEST::GATEWAY:MASK:instance:eth0:off[:DNS[:DNS]]", for the guest's kernel command line. */
static json_t *write_boot_arg(const struct config *config)
{
	const struct cidr4 *guest = &config->addresses.guest;
	char ip[IPV4_TEXT_SIZE], gateway[IPV4_TEXT_SIZE], mask[IPV4_TEXT_SIZE], text[160];
	int used = snprintf(text, sizeof(text), "ip=%s::%s:%s:instance:eth0:off", ipv4_format(guest->ip, ip),
			    ipv4_format(config->addresses.tap.ip, gateway), ipv4_format(cidr4_mask(guest), mask));

	for (size_t i = 0; i < config->addresses.dns.count && i < BOOT_ARG_DNS; i++) {
		char dns[IPV4_TEXT_SIZE];

		used += snprintf(text + used, sizeof(text) - (size_t)used, ":%s",
				 ipv4_format(config->addresses.dns.items[i].ip, dns));
	}
	return json_string(text);
}

static json_t *write_dns(const struct config *config)
{
	json_t *list = json_array();

	for (size_t i = 0; i < config->addresses.dns.count; i++) {
		char text[IPV4_TEXT_SIZE];

		json_array_append_new(list, json_string(ipv4_format(config->addresses.dns.items[i].ip, text)));
	}
	return list;
}

/* While its objects are being made the MTU may not be known yet. */
static json_t *write_mtu(const struct sandbox *sandbox, const struct config *config)
{
	unsigned mtu = sandbox->mtu ? sandbox->mtu : config->addresses.mtu;

	return mtu ? json_integer(mtu) : json_null();
}

static json_t *write_guest(const struct sandbox *sandbox, const struct config *config)
{
	const struct cidr4 *guest = &config->addresses.guest;
	char ip[IPV4_TEXT_SIZE], gateway[IPV4_TEXT_SIZE], mac[MAC_TEXT_SIZE];

	mac_format(&config->addresses.guest_mac, mac);
	return json_pack("{s:s, s:i, s:s, s:s?, s:o, s:o, s:o}", "ip", ipv4_format(guest->ip, ip), "prefix",
			 (int)guest->length, "gateway", ipv4_format(config->addresses.tap.ip, gateway), "mac",
			 config->addresses.guest_mac_learn ? NULL : mac, "mtu", write_mtu(sandbox, config), "dns",
			 write_dns(config), "boot_arg", write_boot_arg(config));
}

static json_t *write_endpoint(const struct endpoint *endpoint)
{
	const struct spec_port *port = &endpoint->port;
	json_t *object =
	    json_pack("{s:i, s:s, s:s, s:o}", "guest_port", port->guest_port, "proto", proto_name(port->proto), "via",
		      via_name(port->via), "listen", write_addresses(endpoint->listen, endpoint->listen_count));

	if (port->proxy_protocol)
		json_object_set_new(object, "proxy_protocol", json_string("v2"));
	return object;
}

static json_t *write_endpoints(const struct sandbox *sandbox)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		json_array_append_new(list, write_endpoint(&sandbox->endpoints[i]));
	return list;
}

static json_t *write_counters(const struct counters *counters)
{
	return json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes_to_guest", (json_int_t)counters->bytes_to_guest,
	    "bytes_from_guest", (json_int_t)counters->bytes_from_guest, "packets_to_guest",
	    (json_int_t)counters->packets_to_guest, "packets_from_guest", (json_int_t)counters->packets_from_guest,
	    "connections_total", (json_int_t)counters->connections_total, "connections_open",
	    (json_int_t)counters->connections_open, "connections_held", (json_int_t)counters->connections_held,
	    "drops_total", (json_int_t)counters->drops_total);
}

/* Where it is: slot, state, names and addresses. */
static json_t *write_place(const struct sandbox *sandbox, const struct config *config)
{
	char netns[CONFIG_NAME_SIZE], path[CONFIG_PATH_SIZE], veth[CONFIG_LINK_SIZE], ip[IPV4_TEXT_SIZE];

	return json_pack("{s:s, s:i, s:s, s:o, s:o, s:s, s:o, s:s, s:s, s:s, s:o}", "id", sandbox->id, "slot",
			 (int)sandbox->slot, "state", sandbox_state_name(sandbox->state), "since",
			 write_time(sandbox->since_ms), "reason",
			 sandbox->reason[0] ? write_text(sandbox->reason) : json_null(), "netns",
			 config_netns_name(config, sandbox->slot, netns), "netns_path",
			 write_text(config_netns_path(config, sandbox->slot, path)), "tap", TAP_NAME, "veth",
			 config_veth_name(config, sandbox->slot, veth), "host_ip",
			 ipv4_format(config_host_ip(config, sandbox->slot), ip), "guest", write_guest(sandbox, config));
}

json_t *wire_write_sandbox(const struct sandbox *sandbox, const struct config *config)
{
	const struct spec *spec = sandbox->spec;
	json_t *object = write_place(sandbox, config);
	json_t *rest = json_pack(
	    "{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "endpoints", write_endpoints(sandbox), "default",
	    spec->is_default, "ready_port", spec->ready_port ? json_integer(spec->ready_port) : json_null(), "labels",
	    write_labels(spec), "tap_owner", spec->has_tap_owner ? write_tap_owner(spec) : json_null(), "egress",
	    write_egress(&spec->egress), "bandwidth", write_bandwidth(&spec->bandwidth), "limits",
	    write_limits(&spec->limits), "registered_at", write_time(sandbox->registered_ms), "last_activity",
	    sandbox->last_activity_ms ? write_time(sandbox->last_activity_ms) : json_null(), "counters",
	    write_counters(&sandbox->counters));

	json_object_update(object, rest);
	json_decref(rest);
	return object;
}

static const char *problem_title(enum problem_kind kind)
{
	switch (kind) {
	case PROBLEM_NONE:
		return "OK";
	case PROBLEM_BAD_REQUEST:
		return "Bad Request";
	case PROBLEM_NOT_FOUND:
		return "Not Found";
	case PROBLEM_NOT_ALLOWED:
		return "Method Not Allowed";
	case PROBLEM_TIMEOUT:
		return "Request Timeout";
	case PROBLEM_CONFLICT:
		return "Conflict";
	case PROBLEM_GONE:
		return "Gone";
	case PROBLEM_TOO_LARGE:
		return "Content Too Large";
	case PROBLEM_INTERNAL:
		return "Internal Server Error";
	case PROBLEM_UNAVAILABLE:
		return "Service Unavailable";
	}
	return "Unknown";
}

/* The length of the UTF-8 character at TEXT, 0 if there is none. jansson is asked: it is what will judge the whole. */
static size_t character_length(const char *text)
{
	for (size_t length = 1; length <= 4 && text[length - 1]; length++) {
		json_t *character = json_stringn(text, length);

		json_decref(character);
		if (character)
			return length;
	}
	return 0;
}

json_t *write_text(const char *text)
{
	json_t *json = json_string(text);
	char clean[512];
	size_t used = 0;

	if (json)
		return json;
	while (*text && used + 4 < sizeof(clean)) {
		size_t length = character_length(text);

		if (length)
			memcpy(clean + used, text, length);
		else
			clean[used] = '?';
		text += length ? length : 1;
		used += length ? length : 1;
	}
	return json_stringn(clean, used);
}

json_t *wire_write_problem(const struct problem *problem)
{
	const char *title = problem_title(problem->kind);
	json_t *object = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", title, "status",
				   (int)problem->kind, "detail", write_text(problem->detail));

	if (problem->field[0])
		json_object_set_new(object, "field", write_text(problem->field));
	return object;
}
