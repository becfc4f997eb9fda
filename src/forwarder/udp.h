/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_UDP_H
#define WEFT_FORWARDER_UDP_H

/*
 * UDP endpoints. Each belongs to one worker. Each port of a client is a flow with a socket of its own into the sandbox's namespace,
 * which ends when it was silent for long enough.
 */

#include "base/addr.h"
#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/forwarder.h"
#include "forwarder/poller.h"
#include "forwarder/udp_table.h"
#include "forwarder/wheel.h"

struct fwd_endpoint;
struct route_side;
struct route_state;
struct udp_batch;
struct worker;

enum {
	UDP_BATCHES = 16, /* of one socket in one wake-up */
	UDP_IDLE_MS = 60 * 1000,
	UDP_PAUSE_MIN_MS = 1000, /* between attempts to hear an endpoint */
	UDP_PAUSE_MAX_MS = 30 * 1000,
	UDP_KEPT_MS = 60 * 1000, /* a datagram for a sleeping guest is kept */
	UDP_FRESH_MS =
	    30 * 1000, /* a client that was silent for so long begins anew: as the kernel's conntrack has it */
};

/* One client of a UDP endpoint. Worker's thread. */
struct udp_flow {
	struct udp_place place;
	struct udp_port *port;
	struct poll_source readable;
	int fd; /* connected to the guest */
	struct udp_ends ends;
	uint32_t drops; /* of its socket, as far as they are counted */
	struct wheel_entry timer;
	uint64_t id;
	uint64_t started_ms, active_ms;
	uint64_t heard_ms;             /* last datagram of its client, passed on or not */
	uint64_t to_guest, from_guest; /* bytes */
};

/* A listening UDP socket. Main makes it and asks for its end; between the two it is the worker's. */
struct udp_port {
	LIST_ENTRY(udp_port) link; /* of its side */
	struct mail opening, closing, closed;
	struct forwarder *forwarder;
	struct worker *worker;
	struct route_side *side;
	struct fwd_endpoint *endpoint; /* with a reference */
	int fd;
	uint32_t drops; /* of FD, as far as they are counted */
	struct poll_source readable;
	struct wheel_entry unheard; /* waits for the next attempt to hear it */
	unsigned pause_ms;          /* between the last two of these; 0: none failed */
	bool keeps;                 /* not heard on purpose: what FD has is for a guest that sleeps (udp_asleep.c) */
	struct udp_table flows;
};

/* Hands FD, a bound UDP socket, to a worker. NULL only for lack of memory. Main thread. */
struct udp_port *fwd_udp_port_new(struct fwd_route *route, struct fwd_endpoint *endpoint, int fd);

/* Asks for its end, and its flows' (reason: unregistered). It closes the socket. Main thread; PORT is gone for the caller. */
void fwd_udp_port_close(struct udp_port *port);

/* Its flow between ENDS, made if there is none and one more is allowed; else NULL. Worker's thread. */
struct udp_flow *fwd_udp_flow_of(struct udp_port *port, const struct udp_ends *ends);

/* Bytes passed on, in either direction. Worker's thread. */
void fwd_udp_flow_count(struct udp_flow *flow, uint64_t to_guest, uint64_t from_guest);

/* Ends and frees it, with its line in the log. Worker's thread. */
void fwd_udp_flow_close(struct udp_flow *flow, enum fwd_close_reason reason);

/* ---- udp_asleep.c: worker's thread ---- */

/*
 * PORT, which is heard, has datagrams. False: they are to be read as ever. True: its guest sleeps, and this was seen to. Where one of them
 * is to wake the guest, PORT keeps it, with all behind it, and is not heard any more.
 */
bool fwd_udp_asleep_takes(struct udp_port *port);

/* Its route was as BEFORE: whether PORT, which kept datagrams, is to be heard again. */
bool fwd_udp_asleep_ends(struct udp_port *port, const struct route_state *before);

/* Drops what PORT has kept for too long; it is to be heard again. */
void fwd_udp_asleep_drop(struct udp_port *port);

/* ---- */

/* The endpoints of SIDE follow a change of its route, which was as BEFORE. Worker's thread. */
void fwd_udp_side_follow(struct route_side *side, const struct route_state *before);

/* Ends all flows of SIDE. Worker's thread. */
void fwd_udp_side_reset(struct route_side *side, enum fwd_close_reason reason);

/* Callbacks of the wheels `flows` and `unheard`. */
void fwd_udp_flow_expired(struct wheel_entry *entry);
void fwd_udp_unheard_expired(struct wheel_entry *entry);

#endif
