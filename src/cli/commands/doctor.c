/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl doctor: examines the host from here, with the caller's environment and privileges, by the configuration of the daemon
 * that runs. That daemon is asked for its ports alone; one that does not answer is a finding.
 */
#include "health/doctor.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DOCTOR_PATH_SIZE = 4096 };

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

/*
 * The file in the option --config of the process PID, as it can be opened from here. False: there is none. *KNOWN: its command line
 * could be read.
 */
static bool command_doctor_find_config(int pid, char path[static DOCTOR_PATH_SIZE], bool *known)
{
	char name[32], text[DOCTOR_PATH_SIZE];
	const char *file = NULL;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", pid);
	AUTO_FD int fd = pid > 0 ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	size_t length = got > 0 ? (size_t)got : 0;
	*known = length > 0;
	text[length] = '\0';
	for (const char *arg = text; arg < text + length; arg += strlen(arg) + 1) {
		const char *next = arg + strlen(arg) + 1;
		if (strncmp(arg, "--config=", 9) == 0)
			file = arg + 9;
		else if (strcmp(arg, "--config") == 0 && next < text + length)
			file = next;
	}
	if (!file)
		return false;
	if (*file == '/')
		snprintf(path, DOCTOR_PATH_SIZE, "%s", file);
	else
		snprintf(path, DOCTOR_PATH_SIZE, "/proc/%d/cwd/%.4000s", pid, file);
	return true;
}

static struct config *command_doctor_read_config(const struct cli *cli, const char *path)
{
	struct config_mistakes mistakes = { 0 };
	struct config *config = config_load(path, CONFIG_PATIENCE_MS, NULL, &mistakes);
	char text[512];

	for (size_t i = 0; !config && i < mistakes.count; i++) {
		config_mistake_format(&mistakes, &mistakes.items[i], text, sizeof(text));
		cli_fail(cli, CLI_FAILED, "%s", text);
	}
	config_mistakes_clear(&mistakes);
	return config;
}

/*
 * The named file, that of the daemon which runs, the usual one if it exists, or the defaults. A guess is noted in REPORT. NULL after
 * the reason was reported.
 */
static struct config *command_doctor_load_config(const struct cli *cli, struct health_report *report)
{
	static const char usual[] = "/etc/weft/weftd.conf";
	const char *path = cli_args_value(cli->args, "config");
	char own[DOCTOR_PATH_SIZE];
	bool known = true;

	if (path)
		return command_doctor_read_config(cli, path);
	int pid = health_find_daemon(cli->socket);
	if (pid && command_doctor_find_config(pid, own, &known)) {
		if (access(own, R_OK) == 0)
			return command_doctor_read_config(cli, own);
		health_add(report, "configuration", HEALTH_SKIPPED,
			   "assuming the defaults, for that of weftd is not visible from here: %.300s: %s", own,
			   strerror(errno));
		return config_default();
	}
	if (access(usual, F_OK) == 0)
		return command_doctor_read_config(cli, usual);
	if (!known)
		health_add(report, "configuration", HEALTH_SKIPPED,
			   "assuming the defaults, for that of weftd is not visible from here");
	return config_default();
}

/* GET; NULL if there is no usable answer. *ERR: why there is none; its code is 0 after a refusal. */
static json_t *command_doctor_ask(const struct cli *cli, const char *target, struct err *err)
{
	const struct client_request request = {
		.socket = cli->socket,
		.agent = "weftctl",
		.method = "GET",
		.target = target,
		.timeout_ms = cli->deadline_ms,
	};
	struct client_refusal refusal = { 0 };
	json_t *answer = NULL;

	*err = (struct err){ 0 };
	if (client_ask(&request, &answer, &refusal, err) == CLIENT_REFUSED)
		client_refusal_clear(&refusal);
	return answer;
}

static void command_doctor_note_not_open(struct health_facts *facts, const json_t *status)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "not_open"), i, one)
	    health_note_not_open(facts, client_text(one, "what"), client_text(one, "address"),
				 client_text(one, "proto"), client_text(one, "holder"));
}

static void command_doctor_note_ports(struct health_facts *facts, const json_t *sandboxes)
{
	const json_t *sandbox, *endpoint;
	size_t i, j;

	json_array_foreach(sandboxes, i, sandbox)
	{
		json_array_foreach(json_object_get(sandbox, "endpoints"), j, endpoint)
		{
			if (strcmp(client_text(endpoint, "proto"), "udp") != 0)
				health_note_port(facts, (uint16_t)client_number(endpoint, "guest_port"));
		}
	}
}

/* Asks the daemon, if it runs. One that is not for the caller to ask is as good as none. */
static void command_doctor_ask_daemon(const struct cli *cli, struct health_facts *facts)
{
	struct err err;

	if (!health_daemon(facts))
		return;
	json_t *status = command_doctor_ask(cli, "/v1/status", &err);
	if (!status) {
		if (err.code == ETIMEDOUT)
			snprintf(facts->said.silent, sizeof(facts->said.silent), "%.150s", err.text);
		return;
	}
	command_doctor_note_not_open(facts, status);
	json_decref(status);
	json_t *answer = command_doctor_ask(cli, "/v1/sandboxes", &err);
	command_doctor_note_ports(facts, json_is_array(answer) ? answer : json_object_get(answer, "sandboxes"));
	json_decref(answer);
}

int command_doctor(const struct cli *cli)
{
	struct health_facts facts;
	struct health_report report = { 0 };
	struct config *config = command_doctor_load_config(cli, &report);

	if (!config) {
		health_report_clear(&report);
		return CLI_FAILED;
	}
	health_facts_gather(&facts, config, cli->socket);
	command_doctor_ask_daemon(cli, &facts);
	health_doctor_examine(&facts, &report);
	if (cli->json) {
		command_doctor_print_json(&report);
	} else {
		for (size_t i = 0; i < report.count; i++)
			command_doctor_print_finding(cli, &report.findings[i]);
	}
	int code = health_report_worst(&report) == HEALTH_FAIL ? CLI_FAULT : CLI_DONE;
	if (report.incomplete)
		code = cli_fail(cli, CLI_FAILED, "no memory for all findings");
	health_report_clear(&report);
	health_facts_clear(&facts);
	config_free(config);
	return code;
}
