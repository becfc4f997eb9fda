/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that need more than one room: status, connections, reach. All of them copy known values; none changes anything.
 */
#include "daemon/report.h"

#include "base/err.h"
#include "config/config.h"
#include "config/layout.h"
#include "control/control.h"
#include "daemon/collect.h"
#include "daemon/daemon.h"
#include "daemon/door.h"
#include "daemon/handed_over.h"
#include "daemon/idle.h"
#include "daemon/loopback.h"
#include "daemon/not_open.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "daemon/uses.h"
#include "wire/write.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/utsname.h>

enum { CONNECTIONS_LISTED_MAX = 10000 };

/* As the API names it. */
static const char *daemon_report_state(enum daemon_state state)
{
	switch (state) {
	case DAEMON_LOADING:
	case DAEMON_ADOPTING:
		return "adopting";
	case DAEMON_RUNNING:
		return "running";
	case DAEMON_STOPPING:
		return "stopping";
	}
	return "unknown";
}

void daemon_refresh(void *context, struct sandbox *sandbox)
{
	daemon_collect_now(context, sandbox);
	daemon_idle_refresh(context);
	daemon_tenant_refresh(sandbox);
}

/* The name by which people know this host. */
static json_t *daemon_report_host(void)
{
	struct utsname names;

	return wire_write_text(uname(&names) == 0 ? names.nodename : "");
}

void daemon_status(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	struct fabric_pool pool = { .target = daemon->config->pool.size };
	struct fwd_stats stats = { 0 };
	json_t *states = json_object();

	/* The status is asked for from the first moment on. */
	if (daemon->fabric)
		fabric_pool_state(daemon->fabric, &pool);
	if (daemon->forwarder)
		fwd_stats(daemon->forwarder, &stats);
	for (unsigned i = 0; i < SANDBOX_STATES && states; i++) {
		enum sandbox_state state = (enum sandbox_state)i;
		json_t *number = json_integer((json_int_t)registry_count_state(daemon->registry, state));

		if (json_object_set_new(states, registry_sandbox_state_name(state), number) == 0)
			continue;
		json_decref(states);
		states = NULL;
	}
	control_request_answer(
	    request, 200,
	    json_pack("{s:s, s:s, s:o, s:s, s:{s:i, s:i, s:i, s:i}, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
		      "version", PACKAGE_VERSION, "api", CONTROL_API_VERSION, "host", daemon_report_host(), "state",
		      daemon_report_state(daemon->state), "pool", "ready", (int)pool.ready, "target", (int)pool.target,
		      "quarantined", (int)pool.quarantined, "deleting", (int)pool.deleting, "sandboxes", states,
		      "connections", (json_int_t)stats.connections_open, "event_readers",
		      (json_int_t)control_event_readers(daemon->control), "not_open", daemon_not_open_list(daemon),
		      "uses", daemon_uses_describe(daemon), "handover", daemon_handed_over_describe(daemon), "door",
		      daemon_door_describe(daemon), "catalog", daemon_publish_describe(daemon), "loopback",
		      daemon_loopback_describe(daemon)));
}

/* NULL for want of memory. */
static json_t *daemon_report_connection(const struct fwd_connection_info *info)
{
	json_t *connect_ms = info->connect_ms < 0 ? json_null() : json_integer(info->connect_ms);

	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "id", (json_int_t)info->id, "direction",
			 fwd_direction_name(info->direction), "path", "forwarder", "endpoint", info->endpoint, "client",
			 info->client, "state", info->state, "bytes_to_guest", (json_int_t)info->bytes_to_guest,
			 "bytes_from_guest", (json_int_t)info->bytes_from_guest, "age_ms", (json_int_t)info->age_ms,
			 "connect_ms", connect_ms);
}

/* NULL for want of memory. */
static json_t *daemon_report_client(const struct fabric_client *client)
{
	char endpoint[ADDR_TEXT_SIZE], from[ADDR_TEXT_SIZE];
	const char *state = client->connecting ? "dialing" : client->closing ? "half-closed" : "open";
	json_int_t id = (json_int_t)addr_port(&client->client) << 16 | addr_port(&client->to);

	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:n}", "id", id, "direction",
			 fwd_direction_name(DIRECTION_IN), "path", "kernel", "endpoint",
			 addr_format(&client->asked, endpoint), "client", addr_format(&client->client, from), "state",
			 state, "bytes_to_guest", (json_int_t)client->bytes_to_guest, "bytes_from_guest",
			 (json_int_t)client->bytes_from_guest, "age_ms", (json_int_t)client->age_ms, "connect_ms");
}

