/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DAEMON_H
#define WEFT_DAEMON_DAEMON_H

/*
 * The flows that join the rooms: the steps and their order when a manager asks, when the kernel reports, when the daemon starts
 * and when it stops. Each flow has a file of its own, with its part of the daemon behind its own header; this header is for
 * all. Main thread only.
 */

#include "control/park.h"

#include <stdbool.h>

struct asleep;
struct catalog;
struct config;
struct config_layout;
struct control;
struct control_http;
struct default_endpoint;
struct diagnoses;
struct door;
struct err;
struct event_base;
struct examine;
struct fabric;
struct forwarder;
struct fwd_listener;
struct guard;
struct handed_over;
struct handing_over;
struct idle;
struct inherited;
struct listeners;
struct loopback;
struct metrics;
struct not_open;
struct options;
struct problem;
struct rate_samples;
struct registry;
struct reopen;
struct reserve;
struct restart;
struct store;
struct takeover;
struct watchdog;

enum daemon_state {
	DAEMON_LOADING, /* the socket answers, and nothing else is there yet; requests for sandboxes are held; then adopting */
	DAEMON_ADOPTING, /* a former run's sandboxes are being taken over; changes are parked; then running */
	DAEMON_RUNNING,  /* then stopping, as from each of the others */
	DAEMON_STOPPING, /* connections are handed over, or drain; changes are refused */
};

struct daemon {
	const struct options *options;
	struct event_base *base;
	struct config *config;
	const struct config_layout *dropping; /* a former layout of slots, while its rules are removed; NULL: none */
	enum daemon_state state;              /* changed by daemon_become() alone */
	enum daemon_state former;             /* the state before this one */
	int exit_code;

	/* The rooms. NULL: not there yet, or not there any more. */
	struct store *store;
	struct registry *registry;
	struct fabric *fabric;
	struct forwarder *forwarder;
	struct control *control;
	struct control_http *http; /* NULL also while [http] listen is off */
	struct catalog *catalog;   /* NULL also while [catalog] redis is off */

	struct control_park parked;  /* requests that wait for a sandbox to come to rest */
	struct inherited *inherited; /* what the service manager kept for us; NULL without */
	struct listeners *listeners; /* those of this run */

	/* The parts, each of the file of its name. */
	struct asleep *asleep; /* NULL: not there yet, or not there any more */
	struct default_endpoint *default_endpoint;
	struct diagnoses *diagnoses;
	struct door *door; /* NULL: there is none */
	struct examine *examine;
	struct guard *guard;
	struct handed_over *handed_over;
	struct handing_over *handing_over; /* NULL: not begun */
	struct idle *idle;
	struct loopback *loopback; /* NULL before daemon_loopback_start() */
	struct metrics *metrics;
	struct not_open *not_open;
	struct rate_samples *rates;
	struct reopen *reopen;
	struct reserve *reserve;
	struct fwd_listener *service_listener; /* host_services.h; NULL: not open, or not wanted */
	struct restart *restart;
	struct takeover *takeover;
	struct watchdog *watchdog;
};

/* The one way to change the state; logs old -> new. A move that the states above do not name is a bug. */
void daemon_become(struct daemon *daemon, enum daemon_state state);

/*
 * Whether the registry has all that a former run left. After a stop during DAEMON_LOADING it stays false: requests for
 * sandboxes are then refused with 503, and not with the answer that there is no such sandbox.
 */
bool daemon_is_loaded(const struct daemon *daemon);

/*
 * The problem that ERR, of a step that was asked for, makes of its request: INTERNAL, or UNAVAILABLE for want of memory or descriptors
 * and where a stop of weftd came before the step (ECANCELED), which its next run will serve.
 */
void daemon_explain(const struct err *err, struct problem *problem);

#endif
