/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's state, and the one rule by which a failed step becomes the problem of its request.
 */
#include "daemon/daemon.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "registry/problem.h"

#include <errno.h>

static const struct {
	const char *name;
	unsigned next; /* bits: the states that may follow */
} daemon_states[] = {
	[DAEMON_LOADING] = { "loading", 1 << DAEMON_ADOPTING | 1 << DAEMON_STOPPING },
	[DAEMON_ADOPTING] = { "adopting", 1 << DAEMON_RUNNING | 1 << DAEMON_STOPPING },
	[DAEMON_RUNNING] = { "running", 1 << DAEMON_STOPPING },
	[DAEMON_STOPPING] = { "stopping", 0 },
};

void daemon_become(struct daemon *daemon, enum daemon_state state)
{
	base_assert(daemon_states[daemon->state].next & 1U << state);
	log_debug("daemon changes its state", F_STR("from", daemon_states[daemon->state].name),
		  F_STR("to", daemon_states[state].name));
	daemon->former = daemon->state;
	daemon->state = state;
}

bool daemon_is_loaded(const struct daemon *daemon)
{
	enum daemon_state reached = daemon->state == DAEMON_STOPPING ? daemon->former : daemon->state;

	return reached != DAEMON_LOADING;
}

void daemon_explain(const struct err *err, struct problem *problem)
{
	if (err->code == ECANCELED)
		registry_problem_stopping(problem, "weftd is stopping");
	else
		registry_problem_set(problem,
				     err_code_is_exhaustion(err->code) ? PROBLEM_UNAVAILABLE : PROBLEM_INTERNAL, NULL,
				     "%s", err->text);
}
