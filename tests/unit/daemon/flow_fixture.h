/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_DAEMON_FLOW_FIXTURE_H
#define WEFT_TESTS_UNIT_DAEMON_FLOW_FIXTURE_H

/*
 * A daemon of which only the registry and the flows of requests are real, and requests for its one sandbox, a1.
 */

#include "daemon/daemon.h"
#include "unit/control/fake_reply.h"
#include "unit/daemon/fake_rooms.h"

extern struct daemon weftd;

void flow_setup(void);
void flow_teardown(void);

/* A PUT; the request alone, or served. */
struct control_request *put_request(struct control_reply *reply);
void put(struct control_reply *reply);
void delete_it(struct control_reply *reply);
/* Pauses the sandbox. */
void patch(struct control_reply *reply);

/* Registers the sandbox. */
void have_sandbox(void);
/* The sandbox. NULL: it is not there. */
struct sandbox *found(void);

void assert_answered(const struct control_reply *reply, int status);
void assert_nothing_left(void);

/* Brings all that is under way to its end. */
void settle(void);

#endif
