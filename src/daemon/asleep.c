/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three things wake a sandbox: a packet that the kernel logs (wake/), a client that the forwarder holds, at an endpoint or at the door, and
 * POST. The first in a pause makes an event and a post to [wake] notify. While more come, both are repeated each `timeout_ms`, because the
 * manager may have failed.
 *
 * A packet or client that comes shortly after the pause may be the last of those who had the sandbox paused, and is passed over: the sandbox
 * rests. A client that is still held at the end of the rest counts, as one that retransmits does on the kernel path.
 *
 * A manager that was asked before a restart is asked once more after it: nobody knows how far the former run got.
 */
#include "daemon/asleep.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "config/layouts.h"
#include "control/control.h"
#include "daemon/asleep_cause.h"
#include "daemon/daemon.h"
#include "daemon/tenant.h"
#include "wake/wake.h"
#include "wire/wire.h"
#include "wire/write.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ASLEEP_STEP_MS = 20,    /* two looks at all sandboxes are at least so far apart */
	ASLEEP_AGAIN_MS = 1000, /* after a shortage */
};

struct asleep {
	struct daemon *daemon;
	struct wake *wake;
	struct timer timer; /* for the earliest due time of all */
	uint64_t timer_ms;  /* that time; 0: the timer is not armed */
	bool notifies;      /* there is a [wake] notify */
};

/* ---- The phase ---- */

static const char *const asleep_names[] = { "awake", "resting", "waiting", "asked" };

static void daemon_asleep_become(struct tenant *tenant, enum asleep_phase phase)
{
	static const unsigned moves[] = {
		[ASLEEP_AWAKE] = 1 << ASLEEP_RESTING | 1 << ASLEEP_ASKED,
		[ASLEEP_RESTING] = 1 << ASLEEP_WAITING | 1 << ASLEEP_ASKED | 1 << ASLEEP_AWAKE,
		[ASLEEP_WAITING] = 1 << ASLEEP_ASKED | 1 << ASLEEP_AWAKE,
		[ASLEEP_ASKED] = 1 << ASLEEP_AWAKE,
	};
	enum asleep_phase from = tenant->asleep.phase;

	base_assert(moves[from] & 1U << phase);
	tenant->asleep.phase = phase;
	log_debug("sleep of a sandbox", F_SANDBOX(tenant->sandbox), F_STR("from", asleep_names[from]),
		  F_STR("to", asleep_names[phase]));
}

static uint32_t daemon_asleep_address(const struct tenant *tenant)
{
	return config_host_ip(tenant->sandbox->layout, tenant->sandbox->slot);
}

/* ---- Due times ---- */

static void daemon_asleep_arm(struct asleep *asleep, uint64_t due_ms)
{
	uint64_t now_ms = clock_now_ms();

	if (asleep->timer_ms && asleep->timer_ms <= due_ms)
		return;
	asleep->timer_ms = due_ms;
	timer_start(&asleep->timer, due_ms > now_ms + ASLEEP_STEP_MS ? due_ms - now_ms : ASLEEP_STEP_MS);
}

static void daemon_asleep_wait(struct tenant *tenant, uint64_t due_ms)
{
	tenant->asleep.due_ms = due_ms;
	daemon_asleep_arm(tenant->daemon->asleep, due_ms);
}

/* Tells TENANT's route what wakes it; nothing does unless it SLEEPS. */
static void daemon_asleep_set_route(struct tenant *tenant, bool sleeps)
{
	const struct sandbox *sandbox = tenant->sandbox;
	const struct spec_wake *spec = &sandbox->spec->wake;
	const struct cidr4_list *ignore = &tenant->daemon->config->wake.ignore;
	struct fwd_wake wake = { .any = spec->which == WAKE_ANY,
				 .endpoints = spec->which == WAKE_PUBLISHED,
				 .ignored = ignore->items,
				 .ignored_count = ignore->count,
				 .timeout_ms = spec->timeout_ms };
	size_t count = sleeps ? registry_wake_ports(sandbox, NULL, 0) : 0;
	struct fwd_wake_port *ports = NULL;
	struct wake_port *found = NULL;

	if (count) {
		found = calloc(count, sizeof(*found));
		ports = calloc(count, sizeof(*ports));
	}
	if (found && ports) {
		wake.port_count = registry_wake_ports(sandbox, found, count);
		wake.ports = ports;
		for (size_t i = 0; i < count; i++)
			ports[i] = (struct fwd_wake_port){ .proto = found[i].proto, .port = found[i].port };
	}
	tenant->asleep.unset = wake.port_count != count || fwd_route_set_wake(tenant->route, sleeps ? &wake : NULL) < 0;
	free(found);
	free(ports);
	if (tenant->asleep.unset)
		daemon_asleep_arm(tenant->daemon->asleep, clock_now_ms() + ASLEEP_AGAIN_MS);
}

