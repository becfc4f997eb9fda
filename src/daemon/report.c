/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that need more than one room: status, connections, reach. All of them copy known values; none changes anything.
 */
#include "daemon/report.h"

#include "base/err.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/collect.h"
#include "daemon/daemon.h"
#include "daemon/door.h"
#include "daemon/handed_over.h"
#include "daemon/loopback.h"
#include "daemon/not_open.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "daemon/uses.h"
#include "wire/write.h"

#include <errno.h>
#include <jansson.h>
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
	    json_pack("{s:s, s:s, s:o, s:s, s:{s:i, s:i, s:i, s:i}, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
		      PACKAGE_VERSION, "api", CONTROL_API_VERSION, "host", daemon_report_host(), "state",
		      daemon_report_state(daemon->state), "pool", "ready", (int)pool.ready, "target", (int)pool.target,
		      "quarantined", (int)pool.quarantined, "deleting", (int)pool.deleting, "sandboxes", states,
		      "connections", (json_int_t)stats.connections_open, "not_open", daemon_not_open_list(daemon),
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

static void daemon_report_connections(void *context, const struct fwd_connection_info *info, size_t count)
{
	if (!info) {
		control_request_refuse_unavailable(context, "out of memory");
		return;
	}
	json_t *connections = json_array();

	for (size_t i = 0; i < count && connections; i++) {
		if (json_array_append_new(connections, daemon_report_connection(&info[i])) == 0)
			continue;
		json_decref(connections);
		connections = NULL;
	}
	control_request_answer(context, 200, json_pack("{s:o}", "connections", connections));
}

void daemon_connections(void *context, struct control_request *request)
{
	static const struct fwd_connection_info none;
	struct daemon *daemon = context;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);

	if (!sandbox)
		return;
	if (sandbox->tenant && daemon_tenant_of(sandbox)->route)
		fwd_route_list(daemon_tenant_of(sandbox)->route, CONNECTIONS_LISTED_MAX, daemon_report_connections,
			       request);
	else
		daemon_report_connections(request, &none, 0);
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
