/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_DIAGNOSE_H
#define WEFT_HEALTH_DIAGNOSE_H

/*
 * Finds where one sandbox's path is broken. The walk goes from the front door, where one is in use, and from the listener to the agent in
 * the guest, then over the kernel path from the host, and from the guest's side out to the world. Each hop is really inspected or tried,
 * and nothing is claimed about the hops behind the first broken one.
 *
 * A walk may block for some seconds, so it needs a thread of its own.
 */

#include "base/addr.h"
#include "config/door_policy.h"
#include "fabric/fabric.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

enum hop_status {
	HOP_OK,
	HOP_FAIL,
	HOP_IDLE,    /* in order, and nothing serves there: a published port on which nothing listens. No fault */
	HOP_SKIPPED, /* behind a broken hop, or must not be tried (a paused guest is not probed, policy denies it) */
};

struct hop {
	const char
	    *name; /* "door", "listen", "veth", "route", "rules", "tap", "guest", "tcp", "http", "kernel", "egress" */
	enum hop_status status;
	char subject[160]; /* for example "ns-110/tap0 169.254.0.22/30" */
	char detail[256];  /* the finding, for example "NO-CARRIER: no process has tap0 open" */
};

enum { DIAGNOSIS_HOPS = 11 };

struct diagnosis {
	struct hop hops[DIAGNOSIS_HOPS];
	const struct hop *broken; /* NULL: the path is whole */
	char cause[320];          /* "" while nothing is broken */
	char next_step[320];
};

/* An address of a published port. */
struct diagnose_endpoint {
	struct addr listen;
	uint16_t guest_port;
	enum proto proto;
	enum via via;
	bool open;        /* our listener is there */
	bool kernel;      /* the kernel leads its clients past the listener */
	char holder[112]; /* who has the address, if that is known: "nginx (pid 812) of uid 33"; else "" */
};

/*
 * Where `egress` sends by default: an address that is nobody's (TEST-NET-2 of RFC 5737), and the port of the discard protocol.
 */
enum { DIAGNOSE_DISCARD_PORT = 9 };
static const uint32_t DIAGNOSE_SOMEWHERE = 0xc6336401; /* 198.51.100.1 */

/* What wakes a sandbox that is paused, and whether it was woken. */
struct diagnose_sleep {
	bool asleep;      /* something would wake it */
	char wakers[128]; /* "8080/tcp, 5353/udp", "any port" */
	bool asked;       /* its manager was asked to resume it */
	uint64_t asked_age_ms;
	unsigned timeout_ms; /* after which the manager is asked again */
	char asked_by[SANDBOX_WAKE_BY_SIZE];
};

/* The daemon's knowledge of the sandbox, copied, so that the walk needs nothing of the main thread. */
struct diagnose_request {
	const struct config *config;        /* the options used here are not reloadable */
	const struct config_layout *layout; /* the slot's names and addresses */
	char id[SANDBOX_ID_MAX + 1];
	unsigned slot;
	enum sandbox_state state;
	enum failure failure;
	char reason[256];
	uint64_t connections_held;
	const struct diagnose_endpoint *endpoints; /* the caller's, until the walk is over */
	size_t endpoint_count;
	bool is_default; /* registered as the default */
	bool was_attached;
	struct diagnose_sleep sleep;
	uint64_t state_age_ms;          /* how long it is in STATE */
	uint32_t to;                    /* the destination that `egress` tries, host order; 0: DIAGNOSE_SOMEWHERE */
	uint16_t ready_port;            /* 0: none */
	const struct door_policy *door; /* who may come through the front door; the caller's; NULL: not known */
	char host_label[SANDBOX_ID_MAX + 1]; /* under the door's domain; "": it has none */
	const struct fabric_plan *plan; /* for the rules; the caller's, with all it points to, until the walk is over */
};

/* Walks. Never fails: a hop that cannot be inspected is broken and says so. */
void health_diagnose_walk(const struct diagnose_request *request, struct diagnosis *diagnosis);

/* "ok", "fail", "idle", "skipped" */
const char *hop_status_name(enum hop_status status);

#endif