/* The time of TENANT has come. */
static void daemon_asleep_go_on(struct tenant *tenant)
{
	tenant->asleep.due_ms = 0;
	switch (tenant->asleep.phase) {
	case ASLEEP_AWAKE:
		break;
	case ASLEEP_RESTING:
		daemon_asleep_become(tenant, ASLEEP_WAITING);
		fwd_route_await_client(tenant->route);
		break;
	case ASLEEP_WAITING:
	case ASLEEP_ASKED:
		fwd_route_await_client(tenant->route);
		break;
	}
}

static void daemon_asleep_look(struct tenant *tenant, uint64_t now_ms)
{
	const struct tenant_asleep *own = &tenant->asleep;

	if (!tenant->route)
		return;
	if (own->unset) {
		daemon_asleep_set_route(tenant, own->phase != ASLEEP_AWAKE);
		if (own->phase == ASLEEP_WAITING)
			fwd_route_await_client(tenant->route);
	}
	if (own->due_ms && own->due_ms <= now_ms)
		daemon_asleep_go_on(tenant);
	if (own->due_ms)
		daemon_asleep_arm(tenant->daemon->asleep, own->due_ms);
}

static void daemon_asleep_on_timer(void *context)
{
	struct asleep *asleep = context;
	struct registry *registry = asleep->daemon->registry;
	uint64_t now_ms = clock_now_ms();

	asleep->timer_ms = 0;
	for (struct sandbox *sandbox = registry_next(registry, 0); sandbox;
	     sandbox = registry_next(registry, sandbox->slot))
		if (sandbox->tenant)
			daemon_asleep_look(daemon_tenant_of(sandbox), now_ms);
}

/* ---- The manager is asked ---- */

/* FIELDS is the event's. */
static void daemon_asleep_notify(const struct tenant *tenant, json_t *fields)
{
	const struct daemon *daemon = tenant->daemon;
	const struct sandbox *sandbox = tenant->sandbox;
	char now[CLOCK_TEXT_SIZE], *text = NULL;
	json_t *body;

	if (!daemon->config->wake.notify)
		return;
	body = json_pack("{s:s, s:s, s:s, s:s*}", "type", "wake", "time", clock_format_ms(clock_wall_ms(), now),
			 "sandbox", sandbox->id, "sandbox_name", registry_sandbox_name(sandbox));
	if (body && json_object_update(body, fields) == 0)
		text = json_dumps(body, JSON_COMPACT);
	if (text)
		wake_tell(daemon->asleep->wake, daemon->config->wake.notify, sandbox->id, text);
	else
		log_error("the manager is not asked to resume a sandbox: out of memory", F_SANDBOX(sandbox));
	free(text);
	json_decref(body);
}

static void daemon_asleep_tell(struct tenant *tenant, const struct asleep_cause *cause)
{
	struct tenant_asleep *own = &tenant->asleep;
	const struct sandbox *sandbox = tenant->sandbox;
	char by[SANDBOX_WAKE_BY_SIZE];
	json_t *fields;

	if (own->phase != ASLEEP_ASKED)
		daemon_asleep_become(tenant, ASLEEP_ASKED);
	own->attempts++;
	own->told_ms = clock_now_ms();
	daemon_asleep_wait(tenant, own->told_ms + sandbox->spec->wake.timeout_ms);
	daemon_asleep_cause_format(cause, by);
	registry_wake_note(tenant->sandbox, clock_wall_ms(), by, cause->via);
	daemon_tenant_save(tenant);
	log_limited(&registry_sandbox_lines, LOG_INFO_LEVEL, "sandbox is wanted: its manager is asked to resume it",
		    F_SANDBOX(sandbox), F_STR("by", sandbox->wake_by), F_STR("via", cause->via),
		    F_UINT("attempt", own->attempts));
	fields = daemon_asleep_cause_describe(cause, own->attempts);
	if (fields)
		daemon_asleep_notify(tenant, fields);
	control_event(tenant->daemon->control, "wake", sandbox->id, fields);
}

