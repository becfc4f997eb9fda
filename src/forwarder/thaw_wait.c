/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between two runs a connection belongs to no worker. Its clock stands still as long as it waits here, only its age grows.
 */
#include "forwarder/thaw_wait.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <stdlib.h>
#include <string.h>

static void fwd_thaw_wait_on_finished(struct mail *mail)
{
	struct thaw *thaw = container_of(mail, struct thaw, finished);

	if (thaw->done && !thaw->forwarder->stopping)
		thaw->done(thaw->context, &thaw->result);
}

struct thaw *fwd_thaw_wait_new(struct forwarder *forwarder)
{
	struct thaw *thaw = calloc(1, sizeof(*thaw));

	if (!thaw)
		return NULL;
	thaw->forwarder = forwarder;
	thaw->finished.deliver = fwd_thaw_wait_on_finished;
	STAILQ_INIT(&thaw->waiting);
	return thaw;
}

void fwd_thaw_wait_check(struct thaw *thaw)
{
	if (thaw->count || thaw->letters || thaw->finishing)
		return;
	thaw->finishing = true;
	base_mailbox_post(thaw->forwarder->mailbox, &thaw->finished);
}

const struct frozen_list *fwd_thaw_wait_list(const struct forwarder *forwarder)
{
	return forwarder->thaw ? &forwarder->thaw->waiting : NULL;
}

size_t fwd_thaw_waiting(const struct forwarder *forwarder)
{
	return forwarder->thaw ? forwarder->thaw->count : 0;
}

struct frozen_route *fwd_thaw_wait_take(struct thaw *thaw, const char *id)
{
	struct frozen_route *route;

	STAILQ_FOREACH(route, &thaw->waiting, next)
	{
		if (strcmp(route->id, id) != 0)
			continue;
		STAILQ_REMOVE(&thaw->waiting, route, frozen_route, next);
		thaw->count -= route->count;
		return route;
	}
	return NULL;
}

void fwd_thaw_wait_age(struct forwarder *forwarder, uint64_t now_ms)
{
	struct thaw *thaw = forwarder->thaw;
	struct frozen_route *route;

	if (!thaw || now_ms < thaw->aged_ms)
		return;
	STAILQ_FOREACH(route, &thaw->waiting, next)
	{
		for (size_t i = 0; i < route->count; i++)
			route->items[i].age_us += (now_ms - thaw->aged_ms) * 1000;
	}
	thaw->aged_ms = now_ms;
}

/* ---- The end of those that wait ---- */

static void fwd_thaw_wait_log(const struct frozen_route *route, const struct frozen *frozen,
			      enum fwd_close_reason reason)
{
	char listen[ADDR_TEXT_SIZE], client[ADDR_TEXT_SIZE];
	enum fwd_direction direction = fwd_frozen_direction(frozen);
	enum which guest = fwd_guest_end(direction);

	if (!log_limit_allows(&fwd_end_lines, LOG_INFO_LEVEL, "connection ended", route->id))
		return;
	log_info("connection ended", F_STR("sandbox", route->id[0] ? route->id : NULL),
		 F_STR("direction", F_DIRECTION(direction)),
		 F_STR("endpoint", fwd_frozen_format_endpoint(frozen, listen)),
		 F_STR("client", fwd_endpoint_format_client(&frozen->client, client)),
		 F_STR("reason", fwd_close_reason_name(reason)), F_UINT("to_guest", frozen->streams[!guest].bytes),
		 F_UINT("from_guest", frozen->streams[guest].bytes), F_UINT("duration_ms", frozen->age_us / 1000));
}

static void fwd_thaw_wait_close(struct forwarder *forwarder, struct frozen *frozen)
{
	fwd_share_hold(forwarder, -(int)fwd_frozen_fds(frozen));
	fwd_frozen_reset(frozen);
}

void fwd_thaw_wait_reset(struct thaw *thaw, const struct frozen_route *route, struct frozen *frozen,
			 enum fwd_close_reason reason)
{
	fwd_thaw_wait_log(route, frozen, reason);
	fwd_thaw_wait_close(thaw->forwarder, frozen);
	fwd_tally_drop(thaw->forwarder, reason, 1);
	thaw->result.lost++;
}

/* Takes the first route of those that wait: the caller's. NULL: there is none. */
static struct frozen_route *fwd_thaw_wait_take_first(struct thaw *thaw)
{
	struct frozen_route *route = STAILQ_FIRST(&thaw->waiting);

	if (!route)
		return NULL;
	STAILQ_REMOVE_HEAD(&thaw->waiting, next);
	thaw->count -= route->count;
	return route;
}

/* Resets the connections of ROUTE, which does not wait any more, and frees it. */
static void fwd_thaw_wait_end(struct thaw *thaw, struct frozen_route *route, enum fwd_close_reason reason)
{
	for (size_t i = 0; i < route->count; i++)
		fwd_thaw_wait_reset(thaw, route, &route->items[i], reason);
	fwd_frozen_route_free(route);
}

void fwd_thaw_wait_drop(struct forwarder *forwarder, const char *id, enum fwd_close_reason reason)
{
	struct thaw *thaw = forwarder->thaw;
	struct frozen_route *route;

	if (!thaw)
		return;
	while ((route = fwd_thaw_wait_take(thaw, id)))
		fwd_thaw_wait_end(thaw, route, reason);
	fwd_thaw_wait_check(thaw);
}

void fwd_thaw_drop_unknown(struct forwarder *forwarder, bool (*is_known)(void *context, const char *id), void *context)
{
	struct thaw *thaw = forwarder->thaw;
	const struct frozen_route *route, *next;

	if (!thaw)
		return;
	for (route = STAILQ_FIRST(&thaw->waiting); route; route = next) {
		char id[FROZEN_ID_MAX + 1];

		next = STAILQ_NEXT(route, next);
		/* The default endpoint's clients without a backend are no sandbox's. */
		if (!route->id[0] || is_known(context, route->id))
			continue;
		memcpy(id, route->id, sizeof(id));
		fwd_thaw_wait_drop(forwarder, id, CLOSE_UNREGISTERED);
		next = STAILQ_FIRST(&thaw->waiting);
	}
}

void fwd_thaw_wait_leave(struct forwarder *forwarder)
{
	struct thaw *thaw = forwarder->thaw;
	struct frozen_route *route;

	if (!thaw)
		return;
	while ((route = fwd_thaw_wait_take_first(thaw))) {
		for (size_t i = 0; i < route->count; i++)
			fwd_thaw_wait_close(forwarder, &route->items[i]);
		fwd_frozen_route_free(route);
	}
}

void fwd_thaw_wait_free(struct forwarder *forwarder)
{
	struct thaw *thaw = forwarder->thaw;
	struct frozen_route *route;

	if (!thaw)
		return;
	while ((route = fwd_thaw_wait_take_first(thaw)))
		fwd_thaw_wait_end(thaw, route, CLOSE_SHUTDOWN);
	free(thaw);
	forwarder->thaw = NULL;
}
