/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_VIEW_H
#define WEFT_CLI_VIEW_H

/*
 * The screen of `top`: a heading, the part of the table that is in sight, and a line of help; and what its keys do. Nothing is
 * read or written here but the stream that is drawn on.
 */

#include "cli/print_table.h"
#include "cli/rates.h"

#include <stdbool.h>
#include <stddef.h>

struct view {
	struct order order;
	char filter[65];   /* a part of the id, the name or the state of those in sight */
	bool typing, help; /* the filter is being typed; the list of keys is shown */
	size_t first;      /* row on top */
	size_t page;       /* rows in sight when it was drawn last */
};

/* The whole table of LOOK, whose rows are sorted. The caller frees it. */
struct table *cli_view_table(const struct rate_look *look);

/* The totals of LOOK in words. The caller frees. */
char *cli_view_totals(const struct rate_look *look);

/* Draws LOOK, whose rows are sorted, over the page before on SCREEN, LINES high. Keeps the view's first row within them. */
void cli_view_draw(struct view *view, const struct rate_look *look, const struct screen *screen, size_t lines);

/* Does what KEY (terminal.h) asks for. False: the user wants to end it. */
bool cli_view_take_key(struct view *view, int key);

#endif
