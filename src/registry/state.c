/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The states of a sandbox, their names, and the one function that changes them.
 */
#include "base/clock.h"
#include "base/log.h"
#include "registry/registry_internal.h"

#include <stdio.h>
#include <string.h>

const char *registry_sandbox_state_name(enum sandbox_state state)
{
	switch (state) {
	case SANDBOX_CREATING:
		return "creating";
	case SANDBOX_WAITING:
		return "waiting";
	case SANDBOX_ATTACHED:
		return "attached";
	case SANDBOX_READY:
		return "ready";
	case SANDBOX_DETACHED:
		return "detached";
	case SANDBOX_PAUSED:
		return "paused";
	case SANDBOX_DRAINING:
		return "draining";
	case SANDBOX_FAILED:
		return "failed";
	}
	return "unknown";
}

int registry_sandbox_state_parse(const char *name, enum sandbox_state *state)
{
	for (int i = 0; i < SANDBOX_STATES; i++) {
		if (strcmp(name, registry_sandbox_state_name((enum sandbox_state)i)) == 0) {
			*state = (enum sandbox_state)i;
			return 0;
		}
	}
	return -1;
}

/* A registration has a line of its own, with the state that it ends in. */
static bool registry_sandbox_is_told(enum sandbox_state from, const char *cause)
{
	return from == SANDBOX_CREATING && strcmp(cause, SANDBOX_CAUSE_REGISTERED) == 0;
}

const struct log_limit registry_sandbox_lines = { .burst = 30, .interval_ms = 60000 };

/* A failure is always told; other changes within limits, for a VMM can provoke them without end. */
static void registry_sandbox_log_state(struct sandbox *sandbox, enum sandbox_state from, const char *cause,
				       uint64_t previous_ms)
{
	static const char message[] = "sandbox changed its state";

	if (registry_sandbox_is_told(from, cause))
		return;
	if (sandbox->state != SANDBOX_FAILED &&
	    !log_limit_allows(&registry_sandbox_lines, LOG_INFO_LEVEL, message, sandbox->id))
		return;
	log_info(message, F_SANDBOX(sandbox), F_UINT("slot", sandbox->slot),
		 F_STR("from", registry_sandbox_state_name(from)),
		 F_STR("to", registry_sandbox_state_name(sandbox->state)), F_STR("cause", cause),
		 F_STR("reason", sandbox->reason[0] ? sandbox->reason : NULL), F_UINT("previous_ms", previous_ms));
}

void registry_sandbox_set_state(struct registry *registry, struct sandbox *sandbox, enum sandbox_state state,
				const char *cause, const char *reason)
{
	enum sandbox_state from = sandbox->state;
	int64_t now_ms = clock_wall_ms();
	uint64_t previous_ms = now_ms > sandbox->since_ms ? (uint64_t)(now_ms - sandbox->since_ms) : 0;

	snprintf(sandbox->reason, sizeof(sandbox->reason), "%s", reason && state == SANDBOX_FAILED ? reason : "");
	if (state != SANDBOX_FAILED)
		sandbox->failure = FAILURE_NONE;
	if (state == from)
		return;
	sandbox->state = state;
	sandbox->since_ms = now_ms;
	registry->count_state[from]--;
	registry->count_state[state]++;
	registry_sandbox_log_state(sandbox, from, cause, previous_ms);
	if (registry->watcher.state_changed)
		registry->watcher.state_changed(registry->watcher.context, sandbox, from, cause, previous_ms);
}

void registry_sandbox_restore_state(struct registry *registry, struct sandbox *sandbox, enum sandbox_state state,
				    int64_t since_ms, const char *reason)
{
	registry->count_state[sandbox->state]--;
	registry->count_state[state]++;
	sandbox->state = state;
	sandbox->since_ms = since_ms;
	snprintf(sandbox->reason, sizeof(sandbox->reason), "%s", state == SANDBOX_FAILED ? reason : "");
}

void registry_sandbox_fail(struct registry *registry, struct sandbox *sandbox, enum failure failure, const char *cause,
			   const char *reason)
{
	if (registry_failure_is_final(sandbox->failure) && failure != FAILURE_TEARDOWN)
		return;
	sandbox->failure = failure;
	registry_sandbox_set_state(registry, sandbox, SANDBOX_FAILED, cause, reason);
}

enum sandbox_state registry_sandbox_settled_state(const struct sandbox *sandbox)
{
	if (sandbox->paused)
		return SANDBOX_PAUSED;
	if (!sandbox->carrier)
		return sandbox->was_attached ? SANDBOX_DETACHED : SANDBOX_WAITING;
	if (sandbox->spec->ready_port == 0 || sandbox->guest_answers)
		return SANDBOX_READY;
	return SANDBOX_ATTACHED;
}
