/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each finding is a table of its own, so that a long one does not widen the columns of the others.
 */
#include "cli/print_finding.h"

#include <stdio.h>

static void cli_finding_print(const struct screen *screen, const struct health_finding *finding, int width)
{
	static const struct {
		const char *word;
		enum cell_style style;
	} marks[] = {
		[HEALTH_OK] = { "ok", CELL_GOOD },
		[HEALTH_WARN] = { "warn", CELL_ODD },
		[HEALTH_FAIL] = { "FAIL", CELL_BAD },
		[HEALTH_SKIPPED] = { "-", CELL_DIM },
	};
	static const char *const headings[] = { "", "", "|", NULL };
	char mark[8], check[24];
	struct table *table = cli_table_new(headings);

	snprintf(mark, sizeof(mark), "  %-4s", marks[finding->status].word);
	snprintf(check, sizeof(check), "%-*s", width, finding->check);
	cli_table_add(table, marks[finding->status].style, mark);
	cli_table_add(table, CELL_PLAIN, check);
	cli_table_add(table, CELL_PLAIN, finding->detail);
	cli_table_print(table, screen);
	cli_table_free(table);
	if (finding->why[0])
		cli_screen_wrap(screen, CELL_PLAIN, "        why: ", "%s", finding->why);
	if (finding->fix[0])
		cli_screen_wrap(screen, CELL_PLAIN, "        fix: ", "%s", finding->fix);
}

void cli_finding_print_all(const struct screen *screen, const struct health_report *report, int width)
{
	for (size_t i = 0; i < report->count; i++)
		cli_finding_print(screen, &report->findings[i], width);
}

json_t *cli_finding_list(const struct health_report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->count; i++) {
		const struct health_finding *finding = &report->findings[i];
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "check", finding->check, "status",
						      health_status_name(finding->status), "detail", finding->detail,
						      "why", finding->why, "fix", finding->fix));
	}
	return list;
}
