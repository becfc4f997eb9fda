/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl door: what weftd says of its door socket, and the checks of the door, which are doctor's and need no daemon. `door check` asks
 * at a URL besides, as a client does from here; the door of another host has no other checks.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/doctor_facts.h"
#include "cli/door_client.h"
#include "cli/print_finding.h"
#include "config/config.h"
#include "config/door_url.h"
#include "health/doctor.h"

#include <string.h>

enum { CHECK_WIDTH = 8 };

struct door_look {
	struct cli_doctor doctor;
	json_t *status; /* the daemon's; NULL: it gave no answer */
	struct health_report notes, report;
};

/* Looks at the door of this host. 0, or -1 after it was reported that the configuration cannot be used. */
static int command_door_look(const struct cli *cli, struct door_look *look, bool always)
{
	struct health_door *door = &look->doctor.facts.door;
	char state_dir[DOCTOR_PATH_SIZE];
	int pid;

	if (cli_doctor_begin(cli, &look->doctor, &look->notes, &look->status, state_dir, &pid) < 0)
		return -1;
	health_facts_gather_door(&look->doctor.facts, look->doctor.config, always);
	if (door->proxy.pid && !door->proxy.version[0])
		cli_door_client_version(door->proxy.version, sizeof(door->proxy.version));
	return 0;
}

static void command_door_clear(struct door_look *look)
{
	health_report_clear(&look->notes);
	health_report_clear(&look->report);
	json_decref(look->status);
	cli_doctor_clear(&look->doctor);
}

/* "12: not-found 9, port-closed 3" */
static void command_door_add_refused(struct table *table, const json_t *refused)
{
	char text[512] = "";
	json_int_t total = 0;
	const char *reason;
	json_t *count;

	json_object_foreach((json_t *)refused, reason, count)
	{
		size_t used = strlen(text);
		if (!json_integer_value(count))
			continue;
		total += json_integer_value(count);
		snprintf(text + used, sizeof(text) - used, "%s%s %lld", used ? ", " : ": ", reason,
			 (long long)json_integer_value(count));
	}
	cli_table_add(table, CELL_DIM, "refused");
	cli_table_addf(table, CELL_PLAIN, "%lld%s", (long long)total, text);
}

/* DOOR is status' member. */
static void command_door_print(const struct cli *cli, const struct door_look *look)
{
	static const char *const headings[] = { "", "|", NULL };
	const json_t *door = json_object_get(look->status, "door");
	struct table *table = cli_table_new(headings);
	char url[CONFIG_DOOR_URL_SIZE];

	cli_table_add(table, CELL_DIM, "socket");
	if (!json_is_object(door)) {
		cli_table_add(table, CELL_PLAIN,
			      look->status ? "none: [door] socket is empty" : "not known: weftd does not answer");
	} else {
		cli_table_add(table, CELL_PLAIN, client_text(door, "socket"));
		cli_table_add(table, CELL_DIM, "connections");
		cli_table_addf(table, CELL_PLAIN, "%lld open, %lld held, %lld served, %lld broken",
			       (long long)client_number(door, "connections"), (long long)client_number(door, "held"),
			       (long long)client_number(door, "served"), (long long)client_number(door, "broken"));
		command_door_add_refused(table, json_object_get(door, "refused"));
		cli_table_add(table, CELL_DIM, "sandboxes at");
		cli_table_add(table, CELL_PLAIN,
			      config_door_url(look->doctor.config->door.domain, "ID", "LABEL", 8080, url));
	}
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

static int command_door_finish(const struct cli *cli, struct door_look *look)
{
	int code = health_report_worst(&look->report) == HEALTH_FAIL ? CLI_FAULT : CLI_DONE;

	if (look->report.incomplete)
		code = cli_fail(cli, CLI_FAILED, "no memory for all findings");
	command_door_clear(look);
	return code;
}

static int command_door_show(const struct cli *cli)
{
	struct door_look look = { 0 };

	if (command_door_look(cli, &look, false) < 0) {
		command_door_clear(&look);
		return CLI_FAILED;
	}
	if (health_door_is_used(&look.doctor.facts.door))
		check_door_parts(&look.doctor.facts, &look.report);
	else
		check_door(&look.doctor.facts, &look.report);
	if (cli->json) {
		const json_t *door = json_object_get(look.status, "door");
		json_t *told = json_pack("{s:o, s:o}", "door", door ? json_deep_copy(door) : json_null(), "checks",
					 cli_finding_list(&look.report));
		cli_print_json(told);
		json_decref(told);
	} else {
		command_door_print(cli, &look);
		cli_finding_print_all(&cli->screen, &look.report, CHECK_WIDTH);
	}
	bool answered = look.status != NULL;
	int code = command_door_finish(cli, &look);
	return answered ? code : cli_fail(cli, CLI_UNREACHABLE, "weftd at %s gives no answer", cli->socket);
}

/* TEXT: the URL; NULL: the usual one, which is this host's. */
static int command_door_check(const struct cli *cli, const char *text)
{
	struct door_look look = { 0 };
	struct cli_door_url url;
	struct err err;

	if (text && cli_door_url_read(text, &url, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (command_door_look(cli, &look, !text) < 0) {
		command_door_clear(&look);
		return CLI_FAILED;
	}
	struct health_door *door = &look.doctor.facts.door;
	if (text)
		door->answer = (struct health_door_answer){ 0 };
	if (!text || health_door_is_used(door))
		check_door_parts(&look.doctor.facts, &look.report);
	if (text)
		cli_door_client_check(&url, &look.report);
	if (cli->json) {
		json_t *list = cli_finding_list(&look.report);
		cli_print_json(list);
		json_decref(list);
	} else {
		cli_finding_print_all(&cli->screen, &look.report, CHECK_WIDTH);
	}
	return command_door_finish(cli, &look);
}

int command_door(const struct cli *cli)
{
	char *const *operands = cli->args->operands;

	if (!operands[0])
		return command_door_show(cli);
	if (strcmp(operands[0], "check") != 0)
		return cli_usage(cli, "'%s': allowed: check", operands[0]);
	return command_door_check(cli, operands[1]);
}
