/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl events: prints each event as it comes and flushes at once, for a reader at the end of a pipe. Programs get the daemon's
 * own lines. People get the time, the sandbox and the event, without heartbeats. A sandbox that is not there may come later; who
 * mistyped its id would wait for ever, so stderr tells that it was not in the snapshot.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 15000 }; /* the daemon's: a stream is never silent for longer, but for the time to answer */

struct following {
	const struct cli *cli;
	const char *sandbox; /* the only one that is followed; NULL: all */
	bool seen;           /* an event of a sandbox came */
	bool overflow;
	int unwritten; /* errno of an output that failed; else 0 */
	long long seq; /* of the last event */
	char boot[128];
};

/* Fields that are not printed as KEY=VALUE: they have a place of their own, or are too long for a line (a whole sandbox). */
static bool command_events_is_common(const char *key)
{
	static const char *const common[] = { "seq", "boot", "time", "type", "sandbox", "object" };

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (strcmp(key, common[i]) == 0)
			return true;
	return false;
}

static void command_events_add_name(FILE *out, const json_t *event)
{
	const char *name = client_text(event, "sandbox_name");

	if (*name)
		fprintf(out, " sandbox_name=%s", name);
}

/* The event in words, without its time, sandbox and type. The caller frees. */
static char *command_events_describe(const json_t *event, const char *type)
{
	const json_t *object = json_object_get(event, "object");
	const char *reason = client_text(event, "reason");
	char before[TEXT_NUMBER_SIZE];
	struct base_text described;
	const char *key, *lead = "";
	json_t *value;
	FILE *out = cli_text_open(&described);

	if (strcmp(type, "state") == 0) {
		fprintf(out, "%s -> %s after %s, cause %s%s%s", client_text(event, "from"), client_text(event, "to"),
			cli_text_duration((uint64_t)client_number(event, "previous_ms"), before),
			client_text(event, "cause"), *reason ? ": " : "", reason);
		command_events_add_name(out, event);
	} else if (object) {
		fprintf(out, "state=%s slot=%lld", client_text(object, "state"),
			(long long)client_number(object, "slot"));
		command_events_add_name(out, event);
	} else {
		json_object_foreach((json_t *)event, key, value)
		{
			if (command_events_is_common(key) || json_is_null(value))
				continue;
			AUTO_FREE char *text =
			    json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
			fprintf(out, "%s%s=%s", lead, key, text ? text : json_string_value(value));
			lead = " ";
		}
	}
	return cli_text_close(&described, out);
}