/* Whether the manager had its time since it was asked last. */
static bool daemon_asleep_is_overdue(const struct tenant *tenant)
{
	return clock_now_ms() >= tenant->asleep.told_ms + tenant->sandbox->spec->wake.timeout_ms;
}

static bool daemon_asleep_counts(const struct tenant *tenant, const struct asleep_cause *cause)
{
	const struct sandbox *sandbox = tenant->sandbox;

	return (cause->by_endpoint && sandbox->spec->wake.which == WAKE_PUBLISHED) ||
	       registry_wakes_at(sandbox, cause->proto, cause->port);
}

/* A packet or a client came for TENANT. */
static void daemon_asleep_hear(struct tenant *tenant, const struct asleep_cause *cause)
{
	if (tenant->pausing.resuming || tenant->daemon->state == DAEMON_STOPPING ||
	    !daemon_asleep_counts(tenant, cause))
		return;
	switch (tenant->asleep.phase) {
	case ASLEEP_AWAKE:
	case ASLEEP_RESTING:
		return;
	case ASLEEP_WAITING:
		break;
	case ASLEEP_ASKED:
		if (!daemon_asleep_is_overdue(tenant))
			return;
		break;
	}
	daemon_asleep_tell(tenant, cause);
}

/* The sandbox with the host address IP; NULL: none. */
static struct tenant *daemon_asleep_find(struct daemon *daemon, uint32_t ip)
{
	const struct config_layout *layout;
	size_t at = 0;

	while ((layout = config_layout_next(daemon->config, &at))) {
		uint32_t slot = ip - layout->host_cidr.ip;
		struct sandbox *sandbox = slot <= CONFIG_SLOT_MAX ? registry_at(daemon->registry, slot) : NULL;

		if (sandbox && sandbox->tenant && config_host_ip(sandbox->layout, slot) == ip)
			return daemon_tenant_of(sandbox);
	}
	return NULL;
}

static void daemon_asleep_on_packet(void *context, const struct wake_heard *heard)
{
	struct tenant *tenant = daemon_asleep_find(context, heard->host_ip);
	char source[IPV4_TEXT_SIZE];
	struct asleep_cause cause = { .via = "kernel",
				      .source = addr_ipv4_format(heard->source, source),
				      .has_port = true,
				      .proto = heard->proto,
				      .port = heard->dest_port };

	if (tenant)
		daemon_asleep_hear(tenant, &cause);
}

static void daemon_asleep_on_client(void *context, const struct fwd_asking *asking)
{
	char source[INET6_ADDRSTRLEN];
	struct asleep_cause cause = { .via = asking->door ? "front-door" : "forwarder",
				      .source = daemon_asleep_cause_source(&asking->client, source),
				      .has_port = true,
				      .proto = asking->proto,
				      .port = asking->guest_port,
				      .by_endpoint = !asking->door };

	daemon_asleep_hear(context, &cause);
}

void daemon_asleep_ask(void *context, struct control_request *request)
{
	static const struct asleep_cause cause = { .via = "api" };
	struct daemon *daemon = context;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);
	struct tenant *tenant;
	struct problem problem;

	if (!sandbox)
		return;
	tenant = daemon_tenant_of(sandbox);
	if (daemon->state == DAEMON_STOPPING) {
		registry_problem_stopping(&problem, "weftd is stopping");
		control_request_refuse(request, &problem);
		return;
	}
	if (registry_wake_check(sandbox, &problem) < 0) {
		control_request_refuse(request, &problem);
		return;
	}
	/* The manager is at it. */
	if (tenant->pausing.resuming) {
		control_park_add(&daemon->parked, request, daemon_asleep_ask, daemon);
		return;
	}
	if (tenant->asleep.phase != ASLEEP_ASKED || daemon_asleep_is_overdue(tenant))
		daemon_asleep_tell(tenant, &cause);
	daemon_tenant_refresh(sandbox);
	control_request_answer(request, 202, wire_write_sandbox(sandbox, daemon->config));
}

