/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a sandbox, and a problem, as the API shows them.
 */
#include "base/clock.h"
#include "base/utf8.h"
#include "config/config.h"
#include "registry/endpoint_path.h"
#include "registry/fields.h"
#include "registry/problem.h"
#include "wire/wire.h"
#include "wire/write.h"

#include <stdio.h>
#include <string.h>

#define TAP_NAME "tap0"

enum { BOOT_ARG_DNS = 2 }; /* the kernel's ip= has room for two */

static json_t *wire_write_time(int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	return json_string(clock_format(wall_ms, text));
}

/* "ip=GUEST::GATEWAY:MASK:instance:eth0:off[:DNS[:DNS]]", for the guest's kernel command line. */
static json_t *wire_write_boot_arg(const struct sandbox *sandbox, const struct config *config)
{
	const struct cidr4 *guest = &sandbox->layout->guest;
	char ip[IPV4_TEXT_SIZE], gateway[IPV4_TEXT_SIZE], mask[IPV4_TEXT_SIZE], text[160];
	int used = snprintf(text, sizeof(text), "ip=%s::%s:%s:instance:eth0:off", addr_ipv4_format(guest->ip, ip),
			    addr_ipv4_format(sandbox->layout->tap.ip, gateway),
			    addr_ipv4_format(addr_cidr4_mask(guest), mask));

	for (size_t i = 0; i < config->addresses.dns.count && i < BOOT_ARG_DNS; i++) {
		char dns[IPV4_TEXT_SIZE];

		used += snprintf(text + used, sizeof(text) - (size_t)used, ":%s",
				 addr_ipv4_format(config->addresses.dns.items[i].ip, dns));
	}
	return json_string(text);
}

static json_t *wire_write_resolver(const void *item)
{
	char text[IPV4_TEXT_SIZE];

	return json_string(addr_ipv4_format(((const struct cidr4 *)item)->ip, text));
}

static json_t *wire_write_dns(const struct config *config)
{
	const struct cidr4_list *dns = &config->addresses.dns;

	return wire_write_array(dns->items, dns->count, sizeof(*dns->items), wire_write_resolver);
}

/* The MTU may be unknown while the objects are being made. */
static json_t *wire_write_mtu(const struct sandbox *sandbox)
{
	unsigned mtu = sandbox->mtu ? sandbox->mtu : sandbox->layout->mtu;

	return mtu ? json_integer(mtu) : json_null();
}

static json_t *wire_write_guest(const struct sandbox *sandbox, const struct config *config)
{
	const struct cidr4 *guest = &sandbox->layout->guest;
	char ip[IPV4_TEXT_SIZE], gateway[IPV4_TEXT_SIZE], mac[MAC_TEXT_SIZE];

	addr_mac_format(&sandbox->layout->guest_mac, mac);
	return json_pack("{s:s, s:i, s:s, s:s?, s:o, s:o, s:o}", "ip", addr_ipv4_format(guest->ip, ip), "prefix",
			 (int)guest->length, "gateway", addr_ipv4_format(sandbox->layout->tap.ip, gateway), "mac",
			 sandbox->layout->guest_mac_learn ? NULL : mac, "mtu", wire_write_mtu(sandbox), "dns",
			 wire_write_dns(config), "boot_arg", wire_write_boot_arg(sandbox, config));
}

static json_t *wire_write_endpoint(const void *item)
{
	const struct endpoint *endpoint = item;
	const struct spec_port *port = &endpoint->port;

	return json_pack("{s:i, s:s, s:s, s:o, s:b, s:s, s:s?, s:s*}", "guest_port", port->guest_port, "proto",
			 addr_proto_name(port->proto), "via", wire_via_name(port->via), "listen",
			 wire_write_addresses(endpoint->listen, endpoint->listen_count), "open",
			 registry_endpoint_is_open(endpoint), "path", registry_path_name(endpoint), "path_reason",
			 registry_path_reason(endpoint), "proxy_protocol", port->proxy_protocol ? "v2" : NULL);
}

static json_t *wire_write_endpoints(const struct sandbox *sandbox)
{
	return wire_write_array(sandbox->endpoints, sandbox->endpoint_count, sizeof(*sandbox->endpoints),
				wire_write_endpoint);
}

static json_t *wire_write_counters(const struct counters *counters)
{
	return json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes_to_guest", (json_int_t)counters->bytes_to_guest,
	    "bytes_from_guest", (json_int_t)counters->bytes_from_guest, "packets_to_guest",
	    (json_int_t)counters->packets_to_guest, "packets_from_guest", (json_int_t)counters->packets_from_guest,
	    "connections_total", (json_int_t)counters->connections_total, "connections_open",
	    (json_int_t)counters->connections_open, "connections_held", (json_int_t)counters->connections_held,
	    "drops_total", (json_int_t)counters->drops_total);
}

