/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_UNREGISTER_H
#define WEFT_DAEMON_UNREGISTER_H

struct control_request;
struct daemon;
struct sandbox;

/* DELETE of a sandbox; CONTEXT is the daemon. Of type control_serve. */
void daemon_unregister(void *context, struct control_request *request);

/*
 * Takes SANDBOX apart, after a drain of DRAIN_MS at most. REQUEST is answered when it is gone; NULL: nobody asked (a sandbox of a
 * former run that was draining).
 */
void daemon_unregister_begin(struct daemon *daemon, struct sandbox *sandbox, unsigned drain_ms,
			     struct control_request *request);

#endif
