/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_WAKE_ARGS_H
#define WEFT_CLI_WAKE_ARGS_H

/* Options about what wakes a sandbox, and when it is idle, as the API takes them. */

#include <jansson.h>
#include <stdbool.h>

struct args;
struct err;

/* Whether ARGS has --wake, --min-awake or --wake-timeout. */
bool cli_wake_is_given(const struct args *args);

/*
 * Adds them to BODY as the member `wake`, which the API replaces whole: what is not given stays as FORMER, the member of the sandbox,
 * has it. NULL: it has none, and then --wake must be given. 0, or -1 with ERR.
 */
int cli_wake_add(json_t *body, const json_t *former, const struct args *args, struct err *err);

/* Adds --idle-report, if it is given. 0, or -1 with ERR. */
int cli_wake_add_idle(json_t *body, const struct args *args, struct err *err);

#endif
