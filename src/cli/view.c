/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page is made in memory and then written over the one before, line by line, so that nothing flickers. The heading and the help
 * are tables of one cell, which are cut where the screen ends.
 */
#include "cli/view.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"
#include "cli/terminal.h"
#include "client/ask.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A number of packets; below 10 a tenth counts. */
static void cli_view_add_packets(struct table *table, double rate)
{
	cli_table_addf(table, rate > 0 ? CELL_ODD : CELL_PLAIN, rate > 0 && rate < 9.95 ? "%.1f" : "%.0f", rate);
}

static void cli_view_add_rates(struct table *table, const struct rate_row *row)
{
	char text[TEXT_NUMBER_SIZE];

	if (!row->rated) {
		for (size_t i = 0; i < 3; i++)
			cli_table_add(table, CELL_PLAIN, NULL);
		return;
	}
	cli_table_add(table, CELL_PLAIN, cli_text_bytes(row->to_guest, text));
	cli_table_add(table, CELL_PLAIN, cli_text_bytes(row->from_guest, text));
	cli_view_add_packets(table, row->drops);
}

/* The table of those of COUNT ROWS that FILTER lets through. */
static struct table *cli_view_table_of(const struct rate_row *rows, size_t count, bool named)
{
	static const char *const with_names[] = { "SANDBOX", "~NAME", ">SLOT",   "STATE",    ">CONN",
						  ">HELD",   ">TO/s", ">FROM/s", ">DROPS/s", NULL };
	static const char *const without[] = { "SANDBOX", ">SLOT",   "STATE",    ">CONN", ">HELD",
					       ">TO/s",   ">FROM/s", ">DROPS/s", NULL };
	struct table *table = cli_table_new(named ? with_names : without);

	for (const struct rate_row *row = rows; row < rows + count; row++) {
		const json_t *counters = json_object_get(row->sandbox, "counters");
		const char *state = client_text(row->sandbox, "state");
		json_int_t held = client_number(counters, "connections_held");
		cli_table_add(table, CELL_PLAIN, client_text(row->sandbox, "id"));
		if (named)
			cli_table_add(table, CELL_PLAIN, client_text(row->sandbox, "name"));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(row->sandbox, "slot"));
		cli_table_add(table, cli_sandbox_style(state), cli_sandbox_state_word(row->sandbox));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(counters, "connections_open"));
		cli_table_addf(table, held ? CELL_ODD : CELL_PLAIN, "%lld", (long long)held);
		cli_view_add_rates(table, row);
	}
	return table;
}

static bool cli_view_has_names(const struct rate_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (*client_text(rows[i].sandbox, "name"))
			return true;
	return false;
}

struct table *cli_view_table(const struct rate_look *look)
{
	return cli_view_table_of(look->rows, look->count, cli_view_has_names(look->rows, look->count));
}

/* A line of one cell. */
static void cli_view_line(const struct screen *screen, enum cell_style style, const char *format, ...)
{
	static const char *const headings[] = { "~", NULL };
	struct table *table = cli_table_new(headings);
	va_list args;

	va_start(args, format);
	AUTO_FREE char *text = cli_text_format(format, args);
	va_end(args);
	cli_table_add(table, style, text);
	cli_table_print(table, screen);
	cli_table_free(table);
}

char *cli_view_totals(const struct rate_look *look)
{
	char to[TEXT_NUMBER_SIZE], from[TEXT_NUMBER_SIZE], chosen[TEXT_NUMBER_SIZE] = "";
	double to_guest = 0, from_guest = 0;
	json_int_t open = 0;
	char *text;

	for (size_t i = 0; i < look->count; i++) {
		to_guest += look->rows[i].to_guest;
		from_guest += look->rows[i].from_guest;
		open += client_number(json_object_get(look->rows[i].sandbox, "counters"), "connections_open");
	}
	if (look->count != look->total)
		snprintf(chosen, sizeof(chosen), "%zu of ", look->count);
	if (asprintf(&text, "%s%zu sandboxes  %lld connections  to guests %s/s  from %s/s", chosen, look->total,
		     (long long)open, cli_text_bytes(to_guest, to), cli_text_bytes(from_guest, from)) < 0)
		abort();
	return text;
}

