/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front door, where one is in use: the first hop of the clients that come by it. HAProxy and weftd are asked for the id that no sandbox
 * has, which disturbs no guest. Where the agent in the guest is to be asked anyway, it is asked by this way too, for this sandbox.
 */
#include "config/door_url.h"
#include "health/facts.h"
#include "health/front_door.h"
#include "health/walk.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* The port that clients most likely ask for. */
static uint16_t hop_door_port(const struct diagnose_request *request)
{
	if (request->ready_port)
		return request->ready_port;
	for (size_t i = 0; i < request->endpoint_count; i++)
		if (request->endpoints[i].proto == PROTO_TCP)
			return request->endpoints[i].guest_port;
	return request->config->forwarder.default_guest_port;
}

static enum door_access hop_door_access(const struct door_policy *door, uint16_t port)
{
	for (size_t i = 0; i < door->port_count; i++)
		if (door->ports[i].port == port)
			return door->ports[i].access;
	return door->is_public || port == DOOR_FREE_PORT ? DOOR_ACCESS_PUBLIC : DOOR_ACCESS_TOKEN;
}

static const char *hop_door_access_text(const struct door_policy *door, uint16_t port)
{
	switch (hop_door_access(door, port)) {
	case DOOR_ACCESS_PUBLIC:
		return "open to everybody";
	case DOOR_ACCESS_TOKEN:
		return door->has_token ? "open to those with the token" : "open to nobody, for it has no token";
	case DOOR_ACCESS_CLOSED:
		return "closed to all";
	}
	return "";
}

/* HAProxy is not there, or does not get through to weftd. */
static enum hop_status hop_door_judge_broken(struct walk *walk, struct hop *hop, const struct health_door *door)
{
	char said[HEALTH_DOOR_TEXT_SIZE], holder[112];

	walk_next_step(walk, "weftctl door check says more; other ways to the sandbox may work: weftctl show %s",
		       walk->request->id);
	if (!door->proxy.pid && door->local.listens) {
		walk_cause(walk, "%s has port %d of loopback, so " HEALTH_DOOR_UNIT " does not start",
			   health_door_name_holder(&door->local, holder), HEALTH_DOOR_PORT);
		return hop_fail(hop, "HAProxy does not run, and another program has its port");
	}
	if (!door->proxy.pid) {
		walk_cause(walk, HEALTH_DOOR_UNIT " does not run");
		return hop_fail(hop, "HAProxy does not run");
	}
	if (!health_door_is_weftd(&door->knock)) {
		walk_cause(walk, "weftd does not answer at its door socket");
		return hop_fail(hop, "%.111s: %.130s", door->socket.path,
				door->socket.error ? strerror(door->socket.error)
						   : health_door_describe(&door->knock, said));
	}
	walk_cause(walk, "HAProxy does not get through to weftd, or its files are not weft's");
	return hop_fail(hop, "HAProxy: %.240s", health_door_describe(&door->answer, said));
}

enum hop_status hop_door_judge(struct walk *walk, struct hop *hop, const struct hop_door_seen *seen)
{
	const struct health_door *door = &seen->door;
	const struct health_door_answer *own = &seen->own;
	const char *access = hop_door_access_text(walk->request->door, seen->port);
	bool asked = door->answer.result != HEALTH_DOOR_NOT_ASKED;

	if (!door->proxy.pid || !health_door_is_weftd(&door->knock) || (asked && !health_door_is_right(&door->answer)))
		return hop_door_judge_broken(walk, hop, door);
	if (own->result == HEALTH_DOOR_ANSWERED && own->status == 502 &&
	    strstr(own->body, "\"message\":\"The sandbox was not found\"")) {
		walk_cause(walk, "the door leads to another weftd than this one");
		walk_next_step(walk, "compare the socket in HAProxy's files with [door] socket, %s", door->socket.path);
		return hop_fail(hop, "it does not know this sandbox");
	}
	if (own->result == HEALTH_DOOR_ANSWERED)
		return hop_ok(hop, "%s, answers %u in %.1f ms", access, own->status, (double)own->took_us / 1000);
	return hop_ok(hop, "%s", access);
}

enum hop_status hop_door(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct diagnose_request *request = walk->request;
	const struct addr local = addr_from_ipv4(INADDR_LOOPBACK, HEALTH_DOOR_PORT);
	struct hop_door_seen seen = { .port = hop_door_port(request) };
	const struct health_door_question question = {
		.host = "127.0.0.1:3002", .id = request->id, .port = seen.port, .path = "/health"
	};
	char url[CONFIG_DOOR_URL_SIZE];
	struct health_facts facts;

	config_door_url(request->config->door.domain, request->id, request->host_label, seen.port, url);
	hop_subject(hop, "%s", url);
	if (subject_only)
		return HOP_SKIPPED;
	health_facts_begin(&facts, "");
	health_facts_gather_door(&facts, request->config, false);
	seen.door = facts.door;
	health_facts_clear(&facts);
	if (!request->door || !health_door_is_used(&seen.door))
		return hop_skip(hop, "no front door is in use");
	if (request->state == SANDBOX_READY && hop_has_agent(request) &&
	    seen.port == request->config->forwarder.default_guest_port && health_door_is_right(&seen.door.answer))
		health_door_ask(&local, &question, &seen.own);
	return hop_door_judge(walk, hop, &seen);
}
