/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request as plain data. Everything that a spec points to is its own, so copying is deep and comparing looks inside.
 *
 * Rules and labels are sets: two requests that differ in their order alone ask for the same. Labels are kept sorted; rules
 * are not, since people want to see them as they wrote them, so they are compared through sorted lists of pointers.
 */
#include "registry/spec.h"

#include "config/config.h"

#include <stdlib.h>
#include <string.h>

struct spec *spec_new(const struct config *config)
{
	struct spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return NULL;
	spec->has_tap_owner = config->pool.tap_owner.set;
	spec->tap_uid = config->pool.tap_owner.uid;
	spec->tap_gid = config->pool.tap_owner.gid;
	spec->egress.internet = config->egress.internet;
	spec->limits = (struct limits){
		.connect_deadline_ms = config->forwarder.connect_deadline_ms,
		.idle_ms = config->forwarder.idle_ms,
		.half_closed_ms = config->forwarder.half_closed_ms,
		.keepalive_ms = config->forwarder.keepalive_ms,
	};
	return spec;
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->label_count; i++) {
		free(spec->labels[i].key);
		free(spec->labels[i].value);
	}
	free(spec->labels);
	free(spec->ports);
	free(spec->egress.allow);
	free(spec->egress.deny);
	free(spec);
}

/* A copy of COUNT items in *COPY, NULL for none. 0, or -1 for lack of memory. */
static int copy_items(void *copy, const void *items, size_t count, size_t size)
{
	void *memory = NULL;

	if (count) {
		memory = calloc(count, size);
		if (!memory)
			return -1;
		memcpy(memory, items, count * size);
	}
	memcpy(copy, &memory, sizeof(memory));
	return 0;
}

static int copy_labels(struct spec *copy, const struct spec *spec)
{
	if (!spec->label_count)
		return 0;
	copy->labels = calloc(spec->label_count, sizeof(*copy->labels));
	if (!copy->labels)
		return -1;
	for (size_t i = 0; i < spec->label_count; i++) {
		copy->label_count = i + 1;
		copy->labels[i].key = strdup(spec->labels[i].key);
		copy->labels[i].value = strdup(spec->labels[i].value);
		if (!copy->labels[i].key || !copy->labels[i].value)
			return -1;
	}
	return 0;
}

struct spec *spec_copy(const struct spec *spec)
{
	struct spec *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *spec;
	copy->ports = NULL;
	copy->egress.allow = copy->egress.deny = NULL;
	copy->labels = NULL;
	copy->label_count = 0;
	if (copy_items(&copy->ports, spec->ports, spec->port_count, sizeof(*spec->ports)) < 0 ||
	    copy_items(&copy->egress.allow, spec->egress.allow, spec->egress.allow_count, sizeof(*spec->egress.allow)) <
		0 ||
	    copy_items(&copy->egress.deny, spec->egress.deny, spec->egress.deny_count, sizeof(*spec->egress.deny)) <
		0 ||
	    copy_labels(copy, spec) < 0) {
		spec_free(copy);
		return NULL;
	}
	return copy;
}

bool spec_port_equal(const struct spec_port *a, const struct spec_port *b)
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

static int rule_compare(const void *left, const void *right)
{
	const struct egress_rule *a = *(const struct egress_rule *const *)left;
	const struct egress_rule *b = *(const struct egress_rule *const *)right;

	if (a->cidr.ip != b->cidr.ip)
		return a->cidr.ip < b->cidr.ip ? -1 : 1;
	if (a->cidr.length != b->cidr.length)
		return a->cidr.length - b->cidr.length;
	if (a->any_proto != b->any_proto)
		return a->any_proto - b->any_proto;
	if (a->proto != b->proto)
		return (int)a->proto - (int)b->proto;
	if (a->port_count != b->port_count)
		return a->port_count < b->port_count ? -1 : 1;
	return memcmp(a->ports, b->ports, a->port_count * sizeof(a->ports[0]));
}

static const struct egress_rule **sorted_rules(const struct egress_rule *rules, size_t count)
{
	const struct egress_rule **sorted = calloc(count, sizeof(const struct egress_rule *));

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < count; i++)
		sorted[i] = &rules[i];
	qsort(sorted, count, sizeof(const struct egress_rule *), rule_compare);
	return sorted;
}

/* Without memory to sort they count as different: the manager is told so, and nothing is changed. */
static bool rules_equal(const struct egress_rule *a, const struct egress_rule *b, size_t count)
{
	const struct egress_rule **left, **right;
	bool equal;

	if (count == 0)
		return true;
	left = sorted_rules(a, count);
	right = sorted_rules(b, count);
	equal = left && right;
	for (size_t i = 0; equal && i < count; i++)
		equal = rule_compare(&left[i], &right[i]) == 0;
	free(left);
	free(right);
	return equal;
}

static bool egress_equal(const struct egress *a, const struct egress *b)
{
	return a->internet == b->internet && a->allow_count == b->allow_count && a->deny_count == b->deny_count &&
	       rules_equal(a->allow, b->allow, a->allow_count) && rules_equal(a->deny, b->deny, a->deny_count);
}

static bool rate_equal(const struct rate *a, const struct rate *b)
{
	return a->rate == b->rate && a->burst == b->burst;
}

static bool limits_equal(const struct limits *a, const struct limits *b)
{
	return a->connections == b->connections && a->connect_deadline_ms == b->connect_deadline_ms &&
	       a->idle_ms == b->idle_ms && a->half_closed_ms == b->half_closed_ms && a->keepalive_ms == b->keepalive_ms;
}

static bool labels_equal(const struct spec *a, const struct spec *b)
{
	if (a->label_count != b->label_count)
		return false;
	for (size_t i = 0; i < a->label_count; i++) {
		if (strcmp(a->labels[i].key, b->labels[i].key) != 0 ||
		    strcmp(a->labels[i].value, b->labels[i].value) != 0)
			return false;
	}
	return true;
}

static bool ports_equal(const struct spec *a, const struct spec *b)
{
	if (a->port_count != b->port_count)
		return false;
	for (size_t i = 0; i < a->port_count; i++) {
		if (!spec_port_equal(&a->ports[i], &b->ports[i]))
			return false;
	}
	return true;
}

static bool owner_equal(const struct spec *a, const struct spec *b)
{
	if (a->has_tap_owner != b->has_tap_owner)
		return false;
	return !a->has_tap_owner || (a->tap_uid == b->tap_uid && a->tap_gid == b->tap_gid);
}

bool spec_equal(const struct spec *a, const struct spec *b)
{
	return a->is_default == b->is_default && a->ready_port == b->ready_port && owner_equal(a, b) &&
	       ports_equal(a, b) && egress_equal(&a->egress, &b->egress) &&
	       rate_equal(&a->bandwidth.to_guest, &b->bandwidth.to_guest) &&
	       rate_equal(&a->bandwidth.from_guest, &b->bandwidth.from_guest) && limits_equal(&a->limits, &b->limits) &&
	       labels_equal(a, b);
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool sandbox_id_is_valid(const char *id)
{
	size_t length = strlen(id);

	if (length == 0 || length > SANDBOX_ID_MAX || !is_alphanumeric(id[0]))
		return false;
	for (size_t i = 1; i < length; i++) {
		if (!is_alphanumeric(id[i]) && id[i] != '_' && id[i] != '.' && id[i] != '-')
			return false;
	}
	return true;
}
