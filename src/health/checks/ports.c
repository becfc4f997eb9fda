/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of weftd that another program has: that of the default endpoint, without which it refuses to start, and those of the
 * automatic range, which it skips.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <string.h>

/* Whether a socket on LOCAL stands in the way of one on WANTED. */
static bool check_ports_collide(const struct addr *local, const struct addr *wanted)
{
	if (addr_port(local) != addr_port(wanted))
		return false;
	/* [::] takes IPv4 too, unless its socket is IPv6 only, which is not visible. */
	return addr_same_host(local, wanted) ||
	       (addr_is_wildcard(local) && local->any.sa_family == wanted->any.sa_family) ||
	       (addr_is_wildcard(local) && local->any.sa_family == AF_INET6);
}

static bool check_ports_default(const struct health_facts *facts, const struct addr *wanted, int daemon,
				struct health_report *report)
{
	char text[ADDR_TEXT_SIZE], name[32];

	addr_format(wanted, text);
	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		if (!check_ports_collide(&socket->local, wanted))
			continue;
		int pid = facts->holder(facts->context, socket->inode, name);
		if (pid == daemon || strcmp(name, "weftd") == 0 || (!pid && daemon))
			continue;
		/* Our own listener's accepted connections, and those in TIME_WAIT, which have no holder. */
		if (!socket->listening && (!pid || daemon))
			continue;
		struct health_finding *finding = health_add(
		    report, "ports", HEALTH_FAIL, "%s of the default endpoint is taken: %s by process %d (%s)", text,
		    socket->listening ? "listened on" : "the local end of a connection", pid, name);
		health_why(finding, "weftd refuses to start while it cannot listen there, and clients reach the other");
		health_fix(finding,
			   socket->listening ? "stop that process, or choose another [forwarder] default_listen"
					     : "sysctl -w net.ipv4.ip_local_reserved_ports=%u, and start weftd "
					       "when that connection has ended",
			   addr_port(wanted));
		return false;
	}
	return true;
}

static bool check_ports_range(const struct health_facts *facts, int daemon, struct health_report *report)
{
	const struct config *config = facts->config;
	char text[ADDR_TEXT_SIZE], first[ADDR_TEXT_SIZE + 48] = "";
	unsigned taken = 0;

	for (size_t i = 0; i < facts->sockets.count; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		char name[32];
		uint16_t port = addr_port(&socket->local);
		if (!socket->listening || port < config->ports.first || port > config->ports.last)
			continue;
		int pid = facts->holder(facts->context, socket->inode, name);
		if (pid == daemon || strcmp(name, "weftd") == 0 || (!pid && daemon))
			continue;
		if (!taken++)
			snprintf(first, sizeof(first), "%s by process %d (%s)", addr_format(&socket->local, text), pid,
				 name);
	}
	if (!taken)
		return true;
	struct health_finding *finding =
	    health_add(report, "ports", HEALTH_WARN, "%u addresses of [ports] range %u-%u are taken by others: %s%s",
		       taken, config->ports.first, config->ports.last, first, taken > 1 ? ", ..." : "");
	health_why(finding,
		   "weftd steps over them, but a program that starts there while weftd is down takes a sandbox's port");
	health_fix(finding, "move that program, or choose another [ports] range");
	return false;
}

void check_ports(const struct health_facts *facts, struct health_report *report)
{
	const struct addr_list *wanted = &facts->config->forwarder.default_listen;
	int daemon = health_daemon(facts);
	bool clear = true;

	for (size_t i = 0; i < wanted->count; i++)
		clear = check_ports_default(facts, &wanted->items[i], daemon, report) && clear;
	clear = check_ports_range(facts, daemon, report) && clear;
	if (clear)
		health_add(report, "ports", HEALTH_OK, "nobody else has the default endpoint's port, or one of %u-%u",
			   facts->config->ports.first, facts->config->ports.last);
}
