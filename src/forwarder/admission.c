/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel hands out the lowest free descriptor, so the number of a fresh one tells how many are in use: no counting of others'
 * descriptors is needed. Each accepted connection is promised a second one, for its guest; a reserve below RLIMIT_NOFILE is left
 * for the control socket. In a pause a descriptor is made and closed again from time to time to see whether there is room.
 */
#include "forwarder/admission.h"

#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/listener.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	RESERVE = 64,   /* descriptors */
	PAUSE_MS = 100, /* between looks in a pause */
	ROOM = 16,      /* descriptors that must be free beyond the reserve before accepting goes on */
};

bool limits_admit(const struct fwd_route *route, const struct route_state *state)
{
	const struct forwarder *forwarder = route->forwarder;
	unsigned limit = state->limits.connections, for_all = state->connections_for_all;

	if (for_all && atomic_load_explicit(&forwarder->connections, memory_order_relaxed) >= for_all)
		return false;
	return !limit || atomic_load_explicit(&route->connections, memory_order_relaxed) < limit;
}

static bool take_one(atomic_size_t *count, unsigned limit)
{
	if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < limit || !limit)
		return true;
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	return false;
}

bool limits_take(struct fwd_route *route, const struct route_state *state)
{
	struct forwarder *forwarder = route->forwarder;

	if (!take_one(&forwarder->connections, state->connections_for_all))
		return false;
	if (take_one(&route->connections, state->limits.connections))
		return true;
	atomic_fetch_sub_explicit(&forwarder->connections, 1, memory_order_relaxed);
	return false;
}

void limits_refuse(const struct endpoint_share *share, const struct addr *client)
{
	struct worker *worker = share->worker;
	const char *id = share->side->route->id;
	char listen[ADDR_TEXT_SIZE], from[ADDR_TEXT_SIZE];
	uint64_t suppressed;

	count_ended(worker, CLOSE_LIMIT);
	if (!log_limit_allows(&worker->limit_lines, &suppressed))
		return;
	log_info("connection ended", F_STR("sandbox", id[0] ? id : NULL),
		 F_STR("endpoint", addr_format(&share->endpoint->listen, listen)),
		 F_STR("client", addr_format(client, from)), F_STR("reason", close_reason_name(CLOSE_LIMIT)),
		 F_SOME("suppressed", suppressed));
}

static int descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	return (int)limit.rlim_cur;
}

/* Main: what the workers have stopped already is taken out of their sets, so that they do not spin. */
static void deliver_pause(struct mail *mail)
{
	struct forwarder *forwarder = (struct forwarder *)((char *)mail - offsetof(struct forwarder, pause_letter));
	int error = atomic_load(&forwarder->pause_error);
	uint64_t suppressed;

	if (forwarder->stopping || forwarder->drained)
		return;
	forwarder->accept_pauses++;
	listeners_pause(forwarder);
	timer_start(&forwarder->accept_pause, PAUSE_MS);
	if (log_limit_allows(&forwarder->pause_lines, &suppressed))
		log_warning("accepting paused: no descriptors left",
			    F_STR("cause", error ? strerror(error) : "the reserve is reached"),
			    F_INT("limit", descriptor_limit()), F_SOME("suppressed", suppressed));
}

void limits_init(struct forwarder *forwarder)
{
	forwarder->pause_letter.deliver = deliver_pause;
	limits_read(forwarder);
}

/* The letter is free again: only its delivery leads to the end of a pause. */
void limits_pause_accepting(struct forwarder *forwarder, int error)
{
	if (atomic_exchange(&forwarder->accept_paused, true))
		return;
	atomic_store(&forwarder->pause_error, error);
	mailbox_post(forwarder->mailbox, &forwarder->pause_letter);
}

static int promised(const struct forwarder *forwarder)
{
	return (int)atomic_load_explicit(&forwarder->promised, memory_order_relaxed);
}

void limits_look_at_descriptor(struct forwarder *forwarder, int fd)
{
	if (fd + promised(forwarder) >= forwarder->descriptors_usable)
		limits_pause_accepting(forwarder, 0);
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
	atomic_store(&forwarder->accept_paused, false);
	listeners_resume(forwarder);
}

void limits_read(struct forwarder *forwarder)
{
	int limit = descriptor_limit();

	forwarder->descriptors_usable = limit > 4 * RESERVE ? limit - RESERVE : limit - limit / 4;
}
