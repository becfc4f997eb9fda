/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table below is the path; each of its functions inspects one hop and fills in its finding. The first that fails ends
 * the walk. It also gives the likely cause and the next step, because it knows most about them.
 */
#include "health/diagnose.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "health/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	hop_check *check;
	bool speaks; /* sends packets to the guest */
} path[DIAGNOSIS_HOPS] = {
	{ "door", hop_door, false },    { "listen", hop_listen, false }, { "veth", hop_veth, false },
	{ "route", hop_route, false },  { "rules", hop_rules, false },   { "tap", hop_tap, false },
	{ "guest", hop_guest, true },   { "tcp", hop_tcp, true },        { "http", hop_http, true },
	{ "kernel", hop_kernel, true }, { "egress", hop_egress, true },
};

/* The object in the way of the sandbox's links, which has the sandbox's own names. It may be what another's VM lives by. */
static void health_diagnose_advise_link(struct walk *walk)
{
	struct inspect_look_link link;
	struct err ignored;

	if (inspect_look_link(-1, walk->veth, &link, &ignored) == 0 && link.exists &&
	    link.group != walk->request->layout->link_group)
		walk_next_step(walk,
			       "look whose %s is (ip -d link show dev %s), and have its owner remove or rename it; "
			       "weftd takes the sandbox back by itself",
			       walk->veth, walk->veth);
	else
		walk_next_step(walk, "remove the foreign object; weftd takes the sandbox back by itself");
}

/* No advice stops a VM whose sandbox may recover. */
static void health_diagnose_advise(struct walk *walk)
{
	const struct diagnose_request *request = walk->request;

	switch (request->failure) {
	case FAILURE_LINK:
		health_diagnose_advise_link(walk);
		break;
	case FAILURE_NAMESPACE:
		walk_next_step(walk, "remove the foreign object; weftd takes the sandbox back by itself");
		break;
	case FAILURE_TEARDOWN:
		walk_next_step(walk, "remove the foreign object, then: weftctl unregister %s", request->id);
		break;
	case FAILURE_NONE:
	case FAILURE_TAP:
	case FAILURE_FILE:
		walk_next_step(walk, "stop the VM, then: weftctl unregister %s, and register it again", request->id);
		break;
	}
}

/* The hop that stands for a failure where the path looks whole all the same. */
static struct hop *health_diagnose_hop_of(struct diagnosis *diagnosis, enum failure failure)
{
	const char *name = "listen";

	switch (failure) {
	case FAILURE_NAMESPACE:
	case FAILURE_LINK:
	case FAILURE_TEARDOWN:
		name = "veth";
		break;
	case FAILURE_TAP:
		name = "tap";
		break;
	case FAILURE_NONE:
	case FAILURE_FILE:
		break;
	}
	for (size_t i = 0; i < DIAGNOSIS_HOPS; i++)
		if (strcmp(diagnosis->hops[i].name, name) == 0)
			return &diagnosis->hops[i];
	return &diagnosis->hops[0];
}

/* The reason of a failed sandbox was recorded when it failed, and no later finding is better. */
static void health_diagnose_explain_failure(struct walk *walk)
{
	struct diagnosis *diagnosis = walk->diagnosis;

	if (!diagnosis->broken) {
		struct hop *hop = health_diagnose_hop_of(diagnosis, walk->request->failure);
		diagnosis->broken = hop;
		hop->status = hop_fail(hop, "the sandbox has failed");
		for (hop++; hop < diagnosis->hops + DIAGNOSIS_HOPS; hop++)
			hop->status = hop_skip(hop, "not tried");
	}
	walk_cause(walk, "the sandbox has failed: %s", walk->request->reason);
	health_diagnose_advise(walk);
}

void health_diagnose_walk(const struct diagnose_request *request, struct diagnosis *diagnosis)
{
	char netns_path[CONFIG_PATH_SIZE];
	AUTO_FD int netns_fd = -1;
	struct walk walk = { .request = request, .diagnosis = diagnosis };
	bool failed = request->state == SANDBOX_FAILED;

	*diagnosis = (struct diagnosis){ 0 };
	config_netns_name(request->layout, request->slot, walk.netns);
	config_veth_name(request->layout, request->slot, walk.veth);
	netns_fd = open(config_netns_path(request->layout, request->slot, netns_path), O_RDONLY | O_CLOEXEC);
	walk.netns_fd = netns_fd;
	walk.netns_error = netns_fd < 0 ? errno : 0;
	for (size_t i = 0; i < DIAGNOSIS_HOPS; i++) {
		struct hop *hop = &diagnosis->hops[i];

		hop->name = path[i].name;
		/* A hop that is not tried names its subject too, so that a reader sees the rest of the path. */
		bool skip = diagnosis->broken || (failed && path[i].speaks);
		hop->status = path[i].check(&walk, hop, skip);
		if (skip)
			hop->status = hop_skip(hop, "not tried");
		else if (hop->status == HOP_FAIL)
			diagnosis->broken = hop;
	}
	if (failed) {
		health_diagnose_explain_failure(&walk);
	} else if (diagnosis->broken && !diagnosis->cause[0]) {
		walk_cause(&walk, "weftd itself could not look: %s", diagnosis->broken->detail);
		walk_next_step(&walk, "this says nothing about the sandbox; look at weftd's log, and at what the host "
				      "lacks: weftctl doctor");
	}
}
