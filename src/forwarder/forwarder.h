/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_FORWARDER_H
#define WEFT_FORWARDER_FORWARDER_H

/*
 * Carries TCP (and UDP) from listening addresses of the host to guests, dialing inside each sandbox's namespace, and TCP of the guests
 * to services of the host. Listeners are opened and closed on the main thread; workers accept from them, and a connection stays on
 * one worker. Of a sandbox the forwarder knows its routes alone.
 *
 * All functions: main thread, unless they say otherwise. Callbacks: main thread.
 */

#include "base/addr.h"
#include "config/limits.h"
#include "door/door_refusal.h"
#include "forwarder/dial_target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct door_policy;
struct err;
struct event_base;
struct forwarder;
struct fwd_listener;
struct fwd_route;

/* Which way a connection goes. Names: fwd_direction_name(). */
enum fwd_direction {
	DIRECTION_IN,  /* to the guest */
	DIRECTION_OUT, /* from the guest, to a service of the host */
};

const char *fwd_direction_name(enum fwd_direction direction); /* "in", "out" */

/* Why a connection ended. Exactly one for each. Names: fwd_close_reason_name(). */
enum fwd_close_reason {
	CLOSE_DONE,         /* both sides closed in order */
	CLOSE_CLIENT_RESET, /* the client, or the service that the guest had asked for, reset; the guest was reset too */
	CLOSE_GUEST_RESET,  /* the guest reset; the other side was reset too */
	CLOSE_GUEST_REFUSED,    /* ready, and its port refused beyond the grace */
	CLOSE_CONNECT_DEADLINE, /* held until the deadline */
	CLOSE_ASLEEP,           /* paused, and nobody resumed it for as long as a client of such a guest is held */
	CLOSE_NO_SANDBOX,       /* the default endpoint has no backend */
	CLOSE_NO_PORT,          /* the sandbox's namespace had no local port left (EADDRNOTAVAIL) */
	CLOSE_CARRIER_LOST,     /* the VM went away meanwhile */
	CLOSE_NO_ROUTE,         /* ENETUNREACH, EHOSTUNREACH from the namespace's own routes */
	CLOSE_NO_NAMESPACE,     /* the namespace is gone */
	CLOSE_LIMIT,            /* more connections than allowed, or more than its share of scarce descriptors */
	CLOSE_IDLE,             /* no byte for the idle time */
	CLOSE_HALF_CLOSED,      /* half closed for longer than allowed */
	CLOSE_PAUSED_RESET,     /* resumed with flows reset */
	CLOSE_UNREGISTERED,     /* the sandbox was unregistered or isolated meanwhile, or the port unpublished */
	CLOSE_SHUTDOWN,         /* weftd stops */
	CLOSE_HANDOVER_LOST,    /* the former run handed it over, and it could not be taken over */
	CLOSE_PROXY_REFUSED, /* the service that the guest had asked for could not be reached; nothing else was tried */
	CLOSE_DOOR_TOKEN,  /* it came through the door, and lacks the token that is wanted, or that is wanted by now */
	CLOSE_DOOR_CLOSED, /* it came through the door to a port that is closed to all, or that is by now */
	CLOSE_ERROR,       /* anything else; the log line gives the error */
};

enum { CLOSE_REASONS = CLOSE_ERROR + 1 };

const char *
fwd_close_reason_name(enum fwd_close_reason reason); /* "done", "client-reset", ...: as interfaces fix them */

/*
 * Starts the workers. Keeps CONFIG, which must outlive it. NULL with ERR.
 */
struct forwarder *fwd_new(struct event_base *base, const struct config *config, struct err *err);

/*
 * Closes the listeners, resets the connections that are left (reason: shutdown), stops the workers and frees all, routes too. No
 * completion is called any more.
 */
void fwd_free(struct forwarder *forwarder);

/* Stops accepting; DONE when the last connection ended by itself or DRAIN_MS passed. */
void fwd_drain(struct forwarder *forwarder, unsigned drain_ms, void (*done)(void *context), void *context);

/* Takes over the options that a reload may change (deadlines, limits). */
void fwd_reconfigure(struct forwarder *forwarder);

