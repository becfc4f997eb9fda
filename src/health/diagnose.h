/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_DIAGNOSE_H
#define WEFT_HEALTH_DIAGNOSE_H

/*
 * Finds where one sandbox's path is broken. The walk goes from the listener to the agent in the guest. Each hop is really
 * inspected or tried, and nothing is claimed about the hops behind the first broken one.
 *
 * A walk may block for some seconds, so it needs a thread of its own.
 */

#include "base/addr.h"
#include "fabric/fabric.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

enum hop_status {
	HOP_OK,
	HOP_FAIL,
	HOP_SKIPPED, /* behind a broken hop, or must not be tried (a paused guest is not probed) */
};

struct hop {
	const char *name; /* "listen", "veth", "route", "rules", "tap", "guest", "tcp", "http" */
	enum hop_status status;
	char subject[160]; /* for example "ns-110/tap0 169.254.0.22/30" */
	char detail[256];  /* the finding, for example "NO-CARRIER: no process has tap0 open" */
};

enum { DIAGNOSIS_HOPS = 8 };

struct diagnosis {
	struct hop hops[DIAGNOSIS_HOPS];
	const struct hop *broken; /* NULL: the path is whole */
	char cause[320];          /* "" while nothing is broken */
	char next_step[320];
};

enum { DIAGNOSE_ENDPOINTS_MAX = 16 };

/* The daemon's knowledge of the sandbox, copied, so that the walk needs nothing of the main thread. */
struct diagnose_request {
	const struct config *config; /* the options used here are not reloadable */
	char id[SANDBOX_ID_MAX + 1];
	unsigned slot;
	enum sandbox_state state;
	enum failure failure;
	char reason[256];
	uint64_t connections_held;
	struct {
		struct addr listen;
		uint16_t guest_port;
		enum proto proto;
		enum via via;
		bool open;                   /* our listener is there */
	} endpoints[DIAGNOSE_ENDPOINTS_MAX]; /* the first of them */
	size_t endpoint_count;
	uint16_t ready_port;            /* 0: none */
	const struct fabric_plan *plan; /* for the rules; the caller's, with all it points to, until the walk is over */
};

/* Walks. Never fails: a hop that cannot be inspected is broken and says so. */
void health_diagnose_walk(const struct diagnose_request *request, struct diagnosis *diagnosis);

/* "ok", "fail", "skipped" */
const char *hop_status_name(enum hop_status status);

#endif