/* ---- Falling asleep, and waking up ---- */

/* The manager was asked before a restart, or before a failure that is over. */
static void daemon_asleep_tell_again(struct tenant *tenant)
{
	char source[INET6_ADDRSTRLEN];
	struct asleep_cause cause;

	daemon_asleep_cause_recall(tenant->sandbox, source, &cause);
	daemon_asleep_tell(tenant, &cause);
}

/* When its rest is over. A pause of a former run is dated by the wall clock, which may have been set. */
static uint64_t daemon_asleep_rested_ms(const struct sandbox *sandbox)
{
	int64_t paused_for_ms = clock_wall_ms() - sandbox->since_ms;
	int64_t left_ms = (int64_t)sandbox->spec->wake.min_awake_ms - (paused_for_ms > 0 ? paused_for_ms : 0);

	return clock_now_ms() + (uint64_t)(left_ms > 0 ? left_ms : 0);
}

/* Not by the timer if the rest is over already: a datagram that comes before that would be lost. */
static void daemon_asleep_rest(struct tenant *tenant)
{
	uint64_t rested_ms = daemon_asleep_rested_ms(tenant->sandbox);

	if (rested_ms > clock_now_ms())
		daemon_asleep_wait(tenant, rested_ms);
	else
		daemon_asleep_go_on(tenant);
}

void daemon_asleep_note_carrier(struct tenant *tenant)
{
	bool open = tenant->sandbox->carrier;

	tenant->asleep.closed |= !open;
	if (tenant->asleep.keeps)
		wake_note_tap(tenant->daemon->asleep->wake, daemon_asleep_address(tenant), open);
}

static void daemon_asleep_begin(struct tenant *tenant)
{
	struct tenant_asleep *own = &tenant->asleep;
	const struct sandbox *sandbox = tenant->sandbox;

	own->attempts = 0;
	if (!own->keeps) {
		own->downs = sandbox->carrier_downs;
		own->closed = false;
	}
	own->keeps = true;
	wake_sleep(tenant->daemon->asleep->wake, daemon_asleep_address(tenant));
	daemon_asleep_note_carrier(tenant);
	fwd_route_on_asked(tenant->route, daemon_asleep_on_client, tenant);
	daemon_asleep_set_route(tenant, true);
	if (sandbox->wake_asked_ms) {
		daemon_asleep_tell_again(tenant);
		return;
	}
	daemon_asleep_become(tenant, ASLEEP_RESTING);
	daemon_asleep_rest(tenant);
}

/* TENANT sleeps on. What wakes it, or when, may have changed, or its route is paused only now. */
static void daemon_asleep_go_on_sleeping(struct tenant *tenant)
{
	daemon_asleep_note_carrier(tenant);
	daemon_asleep_set_route(tenant, true);
	switch (tenant->asleep.phase) {
	case ASLEEP_AWAKE:
		break;
	case ASLEEP_RESTING:
		daemon_asleep_rest(tenant);
		break;
	case ASLEEP_WAITING:
		fwd_route_await_client(tenant->route);
		break;
	case ASLEEP_ASKED:
		daemon_asleep_wait(tenant, tenant->asleep.told_ms + tenant->sandbox->spec->wake.timeout_ms);
		break;
	}
}

static void daemon_asleep_end(struct tenant *tenant)
{
	daemon_asleep_become(tenant, ASLEEP_AWAKE);
	tenant->asleep.due_ms = 0;
	/* It is still paused, and `wake` was taken away: if it gets another one later, nobody has asked yet. */
	if (tenant->sandbox->state == SANDBOX_PAUSED)
		registry_wake_forget(tenant->sandbox);
	wake_untell(tenant->daemon->asleep->wake, tenant->sandbox->id);
	if (tenant->route)
		daemon_asleep_set_route(tenant, false);
}