static void cli_view_draw_heading(const struct rate_look *look, const struct screen *screen)
{
	AUTO_FREE char *totals = cli_view_totals(look);
	char now[CLOCK_TEXT_SIZE];

	/* The time of the day alone. */
	cli_view_line(screen, CELL_PLAIN, "%.8sZ  %s", strchr(clock_format(clock_wall_ms(), now), 'T') + 1, totals);
}

static void cli_view_draw_help(const struct screen *screen, size_t lines)
{
	static const char *const keys[][2] = {
		{ "q", "quit" },
		{ "up, down, k, j", "scroll by a row" },
		{ "page up, page down", "scroll by a page (blank: down)" },
		{ "home, end, g, G", "to the first row, to the last" },
		{ "<, >", "sort by the column before, behind" },
		{ "t, c, d, s, i", "sort by traffic, connections, drops, state, id" },
		{ "r", "the other way round" },
		{ "/", "show only what has a text in its id, name or state" },
		{ "escape", "show all again" },
	};
	static const char *const headings[] = { "", "|", NULL };
	struct table *table = cli_table_new(headings);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		cli_table_addf(table, CELL_PLAIN, "  %s", keys[i][0]);
		cli_table_add(table, CELL_DIM, keys[i][1]);
	}
	cli_table_add(table, CELL_DIM, "  TO/s, FROM/s");
	cli_table_add(table, CELL_DIM, "bytes a second to the guest and from it; KiB are 1024 bytes");
	cli_table_add(table, CELL_DIM, "  CONN, HELD");
	cli_table_add(table, CELL_DIM, "open connections, and those that wait for the guest");
	cli_table_add(table, CELL_DIM, "  DROPS/s");
	cli_table_add(table, CELL_DIM, "packets dropped a second");
	cli_table_print_part(table, screen, 0, lines);
	cli_table_free(table);
}

/* "1-7 of 20", or that there is nothing. */
static void cli_view_name_rows(const struct view *view, size_t rows, char text[static TEXT_NUMBER_SIZE])
{
	if (rows)
		snprintf(text, TEXT_NUMBER_SIZE, "%zu-%zu of %zu", view->first + 1, view->first + view->page, rows);
	else
		snprintf(text, TEXT_NUMBER_SIZE, "none match");
}

static void cli_view_draw_bottom(const struct view *view, const struct screen *screen, size_t rows)
{
	char in_sight[TEXT_NUMBER_SIZE];

	cli_view_name_rows(view, rows, in_sight);
	if (view->typing)
		cli_view_line(screen, CELL_ODD, "filter: %s_  enter: keep it, escape: show all", view->filter);
	else if (view->help)
		cli_view_line(screen, CELL_DIM, "any key: back");
	else
		cli_view_line(screen, CELL_DIM, "%s  by %s%s%s%s  q quit  h help  / filter  <> sort  r reverse",
			      in_sight, view->order.key->name, view->order.reversed ? " reversed" : "",
			      *view->filter ? "  filter: " : "", view->filter);
}

static bool cli_view_lets_through(const struct view *view, const json_t *sandbox)
{
	return strcasestr(client_text(sandbox, "id"), view->filter) ||
	       strcasestr(client_text(sandbox, "name"), view->filter) ||
	       strcasestr(client_text(sandbox, "state"), view->filter) ||
	       strcasestr(cli_sandbox_state_word(sandbox), view->filter);
}

/* LOOK without the rows that the view's filter keeps back. The caller frees its rows, and nothing else of it. */
static struct rate_look cli_view_filter(const struct view *view, const struct rate_look *look)
{
	struct rate_look passed = *look;

	passed.rows = calloc(look->count + 1, sizeof(passed.rows[0]));
	if (!passed.rows)
		abort();
	passed.count = 0;
	for (size_t i = 0; i < look->count; i++)
		if (cli_view_lets_through(view, look->rows[i].sandbox))
			passed.rows[passed.count++] = look->rows[i];
	return passed;
}

