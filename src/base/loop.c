/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mailbox is a list under a mutex, and an eventfd that is written only when the list was empty, so that a burst of
 * messages wakes the receiver once. An iteration of the loop delivers the messages that were there when it began. Those
 * posted meanwhile wait for the next one, so that a busy sender cannot starve the receiver's other events.
 *
 * libevent needs memory to arm more timers than were ever armed at once. A timer that finds none is listed. Whenever another timer of
 * the thread has expired, and perhaps been armed anew, those on the list that are due expire too, and the others are tried again. So
 * one that is armed again and again, as the daemon has some, keeps its place, and is the clock of those without one.
 */
#include "base/loop.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

STAILQ_HEAD(mail_list, mail);

struct mailbox {
	pthread_mutex_t lock;
	struct mail_list messages; /* under LOCK */
	struct event *readable;
	int fd;
	bool rests; /* the receiver's: base_mailbox_rest() was called */
};

TAILQ_HEAD(timer_list, timer);

static _Thread_local struct timer_list late_timers;

static void timer_be_late(struct timer *timer, uint64_t due_ms)
{
	if (!late_timers.tqh_last)
		TAILQ_INIT(&late_timers);
	TAILQ_INSERT_TAIL(&late_timers, timer, late);
	timer->due_ms = due_ms ? due_ms : 1;
}

static void timer_be_late_no_more(struct timer *timer)
{
	if (timer->due_ms)
		TAILQ_REMOVE(&late_timers, timer, late);
	timer->due_ms = 0;
}

/* Each of them leaves the list, and comes back at its end if there still is no memory. Any may be freed by another one's expiry. */
static void timer_serve_late_ones(void)
{
	uint64_t now = clock_now_ms();
	struct timer *timer;
	size_t count = 0;

	if (!late_timers.tqh_last)
		return;
	TAILQ_FOREACH(timer, &late_timers, late)
	count++;
	while (count-- && (timer = TAILQ_FIRST(&late_timers))) {
		uint64_t due = timer->due_ms;

		if (due > now) {
			timer_start(timer, due - now);
			continue;
		}
		timer_be_late_no_more(timer);
		timer->expired(timer->context);
	}
}

static void timer_on_expiry(evutil_socket_t fd, short what, void *arg)
{
	struct timer *timer = arg;

	(void)fd;
	(void)what;
	timer->expired(timer->context);
	timer_serve_late_ones();
}

int timer_init(struct timer *timer, struct event_base *base, void (*expired)(void *context), void *context,
	       struct err *err)
{
	timer->expired = expired;
	timer->context = context;
	timer->due_ms = 0;
	timer->event = event_new(base, -1, 0, timer_on_expiry, timer);
	if (!timer->event)
		return err_set(err, ENOMEM, "timer");
	return 0;
}

void timer_start(struct timer *timer, uint64_t delay_ms)
{
	struct timeval delay = { .tv_sec = (time_t)(delay_ms / 1000),
				 .tv_usec = (suseconds_t)(delay_ms % 1000) * 1000 };

	timer_be_late_no_more(timer);
	if (event_add(timer->event, &delay) < 0)
		timer_be_late(timer, clock_now_ms() + delay_ms);
}

void timer_stop(struct timer *timer)
{
	timer_be_late_no_more(timer);
	if (timer->event)
		event_del(timer->event);
}

bool timer_is_armed(const struct timer *timer)
{
	return timer->due_ms || (timer->event && event_pending(timer->event, EV_TIMEOUT, NULL));
}

void timer_free(struct timer *timer)
{
	timer_be_late_no_more(timer);
	if (timer->event)
		event_free(timer->event);
	timer->event = NULL;
}

/* Needs nothing that could be short, and the counter is far from its limit, eventfd(2). */
static void base_mailbox_announce(struct mailbox *mailbox)
{
	uint64_t one = 1;
	ssize_t written;

	do
		written = write(mailbox->fd, &one, sizeof(one));
	while (written < 0 && errno == EINTR);
	base_assert(written >= 0);
}

