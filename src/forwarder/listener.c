/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening sockets, on main's loop. A wake-up accepts a bounded number of connections and hands each worker's share over in one
 * letter. What an accepted socket inherits from the listening one (TCP_NODELAY, keepalive) costs no system call.
 */
#include "forwarder/listener.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/limits.h"
#include "forwarder/route.h"
#include "forwarder/udp.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { ACCEPTS_MAX = 64 }; /* in one wake-up of one listener */

/* ---- Accepting ---- */

static void hand_over(struct listener *listener, int fd, const struct addr *client)
{
	struct forwarder *forwarder = listener->forwarder;
	struct route *route = listener->route;
	struct worker *worker = forwarder_pick_worker(forwarder);

	if (!route)
		route = forwarder->default_route ? forwarder->default_route : forwarder->nowhere;
	if (!limits_admit(route, &route->state)) {
		limits_refuse(route, listener->endpoint, client);
		close_with_reset(&fd);
		return;
	}

	struct arrival arrival = { .fd = fd,
				   .client = *client,
				   .endpoint = listener->endpoint,
				   .side = route_side_at(route, worker->index),
				   .accepted_us = clock_now_us() };

	if (!arrival.side || worker_add_arrival(worker, &arrival) < 0) {
		close_with_reset(&fd);
		return;
	}
	endpoint_reference(listener->endpoint);
	atomic_fetch_add_explicit(&route->total, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&route->connections, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&forwarder->connections, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&forwarder->promised, 1, memory_order_relaxed);
}

