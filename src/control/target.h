/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_TARGET_H
#define WEFT_CONTROL_TARGET_H

/*
 * A request's target: the path, the sandbox's id in it, and the query, decoded and checked. Pure; any thread.
 */

#include "http/head.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct problem;

enum control_target_kind {
	CONTROL_TARGET_SANDBOXES,   /* /v1/sandboxes */
	CONTROL_TARGET_SANDBOX,     /* /v1/sandboxes/{id} */
	CONTROL_TARGET_DIAGNOSIS,   /* /v1/sandboxes/{id}/diagnosis */
	CONTROL_TARGET_CONNECTIONS, /* /v1/sandboxes/{id}/connections */
	CONTROL_TARGET_REACH,       /* /v1/sandboxes/{id}/reach */
	CONTROL_TARGET_WAKE,        /* /v1/sandboxes/{id}/wake */
	CONTROL_TARGET_EVENTS,      /* /v1/events */
	CONTROL_TARGET_DOCTOR,      /* /v1/doctor */
	CONTROL_TARGET_RATES,       /* /v1/rates */
	CONTROL_TARGET_STATUS,      /* /v1/status */
	CONTROL_TARGET_HEALTHZ,     /* /healthz */
	CONTROL_TARGET_METRICS,     /* /metrics */
	CONTROL_TARGET_PAGE,        /* / */
};

enum {
	CONTROL_TARGET_LABELS_MAX = 16,
	CONTROL_TARGET_WAIT_MAX_S = 300,
	CONTROL_TARGET_WAIT_DEFAULT_S = 30,
	CONTROL_TARGET_DRAIN_MAX_S = 3600,
	CONTROL_TARGET_BOOT_MAX = 32,
};

struct control_label {
	char key[SPEC_LABEL_KEY_MAX + 1];
	char value[SPEC_LABEL_VALUE_MAX + 1];
};

struct control_target {
	enum control_target_kind kind;
	char id[SANDBOX_ID_MAX + 1]; /* of the path, but for PUT maybe a name; "" where it has none */

	bool has_state; /* ?state= */
	enum sandbox_state state;
	struct control_label labels[CONTROL_TARGET_LABELS_MAX]; /* ?label=K=V, all of them must be there */
	size_t label_count;
	bool wake_asked; /* ?wake=asked: those that the manager was asked to resume */

	bool has_wait; /* ?wait= */
	enum sandbox_state wait;
	unsigned timeout_s;
	bool has_drain; /* ?drain= */
	unsigned drain_s;

	bool has_since; /* ?since=&boot=; of rates ?since= alone */
	uint64_t since;
	char boot[CONTROL_TARGET_BOOT_MAX + 1];
	char sandbox[SANDBOX_ID_MAX + 1]; /* ?sandbox=, an id or a name; "": all */

	bool last; /* ?last=: of a diagnosis, or of the findings, those that were made last */

	uint32_t destination; /* ?dest=, or ?to= of a diagnosis, host order; 0: none given */
	uint8_t ip_proto;     /* ?proto= of reach: IPPROTO_* */
	uint16_t port;        /* ?port=; 0: none given */
};

/*
 * Reads TEXT (origin form, not terminated) as METHOD asks for it. 0, or -1 with PROBLEM: NOT_FOUND (no such path),
 * NOT_ALLOWED (see control_target_allow()), BAD_REQUEST with the field: "id", or the name of the query parameter.
 */
int control_target_parse(enum http_method method, const char *text, size_t length, struct control_target *target,
			 struct problem *problem);

/* The methods of the path that is in TARGET after NOT_ALLOWED: "GET, HEAD". */
const char *control_target_allow(const struct control_target *target);

/* Whether the request changes anything: it is logged, and parked while the daemon adopts. */
bool control_target_is_change(enum http_method method);

#endif
