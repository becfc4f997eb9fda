/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening sockets: main opens and closes them, workers accept (accept.c).
 */
#include "forwarder/listener.h"

#include "base/bind.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "forwarder/accept.h"
#include "forwarder/admission.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

void fwd_listeners_pause(struct forwarder *forwarder)
{
	struct fwd_listener *listener;

	LIST_FOREACH(listener, &forwarder->listeners, link)
	{
		if (!listener->udp)
			fwd_accept_suspend(listener->endpoint);
	}
	fwd_wait_for_accepting(forwarder);
}

void fwd_listeners_resume(struct forwarder *forwarder)
{
	struct fwd_listener *listener;

	LIST_FOREACH(listener, &forwarder->listeners, link)
	{
		if (!listener->udp && fwd_accept_resume(listener->endpoint) < 0)
			fwd_admission_pause(forwarder, errno);
	}
}

void fwd_listeners_follow_limits(struct forwarder *forwarder, const struct fwd_route *route)
{
	struct fwd_listener *listener;

	LIST_FOREACH(listener, &forwarder->listeners, link)
	{
		if (listener->route == route && !listener->udp)
			fwd_socket_set_keepalive(listener->fd, route->state.limits.keepalive_ms);
	}
}

static struct fwd_endpoint *fwd_listeners_find_of(const struct fwd_route *route, const struct addr *listen,
						  uint16_t guest_port, bool proxy_protocol)
{
	struct fwd_listener *listener;

	LIST_FOREACH(listener, &route->listeners, of_route)
	{
		struct fwd_endpoint *endpoint = listener->endpoint;

		if (!listener->udp && endpoint->guest_port == guest_port &&
		    endpoint->proxy_protocol == proxy_protocol && addr_equal(&endpoint->listen, listen))
			return endpoint;
	}
	return NULL;
}

struct fwd_endpoint *fwd_listeners_find(const struct fwd_route *route, const struct addr *listen, uint16_t guest_port,
					bool proxy_protocol)
{
	struct fwd_endpoint *own = fwd_listeners_find_of(route, listen, guest_port, proxy_protocol);

	return own ? own : fwd_listeners_find_of(route->forwarder->no_backend, listen, guest_port, proxy_protocol);
}

/* ---- Opening ---- */

/*
 * Guests' own connections get their keepalive later, as a guest that is dialed does: a guest may be paused before it is known whose
 * connection it is.
 */
static unsigned fwd_listener_keepalive_ms(const struct fwd_listener *listener)
{
	if (listener->endpoint->direction == DIRECTION_OUT)
		return 0;
	return listener->route ? listener->route->state.limits.keepalive_ms
			       : listener->forwarder->config->forwarder.keepalive_ms;
}

/* For whom its workers accept. NULL: for the guests that ask for services, or for whom a client at the door asks. */
static struct fwd_route *fwd_listener_backend(const struct fwd_listener *listener)
{
	if (listener->endpoint->direction == DIRECTION_OUT || listener->endpoint->door)
		return NULL;
	return listener->route ? listener->route : listener->forwarder->no_backend;
}

/* Made ready for accepting: FD is bound, and may listen already. */
static int fwd_listener_listen(int fd, unsigned keepalive_ms, struct err *err)
{
	int one = 1;

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, errno, "fcntl");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return err_set(err, errno, "TCP_NODELAY");
	fwd_socket_set_keepalive(fd, keepalive_ms);
	if (listen(fd, SOMAXCONN) < 0)
		return err_set(err, errno, "listen");
	return 0;
}

static int fwd_listener_open_tcp(struct fwd_listener *listener, const struct fwd_listener_options *options,
				 struct err *err)
{
	int fd = options->fd >= 0 ? options->fd : base_bind(&listener->endpoint->listen, SOCK_STREAM, err);

	if (fd < 0)
		return -1;
	if (fwd_listener_listen(fd, fwd_listener_keepalive_ms(listener), err) < 0)
		goto fail;
	if (fwd_accept_open(listener->forwarder, listener->endpoint, fwd_listener_backend(listener), fd, err) < 0)
		goto fail;
	listener->fd = fd;
	return 0;

fail:
	if (fd != options->fd)
		close(fd);
	return -1;
}

/* The caller's socket, which listens already. */
static int fwd_listener_open_door(struct fwd_listener *listener, int fd, struct err *err)
{
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, errno, "fcntl");
	if (fwd_accept_open(listener->forwarder, listener->endpoint, NULL, fd, err) < 0)
		return -1;
	listener->fd = fd;
	return 0;
}

