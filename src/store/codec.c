/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state file is a JSON object with a version, so that a weftd leaves alone the file of a later one. Reading is as strict as
 * for requests. The file has both the request and the addresses of the endpoints, and these must agree: else a file could open
 * addresses that were never asked for.
 */
#include "store/codec.h"
#include "store/codec_status.h"

#include "config/layouts.h"
#include "registry/fields.h"
#include "registry/problem.h"
#include "store/codec_layout.h"
#include "wire/reading.h"
#include "wire/wire.h"
#include "wire/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Until the year 9999: later ones have no text. */
#define TIME_MAX_MS INT64_C(253402300799000)

/* The counters that are stored are those that only grow. */
static const struct spec_field store_counters_fields[] = {
	SPEC_ROW_LARGE("bytes_to_guest", struct counters, bytes_to_guest, 0, INT64_MAX, SPEC_REQUIRED),
	SPEC_ROW_LARGE("bytes_from_guest", struct counters, bytes_from_guest, 0, INT64_MAX, SPEC_REQUIRED),
	SPEC_ROW_LARGE("packets_to_guest", struct counters, packets_to_guest, 0, INT64_MAX, SPEC_REQUIRED),
	SPEC_ROW_LARGE("packets_from_guest", struct counters, packets_from_guest, 0, INT64_MAX, SPEC_REQUIRED),
	SPEC_ROW_LARGE("connections_total", struct counters, connections_total, 0, INT64_MAX, SPEC_REQUIRED),
	SPEC_ROW_LARGE("drops_total", struct counters, drops_total, 0, INT64_MAX, SPEC_REQUIRED),
};
static const struct spec_table store_counters_table = { SPEC_TABLE_OF(store_counters_fields, struct counters) };

/* ---- Writing ---- */

static json_t *store_encode_endpoint(const void *item)
{
	const struct endpoint *endpoint = item;

	return json_pack("{s:o}", "listen", wire_write_addresses(endpoint->listen, endpoint->listen_count));
}

