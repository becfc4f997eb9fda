/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_LIMIT_H
#define WEFT_BASE_LOG_LIMIT_H

/* What the limits of base/log.h have swallowed, and when that is said. Any thread. */

#include "base/log.h"

enum {
	LOG_LIMIT_ENTRIES = 1024,  /* pairs of a sandbox and a message that are told apart at a time */
	LOG_LIMIT_TELL_MS = 30000, /* lines that were swallowed so long ago are told of */
};

/* log_limit_allows() at NOW_MS, clock_now_ms(); SLOT stands for a SANDBOX that is NULL; 0: none. */
bool log_limit_admits(const struct log_limit *limit, enum log_level level, const char *message, const char *sandbox,
		      uint64_t slot, uint64_t now_ms);

/*
 * Writes a line for each sandbox and message of which lines were swallowed LOG_LIMIT_TELL_MS ago or in an interval that is over, and
 * forgets those of which none were. To be called each few seconds, from one thread.
 */
void log_limit_tell(uint64_t now_ms);

/* The same for all that was swallowed, before the log ends. */
void log_limit_tell_all(void);

#endif
