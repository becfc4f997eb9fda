/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A specification as a table of its fields. Two are equal if they ask for the same: the order of ports counts, that of rules
 * and labels does not. Labels are sorted once, when they are read. Rules stay in the order of the request, for people to
 * recognise, and are sorted only for comparison.
 */
#include "registry/spec.h"

#include "base/sandbox_name.h"
#include "config/config.h"
#include "registry/fields.h"

#include <stdlib.h>
#include <string.h>

/* ---- Items of lists ---- */

bool registry_spec_port_equal(const struct spec_port *a, const struct spec_port *b)
{
	if (a->guest_port != b->guest_port || a->proto != b->proto || a->via != b->via ||
	    a->proxy_protocol != b->proxy_protocol || a->automatic != b->automatic)
		return false;
	if (a->automatic)
		return true;
	if (a->listen_count != b->listen_count)
		return false;
	for (size_t i = 0; i < a->listen_count; i++) {
		if (!addr_equal(&a->listen[i], &b->listen[i]))
			return false;
	}
	return true;
}

static int registry_spec_compare_ports(const void *left, const void *right)
{
	return !registry_spec_port_equal(left, right);
}

static int registry_spec_compare_rules(const void *left, const void *right)
{
	const struct egress_rule *a = left, *b = right;

	if (a->cidr.ip != b->cidr.ip)
		return a->cidr.ip < b->cidr.ip ? -1 : 1;
	if (a->cidr.length != b->cidr.length)
		return a->cidr.length - b->cidr.length;
	if (a->any_proto != b->any_proto)
		return a->any_proto - b->any_proto;
	if (a->ip_proto != b->ip_proto)
		return a->ip_proto - b->ip_proto;
	if (a->port_count != b->port_count)
		return a->port_count < b->port_count ? -1 : 1;
	return memcmp(a->ports, b->ports, a->port_count * sizeof(a->ports[0]));
}

static int registry_spec_compare_labels(const void *left, const void *right)
{
	const struct label *a = left, *b = right;
	int order = strcmp(a->key, b->key);

	return order ? order : strcmp(a->value, b->value);
}

static int registry_spec_copy_label(void *item, const void *original)
{
	struct label *copy = item;
	const struct label *label = original;

	copy->key = strdup(label->key);
	copy->value = strdup(label->value);
	return copy->key && copy->value ? 0 : -1;
}

static void registry_spec_clear_label(void *item)
{
	struct label *label = item;

	free(label->key);
	free(label->value);
}

const struct spec_items spec_port_items = {
	.kind = SPEC_ITEM_PORT,
	.size = sizeof(struct spec_port),
	.max = SPEC_PORTS_MAX,
	.compare = registry_spec_compare_ports,
};

static const struct spec_items spec_rule_items = {
	.kind = SPEC_ITEM_RULE,
	.size = sizeof(struct egress_rule),
	.max = SPEC_EGRESS_MAX,
	.any_order = true,
	.compare = registry_spec_compare_rules,
};

static const struct spec_items spec_label_items = {
	.kind = SPEC_ITEM_LABEL,
	.size = sizeof(struct label),
	.max = SPEC_LABELS_MAX,
	.compare = registry_spec_compare_labels,
	.copy = registry_spec_copy_label,
	.clear = registry_spec_clear_label,
};

static int registry_spec_compare_wake_ports(const void *left, const void *right)
{
	const struct wake_port *a = left, *b = right;

	return a->port != b->port ? a->port - b->port : (int)a->proto - (int)b->proto;
}

static const struct spec_items spec_wake_items = {
	.kind = SPEC_ITEM_WAKE,
	.size = sizeof(struct wake_port),
	.max = SPEC_WAKE_PORTS_MAX,
	.any_order = true,
	.compare = registry_spec_compare_wake_ports,
};

/* ---- The tables ---- */

enum {
	SPEC_CONNECTIONS_MAX = 10000000,
	SPEC_DURATION_MAX_MS = 7 * 24 * 3600 * 1000,
	SPEC_KEEPALIVE_MAX_MS = 32767 * 1000, /* of TCP_KEEPIDLE, tcp(7) */
	SPEC_BURST_MIN = 65536,
	SPEC_MIN_AWAKE_MS = 5000,
	SPEC_WAKE_TIMEOUT_MS = 60000,
	SPEC_WAKE_TIMEOUT_MIN_MS = 1000,
	SPEC_WAKE_MAX_MS = 3600 * 1000,
	SPEC_BURSTS_PER_SECOND = 10,
};

