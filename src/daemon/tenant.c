/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tenant joins a sandbox's record to the objects that serve it: the route of the forwarder, the descriptor of its
 * namespace, and the probe that asks the guest whether it is ready. The registry's record (carrier, paused, answers) is the
 * truth; this file hands it on.
 */
#include "daemon/tenant.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "config/layout.h"
#include "daemon/daemon.h"
#include "daemon/loopback.h"
#include "forwarder/handover.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

int daemon_tenant_new(struct daemon *daemon, struct sandbox *sandbox, struct err *err)
{
	struct tenant *tenant = calloc(1, sizeof(*tenant));

	if (!tenant)
		return err_set(err, ENOMEM, "sandbox %s", sandbox->id);
	tenant->daemon = daemon;
	tenant->sandbox = sandbox;
	tenant->netns_fd = -1;
	tenant->saves = (struct base_burst){ .burst = 10, .interval_ms = 10000 };
	TAILQ_INIT(&tenant->leaving);
	tenant->route = fwd_route_new(daemon->forwarder, sandbox->id, sandbox->slot, &sandbox->spec->limits);
	if (!tenant->route) {
		free(tenant);
		return err_set(err, ENOMEM, "route of sandbox %s", sandbox->id);
	}
	fwd_route_on_answered(tenant->route, daemon_loopback_on_answered, tenant);
	fwd_route_set_guest(tenant->route, sandbox->layout->guest.ip);
	fwd_route_set_source(tenant->route, config_host_ip(sandbox->layout, sandbox->slot));
	fwd_route_set_pace(tenant->route, sandbox->spec->bandwidth.from_guest.rate);
	fwd_route_set_isolated(tenant->route, sandbox->spec->egress.isolated);
	fwd_route_set_door(tenant->route, &sandbox->spec->door);
	fwd_route_set_name(tenant->route, registry_sandbox_name(sandbox));
	sandbox->tenant = tenant;
	return 0;
}

void daemon_tenant_refuse_leaving(struct tenant *tenant, const struct problem *problem)
{
	struct control_request_list owed = TAILQ_HEAD_INITIALIZER(owed);
	struct control_request *request;

	/* An answer may bring the client's next request, which is not meant here. */
	TAILQ_CONCAT(&owed, &tenant->leaving, next);
	while ((request = TAILQ_FIRST(&owed))) {
		TAILQ_REMOVE(&owed, request, next);
		control_request_refuse(request, problem);
	}
}

void daemon_tenant_free(struct tenant *tenant)
{
	struct problem problem;

	registry_problem_stopping(&problem, "weftd is stopping");
	if (tenant->registering)
		control_request_refuse(tenant->registering, &problem);
	daemon_tenant_refuse_leaving(tenant, &problem);
	if (tenant->probe)
		fwd_probe_stop(tenant->probe);
	daemon_loopback_cut(tenant);
	cleanup_fd(&tenant->netns_fd);
	tenant->sandbox->tenant = NULL;
	vec_free(&tenant->entered.answered);
	timer_free(&tenant->drain.timer);
	free(tenant->last_diagnosis);
	free(tenant);
}

static void daemon_tenant_on_ready(void *context)
{
	struct tenant *tenant = context;

	fwd_probe_stop(tenant->probe);
	tenant->probe = NULL;
	tenant->sandbox->guest_answers = true;
	fwd_route_set_ready(tenant->route, true);
	daemon_tenant_settle(tenant, "probe");
}

void daemon_tenant_follow_readiness(struct tenant *tenant)
{
	struct sandbox *sandbox = tenant->sandbox;
	bool settled = sandbox->state != SANDBOX_CREATING && sandbox->state != SANDBOX_DRAINING &&
		       sandbox->state != SANDBOX_FAILED;
	bool asking = settled && !tenant->takeover.untaken && sandbox->carrier && !sandbox->paused &&
		      sandbox->spec->ready_port && !sandbox->guest_answers;

	if (!asking && tenant->probe) {
		fwd_probe_stop(tenant->probe);
		tenant->probe = NULL;
	}
	if (asking && !tenant->probe)
		tenant->probe =
		    fwd_probe_start(tenant->route, sandbox->spec->ready_port, daemon_tenant_on_ready, tenant);
	/* After a failed teardown the route is gone, and the sandbox may be unregistered again. */
	if (tenant->route)
		fwd_route_set_ready(tenant->route, sandbox->guest_answers);
}

void daemon_tenant_settle(struct tenant *tenant, const char *cause)
{
	struct sandbox *sandbox = tenant->sandbox;

	if (sandbox->state == SANDBOX_CREATING || sandbox->state == SANDBOX_DRAINING ||
	    sandbox->state == SANDBOX_FAILED)
		return;
	enum sandbox_state state = registry_sandbox_settled_state(sandbox);
	if (state != sandbox->state)
		registry_sandbox_set_state(tenant->daemon->registry, sandbox, state, cause, NULL);
	daemon_tenant_follow_readiness(tenant);
}

void daemon_tenant_forget_takeover(struct tenant *tenant)
{
	if (tenant->takeover.untaken)
		fabric_shun(tenant->daemon->fabric, tenant->sandbox->slot, false);
	tenant->takeover.untaken = false;
}

void daemon_tenant_recover(struct tenant *tenant)
{
	struct sandbox *sandbox = tenant->sandbox;

	if (sandbox->state != SANDBOX_FAILED || registry_failure_is_final(sandbox->failure))
		return;
	registry_sandbox_set_state(tenant->daemon->registry, sandbox, registry_sandbox_settled_state(sandbox),
				   "recovered", NULL);
	daemon_tenant_follow_readiness(tenant);
}