/* Whether to go on accepting after accept4() failed with ERROR. */
static bool accept_failed(struct listener *listener, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		limits_pause_accepting(listener->forwarder, error);
		return false;
	default:
		/* What was wrong with one connection that is gone already, accept(2): the next may be well. */
		return true;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	struct forwarder *forwarder = listener->forwarder;

	(void)what;
	for (unsigned i = 0; i < ACCEPTS_MAX && !forwarder->accept_paused; i++) {
		struct addr client = { 0 };
		socklen_t size = sizeof(client);
		int accepted = accept4(fd, &client.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (accepted >= 0) {
			hand_over(listener, accepted, &client);
			limits_look_at_descriptor(forwarder, accepted);
		} else if (!accept_failed(listener, errno)) {
			break;
		}
	}
	for (size_t i = 0; i < forwarder->worker_count; i++)
		worker_flush(forwarder->workers[i]);
}

void listeners_pause(struct forwarder *forwarder)
{
	struct listener *listener;

	LIST_FOREACH(listener, &forwarder->listeners, link)
	{
		if (listener->readable)
			event_del(listener->readable);
	}
}

void listeners_resume(struct forwarder *forwarder)
{
	struct listener *listener;

	LIST_FOREACH(listener, &forwarder->listeners, link)
	{
		if (listener->readable)
			event_add(listener->readable, NULL);
	}
}

/* ---- Opening ---- */

static int bind_socket(const struct addr *listen_on, int type, struct err *err)
{
	AUTO_FD int fd = socket(listen_on->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return err_set(err, errno, "socket");
	/* With UDP it would allow to steal another's port. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return err_set(err, errno, "SO_REUSEADDR");
	if (listen_on->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return err_set(err, errno, "IPV6_V6ONLY");
	if (bind(fd, &listen_on->any, addr_length(listen_on)) < 0)
		return err_set(err, errno, "bind");
	return steal_fd(&fd);
}

/* Made ready for accepting: FD is bound, and may listen already. */
static int listen_on_socket(int fd, unsigned keepalive_ms, struct err *err)
{
	int one = 1;

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, errno, "fcntl");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return err_set(err, errno, "TCP_NODELAY");
	keepalive_set(fd, keepalive_ms);
	if (listen(fd, SOMAXCONN) < 0)
		return err_set(err, errno, "listen");
	return 0;
}

static int open_tcp(struct listener *listener, const struct listener_options *options, struct err *err)
{
	struct forwarder *forwarder = listener->forwarder;
	unsigned keepalive_ms =
	    listener->route ? listener->route->state.limits.keepalive_ms : forwarder->config->forwarder.keepalive_ms;
	int fd = options->fd >= 0 ? options->fd : bind_socket(&listener->endpoint->listen, SOCK_STREAM, err);

	if (fd < 0)
		return -1;
	if (listen_on_socket(fd, keepalive_ms, err) < 0)
		goto fail;
	listener->readable = event_new(forwarder->base, fd, EV_READ | EV_PERSIST, on_readable, listener);
	if (!listener->readable) {
		err_set(err, ENOMEM, "event");
		goto fail;
	}
	if (!forwarder->accept_paused && event_add(listener->readable, NULL) < 0) {
		event_free(listener->readable);
		err_set(err, ENOMEM, "event");
		goto fail;
	}
	listener->fd = fd;
	return 0;

fail:
	if (fd != options->fd)
		close(fd);
	return -1;
}

static int open_udp(struct listener *listener, const struct listener_options *options, struct err *err)
{
	AUTO_FD int fd = -1;

	if (!listener->route)
		return err_set(err, EPROTONOSUPPORT, "the default endpoint over UDP");
	if (options->fd < 0)
		fd = bind_socket(&listener->endpoint->listen, SOCK_DGRAM, err);
	else if (fcntl(options->fd, F_SETFL, fcntl(options->fd, F_GETFL) | O_NONBLOCK) == 0)
		fd = options->fd;
	else
		err_set(err, errno, "fcntl");
	if (fd < 0)
		return -1;
	listener->udp = udp_port_new(listener->route, listener->endpoint, fd);
	if (!listener->udp) {
		if (fd == options->fd)
			steal_fd(&fd);
		return err_set(err, ENOMEM, "UDP endpoint");
	}
	listener->fd = steal_fd(&fd);
	return 0;
}

static int open_socket(struct listener *listener, const struct listener_options *options, struct err *err)
{
	switch (options->proto) {
	case PROTO_TCP:
		return open_tcp(listener, options, err);
	case PROTO_UDP:
		return open_udp(listener, options, err);
	}
	return err_set(err, EPROTONOSUPPORT, "protocol");
}

struct listener *listener_open(struct forwarder *forwarder, const struct addr *listen, struct route *route,
			       const struct listener_options *options, struct err *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	char text[ADDR_TEXT_SIZE];

	if (!listener) {
		err_set(err, ENOMEM, "listener");
		return NULL;
	}
	*listener = (struct listener){ .forwarder = forwarder, .route = route, .fd = -1 };
	listener->endpoint =
	    endpoint_new(forwarder->worker_count, listen, options->guest_port, options->proxy_protocol);
	if (!listener->endpoint) {
		err_set(err, ENOMEM, "listener");
		goto fail;
	}
	if (open_socket(listener, options, err) < 0) {
		err_wrap(err, "%s", addr_format(listen, text));
		goto fail;
	}
	LIST_INSERT_HEAD(&forwarder->listeners, listener, link);
	return listener;

fail:
	if (listener->endpoint)
		endpoint_release(listener->endpoint);
	free(listener);
	return NULL;
}

int listener_fd(const struct listener *listener)
{
	return listener->fd;
}

/* ---- Closing ---- */

/* Worker's thread. */
static void deliver_reset(struct mail *mail)
{
	struct endpoint_letter *letter = (struct endpoint_letter *)mail;

	connections_reset_endpoint(letter->worker, letter->endpoint);
	endpoint_release(letter->endpoint);
}

static void reset_connections(struct listener *listener)
{
	struct forwarder *forwarder = listener->forwarder;
	struct endpoint *endpoint = listener->endpoint;

	for (size_t i = 0; i < forwarder->worker_count; i++) {
		struct endpoint_letter *letter = &endpoint->letters[i];

		letter->mail.deliver = deliver_reset;
		letter->endpoint = endpoint_reference(endpoint);
		letter->worker = forwarder->workers[i];
		mailbox_post(letter->worker->mailbox, &letter->mail);
	}
}

void listener_close(struct listener *listener, bool reset)
{
	if (listener->udp) {
		/* Its flows go with it: their answers leave by its socket. */
		udp_port_close(listener->udp);
	} else {
		event_free(listener->readable);
		close(listener->fd);
		if (reset)
			reset_connections(listener);
	}
	endpoint_release(listener->endpoint);
	LIST_REMOVE(listener, link);
	free(listener);
}