static int fwd_listener_open_udp(struct fwd_listener *listener, const struct fwd_listener_options *options,
				 struct err *err)
{
	AUTO_FD int fd = -1;

	if (!listener->route)
		return err_set(err, EPROTONOSUPPORT, "the default endpoint over UDP");
	if (options->fd < 0)
		fd = base_bind(&listener->endpoint->listen, SOCK_DGRAM, err);
	else if (fcntl(options->fd, F_SETFL, fcntl(options->fd, F_GETFL) | O_NONBLOCK) == 0)
		fd = options->fd;
	else
		err_set(err, errno, "fcntl");
	if (fd < 0)
		return -1;
	listener->udp = fwd_udp_port_new(listener->route, listener->endpoint, fd);
	if (!listener->udp) {
		if (fd == options->fd)
			steal_fd(&fd);
		return err_set(err, ENOMEM, "UDP endpoint");
	}
	listener->fd = steal_fd(&fd);
	return 0;
}

static int fwd_listener_open_socket(struct fwd_listener *listener, const struct fwd_listener_options *options,
				    struct err *err)
{
	if (options->door)
		return fwd_listener_open_door(listener, options->fd, err);
	switch (options->proto) {
	case PROTO_TCP:
		return fwd_listener_open_tcp(listener, options, err);
	case PROTO_UDP:
		return fwd_listener_open_udp(listener, options, err);
	}
	return err_set(err, EPROTONOSUPPORT, "protocol");
}

static struct fwd_endpoint *fwd_listener_endpoint(const struct forwarder *forwarder, const struct addr *listen,
						  const struct fwd_listener_options *options)
{
	size_t shares = fwd_accepting_workers(forwarder);

	if (options->services)
		return fwd_endpoint_new_out(shares, listen, NULL);
	if (options->door)
		return fwd_endpoint_new_for_door(shares);
	return fwd_endpoint_new(shares, listen, options->guest_port, options->proxy_protocol);
}

struct fwd_listener *fwd_listener_open(struct forwarder *forwarder, const struct addr *listen, struct fwd_route *route,
				       const struct fwd_listener_options *options, struct err *err)
{
	struct fwd_listener *listener = calloc(1, sizeof(*listener));
	char text[ADDR_TEXT_SIZE];

	if (!listener) {
		err_set(err, ENOMEM, "%s", addr_format(listen, text));
		return NULL;
	}
	*listener = (struct fwd_listener){ .forwarder = forwarder, .route = route, .fd = -1 };
	listener->endpoint = fwd_listener_endpoint(forwarder, listen, options);
	if (!listener->endpoint) {
		err_set(err, ENOMEM, "%s", addr_format(listen, text));
		goto fail;
	}
	if (fwd_listener_open_socket(listener, options, err) < 0) {
		err_wrap(err, "%s", addr_format(listen, text));
		goto fail;
	}
	LIST_INSERT_HEAD(&forwarder->listeners, listener, link);
	LIST_INSERT_HEAD(&(route ? route : forwarder->no_backend)->listeners, listener, of_route);
	fwd_share_hold(forwarder, 1);
	return listener;

fail:
	if (listener->endpoint)
		fwd_endpoint_release(listener->endpoint);
	free(listener);
	return NULL;
}

int fwd_listener_fd(const struct fwd_listener *listener)
{
	return listener->fd;
}

/* ---- Closing ---- */

bool fwd_is_closing(const struct forwarder *forwarder)
{
	return forwarder->closing.count > 0;
}

void fwd_on_closed(struct forwarder *forwarder, void (*done)(void *context), void *context)
{
	forwarder->closing.done = done;
	forwarder->closing.context = context;
}

void fwd_listener_close(struct fwd_listener *listener, bool reset)
{
	if (listener->udp) {
		/* Its flows go with it: their answers leave by its socket. */
		fwd_udp_port_close(listener->udp);
	} else {
		fwd_accept_close(listener->endpoint, reset);
		/* Another copy of the socket would go on taking clients. At the end of the process that is its purpose. */
		if (!listener->forwarder->stopping)
			shutdown(listener->fd, SHUT_RDWR);
		close(listener->fd);
	}
	fwd_share_hold(listener->forwarder, -1);
	fwd_endpoint_release(listener->endpoint);
	LIST_REMOVE(listener, link);
	LIST_REMOVE(listener, of_route);
	free(listener);
}
