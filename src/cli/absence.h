/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_ABSENCE_H
#define WEFT_CLI_ABSENCE_H

/*
 * The time in which weftd is away, between two runs of it: a command that follows it asks again and again, after 50, 100, 200 ... 2000 ms,
 * until it answers or the command's patience is over.
 */

#include <stdbool.h>
#include <stdint.h>

struct cli;

struct cli_absence {
	const struct cli *cli;
	uint64_t until_ms;  /* of clock_now_ms(): then the patience is over; 0: weftd is not away */
	unsigned paused_ms; /* the last pause; 0: none yet */
};

/*
 * weftd is away, WHY in words: told on stderr the first time. Pauses before the next try. False, and without a pause: PATIENCE_MS, counted
 * from the first time, are over.
 */
bool cli_absence_pause(struct cli_absence *absence, uint64_t patience_ms, const char *why);

/* Whether it is away: pauses have begun, and it did not answer since. */
bool cli_absence_lasts(const struct cli_absence *absence);

/* It answered: the next absence has all of the patience again. */
void cli_absence_end(struct cli_absence *absence);

#endif
