/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_LIMIT_H
#define WEFT_BASE_LOG_LIMIT_H

/* What the limits of base/log.h have swallowed, and when that is said. Any thread. */

#include "base/log.h"

enum {
	LOG_LIMIT_ENTRIES = 1024,  /* pairs of a sandbox and a message that are told apart at a time */
	LOG_LIMIT_TELL_MS = 30000, /* after this time it is said how many lines were swallowed */
};

/* log_limit_allows() at NOW_MS, clock_now_ms(). SLOT tells lines apart where SANDBOX is NULL; 0: about no slot. */
bool log_limit_admits(const struct log_limit *limit, enum log_level level, const char *message, const char *sandbox,
		      uint64_t slot, uint64_t now_ms);

/*
 * Writes a line for each sandbox and message that had lines swallowed LOG_LIMIT_TELL_MS ago, or in an interval that is over, and
 * forgets those that had none. NOW_MS: clock_now_ms(). To be called every few seconds, by one thread.
 */
void log_limit_tell(uint64_t now_ms);

/* The same for all that was swallowed, however lately: before the log ends. */
void log_limit_tell_all(void);

#endif