static json_t *store_encode_counters(const struct counters *counters)
{
	json_t *object = json_object();

	if (object && wire_put_fields(object, &store_counters_table, 0, counters) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Adds what a later weftd wrote and this one does not know. On failure OBJECT is freed, and NULL the result. */
static json_t *store_encode_others(json_t *object, const char *text)
{
	json_t *others = object && text ? json_loads(text, 0, NULL) : NULL;

	if (object && text && (!others || json_object_update_missing(object, others) < 0)) {
		json_decref(object);
		object = NULL;
	}
	json_decref(others);
	return object;
}

json_t *store_encode(const struct sandbox *sandbox)
{
	json_t *object =
	    json_pack("{s:i, s:s, s:s, s:i, s:o, s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, "
		      "s:o, s:o, s:o, "
		      "s:o}",
		      "version", STORE_VERSION, "id", sandbox->id, "execution", sandbox->execution, "slot",
		      (int)sandbox->slot, "layout", store_encode_layout(sandbox->layout), "paused", sandbox->paused,
		      "draining", sandbox->state == SANDBOX_DRAINING || sandbox->failure == FAILURE_TEARDOWN,
		      "tap_lost", sandbox->failure == FAILURE_TAP, "strict", sandbox->strict, "registered_ms",
		      (json_int_t)sandbox->registered_ms, "last_activity_ms", (json_int_t)sandbox->last_activity_ms,
		      "wake_asked_ms", (json_int_t)sandbox->wake_asked_ms, "wake_by", sandbox->wake_by, "wake_via",
		      sandbox->wake_via, "mtu", (json_int_t)sandbox->mtu, "netns_device",
		      (json_int_t)sandbox->netns_device, "netns_inode", (json_int_t)sandbox->netns_inode,
		      "connections_entered", (json_int_t)sandbox->counters.connections_entered, "default_turn",
		      (json_int_t)sandbox->default_turn, "request", wire_write_spec(sandbox->spec), "endpoints",
		      wire_write_array(sandbox->endpoints, sandbox->endpoint_count, sizeof(*sandbox->endpoints),
				       store_encode_endpoint),
		      "counters", store_encode_counters(&sandbox->counters), "status", store_encode_status(sandbox));

	return store_encode_others(object, sandbox->others);
}

/* ---- Reading ---- */

static int store_read_version(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			      void *target)
{
	(void)target;
	if (!json_is_integer(value))
		return wire_refuse(reader, place, "the version must be an integer");
	if (json_integer_value(value) != STORE_VERSION)
		return wire_refuse(reader, place, "version %lld is not known to this weftd (1 to %d)",
				   (long long)json_integer_value(value), STORE_VERSION);
	return 0;
}

static int store_read_id(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			 void *target)
{
	struct stored *stored = target;
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (!registry_sandbox_id_is_valid(text))
		return wire_refuse(reader, place, "\"%s\" is no id of a sandbox", text);
	snprintf(stored->id, sizeof(stored->id), "%s", text);
	return 0;
}

/* It goes into the catalogue as it is. */
static int store_read_execution(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				void *target)
{
	struct stored *stored = target;
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (strlen(text) != SANDBOX_EXECUTION_SIZE - 1 || text[strspn(text, "0123456789abcdef-")])
		return wire_refuse(reader, place, "\"%s\" is no UUID", text);
	snprintf(stored->execution, sizeof(stored->execution), "%s", text);
	return 0;
}

static int store_read_slot(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			   void *target)
{
	struct stored *stored = target;
	int64_t integer = 0;

	if (wire_read_integer(reader, place, value, 1, CONFIG_SLOT_MAX, &integer) < 0)
		return -1;
	stored->slot = (unsigned)integer;
	return 0;
}

static int store_read_layout(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			     void *target)
{
	struct stored *stored = target;
	struct config_layout layout;
	const char *wrong;
	int result = store_decode_layout(value, &layout, &wrong);

	if (result < 0 && wrong)
		wire_refuse(reader, place, "%s", wrong);
	else if (result < 0)
		registry_problem_no_memory(reader->problem);
	else if (!(stored->layout = config_layout_add(reader->config, &layout)))
		result = wire_refuse(reader, place, "more than %d layouts of slots", CONFIG_LAYOUTS_MAX);
	config_layout_clear(&layout);
	return result;
}

static int store_read_paused(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			     void *target)
{
	return wire_read_bool(reader, place, value, &((struct stored *)target)->paused);
}

static int store_read_draining(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *target)
{
	return wire_read_bool(reader, place, value, &((struct stored *)target)->draining);
}

static int store_read_tap_lost(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *target)
{
	return wire_read_bool(reader, place, value, &((struct stored *)target)->tap_lost);
}

static int store_read_registered(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				 void *target)
{
	return wire_read_integer(reader, place, value, 0, TIME_MAX_MS, &((struct stored *)target)->registered_ms);
}

static int store_read_activity(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *target)
{
	return wire_read_integer(reader, place, value, 0, TIME_MAX_MS, &((struct stored *)target)->last_activity_ms);
}

static int store_read_wake_asked(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				 void *target)
{
	return wire_read_integer(reader, place, value, 0, TIME_MAX_MS, &((struct stored *)target)->wake_asked_ms);
}

static int store_read_short_text(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				 char *into, size_t size)
{
	const char *text = "";

	if (wire_read_string(reader, place, value, &text) < 0)
		return -1;
	if (strlen(text) >= size)
		return wire_refuse(reader, place, "%zu bytes, and %zu are the most", strlen(text), size - 1);
	strcpy(into, text);
	return 0;
}

static int store_read_wake_by(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			      void *target)
{
	struct stored *stored = target;

	return store_read_short_text(reader, place, value, stored->wake_by, sizeof(stored->wake_by));
}

static int store_read_wake_via(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *target)
{
	struct stored *stored = target;

	return store_read_short_text(reader, place, value, stored->wake_via, sizeof(stored->wake_via));
}

static int store_read_strict(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			     void *target)
{
	return wire_read_bool(reader, place, value, &((struct stored *)target)->strict);
}

static int store_read_mtu(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			  void *target)
{
	struct stored *stored = target;
	int64_t integer = 0;

	if (wire_read_integer(reader, place, value, 0, 65535, &integer) < 0)
		return -1;
	stored->mtu = (unsigned)integer;
	return 0;
}

static int store_read_number(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			     uint64_t *number)
{
	int64_t integer = 0;

	if (wire_read_integer(reader, place, value, 0, INT64_MAX, &integer) < 0)
		return -1;
	*number = (uint64_t)integer;
	return 0;
}

static int store_read_netns_device(const struct wire_reader *reader, const struct wire_place *place,
				   const json_t *value, void *target)
{
	return store_read_number(reader, place, value, &((struct stored *)target)->netns_device);
}

static int store_read_netns_inode(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				  void *target)
{
	return store_read_number(reader, place, value, &((struct stored *)target)->netns_inode);
}

static int store_read_connections_entered(const struct wire_reader *reader, const struct wire_place *place,
					  const json_t *value, void *target)
{
	return store_read_number(reader, place, value, &((struct stored *)target)->base.connections_entered);
}

static int store_read_default_turn(const struct wire_reader *reader, const struct wire_place *place,
				   const json_t *value, void *target)
{
	return store_read_number(reader, place, value, &((struct stored *)target)->default_turn);
}

/* A problem of the request gets the name of the field in front of its place. */
static int store_read_request(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			      void *target)
{
	struct stored *stored = target;
	struct problem inner;

	(void)place;
	stored->spec = wire_read_stored_spec(value, reader->config, &inner);
	if (!stored->spec)
		return registry_problem_set(reader->problem, inner.kind, NULL, "request%s: %s", inner.field,
					    inner.detail);
	return 0;
}

static int store_read_endpoint_address(const struct wire_reader *reader, const struct wire_place *place,
				       const json_t *value, void *target)
{
	return wire_read_address(reader, place, value, target);
}

static int store_read_endpoint_listen(const struct wire_reader *reader, const struct wire_place *place,
				      const json_t *value, void *target)
{
	static const struct wire_array array = {
		.item_size = sizeof(struct addr),
		.max = SPEC_LISTEN_MAX,
		.read = store_read_endpoint_address,
	};
	struct endpoint *endpoint = target;
	struct addr *addrs;
	int result = wire_read_array(reader, place, value, &array, &addrs, &endpoint->listen_count);

	for (size_t i = 0; i < endpoint->listen_count; i++)
		endpoint->listen[i] = addrs[i];
	free(addrs);
	return result;
}

static int store_read_endpoint(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *item)
{
	static const struct wire_member members[] = {
		{ "listen", store_read_endpoint_listen, WIRE_REQUIRED },
	};
	static const struct wire_object object = WIRE_OBJECT_OF(members);

	return wire_read_object(reader, place, value, &object, item);
}

static int store_read_endpoints(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
				void *target)
{
	static const struct wire_array array = {
		.item_size = sizeof(struct endpoint),
		.max = SPEC_PORTS_MAX,
		.read = store_read_endpoint,
	};
	struct stored *stored = target;

	return wire_read_array(reader, place, value, &array, &stored->endpoints, &stored->endpoint_count);
}

static int store_read_counters(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			       void *target)
{
	struct stored *stored = target;

	return wire_read_fields(reader, place, value, &store_counters_table, 0, &stored->base);
}

/* The addresses of an automatic port are loopback, all with one port number. */
static bool store_is_automatic(const struct endpoint *endpoint, const struct addr *addr)
{
	return addr_is_loopback(addr) && addr_port(addr) == addr_port(&endpoint->listen[0]);
}

static bool store_is_among(const struct addr *addr, const struct addr *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (addr_equal(addr, &addrs[i]))
			return true;
	}
	return false;
}

/* Copies the ports of the request into the endpoints, whose addresses must be among those asked for. */
static int store_join_endpoints(struct stored *stored, struct problem *problem)
{
	if (stored->endpoint_count != stored->spec->port_count)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "/endpoints", "%zu endpoints for %zu ports",
					    stored->endpoint_count, stored->spec->port_count);
	for (size_t i = 0; i < stored->endpoint_count; i++) {
		struct endpoint *endpoint = &stored->endpoints[i];
		const struct spec_port *port = &stored->spec->ports[i];
		bool agrees = endpoint->listen_count > 0;

		for (size_t j = 0; j < endpoint->listen_count; j++) {
			const struct addr *addr = &endpoint->listen[j];

			agrees &= port->automatic ? store_is_automatic(endpoint, addr)
						  : store_is_among(addr, port->listen, port->listen_count);
			agrees &= !store_is_among(addr, endpoint->listen, j);
		}
		if (!agrees)
			return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "/endpoints",
						    "endpoint %zu does not agree with the request", i);
		endpoint->port = *port;
	}
	return 0;
}

