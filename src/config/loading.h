/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_LOADING_H
#define WEFT_CONFIG_LOADING_H

/*
 * What the files of this room share while a configuration is read.
 */

#include "config/config.h"
#include "config/option.h"

/* No file has more options than this; the table is held to it by a static test. */
enum { OPTION_MAX = 64, MISTAKES_MAX = 100, ITEMS_MAX = 256 };

/* What is behind every struct config: others see its first member alone. */
struct loaded_config {
	struct config config;
	unsigned lines[OPTION_MAX]; /* where the option stands in the file, by its place in the table; 0: nowhere */
	bool refused[OPTION_MAX];   /* its value is wrong, and what CONFIG has is the default; not of lists */
	struct {
		unsigned option, line;
	} items
	    [ITEMS_MAX]; /* the values of all lists, in the order of the file; of more than these, no lines are known */
	size_t item_count;
};

/*
 * Reads STREAM into LOADED, which has the defaults, and reports every mistake of form: lines, names, types. Relations between
 * values are config_check()'s.
 */
void config_read(FILE *stream, struct loaded_config *loaded, struct config_mistakes *mistakes);

/* Checks the values against each other. */
void config_check(const struct config *config, struct config_mistakes *mistakes);

/* Adds a mistake of LINE. Beyond MISTAKES_MAX the last entry says that there are more. */
void config_mistakes_add(struct config_mistakes *mistakes, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds "[section] key = VALUE: WHY; allowed: ..." for a value as it stands in the file. */
void config_mistakes_add_value(struct config_mistakes *mistakes, unsigned line, const struct option *option,
			       const char *value, const char *why);

#endif
