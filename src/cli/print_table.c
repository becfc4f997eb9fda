/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All cells are kept until the end, because the width of a column is known only then. Where a row does not fit, print_layout.c
 * decides which columns become narrower. A cell that is wider than its column is cut with an ellipsis if its column may be cut;
 * else it goes on in the next lines of its column. A word that is wider than its column and fits on the screen has a line of its
 * own, so that it can be copied.
 */
#include "cli/print_table.h"

#include "base/cleanup.h"
#include "base/vec.h"
#include "cli/print_layout.h"
#include "cli/print_text.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LEAST_CUT = 6, LEAST_WRAPPED = 16 };

struct cell {
	char *text;
	enum cell_style style;
};

enum column_kind {
	COLUMN_WHOLE,
	COLUMN_CUT,
	COLUMN_WRAPPED,
};

struct column {
	const char *heading; /* without its marks */
	enum column_kind kind;
	bool right;
};

struct table {
	struct column columns[LAYOUT_COLUMNS_MAX];
	bool headed;
	size_t count; /* columns */
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

void cli_screen_wrap(const struct screen *screen, enum cell_style style, const char *lead, const char *format, ...)
{
	size_t indent = cli_text_width(lead);
	va_list args;

	va_start(args, format);
	AUTO_FREE char *raw = cli_text_format(format, args);
	va_end(args);
	AUTO_FREE char *text = cli_text_clean(raw);
	/* On a screen that is hardly wider than the lead, the text is readable only if it wraps by itself. */
	size_t room = screen->columns > indent + LEAST_WRAPPED ? screen->columns - indent : SIZE_MAX;
	cli_screen_print(screen, style, lead);
	for (const char *at = text; *at;) {
		size_t next;
		fwrite(at, 1, cli_text_break(at, room, &next), screen->out);
		at += next;
		if (*at)
			fprintf(screen->out, "\n%*s", (int)indent, "");
	}
	fputc('\n', screen->out);
}

struct table *cli_table_new(const char *const *headings)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		abort();
	for (; headings[table->count]; table->count++) {
		struct column *column = &table->columns[table->count];
		const char *heading = headings[table->count];
		if (table->count == LAYOUT_COLUMNS_MAX)
			abort();
		for (; *heading && strchr(">~|", *heading); heading++) {
			column->right = column->right || *heading == '>';
			if (*heading != '>')
				column->kind = *heading == '~' ? COLUMN_CUT : COLUMN_WRAPPED;
		}
		column->heading = heading;
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
	va_list args;

	va_start(args, format);
	AUTO_FREE char *text = cli_text_format(format, args);
	va_end(args);
	cli_table_add(table, style, text);
}

size_t cli_table_rows(const struct table *table)
{
	return table->count ? table->cells.count / table->count : 0;
}

/* The bytes of the word that TEXT begins with. A list may be broken behind its commas. */
static size_t cli_table_word(const char *text)
{
	size_t length = strcspn(text, " ,");

	return length + (text[length] == ',');
}

static size_t cli_table_longest_word(const char *text)
{
	size_t longest = 0;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t bytes = cli_table_word(text), width = cli_text_width_of(text, bytes);
		longest = longest < width ? width : longest;
		text += bytes;
	}
	return longest;
}

/* The places of the columns. All rows count, shown or not, so that nothing jumps where a screen is scrolled. */
static void cli_table_measure(const struct table *table, const struct screen *screen, struct layout *layout)
{
	*layout = (struct layout){ .count = table->count };
	for (size_t c = 0; c < table->count; c++)
		layout->columns[c].width = cli_text_width(table->columns[c].heading);
	for (size_t i = 0; i < cli_table_rows(table) * table->count; i++) {
		size_t width = cli_text_width(table->cells.items[i].text);
		size_t *column = &layout->columns[i % table->count].width;
		if (width > *column)
			*column = width;
		if (table->columns[i % table->count].kind != COLUMN_WRAPPED)
			continue;
		size_t *word = &layout->columns[i % table->count].word;
		size_t longest = cli_table_longest_word(table->cells.items[i].text);
		*word = *word < longest ? longest : *word;
	}
	for (size_t c = 0; c < table->count; c++) {
		static const size_t least[] = {
			[COLUMN_WHOLE] = SIZE_MAX, [COLUMN_CUT] = LEAST_CUT, [COLUMN_WRAPPED] = LEAST_WRAPPED
		};
		struct layout_column *column = &layout->columns[c];
		size_t heading = cli_text_width(table->columns[c].heading);
		column->least = least[table->columns[c].kind];
		column->least = column->least < heading ? heading : column->least;
		column->least = column->least > column->width ? column->width : column->least;
	}
	cli_layout(layout, screen->columns);
}

/* A cell on its way to the screen, line by line. */
struct piece {
	const char *rest;
	enum cell_style style;
};

