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

enum ctl_target_kind {
	CTL_TARGET_SANDBOXES,   /* /v1/sandboxes */
	CTL_TARGET_SANDBOX,     /* /v1/sandboxes/{id} */
	CTL_TARGET_DIAGNOSIS,   /* /v1/sandboxes/{id}/diagnosis */
	CTL_TARGET_CONNECTIONS, /* /v1/sandboxes/{id}/connections */
	CTL_TARGET_REACH,       /* /v1/sandboxes/{id}/reach */
	CTL_TARGET_EVENTS,      /* /v1/events */
	CTL_TARGET_STATUS,      /* /v1/status */
	CTL_TARGET_HEALTHZ,     /* /healthz */
	CTL_TARGET_METRICS,     /* /metrics */
	CTL_TARGET_PAGE,        /* /: on TCP only */
};

enum {
	CTL_TARGET_LABELS_MAX = 16,
	CTL_TARGET_WAIT_MAX_S = 300,
	CTL_TARGET_WAIT_DEFAULT_S = 30,
	CTL_TARGET_DRAIN_MAX_S = 3600,
	CTL_TARGET_BOOT_MAX = 32,
};

struct ctl_label {
	char key[SPEC_LABEL_KEY_MAX + 1];
	char value[SPEC_LABEL_VALUE_MAX + 1];
};

struct ctl_target {
	enum ctl_target_kind kind;
	char id[SANDBOX_ID_MAX + 1]; /* of the path; "" where it has none */

	bool has_state; /* ?state= */
	enum sandbox_state state;
	struct ctl_label labels[CTL_TARGET_LABELS_MAX]; /* ?label=K=V, all of them must be there */
	size_t label_count;

	bool has_wait; /* ?wait= */
	enum sandbox_state wait;
	unsigned timeout_s;
	bool has_drain; /* ?drain= */
	unsigned drain_s;

	bool has_since; /* ?since=&boot= */
	uint64_t since;
	char boot[CTL_TARGET_BOOT_MAX + 1];
	char sandbox[SANDBOX_ID_MAX + 1]; /* ?sandbox=; "": all */

	uint32_t destination; /* ?dest=, host order */
	enum proto proto;     /* ?proto= */
	uint16_t port;        /* ?port=; 0: none given */
};

/*
 * Reads TEXT (origin form, not terminated) as METHOD asks for it. 0, or -1 with PROBLEM: NOT_FOUND (no such path),
 * NOT_ALLOWED (see ctl_target_allow()), BAD_REQUEST with the field: "id", or the name of the query parameter.
 */
int ctl_target_parse(enum http_method method, const char *text, size_t length, struct ctl_target *target,
		     struct problem *problem);

/* The methods of the path that is in TARGET after NOT_ALLOWED: "GET, HEAD". */
const char *ctl_target_allow(const struct ctl_target *target);

/* Whether the request changes anything: it is logged, and parked while the daemon adopts. */
bool ctl_target_is_change(enum http_method method);

#endif
