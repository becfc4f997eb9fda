/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A diagnosis probes and waits, so each runs on a thread of its own, on copies of the registry's records; the result comes back
 * by message. A few at a time: they are for people. The tenant keeps the last answer, for those who may not start one.
 *
 * A sandbox that is changed during its walk has other rules, limits and ports than the copies say. Then a finding about these is none,
 * and the walk is repeated.
 */
#include "daemon/diagnoses.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/thread.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/not_open.h"
#include "daemon/tenant.h"
#include "health/diagnose.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIAGNOSES_MAX = 8, WALKS_MAX = 4 };

struct diagnoses {
	struct mailbox *done;
	unsigned under_way;
};

struct diagnosing {
	struct mail mail;
	struct daemon *daemon;
	struct control_request *request;
	struct base_thread thread;
	struct spec *spec; /* the plan points into it */
	struct diagnose_endpoint *endpoints;
	struct tenant_plan *made;
	struct diagnose_request walk;
	struct diagnosis diagnosis;
	int64_t measured_ms;   /* wall clock, of the end of the walk */
	unsigned walks;        /* begun for this answer */
	uint64_t changes;      /* of the sandbox, when its records were copied */
	int64_t registered_ms; /* of the sandbox, whose id may be another's when the walk is over */
};

static json_t *daemon_diagnoses_text(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static json_t *daemon_diagnoses_describe_hop(const struct hop *hop)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "hop", hop->name, "status", hop_status_name(hop->status), "subject",
			 hop->subject, "detail", hop->detail);
}

/* NULL for want of memory. */
static json_t *daemon_diagnoses_describe(const struct diagnosing *diagnosing)
{
	const struct diagnosis *diagnosis = &diagnosing->diagnosis;
	char measured_at[CLOCK_TEXT_SIZE];
	json_t *hops = json_array();

	for (size_t i = 0; i < DIAGNOSIS_HOPS; i++) {
		if (json_array_append_new(hops, daemon_diagnoses_describe_hop(&diagnosis->hops[i])) < 0) {
			json_decref(hops);
			return NULL;
		}
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:s}", "hops", hops, "broken",
			 diagnosis->broken ? json_string(diagnosis->broken->name) : json_null(), "cause",
			 daemon_diagnoses_text(diagnosis->cause), "next_step",
			 daemon_diagnoses_text(diagnosis->next_step), "measured_at",
			 clock_format(diagnosing->measured_ms, measured_at));
}

static void daemon_diagnoses_free(struct diagnosing *diagnosing)
{
	registry_spec_free(diagnosing->spec);
	free(diagnosing->made);
	free(diagnosing->endpoints);
	free(diagnosing);
}

/* The tenant of the sandbox that was walked; NULL: it is gone, or another one has its id now. */
static struct tenant *daemon_diagnoses_tenant(const struct diagnosing *diagnosing)
{
	const struct diagnose_request *walk = &diagnosing->walk;
	const struct sandbox *sandbox = registry_find(diagnosing->daemon->registry, walk->id);

	if (!sandbox || sandbox->slot != walk->slot || sandbox->registered_ms != diagnosing->registered_ms)
		return NULL;
	return daemon_tenant_of(sandbox);
}

/* Keeps ANSWER with its sandbox. */
static void daemon_diagnoses_keep(const struct diagnosing *diagnosing, const json_t *answer)
{
	struct tenant *tenant = daemon_diagnoses_tenant(diagnosing);

	if (!tenant)
		return;
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	if (!text)
		return;
	free(tenant->last_diagnosis);
	tenant->last_diagnosis = text;
}

/* Whether the walk found other rules, limits or ports than it was told, because the sandbox was being changed. */
static bool daemon_diagnoses_is_overtaken(const struct diagnosing *diagnosing)
{
	const struct hop *broken = diagnosing->diagnosis.broken;
	const struct tenant *tenant = daemon_diagnoses_tenant(diagnosing);

	return broken &&
	       (!strcmp(broken->name, "rules") || !strcmp(broken->name, "listen") || !strcmp(broken->name, "tap")) &&
	       tenant && (tenant->busy || tenant->changes != diagnosing->changes);
}

static int daemon_diagnoses_begin(struct daemon *daemon, struct sandbox *sandbox, struct control_request *request,
				  unsigned walks);