/*
 * The next line of PIECE in a column of KIND, WIDTH wide. *PADDING blanks are due before it and are written unless nothing
 * follows in this line; it gets those due behind it.
 */
static void cli_table_print_piece(const struct screen *screen, struct piece *piece, const struct column *column,
				  size_t width, size_t *padding)
{
	const char *mark = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? "\u2026" : "...";
	size_t mark_width = cli_text_width(mark), next = strlen(piece->rest);
	bool cut = column->kind == COLUMN_CUT && cli_text_width(piece->rest) > width && width > mark_width;
	size_t bytes = cut ? cli_text_fit(piece->rest, width - mark_width) : cli_text_break(piece->rest, width, &next);
	while (bytes && piece->rest[bytes - 1] == ' ')
		bytes--; /* nothing trails a line */
	size_t wide = cli_text_width_of(piece->rest, bytes) + (cut ? mark_width : 0);
	size_t left = wide < width ? width - wide : 0;

	if (bytes) {
		fprintf(screen->out, "%*s", (int)(*padding + (column->right ? left : 0)), "");
		cli_style_begin(screen, piece->style);
		fwrite(piece->rest, 1, bytes, screen->out);
		if (cut)
			fputs(mark, screen->out);
		cli_style_end(screen, piece->style);
		*padding = column->right ? 0 : left;
	} else {
		*padding += width;
	}
	piece->rest += next;
}

/* Whether PIECE, in a column WIDTH wide, begins with a word that fits on the screen alone. */
static bool cli_table_has_wide_word(const struct screen *screen, const struct piece *piece, const struct column *column,
				    size_t width)
{
	size_t word = cli_text_width_of(piece->rest, cli_table_word(piece->rest));

	return column->kind == COLUMN_WRAPPED && word > width && word <= screen->columns;
}

/* That word, in a line of its own, which is not ended. */
static void cli_table_print_wide_word(const struct screen *screen, struct piece *piece)
{
	size_t bytes = cli_table_word(piece->rest), width = cli_text_width_of(piece->rest, bytes);
	size_t room = screen->columns - width;

	fprintf(screen->out, "%*s", (int)(room < LAYOUT_INDENT ? room : LAYOUT_INDENT), "");
	cli_style_begin(screen, piece->style);
	fwrite(piece->rest, 1, bytes, screen->out);
	cli_style_end(screen, piece->style);
	piece->rest += bytes;
	piece->rest += strspn(piece->rest, " ");
}

/* One row, or the headings, each of whose bands takes as many lines as its longest cell. Returns how many that were. */
static size_t cli_table_print_row(const struct table *table, const struct layout *layout, const struct screen *screen,
				  struct piece *pieces)
{
	size_t lines = 0;

	for (size_t band = 0; band < layout->bands; band++) {
		bool more = true;
		for (; more; lines++) {
			size_t padding = band ? LAYOUT_INDENT : 0;
			bool begun = false;
			more = false;
			for (size_t c = layout->begins[band]; c < layout->begins[band + 1]; c++) {
				size_t width = layout->columns[c].width;
				bool last = c + 1 == layout->begins[band + 1];
				if (last && cli_table_has_wide_word(screen, &pieces[c], &table->columns[c], width)) {
					/* Below the others, which may have more lines. */
					if (!begun && !more)
						cli_table_print_wide_word(screen, &pieces[c]);
					more = more || begun || *pieces[c].rest;
					continue;
				}
				begun = begun || *pieces[c].rest;
				cli_table_print_piece(screen, &pieces[c], &table->columns[c], width, &padding);
				padding += LAYOUT_GAP;
				more = more || *pieces[c].rest;
			}
			fputc('\n', screen->out);
		}
	}
	return lines;
}

void cli_table_print(const struct table *table, const struct screen *screen)
{
	cli_table_print_part(table, screen, 0, SIZE_MAX);
}

size_t cli_table_room(const struct table *table, const struct screen *screen, size_t lines)
{
	struct layout layout;

	cli_table_measure(table, screen, &layout);
	size_t rows = lines / layout.bands;
	return table->headed && rows ? rows - 1 : rows;
}

size_t cli_table_print_part(const struct table *table, const struct screen *screen, size_t first, size_t lines)
{
	struct piece pieces[LAYOUT_COLUMNS_MAX];
	struct layout layout;
	size_t row = first, used = 0;

	cli_table_measure(table, screen, &layout);
	if (table->headed) {
		for (size_t c = 0; c < table->count; c++)
			pieces[c] = (struct piece){ table->columns[c].heading, CELL_DIM };
		used += cli_table_print_row(table, &layout, screen, pieces);
	}
	for (; row < cli_table_rows(table) && used + layout.bands <= lines; row++) {
		for (size_t c = 0; c < table->count; c++) {
			const struct cell *cell = &table->cells.items[row * table->count + c];
			pieces[c] = (struct piece){ cell->text, cell->style };
		}
		used += cli_table_print_row(table, &layout, screen, pieces);
	}
	return row - first;
}
