/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl events: prints each event as it comes and flushes at once, for a reader at the end of a pipe. Programs get the daemon's
 * own lines. People get the time, the sandbox and the event, without heartbeats. A sandbox that is not there may come later; who
 * mistyped its id would wait for ever, so stderr tells that it was not in the snapshot.
 *
 * A stream that ends with weftd's run is asked for again, from the last event on. The next run knows no events of the former one, and
 * answers with a snapshot; stderr tells which of the two it was. Amid a snapshot there is no place to go on from: another one follows.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/absence.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	HEARTBEAT_MS = 15000, /* the daemon's: a stream is never silent for longer, but for the time to answer */
	RETRY_S = 60,
	RETRY_MOST_S = 86400,
};

struct following {
	const struct cli *cli;
	const char *sandbox; /* the only one that is followed; NULL: all */
	bool seen;           /* an event of a sandbox came */
	bool begun;          /* a line came, of this stream or a former one */
	bool resuming;       /* the stream was asked to go on after SEQ of BOOT, and no line of it came yet */
	bool amid_snapshot;
	bool stopping, overflow;
	int unwritten;  /* errno of an output that failed; else 0 */
	long seq;       /* of the last event, or of that after which to begin */
	char boot[128]; /* "": none yet */
	uint64_t retry_ms;
	struct cli_absence absence;
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

/* The first line of a stream that was to go on: whether it does. */
static void command_events_tell_return(const struct following *following, const json_t *event, const char *type)
{
	const char *boot = client_text(event, "boot");

	fflush(stdout);
	if (strcmp(boot, following->boot) != 0)
		cli_text_print(
		    stderr,
		    "weftctl events: another run of weftd answers (boot %s, after %s); what its sandboxes are "
		    "now is in the snapshot that follows\n",
		    boot, following->boot);
	else if (strncmp(type, "snapshot", strlen("snapshot")) == 0)
		cli_text_print(stderr,
			       "weftctl events: weftd keeps the events after %ld no longer; a snapshot follows\n",
			       following->seq);
	else if (following->begun)
		cli_text_print(stderr, "weftctl events: weftd goes on after event %ld; none is missing\n",
			       following->seq);
}

static void command_events_note_line(struct following *following, const json_t *event, const char *type)
{
	const char *boot = client_text(event, "boot");

	if (following->resuming)
		command_events_tell_return(following, event, type);
	following->begun = true;
	following->resuming = false;
	cli_absence_end(&following->absence);
	following->overflow = strcmp(type, "overflow") == 0;
	following->stopping = strcmp(type, "stopping") == 0;
	following->seen = following->seen || *client_text(event, "sandbox");
	if (strcmp(type, "snapshot") == 0)
		following->amid_snapshot = true;
	else if (strcmp(type, "snapshot-end") == 0)
		following->amid_snapshot = false;
	if (json_is_integer(json_object_get(event, "seq")) && !following->overflow)
		following->seq = (long)client_number(event, "seq");
	if (*boot)
		snprintf(following->boot, sizeof(following->boot), "%s", boot);
}

static bool command_events_take_line(void *context, char *line, size_t length)
{
	struct following *following = context;
	json_t *event = json_loadb(line, length, 0, NULL);
	const char *type = client_text(event, "type");

	command_events_note_line(following, event, type);
	if (following->cli->json) {
		fwrite(line, 1, length, stdout);
		putchar('\n');
	} else if (event && strcmp(type, "heartbeat") != 0 && strcmp(type, "snapshot-end") != 0 &&
		   strcmp(type, "overflow") != 0) {
		command_events_print(following->cli, event, type);
	}
	if (following->sandbox && !following->seen && strcmp(type, "snapshot-end") == 0)
		command_events_tell_absent(following);
	json_decref(event);
	if (fflush(stdout) != 0)
		following->unwritten = errno;
	return !following->unwritten && !following->overflow;
}

/* Whether there is an event to go on from. */
static bool command_events_has_place(const struct following *following)
{
	return *following->boot && !following->amid_snapshot;
}

/* "/v1/events?since=7&boot=B&sandbox=ID". The caller frees. */
static char *command_events_target(const struct following *following)
{
	AUTO_FREE char *escaped_boot = cli_escape(following->boot);
	AUTO_FREE char *escaped_id = cli_escape(following->sandbox ? following->sandbox : "");
	AUTO_FREE char *since = NULL;
	char *target;

	if (command_events_has_place(following) &&
	    asprintf(&since, "since=%ld&boot=%s", following->seq, escaped_boot) < 0)
		abort();
	if (asprintf(&target, "/v1/events%s%s%s%s%s", since || following->sandbox ? "?" : "", since ? since : "",
		     since && following->sandbox ? "&" : "", following->sandbox ? "sandbox=" : "", escaped_id) < 0)
		abort();
	return target;
}

/* 0, or -1 after a usage error was reported. */
static int command_events_read_options(const struct cli *cli, struct following *following)
{
	const char *since = cli_args_value(cli->args, "since");
	const char *boot = cli_args_value(cli->args, "boot");
	const char *retry = cli_args_value(cli->args, "retry");
	long retry_s = RETRY_S;
	struct err err;

	if (!since != !boot) {
		cli_usage(cli, "--since and --boot belong together");
		return -1;
	}
	if ((since && cli_args_number("--since", since, 0, INT64_MAX, &following->seq, &err) < 0) ||
	    (retry && cli_args_number("--retry", retry, 0, RETRY_MOST_S, &retry_s, &err) < 0)) {
		cli_usage(cli, "%s", err.text);
		return -1;
	}
	following->retry_ms = (uint64_t)retry_s * 1000;
	snprintf(following->boot, sizeof(following->boot), "%s", boot ? boot : "");
	return 0;
}

/* A stream may have nothing to print for long, and would be read all the same. */
static bool command_events_can_print(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* A stream that does not come, or breaks off, as it does with the end of weftd. */
static bool command_events_is_away(const struct following *following, const struct err *err)
{
	if (cli_absence_lasts(&following->absence))
		return err->code != ENOMEM && err->code != EACCES && err->code != EPERM;
	/* In its middle a stream breaks off because the daemon ended. */
	return err->code == ECONNRESET || (following->begun && err->code == EPROTO);
}

static int command_events_report_failure(const struct following *following, struct err *err)
{
	if (following->begun && err->code == EPROTO)
		err->code = ECONNRESET;
	return cli_report_failure(following->cli, err);
}

static int command_events_report_refusal(const struct cli *cli, struct client_answer *answer)
{
	struct client_refusal refusal;

	client_refusal_read(&refusal, answer);
	int code = cli_report_refusal(cli, &refusal);
	client_refusal_clear(&refusal);
	return code;
}

/* The stream ended in order, or LINE ended it. Whether to ask for it again; else *CODE is the exit code, and its reason was reported. */
static bool command_events_ended(struct following *following, int *code)
{
	const struct cli *cli = following->cli;
	bool told = following->stopping;

	if (following->unwritten)
		*code = cli_fail_output(cli, following->unwritten);
	else if (following->overflow && following->amid_snapshot)
		*code = cli_fail(cli, CLI_FAILED,
				 "the snapshot came faster than it was read, and weftd cut us off\n"
				 "To read it faster, let weftctl write to a file.");
	else if (following->overflow)
		*code = cli_fail(cli, CLI_FAILED,
				 "events came faster than they were read, and weftd cut us off\n"
				 "To go on from there: weftctl events --since %ld --boot %s",
				 following->seq, following->boot);
	else if (cli_absence_pause(&following->absence, following->retry_ms,
				   told ? "weftd is stopping" : "weftd ended the stream"))
		return true;
	else
		*code = cli_fail(cli, CLI_UNREACHABLE, "weftd ended the stream: it is stopping, or was restarted");
	return false;
}

/* One stream, to its end. Whether to ask for another; else *CODE is the exit code, and its reason was reported. */
static bool command_events_follow(struct following *following, int *code)
{
	const struct cli *cli = following->cli;
	AUTO_FREE char *target = command_events_target(following);
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
	bool again;

	following->resuming = command_events_has_place(following);
	following->seen = following->stopping = false;
	if (client_stream(&request, command_events_take_line, following, &answer, &err) < 0) {
		again = command_events_is_away(following, &err) &&
			cli_absence_pause(&following->absence, following->retry_ms, "weftd ended");
		if (!again)
			*code = command_events_report_failure(following, &err);
	} else if (answer.status != 200) {
		/* All who followed the former run come back at once, and places for streams are few. */
		bool away = cli_absence_lasts(&following->absence);
		again = ((answer.status == 503 && answer.retry_after_s) ||
			 (away && (answer.status == 503 || answer.status == 429))) &&
			cli_absence_pause(&following->absence, following->retry_ms, "weftd is stopping");
		if (!again)
			*code = command_events_report_refusal(cli, &answer);
	} else {
		again = command_events_ended(following, code);
	}
	client_answer_clear(&answer);
	return again;
}

int command_events(const struct cli *cli)
{
	struct following following = {
		.cli = cli,
		.sandbox = cli_args_value(cli->args, "sandbox"),
		.absence.cli = cli,
	};
	int code = CLI_DONE;

	if (command_events_read_options(cli, &following) < 0)
		return CLI_USAGE;
	if (!command_events_can_print())
		return cli_fail_output(cli, EBADF);
	while (command_events_follow(&following, &code))
		continue;
	return code;
}
