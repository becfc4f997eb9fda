/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line is put together in a buffer on the stack and leaves with one write(2) (or one journal message), so that threads need
 * no lock and lines never mix. A line that does not fit is cut at the end of a field, and a field says so.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-journal.h>
#endif

enum { LINE_SIZE = 4096, FIELDS_MAX = 24 };

static _Atomic enum log_level threshold = LOG_INFO_LEVEL;
static _Atomic enum log_format line_format = LOG_TEXT_FORMAT;
static _Atomic enum log_target line_target = LOG_TO_STDERR;

struct log_entry {
	size_t used;
	bool cut;
	char text[LINE_SIZE];
};

static const char *log_level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG_LEVEL:
		return "debug";
	case LOG_INFO_LEVEL:
		return "info";
	case LOG_WARNING_LEVEL:
		return "warning";
	case LOG_ERROR_LEVEL:
		return "error";
	}
	return "unknown";
}

static int log_syslog_priority(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG_LEVEL:
		return LOG_DEBUG;
	case LOG_INFO_LEVEL:
		return LOG_INFO;
	case LOG_WARNING_LEVEL:
		return LOG_WARNING;
	case LOG_ERROR_LEVEL:
		return LOG_ERR;
	}
	return LOG_ERR;
}

static void log_append(struct log_entry *line, const char *bytes, size_t count)
{
	/* The last bytes are kept for the end of the line. */
	if (line->cut || count > LINE_SIZE - 16 - line->used) {
		line->cut = true;
		return;
	}
	memcpy(line->text + line->used, bytes, count);
	line->used += count;
}

static void log_append_text(struct log_entry *line, const char *text)
{
	log_append(line, text, strlen(text));
}

/* A JSON string (RFC 8259). Text lines quote by it too, so that no byte from outside ends a line or a value. */
static void log_append_quoted(struct log_entry *line, const char *text)
{
	log_append(line, "\"", 1);
	for (const unsigned char *c = (const unsigned char *)text; *c;) {
		size_t length = utf8_decode((const char *)c, NULL);
		char escaped[8];

		if (length == 0) {
			log_append_text(line, "\\ufffd");
			length = 1;
		} else if (*c == '"' || *c == '\\') {
			snprintf(escaped, sizeof(escaped), "\\%c", *c);
			log_append_text(line, escaped);
		} else if (*c < 0x20 || *c == 0x7f) {
			snprintf(escaped, sizeof(escaped), "\\u%04x", *c);
			log_append_text(line, escaped);
		} else {
			log_append(line, (const char *)c, length);
		}
		c += length;
	}
	log_append(line, "\"", 1);
}

static bool log_is_plain(const char *text)
{
	if (!*text)
		return false;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c <= 0x20 || *c >= 0x7f || *c == '"' || *c == '=' || *c == '\\')
			return false;
	return true;
}

static void log_format_number(const struct log_field *field, char *text, size_t size)
{
	if (field->type == LOG_FIELD_INT)
		snprintf(text, size, "%" PRId64, field->integer);
	else
		snprintf(text, size, "%" PRIu64, field->natural);
}

static void log_append_field(struct log_entry *line, enum log_format format, const char *key, const char *value,
			     bool number)
{
	size_t before = line->used;

	if (format == LOG_JSON_FORMAT) {
		log_append_text(line, line->used > 1 ? "," : "");
		log_append_quoted(line, key);
		log_append(line, ":", 1);
	} else {
		log_append_text(line, line->used ? " " : "");
		log_append_text(line, key);
		log_append(line, "=", 1);
	}
	if (number || (format == LOG_TEXT_FORMAT && log_is_plain(value)))
		log_append_text(line, value);
	else
		log_append_quoted(line, value);
	if (line->cut)
		line->used = before;
}

static bool log_is_left_out(const struct log_field *field)
{
	return (field->type == LOG_FIELD_STRING && !field->string) ||
	       (field->type == LOG_FIELD_SOME && !field->natural);
}

static void log_append_fields(struct log_entry *line, enum log_format format, const struct log_field *fields)
{
	for (const struct log_field *field = fields; field->key && !line->cut; field++) {
		char number[24];

		if (log_is_left_out(field))
			continue;
		if (field->type == LOG_FIELD_STRING) {
			log_append_field(line, format, field->key, field->string, false);
			continue;
		}
		log_format_number(field, number, sizeof(number));
		log_append_field(line, format, field->key, number, true);
	}
}

