/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cleaning does not depend on the caller's locale. Widths do, because only the locale knows how the terminal treats wide
 * characters.
 */
#include "cli/print_text.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

char *cli_text_format(const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0)
		abort();
	return text;
}

FILE *cli_text_open(struct base_text *text)
{
	FILE *out = base_text_open(text);

	if (!out)
		abort();
	return out;
}

char *cli_text_close(struct base_text *text, FILE *out)
{
	size_t length;
	char *whole = base_text_close(text, out, &length);

	if (!whole)
		abort();
	return whole;
}

/* Control characters of both sets, and those that change the direction of writing. */
static bool cli_text_is_unprintable(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
	       (character >= 0x200e && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
	       (character >= 0x2066 && character <= 0x2069);
}

static void cli_text_clean_into(FILE *out, const char *text, const char *allowed)
{
	for (const char *at = text; *at;) {
		uint32_t character;
		size_t length = utf8_decode(at, &character);
		if (!length)
			fputc('?', out);
		else if (cli_text_is_unprintable(character) && !(length == 1 && strchr(allowed, *at)))
			fprintf(out, "\\x%02" PRIx32, character);
		else
			fwrite(at, 1, length, out);
		at += length ? length : 1;
	}
}

char *cli_text_clean(const char *text)
{
	struct base_text cleaned;
	FILE *out = cli_text_open(&cleaned);

	cli_text_clean_into(out, text, "");
	return cli_text_close(&cleaned, out);
}

/* Walks TEXT up to COLUMNS wide; *WIDTH gets how wide that is. Returns its bytes. */
static size_t cli_text_measure(const char *text, size_t columns, size_t *width)
{
	size_t used = 0;

	*width = 0;
	while (text[used]) {
		uint32_t character;
		size_t length = utf8_decode(text + used, &character);
		int takes = length ? wcwidth((wchar_t)character) : 1;
		/* A locale without the character answers -1; the terminal still shows something for it. */
		size_t wide = takes < 0 ? 1 : (size_t)takes;
		if (*width + wide > columns)
			break;
		*width += wide;
		used += length ? length : 1;
	}
	return used;
}

size_t cli_text_width(const char *text)
{
	size_t width;

	cli_text_measure(text, SIZE_MAX, &width);
	return width;
}

size_t cli_text_width_of(const char *text, size_t bytes)
{
	AUTO_FREE char *part = strndup(text, bytes);

	if (!part)
		abort();
	return cli_text_width(part);
}

size_t cli_text_fit(const char *text, size_t columns)
{
	size_t width;

	return cli_text_measure(text, columns, &width);
}

size_t cli_text_break(const char *text, size_t columns, size_t *next)
{
	size_t fit = cli_text_fit(text, columns), end;
	uint32_t character;

	*next = fit;
	if (!text[fit])
		return fit;
	if (!fit) {
		size_t length = utf8_decode(text, &character);
		return *next = length ? length : 1;
	}
	/* Behind the last blank or comma; the blanks at the break are not shown. */
	for (end = fit; end && text[end] != ' '; end--)
		if (end < fit && text[end] == ',') {
			*next = end + 1;
			return end + 1;
		}
	if (strspn(text, " ") >= end)
		return fit; /* one long word */
	*next = end + strspn(text + end, " ");
	while (end && text[end - 1] == ' ')
		end--;
	return end;
}

char *cli_text_bytes(double bytes, char text[static TEXT_NUMBER_SIZE])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t unit = 0;

	while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, TEXT_NUMBER_SIZE, unit && bytes < 9.95 ? "%.1f%s" : "%.0f%s", bytes, units[unit]);
	return text;
}

char *cli_text_duration(uint64_t ms, char text[static TEXT_NUMBER_SIZE])
{
	uint64_t seconds = ms / 1000;

	if (ms < 1000)
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 "ms", ms);
	else if (seconds < 10)
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 ".%" PRIu64 "s", seconds, ms % 1000 / 100);
	else if (seconds < 60)
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 "s", seconds);
	else if (seconds < 3600)
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400, seconds / 3600 % 24);
	return text;
}

char *cli_text_since(const char *rfc3339, int64_t now_ms, char text[static TEXT_NUMBER_SIZE])
{
	int64_t then;

	if (!rfc3339) {
		snprintf(text, TEXT_NUMBER_SIZE, "-");
		return text;
	}
	if (clock_parse(rfc3339, &then) < 0) {
		snprintf(text, TEXT_NUMBER_SIZE, "%s", rfc3339);
		return text;
	}
	/* The daemon reports whole seconds, so "0s" claims no precision that is not there. */
	uint64_t ago = now_ms > then ? (uint64_t)(now_ms - then) : 0;
	if (ago < 10000) {
		snprintf(text, TEXT_NUMBER_SIZE, "%" PRIu64 "s", ago / 1000);
		return text;
	}
	return cli_text_duration(ago, text);
}

void cli_text_print(FILE *out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	AUTO_FREE char *raw = cli_text_format(format, args);
	va_end(args);
	cli_text_clean_into(out, raw, "\n");
}
