/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarder may use up the process's descriptors; an operator must then still be heard. So each listening socket holds a
 * few descriptors of /dev/null in reserve. When accept() finds none free one of them is closed, and the kernel, which still
 * reports the connection, is asked again in the next turn. With the reserve gone an idle connection makes room; else we pause,
 * because a listener that reports a connection nobody can accept would spin.
 */
#include "http/gate_accept.h"

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESERVE = 8, PAUSE_MS = 100 };

struct gate_accept {
	SLIST_ENTRY(gate_accept) next;
	struct evconnlistener *listener; /* evhttp's */
	struct timer resume;
	bool (*make_room)(void *context);
	void *context;
	int reserve[RESERVE];
	unsigned reserved;
	struct log_limit complaints;
};

/* libevent hands the error callback evhttp's context, not ours: this is how it finds us. */
static SLIST_HEAD(, gate_accept) acceptors = SLIST_HEAD_INITIALIZER(acceptors);

void gate_accept_refill(struct gate_accept *accept)
{
	while (accept->reserved < RESERVE) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		accept->reserve[accept->reserved++] = fd;
	}
}

static void on_resume(void *context)
{
	struct gate_accept *accept = context;

	gate_accept_refill(accept);
	evconnlistener_enable(accept->listener);
}

static void complain(struct gate_accept *accept, int error)
{
	uint64_t suppressed;

	if (log_limit_allows(&accept->complaints, &suppressed))
		log_warning("control: cannot accept a connection: raise LimitNOFILE= or close descriptors",
			    F_STR("error", strerror(error)), F_UINT("reserve", accept->reserved),
			    F_SOME("suppressed", suppressed));
}

static void on_error(struct evconnlistener *listener, void *arg)
{
	int error = errno;
	struct gate_accept *accept;

	(void)arg;
	SLIST_FOREACH(accept, &acceptors, next)
	if (accept->listener == listener)
		break;
	if (!accept)
		return;
	complain(accept, error);
	if ((error == EMFILE || error == ENFILE) && accept->reserved) {
		close(accept->reserve[--accept->reserved]);
		return;
	}
	if (accept->make_room(accept->context))
		return;
	evconnlistener_disable(listener);
	timer_start(&accept->resume, PAUSE_MS);
}

struct gate_accept *gate_accept_new(struct event_base *base, struct evhttp *http, int fd,
				    bool (*make_room)(void *context), void *context, struct err *err)
{
	struct gate_accept *accept = calloc(1, sizeof(*accept));
	unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
	struct evconnlistener *listener = evconnlistener_new(base, NULL, NULL, flags, 0, fd);

	if (!listener)
		close(fd);
	if (!accept || !listener)
		goto no_memory;
	if (timer_init(&accept->resume, base, on_resume, accept, err) < 0)
		goto fail;
	if (!evhttp_bind_listener(http, listener))
		goto no_memory;
	evconnlistener_set_error_cb(listener, on_error);
	accept->listener = listener;
	accept->make_room = make_room;
	accept->context = context;
	accept->complaints = (struct log_limit){ .burst = 1, .interval_ms = 10000 };
	SLIST_INSERT_HEAD(&acceptors, accept, next);
	gate_accept_refill(accept);
	return accept;

no_memory:
	err_set(err, ENOMEM, "listener");
fail:
	if (listener)
		evconnlistener_free(listener);
	if (accept)
		timer_free(&accept->resume);
	free(accept);
	return NULL;
}

void gate_accept_free(struct gate_accept *accept)
{
	SLIST_REMOVE(&acceptors, accept, gate_accept, next);
	timer_free(&accept->resume);
	while (accept->reserved)
		close(accept->reserve[--accept->reserved]);
	free(accept);
}
