/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Collects the mistakes of one file, so that all are reported at once. A file of mistakes alone must not fill memory, nor send
 * control characters to a terminal; hence the limit and the replacement.
 */
#include "base/cleanup.h"
#include "base/vec.h"
#include "config/loading.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_TOLD = 60 };

static struct config_mistake *config_next_mistake(struct config_mistakes *mistakes)
{
	return mistakes->count < MISTAKES_MAX ? vec_push(mistakes) : NULL;
}

static void config_hide_control_characters(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

static void config_mistake_add_formatted(struct config_mistakes *mistakes, unsigned line, const char *format,
					 va_list args)
{
	struct config_mistake *mistake = config_next_mistake(mistakes);

	if (!mistake) {
		if (mistakes->count)
			snprintf(mistakes->items[mistakes->count - 1].text,
				 sizeof(mistakes->items[mistakes->count - 1].text), "and more mistakes, not told");
		return;
	}
	mistake->line = line;
	vsnprintf(mistake->text, sizeof(mistake->text), format, args);
	config_hide_control_characters(mistake->text);
}

void config_mistakes_add(struct config_mistakes *mistakes, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	config_mistake_add_formatted(mistakes, line, format, args);
	va_end(args);
}

void config_mistakes_add_value(struct config_mistakes *mistakes, unsigned line, const struct option *option,
			       const char *value, const char *why)
{
	char allowed[OPTION_ALLOWED_SIZE];

	config_mistakes_add(mistakes, line, "[%s] %s = %.*s%s: %s; allowed: %s", option->section, option->key,
			    VALUE_TOLD, value, strlen(value) > VALUE_TOLD ? "..." : "", why,
			    config_option_allowed(option, allowed));
}

void config_warnings_add(struct config_mistakes *mistakes, unsigned line, const struct option *option,
			 const char *value, const char *why)
{
	struct config_mistake *warning = mistakes->warnings.count < MISTAKES_MAX ? vec_push(&mistakes->warnings) : NULL;

	if (!warning)
		return;
	warning->line = line;
	snprintf(warning->text, sizeof(warning->text), "[%s] %s = %.*s: %s", option->section, option->key, VALUE_TOLD,
		 value, why);
	config_hide_control_characters(warning->text);
}

void config_mistake_add(struct config_mistakes *mistakes, const struct config *config, const char *section,
			const char *key, const char *format, ...)
{
	const struct loaded_config *loaded = (const struct loaded_config *)config;
	const struct option *option = config_option_find(section, key);
	AUTO_FREE char *value = option ? config_option_print(option, config) : NULL;
	unsigned line = option ? loaded->lines[option - option_table] : 0;
	char why[256];
	va_list args;

	if (option && loaded->refused[option - option_table])
		return;
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	config_mistakes_add(mistakes, line, "[%s] %s = %.*s%s: %s", section, key, VALUE_TOLD, value ? value : "",
			    value && strlen(value) > VALUE_TOLD ? "..." : "", why);
}

/* The line of the value at INDEX of a list; that of its first if it is not known, 0 if the list is not in the file. */
static unsigned config_item_line(const struct loaded_config *loaded, const struct option *option, size_t index)
{
	for (size_t i = 0; i < loaded->item_count; i++)
		if (loaded->items[i].option == option - option_table && index-- == 0)
			return loaded->items[i].line;
	return loaded->lines[option - option_table];
}

void config_mistake_add_item(struct config_mistakes *mistakes, const struct config *config, const char *section,
			     const char *key, size_t index, const char *value, const char *format, ...)
{
	const struct option *option = config_option_find(section, key);
	unsigned line = option ? config_item_line((const struct loaded_config *)config, option, index) : 0;
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	config_mistakes_add(mistakes, line, "[%s] %s = %s: %s", section, key, value, why);
}

void config_mistake_format(const struct config_mistakes *mistakes, const struct config_mistake *mistake, char *text,
			   size_t size)
{
	const char *file = mistakes->file ? mistakes->file : "defaults";

	if (mistake->line)
		snprintf(text, size, "%s:%u: %s", file, mistake->line, mistake->text);
	else
		snprintf(text, size, "%s: %s", file, mistake->text);
}

void config_mistakes_clear(struct config_mistakes *mistakes)
{
	free(mistakes->file);
	vec_free(&mistakes->warnings);
	vec_free(mistakes);
	*mistakes = (struct config_mistakes){ 0 };
}