static void daemon_diagnoses_repeat(struct diagnosing *diagnosing)
{
	struct daemon *daemon = diagnosing->daemon;
	struct tenant *tenant = daemon_diagnoses_tenant(diagnosing);

	if (daemon->state == DAEMON_STOPPING || diagnosing->walks == WALKS_MAX ||
	    daemon_diagnoses_begin(daemon, tenant->sandbox, diagnosing->request, diagnosing->walks + 1) < 0)
		control_request_refuse_unavailable(diagnosing->request, "the sandbox is being changed; ask again");
	daemon_diagnoses_free(diagnosing);
}

static void daemon_diagnoses_deliver(struct mail *mail)
{
	struct diagnosing *diagnosing = container_of(mail, struct diagnosing, mail);

	base_thread_join(&diagnosing->thread);
	diagnosing->daemon->diagnoses->under_way--;
	if (daemon_diagnoses_is_overtaken(diagnosing)) {
		daemon_diagnoses_repeat(diagnosing);
		return;
	}
	json_t *answer = daemon_diagnoses_describe(diagnosing);
	daemon_diagnoses_keep(diagnosing, answer);
	control_request_answer(diagnosing->request, 200, answer);
	daemon_diagnoses_free(diagnosing);
}

static void *daemon_diagnoses_walk(void *arg)
{
	struct diagnosing *diagnosing = arg;

	health_diagnose_walk(&diagnosing->walk, &diagnosing->diagnosis);
	diagnosing->measured_ms = clock_wall_ms();
	base_mailbox_post(diagnosing->daemon->diagnoses->done, &diagnosing->mail);
	return NULL;
}

/* Addresses that the host lacks do without a listener, and are none of the path's. */
static void daemon_diagnoses_copy_endpoint(const struct daemon *daemon, const struct endpoint *endpoint,
					   struct diagnosing *diagnosing)
{
	for (size_t i = 0; i < endpoint->listen_count; i++) {
		const struct addr *listen = &endpoint->listen[i];

		if (endpoint->absent[i])
			continue;
		struct diagnose_endpoint *copy = &diagnosing->endpoints[diagnosing->walk.endpoint_count++];
		*copy = (struct diagnose_endpoint){ .listen = *listen,
						    .guest_port = endpoint->port.guest_port,
						    .proto = endpoint->port.proto,
						    .via = endpoint->port.via,
						    .open = endpoint->handles[i] != NULL,
						    .kernel = endpoint->entered[i] };
		if (!copy->open && copy->via != VIA_NAT)
			snprintf(copy->holder, sizeof(copy->holder), "%s",
				 daemon_not_open_holder(daemon, listen, copy->proto));
	}
}

/* 0, or -1: no memory. */
static int daemon_diagnoses_copy(struct daemon *daemon, const struct sandbox *sandbox, struct diagnosing *diagnosing)
{
	size_t addresses = 0;

	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		addresses += sandbox->endpoints[i].listen_count;
	diagnosing->endpoints = calloc(addresses + 1, sizeof(*diagnosing->endpoints));
	diagnosing->spec = registry_spec_copy(sandbox->spec);
	diagnosing->made = daemon_tenant_plan_new(sandbox);
	if (!diagnosing->spec || !diagnosing->made || !diagnosing->endpoints)
		return -1;
	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		daemon_diagnoses_copy_endpoint(daemon, &sandbox->endpoints[i], diagnosing);
	diagnosing->walk.endpoints = diagnosing->endpoints;
	return 0;
}

static void daemon_diagnoses_copy_sleep(const struct sandbox *sandbox, int64_t now_ms, struct diagnose_sleep *sleep)
{
	sleep->asleep = registry_sandbox_is_asleep(sandbox);
	sleep->asked = registry_sandbox_is_asked(sandbox);
	sleep->asked_age_ms = now_ms > sandbox->wake_asked_ms ? (uint64_t)(now_ms - sandbox->wake_asked_ms) : 0;
	sleep->timeout_ms = sandbox->spec->wake.timeout_ms;
	memcpy(sleep->asked_by, sandbox->wake_by, sizeof(sleep->asked_by));
	registry_wake_format(sandbox, sleep->wakers, sizeof(sleep->wakers));
}

static void daemon_diagnoses_copy_state(struct daemon *daemon, const struct sandbox *sandbox,
					struct diagnose_request *request)
{
	const char *label = registry_sandbox_host_label(sandbox);
	int64_t now_ms = clock_wall_ms();

