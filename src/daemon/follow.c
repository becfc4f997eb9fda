/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A report of the kernel changes the registry's record, then the route, then the state. Reports about slots without a sandbox
 * concern slots on their way out, and say only whether a number is free again.
 */
#include "daemon/follow.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/asleep.h"
#include "daemon/daemon.h"
#include "daemon/idle.h"
#include "daemon/loopback.h"
#include "daemon/metrics.h"
#include "daemon/reserve.h"
#include "daemon/tenant.h"
#include "forwarder/handover.h"
#include "store/store.h"
#include "wire/write.h"

#include <jansson.h>

static void daemon_follow_carrier(void *context, unsigned slot, bool up, int64_t downs)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_at(daemon->registry, slot);
	struct tenant *tenant = sandbox ? daemon_tenant_of(sandbox) : NULL;

	/* A drain that waits for clients of the kernel's has no route any more. */
	if (tenant && !up && !tenant->route && (tenant->drain.asking || timer_is_armed(&tenant->drain.timer)))
		daemon_loopback_end_clients(tenant);
	if (!tenant || !tenant->route || sandbox->carrier == up)
		return;
	/* Whoever connected from now on would wait for an answer in vain. */
	daemon_loopback_cut(tenant);
	daemon_loopback_forget(tenant);
	if (!up && !sandbox->paused)
		daemon_loopback_end_clients(tenant);
	sandbox->carrier = up;
	sandbox->carrier_downs = downs;
	sandbox->was_attached |= up;
	sandbox->guest_answers = false;
	fwd_route_set_ready(tenant->route, false);
	fwd_route_set_carrier_downs(tenant->route, downs);
	fwd_route_set_up(tenant->route, up);
	daemon_asleep_note_carrier(tenant);
	enum sandbox_state before = sandbox->state;
	daemon_tenant_settle(tenant, "carrier");
	/* Else the line of the new state is enough. */
	if (sandbox->state == before)
		log_limited(&registry_sandbox_lines, LOG_INFO_LEVEL, up ? "a VM opened the TAP" : "the VM left the TAP",
			    F_SANDBOX(sandbox), F_UINT("slot", slot));
}

/* A failure that only DELETE ends outlives a restart. The guard writes the file later if it cannot be written now. */
static void daemon_follow_keep_failure(struct daemon *daemon, struct sandbox *sandbox)
{
	struct err ignored;

	if (store_save(daemon->store, sandbox, &ignored) < 0)
		daemon_tenant_of(sandbox)->unsaved = true;
}

/* The report alone: its endpoints stay open, its route follows the carrier, and connections go on. Only the probe stops. */
static void daemon_follow_failed(void *context, unsigned slot, enum failure failure, const char *why)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_at(daemon->registry, slot);

	if (!sandbox)
		return;
	if (failure == FAILURE_TEARDOWN) {
		registry_sandbox_fail(daemon->registry, sandbox, failure, "teardown", why);
		return;
	}
	if (sandbox->state == SANDBOX_DRAINING ||
	    (sandbox->state == SANDBOX_CREATING && !(sandbox->tenant && daemon_tenant_of(sandbox)->stored)))
		return;
	registry_sandbox_fail(daemon->registry, sandbox, failure, "kernel", why);
	if (!daemon_tenant_of(sandbox))
		return;
	daemon_tenant_follow_readiness(daemon_tenant_of(sandbox));
	if (failure == FAILURE_TAP)
		daemon_follow_keep_failure(daemon, sandbox);
}

static void daemon_follow_recovered(void *context, unsigned slot)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_at(daemon->registry, slot);

	if (sandbox && daemon_tenant_of(sandbox))
		daemon_tenant_recover(daemon_tenant_of(sandbox));
}

static json_t *daemon_follow_describe_rival(const struct fabric_rival *by)
{
	char text[IPV4_TEXT_SIZE];

	return json_pack("{s:s?, s:s?, s:s, s:o?, s:o?}", "gateway",
			 by->gateway ? addr_ipv4_format(by->gateway, text) : NULL, "device",
			 by->device[0] ? by->device : NULL, "protocol", by->protocol, "table",
			 by->table ? json_integer((json_int_t)by->table) : json_null(), "rule",
			 by->rule ? json_integer((json_int_t)by->rule) : json_null());
}

/* NULL for want of memory: an event is whole, or none. */
static json_t *daemon_follow_describe(const struct fabric_repair *repair)
{
	json_t *fields = json_pack("{s:s, s:b}", "what", repair->what, "ok", repair->ok);
	int result = fields ? 0 : -1;

	if (result == 0 && repair->error)
		result = json_object_set_new(fields, "error", wire_write_text(repair->error));
	if (result == 0 && repair->by)
		result = json_object_set_new(fields, "by", daemon_follow_describe_rival(repair->by));
	if (result == 0)
		return fields;
	json_decref(fields);
	return NULL;
}