/* A table of one row, in columns as wide as most events need. */
static void command_events_print(const struct cli *cli, const json_t *event, const char *type)
{
	static const char *const headings[] = { "", "", "", "|", NULL };
	const char *id = client_text(event, "sandbox");
	enum cell_style style = strcmp(type, "denied") == 0 ? CELL_ODD : CELL_PLAIN;
	AUTO_FREE char *text = command_events_describe(event, type);
	struct table *table = cli_table_new(headings);

	cli_table_add(table, CELL_PLAIN, client_text(event, "time"));
	cli_table_addf(table, CELL_PLAIN, "%-16s", *id ? id : "-");
	cli_table_addf(table, style, "%-12s", type);
	cli_table_add(table, cli_sandbox_style(client_text(event, "to")), *text ? text : " ");
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

/* The snapshot is over, and the sandbox that is followed was not in it. */
static void command_events_tell_absent(const struct following *following)
{
	json_t *all = cli_ids_list(following->cli), *beginning = cli_ids_beginning(all, following->sandbox);
	const char *meant = json_array_size(beginning) ? client_text(json_array_get(beginning, 0), "id")
						       : cli_ids_close(all, following->sandbox, false);

	cli_text_print(stderr, "weftctl events: no sandbox %s yet; its events are shown when it is registered\n",
		       following->sandbox);
	if (meant)
		cli_text_print(stderr, "Did you mean '%s'? Those that exist: weftctl ls\n", meant);
	json_decref(beginning);
	json_decref(all);
}

static bool command_events_take_line(void *context, char *line, size_t length)
{
	struct following *following = context;
	json_t *event = json_loadb(line, length, 0, NULL);
	const char *type = client_text(event, "type");

	if (following->cli->json) {
		fwrite(line, 1, length, stdout);
		putchar('\n');
	} else if (event && strcmp(type, "heartbeat") != 0 && strcmp(type, "snapshot-end") != 0 &&
		   strcmp(type, "overflow") != 0) {
		command_events_print(following->cli, event, type);
	}
	following->overflow = strcmp(type, "overflow") == 0;
	following->seen = following->seen || *client_text(event, "sandbox");
	if (following->sandbox && !following->seen && strcmp(type, "snapshot-end") == 0)
		command_events_tell_absent(following);
	if (json_is_integer(json_object_get(event, "seq")) && !following->overflow)
		following->seq = client_number(event, "seq");
	if (*client_text(event, "boot"))
		snprintf(following->boot, sizeof(following->boot), "%s", client_text(event, "boot"));
	json_decref(event);
	if (fflush(stdout) != 0)
		following->unwritten = errno;
	return !following->unwritten && !following->overflow;
}

/* "/v1/events?since=7&boot=B&sandbox=ID". The caller frees; NULL after a usage error was reported. */
static char *command_events_target(const struct cli *cli)
{
	const char *since = cli_args_value(cli->args, "since");
	const char *boot = cli_args_value(cli->args, "boot");
	const char *sandbox = cli_args_value(cli->args, "sandbox");
	AUTO_FREE char *escaped_boot = cli_escape(boot ? boot : "");
	AUTO_FREE char *escaped_id = cli_escape(sandbox ? sandbox : "");
	char *target;
	struct err err;
	long seq;

	if (!since != !boot) {
		cli_usage(cli, "--since and --boot belong together");
		return NULL;
	}
	if (since && cli_args_number("--since", since, 0, INT64_MAX, &seq, &err) < 0) {
		cli_usage(cli, "%s", err.text);
		return NULL;
	}
	if (asprintf(&target, "/v1/events%s%s%s%s%s%s%s", since || sandbox ? "?" : "", since ? "since=" : "",
		     since ? since : "", since ? "&boot=" : "", escaped_boot,
		     sandbox ? (since ? "&sandbox=" : "sandbox=") : "", escaped_id) < 0)
		abort();
	return target;
}

/* A stream may have nothing to print for long, and would be read all the same. */
static bool command_events_can_print(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

int command_events(const struct cli *cli)
{
	AUTO_FREE char *target = command_events_target(cli);
	struct following following = { .cli = cli, .sandbox = cli_args_value(cli->args, "sandbox") };
	struct client_request request = {
		.socket = cli->socket,
		.agent = "weftctl",
		.method = "GET",
		.target = target,
		.timeout_ms = cli->deadline_ms,
		.silence_ms = HEARTBEAT_MS + cli->deadline_ms,
	};
	struct client_answer answer;
	struct err err;

	if (!target)
		return CLI_USAGE;
	if (!command_events_can_print())
		return cli_fail_output(cli, EBADF);
	if (client_stream(&request, command_events_take_line, &following, &answer, &err) < 0) {
		/* A stream that breaks off in its middle means that the daemon ended. */
		if (following.boot[0] && err.code == EPROTO)
			err.code = ECONNRESET;
		return cli_report_failure(cli, &err);
	}
	if (answer.status != 200) {
		struct client_refusal refusal;
		client_refusal_read(&refusal, &answer);
		int code = cli_report_refusal(cli, &refusal);
		client_refusal_clear(&refusal);
		client_answer_clear(&answer);
		return code;
	}
	if (following.unwritten)
		return cli_fail_output(cli, following.unwritten);
	if (following.overflow)
		return cli_fail(cli, CLI_FAILED,
				"events came faster than they were read, and weftd cut us off\n"
				"To go on from there: weftctl events --since %lld --boot %s",
				following.seq, following.boot);
	return cli_fail(cli, CLI_UNREACHABLE, "weftd ended the stream: it is stopping, or was restarted");
}
