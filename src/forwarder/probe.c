/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest is ready when it accepts a connect from inside the namespace. Main's loop tries it. As with clients an attempt is short
 * and the next one fresh. The socket is closed with a reset, so that the guest's server sees a connection that sends nothing, and
 * no TIME_WAIT is left.
 *
 * A guest that was resumed may answer in the next moment, or only once it has run for a while. So for a second there are attempts
 * beside the others that are fresh each 5 ms: these find the moment at which it answers, and the others have the time that a slow guest
 * needs for its answer.
 */
#include "forwarder/probe.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/netns.h"
#include "forwarder/core.h"
#include "forwarder/fair_share.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	PAUSE_FIRST_MS = 50,
	PAUSE_LAST_MS = 200,
	PAUSE_STEP_MS = 5,
	SLOW_AFTER = 150, /* attempts, half a minute; then thousands that never boot cost little */
	PAUSE_SLOW_MS = 1000,
	HURRY_MS = 1000, /* after a resume, and when the VM comes after it */
	PAUSE_HURRY_MS = 5,
};

/* One connect. */
struct probe_attempt {
	struct fwd_probe *probe;
	int fd; /* -1: none under way */
	struct event *event;
};

struct fwd_probe {
	LIST_ENTRY(fwd_probe) link;
	struct fwd_route *route; /* NULL: it ended before the probe was stopped */
	bool finished;
	uint16_t port;
	void (*accepted)(void *context);
	void *context;
	struct probe_attempt steady, hurried;
	struct timer timer; /* the next steady attempt */
	struct timer hurry; /* the next hurried one */
	uint64_t hurry_until_ms;
	unsigned attempts;
};

static bool fwd_probe_may_dial(const struct fwd_route *route)
{
	return fwd_route_state_may_dial(&route->state) && !route->dying;
}

static void fwd_probe_drop_attempt(struct probe_attempt *attempt)
{
	const struct fwd_probe *probe = attempt->probe;

	/* Without a route none is under way. */
	if (probe->route && attempt->fd >= 0)
		fwd_share_hold(probe->route->forwarder, -1);
	if (attempt->event)
		event_free(attempt->event);
	attempt->event = NULL;
	fwd_socket_reset(&attempt->fd);
}

static void fwd_probe_rest(struct fwd_probe *probe)
{
	fwd_probe_drop_attempt(&probe->steady);
	fwd_probe_drop_attempt(&probe->hurried);
	timer_stop(&probe->timer);
	timer_stop(&probe->hurry);
}

static void fwd_probe_try_later(struct fwd_probe *probe)
{
	unsigned pause_ms = PAUSE_FIRST_MS + probe->attempts * PAUSE_STEP_MS;

	if (pause_ms > PAUSE_LAST_MS)
		pause_ms = PAUSE_LAST_MS;
	if (probe->attempts < SLOW_AFTER)
		probe->attempts++;
	else
		pause_ms = PAUSE_SLOW_MS;
	timer_start(&probe->timer, pause_ms);
}

static void fwd_probe_succeed(struct fwd_probe *probe)
{
	fwd_probe_rest(probe);
	probe->finished = true;
	probe->route->resumed = false;
	probe->accepted(probe->context);
}

static void fwd_probe_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct probe_attempt *attempt = arg;

	(void)what;
	if (!fwd_socket_error(fd))
		fwd_probe_succeed(attempt->probe);
	else
		fwd_probe_drop_attempt(attempt); /* the timer runs already */
}

/* In the place of the former attempt. Returns whether the guest accepted at once. */
static bool fwd_probe_try_now(struct probe_attempt *attempt)
{
	const struct fwd_probe *probe = attempt->probe;
	struct forwarder *forwarder = probe->route->forwarder;
	struct addr guest = fwd_guest(probe->route, probe->port);
	struct err err;

	fwd_probe_drop_attempt(attempt);
	attempt->fd = base_netns_socket(probe->route->state.netns_fd, AF_INET,
					SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, &err);
	if (attempt->fd < 0)
		return false;
	fwd_share_hold(forwarder, 1);
	if (connect(attempt->fd, &guest.any, addr_length(&guest)) == 0)
		return true;
	if (errno == EINPROGRESS)
		attempt->event = event_new(forwarder->base, attempt->fd, EV_WRITE, fwd_probe_on_event, attempt);
	if (!attempt->event || event_add(attempt->event, NULL) < 0)
		fwd_probe_drop_attempt(attempt);
	return false;
}

static void fwd_probe_on_timer(void *context)
{
	struct fwd_probe *probe = context;

	if (!fwd_probe_may_dial(probe->route)) {
		fwd_probe_rest(probe);
		return;
	}
	fwd_probe_try_later(probe);
	if (fwd_probe_try_now(&probe->steady))
		fwd_probe_succeed(probe);
}

static void fwd_probe_on_hurry(void *context)
{
	struct fwd_probe *probe = context;

	if (!fwd_probe_may_dial(probe->route) || clock_now_ms() >= probe->hurry_until_ms) {
		fwd_probe_drop_attempt(&probe->hurried);
		return;
	}
	timer_start(&probe->hurry, PAUSE_HURRY_MS);
	if (fwd_probe_try_now(&probe->hurried))
		fwd_probe_succeed(probe);
}

/* The guest may be dialed from now on. */
static void fwd_probe_begin(struct fwd_probe *probe)
{
	probe->attempts = 0;
	timer_start(&probe->timer, 0);
	if (!probe->route->resumed)
		return;
	probe->hurry_until_ms = clock_now_ms() + HURRY_MS;
	timer_start(&probe->hurry, PAUSE_HURRY_MS);
}

void fwd_probe_route_changed(struct fwd_route *route)
{
	struct fwd_probe *probe;

	LIST_FOREACH(probe, &route->probes, link)
	{
		if (probe->finished)
			continue;
		if (fwd_probe_may_dial(route))
			fwd_probe_begin(probe);
		else
			fwd_probe_rest(probe);
	}
}

struct fwd_probe *fwd_probe_start(struct fwd_route *route, uint16_t port, void (*accepted)(void *context),
				  void *context)
{
	struct fwd_probe *probe = calloc(1, sizeof(*probe));
	struct err err;

	if (!probe)
		return NULL;
	*probe = (struct fwd_probe){ .route = route,
				     .port = port,
				     .accepted = accepted,
				     .context = context,
				     .steady = { .probe = probe, .fd = -1 },
				     .hurried = { .probe = probe, .fd = -1 } };
	if (timer_init(&probe->timer, route->forwarder->base, fwd_probe_on_timer, probe, &err) < 0 ||
	    timer_init(&probe->hurry, route->forwarder->base, fwd_probe_on_hurry, probe, &err) < 0) {
		timer_free(&probe->timer);
		timer_free(&probe->hurry);
		free(probe);
		return NULL;
	}
	LIST_INSERT_HEAD(&route->probes, probe, link);
	if (fwd_probe_may_dial(route))
		fwd_probe_begin(probe);
	return probe;
}

void fwd_probe_stop(struct fwd_probe *probe)
{
	if (!probe)
		return;
	fwd_probe_rest(probe);
	timer_free(&probe->timer);
	timer_free(&probe->hurry);
	if (probe->route)
		LIST_REMOVE(probe, link);
	free(probe);
}

void fwd_probe_detach_all(struct fwd_route *route)
{
	struct fwd_probe *probe;

	while ((probe = LIST_FIRST(&route->probes))) {
		fwd_probe_rest(probe);
		LIST_REMOVE(probe, link);
		probe->route = NULL;
	}
}
