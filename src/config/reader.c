/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inih parses the file. Its lines come from a reader of ours, which counts them and leaves out those that inih would misread.
 * As distributions build it, inih gives a handler no line number, takes the rest of a line after the 199th byte for another
 * line, and an indented line for one more value of the key above it. It also accepts more than weftd.conf(5): `key: value', and
 * text behind the name of a section.
 *
 * inih reports only the first line that it does not understand. Here such a line is known by yielding no value.
 */
#include "config/loading.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <string.h>

enum { SECTIONS_SIZE = 160 };

#define CONFIG_SPACES  " \t\r\f\v"
#define CONFIG_NO_FORM "is neither `[section]' nor `key = value'"

struct config_reading {
	FILE *stream;
	struct loaded_config *loaded;
	struct config_mistakes *mistakes;
	unsigned line;            /* 1 and up, of the line read last */
	bool awaits_value;        /* inih has not handed over the value of that line yet */
	bool emptied[OPTION_MAX]; /* the list was given as empty, and no value may follow */
	char section[64];         /* an unknown section without any key so far, not reported yet; else empty */
	unsigned section_line;
};

enum config_line {
	CONFIG_LINE_END,   /* nothing is left */
	CONFIG_LINE_WHOLE, /* in the buffer */
	CONFIG_LINE_LONG,  /* cut: the rest was skipped */
	CONFIG_LINE_NUL,   /* has a NUL byte in it */
};

/* Reads one line of any length into TEXT, without its line feed. */
static enum config_line config_next_line(FILE *stream, char *text, size_t size)
{
	enum config_line state = CONFIG_LINE_WHOLE;
	size_t used = 0;
	int c = getc(stream);

	if (c == EOF)
		return CONFIG_LINE_END;
	for (; c != EOF && c != '\n'; c = getc(stream)) {
		if (c == '\0')
			state = CONFIG_LINE_NUL;
		else if (used + 1 < size)
			text[used++] = (char)c;
		else if (state == CONFIG_LINE_WHOLE && !isspace((unsigned char)c))
			state = CONFIG_LINE_LONG; /* blanks beyond the end are as good as none */
	}
	text[used] = '\0';
	return state;
}

static bool config_is_comment(const char *text)
{
	return *text == ';' || *text == '#';
}

/* Whether TEXT is empty or a comment that starts a line. */
static bool config_is_blank(const char *text)
{
	text += strspn(text, CONFIG_SPACES);
	return !*text || config_is_comment(text);
}

/* Whether the line says nothing. Of one that was cut only a comment is known to: blanks may hide an option behind them. */
static bool config_may_be_passed_over(const char *text, enum config_line state)
{
	if (!config_is_blank(text) || state == CONFIG_LINE_NUL)
		return false;
	return state == CONFIG_LINE_WHOLE || text[strspn(text, CONFIG_SPACES)];
}

/* The fault of a line, which must then not reach inih; NULL: none. */
static const char *config_line_fault(const char *text, enum config_line state)
{
	if (state == CONFIG_LINE_NUL)
		return "has a NUL byte in it";
	if (state == CONFIG_LINE_LONG)
		return "is too long; allowed: 199 bytes";
	if (isspace((unsigned char)*text))
		return "is indented: options start a line, and a list repeats its key";
	if (*text == '[') {
		const char *end = strchr(text, ']');

		if (!end)
			return "has no ']'";
		end += 1 + strspn(end + 1, " \t");
		if (config_is_comment(end) || !end[strspn(end, CONFIG_SPACES)])
			return NULL;
		return "has something behind the section's name";
	}

	size_t key_length = strcspn(text, "=:;");
	if (key_length == 0 || text[key_length] == ':' || text[key_length] == ';')
		return CONFIG_NO_FORM;
	return NULL;
}

static const char *config_allowed_sections(char text[static SECTIONS_SIZE])
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < option_count; i++) {
		if (i && strcmp(option_table[i].section, option_table[i - 1].section) == 0)
			continue;
		if (used < SECTIONS_SIZE)
			used += (size_t)snprintf(text + used, SECTIONS_SIZE - used, "%s%s", used ? ", " : "",
						 option_table[i].section);
	}
	return text;
}

/* inih reports sections by their keys alone, so an unknown one without any is reported here. */
static void config_end_section(struct config_reading *reading)
{
	char sections[SECTIONS_SIZE];

	if (*reading->section)
		config_mistakes_add(reading->mistakes, reading->section_line, "[%s]: no such section; allowed: %s",
				    reading->section, config_allowed_sections(sections));
	*reading->section = '\0';
}

static void config_begin_section(struct config_reading *reading, const char *header)
{
	char name[sizeof(reading->section)];

	config_end_section(reading);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(header + 1, "]"), header + 1);
	if (config_option_section_exists(name))
		return;
	snprintf(reading->section, sizeof(reading->section), "%s", *name ? name : " ");
	reading->section_line = reading->line;
}

