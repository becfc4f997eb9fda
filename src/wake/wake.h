/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_WAKE_H
#define WEFT_WAKE_WAKE_H

/*
 * What wakes a sandbox that is asleep, and whom that is told. The kernel logs first packets to addresses that are asleep; this room
 * reports them, keeps a copy of each flow's, sends the copies again once the guest can take them, and posts to the manager's socket. It
 * knows addresses and texts, and no sandbox. All of it is a hint: a packet that goes unheard, or a copy that is not sent, leaves the
 * client's own retry. No call waits for others than the kernel. Main thread only.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct err;
struct event_base;
struct wake;

enum {
	WAKE_LOG_GROUP = 1874,  /* of the kernel's packet log, in weft's own namespace */
	WAKE_SNAPLEN = 2048,    /* bytes of a packet that the log copies; a longer one is heard, and not sent again */
	WAKE_KEPT_FLOWS = 64,   /* copies for one address, one of each flow */
	WAKE_KEPT_ALL = 4096,   /* and for all */
	WAKE_KEPT_MS = 60000,   /* the life of a copy */
	WAKE_TELL_MS = 5000,    /* until the manager has answered */
	WAKE_TELL_AT_ONCE = 16, /* connections to it; who comes later waits for one to end */
};

/* The first packet of a flow, as it goes to the guest; numbers are in host order. */
struct wake_heard {
	uint32_t host_ip; /* the sandbox's */
	uint32_t source;
	uint16_t source_port, dest_port; /* dest_port: the guest's, whatever port the client had asked for */
	enum proto proto;
};

struct wake_watcher {
	/*
	 * Called for each packet that is no connection's yet and comes from no network of [wake] ignore, the client's repetitions too. The
	 * kernel chose them by its sets a moment before: the address may have woken up since. It may call wake_sleep(), wake_awake(),
	 * wake_tell() and wake_untell().
	 */
	void (*heard)(void *context, const struct wake_heard *heard);
	void *context;
};

/* Counts since the start, but for KEPT and TELLING. */
struct wake_stats {
	uint64_t heard;                /* packets that the watcher was called for */
	uint64_t ignored;              /* from [wake] ignore */
	uint64_t unreadable;           /* no packet of a flow that could begin */
	uint64_t lost;                 /* times that the log overran, with some packets lost each */
	uint64_t sent_again, not_sent; /* copies; NOT_SENT: the kernel refused it */
	uint64_t told, tell_failures;  /* posts that the manager took, and attempts that failed */
	size_t kept, telling;          /* copies; posts that it has not taken yet */
	const char *log_error;         /* why no packet can be heard; NULL: they can. Valid until the loop runs on */
	const char *tell_error;        /* why the last post failed; NULL once one was taken. The same */
};

/*
 * WATCHER is copied; CONFIG is kept, and its [wake] ignore read anew for each packet. Where the packet log cannot be had, it is asked for
 * again every second. NULL with ERR: no memory.
 */
struct wake *wake_new(struct event_base *base, const struct config *config, const struct wake_watcher *watcher,
		      struct err *err);

/* Copies are dropped, and nobody is told any more. Harmless with NULL. */
void wake_free(struct wake *wake);

/*
 * HOST_IP is asleep from now on: the first packets to it are kept. Harmless if it is already. For want of memory none is kept, and they
 * are heard all the same.
 */
void wake_sleep(struct wake *wake, uint32_t host_ip);

/*
 * HOST_IP is asleep no more, or gone. With SEND_AGAIN its copies are sent to what their clients had asked for, which is right where its TAP
 * was closed meanwhile; otherwise they are dropped. The kernel's sets do not have the address by then. Harmless if it was not asleep.
 */
void wake_awake(struct wake *wake, uint32_t host_ip, bool send_again);

/*
 * Posts BODY, a JSON text, to /wake at the unix socket PATH until the manager answers 2xx: WAKE_TELL_MS for each attempt, with growing
 * pauses between them. There is one at a time for each KEY, a sandbox's id: a later call has its text posted in the place of one that
 * waits, and after one that is on its way. All are copied. For want of memory it is logged and left out.
 */
void wake_tell(struct wake *wake, const char *path, const char *key, const char *body);

/* Posts that were not taken yet go to PATH from now on; NULL: all are given up. One that is on its way may still be taken where it is. */
void wake_redirect(struct wake *wake, const char *path);

/* KEY's post is given up. Harmless if there is none. */
void wake_untell(struct wake *wake, const char *key);

void wake_stats(const struct wake *wake, struct wake_stats *stats);

#endif