/* A terabyte a second: more than any link, and exact in every JSON reader. */
#define SPEC_RATE_MAX UINT64_C(1000000000000)

/* The kernel reads the highest id as "leave it as it is". */
#define SPEC_USER_MAX (UINT32_MAX - 1)

static const struct spec_field spec_owner_fields[] = {
	SPEC_ROW_NUMBER("uid", struct config_owner, uid, 0, SPEC_USER_MAX, SPEC_REQUIRED),
	SPEC_ROW_NUMBER("gid", struct config_owner, gid, 0, SPEC_USER_MAX, SPEC_REQUIRED),
};
static const struct spec_table spec_owner_table = { SPEC_TABLE_OF(spec_owner_fields, struct config_owner) };

static const struct spec_field spec_egress_fields[] = {
	SPEC_ROW_BOOL("internet", struct egress, internet, 0),
	SPEC_ROW_LIST("allow", struct egress, allow, allow_count, &spec_rule_items, 0),
	SPEC_ROW_LIST("deny", struct egress, deny, deny_count, &spec_rule_items, 0),
	SPEC_ROW_NUMBER("dscp", struct egress, dscp, 0, CONFIG_DSCP_MAX, 0),
	SPEC_ROW_BOOL("isolated", struct egress, isolated, 0),
};
static const struct spec_table spec_egress_table = { SPEC_TABLE_OF(spec_egress_fields, struct egress) };

/* Without a burst, a tenth of a second's worth, but no less than what TCP sends in one piece. */
static void registry_spec_complete_rate(void *structure)
{
	struct rate *rate = structure;

	if (rate->rate == 0) {
		rate->burst = 0;
		return;
	}
	if (rate->burst)
		return;
	rate->burst = rate->rate / SPEC_BURSTS_PER_SECOND;
	if (rate->burst < SPEC_BURST_MIN)
		rate->burst = SPEC_BURST_MIN;
	if (rate->burst > UINT32_MAX)
		rate->burst = UINT32_MAX;
}

static const struct spec_field spec_rate_fields[] = {
	SPEC_ROW_LARGE("rate", struct rate, rate, 0, SPEC_RATE_MAX, SPEC_REQUIRED),
	SPEC_ROW_LARGE("burst", struct rate, burst, 0, UINT32_MAX, 0),
};
static const struct spec_table spec_rate_table = {
	SPEC_TABLE_OF(spec_rate_fields, struct rate),
	.complete = registry_spec_complete_rate,
};

static const struct spec_field spec_bandwidth_fields[] = {
	SPEC_ROW_OBJECT("to_guest", struct bandwidth, to_guest, &spec_rate_table, 0),
	SPEC_ROW_OBJECT("from_guest", struct bandwidth, from_guest, &spec_rate_table, 0),
};
static const struct spec_table spec_bandwidth_table = { SPEC_TABLE_OF(spec_bandwidth_fields, struct bandwidth) };

static const struct spec_field spec_limits_fields[] = {
	SPEC_ROW_NUMBER("connections", struct limits, connections, 0, SPEC_CONNECTIONS_MAX, 0),
	SPEC_ROW_NUMBER("connect_deadline_ms", struct limits, connect_deadline_ms, 1, SPEC_DURATION_MAX_MS, 0),
	SPEC_ROW_NUMBER("idle_ms", struct limits, idle_ms, 0, SPEC_DURATION_MAX_MS, 0),
	SPEC_ROW_NUMBER("half_closed_ms", struct limits, half_closed_ms, 0, SPEC_DURATION_MAX_MS, 0),
	SPEC_ROW_NUMBER("keepalive_ms", struct limits, keepalive_ms, 0, SPEC_KEEPALIVE_MAX_MS, 0),
};
static const struct spec_table spec_limits_table = { SPEC_TABLE_OF(spec_limits_fields, struct limits) };

static const struct spec_field spec_door_fields[] = {
	SPEC_ROW_BOOL("public", struct door_policy, is_public, 0),
	SPEC_ROW_TOKEN("token_sha256", struct door_policy, token_sha256, 0,
		       SPEC_GIVEN_BY(struct door_policy, has_token)),
	SPEC_ROW_ACCESS("ports", struct door_policy, ports, port_count, 0),
};
static const struct spec_table spec_door_table = { SPEC_TABLE_OF(spec_door_fields, struct door_policy) };

static bool registry_spec_wake_is_none(const void *structure)
{
	return ((const struct spec_wake *)structure)->which == WAKE_NEVER;
}

/* Without ports, the published ones. */
static void registry_spec_complete_wake(void *structure)
{
	struct spec_wake *wake = structure;

	if (wake->which == WAKE_NEVER)
		wake->which = WAKE_PUBLISHED;
}

