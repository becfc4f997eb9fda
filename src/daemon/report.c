/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that need more than one room: status, connections, reach. All of them copy what is known; none changes anything.
 */
#include "base/err.h"
#include "config/config.h"
#include "daemon/daemon.h"

#include <stdlib.h>

enum { CONNECTIONS_LISTED_MAX = 10000 };

static const char *daemon_state_name(enum daemon_state state)
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
	collect_now(context, sandbox);
	tenant_refresh(sandbox);
}

void daemon_status(void *context, struct reply *reply)
{
	struct daemon *daemon = context;
	struct fabric_pool pool = { .target = daemon->config->pool.size };
	struct forwarder_stats stats = { 0 };
	json_t *states = json_object();

	/* Asked from the first moment on. */
	if (daemon->fabric)
		fabric_pool_state(daemon->fabric, &pool);
	if (daemon->forwarder)
		forwarder_stats(daemon->forwarder, &stats);
	for (unsigned i = 0; i < SANDBOX_STATES; i++)
		json_object_set_new(
		    states, sandbox_state_name((enum sandbox_state)i),
		    json_integer((json_int_t)registry_count_state(daemon->registry, (enum sandbox_state)i)));
	reply_json(reply, 200,
		   json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i}, s:o, s:I}", "version", PACKAGE_VERSION, "state",
			     daemon_state_name(daemon->state), "pool", "ready", (int)pool.ready, "target",
			     (int)pool.target, "quarantined", (int)pool.quarantined, "deleting", (int)pool.deleting,
			     "sandboxes", states, "connections", (json_int_t)stats.connections_open));
}

static json_t *describe(const struct connection_info *info)
{
	json_t *connection =
	    json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:I}", "id", (json_int_t)info->id, "endpoint", info->endpoint,
		      "client", info->client, "state", info->state, "bytes_to_guest", (json_int_t)info->bytes_to_guest,
		      "bytes_from_guest", (json_int_t)info->bytes_from_guest, "age_ms", (json_int_t)info->age_ms);

	json_object_set_new(connection, "connect_ms",
			    info->connect_ms < 0 ? json_null() : json_integer(info->connect_ms));
	return connection;
}

static void on_listed(void *context, const struct connection_info *info, size_t count)
{
	json_t *connections = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(connections, describe(&info[i]));
	reply_json(context, 200, json_pack("{s:o}", "connections", connections));
}

void daemon_connections(void *context, struct sandbox *sandbox, struct reply *reply)
{
	struct tenant *tenant = tenant_of(sandbox);

	(void)context;
	if (tenant && tenant->route)
		route_list(tenant->route, CONNECTIONS_LISTED_MAX, on_listed, reply);
	else
		on_listed(reply, NULL, 0);
}

static void on_reach(void *context, const struct fabric_reach *reach, const struct err *err)
{
	struct problem problem;

	if (err) {
		problem_set(&problem, PROBLEM_INTERNAL, NULL, "%s", err->text);
		reply_problem(context, &problem);
		return;
	}
	reply_json(context, 200,
		   json_pack("{s:b, s:s, s:s}", "allowed", reach->allowed, "rule", reach->rule, "set", reach->set));
}

void daemon_reach(void *context, struct sandbox *sandbox, uint32_t destination, enum proto proto, uint16_t port,
		  struct reply *reply)
{
	struct daemon *daemon = context;

	fabric_reach(daemon->fabric, sandbox->slot, destination, proto, port, on_reach, reply);
}
