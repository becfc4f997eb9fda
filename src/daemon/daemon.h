/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DAEMON_H
#define WEFT_DAEMON_DAEMON_H

/*
 * The flows that join the rooms: what happens, in which order, when a manager asks, when the kernel reports, when the daemon
 * starts and when it stops. Each flow has a file of its own; this header is for those files alone. Main thread only.
 */

#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "control/control.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"
#include "registry/problem.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct err;
struct event;
struct event_base;
struct inherited;
struct options;
struct parked;
struct restart;
struct store;

enum daemon_state {
	DAEMON_LOADING,  /* the socket answers, and nothing else is there yet; what asks for sandboxes is held */
	DAEMON_ADOPTING, /* a former run's sandboxes are being taken over; changes are parked */
	DAEMON_RUNNING,
	DAEMON_STOPPING, /* connections drain; changes are refused */
};

STAILQ_HEAD(parked_list, parked);

struct daemon {
	const struct options *options;
	struct event_base *base;
	struct config *config;
	struct store *store;
	int host_lock; /* says that this link group is ours; -1: not yet */
	struct registry *registry;
	struct fabric *fabric;
	struct forwarder *forwarder;
	struct control *control;
	struct control_http *http;   /* NULL: [http] listen is off */
	struct inherited *inherited; /* sockets that the service manager kept for us; NULL without */
	enum daemon_state state;
	bool loaded;               /* the registry has all that a former run left; the state was LOADING until then */
	struct parked_list parked; /* requests that wait for a sandbox to come to rest */
	struct timer housekeeping; /* counters, closed endpoints: now and then */
	struct timer guarding;     /* of the state directory */
	unsigned guard_cursor;     /* the slot whose file was looked at last */
	struct log_limit guard_lines;
	struct listener **default_listeners; /* one for each of default_listen that the host has */
	size_t default_listener_count;
	size_t default_tried;      /* of default_listen: those that were opened, or that the host has not */
	uint64_t default_until_ms; /* clock_now_ms(): until then a port that is in use is tried again */
	bool *reserved;            /* by slot: its file is kept as it is although nobody can use it */
	struct restart *restart;   /* what a former run left, until all of it is taken over */
	uint64_t register_count[CONNECT_BUCKETS]; /* durations of registrations, by connect_bucket_ms[] */
	uint64_t register_sum_us;
	uint64_t denied[FABRIC_RULES];      /* packets stopped, by rule, since it runs */
	uint64_t host_denied[FABRIC_RULES]; /* last read of the host's table */
	uint64_t repairs;                   /* of what others changed, since it runs */
	struct mailbox *diagnoses_done;     /* diagnoses that are over */
	unsigned diagnoses;                 /* under way */
	struct event *signals[3];
	int exit_code;
};

/* What the daemon keeps of each sandbox beside the registry's record; sandbox->tenant. */
struct tenant {
	struct daemon *daemon;
	struct sandbox *sandbox;
	struct fwd_route *route;
	struct probe *probe;    /* NULL while readiness is not being asked for */
	int netns_fd;           /* the one descriptor that pins its namespace; -1 without */
	bool busy;              /* a change is under way: others are parked */
	bool slot_freed;        /* the host saw its veth go while it was being taken apart */
	bool kept;              /* nobody's file wants it, but a VM lives on it */
	bool stored;            /* a former run registered it: a stop before it is adopted must not undo it */
	bool unregistered;      /* its file says that it is to go, whatever becomes of the attempt */
	struct reply **leaving; /* answers owed when it is gone */
	size_t leaving_count;
	struct problem failure;        /* why its registration failed: the answer owed once all is undone */
	struct counters base;          /* what its counters stood at when this run of the daemon took it over */
	struct counters lost;          /* what the kernel counted in tables that are gone */
	uint64_t denied[FABRIC_RULES]; /* last read of its namespace */
};

/* ---- tenant.c ---- */

/* Makes the tenant of SANDBOX with its route. 0, or -1 with ERR. */
int tenant_new(struct daemon *daemon, struct sandbox *sandbox, struct err *err);
/* Frees it; the route must be gone (route_close()). Closes the namespace's descriptor. */
void tenant_free(struct tenant *tenant);
static inline struct tenant *tenant_of(const struct sandbox *sandbox)
{
	return sandbox->tenant;
}
/* The namespace is there: hands its descriptor (taken over) and the carrier to the route. */
void tenant_attach_namespace(struct tenant *tenant, const struct fabric_slot *slot);
/* Starts, or stops, asking the guest whether it is ready, as its state demands. */
void tenant_follow_readiness(struct tenant *tenant);
/* Sets the state that follows from what is known, unless the sandbox is creating, draining or failed. */
void tenant_settle(struct tenant *tenant, const char *cause);
/* What the fabric is to make of the sandbox. NAT must have room for all its endpoints' addresses. */
struct fabric_plan tenant_plan(const struct sandbox *sandbox, struct fabric_nat *nat);
/* How many entries tenant_plan() needs room for. */
size_t tenant_nat_max(const struct endpoint *endpoints, size_t count);
/* Brings the sandbox's counters and last activity up to date from the forwarder. */
void tenant_refresh(struct sandbox *sandbox);

