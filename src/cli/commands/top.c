/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl top: reads the list at intervals and computes rates from the counters' growth since the last look. The busiest come
 * first. A sandbox has no rate at its first look.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"
#include "cli/terminal.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct top_row {
	const json_t *sandbox;
	bool rated;                         /* it was there at the last look */
	double to_guest, from_guest, drops; /* a second */
};

struct top_look {
	json_t *answer; /* owned */
	json_t *by_id;  /* owned; id -> sandbox */
	uint64_t at_ms; /* clock_now_ms() */
	struct top_row *rows;
	size_t count;
};

static void command_top_clear_look(struct top_look *look)
{
	json_decref(look->answer);
	json_decref(look->by_id);
	free(look->rows);
	*look = (struct top_look){ 0 };
}

/* A counter that fell belongs to another sandbox of the same name. */
static double command_top_rate_of(const json_t *now, const json_t *then, const char *key, double seconds)
{
	json_int_t gained = client_number(json_object_get(now, "counters"), key) -
			    client_number(json_object_get(then, "counters"), key);

	return gained > 0 ? (double)gained / seconds : 0;
}

static int command_top_compare_rows(const void *left, const void *right)
{
	const struct top_row *a = left, *b = right;
	double a_bytes = a->to_guest + a->from_guest, b_bytes = b->to_guest + b->from_guest;

	if (a_bytes != b_bytes)
		return a_bytes > b_bytes ? -1 : 1;
	json_int_t a_slot = client_number(a->sandbox, "slot"), b_slot = client_number(b->sandbox, "slot");
	return (a_slot > b_slot) - (a_slot < b_slot);
}

static int command_top_take_look(const struct cli *cli, const struct top_look *last, struct top_look *look)
{
	json_t *sandbox;
	size_t i;
	int code = cli_get(cli, &look->answer, "/v1/sandboxes");

	if (code != CLI_DONE)
		return code;
	const json_t *list = json_object_get(look->answer, "sandboxes");
	look->at_ms = clock_now_ms();
	look->by_id = json_object();
	look->rows = calloc(json_array_size(list) + 1, sizeof(look->rows[0]));
	if (!look->rows)
		abort();

	double seconds = (double)(look->at_ms - last->at_ms) / 1000 + 0.000001;
	json_array_foreach(list, i, sandbox)
	{
		const char *id = client_text(sandbox, "id");
		const json_t *then = json_object_get(last->by_id, id);
		struct top_row *row = &look->rows[look->count++];
		row->sandbox = sandbox;
		row->rated = then && client_number(then, "slot") == client_number(sandbox, "slot");
		if (row->rated) {
			row->to_guest = command_top_rate_of(sandbox, then, "bytes_to_guest", seconds);
			row->from_guest = command_top_rate_of(sandbox, then, "bytes_from_guest", seconds);
			row->drops = command_top_rate_of(sandbox, then, "drops_total", seconds);
		}
		json_object_set(look->by_id, id, sandbox);
	}
	qsort(look->rows, look->count, sizeof(look->rows[0]), command_top_compare_rows);
	return CLI_DONE;
}

static void command_top_add_rate(struct table *table, const struct top_row *row, double rate)
{
	char text[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_PLAIN, row->rated ? cli_text_bytes(rate, text) : "-");
}

static void command_top_print_table(const struct top_look *look, const struct screen *screen, size_t lines)
{
	static const char *const headings[] = { "SANDBOX", ">SLOT", "STATE",   ">SINCE",   ">CONN",
						">HELD",   ">TO/s", ">FROM/s", ">DROPS/s", NULL };
	struct table *table = cli_table_new(headings);
	char since[TEXT_NUMBER_SIZE];

	for (const struct top_row *row = look->rows; row < look->rows + look->count; row++) {
		const json_t *counters = json_object_get(row->sandbox, "counters");
		const char *state = client_text(row->sandbox, "state");
		cli_table_add(table, CELL_PLAIN, client_text(row->sandbox, "id"));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(row->sandbox, "slot"));
		cli_table_add(table, cli_sandbox_style(state), state);
		cli_table_add(table, CELL_PLAIN,
			      cli_text_since(client_text(row->sandbox, "since"), clock_wall_ms(), since));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(counters, "connections_open"));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(counters, "connections_held"));
		command_top_add_rate(table, row, row->to_guest);
		command_top_add_rate(table, row, row->from_guest);
		command_top_add_rate(table, row, row->drops);
	}
	cli_table_print_part(table, screen, 0, lines);
	cli_table_free(table);
}