static const struct spec_field spec_wake_fields[] = {
	SPEC_ROW_WAKE("ports", struct spec_wake, which, ports, port_count, &spec_wake_items, 0),
	SPEC_ROW_NUMBER("min_awake_ms", struct spec_wake, min_awake_ms, 0, SPEC_WAKE_MAX_MS, 0),
	SPEC_ROW_NUMBER("timeout_ms", struct spec_wake, timeout_ms, SPEC_WAKE_TIMEOUT_MIN_MS, SPEC_WAKE_MAX_MS, 0),
};
static const struct spec_table spec_wake_table = {
	SPEC_TABLE_OF(spec_wake_fields, struct spec_wake),
	.complete = registry_spec_complete_wake,
	.is_none = registry_spec_wake_is_none,
};

enum { SPEC_ALWAYS = SPEC_IN_PUT | SPEC_IN_PATCH | SPEC_SHOWN };

/* In the order in which a sandbox shows them. */
static const struct spec_field spec_fields[] = {
	SPEC_ROW_NAME("name", struct spec, name, SPEC_ALWAYS | SPEC_APART),
	SPEC_ROW_LIST("ports", struct spec, ports, port_count, &spec_port_items, SPEC_IN_PUT),
	SPEC_ROW_BOOL("default", struct spec, is_default, SPEC_ALWAYS | SPEC_TAKEN),
	SPEC_ROW_PORT("ready_port", struct spec, ready_port, SPEC_IN_PUT | SPEC_SHOWN),
	SPEC_ROW_LIST("labels", struct spec, labels, label_count, &spec_label_items, SPEC_ALWAYS),
	SPEC_ROW_OBJECT("tap_owner", struct spec, tap_owner, &spec_owner_table,
			SPEC_IN_PUT | SPEC_SHOWN | SPEC_HAS_GIVEN, SPEC_GIVEN_BY(struct spec, tap_owner.set)),
	SPEC_ROW_OBJECT("egress", struct spec, egress, &spec_egress_table, SPEC_ALWAYS),
	SPEC_ROW_OBJECT("bandwidth", struct spec, bandwidth, &spec_bandwidth_table, SPEC_ALWAYS),
	SPEC_ROW_OBJECT("limits", struct spec, limits, &spec_limits_table, SPEC_ALWAYS),
	SPEC_ROW_OBJECT("door", struct spec, door, &spec_door_table, SPEC_ALWAYS),
	SPEC_ROW_OBJECT("wake", struct spec, wake, &spec_wake_table, SPEC_ALWAYS),
	SPEC_ROW_NUMBER("idle_report_ms", struct spec, idle_report_ms, 0, SPEC_DURATION_MAX_MS, SPEC_ALWAYS),
};
const struct spec_table spec_table = { SPEC_TABLE_OF(spec_fields, struct spec) };

/* ---- A specification's life ---- */

struct spec *registry_spec_new(const struct config *config)
{
	struct spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return NULL;
	spec->tap_owner = config->pool.tap_owner;
	spec->egress.internet = config->egress.internet;
	spec->egress.dscp = config->egress.dscp;
	spec->door.is_public = config->door.is_public;
	spec->wake = (struct spec_wake){ .min_awake_ms = SPEC_MIN_AWAKE_MS, .timeout_ms = SPEC_WAKE_TIMEOUT_MS };
	spec->limits = (struct limits){
		.connect_deadline_ms = config->forwarder.connect_deadline_ms,
		.idle_ms = config->forwarder.idle_ms,
		.half_closed_ms = config->forwarder.half_closed_ms,
		.keepalive_ms = config->forwarder.keepalive_ms,
	};
	return spec;
}

void registry_spec_free(struct spec *spec)
{
	if (!spec)
		return;
	registry_spec_fields_clear(&spec_table, spec);
	free(spec);
}

struct spec *registry_spec_copy(const struct spec *spec)
{
	struct spec *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	if (registry_spec_fields_copy(&spec_table, copy, spec) < 0) {
		registry_spec_free(copy);
		return NULL;
	}
	return copy;
}

bool registry_spec_equal(const struct spec *a, const struct spec *b)
{
	return registry_spec_fields_equal(&spec_table, a, b);
}

bool registry_spec_door_equal(const struct spec *a, const struct spec *b)
{
	return registry_spec_fields_equal(&spec_door_table, &a->door, &b->door);
}

bool registry_sandbox_id_is_valid(const char *id)
{
	return base_name_is_valid(id, strlen(id));
}
