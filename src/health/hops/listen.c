/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The listening endpoints on the host. A sandbox without any is reached by its host address alone, which is no fault.
 */
#include "health/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* As many as there is room for; the last word tells of the others. */
static void hop_listen_addresses(const struct diagnose_request *request, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < request->endpoint_count; i++) {
		char addr[ADDR_TEXT_SIZE], more[32] = "";
		size_t left = request->endpoint_count - i - 1;

		addr_format(&request->endpoints[i].listen, addr);
		if (left)
			snprintf(more, sizeof(more), ", and %zu more", left);
		/* This one must leave room for the word about the others. */
		if (used + 2 + strlen(addr) + strlen(more) >= size) {
			snprintf(text + used, size - used, "%s%zu more", used ? ", and " : "", left + 1);
			return;
		}
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", addr);
	}
}

/* ENDPOINT is not open. */
static enum hop_status hop_listen_closed(struct walk *walk, struct hop *hop, const struct diagnose_endpoint *endpoint)
{
	const char *proto = endpoint->proto == PROTO_TCP ? "tcp" : "udp";
	char addr[ADDR_TEXT_SIZE];

	addr_format(&endpoint->listen, addr);
	if (endpoint->holder[0]) {
		walk_cause(walk, "%s has %s", endpoint->holder, addr);
		walk_next_step(walk, "stop it, or publish another address; weftd tries again each second");
		return hop_fail(hop, "%s is not open: it is in use by %s", addr, endpoint->holder);
	}
	walk_cause(walk,
		   "another program took %s while weftd was not there to hold it, or weftd is short of descriptors or "
		   "memory",
		   addr);
	walk_next_step(walk,
		       "weftctl status tells which, and names the program; or: ss -l%cnp 'sport = :%u'. weftd tries "
		       "again each second",
		       proto[0], addr_port(&endpoint->listen));
	return hop_fail(hop, "%s is not open", addr);
}

/* Which way clients of the endpoints go: to the listeners, or by the kernel past them. */
static enum hop_status hop_listen_open(struct hop *hop, const struct diagnose_request *request)
{
	size_t kernel = 0, served = 0;

	for (size_t i = 0; i < request->endpoint_count; i++) {
		served += request->endpoints[i].via != VIA_NAT;
		kernel += request->endpoints[i].kernel;
	}
	if (!request->endpoint_count)
		return hop_ok(hop, "reached by its host address, or the front door");
	if (!kernel)
		return hop_ok(hop, "open");
	if (kernel == served)
		return hop_ok(hop, "open; the kernel leads clients past weftd, straight to the guest");
	return hop_ok(hop,
		      "open; the kernel leads clients of %zu of these addresses past weftd, straight to the guest; "
		      "those of the others go through the forwarder",
		      kernel);
}

enum hop_status hop_listen(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct diagnose_request *request = walk->request;
	char text[sizeof(hop->subject)] = "no published port";

	hop_listen_addresses(request, text, sizeof(text));
	hop_subject(hop, "%s", text);
	if (subject_only)
		return HOP_SKIPPED;
	for (size_t i = 0; i < request->endpoint_count; i++)
		if (request->endpoints[i].via != VIA_NAT && !request->endpoints[i].open)
			return hop_listen_closed(walk, hop, &request->endpoints[i]);
	if (hop_is_asleep(walk)) {
		char asleep[200];
		hop_asleep_tell(walk, asleep, sizeof(asleep));
		if (request->connections_held)
			return hop_ok(hop, "%" PRIu64 " held; %s", request->connections_held, asleep);
		return hop_ok(hop, "%s", asleep);
	}
	if (request->connections_held)
		return hop_ok(hop, "%" PRIu64 " connection%s held, waiting for the guest", request->connections_held,
			      request->connections_held == 1 ? "" : "s");
	return hop_listen_open(hop, request);
}
