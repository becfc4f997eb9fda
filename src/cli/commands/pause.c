/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl pause: notifies the daemon of a pause, which the carrier does not show, and says what may end it.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"
#include "cli/wake_args.h"

/* The PATCH that pauses ID. Times of its `wake` stay as they are, for which it is read. The exit code. */
static int command_pause_body(const struct cli *cli, const char *id, json_t **body)
{
	json_t *sandbox = NULL;
	struct err err;

	*body = NULL;
	if (cli_wake_is_given(cli->args)) {
		int code = cli_get(cli, &sandbox, "/v1/sandboxes/%s", id);
		if (code != CLI_DONE)
			return code;
	}
	*body = json_pack("{s:b}", "paused", 1);
	int added = cli_wake_add(*body, json_object_get(sandbox, "wake"), cli->args, &err);
	json_decref(sandbox);
	return added < 0 ? cli_usage(cli, "%s", err.text) : CLI_DONE;
}

static int command_pause_one(const struct cli *cli, const char *id, void *context)
{
	json_t *sandbox = NULL, *body;
	int code = command_pause_body(cli, id, &body);

	(void)context;
	if (code == CLI_DONE)
		code = cli_patch(cli, id, body, &sandbox);
	else
		json_decref(body);
	if (code == CLI_DONE && !cli->json)
		cli_text_print(stdout, "%s is %s\n", id, cli_sandbox_state_word(sandbox));
	json_decref(sandbox);
	return code;
}

int command_pause(const struct cli *cli)
{
	json_t *tried = json_object();
	struct err err;
	/* A mistake in the arguments is reported before the daemon is asked. */
	int right = cli_wake_add(tried, NULL, cli->args, &err);

	json_decref(tried);
	if (right < 0)
		return cli_usage(cli, "%s", err.text);
	return cli_ids_each(cli, command_pause_one, NULL);
}
