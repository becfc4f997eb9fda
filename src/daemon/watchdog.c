/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every ten seconds each thread is asked for a turn of its loop, and looked at ten seconds later. One that had none is still
 * well while it does something that it began less than PATIENCE ago: a request may wait seconds for the kernel's RTNL lock, and a job
 * makes many. But a turn has a limit as well, so that a loop of requests without end is found. A thread that does neither is
 * named in the log, once, and the watchdog is not fed: the service manager ends this process. Without one the log alone tells.
 *
 * The thread that writes the log is not looked at. Its reader may stand still for as long as it likes.
 *
 * Any user may send to the socket of systemd's notifications, and so keep its queue full. Food for which there is no room is offered
 * again and again until the next look.
 */
#include "daemon/watchdog.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"
#include "daemon/daemon.h"
#include "daemon/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { INTERVAL_MS = 10000, PATIENCE_MS = 20000, TURN_MAX_MS = 300000, FEED_AGAIN_MS = 20 };

struct watchdog {
	struct timer timer;
	struct timer feed; /* the next try, where the manager had no room */
	uint64_t interval_ms;
	uint64_t patience_ms;
};

static bool daemon_watchdog_goes_on(const struct watchdog *watchdog, const struct base_thread *thread, uint64_t now_ms)
{
	/* Another thread's stamp may be younger than NOW_MS. */
	uint64_t moved_ms = atomic_load(&thread->moved_ms);
	uint64_t turn_ms = atomic_load(&thread->turn_ms);

	return atomic_load(&thread->turns) != thread->turns_seen ||
	       (moved_ms + watchdog->patience_ms > now_ms && turn_ms + TURN_MAX_MS > now_ms);
}

/* Where the kernel keeps the thread, such as "rtnl_lock"; "" if it is not in the kernel. */
static void daemon_watchdog_read_place(const struct base_thread *thread, char place[static 64])
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", atomic_load(&thread->tid));
	file = fopen(path, "re");
	if (!file || fscanf(file, "%63[^\n]", place) != 1 || (place[0] == '0' && !place[1]))
		place[0] = '\0';
	if (file)
		fclose(file);
}

static void daemon_watchdog_report(struct base_thread *thread, uint64_t now_ms)
{
	char place[64];

	daemon_watchdog_read_place(thread, place);
	log_error("thread does not answer", F_STR("thread", thread->name),
		  F_UINT("ms", now_ms - atomic_load(&thread->turn_ms)), F_STR("in", place[0] ? place : NULL));
}

static bool daemon_watchdog_look(const struct watchdog *watchdog, struct base_thread *thread)
{
	uint64_t now_ms = clock_now_ms();
	bool goes_on = daemon_watchdog_goes_on(watchdog, thread, now_ms);

	if (!goes_on && !thread->silent)
		daemon_watchdog_report(thread, now_ms);
	if (goes_on && thread->silent)
		log_info("thread answers again", F_STR("thread", thread->name));
	thread->silent = !goes_on;
	thread->turns_seen = atomic_load(&thread->turns);
	thread->ask(thread);
	return goes_on;
}

static void daemon_watchdog_feed(void *context)
{
	struct watchdog *watchdog = context;

	if (!daemon_notify_watchdog())
		timer_start(&watchdog->feed, FEED_AGAIN_MS);
}

static void daemon_watchdog_on_time(void *context)
{
	struct watchdog *watchdog = context;
	bool all = true;

	for (struct base_thread *thread = base_thread_next(NULL); thread; thread = base_thread_next(thread))
		all = daemon_watchdog_look(watchdog, thread) && all;
	timer_stop(&watchdog->feed);
	if (all)
		daemon_watchdog_feed(watchdog);
	timer_start(&watchdog->timer, watchdog->interval_ms);
}

int daemon_watchdog_start(struct daemon *daemon, struct err *err)
{
	struct watchdog *watchdog = calloc(1, sizeof(*watchdog));
	uint64_t limit_ms = daemon_notify_watchdog_ms();

	if (!watchdog)
		return err_set(err, ENOMEM, "watchdog");
	daemon->watchdog = watchdog;
	/* Of a shorter limit the same parts: a third, and two thirds. */
	watchdog->interval_ms = limit_ms && limit_ms / 3 < INTERVAL_MS ? limit_ms / 3 : INTERVAL_MS;
	watchdog->patience_ms = limit_ms && limit_ms / 3 * 2 < PATIENCE_MS ? limit_ms / 3 * 2 : PATIENCE_MS;
	if (timer_init(&watchdog->timer, daemon->base, daemon_watchdog_on_time, watchdog, err) < 0 ||
	    timer_init(&watchdog->feed, daemon->base, daemon_watchdog_feed, watchdog, err) < 0)
		return -1;
	timer_start(&watchdog->timer, 0);
	return 0;
}

void daemon_watchdog_stop(struct daemon *daemon)
{
	if (!daemon->watchdog)
		return;
	timer_free(&daemon->watchdog->timer);
	timer_free(&daemon->watchdog->feed);
	free(daemon->watchdog);
	daemon->watchdog = NULL;
}
