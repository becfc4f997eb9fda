/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line is put together in the caller's buffer without locks, memory or stdio, so that a signal handler can do it as well. For
 * stderr the bytes are the text and a newline. For the journal they are a datagram of its native protocol, which has the text as
 * MESSAGE= and each field once more; <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.
 */
#include "base/log_line.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <string.h>
#include <syslog.h>

enum { NUMBER_SIZE = 24, KEY_SIZE = 64, TEXT_RESERVE = 16 /* for the end of the line */ };

#define JOURNAL_TEXT "MESSAGE="

static _Atomic enum log_format line_format = LOG_TEXT_FORMAT;
static _Atomic enum log_target line_target = LOG_TO_STDERR;

void log_line_set_shape(enum log_format format, enum log_target target)
{
	atomic_store(&line_format, format);
	atomic_store(&line_target, target);
}

enum log_target log_line_target(void)
{
	return atomic_load(&line_target);
}

static const char *log_line_level_name(enum log_level level)
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

int log_line_priority(enum log_level level)
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

/* ---- The text ---- */

static void log_line_put(struct log_line *line, const char *bytes, size_t count)
{
	if (line->cut || count > LOG_TEXT_MAX - TEXT_RESERVE - (line->size - line->start)) {
		line->cut = true;
		return;
	}
	memcpy(line->bytes + line->size, bytes, count);
	line->size += count;
}

static void log_line_put_text(struct log_line *line, const char *text)
{
	log_line_put(line, text, strlen(text));
}

