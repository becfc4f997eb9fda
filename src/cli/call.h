/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_CALL_H
#define WEFT_CLI_CALL_H

/*
 * Calls of weftd's API as commands make them: a failure is reported on stderr here, with what to do next, and comes back as the
 * exit code that fits.
 */

#include "cli/cli.h"
#include "cli/ids.h"
#include "client/ask.h"

/*
 * METHOD and TARGET with BODY (may be NULL; not taken over). The daemon may hold its answer back for WAIT_MS, and has the deadline
 * besides. CLI_DONE and *ANSWER (NULL if the answer has no body; the caller's to json_decref()), or the exit code, after the failure
 * was reported. ANSWER may be NULL.
 */
int cli_call(const struct cli *cli, const char *method, const char *target, const json_t *body, unsigned wait_ms,
	     json_t **answer);

/* The same with a body as it stands, not looked into. */
int cli_send(const struct cli *cli, const char *method, const char *target, const char *body, size_t length,
	     unsigned wait_ms, json_t **answer);

/* GET, with printf() for the target. */
int cli_get(const struct cli *cli, json_t **answer, const char *target, ...) __attribute__((format(printf, 3, 4)));

/*
 * GET of the sandbox ID, or of what SUFFIX, printf()ed ("/connections"), adds to it. A unique beginning of an id is enough, and becomes
 * the whole one. The daemon may hold its answer back for WAIT_MS. For commands that change nothing.
 */
int cli_get_sandbox(const struct cli *cli, struct cli_id *id, unsigned wait_ms, json_t **answer, const char *suffix,
		    ...) __attribute__((format(printf, 5, 6)));

/*
 * The same without a report, for a command that tries again: SUFFIX as it stands, REFUSAL and ERR as of client_ask(). A refusal is to be
 * cleared in any case.
 */
enum client_result cli_ask_sandbox(const struct cli *cli, struct cli_id *id, unsigned wait_ms, const char *suffix,
				   json_t **answer, struct client_refusal *refusal, struct err *err);

/* PATCH of the sandbox ID; BODY is taken over. With --json the sandbox in the answer is printed; else *ANSWER gets it. */
int cli_patch(const struct cli *cli, const char *id, json_t *body, json_t **answer);

/* Reports ERR of a call that got no usable answer (CLIENT_FAILED). Returns the exit code. */
int cli_report_failure(const struct cli *cli, const struct err *err);
/* Reports a refusal; with --json the daemon's problem goes to stdout. Returns the exit code. */
int cli_report_refusal(const struct cli *cli, const struct client_refusal *refusal);

/* TEXT percent-encoded for a query. The caller frees; aborts without memory. */
char *cli_escape(const char *text);

/* Prints JSON for programs, whole and with a newline. Returns CLI_DONE. */
int cli_print_json(const json_t *json);

#endif
