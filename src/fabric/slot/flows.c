/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel decides on the translation of a flow at its first packet, and never again. A flow whose first packet came while a table was
 * missing, or was being made, is tracked without translation: all that its client sends again meets that entry and gets nowhere, and so
 * does a new connection from the same port, for two minutes. Without the entry the next packet is a first one again.
 *
 * A flow that was translated goes on by its entry. But without any table the kernel tracks nothing, and what it then learns of the flow's
 * sequence numbers from one packet may be older than what the other end has acknowledged already: each acknowledgement would be
 * invalid, none be translated, and the flow stand still for ever. So the numbers of such flows do not count any more.
 *
 * Inside, a flow to the slot's host address, or from the guest to the outside, is always translated. On the host that is known only of
 * flows that nobody has answered, since a sandbox may talk to a service of the host without, and of those that [egress] redirect would
 * have led to a proxy. They may be older than the redirection. What the proxy's port then gets of them is from the midst of a
 * connection that it does not have, so the kernel resets the guest's.
 */
#include "fabric/slot/flows.h"

#include "base/addr.h"
#include "config/config.h"
#include "config/layouts.h"
#include "fabric/fabric.h"
#include "fabric/rules/policy.h"
#include "kernel/conntrack.h"

#include <netinet/in.h>

struct slot_inside {
	uint32_t host_ip, guest, tap;
};

static bool slot_flows_is_stale_inside(const struct kern_conntrack_flow *flow, const struct slot_inside *inside)
{
	if (flow->original.destination == inside->host_ip)
		return flow->reply.source == inside->host_ip;
	return flow->original.source == inside->guest && flow->original.destination != inside->tap &&
	       flow->reply.destination == inside->guest;
}

static enum kern_conntrack_care slot_flows_relax(const struct kern_conntrack_flow *flow)
{
	return flow->original.protocol == IPPROTO_TCP && flow->answered ? KERN_CONNTRACK_RELAX : KERN_CONNTRACK_KEEP;
}

static enum kern_conntrack_care slot_flows_judge_inside(const struct kern_conntrack_flow *flow, void *context)
{
	return slot_flows_is_stale_inside(flow, context) ? KERN_CONNTRACK_FORGET : slot_flows_relax(flow);
}

int slot_flows_renew_inside(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err)
{
	const struct config_layout *layout = config_layout_or_new(config, plan->layout);
	struct slot_inside inside = {
		.host_ip = config_host_ip(layout, plan->slot),
		.guest = layout->guest.ip,
		.tap = layout->tap.ip,
	};

	return kern_conntrack_review(netns_fd, slot_flows_judge_inside, &inside, err);
}

struct slot_outside {
	const struct config *config;
	struct cidr4 ranges[CONFIG_LAYOUTS_MAX];
	size_t count;
};

static bool slot_flows_is_ours(const struct slot_outside *outside, uint32_t address)
{
	for (size_t i = 0; i < outside->count; i++)
		if (addr_cidr4_contains(&outside->ranges[i], address))
			return true;
	return false;
}

/* Whether FLOW goes straight to where the guest sent it, though [egress] redirect leads such flows to a proxy. */
static bool slot_flows_passes_proxy_by(const struct kern_conntrack_flow *flow, const struct config *config)
{
	const struct kern_conntrack_way *way = &flow->original;
	const struct addr asked = addr_from_ipv4(way->destination, way->port);
	const struct cidr4_list *dns = &config->addresses.dns;

	if (way->protocol != IPPROTO_TCP || flow->reply.source != way->destination ||
	    !config_redirect_find(config, way->port) || config_service_find(config, &asked))
		return false;
	for (size_t i = 0; way->port == RULES_DNS_PORT && i < dns->count; i++)
		if (dns->items[i].ip == way->destination)
			return false;
	return true;
}

static enum kern_conntrack_care slot_flows_judge_outside(const struct kern_conntrack_flow *flow, void *context)
{
	const struct slot_outside *outside = context;

	if (slot_flows_is_ours(outside, flow->original.source)) {
		if ((!flow->answered && !flow->translated) || slot_flows_passes_proxy_by(flow, outside->config))
			return KERN_CONNTRACK_FORGET;
		return slot_flows_relax(flow);
	}
	/* To a sandbox, or to a published port of one. */
	return slot_flows_is_ours(outside, flow->reply.source) ? slot_flows_relax(flow) : KERN_CONNTRACK_KEEP;
}

int slot_flows_renew_outside(const struct config *config, struct err *err)
{
	struct slot_outside outside = { .config = config };

	outside.count = config_layout_host_ranges(config, outside.ranges);
	return kern_conntrack_review(-1, slot_flows_judge_outside, &outside, err);
}

struct slot_published {
	const struct fabric_nat *nat;
	size_t count;
};

static bool slot_flows_is_to(const struct kern_conntrack_way *way, const struct fabric_nat *nat)
{
	return way->protocol == rules_ip_proto(nat->proto) && way->port == addr_port(&nat->listen) &&
	       (addr_is_wildcard(&nat->listen) || way->destination == ntohl(nat->listen.in.sin_addr.s_addr));
}

static enum kern_conntrack_care slot_flows_judge_published(const struct kern_conntrack_flow *flow, void *context)
{
	const struct slot_published *published = context;

	for (size_t i = 0; i < published->count && !flow->answered && !flow->translated; i++) {
		if (slot_flows_is_to(&flow->original, &published->nat[i]))
			return KERN_CONNTRACK_FORGET;
	}
	return KERN_CONNTRACK_KEEP;
}

int slot_flows_renew_published(const struct fabric_nat *nat, size_t count, struct err *err)
{
	struct slot_published published = { nat, count };

	return count ? kern_conntrack_review(-1, slot_flows_judge_published, &published, err) : 0;
}