/* ---- endpoints.c ---- */

/*
 * Opens the forwarder's listeners of ENDPOINTS that are still closed; those of nat need none. All or nothing: on failure what
 * this call opened is closed again, and PROBLEM names port and holder; its field is LIST ("/ports" or "/publish") and the place
 * among ENDPOINTS. *TAKEN, where not NULL, gets an automatic port that another
 * program holds (then the caller may choose another), else 0.
 */
int endpoints_open(struct daemon *daemon, struct tenant *tenant, struct endpoint *endpoints, size_t count,
		   const char *list, uint16_t *taken, struct problem *problem);
/* Closes all. RESET: connections that came through them end, too. */
void endpoints_close(struct endpoint *endpoints, size_t count, bool reset);
/* Tries again what is still closed; for after a restart, when somebody else had a port. */
void endpoints_retry(struct daemon *daemon);
/* Opens the default endpoint. 0; 1: a port is in use that may be free in a moment, call again; or -1 with ERR naming the holder. */
int default_endpoint_open(struct daemon *daemon, struct err *err);
/* Leads the default endpoint to the sandbox that it belongs to now. After each change of who that is. */
void default_endpoint_follow(struct daemon *daemon);

/* ---- register.c, unregister.c, patch.c: the calls of struct control_ops ---- */

void daemon_register(void *context, const char *id, struct spec *spec, struct reply *reply);
void daemon_unregister(void *context, struct sandbox *sandbox, bool drain, unsigned drain_ms, struct reply *reply);
void daemon_patch(void *context, struct sandbox *sandbox, struct wire_patch *patch, struct reply *reply);

/*
 * Takes SANDBOX apart without anybody asking (a registration that failed half way, a stored one that was draining). REPLY may
 * be NULL.
 */
void sandbox_leave(struct daemon *daemon, struct sandbox *sandbox, unsigned drain_ms, struct reply *reply);

/* ---- park.c: requests that wait for a sandbox to come to rest ---- */

void park_register(struct daemon *daemon, const char *id, struct spec *spec, struct reply *reply);
void park_unregister(struct daemon *daemon, const char *id, bool drain, unsigned drain_ms, struct reply *reply);
/* Moves PATCH away and zeroes it. */
void park_patch(struct daemon *daemon, const char *id, struct wire_patch *patch, struct reply *reply);
/* Goes on with the requests for ID, in the order of their arrival. */
void unpark(struct daemon *daemon, const char *id);
/* Answers all that are left: the daemon stops. */
void unpark_all(struct daemon *daemon);

/* ---- follow.c: what the kernel reports ---- */

extern const struct fabric_watcher daemon_watcher; /* its context is to be set */
void daemon_state_changed(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
			  uint64_t previous_ms);

/* ---- restart.c: what a former run left ---- */

/*
 * Begins the start behind the socket: the kernel is prepared and read, the state directory read, what is there adopted, its
 * endpoints opened, some milliseconds of each in one turn of the loop. The daemon is RUNNING when all is done. 0, or -1 with ERR.
 */
int restart_begin(struct daemon *daemon, struct err *err);
/* When nothing of the fabric's can come any more. */
void restart_free(struct daemon *daemon);
/* The slot's file is not to be trusted and is kept as it is: nobody gets the slot, and so the file. */
void restart_reserve_slot(struct daemon *daemon, unsigned slot, const char *why);
void restart_release_slot(struct daemon *daemon, unsigned slot);

/* ---- run.c: start and stop ---- */

/* Fabric and forwarder, once the control socket answers. 0, or -1 with ERR. */
int daemon_start_rooms(struct daemon *daemon, struct err *err);
/* The start failed for ERR: says so and ends the loop. */
void daemon_give_up(struct daemon *daemon, const struct err *err);

/* ---- guard.c: the state directory while we run ---- */

/* Looks from now on whether the files are as we wrote them. 0, or -1 with ERR. Ends with timer_free(&daemon->guarding). */
int guard_start(struct daemon *daemon, struct err *err);

/* ---- report.c, metrics.c: answers about all ---- */

void daemon_status(void *context, struct reply *reply);
void daemon_connections(void *context, struct sandbox *sandbox, struct reply *reply);
void daemon_reach(void *context, struct sandbox *sandbox, uint32_t destination, enum proto proto, uint16_t port,
		  struct reply *reply);
/* Before the first, and after the last, daemon_diagnose(). */
int diagnoses_start(struct daemon *daemon, struct err *err);
void diagnoses_stop(struct daemon *daemon);
void daemon_diagnose(void *context, struct sandbox *sandbox, struct reply *reply);
void daemon_metrics(void *context, struct reply *reply);
void daemon_refresh(void *context, struct sandbox *sandbox);

/* ---- collect.c: the kernel's counters ---- */

/* Asks the fabric for the counters of all slots. */
void collect_all(struct daemon *daemon);
/* Reads the counters of one sandbox at once, for somebody who looks at it; where many are looked at, only the first few. */
void collect_now(struct daemon *daemon, struct sandbox *sandbox);

#endif
