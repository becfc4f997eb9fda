/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a UDP flow. The first datagram of a client makes it: a socket inside the sandbox's namespace, connected to the
 * guest, so that the guest's answers come back to it and to no other. Silence ends it; that is a flow's normal end.
 */
#include "base/addr.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/log.h"
#include "base/netns.h"
#include "forwarder/admission.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/udp.h"
#include "forwarder/udp_batch.h"
#include "forwarder/udp_socket.h"
#include "forwarder/worker.h"

#include <stdlib.h>
#include <unistd.h>

/* For one new flow: where a reload lowered a limit, the flows come down to it by and by. */
enum { EVICTIONS_MAX = 2 };

static uint64_t fwd_udp_flow_idle_ms(const struct udp_flow *flow)
{
	unsigned limit = flow->port->side->state.limits.idle_ms;

	return limit ? limit : UDP_IDLE_MS;
}

void fwd_udp_flow_count(struct udp_flow *flow, uint64_t to_guest, uint64_t from_guest)
{
	flow->to_guest += to_guest;
	flow->from_guest += from_guest;
	flow->active_ms = flow->port->worker->now_ms;
	fwd_tally_pass(flow->port->side, to_guest, from_guest);
}

static void fwd_udp_flow_pass_to_client(struct udp_flow *flow, struct udp_batch *batch, unsigned count)
{
	unsigned lost;

	fwd_answered_note(flow->port->side, flow->port->endpoint, PROTO_UDP);
	fwd_udp_table_answer(&flow->port->flows, flow);
	fwd_udp_flow_count(flow, 0, fwd_udp_batch_send(batch, 0, count, flow->port->fd, &lost));
	fwd_tally_lose(flow->port->side, lost);
}

/* The guest's datagrams go to the flow's client. */
static void fwd_udp_flow_on_readable(struct poll_source *source, uint32_t events)
{
	struct udp_flow *flow = container_of(source, struct udp_flow, readable);
	struct udp_batch *batch = flow->port->worker->datagrams;

	(void)events;
	for (unsigned i = 0; i < UDP_BATCHES; i++) {
		unsigned count = fwd_udp_batch_receive(batch, flow->fd);

		for (unsigned j = 0; j < count; j++)
			fwd_udp_batch_address(batch, j, &flow->ends);
		if (count)
			fwd_udp_flow_pass_to_client(flow, batch, count);
		if (count < UDP_BATCH)
			break;
	}
	fwd_tally_lose(flow->port->side, fwd_udp_socket_drops(flow->fd, &flow->drops));
}

/* ---- Making ---- */

static int fwd_udp_flow_dial(struct udp_flow *flow)
{
	struct route_side *side = flow->port->side;
	struct addr guest = fwd_guest(side->route, flow->port->endpoint->guest_port);
	struct err err;

	flow->fd = base_netns_socket(side->state.netns_fd, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, &err);
	if (flow->fd < 0)
		return -1;
	fwd_udp_socket_prepare(flow->fd, NULL);
	if (connect(flow->fd, &guest.any, addr_length(&guest)) < 0)
		return -1;
	flow->readable.happened = fwd_udp_flow_on_readable;
	return fwd_poller_add_readable(flow->port->worker->poller, flow->fd, &flow->readable);
}

/* It was admitted. */
static struct udp_flow *fwd_udp_flow_make(struct udp_port *port, const struct udp_ends *ends)
{
	struct worker *worker = port->worker;
	struct udp_flow *flow = calloc(1, sizeof(*flow));

	if (!flow)
		return NULL;
	flow->port = port;
	flow->ends = *ends;
	if (fwd_udp_flow_dial(flow) < 0 || fwd_udp_table_add(&port->flows, flow) < 0) {
		if (flow->fd >= 0)
			close(flow->fd);
		free(flow);
		return NULL;
	}
	flow->id = fwd_connection_next_id();
	flow->started_ms = flow->active_ms = worker->now_ms;
	fwd_wheel_set(&worker->flows, &flow->timer, worker->now_ms + fwd_udp_flow_idle_ms(flow));
	port->side->count++;
	fwd_tally_flow_begin(port->side);
	return flow;
}

