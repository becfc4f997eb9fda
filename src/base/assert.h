/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_ASSERT_H
#define WEFT_BASE_ASSERT_H

/*
 * Ends the process if CONDITION does not hold, which is a bug. Unlike that of assert(3), the line about it is one of the log, and
 * a log whose reader stands still does not keep the process from its end. Any thread.
 */
#define base_assert(condition) ((condition) ? (void)0 : log_assertion_failed(#condition, __FILE__, __LINE__, __func__))

_Noreturn void log_assertion_failed(const char *condition, const char *file, unsigned line, const char *function);

#endif
