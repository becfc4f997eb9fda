/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One socket is both ends of it: the input is so short that it fits into the socket's buffer, so the output alone is waited for.
 */
#include "cli/child.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 256 * 1024 }; /* the rest is not kept */

/* Starts it with OURS as the other end of its standard streams. Its pid, or -1. */
static pid_t cli_child_start(const char *const *arguments, int *ours, struct err *err)
{
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(err, errno, "a socket for %s", arguments[0]);
	AUTO_FD int near = ends[0];
	AUTO_FD int far = ends[1];
	if (posix_spawn_file_actions_init(&actions) != 0)
		return err_set(err, ENOMEM, "%s", arguments[0]);
	posix_spawn_file_actions_adddup2(&actions, far, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, far, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	int code = posix_spawnp(&pid, arguments[0], &actions, NULL, (char *const *)arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (code)
		return err_set(err, code, "running %s", arguments[0]);
	*ours = steal_fd(&near);
	return pid;
}

/* Whether more is to come before DEADLINE_MS. */
static bool cli_child_wait(int fd, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = clock_now_ms();
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int ready = now < deadline_ms ? poll(&poll_fd, 1, (int)(deadline_ms - now)) : 0;

		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

/* False: the deadline has come. */
static bool cli_child_read(int fd, char *text, uint64_t deadline_ms)
{
	char rest[4096] = "";
	size_t length = 0;

	for (;;) {
		if (!cli_child_wait(fd, deadline_ms))
			return false;
		size_t room = OUTPUT_MAX - length;
		ssize_t got = read(fd, room ? text + length : rest, room ? room : sizeof(rest));
		if (got > 0 && room)
			length += (size_t)got;
		else if (got == 0 || (got < 0 && errno != EINTR))
			return true;
	}
}

int cli_child_run(const char *const *arguments, const char *input, unsigned deadline_ms, struct cli_child *child,
		  struct err *err)
{
	AUTO_FD int fd = -1;
	int status = 0;
	pid_t pid = cli_child_start(arguments, &fd, err);

	*child = (struct cli_child){ .exit_status = -1 };
	if (pid < 0)
		return -1;
	child->output = calloc(1, OUTPUT_MAX + 1);
	if (!child->output)
		abort();
	if (input)
		(void)!send(fd, input, strlen(input), MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	if (!cli_child_read(fd, child->output, clock_now_ms() + deadline_ms))
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return 0;
}