static void log_line_put_control(struct log_line *line, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	log_line_put(line, (const char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
}

/* A JSON string (RFC 8259). Text lines quote by it too, so that no byte from outside ends a line or a value. */
static void log_line_put_quoted(struct log_line *line, const char *text)
{
	log_line_put(line, "\"", 1);
	for (const unsigned char *c = (const unsigned char *)text; *c;) {
		size_t length = utf8_decode((const char *)c, NULL);

		if (length == 0) {
			log_line_put_text(line, "\\ufffd");
			length = 1;
		} else if (*c == '"' || *c == '\\') {
			log_line_put(line, (const char[]){ '\\', (char)*c }, 2);
		} else if (*c < 0x20 || *c == 0x7f) {
			log_line_put_control(line, *c);
		} else {
			log_line_put(line, (const char *)c, length);
		}
		c += length;
	}
	log_line_put(line, "\"", 1);
}

static bool log_line_is_plain(const char *text)
{
	if (!*text)
		return false;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c <= 0x20 || *c >= 0x7f || *c == '"' || *c == '=' || *c == '\\')
			return false;
	return true;
}

/* Returns the place of its first digit within TEXT. */
static const char *log_line_format_number(const struct log_field *field, char text[static NUMBER_SIZE])
{
	bool negative = field->type == LOG_FIELD_INT && field->integer < 0;
	uint64_t rest = negative ? -(uint64_t)field->integer : field->natural;
	char *digit = text + NUMBER_SIZE - 1;

	*digit = '\0';
	do
		*--digit = (char)('0' + rest % 10);
	while (rest /= 10);
	if (negative)
		*--digit = '-';
	return digit;
}

/* The value as text, in NUMBER or elsewhere; NULL: the field is left out. */
static const char *log_line_value(const struct log_field *field, char number[static NUMBER_SIZE])
{
	if (field->type == LOG_FIELD_STRING)
		return field->string;
	if (field->type == LOG_FIELD_SOME && !field->natural)
		return NULL;
	return log_line_format_number(field, number);
}

static void log_line_put_field(struct log_line *line, enum log_format format, const char *key, const char *value,
			       bool number)
{
	size_t before = line->size;

	if (format == LOG_JSON_FORMAT) {
		log_line_put_text(line, line->size - line->start > 1 ? "," : "");
		log_line_put_quoted(line, key);
		log_line_put(line, ":", 1);
	} else {
		log_line_put_text(line, line->size > line->start ? " " : "");
		log_line_put_text(line, key);
		log_line_put(line, "=", 1);
	}
	if (number || (format == LOG_TEXT_FORMAT && log_line_is_plain(value)))
		log_line_put_text(line, value);
	else
		log_line_put_quoted(line, value);
	if (line->cut)
		line->size = before;
}

static void log_line_put_fields(struct log_line *line, enum log_format format, const struct log_field *fields)
{
	for (const struct log_field *field = fields; field->key && !line->cut; field++) {
		char number[NUMBER_SIZE];
		const char *value = log_line_value(field, number);

		if (value)
			log_line_put_field(line, format, field->key, value, field->type != LOG_FIELD_STRING);
	}
}

static void log_line_end_text(struct log_line *line, enum log_format format)
{
	if (line->cut) {
		const char *mark = format == LOG_JSON_FORMAT ? ",\"cut\":1" : " cut=1";
		memcpy(line->bytes + line->size, mark, strlen(mark));
		line->size += strlen(mark);
	}
	if (format == LOG_JSON_FORMAT)
		line->bytes[line->size++] = '}';
	line->text_end = line->size;
	line->bytes[line->size++] = '\n';
}

static void log_line_compose_text(struct log_line *line, const char *message, const struct log_field *fields)
{
	enum log_format format = atomic_load(&line_format);
	char time[CLOCK_TEXT_SIZE];

	if (format == LOG_JSON_FORMAT)
		log_line_put(line, "{", 1);
	/* The journal has its own. */
	if (line->target == LOG_TO_STDERR)
		log_line_put_field(line, format, "time", clock_format_ms(line->time_ms, time), false);
	log_line_put_field(line, format, "level", log_line_level_name(line->level), false);
	log_line_put_field(line, format, "msg", message, false);
	log_line_put_fields(line, format, fields);
	log_line_end_text(line, format);
}

/* ---- The journal's record ---- */

static bool log_line_put_record(struct log_line *line, const char *bytes, size_t count)
{
	if (count > LOG_RECORD_MAX - line->size)
		return false;
	memcpy(line->bytes + line->size, bytes, count);
	line->size += count;
	return true;
}

/* A value with newlines comes after its length, 64 bits, little endian. */
static bool log_line_put_length(struct log_line *line, uint64_t length)
{
	char bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(length >> 8 * i);
	return log_line_put_record(line, "\n", 1) && log_line_put_record(line, bytes, sizeof(bytes));
}

void log_line_add_journal(struct log_line *line, const char *key, const char *value)
{
	size_t before = line->size;
	size_t length = strlen(value);

	if (!log_line_put_record(line, key, strlen(key)) ||
	    !(strchr(value, '\n') ? log_line_put_length(line, length) : log_line_put_record(line, "=", 1)) ||
	    !log_line_put_record(line, value, length) || !log_line_put_record(line, "\n", 1))
		line->size = before;
}

/* The journal's field names are upper case and ours carry a prefix: WEFT_SANDBOX=a1, systemd.journal-fields(7). */
static const char *log_line_journal_key(const char *key, char name[static KEY_SIZE])
{
	static const char prefix[] = "WEFT_";
	size_t used = sizeof(prefix) - 1;

	memcpy(name, prefix, used);
	for (; *key && used < KEY_SIZE - 1; key++) {
		name[used] = *key;
		if (*key >= 'a' && *key <= 'z')
			name[used] = (char)(*key - 'a' + 'A');
		used++;
	}
	name[used] = '\0';
	return name;
}

static void log_line_add_fields(struct log_line *line, const struct log_field *fields)
{
	char priority[] = { (char)('0' + log_line_priority(line->level)), '\0' };

	log_line_add_journal(line, "PRIORITY", priority);
	log_line_add_journal(line, "SYSLOG_IDENTIFIER", "weftd");
	for (const struct log_field *field = fields; field->key; field++) {
		char number[NUMBER_SIZE], key[KEY_SIZE];
		const char *value = log_line_value(field, number);

		if (value)
			log_line_add_journal(line, log_line_journal_key(field->key, key), value);
	}
}

void log_line_compose(struct log_line *line, enum log_level level, const char *message, const struct log_field *fields)
{
	line->level = level;
	line->target = log_line_target();
	line->time_ms = clock_wall_ms();
	line->cut = false;
	line->start = line->size = 0;
	if (line->target == LOG_TO_JOURNAL) {
		line->start = line->size = strlen(JOURNAL_TEXT);
		memcpy(line->bytes, JOURNAL_TEXT, line->size);
	}
	log_line_compose_text(line, message, fields);
	if (line->target == LOG_TO_JOURNAL)
		log_line_add_fields(line, fields);
}
