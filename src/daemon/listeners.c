/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table is split into couples of queues (fd_couple.c), whose receiving ends are in the service manager's store. PID 1 hears
 * of a couple once. Whatever opens or closes marks its couple, and the next iteration of the loop writes those that are marked.
 *
 * A start fills couples of its own and stores them under a new name; only when a barrier says that the service manager has them,
 * the former run's are drained and removed. So a kill at any instant leaves one of the two.
 *
 * If a couple cannot be written for a shortage, its former list stays, and writing is tried again after 1, 2, 4 ... 30 s, which is
 * logged once. Meanwhile a socket that was closed still holds its port, where nobody can connect any more. The alternative
 * would be to drain the former list, which frees this port, and leaves those of all sandboxes unguarded just when memory is
 * short and a kill is likely. So the reply of a closing waits for the next tries, and is given in the end, and the log says so.
 */
#include "daemon/listeners.h"

#include "base/backoff.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/fd_couple.h"
#include "daemon/fd_store.h"
#include "daemon/inherited.h"
#include "forwarder/forwarder.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PATIENCE_MS = 5000,
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 30000,
};

struct kept_couple {
	struct fd_couple fds;
	bool sent; /* to the service manager */
};

/* Where a descriptor is; zeroed: nowhere. */
struct listener_place {
	uint32_t couple; /* from 1 */
	uint32_t index;
};

struct listeners {
	struct daemon *daemon;
	bool keeps;  /* there is a service manager */
	bool begun;  /* daemon_listeners_keep() was called */
	bool ending; /* daemon_listeners_finish() was called */
	uint64_t run;
	char name[32]; /* in the store */
	struct {
		VEC_OF(struct kept_couple *);
	} couples;
	struct {
		VEC_OF(struct listener_place);
	} places; /* by descriptor */

	struct timer write;
	bool changed;         /* since the last try */
	unsigned retry_ms;    /* 0: the last try went well */
	int barrier;          /* -1: none is awaited */
	struct event *passed; /* the barrier */
	bool barrier_due;     /* something was stored, and no barrier is behind it yet */
	bool former_left;     /* the former run's are still in the store */

	TAILQ_HEAD(, listeners_waiter) waiting;
	struct timer patience;
};

/* ---- Who waits ---- */

static bool daemon_listeners_are_stored(const struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->couples.count; i++) {
		const struct kept_couple *couple = listeners->couples.items[i];

		if (!couple->sent || !daemon_fd_couple_is_written(&couple->fds))
			return false;
	}
	return true;
}

static bool daemon_listeners_are_settled(const struct listeners *listeners)
{
	if (listeners->daemon->forwarder && fwd_is_closing(listeners->daemon->forwarder))
		return false;
	if (!listeners->keeps || !listeners->begun)
		return true;
	return daemon_listeners_are_stored(listeners) && !listeners->barrier_due && listeners->barrier < 0 &&
	       !listeners->former_left;
}

static void daemon_listeners_call_first(struct listeners *listeners)
{
	struct listeners_waiter *waiter = TAILQ_FIRST(&listeners->waiting);

	TAILQ_REMOVE(&listeners->waiting, waiter, next);
	if (TAILQ_EMPTY(&listeners->waiting))
		timer_stop(&listeners->patience);
	waiter->done(waiter->context);
}

/* Called after each change. Who is called may open or close more, and then the others wait for that, too. */
static void daemon_listeners_look(void *context)
{
	struct listeners *listeners = context;

	while (!TAILQ_EMPTY(&listeners->waiting) && (listeners->ending || daemon_listeners_are_settled(listeners)))
		daemon_listeners_call_first(listeners);
	if (!TAILQ_EMPTY(&listeners->waiting) && listeners->daemon->forwarder)
		fwd_on_closed(listeners->daemon->forwarder, daemon_listeners_look, listeners);
}