/* inih is done with the line that it got last. */
static void config_end_line(struct config_reading *reading)
{
	if (reading->awaits_value)
		config_mistakes_add(reading->mistakes, reading->line, "the line " CONFIG_NO_FORM);
	reading->awaits_value = false;
}

/* ini_reader: like fgets(3), into TEXT of SIZE bytes; passes over lines that are refused. */
static char *config_read_line(char *text, int size, void *context)
{
	struct config_reading *reading = context;

	config_end_line(reading);
	for (;;) {
		enum config_line state = config_next_line(reading->stream, text, (size_t)size);
		const char *start = text, *fault;

		if (state == CONFIG_LINE_END)
			return NULL;
		reading->line++;
		if (reading->line == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0)
			start += 3; /* a byte order mark, which inih skips too */
		if (config_may_be_passed_over(start, state))
			return text;
		fault = config_line_fault(start, state);
		if (fault) {
			config_mistakes_add(reading->mistakes, reading->line, "the line %s", fault);
			if (reading->line > 1)
				continue;
			*text = '\0'; /* inih looks for a byte order mark in the first line that it gets */
			return text;
		}
		if (*start == '[')
			config_begin_section(reading, start);
		else
			reading->awaits_value = true;
		return text;
	}
}

static void config_set_option(struct config_reading *reading, const struct option *option, const char *value)
{
	size_t index = (size_t)(option - option_table);
	unsigned *line = &reading->loaded->lines[index];
	char why[OPTION_WHY_SIZE];

	if (*line && !config_option_is_list(option)) {
		snprintf(why, sizeof(why), "given twice, first on line %u", *line);
		config_mistakes_add_value(reading->mistakes, reading->line, option, value, why);
		return;
	}
	if (*line && (!*value || reading->emptied[index])) {
		config_mistakes_add_value(reading->mistakes, reading->line, option, value,
					  "a list is empty or has values");
		return;
	}
	if (!*line) {
		*line = reading->line;
		if (config_option_is_list(option))
			config_option_clear(option, &reading->loaded->config);
		reading->emptied[index] = !*value;
	}
	if (config_option_set(option, &reading->loaded->config, value, why) < 0) {
		config_mistakes_add_value(reading->mistakes, reading->line, option, value, why);
		reading->loaded->refused[index] = !config_option_is_list(option);
		return;
	}
	if (*why)
		config_warnings_add(reading->mistakes, reading->line, option, value, why);
	if (config_option_is_list(option) && reading->loaded->item_count < ITEMS_MAX) {
		reading->loaded->items[reading->loaded->item_count].option = (unsigned)index;
		reading->loaded->items[reading->loaded->item_count++].line = reading->line;
	}
}

/* Lists the keys of SECTION, so that a misspelt one is found at once. */
static void config_unknown_key(struct config_reading *reading, const char *section, const char *key, const char *value)
{
	char keys[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < option_count; i++) {
		if (strcmp(option_table[i].section, section) != 0 || used >= sizeof(keys))
			continue;
		used +=
		    (size_t)snprintf(keys + used, sizeof(keys) - used, "%s%s", used ? ", " : "", option_table[i].key);
	}
	config_mistakes_add(reading->mistakes, reading->line, "[%s] %s = %.40s: no such option; allowed: %s", section,
			    key, value, keys);
}

static void config_unknown_section(struct config_reading *reading, const char *section, const char *key,
				   const char *value)
{
	char sections[SECTIONS_SIZE];

	config_allowed_sections(sections);
	*reading->section = '\0';
	if (*section)
		config_mistakes_add(reading->mistakes, reading->line, "[%s] %s = %.40s: no such section; allowed: %s",
				    section, key, value, sections);
	else
		config_mistakes_add(reading->mistakes, reading->line, "%s = %.40s: before any section; allowed: %s",
				    key, value, sections);
}

/* ini_handler: always 1, because the mistakes are kept here. */
static int config_take_value(void *context, const char *section, const char *key, const char *value)
{
	struct config_reading *reading = context;
	const struct option *option = config_option_find(section, key);

	reading->awaits_value = false;
	if (option)
		config_set_option(reading, option, value);
	else if (config_option_section_exists(section))
		config_unknown_key(reading, section, key, value);
	else
		config_unknown_section(reading, section, key, value);
	return 1;
}

void config_read(FILE *stream, struct loaded_config *loaded, struct config_mistakes *mistakes)
{
	struct config_reading reading = { .stream = stream, .loaded = loaded, .mistakes = mistakes };

	errno = 0;
	int result = ini_parse_stream(config_read_line, &reading, config_take_value, &reading);
	config_end_line(&reading);
	config_end_section(&reading);
	if (ferror(stream))
		config_mistakes_add(mistakes, 0, "cannot be read: %s", strerror(errno));
	else if (result < 0)
		config_mistakes_add(mistakes, 0, "cannot be read: %s", strerror(ENOMEM));
	else if (result > 0 && !mistakes->count) /* a section that we let through and inih does not */
		config_mistakes_add(mistakes, (unsigned)result, "the line " CONFIG_NO_FORM);
}
