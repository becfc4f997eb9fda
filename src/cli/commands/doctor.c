/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl doctor: examines the host from here, with the caller's environment and privileges, by what the daemon that runs says it
 * uses.
 */
#include "health/doctor.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/doctor_facts.h"
#include "cli/print_finding.h"

enum { CHECK_WIDTH = 17 }; /* of the longest name */

int command_doctor(const struct cli *cli)
{
	struct cli_doctor doctor;
	struct health_report report = { 0 };
	int code = CLI_FAILED;

	if (cli_doctor_gather(cli, &doctor, &report) == 0) {
		health_doctor_examine(&doctor.facts, &report);
		if (cli->json) {
			json_t *list = cli_finding_list(&report);
			cli_print_json(list);
			json_decref(list);
		} else {
			cli_finding_print_all(&cli->screen, &report, CHECK_WIDTH);
		}
		code = health_report_worst(&report) == HEALTH_FAIL ? CLI_FAULT : CLI_DONE;
		if (report.incomplete)
			code = cli_fail(cli, CLI_FAILED, "no memory for all findings");
	}
	health_report_clear(&report);
	cli_doctor_clear(&doctor);
	return code;
}
