/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PRINT_TABLE_H
#define WEFT_CLI_PRINT_TABLE_H

/*
 * Aligned tables. On a terminal, important words are coloured, and no line is wider than the screen: long cells are cut or go on
 * in the next line, and where even that does not help, the last columns of a row stand below its first ones. No column is left
 * out. Elsewhere a row is one line and nothing is cut, for grep and awk.
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

/*
 * A paragraph, printf()ed and cleaned: LEAD in STYLE, then the text, which goes on below itself where the screen ends. Writes the
 * newline at its end too.
 */
void cli_screen_wrap(const struct screen *screen, enum cell_style style, const char *lead, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

struct table;

/*
 * HEADINGS ends with NULL and must outlive the table. Marks may stand before a heading: '>' aligns the column to the right. Where
 * the screen is too narrow, cells of a column with '~' are cut with an ellipsis, and those with '|' are wrapped; others stay whole,
 * so ids and numbers have no mark. A table whose headings are all "" is written without them.
 */
struct table *cli_table_new(const char *const *headings);
void cli_table_free(struct table *table);

/* The next cell, from left to right and row by row. TEXT is copied and cleaned; NULL and "" read "-". */
void cli_table_add(struct table *table, enum cell_style style, const char *text);
void cli_table_addf(struct table *table, enum cell_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whole rows so far. */
size_t cli_table_rows(const struct table *table);

/* Writes all of it. */
void cli_table_print(const struct table *table, const struct screen *screen);

/* How many rows fit into LINES lines below the headings, if no cell wraps. */
size_t cli_table_room(const struct table *table, const struct screen *screen, size_t lines);

/* The headings and as many rows from FIRST on as fit into LINES lines, if no cell wraps. Returns how many rows were written. */
size_t cli_table_print_part(const struct table *table, const struct screen *screen, size_t first, size_t lines);

#endif
