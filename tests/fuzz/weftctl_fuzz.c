/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as weftd's answer to weftctl. The first byte selects the command; the others are the body of a 200, or, with the
 * highest bit of that byte, the whole answer. The command ends, with one of weftctl's exit codes.
 */
#include "cli/cli.h"
#include "fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WHOLE_ANSWER = 0x80, ARGUMENTS_MAX = 8 };

static const char *const commands_to_try[][ARGUMENTS_MAX] = {
	{ "events" },
	{ "events", "--json" },
	{ "ls" },
	{ "show", "a" },
	{ "diagnose", "a" },
	{ "connections", "a" },
	{ "status" },
	{ "reach", "a", "192.0.2.1:443" },
	{ "register", "a", "--port", "8080" },
	{ "policy", "a", "--internet", "no" },
	{ "publish", "a", "8080" },
	{ "wait", "a", "--state", "ready" },
	{ "unregister", "a" },
	{ "ls", "--json" },
	{ "wake", "a" },
};

static struct {
	bool on;
	const uint8_t *data;
	size_t size;
	bool whole;
} answer;

/* The daemon that has answered and closed before it is asked. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
	int pair[2], flags;

	if (!answer.on)
		return fuzz_real(connect)(fd, address, length);
	fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	flags = fcntl(fd, F_GETFL);
	if (!answer.whole)
		fuzz_check(send(pair[1], head, sizeof(head) - 1, MSG_NOSIGNAL) == sizeof(head) - 1);
	for (size_t sent = 0; sent < answer.size;) {
		ssize_t more = send(pair[1], answer.data + sent, answer.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (more <= 0)
			break; /* more than a socket holds */
		sent += (size_t)more;
	}
	fuzz_check(dup3(pair[0], fd, O_CLOEXEC) == fd);
	fcntl(fd, F_SETFL, flags);
	close(pair[0]);
	shutdown(pair[1], SHUT_WR);
	/* It stays open until the process ends its side: a reset would cut the answer. */
	static int last = -1;
	if (last >= 0)
		close(last);
	last = pair[1];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	char *argv[ARGUMENTS_MAX + 2] = { (char *)"weftctl" };
	int argc = 1;

	if (!size || size > 65536)
		return 0;
	const char *const *command =
	    commands_to_try[(data[0] & ~WHOLE_ANSWER) % (sizeof(commands_to_try) / sizeof(commands_to_try[0]))];
	if (!nowhere) {
		nowhere = fopen("/dev/null", "we");
		fuzz_check(nowhere);
	}
	for (size_t i = 0; i < ARGUMENTS_MAX && command[i]; i++)
		argv[argc++] = (char *)command[i];
	answer.data = data + 1;
	answer.size = size - 1;
	answer.whole = data[0] & WHOLE_ANSWER;
	answer.on = true;
	/* glibc has these as variables. A sanitizer writes to the descriptor itself, so its report is not lost. */
	FILE *out = stdout, *complaints = stderr;
	stdout = stderr = nowhere;
	int code = cli_main(argc, argv);
	stdout = out;
	stderr = complaints;
	answer.on = false;
	fuzz_check(code >= 0 && code <= 5);
	return 0;
}