static void log_compose(struct log_entry *line, enum log_format format, enum log_level level, bool with_time,
			const char *message, const struct log_field *fields)
{
	char time[CLOCK_TEXT_SIZE];

	line->used = 0;
	line->cut = false;
	if (format == LOG_JSON_FORMAT)
		log_append(line, "{", 1);
	if (with_time)
		log_append_field(line, format, "time", clock_format(clock_wall_ms(), time), false);
	log_append_field(line, format, "level", log_level_name(level), false);
	log_append_field(line, format, "msg", message, false);
	log_append_fields(line, format, fields);
	if (line->cut) {
		const char *mark = format == LOG_JSON_FORMAT ? ",\"cut\":1" : " cut=1";
		memcpy(line->text + line->used, mark, strlen(mark));
		line->used += strlen(mark);
	}
	if (format == LOG_JSON_FORMAT)
		line->text[line->used++] = '}';
	line->text[line->used] = '\0';
}

#ifdef HAVE_LIBSYSTEMD
/* Journal field names are upper case and ours carry a prefix: WEFT_SANDBOX=a1, systemd.journal-fields(7). */
static void log_journal_field(char *text, size_t size, const struct log_field *field)
{
	int used = snprintf(text, size, "WEFT_%s=", field->key);

	for (char *c = text; *c && *c != '='; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	if (field->type == LOG_FIELD_STRING)
		snprintf(text + used, size - (size_t)used, "%s", field->string);
	else
		log_format_number(field, text + used, size - (size_t)used);
}

static int log_write_journal(enum log_level level, const char *line, const struct log_field *fields)
{
	char texts[FIELDS_MAX][320];
	char message[LINE_SIZE + 16], priority[16];
	struct iovec vector[FIELDS_MAX + 3];
	int count = 0, written = 0;

	snprintf(message, sizeof(message), "MESSAGE=%s", line);
	snprintf(priority, sizeof(priority), "PRIORITY=%d", log_syslog_priority(level));
	vector[count++] = (struct iovec){ message, strlen(message) };
	vector[count++] = (struct iovec){ priority, strlen(priority) };
	vector[count++] = (struct iovec){ (char *)"SYSLOG_IDENTIFIER=weftd", strlen("SYSLOG_IDENTIFIER=weftd") };
	for (const struct log_field *field = fields; field->key && written < FIELDS_MAX; field++) {
		if (log_is_left_out(field))
			continue;
		log_journal_field(texts[written], sizeof(texts[written]), field);
		vector[count++] = (struct iovec){ texts[written], strlen(texts[written]) };
		written++;
	}
	return sd_journal_sendv(vector, count);
}
#else
static int log_write_journal(enum log_level level, const char *line, const struct log_field *fields)
{
	(void)level;
	(void)line;
	(void)fields;
	return -ENOSYS;
}
#endif

static void log_write_stderr(struct log_entry *line)
{
	line->text[line->used++] = '\n';
	/* There is no place to report that the log itself cannot be written. */
	if (write(STDERR_FILENO, line->text, line->used) < 0)
		return;
}

void log_setup(enum log_level level, enum log_format format, enum log_target target)
{
	atomic_store(&threshold, level);
	atomic_store(&line_format, format);
	atomic_store(&line_target, target);
}

bool log_enabled(enum log_level level)
{
	return level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	int saved = errno;
	struct log_entry line;
	enum log_target target = atomic_load(&line_target);

	log_compose(&line, atomic_load(&line_format), level, target == LOG_TO_STDERR, message, fields);
	if (target == LOG_TO_STDERR)
		log_write_stderr(&line);
	else if (log_write_journal(level, line.text, fields) < 0)
		syslog(LOG_DAEMON | log_syslog_priority(level), "%s", line.text);
	errno = saved;
}

bool log_limit_allows(struct log_limit *limit, uint64_t *suppressed)
{
	uint64_t now = clock_now_ms();

	if (!limit->started_ms || now - limit->started_ms >= limit->interval_ms) {
		limit->started_ms = now;
		limit->written = 0;
	}
	if (limit->written >= limit->burst) {
		limit->suppressed++;
		return false;
	}
	limit->written++;
	*suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}
