/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_SINK_H
#define WEFT_BASE_LOG_SINK_H

/* The readers of the log: stderr; or the journal, and syslog(3) where there is none. */

#include "base/log.h"

#include <stddef.h>

/* Makes the socket for the journal now, so that no shortage of descriptors keeps a line from it later. Main thread. */
void log_sink_open(void);

/*
 * Writes SIZE bytes of lines to TARGET: any number of lines to stderr, one record to the journal. Waits for the reader. 0, or -1
 * with errno and the number of bytes that were not written in *LEFT. Any thread.
 */
int log_sink_write(enum log_target target, enum log_level level, const char *bytes, size_t size, size_t *left);

/*
 * The same as far as the reader takes it at once: nothing here waits. At most PIPE_BUF bytes for stderr. Whether it was taken. Any
 * thread, and a signal handler.
 */
bool log_sink_offer(enum log_target target, enum log_level level, const char *bytes, size_t size);

#endif
