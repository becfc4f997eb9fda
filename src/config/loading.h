/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_LOADING_H
#define WEFT_CONFIG_LOADING_H

/*
 * Shared by the files of this room while a configuration is read.
 */

#include "config/config.h"
#include "config/option.h"

/* The most options; a test compares it with the table. */
enum { OPTION_MAX = 96, MISTAKES_MAX = 100, ITEMS_MAX = 256 };

/* Every struct config is the first member of one of these. */
struct loaded_config {
	struct config config;
	unsigned lines[OPTION_MAX]; /* the line of each option, by its place in the table; 0: not in the file */
	bool refused[OPTION_MAX];   /* the value was wrong, and CONFIG has the default; not for lists */
	struct {
		unsigned option, line;
	} items[ITEMS_MAX]; /* the values of all lists, in the order of the file; the lines of any more are not known */
	size_t item_count;
};

/*
 * Reads STREAM into LOADED, which has the defaults, and reports every mistake in lines, names and types. Relations between
 * values are checked by config_check().
 */
void config_read(FILE *stream, struct loaded_config *loaded, struct config_mistakes *mistakes);

/* Checks the values against each other. */
void config_check(const struct config *config, struct config_mistakes *mistakes);

/* Adds a mistake of LINE. Beyond MISTAKES_MAX the last entry says that there are more. */
void config_mistakes_add(struct config_mistakes *mistakes, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a warning "[section] key = VALUE: WHY" of a value that was taken. */
void config_warnings_add(struct config_mistakes *mistakes, unsigned line, const struct option *option,
			 const char *value, const char *why);

/* Adds "[section] key = VALUE: WHY; allowed: ..." for a value as it stands in the file. */
void config_mistakes_add_value(struct config_mistakes *mistakes, unsigned line, const struct option *option,
			       const char *value, const char *why);

#endif
