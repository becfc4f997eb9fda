/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thin, so that no other file needs to know whether libsystemd is there.
 */
#include "daemon/notify.h"

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>

static void daemon_notify_send(const char *state)
{
	sd_notify(0, state);
}
#else
static void daemon_notify_send(const char *state)
{
	(void)state;
}
#endif

void daemon_notify_ready(void)
{
	daemon_notify_send("READY=1");
}

void daemon_notify_reloading(void)
{
	daemon_notify_send("RELOADING=1");
}

void daemon_notify_stopping(void)
{
	daemon_notify_send("STOPPING=1");
}
