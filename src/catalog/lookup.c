/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * getaddrinfo(3) knows all that the host's administrator set up for names, and may take many seconds. The thread gets what it works on
 * to itself, tells its end by closing its end of a pipe, and is joined then. If nobody waits any more, the last of both frees what it
 * worked on.
 */
#include "catalog/lookup.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/thread.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The thread's until it closes ENDED. */
struct lookup_work {
	atomic_bool left; /* by one of both: the thread has ended, or nobody waits for it */
	char host[254];
	int ended; /* the writing end of the pipe */
	int code;  /* of getaddrinfo(3) */
	unsigned count;
	char addresses[CATALOG_ADDRESSES][CATALOG_ADDRESS_SIZE];
	struct base_thread thread;
};

struct catalog_lookup {
	struct lookup_work *work;
	struct event *readable;
	int ended; /* the reading end */
	catalog_lookup_done *done;
	void *context;
};

static void catalog_lookup_keep(struct lookup_work *work, const struct addrinfo *list)
{
	for (; list && work->count < CATALOG_ADDRESSES; list = list->ai_next)
		if (getnameinfo(list->ai_addr, list->ai_addrlen, work->addresses[work->count], CATALOG_ADDRESS_SIZE,
				NULL, 0, NI_NUMERICHOST) == 0)
			work->count++;
}

static void *catalog_lookup_run(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct lookup_work *work = arg;
	struct addrinfo *list = NULL;

	work->code = getaddrinfo(work->host, NULL, &hints, &list);
	if (!work->code) {
		catalog_lookup_keep(work, list);
		freeaddrinfo(list);
	}
	close(work->ended);
	if (atomic_exchange(&work->left, true))
		free(work);
	return NULL;
}

static void catalog_lookup_on_end(evutil_socket_t fd, short what, void *arg)
{
	struct catalog_lookup *lookup = arg;
	struct lookup_work *work = steal_ptr(&lookup->work);
	catalog_lookup_done *done = lookup->done;
	void *context = lookup->context;

	(void)fd;
	(void)what;
	base_thread_join(&work->thread);
	catalog_lookup_stop(lookup);
	done(context, work->addresses, work->count,
	     work->code    ? gai_strerror(work->code)
	     : work->count ? NULL
			   : "no address");
	free(work);
}

static int catalog_lookup_begin(struct catalog_lookup *lookup, struct event_base *base, const char *host,
				struct err *err)
{
	struct lookup_work *work = calloc(1, sizeof(*work));
	int ends[2];

	if (!work || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		err_set(err, work ? errno : ENOMEM, "looking up %s", host);
		free(work);
		return -1;
	}
	lookup->ended = ends[0];
	work->ended = ends[1];
	work->thread.name = "catalog-name";
	snprintf(work->host, sizeof(work->host), "%s", host);
	lookup->readable = event_new(base, lookup->ended, EV_READ, catalog_lookup_on_end, lookup);
	if (!lookup->readable || event_add(lookup->readable, NULL) < 0)
		err_set(err, ENOMEM, "looking up %s", host);
	else if (base_thread_start(&work->thread, catalog_lookup_run, work, err) == 0) {
		lookup->work = work;
		return 0;
	}
	close(work->ended);
	free(work);
	return -1;
}

struct catalog_lookup *catalog_lookup_start(struct event_base *base, const char *host, catalog_lookup_done *done,
					    void *context, struct err *err)
{
	struct catalog_lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup) {
		err_set(err, ENOMEM, "looking up %s", host);
		return NULL;
	}
	*lookup = (struct catalog_lookup){ .ended = -1, .done = done, .context = context };
	if (catalog_lookup_begin(lookup, base, host, err) == 0)
		return lookup;
	catalog_lookup_stop(lookup);
	return NULL;
}

void catalog_lookup_stop(struct catalog_lookup *lookup)
{
	if (!lookup)
		return;
	if (lookup->readable)
		event_free(lookup->readable);
	cleanup_fd(&lookup->ended);
	if (lookup->work) {
		base_thread_abandon(&lookup->work->thread);
		if (atomic_exchange(&lookup->work->left, true))
			free(lookup->work);
	}
	free(lookup);
}
