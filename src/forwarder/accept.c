/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workers accept for themselves: nobody is woken but the one that will serve. Each hears the listening socket in its own epoll set,
 * and the kernel wakes one that waits (EPOLLEXCLUSIVE). It wakes the same one each time that all wait, so a worker that has clearly
 * more connections than another hands the next one over.
 *
 * Main ends it all: it takes the socket out of a worker's set under that worker's lock, so the descriptor can be closed at once; an
 * event that was already found sees the share closed. The kernel would reset the clients that it has let in and that no worker has
 * taken yet; where connections are to live on, main takes them. A letter then follows whatever the worker had accepted before.
 *
 * What an accepted socket inherits from the listening one (TCP_NODELAY, keepalive) costs no system call.
 */
#include "forwarder/accept.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "forwarder/admission.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/life.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	WORKERS_MAX = 4, /* that hear one socket: beyond that each costs memory and gains nothing for one guest */
	SLACK = 2,       /* connections more than another worker's, beside a quarter, before one is handed over */
};

/* ---- Accepting: worker's thread ---- */

/* A client that another thread accepted. */
struct arrival_message {
	struct mail mail;
	struct arrival arrival;
	const struct endpoint_share *unasked; /* its worker has still to apply the limits; NULL: they were applied */
};

/* The share that the next connection goes to: SHARE itself but for a good reason. */
static struct endpoint_share *accept_choose(struct endpoint_share *share)
{
	struct fwd_endpoint *endpoint = share->endpoint;
	struct endpoint_share *best = share;
	size_t least = tally_load(share->worker);

	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *other = &endpoint->shares[i];
		size_t load = tally_load(other->worker);

		if (load < least) {
			best = other;
			least = load;
		}
	}
	return tally_load(share->worker) > least + least / 4 + SLACK ? best : share;
}

/* admission_take() has counted the rest. */
static void accept_count(const struct arrival *arrival)
{
	fwd_endpoint_reference(arrival->endpoint);
	tally_arrive(arrival->side);
}

/* False: there is no room for one more, and it was reset. */
static bool accept_admit(const struct endpoint_share *share, int fd, const struct addr *client)
{
	if (admission_take(share->side->route, &share->side->state))
		return true;
	admission_refuse(share, client);
	socket_reset(&fd);
	return false;
}

static struct arrival accept_arrival_now(const struct endpoint_share *share, int fd, const struct addr *client)
{
	return (struct arrival){ .fd = fd,
				 .client = *client,
				 .endpoint = share->endpoint,
				 .side = share->side,
				 .accepted_us = clock_now_us() };
}

/* One that main took: only now is it looked at as any other, as limits and counters are the worker's. */
static bool accept_admit_last(const struct endpoint_share *share, const struct arrival *arrival)
{
	tally_unpromise(share->worker->forwarder);
	if (!accept_admit(share, arrival->fd, &arrival->client))
		return false;
	accept_count(arrival);
	return true;
}

static void accept_on_arrival(struct mail *mail)
{
	struct arrival_message *message = container_of(mail, struct arrival_message, mail);
	struct arrival arrival = message->arrival;
	const struct endpoint_share *unasked = message->unasked;

	free(message);
	tally_deliver(arrival.side);
	if (!unasked || accept_admit_last(unasked, &arrival))
		life_begin(arrival.side->worker, &arrival);
	else
		route_side_check_empty(arrival.side);
}

/* ARRIVAL as a letter to its side's worker, counted as coming; mailbox_post() is owed. NULL for lack of memory. */
static struct arrival_message *accept_message_new(const struct arrival *arrival, const struct endpoint_share *unasked)
{
	struct arrival_message *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	*message =
	    (struct arrival_message){ .mail.deliver = accept_on_arrival, .arrival = *arrival, .unasked = unasked };
	tally_send(arrival->side);
	return message;
}

/* To another worker. False for lack of memory. */
static bool accept_hand_over(const struct endpoint_share *to, struct arrival arrival)
{
	arrival.side = to->side;
	struct arrival_message *message = accept_message_new(&arrival, NULL);

	if (!message)
		return false;
	accept_count(&arrival);
	mailbox_post(to->worker->mailbox, &message->mail);
	return true;
}

static void accept_take(struct endpoint_share *share, int fd, const struct addr *client)
{
	struct worker *worker = share->worker;
	const struct endpoint_share *chosen;

	if (!accept_admit(share, fd, client))
		return;
	struct arrival arrival = accept_arrival_now(share, fd, client);

	chosen = accept_choose(share);
	if (chosen != share && accept_hand_over(chosen, arrival))
		return;
	accept_count(&arrival);
	worker->arrivals[worker->arrival_count++] = arrival;
}

/* Whether to go on accepting after accept4() failed with ERROR. */
static bool accept_failed(struct forwarder *forwarder, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		admission_pause(forwarder, error);
		return false;
	default:
		/* What was wrong with one connection that is gone already, accept(2): the next may be well. */
		return true;
	}
}

