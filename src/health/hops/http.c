/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent in the guest, if it is expected to serve. Any HTTP status is an answer.
 */
#include "base/err.h"
#include "health/guest_probe.h"
#include "health/walk.h"

enum { ANSWER_WAIT_MS = 2000 };

bool hop_has_agent(const struct diagnose_request *request)
{
	uint16_t port = request->config->forwarder.default_guest_port;

	if (request->ready_port == port || request->is_default)
		return true;
	for (size_t i = 0; i < request->endpoint_count; i++)
		if (request->endpoints[i].guest_port == port && request->endpoints[i].proto == PROTO_TCP)
			return true;
	return false;
}

enum hop_status hop_http(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct config *config = walk->request->config;
	uint16_t port = config->forwarder.default_guest_port;
	struct probe_answer answer = { 0 };
	char text[IPV4_TEXT_SIZE];
	struct err err = { 0 };

	hop_subject(hop, "http://%s:%u/health", addr_ipv4_format(walk->request->layout->guest.ip, text), port);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED || !hop_has_agent(walk->request))
		return hop_skip(hop, "%s",
				hop_has_agent(walk->request) ? "paused: not tried"
							     : "the agent's port is not published");
	enum probe_result result = health_probe_http(walk->netns_fd, walk->request->layout->guest.ip, port, "/health",
						     ANSWER_WAIT_MS, &answer, &err);
	if (result == PROBE_ANSWERED)
		return hop_ok(hop, "status %d in %.1f ms", answer.http_status, (double)answer.took_us / 1000);
	if (result != PROBE_FAILED || !err.code) {
		walk_cause(walk, "something in the guest accepts connections on port %u and does not speak HTTP there",
			   port);
		walk_next_step(walk, "look at the agent's log in the guest");
	}
	return hop_fail(hop, "%s",
			result == PROBE_SILENT ? "accepted, and no answer within 2 s"
			: err.text[0]          ? err.text
					       : "reset");
}
