/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_ATTEMPT_H
#define WEFT_WAKE_ATTEMPT_H

/* One POST to the manager's unix socket, by a connection of its own, without waiting. Main thread only. */

struct err;
struct event_base;
struct wake_attempt;

/* WHY is NULL if the manager answered 2xx, else a text of its own for the time of the call. The attempt is freed by then. */
typedef void wake_attempt_done(void *context, const char *why);

/*
 * Posts BODY, a JSON text that is copied, to /wake at PATH, and calls DONE from the loop within WAKE_TELL_MS. NULL with ERR: nobody listens
 * there, or no memory; DONE is not called then.
 */
struct wake_attempt *wake_attempt_start(struct event_base *base, const char *path, const char *body,
					wake_attempt_done *done, void *context, struct err *err);

/* DONE is not called any more. Harmless with NULL. */
void wake_attempt_stop(struct wake_attempt *attempt);

#endif