static void accept_some(struct endpoint_share *share)
{
	struct forwarder *forwarder = share->worker->forwarder;

	for (unsigned i = 0; i < ACCEPTS_MAX && !admission_is_paused(forwarder); i++) {
		struct addr client = { 0 };
		socklen_t size = sizeof(client);
		int fd = accept4(share->fd, &client.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accept_take(share, fd, &client);
			admission_look_at_descriptor(forwarder, fd);
		} else if (!accept_failed(forwarder, errno)) {
			return;
		}
	}
}

static void accept_on_readable(struct poll_source *source, uint32_t events)
{
	struct endpoint_share *share = container_of(source, struct endpoint_share, readable);
	struct worker *worker = share->worker;

	(void)events;
	worker->arrival_count = 0;
	pthread_mutex_lock(&worker->accepting);
	if (share->fd >= 0)
		accept_some(share);
	pthread_mutex_unlock(&worker->accepting);

	for (size_t i = 0; i < worker->arrival_count; i++)
		life_begin(worker, &worker->arrivals[i]);
}

/* The last that this worker hears of the socket. */
static void accept_on_closed(struct mail *mail)
{
	struct endpoint_share *share = container_of(mail, struct endpoint_share, closed);

	poller_forget(share->worker->poller, &share->readable);
	if (share->reset)
		life_reset_endpoint(share->worker, share->endpoint);
	fwd_endpoint_release(share->endpoint);
}

/* ---- Start and end: main thread ---- */

/*
 * To a worker as a letter, before the one that says that the socket is closed. False for lack of memory. The descriptor for its guest is
 * promised here: a whole queue is taken before a worker comes to the first of them.
 */
static bool accept_send_last(const struct endpoint_share *share, int fd, const struct addr *client)
{
	struct arrival arrival = accept_arrival_now(share, fd, client);
	struct arrival_message *message = accept_message_new(&arrival, share);

	if (!message)
		return false;
	tally_promise(share->worker->forwarder);
	mailbox_post(share->worker->mailbox, &message->mail);
	return true;
}

/* What waits in the queue of FD, a full one at most; nobody else accepts from it any more. */
static void accept_take_last(const struct fwd_endpoint *endpoint, int fd)
{
	const struct endpoint_share *shares = endpoint->shares;
	struct forwarder *forwarder = shares[0].worker->forwarder;

	for (size_t i = 0; i < SOMAXCONN && !admission_is_paused(forwarder); i++) {
		struct addr client = { 0 };
		socklen_t size = sizeof(client);
		int taken = accept4(fd, &client.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (taken < 0 && !accept_failed(forwarder, errno))
			return;
		if (taken < 0)
			continue;
		if (!accept_send_last(&shares[i % endpoint->share_count], taken, &client)) {
			socket_reset(&taken);
			return;
		}
		admission_look_at_descriptor(forwarder, taken);
	}
}

size_t accept_workers(const struct forwarder *forwarder)
{
	return forwarder->worker_count < WORKERS_MAX ? forwarder->worker_count : WORKERS_MAX;
}

int accept_resume(struct fwd_endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		if (!share->heard && poller_add_shared(share->worker->poller, share->fd, &share->readable) < 0)
			return -1;
		share->heard = true;
	}
	return 0;
}

void accept_suspend(struct fwd_endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		if (share->heard)
			poller_remove(share->worker->poller, share->fd);
		share->heard = false;
	}
}

void accept_wait(struct forwarder *forwarder)
{
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		pthread_mutex_lock(&forwarder->workers[i]->accepting);
		pthread_mutex_unlock(&forwarder->workers[i]->accepting);
	}
}

int accept_open(struct forwarder *forwarder, struct fwd_endpoint *endpoint, struct fwd_route *route, int fd,
		struct err *err)
{
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];
		size_t index = (route->first_worker + i) % forwarder->worker_count;

		share->worker = forwarder->workers[index];
		share->endpoint = endpoint;
		share->side = route_side_at(route, index);
		share->readable.happened = accept_on_readable;
		share->fd = fd;
		if (!share->side)
			return err_set(err, ENOMEM, "route");
	}
	if (!admission_is_paused(forwarder) && accept_resume(endpoint) < 0) {
		err_set(err, errno, "epoll");
		accept_close(endpoint, true);
		return -1;
	}
	return 0;
}

void accept_close(struct fwd_endpoint *endpoint, bool reset)
{
	const struct forwarder *forwarder = endpoint->shares[0].worker->forwarder;
	int fd = endpoint->shares[0].fd;

	accept_suspend(endpoint);
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		pthread_mutex_lock(&share->worker->accepting);
		share->fd = -1;
		pthread_mutex_unlock(&share->worker->accepting);
	}
	/* At the end of it all the queue is left to who has the socket next. */
	if (!reset && !atomic_load(&forwarder->stopping))
		accept_take_last(endpoint, fd);
	/* Only now can none be handed over any more: these letters are the last that name the endpoint. */
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		share->reset = reset;
		share->closed.deliver = accept_on_closed;
		fwd_endpoint_reference(endpoint);
		mailbox_post(share->worker->mailbox, &share->closed);
	}
}