/*
 * What others than the forwarder have open, because connections must leave them theirs. FIXED: for as long as the process runs; at
 * first all is taken for that which is open in fwd_new(). CLIENTS: connections of the control socket, for which a reserve is kept.
 * RLIMIT_NOFILE itself is looked at each second.
 */
void fwd_set_descriptors(struct forwarder *forwarder, size_t fixed);
void fwd_set_clients(struct forwarder *forwarder, size_t clients);

/* ---- Routes: the way to one guest ---- */

/* A route with no namespace, no carrier, not ready, and no guest that asks for services. NULL only for lack of memory. */
struct fwd_route *fwd_route_new(struct forwarder *forwarder, const char *id, unsigned slot,
				const struct limits *limits);

/* The guest's address, host order; without a call the configuration's. To be called before the route has a namespace. */
void fwd_route_set_guest(struct fwd_route *route, uint32_t ip);

/*
 * The address from which the host sees the guest, host order: connections to services that come from there are its own, until
 * fwd_route_close().
 */
void fwd_route_set_source(struct fwd_route *route, uint32_t ip);

/* NETNS_FD stays the caller's and must stay open until fwd_route_close() is done; -1: the namespace is gone. */
void fwd_route_set_namespace(struct fwd_route *route, int netns_fd);

/*
 * UP: whether the TAP has carrier. Held clients dial from then on, at once and then each 50 to 200 ms. Without carrier the
 * connections to the guest are reset both ways (reason: carrier-lost), unless the route is paused. Held ones stay held.
 */
void fwd_route_set_up(struct fwd_route *route, bool up);

/* Whether the guest's ready_port answered: refusals are then retried for refused_grace only. */
void fwd_route_set_ready(struct fwd_route *route, bool ready);

/*
 * While a route is paused its connections, of both directions, are kept and not fed, new ones are held, and no timeout runs. On
 * resume with KEEP they go on at once; without it all are reset (reason: paused-reset).
 */
void fwd_route_pause(struct fwd_route *route);

/* The same, where a former run did so, at SINCE_MS (clock_now_ms(), not 0): clients of then are held no longer for the restart. */
void fwd_route_pause_since(struct fwd_route *route, uint64_t since_ms);
void fwd_route_resume(struct fwd_route *route, bool keep);

/*
 * What wakes the guest while the route is paused: a client of one of PORTS, or of ANY port. A client of any port, at the door too, is then
 * held for TIMEOUT_MS at most, from its arrival or from the beginning of the pause, whichever is later, and then reset (reason: asleep).
 * Datagrams for PORTS are kept from fwd_route_await_client() on until the guest may be dialed, as far as the socket's buffer has room.
 */
struct fwd_wake_port {
	enum proto proto;
	uint16_t port;
};

struct fwd_wake {
	bool any; /* all ports wake it, whatever PORTS says */
	bool
	    endpoints; /* beside PORTS, any port to which an endpoint leads a TCP client, the default one too, but not the door */
	const struct fwd_wake_port *ports;
	size_t port_count;
	const struct cidr4 *ignored; /* networks whose clients wake nobody, but are held as others are */
	size_t ignored_count;
	unsigned timeout_ms; /* above 0 */
};

/* NULL: nothing wakes the guest. WAKE is copied. 0, or -1 for lack of memory: as before. */
int fwd_route_set_wake(struct fwd_route *route, const struct fwd_wake *wake);

/* A client that waits for a paused guest. */
struct fwd_asking {
	enum proto proto;
	uint16_t guest_port;
	struct addr client; /* as fwd_connection_info has it; of the door, as its proxy says */
	bool door;
};

/* Sets the callback of fwd_route_await_client(). */
void fwd_route_on_asked(struct fwd_route *route, void (*asked)(void *context, const struct fwd_asking *asking),
			void *context);

/*
 * Has ASKED called once, for a client that would wake the guest by fwd_route_set_wake(): one that waits already, or else the next one. It is
 * not called after the route is resumed, nor if the route is not paused, or nothing wakes its guest.
 */
void fwd_route_await_client(struct fwd_route *route);

/*
 * Connections that are there follow: the deadline of those that wait, idle, half_closed and keepalive of open ones. The number of
 * connections counts for new ones.
 */
void fwd_route_set_limits(struct fwd_route *route, const struct limits *limits);

