/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ENDPOINT_H
#define WEFT_FORWARDER_ENDPOINT_H

#include "base/addr.h"
#include "base/loop.h"
#include "door/door_request.h"
#include "forwarder/forwarder.h"
#include "forwarder/poller.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fwd_endpoint;
struct route_side;
struct worker;

/* One worker's part in a TCP endpoint: accept.c. */
struct endpoint_share {
	struct poll_source readable;
	struct mail closed; /* to the worker: its last message about the socket */
	struct fwd_endpoint *endpoint;
	struct worker *worker;
	/* Where the connections go: used while FD is open, and for the last ones; NULL: services.h says. */
	struct route_side *side;
	int fd;     /* the listening socket; -1: closed. Main writes, under the worker's lock */
	bool heard; /* in the worker's epoll set. Main's */
	bool reset; /* with `closed`: the connections that came through it are reset */
};

/*
 * The common part of the connections that came through one listening address, or of those to one service. It outlives the listener
 * for as long as one of them lives. Constant, except for the count and the shares.
 */
struct fwd_endpoint {
	atomic_uint references;
	enum fwd_direction direction;
	struct addr listen;       /* of the host; DIRECTION_OUT: of the service, as guests ask for it */
	uint16_t guest_port;      /* DIRECTION_OUT: the port of LISTEN */
	bool proxy_protocol;      /* what is dialed gets a header first */
	struct fwd_target target; /* DIRECTION_OUT */
	bool door;                /* the door itself; or of one client who came through it, and then: */
	enum door_kind kind;
	struct door_token token;
	bool former;        /* its listener was the former run's: it has no share */
	size_t share_count; /* of the workers that accept; with UDP unused */
	struct endpoint_share shares[];
};

/* With one reference, the caller's. NULL only for lack of memory. */
struct fwd_endpoint *fwd_endpoint_new(size_t shares, const struct addr *listen, uint16_t guest_port,
				      bool proxy_protocol);

/* The same for a service at LISTEN, or for the socket that hears of all: then TARGET is NULL. */
struct fwd_endpoint *fwd_endpoint_new_out(size_t shares, const struct addr *listen, const struct fwd_target *target);

/* The same for the door itself, which is a unix socket. */
struct fwd_endpoint *fwd_endpoint_new_for_door(size_t shares);

/* The same for one client of the door, who wants PORT of a guest. */
struct fwd_endpoint *fwd_endpoint_new_door(enum door_kind kind, uint16_t port, const struct door_token *token);

/* How ENDPOINT reads: "127.0.0.1:8080"; of a client of the door "door:8080". Returns TEXT. Any thread. */
char *fwd_endpoint_format(const struct fwd_endpoint *endpoint, char text[static ADDR_TEXT_SIZE]);
char *fwd_endpoint_format_door(uint16_t port, char text[static ADDR_TEXT_SIZE]);

/* CLIENT; "unknown" where the family is 0. Returns TEXT. Any thread. */
char *fwd_endpoint_format_client(const struct addr *client, char text[static ADDR_TEXT_SIZE]);

/* Whether connections through ENDPOINT came through LISTENING, or through the former run's socket at that address. Any thread. */
bool fwd_endpoint_is(const struct fwd_endpoint *endpoint, const struct fwd_endpoint *listening);

/* Any thread. Returns ENDPOINT. */
struct fwd_endpoint *fwd_endpoint_reference(struct fwd_endpoint *endpoint);
void fwd_endpoint_release(struct fwd_endpoint *endpoint);

#endif
