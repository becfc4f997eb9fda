/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thin, so that no other file needs to know whether libsystemd is there.
 */
#include "daemon/notify.h"

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>

static void notify_send(const char *state)
{
	sd_notify(0, state);
}
#else
static void notify_send(const char *state)
{
	(void)state;
}
#endif

void notify_ready(void)
{
	notify_send("READY=1");
}

void notify_reloading(void)
{
	notify_send("RELOADING=1");
}

void notify_stopping(void)
{
	notify_send("STOPPING=1");
}