/*
 * Calls ANSWERED for each port of the guest that has answered a client of a loopback address: once by each worker that serves such a client,
 * until the carrier is lost or a resume resets the flows. To be set before the route has a namespace.
 */
void fwd_route_on_answered(struct fwd_route *route, void (*answered)(void *context, uint16_t port, enum proto proto),
			   void *context);

/* The name of its sandbox, for the log; NULL: none. */
enum { FWD_NAME_MAX = 64 };
void fwd_route_set_name(struct fwd_route *route, const char *name);

/*
 * Sends no client more than BYTES_PER_SECOND of the guest's bytes; 0: no limit. This holds for one connection alone. The sum of
 * all is limited where the guest's packets come in, by a bucket that is too large for a connection that has rested.
 */
void fwd_route_set_pace(struct fwd_route *route, uint64_t bytes_per_second);

/*
 * An isolated sandbox reaches no service: the connections that its guest has opened are reset (reason: unregistered), as if the
 * services were gone. That no other comes is up to the kernel's rules.
 */
void fwd_route_set_isolated(struct fwd_route *route, bool isolated);

/*
 * Who may come to it through the door; without a call everybody. Connections that came through the door and would be refused now are
 * reset (reasons: door-token, door-closed).
 */
void fwd_route_set_door(struct fwd_route *route, const struct door_policy *policy);

/*
 * Ends the route. Connections, held or open, are reset with REASON after DRAIN_MS at the latest (0: at once). Its listeners must
 * be closed before. DONE (may be NULL) is called when no worker uses the route or its namespace any more; the route is then gone.
 * A second call before that, with DRAIN_MS 0, ends a drain at once; its DONE is not called.
 */
void fwd_route_close(struct fwd_route *route, enum fwd_close_reason reason, unsigned drain_ms,
		     void (*done)(void *context), void *context);

struct fwd_route_stats {
	uint64_t connections_total, connections_open, connections_held; /* open: without the held ones */
	uint64_t bytes_to_guest, bytes_from_guest;
	uint64_t udp_lost;        /* datagrams that were not passed on */
	int64_t last_activity_ms; /* wall clock; 0: none */
	uint64_t active_ms;       /* the same by clock_now_ms() */
};
void fwd_route_stats(const struct fwd_route *route, struct fwd_route_stats *stats);

/* ---- Listeners: the ways in ---- */

struct fwd_listener_options {
	enum proto proto;
	bool services; /* guests' own connections come here: ROUTE is NULL, and nothing but PROTO (TCP) and FD counts */
	bool door;     /* clients of all sandboxes come here, see below: ROUTE is NULL, and PROTO is TCP */
	uint16_t guest_port;
	bool proxy_protocol;
	int fd; /* a listening socket handed over by the service manager, taken over on success; -1: make one */
};

/*
 * Opens LISTEN for ROUTE (NULL: the default endpoint, whose backend fwd_set_default() sets). NULL with ERR (EADDRINUSE,
 * EADDRNOTAVAIL, EACCES, EMFILE, ...).
 */
struct fwd_listener *fwd_listener_open(struct forwarder *forwarder, const struct addr *listen, struct fwd_route *route,
				       const struct fwd_listener_options *options, struct err *err);

/*
 * Closes the socket. When it returns no client connects or is accepted any more, whoever else has the socket. With RESET the
 * connections that came through it are reset (reason: unregistered). Otherwise they live on, and so do those that no worker had
 * accepted yet.
 */
void fwd_listener_close(struct fwd_listener *listener, bool reset);

/* Has the clients that come from now on get the keepalive of the limits of ROUTE, which were set before. */
void fwd_listeners_follow_limits(struct forwarder *forwarder, const struct fwd_route *route);

/* Its socket, for the service manager's store. Still the listener's. */
int fwd_listener_fd(const struct fwd_listener *listener);

/* Whether the socket of a closed listener is open still: a worker closes those of UDP. */
bool fwd_is_closing(const struct forwarder *forwarder);

/* Calls DONE each time that this is over, until another one is set. */
void fwd_on_closed(struct forwarder *forwarder, void (*done)(void *context), void *context);

/* Sets the default endpoint's backend; NULL: none, and clients are held for default_wait. Open connections stay. */
void fwd_set_default(struct forwarder *forwarder, struct fwd_route *route);

