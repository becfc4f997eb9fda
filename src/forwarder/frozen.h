/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_FROZEN_H
#define WEFT_FORWARDER_FROZEN_H

/*
 * A connection outside of any worker, on its way from one run of weftd to the next: all of it that must survive, without a pointer
 * to another object. freeze.c makes it of a living one, handover_record.h turns it into bytes and back, thaw_connection.c revives it.
 *
 * A connection's clock stands still from the freeze to the thaw, and while its route is paused, but it grows older all the time.
 */

#include "base/addr.h"
#include "base/queue.h"
#include "base/vec.h"
#include "config/limits.h"
#include "door/door_request.h"
#include "forwarder/dial_target.h"
#include "forwarder/forwarder.h"
#include "forwarder/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FROZEN_ID_MAX = 64, /* of a sandbox */
	FROZEN_REST_MAX = 1024 * 1024,
	FROZEN_PIPE_MAX = 64 * 1024 * 1024,
};

#define FROZEN_NEVER UINT64_MAX

/* The way on which a connection came. One that this version does not know has its number. */
enum frozen_kind {
	FROZEN_ENDPOINT = 1, /* to the guest */
	FROZEN_DOOR = 2,     /* to the guest, through the door */
	FROZEN_INSPECTED = 3,
	FROZEN_SERVICE = 4, /* from the guest, to a service of the host */
};

enum frozen_phase {
	FROZEN_HELD = 1, /* or dialing: it dials anew. The client's socket alone */
	FROZEN_OPEN = 2,
	FROZEN_LINGERING = 3, /* the socket to the guest alone */
};

struct frozen_peer {
	int fd;          /* -1: none */
	uint64_t cookie; /* of the socket, SO_COOKIE: no other socket has it until the host boots */
	bool special, ended;
};

struct frozen_stream {
	uint64_t bytes;
	char *rest; /* read and not sent; NULL: nothing */
	uint32_t rest_size;
	int pipe_read, pipe_write; /* -1: none, and then nothing is in it */
	uint64_t pipe_inode;
	uint32_t pipe_filled;
	bool bulk, bounded, finished;
};

struct frozen {
	enum frozen_kind kind;
	enum frozen_phase phase;
	uint64_t id;
	struct addr client, listen;
	struct fwd_target target; /* FROZEN_SERVICE */
	enum door_kind door_kind; /* FROZEN_DOOR, and the next */
	struct door_token door_token;
	uint16_t guest_port;
	bool proxy_protocol, leaving;
	uint16_t dials;
	int error;               /* errno of the last failure; 0: none */
	uint64_t age_us;         /* since it was accepted */
	uint64_t connect_ms;     /* from there to the server's answer. OPEN, LINGERING */
	uint64_t idle_ms;        /* since the last byte. OPEN */
	uint64_t half_closed_ms; /* since the first FIN; FROZEN_NEVER: none. OPEN */
	uint64_t settle_ms;      /* until keepalive is set; FROZEN_NEVER: it is. OPEN */
	uint64_t deadline_ms;    /* until it is given up. HELD, LINGERING */
	uint64_t refused_ms;     /* since the first refusal; FROZEN_NEVER: none. HELD */

	struct frozen_peer peers[2];     /* by enum which */
	struct frozen_stream streams[2]; /* by the peer they come from */
};

/* Connections of one route, and that route as they knew it. There may be several of one sandbox. */
struct frozen_route {
	STAILQ_ENTRY(frozen_route) next;
	char id[FROZEN_ID_MAX + 1]; /* "": clients of the default endpoint without a backend */
	unsigned slot;
	uint64_t netns_device, netns_inode; /* 0: it had no namespace */
	int64_t carrier_downs;              /* -1: unknown */
	bool paused;
	struct limits limits;
	uint64_t pace;
	size_t letters; /* of a thaw: so many have its connections, and one more that is being written */
	VEC_OF(struct frozen);
};

STAILQ_HEAD(frozen_list, frozen_route);

/* An empty one. NULL for lack of memory. */
struct frozen_route *fwd_frozen_route_new(void);

/* A connection of nothing, without descriptors. */
void fwd_frozen_init(struct frozen *frozen);

/* Which way it goes. */
enum fwd_direction fwd_frozen_direction(const struct frozen *frozen);

/* The address by which its client came: "door:8080". Returns TEXT. */
char *fwd_frozen_format_endpoint(const struct frozen *frozen, char text[static ADDR_TEXT_SIZE]);

/* Bytes that are under way in it. */
uint64_t fwd_frozen_bytes(const struct frozen *frozen);

/* Frees the memory of FROZEN, or of ROUTE and its connections; descriptors are not touched. */
void fwd_frozen_release(struct frozen *frozen);
void fwd_frozen_route_free(struct frozen_route *route);

/* How many descriptors it has. */
size_t fwd_frozen_fds(const struct frozen *frozen);

/* Resets both sides of FROZEN, closes its pipes and frees its memory. */
void fwd_frozen_reset(struct frozen *frozen);

#endif
