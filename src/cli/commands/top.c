/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl top: looks at the list at intervals. A first look that is not shown, half a second before the others, gives the first one
 * that is shown its rates. Between two looks the keys of a terminal are obeyed at once.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rates.h"
#include "cli/terminal.h"
#include "cli/view.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_SAMPLE_MS = 500, LINES_UNKNOWN = 24 };

static json_t *command_top_row_json(const struct rate_row *row)
{
	const json_t *counters = json_object_get(row->sandbox, "counters");
	json_t *object = json_pack("{s:s, s:I, s:s, s:I, s:I}", "id", client_text(row->sandbox, "id"), "slot",
				   client_number(row->sandbox, "slot"), "state", client_text(row->sandbox, "state"),
				   "connections_open", client_number(counters, "connections_open"), "connections_held",
				   client_number(counters, "connections_held"));

	json_object_set_new(object, "to_guest_rate", row->rated ? json_real(row->to_guest) : json_null());
	json_object_set_new(object, "from_guest_rate", row->rated ? json_real(row->from_guest) : json_null());
	json_object_set_new(object, "drops_rate", row->rated ? json_real(row->drops) : json_null());
	return object;
}

/* One look, one line. */
static void command_top_print_json(const struct rate_look *look)
{
	char now[CLOCK_TEXT_SIZE];
	json_t *rows = json_array();

	for (size_t i = 0; i < look->count; i++)
		json_array_append_new(rows, command_top_row_json(&look->rows[i]));
	json_t *line = json_pack("{s:s, s:o}", "time", clock_format(clock_wall_ms(), now), "sandboxes", rows);
	json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(line);
}

static void command_top_print_table(const struct rate_look *look, bool first)
{
	struct screen screen = cli_screen_of(stdout);
	struct table *table = cli_view_table(look);
	AUTO_FREE char *totals = cli_view_totals(look);
	char now[CLOCK_TEXT_SIZE];

	if (!first)
		putchar('\n');
	cli_screen_wrap(&screen, CELL_PLAIN, "", "%s  %s", clock_format(clock_wall_ms(), now), totals);
	cli_table_print(table, &screen);
	cli_table_free(table);
}

/* Shows LOOK by itself, or as a page of VIEW if there is one. 0, or the errno of an output that failed. */
static int command_top_show(const struct cli *cli, struct view *view, const struct order *order, struct rate_look *look,
			    bool first)
{
	cli_order_sort(order, look->rows, look->count, sizeof(look->rows[0]));
	if (cli->json) {
		command_top_print_json(look);
	} else if (view) {
		struct screen screen = cli_screen_of(stdout);
		size_t lines = cli_terminal_lines();
		cli_view_draw(view, look, &screen, lines ? lines : LINES_UNKNOWN);
	} else {
		command_top_print_table(look, first);
	}
	return fflush(stdout) == 0 ? 0 : errno;
}

/* Waits for TIMEOUT_MS. With a VIEW, its keys are obeyed meanwhile, and it is drawn anew. False: the user ended it. */
static bool command_top_rest(const struct cli *cli, struct view *view, struct rate_look *look, uint64_t timeout_ms)
{
	uint64_t end = clock_now_ms() + timeout_ms, now;

	if (!view) {
		struct timespec interval = { .tv_sec = (time_t)(timeout_ms / 1000),
					     .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
		nanosleep(&interval, NULL);
		return true;
	}
	while ((now = clock_now_ms()) < end) {
		if (!cli_view_take_key(view, cli_terminal_wait((unsigned)(end - now))))
			return false;
		/* An output that fails is noticed at the next look. */
		if (look->answer)
			command_top_show(cli, view, &view->order, look, false);
	}
	return true;
}

static int command_top_watch(const struct cli *cli, struct view *view, const struct order *order, long interval,
			     long count)
{
	struct rate_look last = { 0 }, nothing = { 0 };
	int code = cli_rates_take(cli, &nothing, &last);

	if (code != CLI_DONE || !command_top_rest(cli, view, &nothing, FIRST_SAMPLE_MS))
		goto end;
	for (long n = 1;; n++) {
		struct rate_look look;
		code = cli_rates_take(cli, &last, &look);
		cli_rates_clear(&last);
		last = look;
		if (code != CLI_DONE)
			break;
		int unwritten = command_top_show(cli, view, order, &last, n == 1);
		if (unwritten) {
			code = cli_fail_output(cli, unwritten);
			break;
		}
		if (n == count || !command_top_rest(cli, view, &last, (uint64_t)interval * 1000))
			break;
	}
end:
	cli_rates_clear(&last);
	return code;
}

int command_top(const struct cli *cli)
{
	const char *interval_text = cli_args_value(cli->args, "interval");
	const char *count_text = cli_args_value(cli->args, "count");
	const char *sort = cli_args_value(cli->args, "sort");
	/* Looks that are counted are there to be read when the last one is over, when the whole screen would be gone. */
	bool whole_screen = !cli->json && !count_text && !cli_args_has(cli->args, "batch") && isatty(STDOUT_FILENO) &&
			    isatty(STDIN_FILENO);
	struct view view = { .order = { .key = rate_keys, .tie = cli_rates_by_slot } };
	long interval = 2, count = 0;
	struct err err;

	if ((interval_text && cli_args_number("--interval", interval_text, 1, 3600, &interval, &err) < 0) ||
	    (count_text && cli_args_number("--count", count_text, 1, 1000000, &count, &err) < 0) ||
	    cli_choose_check(cli->args, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (sort)
		cli_order_read(&view.order, rate_keys, sort);
	if (whole_screen && cli_terminal_enter(&err) < 0)
		return cli_fail(cli, CLI_FAILED, "%s\nWithout a terminal: weftctl top --batch", err.text);
	int code = command_top_watch(cli, whole_screen ? &view : NULL, &view.order, interval, count);
	cli_terminal_leave();
	return code;
}