/* ---- Services: what guests ask of the host ---- */

struct fwd_service {
	struct addr address; /* that guests use; the kernel redirects it to a listener with the option `services` */
	struct fwd_target target;
};

/*
 * The services that there are. Once, before the first route. 0, or -1 with ERR (ENOMEM).
 *
 * A guest is connected to the target, and to nothing else. A target that is not there is tried again for refused_grace, one that does
 * not answer until the connect_deadline of the sandbox; then the guest is reset (reason: proxy-refused).
 */
int fwd_set_services(struct forwarder *forwarder, const struct fwd_service *services, size_t count, struct err *err);

/* ---- The door: clients of all sandboxes through one unix socket ---- */

/*
 * The listener with the option `door` has a socket of the caller, AF_UNIX, that listens already: FD. LISTEN is not looked at. A client
 * begins with a header (door/door_request.h) that names a sandbox, by its id or its name, and a port of its guest: these are looked up then,
 * and the connection is an ordinary one from then on. It is held for `[door] hold`, in a pause too. One that cannot be served gets a
 * reply (door/door_refusal.h) and is read to its end, so that no reset overtakes that.
 */
struct fwd_door_stats {
	uint64_t open;                   /* connections, the held ones too */
	uint64_t held;                   /* of these, without an answer of the guest yet */
	uint64_t served;                 /* connections ever that the guest answered */
	uint64_t refused[DOOR_REFUSALS]; /* ever, by enum door_refusal */
	uint64_t broken;                 /* ever: without a whole and correct header within 2 s */
};
void fwd_door_stats(const struct forwarder *forwarder, struct fwd_door_stats *stats);

/* ---- Probing ---- */

struct fwd_probe;

/*
 * Connects to PORT of the route's guest from inside its namespace, again each 50 to 200 ms, until the guest accepts; in the first second
 * after a resume, each 5 ms. Then
 * ACCEPTED is called once, and may call fwd_probe_stop(), which is owed in any case. Nothing is dialed while the route is
 * down or paused. NULL only for lack of memory.
 */
struct fwd_probe *fwd_probe_start(struct fwd_route *route, uint16_t port, void (*accepted)(void *context),
				  void *context);
void fwd_probe_stop(struct fwd_probe *probe);

/* ---- Connections and statistics ---- */

struct fwd_connection_info {
	uint64_t id;
	enum fwd_direction direction;
	char endpoint[ADDR_TEXT_SIZE]; /* that the client connected to: of the host, or of a service */
	char client[ADDR_TEXT_SIZE];   /* who connected: the guest itself, with DIRECTION_OUT */
	const char *state;             /* "held", "dialing", "open", "half-closed", "paused" */
	uint64_t bytes_to_guest, bytes_from_guest;
	uint64_t age_ms;
	int64_t connect_ms; /* -1: not connected yet */
};

/*
 * Collects the connections of ROUTE from all workers. INFO is valid during the call only; NULL: there is no memory. At most LIMIT are
 * listed.
 */
void fwd_route_list(struct fwd_route *route, size_t limit,
		    void (*listed)(void *context, const struct fwd_connection_info *info, size_t count), void *context);

enum { CONNECT_BUCKETS = 16 };

struct fwd_stats {
	uint64_t connections_open; /* the held ones too */
	uint64_t connections_held;
	uint64_t ended[CLOSE_REASONS];
	uint64_t bytes_to_guest, bytes_from_guest;
	uint64_t accept_pauses;                  /* times a listener paused for lack of descriptors */
	uint64_t udp_lost;                       /* datagrams that were not passed on */
	uint64_t descriptors, descriptor_limit;  /* of the process: in use; RLIMIT_NOFILE as last read */
	uint64_t usable, usable_free;            /* of these, for clients of sandboxes; below a quarter free: scarce */
	uint64_t connect_count[CONNECT_BUCKETS]; /* by upper bound, fwd_connect_bucket_ms[]; the last has no bound */
	uint64_t connect_sum_us;
};
extern const unsigned fwd_connect_bucket_ms[CONNECT_BUCKETS - 1];

void fwd_stats(const struct forwarder *forwarder, struct fwd_stats *stats);

#endif
