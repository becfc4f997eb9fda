/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The deadline, against daemons that stand still in each place where one can.
 */
#include "client/client.h"

#include "base/err.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_MS = 100, FILLERS_MAX = 8 };

static char folder[] = "/tmp/weft-client-XXXXXX";
static char path[64];
static int listening = -1;
static pthread_t daemon_thread;
static bool has_thread;
static struct client_answer answer;
static struct err err;

static void setup(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(folder, "/tmp/weft-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/c.sock", folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listening, 0), 0);
}

static void teardown(void)
{
	shutdown(listening, SHUT_RDWR); /* wakes accept() */
	if (has_thread)
		pthread_join(daemon_thread, NULL);
	has_thread = false;
	close(listening);
	unlink(path);
	rmdir(folder);
	client_answer_clear(&answer);
}

/* A daemon accepts one client, sends the text, and then nothing, or one "x" after the other. */
struct script {
	const char *text;
	bool goes_on;
};

static void *play(void *arg)
{
	const struct script *script = arg;
	int fd = accept(listening, NULL, NULL);
	struct pollfd client = { .fd = fd, .events = 0 };

	if (fd < 0)
		return NULL;
	(void)!write(fd, script->text, strlen(script->text));
	/* Until the client hangs up. */
	while (poll(&client, 1, script->goes_on ? DEADLINE_MS / 10 : -1) == 0)
		send(fd, "x", 1, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void start_daemon(const struct script *script)
{
	ck_assert_int_eq(pthread_create(&daemon_thread, NULL, play, (void *)script), 0);
	has_thread = true;
}

static struct client_request request_of(const char *target)
{
	return (struct client_request){ .socket = path,
					.agent = "test",
					.method = "GET",
					.target = target,
					.timeout_ms = DEADLINE_MS,
					.silence_ms = DEADLINE_MS };
}

static void assert_names_this_process(void)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "weftd (process %d) does not answer", getpid());
	ck_assert_str_eq(err.text, expected);
	ck_assert_int_eq(err.code, ETIMEDOUT);
}

START_TEST(a_daemon_that_does_not_accept_is_named)
{
	struct client_request request = request_of("/");

	ck_assert_int_eq(client_call(&request, &answer, &err), -1);
	assert_names_this_process();
}
END_TEST

START_TEST(a_daemon_that_does_not_answer_is_named)
{
	static const struct script silent = { .text = "" };
	struct client_request request = request_of("/");

	start_daemon(&silent);
	ck_assert_int_eq(client_call(&request, &answer, &err), -1);
	assert_names_this_process();
}
END_TEST

START_TEST(the_deadline_is_for_the_whole_answer)
{
	static const struct script dripping = { "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", true };
	struct client_request request = request_of("/");

	start_daemon(&dripping);
	ck_assert_int_eq(client_call(&request, &answer, &err), -1);
	assert_names_this_process();
}
END_TEST

START_TEST(a_full_backlog_counts_toward_the_deadline)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct client_request request = request_of("/");
	int fillers[FILLERS_MAX], count = 0;
	bool full = false;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	while (!full && count < FILLERS_MAX) {
		fillers[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		full = connect(fillers[count++], (struct sockaddr *)&address, sizeof(address)) < 0 && errno == EAGAIN;
	}
	ck_assert(full);
	ck_assert_int_eq(client_call(&request, &answer, &err), -1);
	ck_assert_int_eq(err.code, ETIMEDOUT);
	ck_assert_str_eq(err.text, "weftd does not answer");
	while (count)
		close(fillers[--count]);
}
END_TEST

static bool take_line(void *context, char *line, size_t length)
{
	unsigned *lines = context;

	(void)line;
	(void)length;
	++*lines;
	return true;
}

START_TEST(a_stream_may_be_silent_for_its_own_time)
{
	static const struct script streaming = { .text = "HTTP/1.1 200 OK\r\n\r\n{}\n" };
	struct client_request request = request_of("/v1/events");
	unsigned lines = 0;

	request.timeout_ms = 60000; /* for the first piece, on a machine that stalls */

	start_daemon(&streaming);
	ck_assert_int_eq(client_stream(&request, take_line, &lines, &answer, &err), -1);
	assert_names_this_process();
	ck_assert_uint_eq(lines, 1);
}
END_TEST

/* ---- A path that leads to no daemon ---- */

static void fails_as(const char *socket, int code, const char *text)
{
	const struct client_request request = {
		.socket = socket, .agent = "test", .method = "GET", .target = "/", .timeout_ms = DEADLINE_MS
	};

	ck_assert_int_eq(client_call(&request, &answer, &err), -1);
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s is not in: %s", text, err.text);
}

START_TEST(what_stands_in_the_sockets_place_is_told)
{
	char other[96], text[160], longest[200];
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(other, sizeof(other), "%s/file", folder);
	fclose(fopen(other, "we"));
	snprintf(text, sizeof(text), "%s is no socket, but a regular file", other);
	fails_as(other, ENOTSOCK, text);
	ck_assert_ptr_null(strstr(err.text, "refused"));
	unlink(other);
	fails_as(other, ENOENT, "No such file");
	snprintf(text, sizeof(text), "%s is no socket, but a directory", folder);
	fails_as(folder, ENOTSOCK, text);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", other);
	int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(datagrams, (struct sockaddr *)&address, sizeof(address)), 0);
	fails_as(other, ENOTSOCK, "a socket of another type");
	close(datagrams);
	/* It is a socket, and nobody listens. */
	unlink(other);
	int ended = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(ended, (struct sockaddr *)&address, sizeof(address)), 0);
	close(ended);
	fails_as(other, ECONNREFUSED, "Connection refused");
	unlink(other);

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	fails_as(longest, ENAMETOOLONG, "at most 107 bytes");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client/client");
	TCase *tcase = tcase_create("deadline");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_stands_in_the_sockets_place_is_told);
	tcase_add_test(tcase, a_daemon_that_does_not_accept_is_named);
	tcase_add_test(tcase, a_daemon_that_does_not_answer_is_named);
	tcase_add_test(tcase, the_deadline_is_for_the_whole_answer);
	tcase_add_test(tcase, a_full_backlog_counts_toward_the_deadline);
	tcase_add_test(tcase, a_stream_may_be_silent_for_its_own_time);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
