/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table lists the paths with their methods and query parameters, another one the parameters with their readers. The
 * path's segments are split before anything is decoded, so that an escaped slash never makes a new segment, and an id is
 * checked after it was decoded.
 */
#include "control/target.h"

#include "base/addr.h"
#include "base/addr_proto.h"
#include "registry/problem.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum param { /* bits: which parameters a target has */
	     PARAM_STATE = 1 << 0,
	     PARAM_LABEL = 1 << 1,
	     PARAM_WAIT = 1 << 2,
	     PARAM_TIMEOUT = 1 << 3,
	     PARAM_DRAIN = 1 << 4,
	     PARAM_SINCE = 1 << 5,
	     PARAM_BOOT = 1 << 6,
	     PARAM_SANDBOX = 1 << 7,
	     PARAM_DEST = 1 << 8,
	     PARAM_PORT = 1 << 9,
	     PARAM_PROTO = 1 << 10,
	     PARAM_TO = 1 << 11,
	     PARAM_LAST = 1 << 12,
	     PARAM_WAKE = 1 << 13,
};

enum {
	ALLOW_GET = 1,
	ALLOW_HEAD = 2,
	ALLOW_PUT = 4,
	ALLOW_PATCH = 8,
	ALLOW_DELETE = 16,
	ALLOW_POST = 32,
	ALLOW_READ = 3
};

static const struct {
	const char *path; /* whole; of a sandbox: the part behind its id */
	bool of_sandbox;
	unsigned methods;
	const char *allow;
	unsigned params; /* of GET and HEAD */
} control_paths[] = {
	[CONTROL_TARGET_SANDBOXES] = { "/v1/sandboxes", false, ALLOW_READ, "GET, HEAD",
				       PARAM_STATE | PARAM_LABEL | PARAM_WAKE },
	[CONTROL_TARGET_SANDBOX] = { "", true, ALLOW_READ | ALLOW_PUT | ALLOW_PATCH | ALLOW_DELETE,
				     "GET, HEAD, PUT, PATCH, DELETE", PARAM_WAIT | PARAM_TIMEOUT },
	[CONTROL_TARGET_DIAGNOSIS] = { "/diagnosis", true, ALLOW_READ, "GET, HEAD", PARAM_TO | PARAM_LAST },
	[CONTROL_TARGET_CONNECTIONS] = { "/connections", true, ALLOW_READ, "GET, HEAD", 0 },
	[CONTROL_TARGET_REACH] = { "/reach", true, ALLOW_READ, "GET, HEAD", PARAM_DEST | PARAM_PORT | PARAM_PROTO },
	[CONTROL_TARGET_WAKE] = { "/wake", true, ALLOW_POST, "POST", 0 },
	[CONTROL_TARGET_EVENTS] = { "/v1/events", false, ALLOW_GET, "GET", PARAM_SINCE | PARAM_BOOT | PARAM_SANDBOX },
	[CONTROL_TARGET_DOCTOR] = { "/v1/doctor", false, ALLOW_READ, "GET, HEAD", PARAM_LAST },
	[CONTROL_TARGET_RATES] = { "/v1/rates", false, ALLOW_READ, "GET, HEAD", PARAM_SINCE | PARAM_SANDBOX },
	[CONTROL_TARGET_STATUS] = { "/v1/status", false, ALLOW_READ, "GET, HEAD", 0 },
	[CONTROL_TARGET_HEALTHZ] = { "/healthz", false, ALLOW_READ, "GET, HEAD", 0 },
	[CONTROL_TARGET_METRICS] = { "/metrics", false, ALLOW_READ, "GET, HEAD", 0 },
	[CONTROL_TARGET_PAGE] = { "/", false, ALLOW_READ, "GET, HEAD", 0 },
};

enum { CONTROL_PATHS = sizeof(control_paths) / sizeof(control_paths[0]) };

static int control_target_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/*
 * Decodes %XX (and + as a blank where PLUS). Returns the length of TEXT, which is terminated; -1: a broken escape, a NUL, or
 * longer than SIZE allows.
 */