static void daemon_listeners_on_impatience(void *context)
{
	static const char message[] =
	    "reply given although the service manager does not keep the ports as they are now";
	static const struct log_limit complaints = { .burst = 1, .interval_ms = 10000 };
	struct listeners *listeners = context;
	uint64_t now_ms = clock_now_ms();

	while (!TAILQ_EMPTY(&listeners->waiting)) {
		uint64_t due_ms = TAILQ_FIRST(&listeners->waiting)->since_ms + PATIENCE_MS;

		/* The timer was that of one who has been called since. */
		if (due_ms > now_ms) {
			timer_start(&listeners->patience, due_ms - now_ms);
			return;
		}
		if (log_limit_allows(&complaints, LOG_WARNING_LEVEL, message, NULL))
			log_warning(message);
		daemon_listeners_call_first(listeners);
	}
}

void daemon_listeners_settle(struct daemon *daemon, struct listeners_waiter *waiter, void (*done)(void *context),
			     void *context)
{
	struct listeners *listeners = daemon->listeners;

	if (!listeners || listeners->ending || daemon_listeners_are_settled(listeners)) {
		done(context);
		return;
	}
	*waiter = (struct listeners_waiter){ .done = done, .context = context, .since_ms = clock_now_ms() };
	if (TAILQ_EMPTY(&listeners->waiting))
		timer_start(&listeners->patience, PATIENCE_MS);
	TAILQ_INSERT_TAIL(&listeners->waiting, waiter, next);
	daemon_listeners_look(listeners);
}

/* ---- Writing and storing ---- */

static void daemon_listeners_schedule(struct listeners *listeners)
{
	listeners->changed = true;
	if (listeners->begun)
		timer_start(&listeners->write, 0);
}

/* 0, or -1 with errno. */
static int daemon_listeners_write_one(struct listeners *listeners, struct kept_couple *couple)
{
	int receiving[2];

	if (daemon_fd_couple_open(&couple->fds) < 0 || daemon_fd_couple_write(&couple->fds) < 0)
		return -1;
	if (couple->sent)
		return 0;
	receiving[0] = couple->fds.queues[0].out;
	receiving[1] = couple->fds.queues[1].out;
	if (daemon_fd_store_put(listeners->name, receiving, 2) < 0)
		return -1;
	couple->sent = true;
	listeners->barrier_due = true;
	return 0;
}

static void daemon_listeners_on_passed(evutil_socket_t fd, short what, void *arg);

static int daemon_listeners_begin_barrier(struct listeners *listeners)
{
	int fd = daemon_fd_store_barrier();

	if (fd < 0)
		return -1;
	listeners->passed = event_new(listeners->daemon->base, fd, EV_READ, daemon_listeners_on_passed, listeners);
	if (!listeners->passed || event_add(listeners->passed, NULL) < 0) {
		if (listeners->passed)
			event_free(steal_ptr(&listeners->passed));
		close(fd);
		errno = ENOMEM;
		return -1;
	}
	listeners->barrier = fd;
	listeners->barrier_due = false;
	return 0;
}

static void daemon_listeners_end_barrier(struct listeners *listeners)
{
	if (listeners->passed)
		event_free(steal_ptr(&listeners->passed));
	cleanup_fd(&listeners->barrier);
}

static void daemon_listeners_free_couples(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->couples.count; i++) {
		daemon_fd_couple_free(&listeners->couples.items[i]->fds);
		free(listeners->couples.items[i]);
	}
	vec_free(&listeners->couples);
	vec_free(&listeners->places);
}

/* There is no service manager after all: nothing may hold a port but the sockets themselves. */
static void daemon_listeners_give_up(struct listeners *listeners)
{
	log_info("no service manager keeps the listening sockets");
	listeners->keeps = listeners->barrier_due = listeners->former_left = false;
	timer_stop(&listeners->write);
	daemon_listeners_end_barrier(listeners);
	daemon_listeners_free_couples(listeners);
	daemon_inherited_forget_former(listeners->daemon->inherited);
}

/* 0, or -1 with errno of one that failed; the others are written. */
static int daemon_listeners_write_all(struct listeners *listeners)
{
	int error = 0;

	for (size_t i = 0; i < listeners->couples.count; i++)
		if (daemon_listeners_write_one(listeners, listeners->couples.items[i]) < 0)
			error = errno;
	if (!error && listeners->barrier_due && listeners->barrier < 0 && daemon_listeners_begin_barrier(listeners) < 0)
		error = errno;
	errno = error;
	return error ? -1 : 0;
}

