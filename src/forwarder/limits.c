/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel hands out the lowest free descriptor, so the number of a fresh one tells how many are in use: no counting of others'
 * descriptors is needed. Each accepted connection is promised a second one, for its guest; a reserve below RLIMIT_NOFILE is left
 * for the control socket. In a pause a descriptor is made and closed again from time to time to see whether there is room.
 */
#include "forwarder/limits.h"

#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/listener.h"
#include "forwarder/route.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	RESERVE = 64,   /* descriptors */
	PAUSE_MS = 100, /* between looks in a pause */
	ROOM = 16,      /* descriptors that must be free beyond the reserve before accepting goes on */
};

bool limits_is_full(const struct route *route, const struct route_state *state)
{
	unsigned limit = state->limits.connections;

	return limit && atomic_load_explicit(&route->connections, memory_order_relaxed) >= limit;
}

bool limits_admit(const struct route *route, const struct route_state *state)
{
	const struct forwarder *forwarder = route->forwarder;
	unsigned for_all = state->connections_for_all;

	if (for_all && atomic_load_explicit(&forwarder->connections, memory_order_relaxed) >= for_all)
		return false;
	return !limits_is_full(route, state);
}

void limits_refuse(struct route *route, const struct endpoint *endpoint, const struct addr *client)
{
	struct forwarder *forwarder = route->forwarder;
	char listen[ADDR_TEXT_SIZE], from[ADDR_TEXT_SIZE];
	uint64_t suppressed;

	forwarder->limited++;
	if (!log_limit_allows(&forwarder->limit_lines, &suppressed))
		return;
	log_info("connection ended", F_STR("sandbox", route->id[0] ? route->id : NULL),
		 F_STR("endpoint", addr_format(&endpoint->listen, listen)), F_STR("client", addr_format(client, from)),
		 F_STR("reason", close_reason_name(CLOSE_LIMIT)), F_SOME("suppressed", suppressed));
}

static int descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	return (int)limit.rlim_cur;
}

static void pause_accepting(struct forwarder *forwarder, const char *why)
{
	uint64_t suppressed;

	if (forwarder->accept_paused || forwarder->stopping)
		return;
	forwarder->accept_paused = true;
	forwarder->accept_pauses++;
	listeners_pause(forwarder);
	timer_start(&forwarder->accept_pause, PAUSE_MS);
	if (log_limit_allows(&forwarder->pause_lines, &suppressed))
		log_warning("accepting paused: no descriptors left", F_STR("cause", why),
			    F_INT("limit", descriptor_limit()), F_SOME("suppressed", suppressed));
}

void limits_pause_accepting(struct forwarder *forwarder, int error)
{
	pause_accepting(forwarder, strerror(error));
}

static int promised(const struct forwarder *forwarder)
{
	return (int)atomic_load_explicit(&forwarder->promised, memory_order_relaxed);
}

void limits_look_at_descriptor(struct forwarder *forwarder, int fd)
{
	if (fd + promised(forwarder) >= forwarder->descriptors_usable)
		pause_accepting(forwarder, "the reserve is reached");
}

static bool has_room(const struct forwarder *forwarder)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return fd + promised(forwarder) + ROOM < forwarder->descriptors_usable;
}

void limits_try_again(void *context)
{
	struct forwarder *forwarder = context;

	limits_read(forwarder);
	if (!has_room(forwarder)) {
		timer_start(&forwarder->accept_pause, PAUSE_MS);
		return;
	}
	forwarder->accept_paused = false;
	listeners_resume(forwarder);
}

void limits_read(struct forwarder *forwarder)
{
	int limit = descriptor_limit();

	forwarder->descriptors_usable = limit > 4 * RESERVE ? limit - RESERVE : limit - limit / 4;
}