/* Moves the members of JSON that OBJECT does not have into STORED->others. 0, or -1 with PROBLEM. */
static int store_set_others_apart(json_t *json, const struct wire_object *object, struct stored *stored,
				  struct problem *problem)
{
	json_t *others = json_object();
	const char *key;
	json_t *member;
	void *next;
	bool failed = !others;

	json_object_foreach_safe(json, next, key, member)
	{
		size_t i = 0;

		while (i < object->count && strcmp(object->members[i].name, key) != 0)
			i++;
		if (i < object->count || failed)
			continue;
		failed = json_object_set(others, key, member) < 0 || json_object_del(json, key) < 0;
	}
	if (!failed && json_object_size(others))
		failed = !(stored->others = json_dumps(others, JSON_COMPACT));
	json_decref(others);
	if (failed)
		registry_problem_no_memory(problem);
	return failed ? -1 : 0;
}

static int store_decode_json(json_t *json, const struct wire_reader *reader, struct stored *stored)
{
	static const struct wire_member members[] = {
		{ "version", store_read_version, WIRE_REQUIRED },
		{ "id", store_read_id, WIRE_REQUIRED },
		{ "execution", store_read_execution, WIRE_OPTIONAL },
		{ "slot", store_read_slot, WIRE_REQUIRED },
		{ "layout", store_read_layout, WIRE_OPTIONAL },
		{ "paused", store_read_paused, WIRE_REQUIRED },
		{ "draining", store_read_draining, WIRE_REQUIRED },
		{ "tap_lost", store_read_tap_lost, WIRE_OPTIONAL },
		{ "registered_ms", store_read_registered, WIRE_REQUIRED },
		{ "last_activity_ms", store_read_activity, WIRE_REQUIRED },
		{ "wake_asked_ms", store_read_wake_asked, WIRE_OPTIONAL },
		{ "wake_by", store_read_wake_by, WIRE_OPTIONAL },
		{ "wake_via", store_read_wake_via, WIRE_OPTIONAL },
		{ "strict", store_read_strict, WIRE_OPTIONAL },
		{ "mtu", store_read_mtu, WIRE_REQUIRED },
		{ "netns_device", store_read_netns_device, WIRE_OPTIONAL },
		{ "netns_inode", store_read_netns_inode, WIRE_OPTIONAL },
		{ "connections_entered", store_read_connections_entered, WIRE_OPTIONAL },
		{ "default_turn", store_read_default_turn, WIRE_OPTIONAL },
		{ "request", store_read_request, WIRE_REQUIRED },
		{ "endpoints", store_read_endpoints, WIRE_REQUIRED },
		{ "counters", store_read_counters, WIRE_REQUIRED },
		{ "status", store_read_status, WIRE_OPTIONAL },
	};
	static const struct wire_object object = WIRE_OBJECT_OF(members);
	struct wire_place document = { 0 };
	struct wire_place place = wire_place_key(&document, "version");
	const json_t *version = json_object_get(json, "version");

	if (!version)
		return wire_refuse(reader, &place, "the version is missing");
	if (store_read_version(reader, &place, version, stored) < 0)
		return -1;
	if (store_set_others_apart(json, &object, stored, reader->problem) < 0 ||
	    wire_read_object(reader, &document, json, &object, stored) < 0)
		return -1;
	return store_join_endpoints(stored, reader->problem);
}

int store_decode(const char *text, size_t length, const struct config *config, struct stored *stored,
		 struct problem *problem)
{
	struct wire_reader reader = { .config = config, .problem = problem, .stored = true };
	json_t *json;
	int result;

	*stored = (struct stored){ 0 };
	if (length == 0)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, NULL, "the file is empty");
	json = wire_parse_body(text, length, problem);
	if (!json)
		return -1;
	result = store_decode_json(json, &reader, stored);
	json_decref(json);
	return result;
}

void store_item_clear(struct stored *stored)
{
	registry_spec_free(stored->spec);
	free(stored->endpoints);
	free(stored->others);
	*stored = (struct stored){ 0 };
}