static void daemon_listeners_try_later(struct listeners *listeners, int error)
{
	if (!listeners->retry_ms)
		log_error("listening sockets not passed to the service manager; it has those of before",
			  F_STR("error", strerror(error)));
	if (!listeners->retry_ms || !listeners->changed)
		listeners->retry_ms = base_backoff_next(listeners->retry_ms, RETRY_MIN_MS, RETRY_MAX_MS);
	timer_start(&listeners->write, listeners->retry_ms);
}

/*
 * Once all is stored and the barrier behind it has passed. What opens meanwhile is written first, and another barrier is not needed
 * for that.
 */
static void daemon_listeners_forget_former(struct listeners *listeners)
{
	if (!listeners->former_left || listeners->barrier_due || listeners->barrier >= 0 ||
	    !daemon_listeners_are_stored(listeners))
		return;
	daemon_inherited_forget_former(listeners->daemon->inherited);
	listeners->former_left = false;
}

static void daemon_listeners_on_write(void *context)
{
	struct listeners *listeners = context;

	if (daemon_listeners_write_all(listeners) == 0) {
		if (listeners->retry_ms)
			log_info("listening sockets passed to the service manager again");
		listeners->retry_ms = 0;
		daemon_listeners_forget_former(listeners);
	} else if (errno == ENOTCONN) {
		daemon_listeners_give_up(listeners);
	} else {
		daemon_listeners_try_later(listeners, errno);
	}
	listeners->changed = false;
	daemon_listeners_look(listeners);
}

/* The service manager has all that was stored before the barrier. */
static void daemon_listeners_on_passed(evutil_socket_t fd, short what, void *arg)
{
	struct listeners *listeners = arg;

	(void)fd;
	(void)what;
	daemon_listeners_end_barrier(listeners);
	if (listeners->barrier_due)
		daemon_listeners_schedule(listeners);
	daemon_listeners_forget_former(listeners);
	daemon_listeners_look(listeners);
}

/* ---- The table ---- */

static struct listener_place *daemon_listeners_place(const struct listeners *listeners, int fd)
{
	struct listener_place *place;

	if (fd < 0 || (size_t)fd >= listeners->places.count)
		return NULL;
	place = &listeners->places.items[fd];
	return place->couple ? place : NULL;
}

static int daemon_listeners_make_room(struct listeners *listeners, int fd)
{
	while (listeners->places.count <= (size_t)fd)
		if (!vec_push(&listeners->places))
			return -1;
	return 0;
}

/* The number, from 1, of a couple that has room; 0 for want of memory. */
static uint32_t daemon_listeners_roomy_couple(struct listeners *listeners)
{
	struct kept_couple **added, *couple;

	for (uint32_t i = 0; i < listeners->couples.count; i++)
		if (listeners->couples.items[i]->fds.fds.count < FD_COUPLE_MAX)
			return i + 1;
	couple = calloc(1, sizeof(*couple));
	added = couple ? vec_push(&listeners->couples) : NULL;
	if (!added) {
		free(couple);
		return 0;
	}
	daemon_fd_couple_init(&couple->fds, listeners->run, (uint32_t)listeners->couples.count);
	*added = couple;
	return (uint32_t)listeners->couples.count;
}

static int daemon_listeners_put(struct listeners *listeners, int fd)
{
	uint32_t number;
	struct fd_couple *couple;

	if (daemon_listeners_make_room(listeners, fd) < 0)
		return -1;
	number = daemon_listeners_roomy_couple(listeners);
	couple = number ? &listeners->couples.items[number - 1]->fds : NULL;
	if (!couple || daemon_fd_couple_add(couple, fd) < 0)
		return -1;
	listeners->places.items[fd] =
	    (struct listener_place){ .couple = number, .index = (uint32_t)couple->fds.count - 1 };
	return 0;
}