/* The copies that were kept are sent to the guest if it is ready and has not got the packets, else dropped. */
static void daemon_asleep_let_go(struct tenant *tenant)
{
	struct tenant_asleep *own = &tenant->asleep;
	int64_t downs = tenant->sandbox->carrier_downs;
	bool ready = tenant->sandbox->state == SANDBOX_READY;

	own->keeps = false;
	own->closed |= downs != own->downs;
	wake_awake(tenant->daemon->asleep->wake, daemon_asleep_address(tenant), ready && own->closed);
}

/* Whether the copies that are kept for TENANT, which does not sleep any more, can be sent, or are of no use now. */
static bool daemon_asleep_is_over(const struct tenant *tenant)
{
	switch (tenant->sandbox->state) {
	case SANDBOX_READY:
	case SANDBOX_DRAINING:
		return true;
	case SANDBOX_CREATING:
	case SANDBOX_WAITING:
	case SANDBOX_ATTACHED:
	case SANDBOX_DETACHED:
	case SANDBOX_FAILED:
		return false;
	case SANDBOX_PAUSED: /* nothing wakes it now */
		return true;
	}
	return false;
}

void daemon_asleep_follow(struct tenant *tenant)
{
	bool sleeps = registry_sandbox_is_asleep(tenant->sandbox) && tenant->route;

	if (!tenant->daemon->asleep)
		return;
	if (sleeps && tenant->asleep.phase == ASLEEP_AWAKE)
		daemon_asleep_begin(tenant);
	else if (sleeps)
		daemon_asleep_go_on_sleeping(tenant);
	else if (tenant->asleep.phase != ASLEEP_AWAKE)
		daemon_asleep_end(tenant);
	if (!sleeps && tenant->asleep.keeps && daemon_asleep_is_over(tenant))
		daemon_asleep_let_go(tenant);
}

void daemon_asleep_note_unpublished(struct tenant *tenant)
{
	if (tenant->asleep.keeps)
		wake_forget_led(tenant->daemon->asleep->wake, daemon_asleep_address(tenant));
}

/* NEW: there is a socket of the manager's now, and there was none. What asked before has not come there. */
static void daemon_asleep_reload_tenant(struct tenant *tenant, bool new)
{
	if (tenant->asleep.phase == ASLEEP_AWAKE)
		return;
	daemon_asleep_go_on_sleeping(tenant);
	if (new && tenant->asleep.phase == ASLEEP_ASKED && !tenant->pausing.resuming)
		daemon_asleep_tell_again(tenant);
}

void daemon_asleep_reload(struct daemon *daemon)
{
	bool new;

	if (!daemon->asleep)
		return;
	new = daemon->config->wake.notify && !daemon->asleep->notifies;
	daemon->asleep->notifies = daemon->config->wake.notify;
	wake_redirect(daemon->asleep->wake, daemon->config->wake.notify);
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		if (sandbox->tenant)
			daemon_asleep_reload_tenant(daemon_tenant_of(sandbox), new);
}

void daemon_asleep_stats(const struct daemon *daemon, struct wake_stats *stats)
{
	*stats = (struct wake_stats){ 0 };
	if (daemon->asleep)
		wake_stats(daemon->asleep->wake, stats);
}

int daemon_asleep_start(struct daemon *daemon, struct err *err)
{
	const struct wake_watcher watcher = { .heard = daemon_asleep_on_packet, .context = daemon };
	struct asleep *asleep = calloc(1, sizeof(*asleep));

	if (!asleep)
		return err_set(err, ENOMEM, "start");
	asleep->daemon = daemon;
	asleep->notifies = daemon->config->wake.notify;
	daemon->asleep = asleep;
	asleep->wake = wake_new(daemon->base, daemon->config, &watcher, err);
	if (!asleep->wake)
		return -1;
	return timer_init(&asleep->timer, daemon->base, daemon_asleep_on_timer, asleep, err);
}

void daemon_asleep_stop(struct daemon *daemon)
{
	if (!daemon->asleep)
		return;
	timer_free(&daemon->asleep->timer);
	wake_free(daemon->asleep->wake);
	free(daemon->asleep);
	daemon->asleep = NULL;
}