/* MESSAGES come before those that were posted since. */
static void base_mailbox_put_back(struct mailbox *mailbox, struct mail_list *messages)
{
	pthread_mutex_lock(&mailbox->lock);
	STAILQ_CONCAT(messages, &mailbox->messages);
	STAILQ_CONCAT(&mailbox->messages, messages);
	pthread_mutex_unlock(&mailbox->lock);
	base_mailbox_announce(mailbox);
}

void base_mailbox_rest(struct mailbox *mailbox)
{
	mailbox->rests = true;
}

/* Up to one that lets the others wait. */
static void base_mailbox_deliver_all(struct mailbox *mailbox)
{
	struct mail_list messages = STAILQ_HEAD_INITIALIZER(messages);

	pthread_mutex_lock(&mailbox->lock);
	STAILQ_CONCAT(&messages, &mailbox->messages);
	pthread_mutex_unlock(&mailbox->lock);

	mailbox->rests = false;
	while (!STAILQ_EMPTY(&messages) && !mailbox->rests) {
		struct mail *mail = STAILQ_FIRST(&messages);

		STAILQ_REMOVE_HEAD(&messages, next);
		mail->deliver(mail);
	}
	if (!STAILQ_EMPTY(&messages))
		base_mailbox_put_back(mailbox, &messages);
}

void base_mailbox_deliver(struct mailbox *mailbox)
{
	uint64_t count;
	ssize_t got = read(mailbox->fd, &count, sizeof(count));

	/* EAGAIN: a former iteration already took the messages that this wake-up announced. If it fails, there is another wake-up. */
	(void)got;
	base_mailbox_deliver_all(mailbox);
}

int base_mailbox_fd(const struct mailbox *mailbox)
{
	return mailbox->fd;
}

static void base_mailbox_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	base_mailbox_deliver(arg);
}

struct mailbox *base_mailbox_new(struct event_base *base, struct err *err)
{
	struct mailbox *mailbox = calloc(1, sizeof(*mailbox));

	if (!mailbox) {
		err_set(err, ENOMEM, "mailbox");
		return NULL;
	}
	STAILQ_INIT(&mailbox->messages);
	pthread_mutex_init(&mailbox->lock, NULL);
	mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->fd < 0) {
		err_set(err, errno, "eventfd for a mailbox");
		goto fail;
	}
	if (!base)
		return mailbox;
	mailbox->readable = event_new(base, mailbox->fd, EV_READ | EV_PERSIST, base_mailbox_on_readable, mailbox);
	if (!mailbox->readable || event_add(mailbox->readable, NULL) < 0) {
		err_set(err, ENOMEM, "event for a mailbox");
		goto fail;
	}
	return mailbox;

fail:
	base_mailbox_free(mailbox);
	return NULL;
}

void base_mailbox_free(struct mailbox *mailbox)
{
	if (!mailbox)
		return;
	while (!STAILQ_EMPTY(&mailbox->messages))
		base_mailbox_deliver_all(mailbox);
	if (mailbox->readable)
		event_free(mailbox->readable);
	if (mailbox->fd >= 0)
		close(mailbox->fd);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

void base_mailbox_wait(struct mailbox *mailbox)
{
	struct pollfd readable = { .fd = mailbox->fd, .events = POLLIN };

	while (poll(&readable, 1, -1) < 0 && errno == EINTR)
		;
	base_mailbox_on_readable(mailbox->fd, EV_READ, mailbox);
}

void base_mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
	bool was_empty;

	pthread_mutex_lock(&mailbox->lock);
	was_empty = STAILQ_EMPTY(&mailbox->messages);
	STAILQ_INSERT_TAIL(&mailbox->messages, mail, next);
	pthread_mutex_unlock(&mailbox->lock);

	if (was_empty)
		base_mailbox_announce(mailbox);
}
