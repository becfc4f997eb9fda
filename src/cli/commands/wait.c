/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl wait: the daemon holds its answer back until the sandbox is in the state, and has its usual time to answer besides. A daemon
 * that ends meanwhile answers with Retry-After, or not at all: its next run is asked for the rest of the time.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/absence.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct waiting {
	struct cli_id id;
	const char *state;
	uint64_t until_ms;
	struct cli_absence absence;
	json_t *sandbox;
};

static uint64_t command_wait_left_ms(const struct waiting *waiting)
{
	uint64_t now = clock_now_ms();

	return now < waiting->until_ms ? waiting->until_ms - now : 0;
}

/* weftd ended while it was asked, or is not there yet again. */
static bool command_wait_is_away(const struct waiting *waiting, enum client_result result,
				 const struct client_refusal *refusal, const struct err *err)
{
	if (result == CLIENT_REFUSED)
		return refusal->status == 503 && refusal->retry_after_s;
	return result == CLIENT_FAILED && (err->code == ECONNRESET || cli_absence_lasts(&waiting->absence));
}

/* Asks once. Whether to ask again, after a pause; else *CODE is the exit code, and what went wrong was reported. */
static bool command_wait_ask(const struct cli *cli, struct waiting *waiting, int *code)
{
	uint64_t left_ms = command_wait_left_ms(waiting);
	unsigned seconds = (unsigned)((left_ms + 999) / 1000);
	struct client_refusal refusal;
	struct err err;
	AUTO_FREE char *suffix = NULL;

	if (asprintf(&suffix, "?wait=%s&timeout=%u", waiting->state, seconds) < 0)
		abort();
	/* The daemon answers at the timeout. */
	enum client_result result =
	    cli_ask_sandbox(cli, &waiting->id, seconds * 1000, suffix, &waiting->sandbox, &refusal, &err);
	bool again = command_wait_is_away(waiting, result, &refusal, &err) &&
		     cli_absence_pause(&waiting->absence, command_wait_left_ms(waiting),
				       result == CLIENT_REFUSED ? refusal.detail : "weftd ended while it was asked");
	if (!again && result == CLIENT_REFUSED)
		*code = cli_report_refusal(cli, &refusal);
	else if (!again && result == CLIENT_FAILED)
		*code = cli_report_failure(cli, &err);
	client_refusal_clear(&refusal);
	return again;
}

int command_wait(const struct cli *cli)
{
	const char *state = cli_args_value(cli->args, "state");
	const char *timeout = cli_args_value(cli->args, "timeout");
	struct waiting waiting = { .state = state ? state : "ready", .absence.cli = cli };
	struct err err;
	long seconds = 30;
	int code = CLI_DONE;

	if (!cli_ids_read(cli, &waiting.id))
		return CLI_USAGE;
	if (timeout && cli_args_number("--timeout", timeout, 0, 300, &seconds, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	waiting.until_ms = clock_now_ms() + (uint64_t)seconds * 1000;
	while (command_wait_ask(cli, &waiting, &code))
		continue;
	if (code == CLI_DONE && cli->json)
		cli_print_json(waiting.sandbox);
	else if (code == CLI_DONE)
		cli_text_print(stdout, "%s is %s\n", waiting.id.text, client_text(waiting.sandbox, "state"));
	json_decref(waiting.sandbox);
	return code;
}