/* An answer with the forwarder's connections, to which those of the kernel are added. */
struct report_connections {
	struct daemon *daemon;
	struct control_request *request;
	json_t *list; /* NULL: there was no memory */
};

static void daemon_report_append(json_t **list, json_t *item)
{
	if (*list && json_array_append_new(*list, item) == 0)
		return;
	if (!*list)
		json_decref(item);
	json_decref(*list);
	*list = NULL;
}

static void daemon_report_answer_connections(struct report_connections *report)
{
	if (report->list)
		control_request_answer(report->request, 200, json_pack("{s:o}", "connections", report->list));
	else
		control_request_refuse_unavailable(report->request, "out of memory");
	free(report);
}

static void daemon_report_clients(void *context, const struct fabric_client *clients, size_t count,
				  const struct err *err)
{
	struct report_connections *report = context;
	struct problem problem;

	if (err) {
		daemon_explain(err, &problem);
		control_request_refuse(report->request, &problem);
		json_decref(report->list);
		free(report);
		return;
	}
	for (size_t i = 0; i < count && report->list; i++)
		daemon_report_append(&report->list, daemon_report_client(&clients[i]));
	daemon_report_answer_connections(report);
}

/* Asks the kernel for those that go past the forwarder, as far as there is room for more. */
static bool daemon_report_ask_for_clients(struct report_connections *report)
{
	struct daemon *daemon = report->daemon;
	const struct sandbox *sandbox = registry_find(daemon->registry, report->request->target.id);
	size_t known = json_array_size(report->list);

	if (!report->list || !sandbox || !daemon->fabric || !daemon_loopback_may_have_led(daemon) ||
	    known >= CONNECTIONS_LISTED_MAX)
		return false;
	if (fabric_list_clients(daemon->fabric, config_host_ip(sandbox->layout, sandbox->slot),
				daemon_loopback_origins(daemon), CONNECTIONS_LISTED_MAX - known, daemon_report_clients,
				report))
		return true;
	json_decref(report->list);
	report->list = NULL;
	return false;
}

static void daemon_report_connections(void *context, const struct fwd_connection_info *info, size_t count)
{
	struct report_connections *report = context;

	report->list = info ? json_array() : NULL;
	for (size_t i = 0; i < count && report->list; i++)
		daemon_report_append(&report->list, daemon_report_connection(&info[i]));
	if (!daemon_report_ask_for_clients(report))
		daemon_report_answer_connections(report);
}

void daemon_connections(void *context, struct control_request *request)
{
	static const struct fwd_connection_info none;
	struct daemon *daemon = context;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);
	struct report_connections *report = sandbox ? calloc(1, sizeof(*report)) : NULL;

	if (!sandbox)
		return;
	if (!report) {
		control_request_refuse_unavailable(request, "out of memory");
		return;
	}
	*report = (struct report_connections){ .daemon = daemon, .request = request };
	if (sandbox->tenant && daemon_tenant_of(sandbox)->route)
		fwd_route_list(daemon_tenant_of(sandbox)->route, CONNECTIONS_LISTED_MAX, daemon_report_connections,
			       report);
	else
		daemon_report_connections(report, &none, 0);
}

static void daemon_report_reach(void *context, const struct fabric_reach *reach, const struct err *err)
{
	struct problem problem;

	if (err) {
		daemon_explain(err, &problem);
		/* No slot, as one that is still being made has none, or no rules, which are put back. */
		if (err->code == ENOENT)
			problem.kind = PROBLEM_UNAVAILABLE;
		control_request_refuse(context, &problem);
		return;
	}
	control_request_answer(
	    context, 200,
	    json_pack("{s:b, s:s, s:s}", "allowed", reach->allowed, "rule", reach->rule, "set", reach->set));
}

void daemon_reach(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	const struct control_target *target = &request->target;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);
	struct problem problem;

	if (!sandbox)
		return;
	if (daemon_tenant_refuse_untaken(sandbox, &problem) < 0)
		control_request_refuse(request, &problem);
	else
		fabric_reach(daemon->fabric, sandbox->slot, target->destination, target->ip_proto, target->port,
			     daemon_report_reach, request);
}
