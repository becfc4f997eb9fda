/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest is ready when it accepts a connect from inside the namespace. Main's loop tries it. As with clients an attempt is short
 * and the next one fresh. The socket is closed with a reset, so that the guest's server sees a connection that sends nothing, and
 * no TIME_WAIT is left.
 */
#include "forwarder/probe.h"

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
};

struct fwd_probe {
	LIST_ENTRY(fwd_probe) link;
	struct fwd_route *route; /* NULL: it ended before the probe was stopped */
	bool finished;
	uint16_t port;
	void (*accepted)(void *context);
	void *context;
	int fd; /* -1: no attempt under way */
	struct event *event;
	struct timer timer; /* the next attempt */
	unsigned attempts;
};

static bool fwd_probe_may_dial(const struct fwd_route *route)
{
	return fwd_route_state_may_dial(&route->state) && !route->dying;
}

static void fwd_probe_drop_attempt(struct fwd_probe *probe)
{
	/* Without a route none is under way. */
	if (probe->route && probe->fd >= 0)
		fwd_share_hold(probe->route->forwarder, -1);
	if (probe->event)
		event_free(probe->event);
	probe->event = NULL;
	fwd_socket_reset(&probe->fd);
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
	fwd_probe_drop_attempt(probe);
	timer_stop(&probe->timer);
	probe->finished = true;
	probe->accepted(probe->context);
}

static void fwd_probe_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct fwd_probe *probe = arg;

	(void)what;
	if (!fwd_socket_error(fd))
		fwd_probe_succeed(probe);
	else
		fwd_probe_drop_attempt(probe); /* the timer runs already */
}

/* Returns whether the guest accepted at once. */
static bool fwd_probe_try_now(struct fwd_probe *probe)
{
	struct forwarder *forwarder = probe->route->forwarder;
	struct addr guest = fwd_guest(probe->route, probe->port);
	struct err err;

	probe->fd = base_netns_socket(probe->route->state.netns_fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				      0, &err);
	if (probe->fd < 0)
		return false;
	fwd_share_hold(forwarder, 1);
	if (connect(probe->fd, &guest.any, addr_length(&guest)) == 0)
		return true;
	if (errno == EINPROGRESS)
		probe->event = event_new(forwarder->base, probe->fd, EV_WRITE, fwd_probe_on_event, probe);
	if (!probe->event || event_add(probe->event, NULL) < 0)
		fwd_probe_drop_attempt(probe);
	return false;
}

static void fwd_probe_on_timer(void *context)
{
	struct fwd_probe *probe = context;

	fwd_probe_drop_attempt(probe);
	if (!fwd_probe_may_dial(probe->route))
		return;
	fwd_probe_try_later(probe);
	if (fwd_probe_try_now(probe))
		fwd_probe_succeed(probe);
}

void fwd_probe_route_changed(struct fwd_route *route)
{
	struct fwd_probe *probe;

	LIST_FOREACH(probe, &route->probes, link)
	{
		if (probe->finished)
			continue;
		probe->attempts = 0;
		if (fwd_probe_may_dial(route)) {
			timer_start(&probe->timer, 0);
		} else {
			fwd_probe_drop_attempt(probe);
			timer_stop(&probe->timer);
		}
	}
}

struct fwd_probe *fwd_probe_start(struct fwd_route *route, uint16_t port, void (*accepted)(void *context),
				  void *context)
{
	struct fwd_probe *probe = calloc(1, sizeof(*probe));
	struct err err;

	if (!probe)
		return NULL;
	*probe = (struct fwd_probe){ .route = route, .port = port, .accepted = accepted, .context = context, .fd = -1 };
	if (timer_init(&probe->timer, route->forwarder->base, fwd_probe_on_timer, probe, &err) < 0) {
		free(probe);
		return NULL;
	}
	LIST_INSERT_HEAD(&route->probes, probe, link);
	if (fwd_probe_may_dial(route))
		timer_start(&probe->timer, 0);
	return probe;
}

void fwd_probe_stop(struct fwd_probe *probe)
{
	if (!probe)
		return;
	fwd_probe_drop_attempt(probe);
	timer_free(&probe->timer);
	if (probe->route)
		LIST_REMOVE(probe, link);
	free(probe);
}

void fwd_probe_detach_all(struct fwd_route *route)
{
	struct fwd_probe *probe;

	while ((probe = LIST_FIRST(&route->probes))) {
		fwd_probe_drop_attempt(probe);
		timer_stop(&probe->timer);
		LIST_REMOVE(probe, link);
		probe->route = NULL;
	}
}
