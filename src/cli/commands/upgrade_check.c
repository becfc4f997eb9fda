/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl upgrade-check: has the installed weftd check whether it would start in the place of the one that runs. Only the new program
 * knows its needs, so it is run, with the options of the process behind the control socket: a drop-in of the unit may have changed them.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/doctor_facts.h"
#include "cli/print_text.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTALLED_WEFTD SBINDIR "/weftd"

enum {
	ARGUMENTS_MAX = 10,
	OUTPUT_MAX = 1024 * 1024, /* the rest is not kept */
};

struct succession {
	const char *program;
	int pid;                /* of the daemon that runs; -1: one that is not visible; 0: none */
	char version[64];       /* its own; "" if it does not say */
	json_int_t connections; /* of it */
	char config[DOCTOR_PATH_SIZE], state_dir[DOCTOR_PATH_SIZE]; /* "": as usual */
	char *output;                                               /* of the check; owned */
	int exit_status;                                            /* its own, or -1: it was ended by a signal */
};

/* The daemon that is to be replaced. */
static void command_upgrade_check_look(const struct cli *cli, struct succession *succession)
{
	const char *config = cli_args_value(cli->args, "config");
	const struct client_request request = { .socket = cli->socket,
						.agent = "weftctl",
						.method = "GET",
						.target = "/v1/status",
						.timeout_ms = cli->deadline_ms };
	struct client_refusal refusal = { 0 };
	struct health_facts facts;
	json_t *status = NULL;
	struct err ignored;
	bool known;

	health_facts_begin(&facts, cli->socket);
	succession->pid = health_daemon(&facts);
	health_facts_clear(&facts);
	if (!cli_doctor_find_path(succession->pid, "--config", succession->config, &known))
		succession->config[0] = '\0';
	if (!cli_doctor_find_path(succession->pid, "--state-dir", succession->state_dir, &known))
		succession->state_dir[0] = '\0';
	if (config)
		snprintf(succession->config, sizeof(succession->config), "%s", config);
	/* One that does not answer may be restarted all the more. */
	if (succession->pid && client_ask(&request, &status, &refusal, &ignored) == CLIENT_REFUSED)
		client_refusal_clear(&refusal);
	snprintf(succession->version, sizeof(succession->version), "%s", client_text(status, "version"));
	succession->connections = client_number(status, "connections");
	json_decref(status);
}

/* Starts the check, with its output and its errors in one pipe. Its pid and *OUTPUT, or -1 with ERR. */
static pid_t command_upgrade_check_start(const struct cli *cli, struct succession *succession, int *output,
					 struct err *err)
{
	const char *arguments[ARGUMENTS_MAX] = { succession->program, "--check", "--before-restart", "--socket",
						 cli->socket };
	size_t count = 5;
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid;

