/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A closed descriptor leaves an epoll set by itself, so no connection is ever removed: that saves a system call for each socket.
 * Events found before that are still in the batch, so the owner of a source calls fwd_poller_forget() before it frees the
 * source, or uses it for another descriptor.
 */
#include "forwarder/poller.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 256 };

static const uint32_t EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

struct poller {
	int fd;
	int count; /* found */
	int next;  /* the first of them that was not dispatched */
	struct epoll_event found[BATCH];
};

struct poller *fwd_poller_new(struct err *err)
{
	struct poller *poller = calloc(1, sizeof(*poller));

	if (!poller) {
		err_set(err, ENOMEM, "poller");
		return NULL;
	}
	poller->fd = epoll_create1(EPOLL_CLOEXEC);
	if (poller->fd < 0) {
		err_set(err, errno, "epoll");
		free(poller);
		return NULL;
	}
	return poller;
}

void fwd_poller_free(struct poller *poller)
{
	if (!poller)
		return;
	close(poller->fd);
	free(poller);
}

int fwd_poller_fd(const struct poller *poller)
{
	return poller->fd;
}

static int fwd_poller_add(struct poller *poller, int fd, uint32_t events, struct poll_source *source)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event);
}

int fwd_poller_add_edges(struct poller *poller, int fd, struct poll_source *source)
{
	return fwd_poller_add(poller, fd, EDGES, source);
}

int fwd_poller_add_deaf(struct poller *poller, int fd, struct poll_source *source)
{
	return fwd_poller_add(poller, fd, EDGES & ~EPOLLOUT, source);
}

int fwd_poller_hear_room(struct poller *poller, int fd, struct poll_source *source)
{
	struct epoll_event event = { .events = EDGES, .data.ptr = source };

	return epoll_ctl(poller->fd, EPOLL_CTL_MOD, fd, &event);
}

int fwd_poller_add_readable(struct poller *poller, int fd, struct poll_source *source)
{
	return fwd_poller_add(poller, fd, EPOLLIN, source);
}

/*
 * The descriptor stays, because other threads have its number. What it was goes with its last copy, which takes about a microsecond for
 * each descriptor that is watched.
 */
int fwd_poller_reduce(struct poller *poller, int fd, struct poll_source *source)
{
	struct poller fresh = { .fd = epoll_create1(EPOLL_CLOEXEC) };
	int status;

	if (fresh.fd < 0)
		return -1;
	status = fwd_poller_add_readable(&fresh, fd, source);
	if (status == 0)
		status = dup3(fresh.fd, poller->fd, O_CLOEXEC) < 0 ? -1 : 0;
	close(fresh.fd);
	if (status == 0)
		poller->next = poller->count = 0;
	return status;
}

int fwd_poller_add_shared(struct poller *poller, int fd, struct poll_source *source)
{
	return fwd_poller_add(poller, fd, EPOLLIN | EPOLLEXCLUSIVE, source);
}

void fwd_poller_remove(struct poller *poller, int fd)
{
	epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, NULL);
}

void fwd_poller_forget(struct poller *poller, const struct poll_source *source)
{
	for (int i = poller->next; i < poller->count; i++) {
		if (poller->found[i].data.ptr == source)
			poller->found[i].data.ptr = NULL;
	}
}

void fwd_poller_wait(struct poller *poller, int timeout_ms)
{
	poller->next = 0;
	poller->count = epoll_wait(poller->fd, poller->found, BATCH, timeout_ms);
	/* EINTR alone: nothing was found. */
	if (poller->count < 0)
		poller->count = 0;
}

void fwd_poller_dispatch(struct poller *poller)
{
	while (poller->next < poller->count) {
		const struct epoll_event *event = &poller->found[poller->next++];
		struct poll_source *source = event->data.ptr;

		if (source)
			source->happened(source, event->events);
	}
}
