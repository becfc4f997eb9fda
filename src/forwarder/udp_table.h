/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_UDP_TABLE_H
#define WEFT_FORWARDER_UDP_TABLE_H

/* The flows of one UDP endpoint: found by its ends, counted by client's address, and given up oldest first. One thread. */

#include "base/addr.h"
#include "base/queue.h"
#include "forwarder/flow_table.h"

#include <stdbool.h>
#include <stddef.h>

struct udp_client;
struct udp_flow;

/*
 * The two ends of a flow outside. An endpoint on all addresses answers from the one that was asked, or its clients do not take the
 * answer; so a client that asks two of them has two flows.
 */
struct udp_ends {
	struct addr client;
	struct addr local; /* without a port; AF_UNSPEC: that of the endpoint's socket */
};

TAILQ_HEAD(udp_flow_queue, udp_flow);

struct udp_table {
	const struct flow_seed *seed;
	struct flow_table flows, clients;
	LIST_HEAD(, udp_flow) all;
	struct udp_flow_queue unanswered; /* oldest first */
};

/* A flow's part in the table. */
struct udp_place {
	struct flow_node node;
	LIST_ENTRY(udp_flow) of_table;
	struct udp_client *client;
	bool answered;
	TAILQ_ENTRY(udp_flow) of_unanswered, of_client; /* until it is answered */
};

/* SEED must outlive the table. */
void fwd_udp_table_init(struct udp_table *table, const struct flow_seed *seed);

/* Frees its memory, when no flow is left in it. */
void fwd_udp_table_clear(struct udp_table *table);

/* Whether both ends are the same. */
bool fwd_udp_ends_equal(const struct udp_ends *a, const struct udp_ends *b);

/* The flow between ENDS; NULL: none. */
struct udp_flow *fwd_udp_table_find(const struct udp_table *table, const struct udp_ends *ends);

/*
 * Whether one more flow of FROM keeps to the limits: MOST in the table, MOST_OF_CLIENT of one address, whatever its port.
 * Otherwise *OLDEST is the flow to give up for it: the oldest that never got an answer, of that address where its own limit is
 * reached. NULL: all were answered.
 */
bool fwd_udp_table_has_room(const struct udp_table *table, const struct addr *from, size_t most, size_t most_of_client,
			    struct udp_flow **oldest);

/* Adds FLOW, by its `ends`, as not answered. 0, or -1 for lack of memory. */
int fwd_udp_table_add(struct udp_table *table, struct udp_flow *flow);

/* FLOW got an answer. */
void fwd_udp_table_answer(struct udp_table *table, struct udp_flow *flow);

void fwd_udp_table_remove(struct udp_table *table, struct udp_flow *flow);

#endif
