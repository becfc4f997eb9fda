/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workers accept for themselves: only the worker that will serve the client is woken. Each hears the listening socket in its own
 * epoll set, and the kernel wakes one that waits (EPOLLEXCLUSIVE). It wakes the same one each time that all wait, so a
 * worker that has clearly more connections than another hands the next one over.
 *
 * A client that has reset its connection stays in the listening socket's queue all the same, and after a restart there may be
 * thousands. Linux hands these out like living ones; here they are closed at once, and count as ended but to no limit:
 * otherwise they would take a share that living clients are then refused for.
 *
 * Options that an accepted socket inherits from the listening one (TCP_NODELAY, keepalive) cost no system call.
 */
#include "forwarder/accept.h"

#include "base/container_of.h"
#include "forwarder/admission.h"
#include "forwarder/door_visit.h"
#include "forwarder/endpoint.h"
#include "forwarder/life.h"
#include "forwarder/pipe_pool.h"
#include "forwarder/route.h"
#include "forwarder/services.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whose connection FD is. False: nobody's, and it was reset. */
static bool fwd_accept_sort(const struct endpoint_share *share, int fd, const struct addr *client,
			    struct arrival *arrival)
{
	if (!share->side)
		return fwd_services_arrive(share->worker, fd, client, arrival);
	*arrival = fwd_arrival_now(share->side, share->endpoint, fd, client);
	return true;
}

/* A client at the door, whom nobody knows yet. */
static void fwd_accept_take_visitor(struct endpoint_share *share, int fd)
{
	struct worker *worker = share->worker;

	if (fwd_door_visit_begin(share, fd, &worker->arrivals[worker->arrival_count]))
		worker->arrival_count++;
}

static void fwd_accept_take(struct endpoint_share *share, int fd, const struct addr *client)
{
	struct worker *worker = share->worker;
	struct arrival arrival;
	const struct endpoint_share *chosen;

	if (!fwd_accept_sort(share, fd, client, &arrival))
		return;
	if (!fwd_arrival_admit(&arrival, &arrival.side->state)) {
		fwd_pipe_pool_trim(worker->pipes);
		return;
	}
	chosen = fwd_arrival_choose(share);
	if (chosen != share && fwd_arrival_hand_over(arrival.side->route->sides[chosen->worker->index], arrival))
		return;
	fwd_arrival_count(&arrival);
	worker->arrivals[worker->arrival_count++] = arrival;
}

bool fwd_accept_goes_on(struct forwarder *forwarder, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		fwd_admission_pause(forwarder, error);
		return false;
	default:
		/* The error of one connection that is gone already, accept(2): the next may be well. */
		return true;
	}
}

int fwd_accept_next(const struct endpoint_share *share, int listening, struct addr *client)
{
	socklen_t size = sizeof(*client);
	int fd = accept4(listening, &client->any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 || fwd_socket_error(fd) == 0)
		return fd;
	close(fd);
	if (share->side)
		fwd_tally_miss(share->side);
	else
		fwd_tally_drop(share->worker->forwarder, CLOSE_GUEST_RESET, 1);
	errno = ECONNABORTED;
	return -1;
}

static void fwd_accept_some(struct endpoint_share *share)
{
	struct forwarder *forwarder = share->worker->forwarder;

	for (unsigned i = 0; i < ACCEPTS_MAX && fwd_admission_is_open(forwarder); i++) {
		struct addr client = { 0 };
		int fd = fwd_accept_next(share, share->fd, &client);

		if (fd >= 0 && share->endpoint->door)
			fwd_accept_take_visitor(share, fd);
		else if (fd >= 0)
			fwd_accept_take(share, fd, &client);
		else if (!fwd_accept_goes_on(forwarder, errno))
			return;
	}
}

void fwd_accept_on_readable(struct poll_source *source, uint32_t events)
{
	struct endpoint_share *share = container_of(source, struct endpoint_share, readable);
	struct worker *worker = share->worker;

	(void)events;
	worker->arrival_count = 0;
	pthread_mutex_lock(&worker->accepting);
	if (share->fd >= 0)
		fwd_accept_some(share);
	pthread_mutex_unlock(&worker->accepting);

	for (size_t i = 0; i < worker->arrival_count; i++)
		fwd_life_begin(worker, &worker->arrivals[i]);
}