	if (succession->config[0]) {
		arguments[count++] = "--config";
		arguments[count++] = succession->config;
	}
	if (succession->state_dir[0]) {
		arguments[count++] = "--state-dir";
		arguments[count++] = succession->state_dir;
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, errno, "a pipe");
	AUTO_FD int reading = ends[0];
	AUTO_FD int writing = ends[1];
	if (posix_spawn_file_actions_init(&actions) != 0)
		return err_set(err, ENOMEM, "%s", succession->program);
	posix_spawn_file_actions_adddup2(&actions, writing, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, writing, STDERR_FILENO);
	int code = posix_spawn(&pid, succession->program, &actions, NULL, (char *const *)arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (code)
		return err_set(err, code, "running %s", succession->program);
	*output = steal_fd(&reading);
	return pid;
}

/* The whole output, until the check ends. The caller frees. */
static char *command_upgrade_check_read(int fd)
{
	char *text = calloc(1, OUTPUT_MAX + 1), rest[4096] = "";
	size_t length = 0;

	if (!text)
		abort();
	for (;;) {
		size_t room = OUTPUT_MAX - length;
		ssize_t got = read(fd, room ? text + length : rest, room ? room : sizeof(rest));
		if (got > 0 && room)
			length += (size_t)got;
		else if (got == 0 || (got < 0 && errno != EINTR))
			return text;
	}
}

/* 0, or -1 with ERR: the program cannot be run. */
static int command_upgrade_check_run(const struct cli *cli, struct succession *succession, struct err *err)
{
	int fd = -1, status;
	pid_t pid = command_upgrade_check_start(cli, succession, &fd, err);

	if (pid < 0)
		return -1;
	succession->output = command_upgrade_check_read(fd);
	close(fd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, errno, "waiting for %s", succession->program);
	succession->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return 0;
}

/* "weftd 0.1.0 (process 812)" */
static char *command_upgrade_check_name(const struct succession *succession)
{
	char process[32] = "";
	char *name;

	if (succession->pid > 0)
		snprintf(process, sizeof(process), " (process %d)", succession->pid);
	if (asprintf(&name, "weftd%s%s%s", *succession->version ? " " : "", succession->version, process) < 0)
		abort();
	return name;
}

/* The lines of the check, with what was moved in. */
static void command_upgrade_check_print_output(const struct cli *cli, char *output)
{
	for (char *line; (line = strsep(&output, "\n"));) {
		char lead[16];
		snprintf(lead, sizeof(lead), "%.*s", (int)strspn(line, " "), line);
		if (*line)
			cli_screen_wrap(&cli->screen, CELL_PLAIN, lead, "%s", line + strlen(lead));
	}
}

static void command_upgrade_check_tell(const struct cli *cli, struct succession *succession)
{
	const struct screen *screen = &cli->screen;
	const char *program = succession->program;
	AUTO_FREE char *former = command_upgrade_check_name(succession);
	char how[48] = "a signal ended the check";

	command_upgrade_check_print_output(cli, succession->output);
	if (succession->exit_status > 0)
		snprintf(how, sizeof(how), "exit status %d", succession->exit_status);
	if (succession->exit_status == 0 && !succession->pid)
		cli_screen_wrap(screen, CELL_PLAIN, "", "%s would start; no weftd runs", program);
	else if (succession->exit_status == 0)
		cli_screen_wrap(screen, CELL_PLAIN, "",
				"%s would start in the place of %s, which has %lld connection%s", program, former,
				(long long)succession->connections, succession->connections == 1 ? "" : "s");
	else if (!succession->pid)
		cli_fail(cli, CLI_FAILED, "%s would not start (%s); no weftd runs", program, how);
	else
		cli_fail(cli, CLI_FAILED, "%s would not start (%s)\n%s goes on as long as it is not restarted.",
			 program, how, former);
}

static void command_upgrade_check_print_json(const struct succession *succession)
{
	json_t *told = json_pack("{s:s, s:b, s:o, s:o, s:o, s:I, s:s}", "weftd", succession->program, "starts",
				 succession->exit_status == 0, "exit_status",
				 succession->exit_status < 0 ? json_null() : json_integer(succession->exit_status),
				 "process", succession->pid > 0 ? json_integer(succession->pid) : json_null(),
				 "running", *succession->version ? json_string(succession->version) : json_null(),
				 "connections", succession->connections, "output", succession->output);

	if (!told)
		told = json_pack("{s:s, s:b}", "weftd", succession->program, "starts", succession->exit_status == 0);
	cli_print_json(told);
	json_decref(told);
}

int command_upgrade_check(const struct cli *cli)
{
	const char *program = cli_args_value(cli->args, "weftd");
	struct succession succession = { .program = program ? program : INSTALLED_WEFTD };
	struct err err;

	command_upgrade_check_look(cli, &succession);
	if (command_upgrade_check_run(cli, &succession, &err) < 0) {
		free(succession.output);
		return cli_fail(cli, CLI_FAILED, "%s", err.text);
	}
	if (cli->json)
		command_upgrade_check_print_json(&succession);
	else
		command_upgrade_check_tell(cli, &succession);
	free(succession.output);
	return succession.exit_status < 0 ? CLI_FAILED : succession.exit_status;
}
