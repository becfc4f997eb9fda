/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP endpoints. Datagrams are taken and sent many at a time: those of one wake-up that follow each other to the same guest
 * socket leave in one system call. Datagrams that come while the guest may not be dialed are dropped, as by a network, but for those to
 * wake it for (udp_asleep.c).
 *
 * An endpoint for whose event there is no memory is tried again after 1, 2, 4 ... 30 s; its socket is open meanwhile, and the kernel
 * keeps what fits into its buffer.
 */
#include "forwarder/udp.h"

#include "base/backoff.h"
#include "base/container_of.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/udp_batch.h"
#include "forwarder/udp_socket.h"
#include "forwarder/worker.h"

#include <stdlib.h>
#include <unistd.h>

/* Groups the datagrams of clients into runs of one flow each. */
static void fwd_udp_pass_to_guest(struct udp_port *port, struct udp_batch *batch, unsigned count)
{
	unsigned first = 0;

	while (first < count) {
		struct udp_ends ends = *fwd_udp_batch_ends(batch, first);
		struct udp_flow *flow = fwd_udp_flow_of(port, &ends);
		unsigned end = first;

		while (end < count && fwd_udp_ends_equal(fwd_udp_batch_ends(batch, end), &ends))
			fwd_udp_batch_address(batch, end++, NULL);
		unsigned lost = end - first;
		if (flow) {
			flow->heard_ms = port->worker->now_ms;
			fwd_udp_flow_count(flow, fwd_udp_batch_send(batch, first, end, flow->fd, &lost), 0);
		}
		fwd_tally_lose(port->side, lost);
		first = end;
	}
}

static void fwd_udp_on_readable(struct poll_source *source, uint32_t events)
{
	struct udp_port *port = container_of(source, struct udp_port, readable);
	struct udp_batch *batch = port->worker->datagrams;

	(void)events;
	if (fwd_udp_asleep_takes(port))
		return;
	for (unsigned i = 0; i < UDP_BATCHES; i++) {
		unsigned count = fwd_udp_batch_receive(batch, port->fd);

		if (count && fwd_route_state_may_dial(&port->side->state))
			fwd_udp_pass_to_guest(port, batch, count);
		else
			fwd_tally_lose(port->side, count);
		if (count < UDP_BATCH)
			break;
	}
	fwd_tally_lose(port->side, fwd_udp_socket_drops(port->fd, &port->drops));
}

/* ---- Start and end ---- */

static void fwd_udp_hear(struct udp_port *port)
{
	struct worker *worker = port->worker;
	char listen[ADDR_TEXT_SIZE];
	bool tried = port->pause_ms != 0;

	if (!worker->datagrams)
		worker->datagrams = fwd_udp_batch_new();
	if (worker->datagrams && fwd_poller_add_readable(worker->poller, port->fd, &port->readable) == 0) {
		port->pause_ms = 0;
		if (tried)
			log_info("a UDP endpoint is heard now", F_SIDE(port->side),
				 F_STR("endpoint", addr_format(&port->endpoint->listen, listen)));
		return;
	}
	if (!tried)
		log_error("a UDP endpoint is not heard: no memory for its event; trying again", F_SIDE(port->side),
			  F_STR("endpoint", addr_format(&port->endpoint->listen, listen)));
	port->pause_ms = base_backoff_next(port->pause_ms, UDP_PAUSE_MIN_MS, UDP_PAUSE_MAX_MS);
	fwd_wheel_set(&worker->unheard, &port->unheard, worker->now_ms + port->pause_ms);
}

void fwd_udp_unheard_expired(struct wheel_entry *entry)
{
	struct udp_port *port = container_of(entry, struct udp_port, unheard);

	if (port->keeps)
		fwd_udp_asleep_drop(port);
	fwd_udp_hear(port);
}

static void fwd_udp_on_opening(struct mail *mail)
{
	struct udp_port *port = container_of(mail, struct udp_port, opening);

	fwd_route_side_know(port->side);
	port->side->count++;
	LIST_INSERT_HEAD(&port->side->udp_ports, port, link);
	port->readable.happened = fwd_udp_on_readable;
	fwd_udp_hear(port);
}

static void fwd_udp_close_flows(struct udp_port *port, enum fwd_close_reason reason)
{
	while (!LIST_EMPTY(&port->flows.all))
		fwd_udp_flow_close(LIST_FIRST(&port->flows.all), reason);
}

/* Main thread. */
static void fwd_udp_on_closed(struct mail *mail)
{
	struct udp_port *port = container_of(mail, struct udp_port, closed);
	struct forwarder *forwarder = port->forwarder;

	free(port);
	if (--forwarder->closing.count == 0 && forwarder->closing.done && !forwarder->stopping)
		forwarder->closing.done(forwarder->closing.context);
}

static void fwd_udp_on_closing(struct mail *mail)
{
	struct udp_port *port = container_of(mail, struct udp_port, closing);
	struct route_side *side = port->side;

	fwd_udp_close_flows(port, port->worker->forwarder->stopping ? CLOSE_SHUTDOWN : CLOSE_UNREGISTERED);
	fwd_tally_lose(side, fwd_udp_socket_drops(port->fd, &port->drops));
	fwd_wheel_cancel(&port->unheard);
	close(port->fd);
	fwd_poller_forget(port->worker->poller, &port->readable);
	LIST_REMOVE(port, link);
	fwd_endpoint_release(port->endpoint);
	fwd_udp_table_clear(&port->flows);
	base_mailbox_post(port->forwarder->mailbox, &port->closed);
	side->count--;
	fwd_route_side_check_empty(side);
}

void fwd_udp_side_follow(struct route_side *side, const struct route_state *before)
{
	struct udp_port *port;

	LIST_FOREACH(port, &side->udp_ports, link)
	{
		if (port->keeps && fwd_udp_asleep_ends(port, before))
			fwd_udp_hear(port);
	}
}

void fwd_udp_side_reset(struct route_side *side, enum fwd_close_reason reason)
{
	struct udp_port *port;

	LIST_FOREACH(port, &side->udp_ports, link)
	fwd_udp_close_flows(port, reason);
}

struct udp_port *fwd_udp_port_new(struct fwd_route *route, struct fwd_endpoint *endpoint, int fd)
{
	struct worker *worker = fwd_pick_worker(route->forwarder);
	struct udp_port *port = calloc(1, sizeof(*port));
	struct route_side *side = fwd_route_side_at(route, worker->index);

	if (!port || !side) {
		free(port);
		return NULL;
	}
	port->forwarder = route->forwarder;
	port->worker = worker;
	port->side = side;
	port->endpoint = fwd_endpoint_reference(endpoint);
	port->fd = fd;
	fwd_udp_socket_prepare(fd, &endpoint->listen);
	(void)fwd_udp_socket_drops(fd, &port->drops); /* a former run has counted these */
	fwd_udp_table_init(&port->flows, &route->forwarder->seed);
	port->opening.deliver = fwd_udp_on_opening;
	port->closing.deliver = fwd_udp_on_closing;
	port->closed.deliver = fwd_udp_on_closed;
	base_mailbox_post(worker->mailbox, &port->opening);
	return port;
}

void fwd_udp_port_close(struct udp_port *port)
{
	port->forwarder->closing.count++;
	base_mailbox_post(port->worker->mailbox, &port->closing);
}
