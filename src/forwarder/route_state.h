/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ROUTE_STATE_H
#define WEFT_FORWARDER_ROUTE_STATE_H

#include "config/door_policy.h"
#include "config/limits.h"
#include "forwarder/forwarder.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The part of a route that its workers must know. Main changes it and notifies the workers; a worker that reads late sees
 * the last state only, so events that it must not miss (a carrier that went and came back) are counted. All functions are pure.
 */
struct route_state {
	int netns_fd; /* -1: none */
	bool gone;    /* there was a namespace, and it went */
	bool up;
	bool ready;
	bool paused;
	uint64_t paused_since_ms;     /* clock_now_ms(), of a pause that a former run began; 0: this one did */
	bool isolated;                /* the guest reaches no service */
	bool closing;                 /* main waits for each side to report that it is empty */
	bool reset_all;               /* every connection ends now */
	enum fwd_close_reason reason; /* of reset_all */
	unsigned carrier_losses;      /* outside of pauses */
	unsigned losses;              /* in pauses too, and resumes without flows: the guest may be another one */
	unsigned flow_resets;         /* resumes that do not keep the flows */
	unsigned wake_timeout_ms;     /* a client of a paused guest is held for so long; 0: for the whole pause */
	unsigned wake_turn; /* main waits for a client of the paused guest, for the so many-th time; 0: it does not */
	unsigned refused_grace_ms;
	unsigned door_hold_ms;        /* for a client that came through the door, instead of connect_deadline_ms */
	unsigned connections_for_all; /* of all routes together; 0: no limit */
	unsigned connections_unless_limited;      /* of a route without a limit of its own; 0: no limit */
	unsigned connections_out;                 /* of the guest itself, to services; 0: no limit */
	unsigned udp_flows, udp_flows_per_client; /* of one endpoint, of one client's address there */
	struct limits limits;
	char name[FWD_NAME_MAX + 1]; /* of the sandbox, for the log; "": none */
	int64_t carrier_downs;       /* losses in the life of the TAP, by the kernel; -1: unknown */
	uint64_t pace;               /* bytes a second that a client is sent at most; 0: no limit */
	struct door_policy door;
};

/* The most connections at once in DIRECTION; 0: no limit. */
unsigned fwd_route_state_connections(const struct route_state *state, enum fwd_direction direction);

/* Whether the guest may be dialed. */
bool fwd_route_state_may_dial(const struct route_state *state);

/* Whether the change from BEFORE to NOW ends every connection, held ones too; then *REASON. */
bool fwd_route_state_ends_all(const struct route_state *now, const struct route_state *before,
			      enum fwd_close_reason *reason);

/* Whether it ends open connections and UDP flows, in which the guest takes part; then *REASON. */
bool fwd_route_state_ends_flows(const struct route_state *now, const struct route_state *before,
				enum fwd_close_reason *reason);

/* Whether it ends the connections to services, which the guest has opened, in whatever state; then *REASON. */
bool fwd_route_state_ends_out(const struct route_state *now, const struct route_state *before,
			      enum fwd_close_reason *reason);

/* Whether the guest may be dialed now and could not be before. */
bool fwd_route_state_opens(const struct route_state *now, const struct route_state *before);

/* Whether a limit changed that connections feel which are there already. */
bool fwd_route_state_limits(const struct route_state *now, const struct route_state *before);

/* Whether the time that clients of a paused guest are held has changed, or main waits for one of them anew. */
bool fwd_route_state_asks(const struct route_state *now, const struct route_state *before);

/* Whether a pause begins, or ends. */
bool fwd_route_state_pauses(const struct route_state *now, const struct route_state *before);
bool fwd_route_state_resumes(const struct route_state *now, const struct route_state *before);

#endif
