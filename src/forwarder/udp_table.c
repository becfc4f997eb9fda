/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Anybody on the host can send from as many ports as there are, and each is a flow, with a descriptor. So an endpoint has a limited
 * number, and one address a part of it. A flow that the guest answered is worth more than one that it did not: only these make
 * room, from lists in the order of their age, so that a flood costs no search.
 */
#include "forwarder/udp_table.h"

#include "base/addr.h"
#include "base/container_of.h"
#include "forwarder/udp.h"

#include <stdlib.h>

/* A client's address. It is there as long as it has a flow. */
struct udp_client {
	struct flow_node node;
	struct addr addr;
	size_t flow_count;
	struct udp_flow_queue unanswered; /* oldest first */
};

void fwd_udp_table_init(struct udp_table *table, const struct flow_seed *seed)
{
	*table = (struct udp_table){ .seed = seed };
	LIST_INIT(&table->all);
	TAILQ_INIT(&table->unanswered);
}

void fwd_udp_table_clear(struct udp_table *table)
{
	fwd_flow_table_clear(&table->flows);
	fwd_flow_table_clear(&table->clients);
}

bool fwd_udp_ends_equal(const struct udp_ends *a, const struct udp_ends *b)
{
	return addr_equal(&a->client, &b->client) && addr_same_host(&a->local, &b->local);
}

/* Multiplied, so that no exchange of the two addresses has the same sum. */
static uint64_t fwd_udp_table_hash(const struct udp_table *table, const struct udp_ends *ends)
{
	uint64_t hash = fwd_flow_hash(table->seed, &ends->client, true);

	return ends->local.any.sa_family ? hash * 3 + fwd_flow_hash(table->seed, &ends->local, false) : hash;
}

struct udp_flow *fwd_udp_table_find(const struct udp_table *table, const struct udp_ends *ends)
{
	uint64_t hash = fwd_udp_table_hash(table, ends);

	for (struct flow_node *node = fwd_flow_table_first(&table->flows, hash); node; node = node->next) {
		struct udp_flow *flow = container_of(node, struct udp_flow, place.node);

		if (node->hash == hash && fwd_udp_ends_equal(&flow->ends, ends))
			return flow;
	}
	return NULL;
}

static struct udp_client *fwd_udp_table_find_client(const struct udp_table *table, const struct addr *from,
						    uint64_t hash)
{
	for (struct flow_node *node = fwd_flow_table_first(&table->clients, hash); node; node = node->next) {
		struct udp_client *client = container_of(node, struct udp_client, node);

		if (node->hash == hash && addr_same_host(&client->addr, from))
			return client;
	}
	return NULL;
}

bool fwd_udp_table_has_room(const struct udp_table *table, const struct addr *from, size_t most, size_t most_of_client,
			    struct udp_flow **oldest)
{
	const struct udp_client *client =
	    fwd_udp_table_find_client(table, from, fwd_flow_hash(table->seed, from, false));

	*oldest = NULL;
	if (client && client->flow_count >= most_of_client)
		*oldest = TAILQ_FIRST(&client->unanswered);
	else if (table->flows.count >= most)
		*oldest = TAILQ_FIRST(&table->unanswered);
	else
		return true;
	return false;
}

/* The client of FROM, made if need be. NULL for lack of memory. */
static struct udp_client *fwd_udp_table_make_client(struct udp_table *table, const struct addr *from)
{
	uint64_t hash = fwd_flow_hash(table->seed, from, false);
	struct udp_client *client = fwd_udp_table_find_client(table, from, hash);

	if (client)
		return client;
	client = calloc(1, sizeof(*client));
	if (!client || fwd_flow_table_add(&table->clients, &client->node, hash) < 0) {
		free(client);
		return NULL;
	}
	client->addr = *from;
	TAILQ_INIT(&client->unanswered);
	return client;
}

static void fwd_udp_table_drop_client(struct udp_table *table, struct udp_client *client)
{
	if (client->flow_count)
		return;
	fwd_flow_table_remove(&table->clients, &client->node);
	free(client);
}

int fwd_udp_table_add(struct udp_table *table, struct udp_flow *flow)
{
	struct udp_client *client = fwd_udp_table_make_client(table, &flow->ends.client);

	if (!client)
		return -1;
	if (fwd_flow_table_add(&table->flows, &flow->place.node, fwd_udp_table_hash(table, &flow->ends)) < 0) {
		fwd_udp_table_drop_client(table, client);
		return -1;
	}
	flow->place.client = client;
	flow->place.answered = false;
	client->flow_count++;
	LIST_INSERT_HEAD(&table->all, flow, place.of_table);
	TAILQ_INSERT_TAIL(&table->unanswered, flow, place.of_unanswered);
	TAILQ_INSERT_TAIL(&client->unanswered, flow, place.of_client);
	return 0;
}

void fwd_udp_table_answer(struct udp_table *table, struct udp_flow *flow)
{
	if (flow->place.answered)
		return;
	flow->place.answered = true;
	TAILQ_REMOVE(&table->unanswered, flow, place.of_unanswered);
	TAILQ_REMOVE(&flow->place.client->unanswered, flow, place.of_client);
}

void fwd_udp_table_remove(struct udp_table *table, struct udp_flow *flow)
{
	struct udp_client *client = flow->place.client;

	fwd_udp_table_answer(table, flow); /* it is no candidate any more */
	LIST_REMOVE(flow, place.of_table);
	fwd_flow_table_remove(&table->flows, &flow->place.node);
	client->flow_count--;
	fwd_udp_table_drop_client(table, client);
}
