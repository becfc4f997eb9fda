/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * First all columns in one line: the widest one gives one character after the other until the line fits. Where no column can
 * shrink any further, each line takes as many columns as fit with the widths that they want, so that folding cuts nothing but a
 * column that is wider than the screen by itself.
 */
#include "cli/print_layout.h"

#include "base/assert.h"

/* The least width of all columns in one line. */
static size_t cli_layout_least(const struct layout *layout)
{
	size_t total = LAYOUT_GAP * (layout->count - 1);

	for (size_t c = 0; c < layout->count; c++)
		total += layout->columns[c].least;
	return total;
}

/* Makes room for whole words, where all columns still fit into ROOM. */
static void cli_layout_keep_words(struct layout *layout, size_t room)
{
	size_t total = cli_layout_least(layout);

	for (struct layout_column *column = layout->columns; column < layout->columns + layout->count; column++) {
		size_t more = column->word > column->least ? column->word - column->least : 0;
		if (total + more <= room) {
			column->least += more;
			total += more;
		}
	}
}

/* Narrows the columns until they fit into ROOM, which their least widths do. */
static void cli_layout_shrink(struct layout *layout, size_t room)
{
	size_t total = LAYOUT_GAP * (layout->count - 1);

	for (size_t c = 0; c < layout->count; c++)
		total += layout->columns[c].width;
	for (; total > room; total--) {
		struct layout_column *widest = layout->columns;
		for (struct layout_column *column = layout->columns; column < layout->columns + layout->count; column++)
			if (column->width > column->least &&
			    (widest->width <= widest->least || column->width > widest->width))
				widest = column;
		base_assert(widest->width > widest->least);
		widest->width--;
	}
}

/* Deals the columns to as many bands as they need. */
static void cli_layout_fold(struct layout *layout, size_t screen_columns)
{
	size_t used = 0;

	layout->bands = 0;
	for (size_t c = 0; c < layout->count; c++) {
		size_t *width = &layout->columns[c].width;
		if (!c || used + LAYOUT_GAP + *width > screen_columns) {
			size_t indent = c ? LAYOUT_INDENT : 0;
			size_t room = screen_columns > indent ? screen_columns - indent : 1;
			layout->begins[layout->bands++] = c;
			*width = *width > room ? room : *width;
			used = indent + *width;
		} else {
			used += LAYOUT_GAP + *width;
		}
	}
	layout->begins[layout->bands] = layout->count;
}

void cli_layout(struct layout *layout, size_t screen_columns)
{
	base_assert(layout->count && layout->count <= LAYOUT_COLUMNS_MAX);
	layout->bands = 1;
	layout->begins[0] = 0;
	layout->begins[1] = layout->count;
	if (screen_columns && cli_layout_least(layout) > screen_columns)
		cli_layout_fold(layout, screen_columns);
	else if (screen_columns) {
		cli_layout_keep_words(layout, screen_columns);
		cli_layout_shrink(layout, screen_columns);
	}
}
