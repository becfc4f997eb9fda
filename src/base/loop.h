/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOOP_H
#define WEFT_BASE_LOOP_H

/*
 * Each of our loops needs two things beside libevent itself: one-shot timers that are cheap to re-arm, and mailboxes, by
 * which one thread hands work to another's loop.
 */

#include "base/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct event;
struct event_base;

/* A one-shot timer inside its owner's struct. Belongs to one loop; only that loop's thread touches it. */
struct timer {
	struct event *event; /* NULL before timer_init() */
	void (*expired)(
	    void *context); /* called on the loop's thread; the timer is then unarmed and may be re-armed or freed */
	void *context;
	/* libevent had no memory to arm it: it is among the late ones, which are looked at whenever another timer of the thread expires. */
	TAILQ_ENTRY(timer) late;
	uint64_t due_ms; /* of a late one; 0: it is none */
};

/* 0, or -1 with ERR set (ENOMEM). The timer is unarmed. */
int timer_init(struct timer *timer, struct event_base *base, void (*expired)(void *context), void *context,
	       struct err *err);

/* Arms, or re-arms, to expire in DELAY_MS from now. For lack of memory it may expire later, but it does. */
void timer_start(struct timer *timer, uint64_t delay_ms);

/* Disarms. Harmless when it is not armed, or zeroed. */
void timer_stop(struct timer *timer);

bool timer_is_armed(const struct timer *timer);

/* Disarms and releases; harmless on a zeroed timer and when called twice. */
void timer_free(struct timer *timer);

/* A message: a member of the struct that carries its contents. It is in one mailbox at most. */
struct mail {
	STAILQ_ENTRY(mail) next;
	void (*deliver)(struct mail *mail); /* called on the receiver's thread; may free the message */
};

/* A queue by which any thread hands messages to one loop. They are delivered in the order in which they were posted. */
struct mailbox;

/*
 * A mailbox that BASE's thread reads. With BASE NULL the receiver has a loop of its own: it calls base_mailbox_deliver() whenever
 * base_mailbox_fd() is readable. NULL with ERR set (EMFILE, ENOMEM).
 */
struct mailbox *base_mailbox_new(struct event_base *base, struct err *err);

/* Readable while there are messages. The descriptor stays the mailbox's. */
int base_mailbox_fd(const struct mailbox *mailbox);

/* Delivers the messages that are there. Receiver's thread. */
void base_mailbox_deliver(struct mailbox *mailbox);

/*
 * To be called while a message is delivered that took long: those behind it are delivered in the next iteration of the loop, in their
 * order and before any that are posted meanwhile.
 */
void base_mailbox_rest(struct mailbox *mailbox);

/*
 * Delivers the messages that are left, then frees. Receiver's thread. No thread may post any more: senders have returned or were
 * joined.
 */
void base_mailbox_free(struct mailbox *mailbox);

/*
 * Blocks until there are messages, and delivers them. For the receiver's thread when its loop has ended and it waits for the
 * final messages of others.
 */
void base_mailbox_wait(struct mailbox *mailbox);

/* Any thread. Never blocks on the receiver, never fails. */
void base_mailbox_post(struct mailbox *mailbox, struct mail *mail);

#endif
