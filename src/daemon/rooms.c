/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rooms that the start makes behind the control socket, and the end of a start that fails.
 */
#include "daemon/rooms.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/follow.h"
#include "daemon/options.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"

#include <event2/event.h>
#include <stdio.h>
#include <sysexits.h>

int daemon_rooms_start(struct daemon *daemon, struct err *err)
{
	struct fabric_watcher watcher = follow_watcher;

	watcher.context = daemon;
	daemon->fabric = fabric_new(daemon->base, daemon->config, &watcher, err);
	if (!daemon->fabric)
		return -1;
	daemon->forwarder = fwd_new(daemon->base, daemon->config, err);
	return daemon->forwarder ? 0 : -1;
}

void daemon_rooms_give_up(struct daemon *daemon, const struct err *err)
{
	log_error("weftd does not start", F_STR("error", err->text));
	/* Where nobody sees the log on a terminal, the exit code and this line are all that is seen. */
	if (!daemon->options->foreground)
		fprintf(stderr, "weftd: %s\n", err->text);
	daemon->exit_code = EX_UNAVAILABLE;
	if (daemon->base)
		event_base_loopbreak(daemon->base);
}
