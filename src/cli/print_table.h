/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PRINT_TABLE_H
#define WEFT_CLI_PRINT_TABLE_H

/*
 * Aligned tables. On a terminal, important words are coloured, and a row wider than the screen is cut in its widest columns and
 * then loses its last ones, so that one row is one line. Elsewhere nothing is cut, for grep and awk.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum cell_style {
	CELL_PLAIN,
	CELL_GOOD, /* green: works */
	CELL_BAD,  /* red: broken */
	CELL_ODD,  /* yellow: deserves a look */
	CELL_DIM,  /* grey: shown for completeness */
};

/* The output that tables are written to. */
struct screen {
	FILE *out;
	bool colour;    /* a terminal, NO_COLOR is not set, TERM is not dumb */
	size_t columns; /* 0: unlimited */
};

/* The screen behind OUT, by isatty(3), TIOCGWINSZ and the environment. */
struct screen cli_screen_of(FILE *out);

/* Writes TEXT (cleaned) in STYLE, where SCREEN has colours. */
void cli_screen_print(const struct screen *screen, enum cell_style style, const char *text);

struct table;

/*
 * HEADINGS ends with NULL and must outlive the table; a heading that begins with '>' aligns its column to the right, and one with
 * '~' may be cut where the screen is too narrow. A table whose headings are all "" is written without them.
 */
struct table *cli_table_new(const char *const *headings);
void cli_table_free(struct table *table);

/* The next cell, from left to right and row by row. TEXT is copied and cleaned; NULL and "" read "-". */
void cli_table_add(struct table *table, enum cell_style style, const char *text);
void cli_table_addf(struct table *table, enum cell_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whole rows so far. */
size_t cli_table_rows(const struct table *table);

/* Writes at most ROWS of its rows (0: all). The table stays as it is. */
void cli_table_print(const struct table *table, const struct screen *screen, size_t rows);

#endif