	request->config = daemon->config;
	memcpy(request->id, sandbox->id, sizeof(request->id));
	request->slot = sandbox->slot;
	request->state = sandbox->state;
	request->state_age_ms = now_ms > sandbox->since_ms ? (uint64_t)(now_ms - sandbox->since_ms) : 0;
	request->was_attached = sandbox->was_attached;
	request->failure = sandbox->failure;
	memcpy(request->reason, sandbox->reason, sizeof(request->reason));
	request->connections_held = sandbox->counters.connections_held;
	request->ready_port = sandbox->spec->ready_port;
	request->is_default = sandbox->spec->is_default;
	daemon_diagnoses_copy_sleep(sandbox, now_ms, &request->sleep);
	snprintf(request->host_label, sizeof(request->host_label), "%s", label ? label : "");
}

static struct diagnosing *daemon_diagnoses_new(struct daemon *daemon, struct sandbox *sandbox, uint32_t to)
{
	struct diagnosing *diagnosing = calloc(1, sizeof(*diagnosing));
	struct diagnose_request *request = diagnosing ? &diagnosing->walk : NULL;

	if (!diagnosing || daemon_diagnoses_copy(daemon, sandbox, diagnosing) < 0) {
		if (diagnosing)
			daemon_diagnoses_free(diagnosing);
		return NULL;
	}
	diagnosing->daemon = daemon;
	diagnosing->registered_ms = sandbox->registered_ms;
	diagnosing->mail.deliver = daemon_diagnoses_deliver;
	daemon_tenant_refresh(sandbox);
	daemon_diagnoses_copy_state(daemon, sandbox, request);
	request->to = to;
	request->layout = sandbox->layout;
	request->door = &diagnosing->spec->door;
	struct fabric_plan *plan = &diagnosing->made->plan;
	plan->id = request->id;
	plan->egress = &diagnosing->spec->egress;
	plan->bandwidth = &diagnosing->spec->bandwidth;
	request->plan = daemon_tenant_of(sandbox) && daemon_tenant_of(sandbox)->kept ? NULL : plan;
	return diagnosing;
}

/* Begins a walk, the one of number WALKS, which answers REQUEST. 0, or -1: nothing was begun. */
static int daemon_diagnoses_begin(struct daemon *daemon, struct sandbox *sandbox, struct control_request *request,
				  unsigned walks)
{
	struct diagnosing *diagnosing = daemon_diagnoses_new(daemon, sandbox, request->target.destination);
	struct err err;

	if (!diagnosing)
		return -1;
	diagnosing->request = request;
	diagnosing->walks = walks;
	diagnosing->changes = daemon_tenant_of(sandbox) ? daemon_tenant_of(sandbox)->changes : 0;
	diagnosing->thread.name = "weft-diagnosis";
	if (base_thread_start(&diagnosing->thread, daemon_diagnoses_walk, diagnosing, &err) < 0) {
		daemon_diagnoses_free(diagnosing);
		return -1;
	}
	daemon->diagnoses->under_way++;
	return 0;
}

void daemon_diagnose(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);
	unsigned under_way = daemon->diagnoses->under_way;
	struct problem problem;

	if (!sandbox || (under_way < DIAGNOSES_MAX && daemon_diagnoses_begin(daemon, sandbox, request, 1) == 0))
		return;
	registry_problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "%u diagnoses are under way already; ask again",
			     under_way);
	control_request_refuse(request, &problem);
}

void daemon_last_diagnosis(void *context, struct control_request *request)
{
	static const char none[] =
	    "{\"hops\":[],\"broken\":null,\"cause\":null,\"next_step\":null,\"measured_at\":null}";
	struct daemon *daemon = context;
	const struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);

	if (!sandbox)
		return;
	const struct tenant *tenant = daemon_tenant_of(sandbox);
	const char *text = tenant && tenant->last_diagnosis ? tenant->last_diagnosis : none;
	control_reply_text(control_request_release(request), "application/json", text, strlen(text));
}

int daemon_diagnoses_start(struct daemon *daemon, struct err *err)
{
	struct diagnoses *diagnoses = calloc(1, sizeof(*diagnoses));

	if (!diagnoses)
		return err_set(err, ENOMEM, "diagnoses");
	daemon->diagnoses = diagnoses;
	diagnoses->done = base_mailbox_new(daemon->base, err);
	return diagnoses->done ? 0 : -1;
}

void daemon_diagnoses_stop(struct daemon *daemon)
{
	struct diagnoses *diagnoses = daemon->diagnoses;

	if (!diagnoses)
		return;
	/* Walks have deadlines of their own; their last messages are delivered while everything is still there. */
	while (diagnoses->under_way)
		base_mailbox_wait(diagnoses->done);
	if (diagnoses->done)
		base_mailbox_free(diagnoses->done);
	free(diagnoses);
	daemon->diagnoses = NULL;
}
