/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_UNREGISTER_H
#define WEFT_DAEMON_UNREGISTER_H

struct ctl_request;
struct daemon;
struct sandbox;

/* DELETE of a sandbox; CONTEXT is the daemon. Of type ctl_serve. */
void daemon_unregister(void *context, struct ctl_request *request);

/*
 * Takes SANDBOX apart, after a drain of DRAIN_MS at most. REQUEST is answered when it is gone; NULL: nobody asked (a sandbox of a
 * former run that was draining).
 */
void unregister_begin(struct daemon *daemon, struct sandbox *sandbox, unsigned drain_ms, struct ctl_request *request);

#endif
