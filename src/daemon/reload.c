/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reload takes over the new configuration or, where that has mistakes, nothing of it. Then all mistakes are in the log, the first
 * one is the unit's status (`systemctl status`), and a metric says that the reload failed, until one succeeds.
 */
#include "daemon/reload.h"

#include "base/log.h"
#include "config/config.h"
#include "daemon/asleep.h"
#include "daemon/daemon.h"
#include "daemon/door.h"
#include "daemon/load_config.h"
#include "daemon/loopback.h"
#include "daemon/metrics.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/publish.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"

#include <stdio.h>
#include <string.h>

struct reload_mistakes {
	unsigned count;
	char first[512];
};

static void daemon_reload_take_mistake(void *context, const char *mistake)
{
	struct reload_mistakes *mistakes = context;

	log_error("mistake in the configuration", F_STR("mistake", mistake));
	if (!mistakes->count++)
		snprintf(mistakes->first, sizeof(mistakes->first), "%s", mistake);
}

static void daemon_reload_tell_mistakes(const struct reload_mistakes *mistakes)
{
	char text[sizeof(mistakes->first) + 128], more[32] = "";

	if (mistakes->count > 1)
		snprintf(more, sizeof(more), " (and %u more)", mistakes->count - 1);
	snprintf(text, sizeof(text), "configuration not reloaded; the former one stays in force%s%s%s",
		 mistakes->count ? ": " : "", mistakes->first, more);
	daemon_notify_status(text);
}

static void daemon_reload_apply(struct daemon *daemon, const struct config *fresh)
{
	config_reload(daemon->config, fresh);
	log_setup(daemon->config->daemon.log_level, daemon->config->daemon.log_format,
		  daemon->options->foreground ? LOG_TO_STDERR : LOG_TO_JOURNAL);
	if (daemon->forwarder)
		fwd_reconfigure(daemon->forwarder);
	if (daemon->fabric)
		fabric_reconfigure(daemon->fabric);
	daemon_loopback_reload(daemon);
	daemon_door_reconfigure(daemon);
	daemon_publish_reload(daemon);
	daemon_asleep_reload(daemon);
}

void daemon_reload(struct daemon *daemon)
{
	/* daemon_notify_ready() ends a reload and reports readiness as well, which is not true early in a start, or amid a stop. */
	bool ready = daemon->state == DAEMON_ADOPTING || daemon->state == DAEMON_RUNNING;
	struct reload_mistakes mistakes = { 0 };
	int exit_code;

	if (ready)
		daemon_notify_reloading();
	struct config *fresh = daemon_load_config(daemon->options, true, CONFIG_PATIENCE_RELOAD_MS,
						  daemon_reload_take_mistake, &mistakes, &exit_code);
	daemon_metrics_note_reload(daemon, fresh != NULL);
	if (fresh) {
		daemon_reload_apply(daemon, fresh);
		daemon_notify_status("");
		log_info("configuration reloaded");
	} else {
		daemon_reload_tell_mistakes(&mistakes);
		log_error("configuration not reloaded; the former one stays in force");
	}
	config_free(fresh);
	if (ready)
		daemon_notify_ready();
}
