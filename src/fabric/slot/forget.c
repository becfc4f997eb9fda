/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever woke a sandbox may be connected already: its VM runs before weftd is told. No guest of before knows of such a flow, so it is not
 * one that a reset means. The namespace has marked it. The host's part of a flow has the same addresses, where it was not translated
 * yet, or is no more.
 *
 * Mostly there is none. Then all are forgotten at once, without being listed.
 */
#include "fabric/slot/forget.h"

#include "base/err.h"
#include "base/vec.h"
#include "kernel/conntrack.h"
#include "kernel/sock_kill.h"
#include "kernel/sock_list.h"

#include <errno.h>
#include <netinet/in.h>

struct slot_begun {
	uint32_t host_ip, sleep;
	bool broken; /* no memory */
	struct begun_list {
		VEC_OF(struct kern_conntrack_way);
	} ways; /* of packets from the sandbox, on the host */
};

static struct kern_conntrack_way slot_forget_turned(const struct kern_conntrack_way *way)
{
	return (struct kern_conntrack_way){ .source = way->destination,
					    .destination = way->source,
					    .protocol = way->protocol,
					    .port = way->source_port,
					    .source_port = way->port };
}

/* The way of the sandbox's packets of a flow that its namespace tracks. A guest's own flow is known there by another address. */
static struct kern_conntrack_way slot_forget_way(const struct slot_begun *begun,
						 const struct kern_conntrack_flow *inside)
{
	return slot_forget_turned(inside->original.destination == begun->host_ip ? &inside->original : &inside->reply);
}

static enum kern_conntrack_care slot_forget_note(const struct kern_conntrack_flow *flow, void *context)
{
	struct slot_begun *begun = context;
	struct kern_conntrack_way *way = flow->mark == begun->sleep ? vec_push(&begun->ways) : NULL;

	if (way)
		*way = slot_forget_way(begun, flow);
	begun->broken |= flow->mark == begun->sleep && !way;
	return KERN_CONNTRACK_KEEP;
}

static enum kern_conntrack_care slot_forget_judge_inside(const struct kern_conntrack_flow *flow, void *context)
{
	const struct slot_begun *begun = context;

	return flow->mark == begun->sleep ? KERN_CONNTRACK_KEEP : KERN_CONNTRACK_FORGET;
}

static bool slot_forget_same_way(const struct kern_conntrack_way *a, const struct kern_conntrack_way *b)
{
	return a->source == b->source && a->destination == b->destination && a->protocol == b->protocol &&
	       a->port == b->port && a->source_port == b->source_port;
}

static bool slot_forget_is_begun(const struct slot_begun *begun, const struct kern_conntrack_way *way)
{
	for (size_t i = 0; i < begun->ways.count; i++)
		if (slot_forget_same_way(&begun->ways.items[i], way))
			return true;
	return false;
}

static enum kern_conntrack_care slot_forget_judge_outside(const struct kern_conntrack_flow *flow, void *context)
{
	const struct slot_begun *begun = context;
	const struct kern_conntrack_way *own = flow->original.source == begun->host_ip ? &flow->original : &flow->reply;

	if (own->source != begun->host_ip && flow->original.destination != begun->host_ip)
		return KERN_CONNTRACK_KEEP;
	return slot_forget_is_begun(begun, own) ? KERN_CONNTRACK_KEEP : KERN_CONNTRACK_FORGET;
}

static bool slot_forget_spares(const void *context, const struct kern_sock *sock)
{
	const struct kern_conntrack_way way = { .source = sock->dest_ip,
						.destination = ntohl(sock->local.in.sin_addr.s_addr),
						.protocol = IPPROTO_TCP,
						.port = addr_port(&sock->local),
						.source_port = sock->dest_port };

	return slot_forget_is_begun(context, &way);
}

static int slot_forget_find_begun(struct slot_begun *begun, int netns_fd, struct err *err)
{
	if (begun->sleep && kern_conntrack_review(netns_fd, slot_forget_note, begun, err) < 0)
		return -1;
	return begun->broken ? err_set(err, ENOMEM, "flows that go on") : 0;
}

static int slot_forget_but(struct slot_begun *begun, int netns_fd, struct err *err)
{
	const struct kern_sock_filter clients = { .dest_ips = &begun->host_ip,
						  .dest_count = 1,
						  .connected_only = true,
						  .spare = slot_forget_spares,
						  .spare_context = begun };

	if (kern_sock_kill_to(&clients, NULL, err) < 0)
		return -1;
	if (!begun->ways.count)
		return kern_conntrack_flush(netns_fd, err) < 0 ? -1 : kern_conntrack_flush_host(begun->host_ip, err);
	if (kern_conntrack_review(netns_fd, slot_forget_judge_inside, begun, err) < 0)
		return -1;
	return kern_conntrack_review(-1, slot_forget_judge_outside, begun, err);
}

int slot_forget_flows(int netns_fd, uint32_t host_ip, uint32_t sleep, struct err *err)
{
	struct slot_begun begun = { .host_ip = host_ip, .sleep = sleep };
	int status = slot_forget_find_begun(&begun, netns_fd, err);

	if (status == 0)
		status = slot_forget_but(&begun, netns_fd, err);
	vec_free(&begun.ways);
	return status;
}
