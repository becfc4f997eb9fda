/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_CRASH_H
#define WEFT_BASE_LOG_CRASH_H

/* The last line of a process that ends by a fault. It leaves directly, if the log's reader takes it at once, and nothing waits. */

/*
 * From now on SIGSEGV, SIGBUS, SIGABRT, SIGFPE and SIGILL write their line, and then act as before: by default, with a core. Main
 * thread, once.
 */
void log_crash_catch(void);

#endif
