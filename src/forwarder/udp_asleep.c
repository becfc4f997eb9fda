/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A UDP endpoint of a guest that sleeps. The datagram that wakes it is only peeked at, and the endpoint is not polled any more. So the kernel
 * keeps this one and those behind it in the socket, up to its buffer, until the guest can take them. What was kept for a minute is of use to
 * nobody, and is dropped.
 *
 * A client that was heard shortly before the pause wakes nobody: its datagrams belong to a flow that is there, as on the kernel path.
 */
#include "forwarder/asking.h"
#include "forwarder/endpoint.h"
#include "forwarder/route_side.h"
#include "forwarder/udp.h"
#include "forwarder/udp_batch.h"
#include "forwarder/worker.h"

#include <sys/socket.h>

enum { DROPS_MAX = 256, SKIPS_MAX = 256 }; /* batches, and datagrams, in one iteration */

/* For PORT's first datagram, which is in the batch. */
static void fwd_udp_asleep_ask(struct udp_port *port)
{
	const struct udp_ends *ends = fwd_udp_batch_ends(port->worker->datagrams, 0);

	fwd_ask(port->side, &(struct fwd_asking){
				.proto = PROTO_UDP, .guest_port = port->endpoint->guest_port, .client = ends->client });
}

/* Whether the datagram in the batch wakes nobody: its flow is there already, or its source is ignored. */
static bool fwd_udp_asleep_passes_over(struct udp_port *port)
{
	const struct udp_ends *ends = fwd_udp_batch_ends(port->worker->datagrams, 0);
	uint64_t now_ms = port->worker->now_ms;
	struct udp_flow *flow = fwd_udp_table_find(&port->flows, ends);

	if (fwd_ask_ignores(port->side, &ends->client))
		return true;

	if (!flow || now_ms >= flow->heard_ms + UDP_FRESH_MS)
		return false;
	flow->heard_ms = now_ms;
	return true;
}

static void fwd_udp_asleep_keep(struct udp_port *port)
{
	fwd_udp_asleep_ask(port);
	port->keeps = true;
	fwd_poller_remove(port->worker->poller, port->fd);
	fwd_wheel_set(&port->worker->unheard, &port->unheard, port->worker->now_ms + UDP_KEPT_MS);
}

bool fwd_udp_asleep_takes(struct udp_port *port)
{
	struct udp_batch *batch = port->worker->datagrams;
	char byte;

	/* Until main waits for a client, a datagram is lost as ever. The sender's next one may wake the guest. */
	if (!port->side->state.wake_turn || !fwd_ask_counts(port->side, PROTO_UDP, port->endpoint->guest_port))
		return false;
	for (unsigned i = 0; i < SKIPS_MAX && fwd_udp_batch_look(batch, port->fd); i++) {
		if (!fwd_udp_asleep_passes_over(port)) {
			fwd_udp_asleep_keep(port);
			break;
		}
		(void)!recv(port->fd, &byte, sizeof(byte), MSG_DONTWAIT);
		fwd_tally_lose(port->side, 1);
	}
	return true;
}

bool fwd_udp_asleep_ends(struct udp_port *port, const struct route_state *before)
{
	const struct route_state *now = &port->side->state;

	if (!fwd_ask_counts(port->side, PROTO_UDP, port->endpoint->guest_port)) {
		/* Resumed: the VM may come only now. */
		if (now->paused || fwd_route_state_may_dial(now)) {
			port->keeps = false;
			fwd_wheel_cancel(&port->unheard);
			return true;
		}
	} else if (now->wake_turn != before->wake_turn && fwd_udp_batch_look(port->worker->datagrams, port->fd)) {
		fwd_udp_asleep_ask(port);
	}
	return false;
}

void fwd_udp_asleep_drop(struct udp_port *port)
{
	unsigned count = UDP_BATCH;

	for (unsigned i = 0; i < DROPS_MAX && count == UDP_BATCH; i++) {
		count = fwd_udp_batch_receive(port->worker->datagrams, port->fd);
		fwd_tally_lose(port->side, count);
	}
	port->keeps = false;
}