static int control_target_decode(const char *from, size_t length, bool plus, char *text, size_t size)
{
	size_t out = 0;

	for (size_t i = 0; i < length; i++) {
		char c = from[i];
		if (c == '%') {
			if (length - i < 3 || control_target_hex_digit(from[i + 1]) < 0 ||
			    control_target_hex_digit(from[i + 2]) < 0)
				return -1;
			c = (char)(control_target_hex_digit(from[i + 1]) * 16 + control_target_hex_digit(from[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (!c || out + 1 >= size)
			return -1;
		text[out++] = c;
	}
	text[out] = '\0';
	return (int)out;
}

static int control_target_refuse(struct problem *problem, const char *name, const char *value, const char *allowed)
{
	return registry_problem_set(problem, PROBLEM_BAD_REQUEST, name, "%s=%.100s: allowed is %s", name, value,
				    allowed);
}

/* A decimal number of at most MAXIMUM; -1 for anything else. */
static int64_t control_target_read_number(const char *value, uint64_t maximum)
{
	uint64_t number = 0;

	if (!*value || strlen(value) > 18)
		return -1;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return -1;
		number = number * 10 + (uint64_t)(*value - '0');
	}
	return number > maximum ? -1 : (int64_t)number;
}

static int control_target_read_state(struct control_target *target, const char *value, struct problem *problem)
{
	if (registry_sandbox_state_parse(value, &target->state) < 0)
		return control_target_refuse(
		    problem, "state", value,
		    "creating, waiting, attached, ready, detached, paused, draining or failed");
	target->has_state = true;
	return 0;
}

static int control_target_read_label(struct control_target *target, const char *value, struct problem *problem)
{
	const char *equals = strchr(value, '=');

	if (target->label_count == CONTROL_TARGET_LABELS_MAX)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "label", "more than %d labels",
					    CONTROL_TARGET_LABELS_MAX);
	if (!equals || equals == value || equals - value > SPEC_LABEL_KEY_MAX ||
	    strlen(equals + 1) > SPEC_LABEL_VALUE_MAX)
		return control_target_refuse(problem, "label", value, "KEY=VALUE");

	struct control_label *label = &target->labels[target->label_count++];
	snprintf(label->key, sizeof(label->key), "%.*s", (int)(equals - value), value);
	snprintf(label->value, sizeof(label->value), "%s", equals + 1);
	return 0;
}

static int control_target_read_wake(struct control_target *target, const char *value, struct problem *problem)
{
	if (strcmp(value, "asked") != 0)
		return control_target_refuse(problem, "wake", value, "asked");
	target->wake_asked = true;
	return 0;
}

static int control_target_read_wait(struct control_target *target, const char *value, struct problem *problem)
{
	enum sandbox_state state;

	if (registry_sandbox_state_parse(value, &state) < 0 || !(state == SANDBOX_ATTACHED || state == SANDBOX_READY ||
								 state == SANDBOX_DETACHED || state == SANDBOX_PAUSED))
		return control_target_refuse(problem, "wait", value, "attached, ready, detached or paused");
	target->has_wait = true;
	target->wait = state;
	return 0;
}

static int control_target_read_timeout(struct control_target *target, const char *value, struct problem *problem)
{
	int64_t seconds = control_target_read_number(value, CONTROL_TARGET_WAIT_MAX_S);

	if (seconds < 0)
		return control_target_refuse(problem, "timeout", value, "a whole number of seconds from 0 to 300");
	target->timeout_s = (unsigned)seconds;
	return 0;
}

static int control_target_read_drain(struct control_target *target, const char *value, struct problem *problem)
{
	int64_t seconds = control_target_read_number(value, CONTROL_TARGET_DRAIN_MAX_S);

	if (seconds < 0)
		return control_target_refuse(problem, "drain", value, "a whole number of seconds from 0 to 3600");
	target->has_drain = true;
	target->drain_s = (unsigned)seconds;
	return 0;
}

static int control_target_read_since(struct control_target *target, const char *value, struct problem *problem)
{
	int64_t since = control_target_read_number(value, INT64_MAX);

	if (since < 0)
		return control_target_refuse(problem, "since", value,
					     "a number: the seq of an event, or the tick of a point");
	target->has_since = true;
	target->since = (uint64_t)since;
	return 0;
}

static int control_target_read_boot(struct control_target *target, const char *value, struct problem *problem)
{
	if (!*value || strlen(value) > CONTROL_TARGET_BOOT_MAX)
		return control_target_refuse(problem, "boot", value, "the boot of an event");
	snprintf(target->boot, sizeof(target->boot), "%s", value);
	return 0;
}

static int control_target_read_sandbox(struct control_target *target, const char *value, struct problem *problem)
{
	if (!registry_sandbox_id_is_valid(value))
		return control_target_refuse(problem, "sandbox", value, "an id or a name: " SANDBOX_ID_PATTERN);
	snprintf(target->sandbox, sizeof(target->sandbox), "%s", value);
	return 0;
}

static int control_target_read_dest(struct control_target *target, const char *value, struct problem *problem)
{
	if (addr_ipv4_parse(value, &target->destination) < 0)
		return control_target_refuse(problem, "dest", value, "an IPv4 address");
	return 0;
}

static int control_target_read_to(struct control_target *target, const char *value, struct problem *problem)
{
	if (addr_ipv4_parse(value, &target->destination) < 0 || !target->destination)
		return control_target_refuse(problem, "to", value, "an IPv4 address");
	return 0;
}

static int control_target_read_port(struct control_target *target, const char *value, struct problem *problem)
{
	int64_t port = control_target_read_number(value, UINT16_MAX);

	if (port < 1)
		return control_target_refuse(problem, "port", value, "a port from 1 to 65535");
	target->port = (uint16_t)port;
	return 0;
}

static int control_target_read_proto(struct control_target *target, const char *value, struct problem *problem)
{
	if (addr_ip_proto_parse(value, &target->ip_proto) < 0)
		return control_target_refuse(problem, "proto", value, ADDR_IP_PROTO_ALLOWED);
	return 0;
}

static int control_target_read_last(struct control_target *target, const char *value, struct problem *problem)
{
	target->last = !strcmp(value, "true");
	if (!target->last && strcmp(value, "false") != 0)
		return control_target_refuse(problem, "last", value, "true or false");
	return 0;
}

static const struct {
	const char *name;
	enum param bit;
	int (*read)(struct control_target *target, const char *value, struct problem *problem);
} params[] = {
	{ "state", PARAM_STATE, control_target_read_state }, { "label", PARAM_LABEL, control_target_read_label },
	{ "wait", PARAM_WAIT, control_target_read_wait },    { "timeout", PARAM_TIMEOUT, control_target_read_timeout },
	{ "drain", PARAM_DRAIN, control_target_read_drain }, { "since", PARAM_SINCE, control_target_read_since },
	{ "boot", PARAM_BOOT, control_target_read_boot },    { "sandbox", PARAM_SANDBOX, control_target_read_sandbox },
	{ "dest", PARAM_DEST, control_target_read_dest },    { "port", PARAM_PORT, control_target_read_port },
	{ "proto", PARAM_PROTO, control_target_read_proto }, { "to", PARAM_TO, control_target_read_to },
	{ "last", PARAM_LAST, control_target_read_last },    { "wake", PARAM_WAKE, control_target_read_wake },
};

/* One NAME=VALUE. *SEEN: the parameters that came before. */
static int control_target_read_param(const char *text, size_t length, unsigned allowed, unsigned *seen,
				     struct control_target *target, struct problem *problem)
{
	enum { NAME_SIZE = 64, VALUE_SIZE = SPEC_LABEL_KEY_MAX + SPEC_LABEL_VALUE_MAX + 2 };
	char name[NAME_SIZE], value[VALUE_SIZE];
	const char *equals = memchr(text, '=', length);
	size_t name_length = equals ? (size_t)(equals - text) : length;

	if (control_target_decode(text, name_length, true, name, sizeof(name)) < 1)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, NULL,
					    "a query parameter has no readable name");
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		if (strcmp(params[i].name, name) != 0 || !(allowed & params[i].bit))
			continue;
		if ((*seen & params[i].bit) && params[i].bit != PARAM_LABEL)
			return registry_problem_set(problem, PROBLEM_BAD_REQUEST, name, "%s is given twice", name);
		*seen |= params[i].bit;
		if (!equals ||
		    control_target_decode(equals + 1, length - name_length - 1, true, value, sizeof(value)) < 0)
			return registry_problem_set(problem, PROBLEM_BAD_REQUEST, name, "%s has no readable value",
						    name);
		return params[i].read(target, value, problem);
	}
	return registry_problem_set(problem, PROBLEM_BAD_REQUEST, name, "unknown query parameter %s", name);
}