static void daemon_follow_log_repair(const struct fabric_repair *repair, const struct sandbox *sandbox)
{
	const struct fabric_rival *by = repair->by;
	const char *id = sandbox ? sandbox->id : NULL, *name = sandbox ? registry_sandbox_name(sandbox) : NULL;
	char gateway[IPV4_TEXT_SIZE];

	if (repair->changed)
		log_seldom(LOG_WARNING_LEVEL, "repaired", F_STR("sandbox", id), F_STR("name", name),
			   F_STR("what", repair->what));
	else if (repair->ok)
		log_seldom(LOG_INFO_LEVEL, "in order again", F_STR("sandbox", id), F_STR("name", name),
			   F_STR("what", repair->what));
	else if (by)
		log_seldom(LOG_WARNING_LEVEL, "another route stands in front of ours", F_STR("sandbox", id),
			   F_STR("what", repair->what),
			   F_STR("gateway", by->gateway ? addr_ipv4_format(by->gateway, gateway) : NULL),
			   F_STR("device", by->device[0] ? by->device : NULL), F_STR("protocol", by->protocol),
			   F_UINT("table", by->table), F_UINT("rule", by->rule));
	else
		log_seldom(LOG_WARNING_LEVEL, "not looked at or repaired; trying again", F_STR("sandbox", id),
			   F_STR("what", repair->what), F_STR("error", repair->error));
}

void daemon_follow_repair(void *context, const struct fabric_repair *repair)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = repair->slot ? registry_at(daemon->registry, repair->slot) : NULL;

	if (repair->changed)
		daemon_metrics_count_repair(daemon);
	if (!repair->ok)
		daemon_metrics_count_repair_failure(daemon);
	daemon_follow_log_repair(repair, sandbox);
	control_event(daemon->control, "repair", sandbox ? sandbox->id : NULL, daemon_follow_describe(repair));
}

void daemon_follow_repaired(struct daemon *daemon, unsigned slot, const char *what)
{
	daemon_follow_repair(daemon,
			     &(struct fabric_repair){ .slot = slot, .what = what, .ok = true, .changed = true });
}

static void daemon_follow_host(void *context, const char *check, bool ok, const char *detail)
{
	struct daemon *daemon = context;

	if (ok)
		log_info("the host has changed", F_STR("check", check), F_STR("detail", detail));
	else
		log_error("the host is not in order", F_STR("check", check), F_STR("detail", detail));
	control_event_host(daemon->control, check, ok ? "ok" : "fail", detail);
}

static void daemon_follow_slot_going(void *context, unsigned slot)
{
	struct daemon *daemon = context;

	registry_block_slot(daemon->registry, slot, "its former objects are still going away");
}

static void daemon_follow_slot_free(void *context, unsigned slot)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_at(daemon->registry, slot);

	if (sandbox && sandbox->tenant)
		daemon_tenant_of(sandbox)->slot_freed = true;
	if (!daemon_reserve_has(daemon, slot))
		registry_unblock_slot(daemon->registry, slot);
}

static void daemon_follow_slot_foreign(void *context, unsigned slot, const char *why)
{
	struct daemon *daemon = context;

	log_warning("slot skipped", F_UINT("slot", slot), F_STR("why", why));
	registry_block_slot(daemon->registry, slot, why);
}

static void daemon_follow_denied(void *context, unsigned slot, const struct fabric_denial *denial)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_at(daemon->registry, slot);
	char text[IPV4_TEXT_SIZE];

	if (!sandbox)
		return;
	control_event(daemon->control, "denied", sandbox->id,
		      json_pack("{s:s, s:s, s:s, s:i}", "rule", denial->rule, "proto", denial->proto, "destination",
				addr_ipv4_format(denial->destination, text), "port", (int)denial->port));
}

/*
 * A state outlives a kill: its file is written at once, but not for each of many changes in a row, which a VMM can provoke without
 * end. The guard writes it then, or after a change of the sandbox that is under way.
 */
static void daemon_follow_store(const struct sandbox *sandbox, enum sandbox_state from)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);

	if (!tenant || tenant->kept || tenant->unregistered || sandbox->state == SANDBOX_DRAINING)
		return;
	if (from == SANDBOX_CREATING)
		tenant->unsaved = true;
	else
		daemon_tenant_save(tenant);
}

static void daemon_follow_pool_changed(void *context)
{
	(void)context; /* it is asked for when it is shown */
}

const struct fabric_watcher follow_watcher = {
	.carrier = daemon_follow_carrier,
	.failed = daemon_follow_failed,
	.recovered = daemon_follow_recovered,
	.repair = daemon_follow_repair,
	.host = daemon_follow_host,
	.slot_going = daemon_follow_slot_going,
	.slot_free = daemon_follow_slot_free,
	.slot_foreign = daemon_follow_slot_foreign,
	.denied = daemon_follow_denied,
	.pool_changed = daemon_follow_pool_changed,
};

void daemon_follow_state_changed(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
				 uint64_t previous_ms)
{
	struct daemon *daemon = context;

	if (daemon_tenant_of(sandbox)) {
		daemon_idle_note(&daemon_tenant_of(sandbox)->idle, clock_now_ms());
		daemon_loopback_follow(daemon_tenant_of(sandbox));
	}
	daemon_follow_store(sandbox, from);
	control_state_changed(daemon->control, sandbox, from, cause, previous_ms);
	if (sandbox->tenant)
		daemon_asleep_follow(daemon_tenant_of(sandbox));
}
