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
#include "base/err.h"
#include "forwarder/admission.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	WORKERS_MAX = 4, /* that hear one socket: beyond that each costs memory and gains nothing for one guest */
	SLACK = 2,       /* connections more than another worker's, beside a quarter, before one is handed over */
};

/* ---- Accepting: worker's thread ---- */

static size_t load_of(const struct worker *worker)
{
	return atomic_load_explicit(&worker->load, memory_order_relaxed);
}

/* The share that the next connection goes to: SHARE itself but for a good reason. */
static struct endpoint_share *choose(struct endpoint_share *share)
{
	struct fwd_endpoint *endpoint = share->endpoint;
	struct endpoint_share *best = share;
	size_t least = load_of(share->worker);

	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *other = &endpoint->shares[i];
		size_t load = load_of(other->worker);

		if (load < least) {
			best = other;
			least = load;
		}
	}
	return load_of(share->worker) > least + least / 4 + SLACK ? best : share;
}

/* limits_take() has counted the rest. */
static void count_arrival(const struct arrival *arrival)
{
	struct fwd_route *route = arrival->side->route;

	endpoint_reference(arrival->endpoint);
	atomic_fetch_add_explicit(&route->total, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&route->forwarder->promised, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&arrival->side->worker->load, 1, memory_order_relaxed);
}

/* False: there is no room for one more, and it was reset. */
static bool admit(const struct endpoint_share *share, int fd, const struct addr *client)
{
	if (limits_take(share->side->route, &share->side->state))
		return true;
	limits_refuse(share, client);
	close_with_reset(&fd);
	return false;
}

static struct arrival arrival_now(const struct endpoint_share *share, int fd, const struct addr *client)
{
	return (struct arrival){ .fd = fd,
				 .client = *client,
				 .endpoint = share->endpoint,
				 .side = share->side,
				 .accepted_us = clock_now_us() };
}

/* One that main took: only now is it looked at as any other, as limits and counters are the worker's. */
static bool admit_last(const struct endpoint_share *share, const struct arrival *arrival)
{
	atomic_fetch_sub_explicit(&share->worker->forwarder->promised, 1, memory_order_relaxed);
	if (!admit(share, arrival->fd, &arrival->client))
		return false;
	count_arrival(arrival);
	return true;
}

static void deliver_arrival(struct mail *mail)
{
	struct arrival_letter *letter = (struct arrival_letter *)mail;
	struct arrival arrival = letter->arrival;
	const struct endpoint_share *unasked = letter->unasked;

	free(letter);
	atomic_fetch_sub_explicit(&arrival.side->coming, 1, memory_order_relaxed);
	if (!unasked || admit_last(unasked, &arrival))
		connection_begin(arrival.side->worker, &arrival);
	else
		route_side_check_empty(arrival.side);
}

/* ARRIVAL as a letter to its side's worker, counted as coming; mailbox_post() is owed. NULL for lack of memory. */
static struct arrival_letter *letter_new(const struct arrival *arrival, const struct endpoint_share *unasked)
{
	struct arrival_letter *letter = malloc(sizeof(*letter));

	if (!letter)
		return NULL;
	*letter = (struct arrival_letter){ .mail.deliver = deliver_arrival, .arrival = *arrival, .unasked = unasked };
	atomic_fetch_add_explicit(&arrival->side->coming, 1, memory_order_relaxed);
	return letter;
}

/* To another worker. False for lack of memory. */
static bool hand_over(const struct endpoint_share *to, struct arrival arrival)
{
	arrival.side = to->side;
	struct arrival_letter *letter = letter_new(&arrival, NULL);

	if (!letter)
		return false;
	count_arrival(&arrival);
	mailbox_post(to->worker->mailbox, &letter->mail);
	return true;
}

static void take(struct endpoint_share *share, int fd, const struct addr *client)
{
	struct worker *worker = share->worker;
	const struct endpoint_share *chosen;

	if (!admit(share, fd, client))
		return;
	struct arrival arrival = arrival_now(share, fd, client);

	chosen = choose(share);
	if (chosen != share && hand_over(chosen, arrival))
		return;
	count_arrival(&arrival);
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
		limits_pause_accepting(forwarder, error);
		return false;
	default:
		/* What was wrong with one connection that is gone already, accept(2): the next may be well. */
		return true;
	}
}

