/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/parts.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/handed_over.h"
#include "daemon/idle.h"
#include "daemon/loopback.h"
#include "daemon/metrics.h"
#include "daemon/not_open.h"
#include "daemon/publish.h"
#include "daemon/rate_samples.h"
#include "daemon/reserve.h"
#include "daemon/takeover.h"
#include "registry/registry.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
/* libevent's own lines are the log's, so that they wait for no reader of stderr either. */
static void daemon_parts_log_libevent(int severity, const char *message)
{
	log_at(severity >= EVENT_LOG_ERR ? LOG_ERROR_LEVEL : LOG_WARNING_LEVEL, "libevent", F_STR("message", message));
}

static void daemon_parts_end_for_libevent(int code)
{
	(void)code;
	abort();
}

int daemon_parts_start(struct daemon *daemon, struct err *err)
{
	event_set_log_callback(daemon_parts_log_libevent);
	event_set_fatal_callback(daemon_parts_end_for_libevent);
	control_park_init(&daemon->parked, NULL);
	daemon->base = event_base_new();
	daemon->registry = registry_new(daemon->config);
	if (!daemon->base || !daemon->registry)
		return err_set(err, ENOMEM, "start");
	if (daemon_reserve_start(daemon, err) < 0 || daemon_takeover_start(daemon, err) < 0 ||
	    daemon_handed_over_start(daemon, err) < 0 || daemon_metrics_start(daemon, err) < 0 ||
	    daemon_not_open_start(daemon, err) < 0 || daemon_rates_start(daemon, err) < 0 ||
	    daemon_publish_start(daemon, err) < 0 || daemon_loopback_start(daemon, err) < 0 ||
	    daemon_idle_start(daemon, err) < 0)
		return -1;
	return 0;
}
