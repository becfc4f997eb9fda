/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel hands out the lowest free descriptor, so the number of a fresh one shows how many are in use: nobody has to
 * count the descriptors of others. Each accepted connection is promised a second one, for its guest. A reserve below
 * RLIMIT_NOFILE is left for the control socket.
 */
#include "forwarder/admission.h"

#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <sys/resource.h>

enum { RESERVE = 64 }; /* descriptors */

bool fwd_admission_allows(const struct fwd_route *route, const struct route_state *state)
{
	return fwd_tally_has_room(route, state->connections_for_all, state->limits.connections);
}

bool fwd_admission_take(struct fwd_route *route, const struct route_state *state)
{
	return fwd_tally_admit(route, state->connections_for_all, state->limits.connections);
}

void fwd_admission_refuse(const struct endpoint_share *share, const struct addr *client)
{
	struct worker *worker = share->worker;
	const char *id = share->side->route->id;
	char listen[ADDR_TEXT_SIZE], from[ADDR_TEXT_SIZE];
	uint64_t suppressed;

	fwd_tally_refuse(worker);
	if (!log_limit_allows(&worker->limit_lines, &suppressed))
		return;
	log_info("connection ended", F_STR("sandbox", id[0] ? id : NULL),
		 F_STR("endpoint", addr_format(&share->endpoint->listen, listen)),
		 F_STR("client", addr_format(client, from)), F_STR("reason", fwd_close_reason_name(CLOSE_LIMIT)),
		 F_SOME("suppressed", suppressed));
}

bool fwd_admission_is_paused(const struct forwarder *forwarder)
{
	return atomic_load_explicit(&forwarder->admission.paused, memory_order_relaxed);
}

/* The message is free again: no pause ends before its delivery. */
void fwd_admission_pause(struct forwarder *forwarder, int error)
{
	if (atomic_exchange(&forwarder->admission.paused, true))
		return;
	atomic_store(&forwarder->admission.pause_error, error);
	base_mailbox_post(forwarder->mailbox, &forwarder->admission.pause);
}

bool fwd_admission_is_usable(const struct forwarder *forwarder, int fd)
{
	return fd < atomic_load_explicit(&forwarder->admission.descriptors, memory_order_relaxed);
}

bool fwd_admission_has_room(const struct forwarder *forwarder, int fd, int room)
{
	return fwd_admission_is_usable(forwarder, fd + (int)fwd_tally_promised(forwarder) + room);
}

void fwd_admission_look_at_descriptor(struct forwarder *forwarder, int fd)
{
	if (!fwd_admission_has_room(forwarder, fd, 0))
		fwd_admission_pause(forwarder, 0);
}

int fwd_admission_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	return (int)limit.rlim_cur;
}

void fwd_admission_read_limit(struct forwarder *forwarder)
{
	int limit = fwd_admission_descriptor_limit();

	forwarder->admission.descriptors = limit > 4 * RESERVE ? limit - RESERVE : limit - limit / 4;
}