static void accept_some(struct endpoint_share *share)
{
	struct forwarder *forwarder = share->worker->forwarder;

	for (unsigned i = 0; i < ACCEPTS_MAX && !atomic_load_explicit(&forwarder->accept_paused, memory_order_relaxed);
	     i++) {
		struct addr client = { 0 };
		socklen_t size = sizeof(client);
		int fd = accept4(share->fd, &client.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(share, fd, &client);
			limits_look_at_descriptor(forwarder, fd);
		} else if (!accept_failed(forwarder, errno)) {
			return;
		}
	}
}

static void on_readable(struct poll_source *source, uint32_t events)
{
	struct endpoint_share *share =
	    (struct endpoint_share *)((char *)source - offsetof(struct endpoint_share, readable));
	struct worker *worker = share->worker;

	(void)events;
	worker->arrival_count = 0;
	pthread_mutex_lock(&worker->accepting);
	if (share->fd >= 0)
		accept_some(share);
	pthread_mutex_unlock(&worker->accepting);

	for (size_t i = 0; i < worker->arrival_count; i++)
		connection_begin(worker, &worker->arrivals[i]);
}

/* The last that this worker hears of the socket. */
static void deliver_closed(struct mail *mail)
{
	struct endpoint_share *share =
	    (struct endpoint_share *)((char *)mail - offsetof(struct endpoint_share, closed));

	poller_forget(share->worker->poller, &share->readable);
	if (share->reset)
		connections_reset_endpoint(share->worker, share->endpoint);
	endpoint_release(share->endpoint);
}

/* ---- Start and end: main thread ---- */

/*
 * To a worker as a letter, before the one that says that the socket is closed. False for lack of memory. The descriptor for its guest is
 * promised here: a whole queue is taken before a worker comes to the first of them.
 */
static bool send_last(const struct endpoint_share *share, int fd, const struct addr *client)
{
	struct arrival arrival = arrival_now(share, fd, client);
	struct arrival_letter *letter = letter_new(&arrival, share);

	if (!letter)
		return false;
	atomic_fetch_add_explicit(&share->worker->forwarder->promised, 1, memory_order_relaxed);
	mailbox_post(share->worker->mailbox, &letter->mail);
	return true;
}

/* What waits in the queue of FD, a full one at most; nobody else accepts from it any more. */
static void take_last(const struct fwd_endpoint *endpoint, int fd)
{
	const struct endpoint_share *shares = endpoint->shares;
	struct forwarder *forwarder = shares[0].worker->forwarder;

	for (size_t i = 0; i < SOMAXCONN && !atomic_load(&forwarder->accept_paused); i++) {
		struct addr client = { 0 };
		socklen_t size = sizeof(client);
		int taken = accept4(fd, &client.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (taken < 0 && !accept_failed(forwarder, errno))
			return;
		if (taken < 0)
			continue;
		if (!send_last(&shares[i % endpoint->share_count], taken, &client)) {
			close_with_reset(&taken);
			return;
		}
		limits_look_at_descriptor(forwarder, taken);
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

void accept_pause(struct fwd_endpoint *endpoint)
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
		share->readable.happened = on_readable;
		share->fd = fd;
		if (!share->side)
			return err_set(err, ENOMEM, "route");
	}
	if (!atomic_load(&forwarder->accept_paused) && accept_resume(endpoint) < 0) {
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

	accept_pause(endpoint);
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		pthread_mutex_lock(&share->worker->accepting);
		share->fd = -1;
		pthread_mutex_unlock(&share->worker->accepting);
	}
	/* At the end of it all the queue is left to who has the socket next. */
	if (!reset && !atomic_load(&forwarder->stopping))
		take_last(endpoint, fd);
	/* Only now can none be handed over any more: these letters are the last that name the endpoint. */
	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *share = &endpoint->shares[i];

		share->reset = reset;
		share->closed.deliver = deliver_closed;
		endpoint_reference(endpoint);
		mailbox_post(share->worker->mailbox, &share->closed);
	}
}
