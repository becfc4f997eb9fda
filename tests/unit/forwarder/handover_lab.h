/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FORWARDER_HANDOVER_LAB_H
#define WEFT_TESTS_UNIT_FORWARDER_HANDOVER_LAB_H

/*
 * Runs of a forwarder in this process, one after the other, with a guest on 127.0.0.1. The descriptors of a handover are copied, as
 * they are on their way through the service manager. Each byte of a flow follows from its place.
 */

#include "forwarder/forwarder.h"
#include "forwarder/handover.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOT = 7, LAB_DOWNS = 3 };

/* What a freeze gave, copied. */
struct kept {
	uint8_t *record;
	size_t size;
	int *fds;
	size_t count, connections;
	uint64_t bytes;
};

/* What the next run says of its route before the thaw. */
struct lab_route {
	unsigned slot;
	int netns_fd;
	bool up, paused;
	uint64_t paused_for_ms; /* in former runs; 0: this one pauses it */
	int64_t downs;
	struct limits limits;
};

struct handover_lab {
	struct event_base *base;
	struct config *config;
	struct forwarder *forwarder;
	struct fwd_route *route;
	struct fwd_listener *listener;
	struct lab_route state; /* of the route in the next run */
	int netns_fd;
	int listening, guest_listening; /* the client's way in; the guest's server */
	bool proxy_protocol, no_listener, known;
	const struct fwd_service *services; /* that the guest may ask for from SOURCE_IP; NULL: none */
	size_t service_count;
	uint32_t source_ip;
	int door; /* the door's socket, which listens, the test's own; 0: there is no door */
	struct kept kept;
	bool frozen, thawed;
	struct fwd_thaw_result result;
};

/* One client and its guest, seen from both ends. */
struct flow {
	int client, guest; /* -1: none, or not yet */
	size_t sent[2], got[2];
	unsigned salt;
};

enum { FROM_CLIENT, FROM_GUEST };

void lab_open(struct handover_lab *lab);
void lab_close(struct handover_lab *lab);

/* The same with services, which are heard of at port LAB_SERVICE_PORT. */
enum { LAB_SERVICE_PORT = 5382 };
void lab_open_with(struct handover_lab *lab, const struct fwd_service *services, size_t count, uint32_t source_ip);

/* The same with a door: FD is a unix socket that listens. */
void lab_open_with_door(struct handover_lab *lab, int fd);

/* Opens the listener, which is closed. */
void lab_listen(struct handover_lab *lab);

/* Runs the main loop once, for a millisecond at most. */
void lab_turn(struct handover_lab *lab);

/* The parts of a handover, and all of it. */
void lab_freeze(struct handover_lab *lab);
void lab_leave(struct handover_lab *lab); /* and ends the run */
void lab_start(struct handover_lab *lab); /* the next run, up to the reading of the record */
void lab_thaw(struct handover_lab *lab);
void lab_hand_over(struct handover_lab *lab);

/* Lets go of the copies, as when nobody came for them. */
void lab_drop_kept(struct handover_lab *lab);

/* How many have ended by REASON. */
uint64_t lab_ended(struct handover_lab *lab, enum fwd_close_reason reason);

/* What became of the connections at the last thaw. */
void lab_assert_taken(const struct handover_lab *lab, size_t taken, size_t lost);

/* Waits until one has. Who sees a connection end may see it before the worker has counted it. */
void lab_expect_end(struct handover_lab *lab, enum fwd_close_reason reason);

/* The only connection of the route, or the one at INDEX. */
struct fwd_connection_info lab_listed(struct handover_lab *lab, size_t index);
size_t lab_count(struct handover_lab *lab);
void lab_wait_for_state(struct handover_lab *lab, const char *state);

/* ---- Flows ---- */

/* A client that is connected; then its guest. */
void flow_connect(struct handover_lab *lab, struct flow *flow);
void flow_accept(struct handover_lab *lab, struct flow *flow);
void flow_open(struct handover_lab *lab, struct flow *flow);
void flow_close(struct flow *flow);

/* Sends up to SIZE bytes in pieces of PIECE, while the way is free: how many. */
size_t flow_send(struct flow *flow, int from, size_t size, size_t piece);

/* Sends until nothing has moved for a while: all buffers are full. */
void flow_fill(struct handover_lab *lab, struct flow *flow, int from, size_t piece);

/* Reads and compares what is there: 1; nothing came: 0; the end: -1. */
int flow_take(struct flow *flow, int from);

/* Reads until all that was sent has come. */
void flow_drain(struct handover_lab *lab, struct flow *flow, int from);

/* SIZE bytes go from one end to the other. */
void flow_pass(struct handover_lab *lab, struct flow *flow, int from, size_t size);

/* Waits for the end of what comes FROM there: in order, or by reset. */
void flow_expect_end(struct handover_lab *lab, struct flow *flow, int from);
void flow_expect_reset(struct handover_lab *lab, struct flow *flow, int from);

/* Bytes go both ways, and FLOW ends in order; and it is counted as that. */
void flow_expect_whole(struct handover_lab *lab, struct flow *flow);
void lab_expect_whole(struct handover_lab *lab, struct flow *flow);

#endif
