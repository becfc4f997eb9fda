/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_LINE_H
#define WEFT_BASE_LOG_LINE_H

/* One line of the log, as the bytes that its reader gets. Any thread, and a signal handler. */

#include "base/log.h"

#include <stddef.h>

enum {
	LOG_TEXT_MAX = 4096,        /* of one line, which a pipe takes whole (PIPE_BUF) */
	LOG_RECORD_MAX = 12 * 1024, /* of the journal: the line, and its fields again */
};

struct log_line {
	enum log_level level;
	enum log_target target;
	int64_t time_ms; /* of the call, clock_wall_ms() */
	bool cut;        /* the text had too many fields */
	size_t start;    /* of the text within BYTES */
	size_t text_end;
	size_t size;
	char bytes[LOG_RECORD_MAX];
};

/* How lines look from now on, and who reads them. Until the first call: text on stderr. */
void log_line_set_shape(enum log_format format, enum log_target target);
enum log_target log_line_target(void);

/* Puts the line together; a line that is too long is cut at the end of a field, and a field says so. */
void log_line_compose(struct log_line *line, enum log_level level, const char *message, const struct log_field *fields);

/* Adds a field to a record of the journal, if there is room. VALUE may have any bytes. */
void log_line_add_journal(struct log_line *line, const char *key, const char *value);

/* The level as syslog(3) and the journal count it. */
int log_line_priority(enum log_level level);

#endif