/* The rows of PASSED in sight. NAMED: with names, which some sandbox has, in sight or not. */
static void cli_view_draw_rows(struct view *view, const struct rate_look *passed, bool named,
			       const struct screen *screen, size_t lines)
{
	struct table *table = cli_view_table_of(passed->rows, passed->count, named);
	size_t room = cli_table_room(table, screen, lines);
	size_t last = passed->count > room ? passed->count - room : 0;

	view->first = view->first > last ? last : view->first;
	view->page = cli_table_print_part(table, screen, view->first, lines);
	cli_table_free(table);
}

/* Writes PAGE over the one before. */
static void cli_view_show(FILE *out, const char *page, size_t lines)
{
	fputs("\033[H", out);
	for (size_t line = 1; line <= lines; line++) {
		size_t length = strcspn(page, "\n");
		fwrite(page, 1, length, out);
		fputs(line < lines ? "\033[K\n" : "\033[K", out);
		page += length + (page[length] == '\n');
	}
}

void cli_view_draw(struct view *view, const struct rate_look *look, const struct screen *screen, size_t lines)
{
	struct base_text written;
	struct rate_look passed = cli_view_filter(view, look);
	struct screen inner = *screen;
	size_t used = 0, room = lines > 2 ? lines - 2 : 0;

	inner.out = cli_text_open(&written);
	cli_view_draw_heading(&passed, &inner);
	if (view->help)
		cli_view_draw_help(&inner, room);
	else
		cli_view_draw_rows(view, &passed, cli_view_has_names(look->rows, look->count), &inner, room);
	fflush(inner.out);
	for (size_t i = 0; i < written.length; i++)
		used += written.bytes[i] == '\n';
	for (; used + 1 < lines; used++)
		fputc('\n', inner.out);
	cli_view_draw_bottom(view, &inner, passed.count);
	free(passed.rows);
	AUTO_FREE char *page = cli_text_close(&written, inner.out);
	cli_view_show(screen->out, page, lines);
}

static void cli_view_type(struct view *view, int key)
{
	size_t length = strlen(view->filter);

	if (key == KEY_ESCAPE)
		view->filter[0] = '\0';
	if (key == KEY_ESCAPE || key == '\n' || key == '\r')
		view->typing = false;
	else if ((key == KEY_ERASE || key == '\b') && length)
		view->filter[length - 1] = '\0';
	else if (key > ' ' && key < KEY_ERASE && length + 1 < sizeof(view->filter))
		view->filter[length] = (char)key;
}

static void cli_view_scroll(struct view *view, int key)
{
	size_t page = view->page ? view->page : 1;

	if (key == KEY_UP || key == 'k')
		view->first -= view->first > 0;
	else if (key == KEY_DOWN || key == 'j')
		view->first++;
	else if (key == KEY_PAGE_UP)
		view->first -= view->first < page ? view->first : page;
	else if (key == KEY_PAGE_DOWN || key == ' ')
		view->first += page;
	else if (key == KEY_HOME || key == 'g')
		view->first = 0;
	else if (key == KEY_END || key == 'G')
		view->first = SIZE_MAX / 2; /* it is brought back to the last page when that is drawn */
}

static void cli_view_sort(struct view *view, int key)
{
	static const struct {
		int key;
		const char *name;
	} letters[] = { { 't', "traffic" }, { 'c', "conn" }, { 'd', "drops" }, { 's', "state" }, { 'i', "id" } };

	if (key == '<' && view->order.key > rate_keys)
		view->order.key--;
	else if (key == '>' && view->order.key[1].name)
		view->order.key++;
	else if (key == 'r')
		view->order.reversed = !view->order.reversed;
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (letters[i].key == key)
			cli_order_read(&view->order, rate_keys, letters[i].name);
}

bool cli_view_take_key(struct view *view, int key)
{
	if (key == KEY_STOP)
		return false;
	if (view->typing) {
		cli_view_type(view, key);
	} else if (view->help) {
		view->help = key == KEY_NONE;
	} else if (key == 'q' || key == 'Q') {
		return false;
	} else if (key == 'h' || key == '?') {
		view->help = true;
	} else if (key == '/') {
		view->typing = true;
	} else if (key == KEY_ESCAPE) {
		view->filter[0] = '\0';
	} else {
		cli_view_scroll(view, key);
		cli_view_sort(view, key);
	}
	return true;
}
