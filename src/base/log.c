/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line is put together in a buffer on the caller's stack (log_line.c). It goes into the queue (log_queue.c), from which a thread
 * writes it; or, while there is no such thread, to its reader directly (log_sink.c). The last line of a process that crashes takes a
 * way of its own (log_crash.c).
 */
#include "base/log.h"

#include "base/log_crash.h"
#include "base/log_line.h"
#include "base/log_queue.h"
#include "base/log_sink.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { END_PATIENCE_MS = 1000 };

static _Atomic enum log_level threshold = LOG_INFO_LEVEL;

void log_setup(enum log_level level, enum log_format format, enum log_target target)
{
	if (target == LOG_TO_JOURNAL)
		log_sink_open();
	atomic_store(&threshold, level);
	log_line_set_shape(format, target);
}

int log_start(struct err *err)
{
	log_crash_catch();
	return log_queue_start(err);
}

void log_stop(void)
{
	log_queue_stop(END_PATIENCE_MS);
}

uint64_t log_lost(void)
{
	return log_queue_lost();
}

bool log_enabled(enum log_level level)
{
	return level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	int saved = errno;
	struct log_line line;
	size_t left;

	log_line_compose(&line, level, message, fields);
	/* There is no place to report that the log itself cannot be written. */
	if (!log_queue_put(&line))
		(void)log_sink_write(line.target, level, line.bytes, line.size, &left);
	errno = saved;
}

bool log_offer_stderr(const char *text)
{
	return log_sink_offer(LOG_TO_STDERR, LOG_ERROR_LEVEL, text, strlen(text));
}