static int control_target_read_query(const char *query, size_t length, unsigned allowed, struct control_target *target,
				     struct problem *problem)
{
	unsigned seen = 0;

	for (size_t at = 0; at < length;) {
		const char *end = memchr(query + at, '&', length - at);
		size_t taken = end ? (size_t)(end - query) - at : length - at;
		if (taken && control_target_read_param(query + at, taken, allowed, &seen, target, problem) < 0)
			return -1;
		at += taken + 1;
	}
	if ((seen & PARAM_TIMEOUT) && !(seen & PARAM_WAIT))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "timeout", "timeout goes with wait only");
	if ((seen & PARAM_BOOT) && !(seen & PARAM_SINCE))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "boot", "boot goes with since only");
	if (target->kind == CONTROL_TARGET_EVENTS && (seen & PARAM_SINCE) && !(seen & PARAM_BOOT))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "since", "since goes with boot only");
	if (target->last && (seen & PARAM_TO))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "to", "to goes with a new diagnosis only");
	if (target->kind == CONTROL_TARGET_REACH && !(seen & PARAM_DEST))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "dest", "dest is missing");
	if (!(seen & PARAM_PROTO))
		target->ip_proto = IPPROTO_TCP;
	if (target->port && !addr_ip_proto_has_ports(target->ip_proto))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "port", "port goes with tcp and udp only");
	return 0;
}

