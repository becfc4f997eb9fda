/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Main decides which workers hear a socket. To close one it takes the socket out of a worker's set under that worker's lock, so
 * the descriptor can be closed at once; an event that was already found sees the share closed. The kernel would reset the clients
 * in the socket's queue, so main takes them where connections are to live on. A message then follows everything that the worker
 * had accepted before.
 */
#include "base/container_of.h"
#include "base/err.h"
#include "forwarder/accept.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/life.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <sys/socket.h>

/* The last message to this worker about the socket. */
static void fwd_accept_on_closed(struct mail *mail)
{
	struct endpoint_share *share = container_of(mail, struct endpoint_share, closed);

	fwd_poller_forget(share->worker->poller, &share->readable);
	if (share->reset)
		fwd_life_reset_endpoint(share->worker, share->endpoint);
	fwd_endpoint_release(share->endpoint);
}

/* Takes the clients in the queue of FD, a full one at most; nobody else accepts from it any more. */
static void fwd_accept_take_last(const struct fwd_endpoint *endpoint, int fd)
{
	const struct endpoint_share *shares = endpoint->shares;
	struct forwarder *forwarder = shares[0].worker->forwarder;

	for (size_t i = 0; i < SOMAXCONN && fwd_admission_is_open(forwarder); i++) {
		const struct endpoint_share *share = &shares[i % endpoint->share_count];
		struct addr client = { 0 };
		int taken = fwd_accept_next(share, fd, &client);

		if (taken < 0 && !fwd_accept_goes_on(forwarder, errno))
			return;
		if (taken < 0)
			continue;
		struct arrival arrival = fwd_arrival_now(share->side, share->endpoint, taken, &client);

		if (fwd_arrival_admit(&arrival, &share->side->route->state) &&
		    !fwd_arrival_hand_over(share->side, arrival)) {
			fwd_socket_reset(&taken);
			fwd_tally_withdraw(share->side->route, DIRECTION_IN);
			return;
		}
	}
}

int fwd_accept_resume(struct fwd_endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		if (!share->heard && fwd_poller_add_shared(share->worker->poller, share->fd, &share->readable) < 0)
			return -1;
		share->heard = true;
	}
	return 0;
}

void fwd_accept_suspend(struct fwd_endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		if (share->heard)
			fwd_poller_remove(share->worker->poller, share->fd);
		share->heard = false;
	}
}

int fwd_accept_open(struct forwarder *forwarder, struct fwd_endpoint *endpoint, struct fwd_route *route, int fd,
		    struct err *err)
{
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];
		size_t index = ((route ? route->first_worker : 0) + i) % forwarder->worker_count;

		share->worker = forwarder->workers[index];
		share->endpoint = endpoint;
		share->side = route ? fwd_route_side_at(route, index) : NULL;
		share->readable.happened = fwd_accept_on_readable;
		share->fd = fd;
		if (route && !share->side)
			return err_set(err, ENOMEM, "route");
	}
	if (!fwd_admission_is_paused(forwarder) && fwd_accept_resume(endpoint) < 0) {
		err_set(err, errno, "epoll");
		fwd_accept_close(endpoint, true);
		return -1;
	}
	return 0;
}

void fwd_accept_close(struct fwd_endpoint *endpoint, bool reset)
{
	const struct forwarder *forwarder = endpoint->shares[0].worker->forwarder;
	int fd = endpoint->shares[0].fd;

	fwd_accept_suspend(endpoint);
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		pthread_mutex_lock(&share->worker->accepting);
		share->fd = -1;
		pthread_mutex_unlock(&share->worker->accepting);
	}
	/* At the end of the process the queue is left to the next owner of the socket. Guests that ask for services are not waited for. */
	if (!reset && endpoint->shares[0].side && !atomic_load(&forwarder->stopping))
		fwd_accept_take_last(endpoint, fd);
	/* No client can be handed over any more, so these messages are the last that name the endpoint. */
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		share->reset = reset;
		share->closed.deliver = fwd_accept_on_closed;
		fwd_endpoint_reference(endpoint);
		base_mailbox_post(share->worker->mailbox, &share->closed);
	}
}
