/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_REPLAY_H
#define WEFT_WAKE_REPLAY_H

/* Sends copies of packets again, each to what its client had asked for. Main thread only. */

struct err;
struct wake_copy;

/* Asks the kernel what the client of COPY had asked for, and notes it there if it is known. To be called soon: a flow is forgotten. */
void wake_replay_ask(struct wake_copy *copy);

/*
 * Sends COPY by the socket *FD, which is opened if it is -1, and is the caller's to close. What is not known to have been translated goes to
 * where it went. 0, or -1 with ERR.
 */
int wake_replay_send(int *fd, struct wake_copy *copy, struct err *err);

#endif
