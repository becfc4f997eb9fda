/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl doctor: examines the host from here, with the caller's environment and privileges, by what the daemon that runs says it
 * uses.
 */
#include "health/doctor.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/doctor_facts.h"
#include "cli/print_text.h"

#include <stdio.h>

static void command_doctor_print_finding(const struct cli *cli, const struct health_finding *finding)
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
	snprintf(check, sizeof(check), "%-17s", finding->check);
	cli_table_add(table, marks[finding->status].style, mark);
	cli_table_add(table, CELL_PLAIN, check);
	cli_table_add(table, CELL_PLAIN, finding->detail);
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
	if (finding->why[0])
		cli_screen_wrap(&cli->screen, CELL_PLAIN, "        why: ", "%s", finding->why);
	if (finding->fix[0])
		cli_screen_wrap(&cli->screen, CELL_PLAIN, "        fix: ", "%s", finding->fix);
}

static void command_doctor_print_json(const struct health_report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->count; i++) {
		const struct health_finding *finding = &report->findings[i];
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "check", finding->check, "status",
						      health_status_name(finding->status), "detail", finding->detail,
						      "why", finding->why, "fix", finding->fix));
	}
	cli_print_json(list);
	json_decref(list);
}

int command_doctor(const struct cli *cli)
{
	struct cli_doctor doctor;
	struct health_report report = { 0 };
	int code = CLI_FAILED;

	if (cli_doctor_gather(cli, &doctor, &report) == 0) {
		health_doctor_examine(&doctor.facts, &report);
		if (cli->json) {
			command_doctor_print_json(&report);
		} else {
			for (size_t i = 0; i < report.count; i++)
				command_doctor_print_finding(cli, &report.findings[i]);
		}
		code = health_report_worst(&report) == HEALTH_FAIL ? CLI_FAULT : CLI_DONE;
		if (report.incomplete)
			code = cli_fail(cli, CLI_FAILED, "no memory for all findings");
	}
	health_report_clear(&report);
	cli_doctor_clear(&doctor);
	return code;
}