static int control_target_find_fixed(const char *path, size_t length, struct control_target *target)
{
	for (size_t i = 0; i < CONTROL_PATHS; i++) {
		if (control_paths[i].of_sandbox || strlen(control_paths[i].path) != length ||
		    memcmp(control_paths[i].path, path, length))
			continue;
		target->kind = (enum control_target_kind)i;
		return 0;
	}
	return -1;
}

static int control_target_find_sandbox(const char *rest, size_t length, struct control_target *target,
				       struct problem *problem)
{
	const char *slash = memchr(rest, '/', length);
	size_t id_length = slash ? (size_t)(slash - rest) : length;
	size_t tail_length = length - id_length;

	if (control_target_decode(rest, id_length, false, target->id, sizeof(target->id)) < 0 ||
	    !registry_sandbox_id_is_valid(target->id)) {
		target->id[0] = '\0';
		return registry_problem_set(
		    problem, PROBLEM_BAD_REQUEST, "id",
		    "an id is 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or a digit");
	}
	for (size_t i = 0; i < CONTROL_PATHS; i++) {
		if (!control_paths[i].of_sandbox || strlen(control_paths[i].path) != tail_length ||
		    memcmp(control_paths[i].path, rest + id_length, tail_length) != 0)
			continue;
		target->kind = (enum control_target_kind)i;
		return 0;
	}
	return registry_problem_set(problem, PROBLEM_NOT_FOUND, NULL, "no such path");
}

static unsigned control_target_method_bit(enum http_method method)
{
	switch (method) {
	case HTTP_GET:
		return ALLOW_GET;
	case HTTP_HEAD:
		return ALLOW_HEAD;
	case HTTP_PUT:
		return ALLOW_PUT;
	case HTTP_PATCH:
		return ALLOW_PATCH;
	case HTTP_DELETE:
		return ALLOW_DELETE;
	case HTTP_POST:
		return ALLOW_POST;
	case HTTP_OTHER:
		break;
	}
	return 0;
}

static unsigned control_target_allowed_params(const struct control_target *target, enum http_method method)
{
	if (method == HTTP_GET || method == HTTP_HEAD)
		return control_paths[target->kind].params;
	return method == HTTP_DELETE ? PARAM_DRAIN : 0;
}

int control_target_parse(enum http_method method, const char *text, size_t length, struct control_target *target,
			 struct problem *problem)
{
	static const char prefix[] = "/v1/sandboxes/";
	enum { PREFIX_LENGTH = sizeof(prefix) - 1 };
	const char *question = memchr(text, '?', length);
	size_t path_length = question ? (size_t)(question - text) : length;

	memset(target, 0, sizeof(*target));
	target->timeout_s = CONTROL_TARGET_WAIT_DEFAULT_S;
	if (path_length >= PREFIX_LENGTH && !memcmp(text, prefix, PREFIX_LENGTH)) {
		if (control_target_find_sandbox(text + PREFIX_LENGTH, path_length - PREFIX_LENGTH, target, problem) < 0)
			return -1;
	} else if (control_target_find_fixed(text, path_length, target) < 0) {
		return registry_problem_set(problem, PROBLEM_NOT_FOUND, NULL, "no such path");
	}
	if (!(control_paths[target->kind].methods & control_target_method_bit(method)))
		return registry_problem_set(problem, PROBLEM_NOT_ALLOWED, NULL, "allowed here: %s",
					    control_paths[target->kind].allow);
	if (!question)
		return control_target_read_query("", 0, control_target_allowed_params(target, method), target, problem);
	return control_target_read_query(question + 1, length - path_length - 1,
					 control_target_allowed_params(target, method), target, problem);
}

const char *control_target_allow(const struct control_target *target)
{
	return control_paths[target->kind].allow;
}

bool control_target_is_change(enum http_method method)
{
	return method == HTTP_PUT || method == HTTP_PATCH || method == HTTP_DELETE || method == HTTP_POST;
}