/* The place of the sandbox: slot, state, names and addresses. Its own name is a field of the specification, shown beside the id. */
static json_t *wire_write_place(const struct sandbox *sandbox, const struct config *config)
{
	char netns[CONFIG_NAME_SIZE], path[CONFIG_PATH_SIZE], veth[CONFIG_LINK_SIZE], ip[IPV4_TEXT_SIZE];

	return json_pack("{s:s, s:s?, s:i, s:s, s:o, s:o, s:s, s:o, s:s, s:s, s:s, s:o}", "id", sandbox->id, "name",
			 registry_sandbox_name(sandbox), "slot", (int)sandbox->slot, "state",
			 registry_sandbox_state_name(sandbox->state), "since", wire_write_time(sandbox->since_ms),
			 "reason", sandbox->reason[0] ? wire_write_text(sandbox->reason) : json_null(), "netns",
			 config_netns_name(sandbox->layout, sandbox->slot, netns), "netns_path",
			 wire_write_text(config_netns_path(sandbox->layout, sandbox->slot, path)), "tap", TAP_NAME,
			 "veth", config_veth_name(sandbox->layout, sandbox->slot, veth), "host_ip",
			 addr_ipv4_format(config_host_ip(sandbox->layout, sandbox->slot), ip), "guest",
			 wire_write_guest(sandbox, config));
}

/* The times and counters of the sandbox. */
static json_t *wire_write_history(const struct sandbox *sandbox)
{
	int64_t idle_ms = registry_sandbox_idle_ms(sandbox, clock_wall_ms());

	return json_pack("{s:o, s:o, s:I, s:o}", "registered_at", wire_write_time(sandbox->registered_ms),
			 "last_activity",
			 sandbox->last_activity_ms ? wire_write_time(sandbox->last_activity_ms) : json_null(),
			 "idle_ms", (json_int_t)idle_ms, "counters", wire_write_counters(&sandbox->counters));
}

/* What only answers have: the member `host_label`, and the token where there is none. */
static int wire_complete_door(json_t *object, const struct sandbox *sandbox)
{
	json_t *door = json_object_get(object, "door");
	const char *label = registry_sandbox_host_label(sandbox);

	if (!sandbox->spec->door.has_token && json_object_set_new(door, "token_sha256", json_null()) < 0)
		return -1;
	return json_object_set_new(door, "host_label", label ? json_string(label) : json_null());
}

/* What only answers have: whether the manager was asked to resume it, when, and because of whom. */
static int wire_complete_wake(json_t *object, const struct sandbox *sandbox)
{
	json_t *wake = json_object_get(object, "wake");
	bool asked = registry_sandbox_is_asked(sandbox);

	if (!json_is_object(wake))
		return 0;
	if (json_object_set_new(wake, "asked_at", asked ? wire_write_time(sandbox->wake_asked_ms) : json_null()) < 0)
		return -1;
	return json_object_set_new(wake, "by", asked ? wire_write_text(sandbox->wake_by) : json_null());
}

void wire_hide_token(json_t *sandbox)
{
	json_t *door = json_object_get(sandbox, "door");

	if (json_object_get(door, "token_sha256") && json_object_set_new(door, "token_sha256", json_null()) < 0)
		json_object_del(door, "token_sha256");
}

json_t *wire_write_sandbox(const struct sandbox *sandbox, const struct config *config)
{
	json_t *object = wire_write_place(sandbox, config), *history = wire_write_history(sandbox);

	if (object && history && json_object_set_new(object, "endpoints", wire_write_endpoints(sandbox)) == 0 &&
	    wire_put_fields(object, &spec_table, SPEC_SHOWN, sandbox->spec) == 0 &&
	    wire_complete_door(object, sandbox) == 0 && wire_complete_wake(object, sandbox) == 0 &&
	    json_object_update(object, history) == 0) {
		json_decref(history);
		return object;
	}
	json_decref(object);
	json_decref(history);
	return NULL;
}

json_t *wire_write_text(const char *text)
{
	json_t *json = json_string(text);
	char clean[512];
	size_t used = 0;

	if (json)
		return json;
	while (*text && used + 4 < sizeof(clean)) {
		size_t length = utf8_decode(text, NULL);

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
	json_t *field = NULL;

	if (problem->field[0]) {
		field = wire_write_text(problem->field);
		if (!field)
			return NULL;
	}
	return json_pack("{s:s, s:s, s:i, s:o, s:o*}", "type", "about:blank", "title",
			 registry_problem_title(problem->kind), "status", (int)problem->kind, "detail",
			 wire_write_text(problem->detail), "field", field);
}
