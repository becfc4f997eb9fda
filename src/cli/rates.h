/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_RATES_H
#define WEFT_CLI_RATES_H

/*
 * Looks at all sandboxes, and how fast their counters grew since the look before.
 */

#include "cli/choose.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

struct rate_row {
	const json_t *sandbox;              /* the look's */
	bool rated;                         /* it was there at the look before */
	double to_guest, from_guest, drops; /* a second */
};

/* Zeroes are a look at nothing. */
struct rate_look {
	json_t *answer, *by_id; /* by_id: id -> sandbox */
	uint64_t at_ms;         /* clock_now_ms() */
	struct rate_row *rows;  /* those that --filter lets through, by slot */
	size_t count, total;    /* rows, and all sandboxes */
};

/* Takes a look, with rates since LAST. Returns an exit code after a failure was reported. Clear LOOK in both cases. */
int cli_rates_take(const struct cli *cli, const struct rate_look *last, struct rate_look *look);
void cli_rates_clear(struct rate_look *look);

/* Orders of rows: traffic first, which is the default. Numbers come largest first. */
extern const struct order_key rate_keys[];
int cli_rates_by_slot(const void *left, const void *right);

/* The words of the option --sort: each of rate_keys, alone and with '-'. */
#define RATE_KEYS                                                                                                      \
	"traffic to from drops conn held slot id name state "                                                          \
	"-traffic -to -from -drops -conn -held -slot -id -name -state"

#endif
