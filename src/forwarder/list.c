/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message asks each worker that has a share of the route, and comes back with the worker's connections: no thread ever looks at
 * another's. Messages stay in order, so the route cannot end before they have passed.
 */
#include "base/container_of.h"
#include "base/loop.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/udp.h"
#include "forwarder/worker.h"

#include <stdlib.h>

struct listing {
	struct mail mail;
	struct forwarder *forwarder;
	size_t count, room;
	struct fwd_connection_info *infos;
	void (*listed)(void *context, const struct fwd_connection_info *info, size_t count);
	void *context;
	size_t waiting; /* parts that are out; main */
	bool no_memory; /* for all of it */
};

/* One worker's connections, on the way there and back. */
struct part {
	struct mail mail;
	struct listing *listing;
	struct route_side *side;
	size_t limit, count;
	struct fwd_connection_info infos[];
};

static const char *fwd_listing_state_name(const struct connection *connection)
{
	if (connection->side->state.paused)
		return "paused";
	return connection->half_closed_ms ? "half-closed" : connection->state->name;
}

static void fwd_listing_describe(const struct connection *connection, struct fwd_connection_info *info)
{
	*info = (struct fwd_connection_info){
		.id = connection->id,
		.direction = connection->direction,
		.state = fwd_listing_state_name(connection),
		.bytes_to_guest = fwd_connection_bytes_to_guest(connection),
		.bytes_from_guest = fwd_connection_bytes_from_guest(connection),
		.age_ms = fwd_connection_age_ms(connection),
		.connect_ms = fwd_connection_connect_ms(connection),
	};
	fwd_endpoint_format(connection->endpoint, info->endpoint);
	fwd_endpoint_format_client(&connection->client, info->client);
}

static void fwd_listing_describe_flow(const struct udp_flow *flow, struct fwd_connection_info *info)
{
	*info = (struct fwd_connection_info){
		.id = flow->id,
		.state = flow->port->side->state.paused ? "paused" : "open",
		.bytes_to_guest = flow->to_guest,
		.bytes_from_guest = flow->from_guest,
		.age_ms = flow->port->worker->now_ms - flow->started_ms,
	};
	addr_format(&flow->port->endpoint->listen, info->endpoint);
	addr_format(&flow->ends.client, info->client);
}

static void fwd_listing_describe_flows(struct part *part)
{
	const struct udp_port *port;
	const struct udp_flow *flow;

	LIST_FOREACH(port, &part->side->udp_ports, link)
	{
		LIST_FOREACH(flow, &port->flows.all, place.of_table)
		{
			if (part->count < part->limit)
				fwd_listing_describe_flow(flow, &part->infos[part->count++]);
		}
	}
}

static void fwd_listing_finish(struct listing *listing)
{
	if (listing->no_memory)
		listing->listed(listing->context, NULL, 0);
	else
		listing->listed(listing->context, listing->infos, listing->count);
	free(listing->infos);
	free(listing);
}

/* Main thread. */
static void fwd_listing_on_answer(struct mail *mail)
{
	struct part *part = container_of(mail, struct part, mail);
	struct listing *listing = part->listing;

	for (size_t i = 0; i < part->count && listing->count < listing->room; i++)
		listing->infos[listing->count++] = part->infos[i];
	free(part);
	if (--listing->waiting == 0)
		fwd_listing_finish(listing);
}

/* Worker's thread. */
static void fwd_listing_on_question(struct mail *mail)
{
	struct part *part = container_of(mail, struct part, mail);
	struct connection *connection;

	LIST_FOREACH(connection, &part->side->connections, of_side)
	{
		if (part->count == part->limit)
			break;
		fwd_listing_describe(connection, &part->infos[part->count++]);
	}
	fwd_listing_describe_flows(part);
	mail->deliver = fwd_listing_on_answer;
	base_mailbox_post(part->listing->forwarder->mailbox, mail);
}

static void fwd_listing_on_nothing(struct mail *mail)
{
	fwd_listing_finish(container_of(mail, struct listing, mail));
}

static void fwd_listing_ask(struct listing *listing, struct route_side *side, size_t limit)
{
	struct part *part = calloc(1, sizeof(*part) + limit * sizeof(part->infos[0]));

	if (!part) {
		listing->no_memory = true;
		return;
	}
	part->mail.deliver = fwd_listing_on_question;
	part->listing = listing;
	part->side = side;
	part->limit = limit;
	listing->waiting++;
	base_mailbox_post(side->worker->mailbox, &part->mail);
}

void fwd_route_list(struct fwd_route *route, size_t limit,
		    void (*listed)(void *context, const struct fwd_connection_info *info, size_t count), void *context)
{
	struct forwarder *forwarder = route->forwarder;
	size_t open = fwd_tally_route_connections(route);
	struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing) {
		listed(context, NULL, 0);
		return;
	}
	*listing = (struct listing){ .forwarder = forwarder, .listed = listed, .context = context };
	listing->room = open < limit ? open : limit;
	listing->infos = calloc(listing->room ? listing->room : 1, sizeof(listing->infos[0]));
	listing->no_memory = !listing->infos;
	/* After the barriers no message may be sent. */
	for (size_t i = 0; listing->infos && listing->room && !route->barriers_out && i < forwarder->worker_count;
	     i++) {
		if (route->sides[i])
			fwd_listing_ask(listing, route->sides[i], listing->room);
	}
	if (!listing->waiting) {
		listing->mail.deliver = fwd_listing_on_nothing;
		base_mailbox_post(forwarder->mailbox, &listing->mail);
	}
}
