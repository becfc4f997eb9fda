/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A diagnosis probes and waits, so each runs on a thread of its own, on copies of what the registry knows; the answer comes back
 * by letter. A few at a time: they are for people.
 */
#include "health/diagnose.h"
#include "base/err.h"
#include "daemon/daemon.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIAGNOSES_MAX = 8 };

struct diagnosing {
	struct mail mail;
	struct daemon *daemon;
	struct reply *reply;
	pthread_t thread;
	struct spec *spec; /* what the plan points into */
	struct fabric_nat *nat;
	struct fabric_plan plan;
	struct diagnose_request request;
	struct diagnosis diagnosis;
};

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static json_t *describe(const struct diagnosis *diagnosis)
{
	json_t *hops = json_array();

	for (size_t i = 0; i < DIAGNOSIS_HOPS; i++) {
		const struct hop *hop = &diagnosis->hops[i];

		json_array_append_new(hops, json_pack("{s:s, s:s, s:s, s:s}", "hop", hop->name, "status",
						      hop_status_name(hop->status), "subject", hop->subject, "detail",
						      hop->detail));
	}
	return json_pack("{s:o, s:o, s:o, s:o}", "hops", hops, "broken",
			 diagnosis->broken ? json_string(diagnosis->broken->name) : json_null(), "cause",
			 text_or_null(diagnosis->cause), "next_step", text_or_null(diagnosis->next_step));
}

static void diagnosing_free(struct diagnosing *diagnosing)
{
	spec_free(diagnosing->spec);
	free(diagnosing->nat);
	free(diagnosing);
}

static void deliver(struct mail *mail)
{
	struct diagnosing *diagnosing = (struct diagnosing *)mail;

	pthread_join(diagnosing->thread, NULL);
	diagnosing->daemon->diagnoses--;
	reply_json(diagnosing->reply, 200, describe(&diagnosing->diagnosis));
	diagnosing_free(diagnosing);
}

static void *walk(void *arg)
{
	struct diagnosing *diagnosing = arg;

	diagnose_walk(&diagnosing->request, &diagnosing->diagnosis);
	mailbox_post(diagnosing->daemon->diagnoses_done, &diagnosing->mail);
	return NULL;
}

static void copy_endpoints(const struct sandbox *sandbox, struct diagnose_request *request)
{
	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		const struct endpoint *endpoint = &sandbox->endpoints[i];

		for (size_t j = 0; j < endpoint->listen_count && request->endpoint_count < DIAGNOSE_ENDPOINTS_MAX;
		     j++) {
			size_t k = request->endpoint_count++;

			request->endpoints[k].listen = endpoint->listen[j];
			request->endpoints[k].guest_port = endpoint->port.guest_port;
			request->endpoints[k].proto = endpoint->port.proto;
			request->endpoints[k].via = endpoint->port.via;
			request->endpoints[k].open = endpoint->handles[j] != NULL;
		}
	}
}

static struct diagnosing *diagnosing_new(struct daemon *daemon, struct sandbox *sandbox)
{
	struct diagnosing *diagnosing = calloc(1, sizeof(*diagnosing));

	if (!diagnosing)
		return NULL;
	diagnosing->daemon = daemon;
	diagnosing->mail.deliver = deliver;
	diagnosing->spec = spec_copy(sandbox->spec);
	diagnosing->nat = calloc(tenant_nat_max(sandbox->endpoints, sandbox->endpoint_count), sizeof(*diagnosing->nat));
	if (!diagnosing->spec || !diagnosing->nat) {
		diagnosing_free(diagnosing);
		return NULL;
	}
	tenant_refresh(sandbox);
	struct diagnose_request *request = &diagnosing->request;
	request->config = daemon->config;
	memcpy(request->id, sandbox->id, sizeof(request->id));
	request->slot = sandbox->slot;
	request->state = sandbox->state;
	memcpy(request->reason, sandbox->reason, sizeof(request->reason));
	request->connections_held = sandbox->counters.connections_held;
	request->ready_port = sandbox->spec->ready_port;
	copy_endpoints(sandbox, request);
	diagnosing->plan = tenant_plan(sandbox, diagnosing->nat);
	diagnosing->plan.id = request->id;
	diagnosing->plan.egress = &diagnosing->spec->egress;
	diagnosing->plan.bandwidth = &diagnosing->spec->bandwidth;
	request->plan = tenant_of(sandbox) && tenant_of(sandbox)->kept ? NULL : &diagnosing->plan;
	return diagnosing;
}

void daemon_diagnose(void *context, struct sandbox *sandbox, struct reply *reply)
{
	struct daemon *daemon = context;
	struct problem problem;
	struct diagnosing *diagnosing = daemon->diagnoses < DIAGNOSES_MAX ? diagnosing_new(daemon, sandbox) : NULL;

	if (diagnosing)
		diagnosing->reply = reply;
	if (diagnosing && pthread_create(&diagnosing->thread, NULL, walk, diagnosing) == 0) {
		daemon->diagnoses++;
		return;
	}
	if (diagnosing)
		diagnosing_free(diagnosing);
	problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "%u diagnoses are under way already; ask again",
		    daemon->diagnoses);
	reply_problem(reply, &problem);
}

int diagnoses_start(struct daemon *daemon, struct err *err)
{
	daemon->diagnoses_done = mailbox_new(daemon->base, err);
	return daemon->diagnoses_done ? 0 : -1;
}

void diagnoses_stop(struct daemon *daemon)
{
	/* Walks have deadlines of their own; the last letters are delivered while everything is still there. */
	while (daemon->diagnoses)
		mailbox_wait(daemon->diagnoses_done);
	mailbox_free(daemon->diagnoses_done);
	daemon->diagnoses_done = NULL;
}