int daemon_tenant_refuse(const struct sandbox *sandbox, struct problem *problem)
{
	return registry_problem_set(problem, PROBLEM_CONFLICT, "id", "sandbox %s is %s%s%s", sandbox->id,
				    registry_sandbox_state_name(sandbox->state), *sandbox->reason ? ": " : "",
				    sandbox->reason);
}

int daemon_tenant_refuse_untaken(const struct sandbox *sandbox, struct problem *problem)
{
	if (!daemon_tenant_of(sandbox)->takeover.untaken || sandbox->state == SANDBOX_FAILED)
		return 0;
	return registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL,
				    "sandbox %s is not taken over yet; that is tried again, and so should this be",
				    sandbox->id);
}

int daemon_tenant_check_policy(const struct spec *spec, struct problem *problem)
{
	struct err err;

	if (fabric_check_egress(&spec->egress, &err) == 0)
		return 0;
	return registry_problem_set(problem, err.code ? PROBLEM_UNAVAILABLE : PROBLEM_BAD_REQUEST,
				    err.code ? NULL : "/egress", "%s", err.text);
}

void daemon_tenant_attach_namespace(struct tenant *tenant, const struct fabric_slot *slot)
{
	struct sandbox *sandbox = tenant->sandbox;
	int former = tenant->netns_fd;

	tenant->netns_fd = slot->netns_fd;
	sandbox->mtu = slot->mtu;
	tenant->unsaved |= sandbox->netns_device != slot->netns_device || sandbox->netns_inode != slot->netns_inode;
	sandbox->netns_device = slot->netns_device;
	sandbox->netns_inode = slot->netns_inode;
	sandbox->carrier = slot->carrier;
	tenant->unsaved |= sandbox->carrier_downs != slot->carrier_downs;
	sandbox->carrier_downs = slot->carrier_downs;
	sandbox->was_attached |= slot->carrier;
	fwd_route_set_namespace(tenant->route, tenant->netns_fd);
	cleanup_fd(&former);
	if (sandbox->paused)
		fwd_route_pause(tenant->route);
	fwd_route_set_carrier_downs(tenant->route, slot->carrier_downs);
	fwd_route_set_up(tenant->route, slot->carrier);
}

static size_t daemon_tenant_count_nat(const struct sandbox *sandbox)
{
	size_t count = 0;

	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		if (sandbox->endpoints[i].port.via == VIA_NAT)
			count += sandbox->endpoints[i].listen_count;
	return count;
}

static void daemon_tenant_add_nat(struct tenant_plan *made, const struct endpoint *endpoint)
{
	if (endpoint->port.via != VIA_NAT)
		return;
	for (size_t i = 0; i < endpoint->listen_count; i++)
		made->nat[made->plan.nat_count++] = (struct fabric_nat){ .listen = endpoint->listen[i],
									 .proto = endpoint->port.proto,
									 .guest_port = endpoint->port.guest_port };
}

static struct fabric_plan daemon_tenant_plan_of(const struct sandbox *sandbox)
{
	const struct spec *spec = sandbox->spec;

	return (struct fabric_plan){ .slot = sandbox->slot,
				     .layout = sandbox->layout,
				     .mtu = sandbox->mtu,
				     .id = sandbox->id,
				     .netns_device = sandbox->netns_device,
				     .netns_inode = sandbox->netns_inode,
				     .has_tap_owner = spec->tap_owner.set,
				     .tap_uid = spec->tap_owner.uid,
				     .tap_gid = spec->tap_owner.gid,
				     .egress = &spec->egress,
				     .bandwidth = &spec->bandwidth,
				     .paused = sandbox->paused,
				     .strict = sandbox->strict && !sandbox->paused };
}

struct tenant_plan *daemon_tenant_plan_new(const struct sandbox *sandbox)
{
	size_t nat = daemon_tenant_count_nat(sandbox), ports = registry_wake_ports(sandbox, NULL, 0);
	struct tenant_plan *made =
	    calloc(1, sizeof(*made) + nat * sizeof(made->nat[0]) + ports * sizeof(struct wake_port));
	struct wake_port *wake;

	if (!made)
		return NULL;
	wake = (struct wake_port *)(void *)&made->nat[nat];
	made->plan = daemon_tenant_plan_of(sandbox);
	made->plan.nat = made->nat;
	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		daemon_tenant_add_nat(made, &sandbox->endpoints[i]);
	registry_wake_ports(sandbox, wake, ports);
	made->wake =
	    (struct fabric_wake){ .any = sandbox->spec->wake.which == WAKE_ANY, .ports = wake, .count = ports };
	if (sandbox->paused && sandbox->spec->wake.which != WAKE_NEVER)
		made->plan.wake = &made->wake;
	return made;
}

void daemon_tenant_save(struct tenant *tenant)
{
	struct err ignored;

	tenant->unsaved = true;
	if (tenant->busy || !base_burst_allows(&tenant->saves, clock_now_ms()))
		return;
	if (store_save(tenant->daemon->store, tenant->sandbox, &ignored) == 0)
		tenant->unsaved = false;
}

void daemon_tenant_refresh(struct sandbox *sandbox)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);
	struct fwd_route_stats stats;
	uint64_t led;

	if (!tenant || !tenant->route)
		return;
	fwd_route_stats(tenant->route, &stats);
	daemon_loopback_connections(tenant, &led, &sandbox->counters.connections_entered);
	sandbox->counters.connections_open = stats.connections_open;
	sandbox->counters.connections_held = stats.connections_held;
	sandbox->counters.connections_total = tenant->base.connections_total + stats.connections_total + led;
	if (stats.last_activity_ms > sandbox->last_activity_ms)
		sandbox->last_activity_ms = stats.last_activity_ms;
	daemon_idle_note(&tenant->idle, stats.active_ms);
}