/* Whether the endpoint has room for a flow of FROM, after it gave up others. */
static bool fwd_udp_flow_make_room(struct udp_port *port, const struct addr *from)
{
	const struct route_state *state = &port->side->state;
	struct udp_flow *oldest;

	for (int i = 0; i < EVICTIONS_MAX; i++) {
		if (fwd_udp_table_has_room(&port->flows, from, state->udp_flows, state->udp_flows_per_client, &oldest))
			return true;
		if (!oldest)
			return false;
		fwd_udp_flow_close(oldest, CLOSE_LIMIT);
	}
	return true;
}

/* Counts and logs a flow that was not admitted. */
static void fwd_udp_flow_refuse(const struct udp_port *port, const struct addr *from)
{
	struct worker *worker = port->worker;
	char listen[ADDR_TEXT_SIZE], client[ADDR_TEXT_SIZE];

	fwd_tally_refuse(worker->forwarder);
	if (log_limit_allows(&fwd_admission_lines, LOG_INFO_LEVEL, "flow ended", port->side->route->id))
		log_info("flow ended", F_SIDE(port->side), F_STR("proto", "udp"),
			 F_STR("endpoint", addr_format(&port->endpoint->listen, listen)),
			 F_STR("client", addr_format(from, client)),
			 F_STR("reason", fwd_close_reason_name(CLOSE_LIMIT)));
}

struct udp_flow *fwd_udp_flow_of(struct udp_port *port, const struct udp_ends *ends)
{
	struct udp_flow *flow = fwd_udp_table_find(&port->flows, ends);
	struct fwd_route *route = port->side->route;

	if (flow)
		return flow;
	if (!fwd_udp_flow_make_room(port, &ends->client) ||
	    !fwd_admission_take(route, &port->side->state, DIRECTION_IN, SHARE_FLOW)) {
		fwd_udp_flow_refuse(port, &ends->client);
		return NULL;
	}
	flow = fwd_udp_flow_make(port, ends);
	if (!flow)
		fwd_tally_withdraw(route, DIRECTION_IN);
	return flow;
}

static void fwd_udp_flow_write_line(const struct udp_flow *flow, enum fwd_close_reason reason)
{
	enum log_level level = reason == CLOSE_IDLE ? LOG_DEBUG_LEVEL : LOG_INFO_LEVEL;
	char listen[ADDR_TEXT_SIZE], client[ADDR_TEXT_SIZE];
	struct worker *worker = flow->port->worker;

	if (!log_enabled(level))
		return;
	/* A flood gives up thousands. */
	if (level != LOG_DEBUG_LEVEL && !log_limit_allows(reason == CLOSE_LIMIT ? &fwd_admission_lines : &fwd_end_lines,
							  level, "flow ended", flow->port->side->route->id))
		return;
	log_at(level, "flow ended", F_SIDE(flow->port->side), F_STR("proto", "udp"),
	       F_STR("endpoint", addr_format(&flow->port->endpoint->listen, listen)),
	       F_STR("client", addr_format(&flow->ends.client, client)), F_STR("reason", fwd_close_reason_name(reason)),
	       F_UINT("to_guest", flow->to_guest), F_UINT("from_guest", flow->from_guest),
	       F_UINT("duration_ms", worker->now_ms - flow->started_ms));
}

void fwd_udp_flow_close(struct udp_flow *flow, enum fwd_close_reason reason)
{
	struct udp_port *port = flow->port;
	struct worker *worker = port->worker;
	struct route_side *side = port->side;

	fwd_udp_flow_write_line(flow, reason);
	fwd_tally_lose(side, fwd_udp_socket_drops(flow->fd, &flow->drops));
	fwd_wheel_cancel(&flow->timer);
	close(flow->fd);
	fwd_poller_forget(worker->poller, &flow->readable);
	fwd_udp_table_remove(&port->flows, flow);
	free(flow);
	side->count--;
	fwd_tally_flow_end(side, reason);
	fwd_route_side_check_empty(side);
}

/* Datagrams touch no timer: whether the silence was long enough is seen when it expires. */
void fwd_udp_flow_expired(struct wheel_entry *entry)
{
	struct udp_flow *flow = container_of(entry, struct udp_flow, timer);
	struct worker *worker = flow->port->worker;

	if (flow->port->side->state.paused)
		flow->active_ms = worker->now_ms;
	if (worker->now_ms >= flow->active_ms + fwd_udp_flow_idle_ms(flow))
		fwd_udp_flow_close(flow, CLOSE_IDLE);
	else
		fwd_wheel_set(&worker->flows, &flow->timer, flow->active_ms + fwd_udp_flow_idle_ms(flow));
}
