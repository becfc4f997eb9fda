/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl wake: the manager of a sandbox is asked to resume it, as if a packet had come for it.
 */
#include "base/cleanup.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

#include <stdlib.h>
#include <string.h>

static int command_wake_one(const struct cli *cli, const char *id, void *context)
{
	AUTO_FREE char *target = NULL;
	json_t *sandbox = NULL;

	(void)context;
	if (asprintf(&target, "/v1/sandboxes/%s/wake", id) < 0)
		abort();
	int code = cli_call(cli, "POST", target, NULL, 0, &sandbox);
	if (code == CLI_DONE && cli->json) {
		cli_print_json(sandbox);
	} else if (code == CLI_DONE) {
		const char *by = client_text(json_object_get(sandbox, "wake"), "by");
		bool before = *by && strcmp(by, "api") != 0;
		cli_text_print(stdout, "%s: its manager %s\n", id,
			       before ? "was asked to resume it already" : "is asked to resume it");
	}
	json_decref(sandbox);
	return code;
}

int command_wake(const struct cli *cli)
{
	return cli_ids_each(cli, command_wake_one, NULL);
}
