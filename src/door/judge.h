/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DOOR_JUDGE_H
#define WEFT_DOOR_JUDGE_H

/* Whether a policy lets a client in. Pure; any thread. */

#include "door/door_request.h"

enum door_verdict {
	DOOR_LET_IN,
	DOOR_SHUT,        /* the port is closed to all */
	DOOR_NO_TOKEN,    /* a token is wanted, and none was given */
	DOOR_WRONG_TOKEN, /* another one was given; compared in constant time */
};

/* The verdict of POLICY on a client with TOKEN that wants PORT. A token that is wanted and that the policy lacks is one that nobody has. */
enum door_verdict door_judge(const struct door_policy *policy, uint16_t port, const struct door_token *token);

#endif
