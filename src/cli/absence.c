/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pauses grow, so that a thousand readers do not hammer a daemon that starts, and stay short enough for an orderly restart, which
 * takes a fraction of a second.
 */
#include "cli/absence.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/print_text.h"

#include <time.h>

enum { FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 2000 };

static void cli_absence_tell(const struct cli *cli, uint64_t patience_ms, const char *why)
{
	fflush(stdout);
	cli_text_print(stderr, "weftctl %s: %s; trying again for up to %llu s\n", cli->args->command->name, why,
		       (unsigned long long)((patience_ms + 999) / 1000));
}

bool cli_absence_pause(struct cli_absence *absence, uint64_t patience_ms, const char *why)
{
	uint64_t now = clock_now_ms();
	unsigned pause_ms = absence->paused_ms ? 2 * absence->paused_ms : FIRST_PAUSE_MS;

	if (!absence->until_ms) {
		if (!patience_ms)
			return false;
		absence->until_ms = now + patience_ms;
		cli_absence_tell(absence->cli, patience_ms, why);
	}
	if (now >= absence->until_ms)
		return false;
	if (pause_ms > LONGEST_PAUSE_MS)
		pause_ms = LONGEST_PAUSE_MS;
	if (pause_ms > absence->until_ms - now)
		pause_ms = (unsigned)(absence->until_ms - now);
	absence->paused_ms = pause_ms;
	nanosleep(&(struct timespec){ .tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000L }, NULL);
	return true;
}

bool cli_absence_lasts(const struct cli_absence *absence)
{
	return absence->until_ms != 0;
}

void cli_absence_end(struct cli_absence *absence)
{
	absence->until_ms = 0;
	absence->paused_ms = 0;
}
