/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_IDS_H
#define WEFT_CLI_IDS_H

/*
 * The ids that a command line names: their form, several of them, and the beginning of one in place of the whole.
 */

#include "cli/cli.h"

#include <jansson.h>

enum { CLI_ID_MAX = 64 };

/* A sandbox's id, or a unique beginning of it until it is looked up. */
struct cli_id {
	char text[CLI_ID_MAX + 1];
};

/* Whether TEXT has the form of an id. */
bool cli_ids_is_valid(const char *text);

/* The first operand, if it has the form of a sandbox's id; NULL after a usage error was reported (CLI_USAGE). */
const char *cli_sandbox_id(const struct cli *cli);

/* The same, copied. False after a usage error. */
bool cli_ids_read(const struct cli *cli, struct cli_id *id);

/*
 * Calls ONE for each operand, all of which have the form of an id, whatever becomes of those before. Where there are several,
 * ONE's CLI names the id in its errors. Returns the worst exit code.
 */
int cli_ids_each(const struct cli *cli, int (*one)(const struct cli *cli, const char *id, void *context),
		 void *context);

/* The worse of two exit codes. */
int cli_ids_worse(int a, int b);

/* All sandboxes, as an array of the API's objects. NULL: the daemon does not say. The caller json_decref()s. */
json_t *cli_ids_list(const struct cli *cli);

/* Those of SANDBOXES whose id or name begins with TEXT, in a new array. */
json_t *cli_ids_beginning(const json_t *sandboxes, const char *text);

/*
 * The id or name in SANDBOXES that was probably meant by TEXT; NULL: none is close. STRICT: one change apart at most, for commands
 * that would do harm to another sandbox.
 */
const char *cli_ids_close(const json_t *sandboxes, const char *text, bool strict);

/* "a1, a2 (web), ... and 7 more", of an array that is not empty. The caller frees. */
char *cli_ids_text(const json_t *sandboxes);

#endif
