/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_WAKE_H
#define WEFT_WAKE_WAKE_H

/*
 * Hears packets for sandboxes that are asleep, and tells their manager. The kernel logs the first packet of each flow to an address that is
 * asleep. This room reports it, keeps a copy, sends the copy again once the guest can take it, and posts to the manager's socket. It knows
 * addresses and texts, and no sandbox. Nothing depends on it: where a packet goes unheard, or its copy is not sent, the client's own retry
 * is left. No call waits for another program. Main thread only.
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
	 * Called for each first packet of a flow, the client's repetitions too, unless it comes from a network of [wake] ignore. The kernel
	 * chose it by its sets a moment ago: the sandbox may have been resumed since. May call wake_sleep(), wake_awake(), wake_tell() and
	 * wake_untell().
	 */
	void (*heard)(void *context, const struct wake_heard *heard);
	void *context;
};

/* Counts since the start, but for KEPT and TELLING. */
struct wake_stats {
	uint64_t heard;                /* packets that the watcher was called for */
	uint64_t ignored;              /* from [wake] ignore */
	uint64_t unreadable;           /* damaged, a fragment, or not the beginning of a flow */
	uint64_t lost;                 /* how often the log overran, and lost packets */
	uint64_t sent_again, not_sent; /* copies; NOT_SENT: the kernel refused it */
	uint64_t told, tell_failures;  /* posts that the manager took, and attempts that failed */
	size_t kept, telling;          /* copies; posts that it has not taken yet */
	const char *log_error;         /* why no packet can be heard; NULL: they can. Valid until the loop runs on */
	const char *tell_error;        /* why the last post failed; NULL once one was taken. Valid for as long */
};

/*
 * WATCHER is copied; CONFIG is kept, and its [wake] ignore read anew for each packet. Where the packet log cannot be had, it is asked for
 * again every second. NULL with ERR: no memory.
 */
struct wake *wake_new(struct event_base *base, const struct config *config, const struct wake_watcher *watcher,
		      struct err *err);

/* Drops the copies, and gives up the posts. Harmless with NULL. */
void wake_free(struct wake *wake);

/*
 * HOST_IP is asleep from now on: the first packets to it are kept. Harmless if it is already. Without memory they are heard, and not
 * kept; nor is one of more than KERN_WAKE_BYTES (kernel/packet_log.h), of which the log has no whole copy.
 */
void wake_sleep(struct wake *wake, uint32_t host_ip);

/*
 * The TAP of HOST_IP, which is asleep, is OPEN from now on, or closed, as it is taken for at first. A datagram that comes while it is open
 * gets to the guest, and is not sent again unless it is closed once more. What was logged before is heard first.
 */
void wake_note_tap(struct wake *wake, uint32_t host_ip, bool open);

/*
 * A port of the host leads to HOST_IP no more. The copies of packets that came by such a port are dropped, whichever it was: sent again
 * they would get to whatever listens there now.
 */
void wake_forget_led(struct wake *wake, uint32_t host_ip);

/*
 * HOST_IP is asleep no more, or gone. With SEND_AGAIN its copies are sent to what their clients had asked for, which is right if its TAP was
 * closed meanwhile; otherwise they are dropped. To be called when the kernel's sets have the address no more. Harmless if it was not asleep.
 */
void wake_awake(struct wake *wake, uint32_t host_ip, bool send_again);

/*
 * Posts BODY, a JSON text, to /wake at the unix socket PATH until the manager answers 2xx: WAKE_TELL_MS for each attempt, with growing
 * pauses between them. There is one post at a time for each KEY, a sandbox's id. A later call replaces a post that waits, and follows one
 * that is on its way. The texts are copied. Without memory the post is left out, and the log says so.
 */
void wake_tell(struct wake *wake, const char *path, const char *key, const char *body);

/* Posts that were not taken yet go to PATH from now on; NULL: all are given up. One that is on its way may still be taken where it is. */
void wake_redirect(struct wake *wake, const char *path);

/* KEY's post is given up; one that is on its way has its answer heard. Harmless if there is none. */
void wake_untell(struct wake *wake, const char *key);

void wake_stats(const struct wake *wake, struct wake_stats *stats);

#endif