static void command_top_print_heading(const struct top_look *look, const struct screen *screen)
{
	char now[CLOCK_TEXT_SIZE], to[TEXT_NUMBER_SIZE], from[TEXT_NUMBER_SIZE];
	double to_guest = 0, from_guest = 0;
	json_int_t open = 0;

	for (size_t i = 0; i < look->count; i++) {
		to_guest += look->rows[i].to_guest;
		from_guest += look->rows[i].from_guest;
		open += client_number(json_object_get(look->rows[i].sandbox, "counters"), "connections_open");
	}
	cli_screen_wrap(screen, CELL_PLAIN, "", "%s  %zu sandboxes, %lld connections, %s/s to guests, %s/s from them",
			clock_format(clock_wall_ms(), now), look->count, (long long)open, cli_text_bytes(to_guest, to),
			cli_text_bytes(from_guest, from));
}

static json_t *command_top_row_json(const struct top_row *row)
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
static void command_top_print_json(const struct top_look *look)
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

/* 0, or the errno of an output that failed. */
static int command_top_show(const struct cli *cli, const struct top_look *look, bool whole_screen, bool first)
{
	struct screen screen = cli_screen_of(stdout);
	size_t lines = cli_terminal_lines();

	if (cli->json) {
		command_top_print_json(look);
	} else if (whole_screen) {
		fputs("\033[H\033[2J", stdout);
		command_top_print_heading(look, &screen);
		/* The heading, the table's own, and the line that the cursor is on. */
		if (lines > 4)
			command_top_print_table(look, &screen, lines - 2);
	} else {
		if (!first)
			putchar('\n');
		command_top_print_heading(look, &screen);
		command_top_print_table(look, &screen, SIZE_MAX);
	}
	return fflush(stdout) == 0 ? 0 : errno;
}

/* Waits for the next look. False: the user ended it. */
static bool command_top_rest(bool whole_screen, long seconds)
{
	struct timespec interval = { .tv_sec = seconds };

	if (whole_screen)
		return cli_terminal_wait((unsigned)seconds * 1000);
	nanosleep(&interval, NULL);
	return true;
}

static int command_top_watch(const struct cli *cli, bool whole_screen, long interval, long count)
{
	struct top_look last = { 0 };
	int code;

	for (long n = 1;; n++) {
		struct top_look look = { 0 };
		code = command_top_take_look(cli, &last, &look);
		if (code != CLI_DONE) {
			command_top_clear_look(&look);
			break;
		}
		int unwritten = command_top_show(cli, &look, whole_screen, n == 1);
		command_top_clear_look(&last);
		last = look;
		if (unwritten) {
			code = cli_fail_output(cli, unwritten);
			break;
		}
		if (n == count || !command_top_rest(whole_screen, interval))
			break;
	}
	command_top_clear_look(&last);
	return code;
}

int command_top(const struct cli *cli)
{
	const char *interval_text = cli_args_value(cli->args, "interval");
	const char *count_text = cli_args_value(cli->args, "count");
	bool whole_screen =
	    !cli->json && !cli_args_has(cli->args, "batch") && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	long interval = 2, count = 0;
	struct err err;

	if (interval_text && cli_args_number("--interval", interval_text, 1, 3600, &interval, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (count_text && cli_args_number("--count", count_text, 1, 1000000, &count, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (whole_screen && cli_terminal_enter(&err) < 0)
		return cli_fail(cli, CLI_FAILED, "%s\nWithout a terminal: weftctl top --batch", err.text);
	int code = command_top_watch(cli, whole_screen, interval, count);
	cli_terminal_leave();
	return code;
}