void daemon_listeners_add(struct daemon *daemon, int fd)
{
	struct listeners *listeners = daemon->listeners;

	if (!listeners || !listeners->keeps || fd < 0 || daemon_listeners_place(listeners, fd))
		return;
	if (daemon_listeners_put(listeners, fd) == 0)
		daemon_listeners_schedule(listeners);
	else
		log_error("no memory: the service manager does not keep a port", F_INT("fd", fd));
}

void daemon_listeners_remove(struct daemon *daemon, int fd)
{
	struct listeners *listeners = daemon->listeners;
	struct listener_place *place = listeners ? daemon_listeners_place(listeners, fd) : NULL;

	if (listeners && !listeners->begun)
		daemon_inherited_drop(daemon->inherited, fd);
	if (!place)
		return;
	struct fd_couple *couple = &listeners->couples.items[place->couple - 1]->fds;
	uint32_t index = place->index;

	daemon_fd_couple_remove(couple, index);
	if (index < couple->fds.count)
		listeners->places.items[couple->fds.items[index]].index = index;
	*place = (struct listener_place){ 0 };
	daemon_listeners_schedule(listeners);
}

void daemon_listeners_close(struct daemon *daemon, int fd, enum proto proto)
{
	daemon_listeners_remove(daemon, fd);
	if (proto == PROTO_TCP)
		shutdown(fd, SHUT_RDWR);
	close(fd);
}

void daemon_listeners_close_unwanted(struct daemon *daemon)
{
	enum proto proto;
	int fd;

	while ((fd = daemon_inherited_take_any(daemon->inherited, &proto)) >= 0)
		daemon_listeners_close(daemon, fd, proto);
}

bool daemon_listeners_keeps(const struct daemon *daemon, int fd)
{
	const struct listeners *listeners = daemon->listeners;

	if (!listeners || !listeners->keeps)
		return false;
	return listeners->begun ? daemon_listeners_place(listeners, fd) != NULL
				: daemon_inherited_has(daemon->inherited, fd);
}

/* ---- Start and end ---- */

int daemon_listeners_start(struct daemon *daemon, struct err *err)
{
	struct listeners *listeners = calloc(1, sizeof(*listeners));

	if (!listeners)
		return err_set(err, ENOMEM, "start");
	listeners->daemon = daemon;
	listeners->keeps = daemon_fd_store_is_there();
	listeners->barrier = -1;
	TAILQ_INIT(&listeners->waiting);
	daemon->listeners = listeners;
	if (timer_init(&listeners->write, daemon->base, daemon_listeners_on_write, listeners, err) < 0 ||
	    timer_init(&listeners->patience, daemon->base, daemon_listeners_on_impatience, listeners, err) < 0)
		return -1;
	if (getrandom(&listeners->run, sizeof(listeners->run), 0) != sizeof(listeners->run))
		return err_set(err, errno, "random number");
	return 0;
}

void daemon_listeners_keep(struct daemon *daemon)
{
	struct listeners *listeners = daemon->listeners;

	listeners->begun = true;
	if (!listeners->keeps)
		return;
	for (size_t i = 0; i < daemon_inherited_count(daemon->inherited); i++)
		daemon_listeners_add(daemon, daemon_inherited_at(daemon->inherited, i));
	daemon_inherited_choose_name(daemon->inherited, listeners->name, sizeof(listeners->name));
	listeners->former_left = listeners->barrier_due = daemon->inherited != NULL;
	daemon_listeners_on_write(listeners);
}

void daemon_listeners_finish(struct daemon *daemon)
{
	struct listeners *listeners = daemon->listeners;

	if (!listeners)
		return;
	listeners->ending = true;
	if (listeners->keeps && listeners->begun && daemon_listeners_write_all(listeners) < 0)
		log_warning("listening sockets not passed to the service manager", F_STR("error", strerror(errno)));
	daemon_listeners_look(listeners);
}

void daemon_listeners_free(struct daemon *daemon)
{
	struct listeners *listeners = daemon->listeners;

	if (!listeners)
		return;
	timer_free(&listeners->write);
	timer_free(&listeners->patience);
	daemon_listeners_end_barrier(listeners);
	daemon_listeners_free_couples(listeners);
	free(listeners);
	daemon->listeners = NULL;
}
