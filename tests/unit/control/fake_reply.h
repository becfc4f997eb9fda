/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_CONTROL_FAKE_REPLY_H
#define WEFT_TESTS_UNIT_CONTROL_FAKE_REPLY_H

/* Replies without a connection behind them: they note what they are answered. Linked in place of the real ones. */

#include "control/request.h"

struct control_reply {
	unsigned answers;
	int status; /* of the last answer */
	char detail[384];
	void (*gone)(void *context);
	void *gone_context;
};

/* A request by METHOD for the sandbox ID, which owes REPLY its answer. */
struct control_request *fake_request(struct control_reply *reply, enum http_method method, const char *id);

#endif
