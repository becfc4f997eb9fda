/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP endpoints. Datagrams are taken and sent many at a time: those of one wake-up that follow each other to the same guest socket
 * leave in one system call. What comes while the guest may not be dialed is dropped, as a network would.
 */
#include "forwarder/udp.h"

#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BATCH = 16,           /* datagrams in one system call */
	BATCHES = 16,         /* of one socket in one wake-up */
	DATAGRAM = 64 * 1024, /* the largest, with room */
};

/* Room for one batch: of a worker, made before its first UDP endpoint is heard. */
struct udp_batch {
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	struct addr from[BATCH];
	char data[BATCH][DATAGRAM];
};

static struct udp_batch *batch_of(struct worker *worker)
{
	if (!worker->datagrams)
		worker->datagrams = malloc(sizeof(*worker->datagrams));
	return worker->datagrams;
}

/* Receives up to a batch. Returns how many; 0 for none. */
static unsigned receive(struct udp_batch *batch, int fd)
{
	int count;

	for (size_t i = 0; i < BATCH; i++) {
		batch->parts[i] = (struct iovec){ .iov_base = batch->data[i], .iov_len = DATAGRAM };
		batch->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->parts[i],
							      .msg_iovlen = 1,
							      .msg_name = &batch->from[i],
							      .msg_namelen = sizeof(batch->from[i]) };
	}
	/* An error is one that an earlier datagram met (ECONNREFUSED): told once, and of no use to anybody here. */
	count = recvmmsg(fd, batch->messages, BATCH, MSG_DONTWAIT, NULL);
	return count > 0 ? (unsigned)count : 0;
}

/*
 * Sends messages FIRST up to END by FD. What the socket does not take is dropped. Returns the bytes sent.
 */
static uint64_t send_run(struct udp_batch *batch, unsigned first, unsigned end, int fd)
{
	uint64_t bytes = 0;

	while (first < end) {
		int sent = sendmmsg(fd, &batch->messages[first], end - first, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent <= 0) {
			first++; /* this one is lost */
			continue;
		}
		for (unsigned last = first + (unsigned)sent; first < last; first++)
			bytes += batch->messages[first].msg_len;
	}
	return bytes;
}

static void prepare(struct udp_batch *batch, unsigned index, struct addr *to)
{
	batch->parts[index].iov_len = batch->messages[index].msg_len;
	batch->messages[index].msg_hdr.msg_name = to;
	batch->messages[index].msg_hdr.msg_namelen = to ? addr_length(to) : 0;
}

static void count_bytes(struct udp_flow *flow, uint64_t to_guest, uint64_t from_guest)
{
	struct worker *worker = flow->port->worker;
	struct route_side *side = flow->port->side;

	flow->to_guest += to_guest;
	flow->from_guest += from_guest;
	flow->active_ms = worker->now_ms;
	count_add(&side->bytes_to_guest, to_guest);
	count_add(&side->bytes_from_guest, from_guest);
	count_add(&worker->stats.bytes_to_guest, to_guest);
	count_add(&worker->stats.bytes_from_guest, from_guest);
	atomic_store_explicit(&side->active_ms, worker->now_ms, memory_order_relaxed);
}

/* ---- Both directions ---- */

/* Groups what clients sent into runs of one flow each. */
static void pass_to_guest(struct udp_port *port, struct udp_batch *batch, unsigned count)
{
	unsigned first = 0;

	while (first < count) {
		struct addr client = batch->from[first];
		struct udp_flow *flow = udp_flow_of(port, &client);
		unsigned end = first;

		while (end < count && addr_equal(&batch->from[end], &client))
			prepare(batch, end++, NULL);
		if (flow)
			count_bytes(flow, send_run(batch, first, end, flow->fd), 0);
		first = end;
	}
}

static void on_readable(struct poll_source *source, uint32_t events)
{
	struct udp_port *port = (struct udp_port *)((char *)source - offsetof(struct udp_port, readable));
	struct udp_batch *batch = port->worker->datagrams;

	(void)events;
	for (unsigned i = 0; i < BATCHES; i++) {
		unsigned count = receive(batch, port->fd);

		if (count && route_may_dial(&port->side->state))
			pass_to_guest(port, batch, count);
		if (count < BATCH)
			break;
	}
}

void udp_flow_readable(struct udp_flow *flow)
{
	struct udp_batch *batch = flow->port->worker->datagrams;

	for (unsigned i = 0; i < BATCHES; i++) {
		unsigned count = receive(batch, flow->fd);

		for (unsigned j = 0; j < count; j++)
			prepare(batch, j, &flow->client);
		if (count)
			count_bytes(flow, 0, send_run(batch, 0, count, flow->port->fd));
		if (count < BATCH)
			break;
	}
}

/* ---- Start and end ---- */

static void deliver_opening(struct mail *mail)
{
	struct udp_port *port = (struct udp_port *)((char *)mail - offsetof(struct udp_port, opening));
	struct worker *worker = port->worker;

	route_side_know(port->side);
	port->side->count++;
	LIST_INSERT_HEAD(&port->side->udp_ports, port, link);
	port->readable.happened = on_readable;
	if (!batch_of(worker) || poller_add_readable(worker->poller, port->fd, &port->readable) < 0)
		log_error("a UDP endpoint hears nothing: no memory for its event",
			  F_STR("sandbox", port->side->route->id));
}

static void close_flows(struct udp_port *port, enum close_reason reason)
{
	for (size_t i = 0; i < UDP_BUCKETS; i++) {
		while (!LIST_EMPTY(&port->flows[i]))
			udp_flow_close(LIST_FIRST(&port->flows[i]), reason);
	}
}

static void deliver_closing(struct mail *mail)
{
	struct udp_port *port = (struct udp_port *)((char *)mail - offsetof(struct udp_port, closing));
	struct route_side *side = port->side;

	close_flows(port, port->worker->forwarder->stopping ? CLOSE_SHUTDOWN : CLOSE_UNREGISTERED);
	close(port->fd);
	poller_forget(port->worker->poller, &port->readable);
	LIST_REMOVE(port, link);
	endpoint_release(port->endpoint);
	free(port);
	side->count--;
	route_side_check_empty(side);
}

void udp_side_reset(struct route_side *side, enum close_reason reason)
{
	struct udp_port *port;

	LIST_FOREACH(port, &side->udp_ports, link)
	close_flows(port, reason);
}

struct udp_port *udp_port_new(struct fwd_route *route, struct fwd_endpoint *endpoint, int fd)
{
	struct worker *worker = forwarder_pick_worker(route->forwarder);
	struct udp_port *port = calloc(1, sizeof(*port));
	struct route_side *side = route_side_at(route, worker->index);

	if (!port || !side) {
		free(port);
		return NULL;
	}
	port->worker = worker;
	port->side = side;
	port->endpoint = endpoint_reference(endpoint);
	port->fd = fd;
	port->opening.deliver = deliver_opening;
	port->closing.deliver = deliver_closing;
	mailbox_post(worker->mailbox, &port->opening);
	return port;
}

void udp_port_close(struct udp_port *port)
{
	mailbox_post(port->worker->mailbox, &port->closing);
}
