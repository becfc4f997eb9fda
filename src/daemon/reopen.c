/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One timer for all openers: the default endpoint, services, the door, [http] listen, and the sandboxes' endpoints. An address that another program
 * gave back is open a second later, whoever wants it.
 */
#include "daemon/reopen.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/door.h"
#include "daemon/endpoints.h"
#include "daemon/host_services.h"
#include "daemon/http_endpoint.h"
#include "daemon/not_open.h"

#include <errno.h>
#include <stdlib.h>

enum {
	REOPEN_MS = 1000,
	STEP_US = 5000,       /* of an iteration of the loop */
	ROUNDS_TO_ABSENT = 10 /* so often an address that the host lacked is tried, too */
};

struct reopen {
	struct daemon *daemon;
	struct timer timer;
	unsigned cursor; /* the slot whose endpoints were tried last; 0: a round begins */
	unsigned round;
};

static void daemon_reopen_begin_round(struct reopen *reopen)
{
	struct daemon *daemon = reopen->daemon;

	reopen->round++;
	daemon_not_open_tidy(daemon);
	daemon_http_retry(daemon);
	if (daemon_is_loaded(daemon)) {
		daemon_default_retry(daemon);
		daemon_services_retry(daemon);
		daemon_door_retry(daemon);
	}
}

static void daemon_reopen_on_time(void *context)
{
	struct reopen *reopen = context;
	struct daemon *daemon = reopen->daemon;
	uint64_t pause_ms = REOPEN_MS;

	if (daemon->state == DAEMON_STOPPING)
		return;
	if (!reopen->cursor)
		daemon_reopen_begin_round(reopen);
	if (daemon_is_loaded(daemon) && daemon_endpoints_retry(daemon, &reopen->cursor, clock_now_us() + STEP_US,
							       reopen->round % ROUNDS_TO_ABSENT == 0))
		pause_ms = 0;
	timer_start(&reopen->timer, pause_ms);
}

int daemon_reopen_start(struct daemon *daemon, struct err *err)
{
	struct reopen *reopen = calloc(1, sizeof(*reopen));

	if (!reopen)
		return err_set(err, ENOMEM, "start");
	daemon->reopen = reopen;
	reopen->daemon = daemon;
	if (timer_init(&reopen->timer, daemon->base, daemon_reopen_on_time, reopen, err) < 0)
		return -1;
	timer_start(&reopen->timer, REOPEN_MS);
	return 0;
}

void daemon_reopen_stop(struct daemon *daemon)
{
	if (!daemon->reopen)
		return;
	timer_free(&daemon->reopen->timer);
	free(daemon->reopen);
	daemon->reopen = NULL;
}
