/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel takes local ports of outgoing connections from its ephemeral range. A listening port of weftd must not be in it.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "health/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether PORT is in the list of ip_local_reserved_ports: "49983,50000-50010". */
static bool check_port_is_reserved(const char *list, unsigned port)
{
	while (list && *list) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;
		if (end == list)
			return false;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (port >= first && port <= last)
			return true;
		list = end + strspn(end, ", \t\n");
	}
	return false;
}

static bool check_port_range_default(const struct health_facts *facts, const char *reserved, unsigned first,
				     unsigned last, struct health_report *report)
{
	const struct addr_list *wanted = &facts->config->forwarder.default_listen;

	for (size_t i = 0; i < wanted->count; i++) {
		unsigned port = addr_port(&wanted->items[i]);
		if (port < first || port > last || check_port_is_reserved(reserved, port))
			continue;
		struct health_finding *finding =
		    health_add(report, "port_range", HEALTH_WARN,
			       "port %u of the default endpoint is in the ephemeral range %u-%u", port, first, last);
		health_why(finding,
			   "an outgoing connection may be given it, and then weftd runs without it until it ends");
		health_fix(finding, "sysctl -w net.ipv4.ip_local_reserved_ports=%u (and in /etc/sysctl.d, to keep it)",
			   port);
		return false;
	}
	return true;
}

static bool check_port_range_automatic(const struct health_facts *facts, const char *reserved, unsigned first,
				       unsigned last, struct health_report *report)
{
	unsigned from = facts->config->ports.first, to = facts->config->ports.last, shared = 0;

	for (unsigned port = from > first ? from : first; port <= to && port <= last; port++)
		shared += !check_port_is_reserved(reserved, port);
	if (!shared)
		return true;
	struct health_finding *finding = health_add(report, "port_range", HEALTH_WARN,
						    "%u of the automatic ports %u-%u are in the ephemeral range %u-%u",
						    shared, from, to, first, last);
	health_why(finding, "weftd never hands those out, so there are fewer ports than the range promises%s",
		   shared == to - from + 1 ? ": none at all" : "");
	if (shared == to - from + 1)
		finding->status = HEALTH_FAIL;
	health_fix(finding, "another [ports] range, or sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"");
	return false;
}

void check_port_range(const struct health_facts *facts, struct health_report *report)
{
	AUTO_FREE char *range = facts->read_text(facts->context, "/proc/sys/net/ipv4/ip_local_port_range");
	AUTO_FREE char *reserved = facts->read_text(facts->context, "/proc/sys/net/ipv4/ip_local_reserved_ports");
	unsigned first, last;

	if (!range || sscanf(range, "%u %u", &first, &last) != 2) {
		health_add(report, "port_range", HEALTH_SKIPPED,
			   "net.ipv4.ip_local_port_range is not visible from here");
		return;
	}
	bool clear = check_port_range_default(facts, reserved, first, last, report);
	clear = check_port_range_automatic(facts, reserved, first, last, report) && clear;
	if (clear)
		health_add(report, "port_range", HEALTH_OK, "weft's ports are outside the ephemeral range %u-%u", first,
			   last);
}
