/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarder may use up the process's descriptors; an operator must then still be heard. So each listening socket holds a
 * few descriptors of /dev/null in reserve. When accept() finds none free, one of the reserve is closed, and the kernel,
 * which still reports the connection, is asked again in the loop's next iteration. When the reserve is gone an idle
 * connection makes room. Without any, accepting is paused, because the loop would spin on a connection that it cannot accept.
 */
#include "http/gate_accept.h"

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"

#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RESERVE = 8, PAUSE_MS = 100 };

struct gate_accept {
	struct evconnlistener *listener;
	struct timer resume;
	const struct gate_accept_ops *ops;
	void *context;
	int reserve[RESERVE];
	unsigned reserved;
};

void http_gate_accept_refill(struct gate_accept *accept)
{
	while (accept->reserved < RESERVE) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		accept->reserve[accept->reserved++] = fd;
	}
}

static void http_gate_accept_on_resume(void *context)
{
	struct gate_accept *accept = context;

	http_gate_accept_refill(accept);
	if (evconnlistener_enable(accept->listener) < 0)
		timer_start(&accept->resume, PAUSE_MS);
}

static void http_gate_accept_complain(struct gate_accept *accept, int error)
{
	static const struct log_limit limit = { .burst = 1, .interval_ms = 10000 };

	log_limited(&limit, LOG_WARNING_LEVEL,
		    "control: cannot accept a connection: raise LimitNOFILE= or close descriptors",
		    F_STR("error", strerror(error)), F_UINT("reserve", accept->reserved));
}

static void http_gate_accept_on_error(struct evconnlistener *listener, void *arg)
{
	int error = errno;
	struct gate_accept *accept = arg;

	http_gate_accept_complain(accept, error);
	if ((error == EMFILE || error == ENFILE) && accept->reserved) {
		close(accept->reserve[--accept->reserved]);
		return;
	}
	if (accept->ops->make_room(accept->context))
		return;
	evconnlistener_disable(listener);
	timer_start(&accept->resume, PAUSE_MS);
}

static void http_gate_accept_on_connection(struct evconnlistener *listener, evutil_socket_t fd,
					   struct sockaddr *address, int length, void *arg)
{
	struct gate_accept *accept = arg;

	(void)listener;
	(void)address;
	(void)length;
	accept->ops->serve(accept->context, fd);
}

struct gate_accept *http_gate_accept_new(struct event_base *base, int fd, const struct gate_accept_ops *ops,
					 void *context, struct err *err)
{
	struct gate_accept *accept = calloc(1, sizeof(*accept));
	unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;

	if (accept)
		accept->listener = evconnlistener_new(base, http_gate_accept_on_connection, accept, flags, 0, fd);
	if (!accept || !accept->listener) {
		close(fd);
		free(accept);
		err_set(err, ENOMEM, "listener");
		return NULL;
	}
	/* A new listener is enabled already, if there was memory for it: libevent does not tell. */
	if (evconnlistener_enable(accept->listener) < 0 ||
	    timer_init(&accept->resume, base, http_gate_accept_on_resume, accept, err) < 0) {
		evconnlistener_free(accept->listener);
		free(accept);
		err_set(err, ENOMEM, "listener");
		return NULL;
	}
	evconnlistener_set_error_cb(accept->listener, http_gate_accept_on_error);
	accept->ops = ops;
	accept->context = context;
	http_gate_accept_refill(accept);
	return accept;
}

/* Without a file nobody new comes, so the queue has an end. In a shortage of descriptors the rest is reset. */
void http_gate_accept_finish(struct gate_accept *accept)
{
	int listening = evconnlistener_get_fd(accept->listener);
	int fd;

	while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		accept->ops->serve(accept->context, fd);
	shutdown(listening, SHUT_RDWR); /* others may have copies of it */
	http_gate_accept_free(accept);
}

void http_gate_accept_free(struct gate_accept *accept)
{
	evconnlistener_free(accept->listener);
	timer_free(&accept->resume);
	while (accept->reserved)
		close(accept->reserve[--accept->reserved]);
	free(accept);
}
