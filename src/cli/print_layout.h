/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PRINT_LAYOUT_H
#define WEFT_CLI_PRINT_LAYOUT_H

/*
 * Where the columns of a table are on a screen. Pure arithmetic: widths in, places out.
 */

#include <stddef.h>

enum { LAYOUT_COLUMNS_MAX = 24, LAYOUT_GAP = 2, LAYOUT_INDENT = 4 };

struct layout_column {
	size_t width; /* of its widest cell, its heading among them; in: wanted, out: granted, at least 1 */
	size_t least; /* it does not become narrower than this, but for a screen that is narrower still */
	size_t word;  /* its longest word, which it keeps whole if the others leave room for it; 0: none */
};

struct layout {
	struct layout_column columns[LAYOUT_COLUMNS_MAX];
	size_t count;
	size_t bands;                          /* lines that one row takes, if none of its cells wraps; at least 1 */
	size_t begins[LAYOUT_COLUMNS_MAX + 1]; /* the first column of each band; COUNT behind the last one */
};

/*
 * Grants widths to the COUNT columns of LAYOUT, on a screen of SCREEN_COLUMNS (0: as wide as needed). Every column has a place:
 * if not even the least widths fit in one line, a row is folded into bands, of which all but the first are indented.
 */
void cli_layout(struct layout *layout, size_t screen_columns);

#endif
