/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarder notes the time of its last byte itself. The kernel only counts packets, so its counters are read each 10 s, and sooner if a
 * silence may be due for its report or somebody asks. If a counter has grown, the sandbox was in use. Counters are read before any silence is
 * reported.
 *
 * Silence counts from the last change of the sandbox's state at the earliest, since one that was resumed a moment ago is not idle; and after
 * a restart from the first reading, since that does not say what the kernel carried while no weftd ran. All of it goes by the clock that
 * nobody sets.
 */
#include "daemon/idle.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/tenant.h"
#include "fabric/fabric.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

enum {
	IDLE_READ_MS = 10000,
	IDLE_READ_MIN_MS = 1000,
	IDLE_READ_SHARE = 20, /* the next reading waits for so many times what the last one took */
};

struct idle {
	struct daemon *daemon;
	struct timer timer;
	uint64_t began_ms; /* the last reading; clock_now_ms() */
	uint64_t pause_ms; /* from there to the next, at least */
	bool reading;
};

static void daemon_idle_take(struct daemon *daemon, const struct fabric_activity *activity)
{
	struct sandbox *sandbox = registry_at(daemon->registry, activity->slot);
	struct tenant *tenant = sandbox ? daemon_tenant_of(sandbox) : NULL;

	if (!tenant || sandbox->state == SANDBOX_CREATING)
		return;
	/* The first count of a slot that a former run made says nothing about now. */
	if (!tenant->idle.known && tenant->stored) {
		daemon_idle_note(&tenant->idle, clock_now_ms());
	} else if (activity->packets > tenant->idle.packets) {
		sandbox->last_activity_ms = clock_wall_ms();
		daemon_idle_note(&tenant->idle, clock_now_ms());
	}
	tenant->idle.packets = activity->packets;
	tenant->idle.known = true;
}

static void daemon_idle_report(struct daemon *daemon, const struct sandbox *sandbox, uint64_t now_ms)
{
	struct tenant_idle *idle = &daemon_tenant_of(sandbox)->idle;
	uint64_t idle_ms = now_ms - idle->active_ms;

	idle->reported_ms = idle->active_ms;
	log_limited(&registry_sandbox_lines, LOG_INFO_LEVEL, "sandbox is idle", F_SANDBOX(sandbox),
		    F_UINT("idle_ms", idle_ms));
	control_event(daemon->control, "idle", sandbox->id, json_pack("{s:I}", "idle_ms", (json_int_t)idle_ms));
}

/* In how many milliseconds SANDBOX is to be looked at for its silence; 0 or less: it is to be reported now. */
static int64_t daemon_idle_left_ms(const struct sandbox *sandbox, uint64_t now_ms)
{
	const struct tenant *tenant = daemon_tenant_of(sandbox);
	bool runs = sandbox->state == SANDBOX_ATTACHED || sandbox->state == SANDBOX_READY;

	if (!tenant || !runs || tenant->idle.reported_ms == tenant->idle.active_ms)
		return IDLE_READ_MS;
	return (int64_t)(tenant->idle.active_ms + sandbox->spec->idle_report_ms) - (int64_t)now_ms;
}

/* Reports those whose time has come. Returns in how many milliseconds the next one's has. */
static int64_t daemon_idle_look(struct daemon *daemon)
{
	uint64_t now_ms = clock_now_ms();
	int64_t next_ms = IDLE_READ_MS;
	struct sandbox *sandbox;

	for (unsigned slot = 0; (sandbox = registry_next(daemon->registry, slot));) {
		int64_t left_ms;

		slot = sandbox->slot;
		if (!sandbox->spec->idle_report_ms)
			continue;
		daemon_tenant_refresh(sandbox);
		left_ms = daemon_idle_left_ms(sandbox, now_ms);
		if (left_ms <= 0)
			daemon_idle_report(daemon, sandbox, now_ms);
		else if (left_ms < next_ms)
			next_ms = left_ms;
	}
	return next_ms;
}

/* The pause after a reading that took so long; it may have waited for other work. */
static uint64_t daemon_idle_pause_ms(uint64_t took_ms)
{
	uint64_t pause_ms = took_ms * IDLE_READ_SHARE;

	if (pause_ms < IDLE_READ_MIN_MS)
		return IDLE_READ_MIN_MS;
	return pause_ms < IDLE_READ_MS ? pause_ms : IDLE_READ_MS;
}

static void daemon_idle_on_read(void *context, const struct fabric_activity *activity, size_t count,
				const struct err *err)
{
	static const struct log_limit limit = { .burst = 1, .interval_ms = 60000 };
	struct idle *idle = context;
	struct daemon *daemon = idle->daemon;
	int64_t next_ms = IDLE_READ_MS;

	idle->reading = false;
	if (err && err->code != ECANCELED)
		log_limited(&limit, LOG_WARNING_LEVEL, "activity of sandboxes not read", F_STR("error", err->text));
	for (size_t i = 0; i < count; i++)
		daemon_idle_take(daemon, &activity[i]);
	idle->pause_ms = daemon_idle_pause_ms(clock_now_ms() - idle->began_ms);
	/* Without the kernel's word nobody is called idle. */
	if (!err && daemon->state == DAEMON_RUNNING)
		next_ms = daemon_idle_look(daemon);
	timer_start(&idle->timer, (uint64_t)next_ms > idle->pause_ms ? (uint64_t)next_ms : idle->pause_ms);
}

static void daemon_idle_read(struct idle *idle)
{
	struct daemon *daemon = idle->daemon;

	if (idle->reading)
		return;
	idle->began_ms = clock_now_ms();
	idle->reading = daemon->fabric && daemon->state == DAEMON_RUNNING &&
			fabric_read_activity(daemon->fabric, daemon_idle_on_read, idle);
	if (!idle->reading)
		timer_start(&idle->timer, IDLE_READ_MIN_MS);
}

static void daemon_idle_on_timer(void *context)
{
	daemon_idle_read(context);
}

void daemon_idle_refresh(struct daemon *daemon)
{
	struct idle *idle = daemon->idle;

	if (clock_now_ms() >= idle->began_ms + idle->pause_ms)
		daemon_idle_read(idle);
}

int daemon_idle_start(struct daemon *daemon, struct err *err)
{
	struct idle *idle = calloc(1, sizeof(*idle));

	if (!idle)
		return err_set(err, ENOMEM, "start");
	*idle = (struct idle){ .daemon = daemon, .pause_ms = IDLE_READ_MIN_MS };
	daemon->idle = idle;
	if (timer_init(&idle->timer, daemon->base, daemon_idle_on_timer, idle, err) < 0)
		return -1;
	timer_start(&idle->timer, IDLE_READ_MIN_MS);
	return 0;
}

void daemon_idle_stop(struct daemon *daemon)
{
	if (!daemon->idle)
		return;
	timer_free(&daemon->idle->timer);
	free(daemon->idle);
	daemon->idle = NULL;
}
