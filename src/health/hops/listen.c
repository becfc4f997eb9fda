/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The listening endpoints on the host. A sandbox without any is reached by its host address alone, which is no fault.
 */
#include "health/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void hop_listen_addresses(const struct diagnose_request *request, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < request->endpoint_count; i++) {
		char addr[ADDR_TEXT_SIZE];
		int length = snprintf(text + used, size - used, "%s%s", used ? ", " : "",
				      addr_format(&request->endpoints[i].listen, addr));

		if (length < 0 || (size_t)length >= size - used) {
			text[used] = '\0';
			return;
		}
		used += (size_t)length;
	}
}

enum hop_status hop_listen(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct diagnose_request *request = walk->request;
	char text[sizeof(hop->subject)] = "no published port", addr[ADDR_TEXT_SIZE];

	hop_listen_addresses(request, text, sizeof(text));
	hop_subject(hop, "%s", text);
	if (subject_only)
		return HOP_SKIPPED;
	for (size_t i = 0; i < request->endpoint_count; i++) {
		if (request->endpoints[i].via == VIA_NAT || request->endpoints[i].open)
			continue;
		addr_format(&request->endpoints[i].listen, addr);
		walk_cause(walk,
			   "another program took %s while weftd was not there to hold it, or weftd is short of "
			   "descriptors or memory",
			   addr);
		walk_next_step(
		    walk,
		    "weftctl status tells which, and names the program; or: ss -ltnp 'sport = :%u'. weftd tries "
		    "again each second",
		    addr_port(&request->endpoints[i].listen));
		return hop_fail(hop, "%s is not open", addr);
	}
	if (request->connections_held)
		return hop_ok(hop, "%" PRIu64 " connection%s held, waiting for the guest", request->connections_held,
			      request->connections_held == 1 ? "" : "s");
	return hop_ok(hop, "%s", request->endpoint_count ? "open" : "reached by its host address only");
}
