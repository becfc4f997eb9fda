/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_TARGET_H
#define WEFT_CONTROL_TARGET_H

/*
 * What a request's target asks for: the path, the sandbox's id in it, and the query, decoded and checked. Pure; any thread.
 */

#include "http/head.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct problem;

enum route_kind {
	ROUTE_SANDBOXES,   /* /v1/sandboxes */
	ROUTE_SANDBOX,     /* /v1/sandboxes/{id} */
	ROUTE_DIAGNOSIS,   /* /v1/sandboxes/{id}/diagnosis */
	ROUTE_CONNECTIONS, /* /v1/sandboxes/{id}/connections */
	ROUTE_REACH,       /* /v1/sandboxes/{id}/reach */
	ROUTE_EVENTS,      /* /v1/events */
	ROUTE_STATUS,      /* /v1/status */
	ROUTE_HEALTHZ,     /* /healthz */
	ROUTE_METRICS,     /* /metrics */
	ROUTE_PAGE,        /* /: on TCP only */
};

enum {
	ROUTE_LABELS_MAX = 16,
	ROUTE_WAIT_MAX_S = 300,
	ROUTE_WAIT_DEFAULT_S = 30,
	ROUTE_DRAIN_MAX_S = 3600,
	ROUTE_BOOT_MAX = 32,
};

struct route_label {
	char key[SPEC_LABEL_KEY_MAX + 1];
	char value[SPEC_LABEL_VALUE_MAX + 1];
};

struct ctl_target {
	enum route_kind kind;
	char id[SANDBOX_ID_MAX + 1]; /* of the path; "" where it has none */

	bool has_state; /* ?state= */
	enum sandbox_state state;
	struct route_label labels[ROUTE_LABELS_MAX]; /* ?label=K=V, all of them must be there */
	size_t label_count;

	bool has_wait; /* ?wait= */
	enum sandbox_state wait;
	unsigned timeout_s;
	bool has_drain; /* ?drain= */
	unsigned drain_s;

	bool has_since; /* ?since=&boot= */
	uint64_t since;
	char boot[ROUTE_BOOT_MAX + 1];
	char sandbox[SANDBOX_ID_MAX + 1]; /* ?sandbox=; "": all */

	uint32_t destination; /* ?dest=, host order */
	enum proto proto;     /* ?proto= */
	uint16_t port;        /* ?port=; 0: none given */
};

/*
 * Reads TARGET (origin form, not terminated) as METHOD asks for it. 0, or -1 with PROBLEM: NOT_FOUND (no such path),
 * NOT_ALLOWED (see route_allow()), BAD_REQUEST with the field: "id", or the name of the query parameter.
 */
int route_parse(enum head_method method, const char *target, size_t length, struct ctl_target *route,
		struct problem *problem);

/* The methods of the path that is in ROUTE after NOT_ALLOWED: "GET, HEAD". */
const char *route_allow(const struct ctl_target *route);

/* Whether the request changes anything: it is logged, and parked while the daemon adopts. */
bool route_is_change(enum head_method method);

#endif
