/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rooms that the start makes behind the control socket, and the end of a start that fails.
 */
#include "daemon/rooms.h"

#include "base/descriptors.h"
#include "base/err.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/asleep.h"
#include "daemon/daemon.h"
#include "daemon/follow.h"
#include "daemon/handing_over.h"
#include "daemon/host_services.h"
#include "daemon/inherited.h"
#include "daemon/marks.h"
#include "daemon/options.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"
#include "forwarder/handover.h"

#include <event2/event.h>
#include <stdio.h>
#include <sysexits.h>

static size_t daemon_rooms_clients(const struct daemon *daemon)
{
	return control_clients(daemon->control) + control_http_clients(daemon->http);
}

void daemon_rooms_count_clients(struct daemon *daemon)
{
	if (daemon->forwarder)
		fwd_set_clients(daemon->forwarder, daemon_rooms_clients(daemon));
}

/* Sockets that the service manager kept are open already, and count when they are taken for endpoints. */
static void daemon_rooms_count_descriptors(struct daemon *daemon)
{
	size_t passing = daemon_inherited_left(daemon->inherited) + daemon_rooms_clients(daemon);
	size_t open = base_descriptors_count();

	fwd_set_descriptors(daemon->forwarder, open > passing ? open - passing : 0);
	daemon_rooms_count_clients(daemon);
}

int daemon_rooms_start(struct daemon *daemon, struct err *err)
{
	struct fabric_watcher watcher = follow_watcher;

	watcher.context = daemon;
	daemon_marks_write(daemon);
	daemon->fabric = fabric_new(daemon->base, daemon->config, &watcher, err);
	if (!daemon->fabric)
		return -1;
	daemon->forwarder = fwd_new(daemon->base, daemon->config, err);
	if (!daemon->forwarder || daemon_services_set(daemon, err) < 0)
		return -1;
	if (daemon_asleep_start(daemon, err) < 0)
		return -1;
	daemon_rooms_count_descriptors(daemon);
	return 0;
}

static void daemon_rooms_on_handed_over(struct daemon *daemon, bool ok)
{
	(void)ok;
	event_base_loopbreak(daemon->base);
}

/* Whether connections of the former run were taken already, and go to the next start now; that ends the loop. */
static bool daemon_rooms_hand_on(struct daemon *daemon)
{
	if (!daemon->forwarder || !fwd_thaw_waiting(daemon->forwarder) ||
	    !daemon_handing_over_begin(daemon, daemon_rooms_on_handed_over))
		return false;
	daemon_become(daemon, DAEMON_STOPPING);
	return true;
}

void daemon_rooms_give_up(struct daemon *daemon, const struct err *err)
{
	char line[sizeof(err->text) + 16];

	log_error("weftd does not start", F_STR("error", err->text));
	/* Where nobody sees the log on a terminal, the exit code and this line are all that is seen. */
	if (!daemon->options->foreground) {
		snprintf(line, sizeof(line), "weftd: %s\n", err->text);
		log_offer_stderr(line);
	}
	if (!daemon->exit_code)
		daemon->exit_code = EX_UNAVAILABLE;
	if (!daemon_rooms_hand_on(daemon) && daemon->base)
		event_base_loopbreak(daemon->base);
}
