/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All cells are kept until the end, because the width of a column is known only then. When a row does not fit, the widest of
 * the columns that may be cut gives one character after the other until it does, and a cut cell ends with a mark. Where even
 * that is too wide, the last columns are left out.
 */
#include "cli/print_table.h"

#include "base/cleanup.h"
#include "base/vec.h"
#include "cli/print_text.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { GAP = 2, NARROWEST = 6, COLUMNS_MAX = 16 };

struct cell {
	char *text;
	enum cell_style style;
};

struct table {
	const char *headings[COLUMNS_MAX]; /* without their marks */
	bool right[COLUMNS_MAX], cuttable[COLUMNS_MAX];
	bool headed;
	size_t columns;
	struct {
		VEC_OF(struct cell);
	} cells; /* from left to right, row by row */
};

static const char *const escapes[] = {
	[CELL_PLAIN] = "",       [CELL_GOOD] = "\033[32m", [CELL_BAD] = "\033[31;1m",
	[CELL_ODD] = "\033[33m", [CELL_DIM] = "\033[90m",
};

struct screen cli_screen_of(FILE *out)
{
	struct screen screen = { .out = out };
	struct winsize size;
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	int fd = fileno(out);

	if (fd < 0 || !isatty(fd))
		return screen;
	screen.colour = !(no_colour && *no_colour) && term && *term && strcmp(term, "dumb") != 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0)
		screen.columns = size.ws_col;
	return screen;
}

static void cli_style_begin(const struct screen *screen, enum cell_style style)
{
	if (screen->colour)
		fputs(escapes[style], screen->out);
}

static void cli_style_end(const struct screen *screen, enum cell_style style)
{
	if (screen->colour && style != CELL_PLAIN)
		fputs("\033[0m", screen->out);
}

void cli_screen_print(const struct screen *screen, enum cell_style style, const char *text)
{
	cli_style_begin(screen, style);
	cli_text_print(screen->out, "%s", text);
	cli_style_end(screen, style);
}

struct table *cli_table_new(const char *const *headings)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		abort();
	for (; headings[table->columns]; table->columns++) {
		const char *heading = headings[table->columns];
		if (table->columns == COLUMNS_MAX)
			abort();
		for (; *heading == '>' || *heading == '~'; heading++) {
			if (*heading == '>')
				table->right[table->columns] = true;
			else
				table->cuttable[table->columns] = true;
		}
		table->headings[table->columns] = heading;
		table->headed = table->headed || *heading;
	}
	return table;
}

void cli_table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->cells.count; i++)
		free(table->cells.items[i].text);
	vec_free(&table->cells);
	free(table);
}

void cli_table_add(struct table *table, enum cell_style style, const char *text)
{
	struct cell *cell = vec_push(&table->cells);

	if (!cell)
		abort();
	*cell = (struct cell){ cli_text_clean(text && *text ? text : "-"), style };
}

void cli_table_addf(struct table *table, enum cell_style style, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		abort();
	cli_table_add(table, style, text);
}

size_t cli_table_rows(const struct table *table)
{
	return table->cells.count / table->columns;
}

/*
 * Narrows the widest column that may be cut, one character at a time, until the row fits or no column can shrink. Returns how
 * many columns have room then; the first one always has.
 */
static size_t cli_table_narrow(const struct table *table, size_t widths[], size_t screen_columns)
{
	size_t total = GAP * (table->columns - 1);

	for (size_t c = 0; c < table->columns; c++)
		total += widths[c];
	while (total > screen_columns) {
		size_t widest = table->columns;
		for (size_t c = 0; c < table->columns; c++) {
			if (table->cuttable[c] && widths[c] > NARROWEST &&
			    (widest == table->columns || widths[c] > widths[widest]))
				widest = c;
		}
		if (widest == table->columns)
			break;
		widths[widest]--;
		total--;
	}
	size_t fit = table->columns;
	for (; fit > 1 && total > screen_columns; fit--)
		total -= widths[fit - 1] + GAP;
	return fit;
}

/* The widths of the columns. Returns how many of them are shown. */
static size_t cli_table_measure(const struct table *table, size_t widths[], const struct screen *screen, size_t rows)
{
	for (size_t c = 0; c < table->columns; c++)
		widths[c] = cli_text_width(table->headings[c]);
	for (size_t i = 0; i < rows * table->columns; i++) {
		size_t width = cli_text_width(table->cells.items[i].text);
		size_t *column = &widths[i % table->columns];
		if (width > *column)
			*column = width;
	}
	return screen->columns ? cli_table_narrow(table, widths, screen->columns) : table->columns;
}

/* One cell in its column; nothing is padded behind the last one of a row. */
static void cli_table_print_cell(const struct screen *screen, const char *text, enum cell_style style, size_t width,
				 bool right, bool last)
{
	const char *mark = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? "\u2026" : "~";
	size_t wide = cli_text_width(text);
	bool cut = wide > width;
	size_t bytes = cut ? cli_text_fit(text, width - 1) : strlen(text);
	int padding = cut ? 0 : (int)(width - wide);

	if (right)
		fprintf(screen->out, "%*s", padding, "");
	cli_style_begin(screen, style);
	fwrite(text, 1, bytes, screen->out);
	if (cut)
		fputs(mark, screen->out);
	cli_style_end(screen, style);
	if (last)
		fputc('\n', screen->out);
	else
		fprintf(screen->out, "%*s", GAP + (right ? 0 : padding), "");
}

void cli_table_print(const struct table *table, const struct screen *screen, size_t rows)
{
	size_t widths[COLUMNS_MAX];

	if (!rows || rows > cli_table_rows(table))
		rows = cli_table_rows(table);
	size_t columns = cli_table_measure(table, widths, screen, rows);

	for (size_t c = 0; table->headed && c < columns; c++)
		cli_table_print_cell(screen, table->headings[c], CELL_DIM, widths[c], table->right[c],
				     c + 1 == columns);
	for (size_t row = 0; row < rows; row++) {
		const struct cell *cells = table->cells.items + row * table->columns;
		for (size_t c = 0; c < columns; c++)
			cli_table_print_cell(screen, cells[c].text, cells[c].style, widths[c], table->right[c],
					     c + 1 == columns);
	}
}
