/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_CALL_H
#define WEFT_CLI_CALL_H

/*
 * Calls of weftd's API as commands make them: what goes wrong is told on stderr here, with what to do next, and comes back as
 * the exit code that fits.
 */

#include "cli/cli.h"
#include "client/client.h"

#include <jansson.h>

enum { API_TIMEOUT_MS = 60000 };

/*
 * METHOD and TARGET with BODY (may be NULL; not taken over), for at most TIMEOUT_MS. CLI_DONE and *ANSWER (NULL if the answer has
 * no body; the caller's to json_decref()), or the exit code, after it was told why. ANSWER may be NULL.
 */
int api_call(const struct cli *cli, const char *method, const char *target, const json_t *body, unsigned timeout_ms,
	     json_t **answer);

/* The same with a body as it stands, not looked into. */
int api_send(const struct cli *cli, const char *method, const char *target, const char *body, size_t length,
	     unsigned timeout_ms, json_t **answer);

/* GET, with printf() for the target. */
int api_get(const struct cli *cli, json_t **answer, const char *target, ...) __attribute__((format(printf, 3, 4)));

/* PATCH of the sandbox ID; BODY is taken over. With --json the sandbox that it gives back is printed; else *ANSWER gets it. */
int api_patch(const struct cli *cli, const char *id, json_t *body, json_t **answer);

/* Tells why a call failed that client_call() could not make. Returns the exit code. */
int api_unreachable(const struct cli *cli, const struct err *err);
/* Tells an answer that is no success. Returns the exit code. */
int api_refused(const struct cli *cli, const struct client_answer *answer);

/* TEXT percent-encoded for a query. The caller frees. */
char *api_escape(const char *text);

/* Prints JSON for programs, whole and with a newline. Returns CLI_DONE. */
int api_print(const json_t *json);

/* The string, number or truth at KEY of OBJECT; "", 0 or false where there is none such. */
const char *api_text(const json_t *object, const char *key);
json_int_t api_number(const json_t *object, const char *key);
bool api_is(const json_t *object, const char *key);

#endif
