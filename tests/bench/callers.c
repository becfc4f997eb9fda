/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many callers of the control socket at once, like a busy VM manager. One thread with epoll; each caller keeps its connection and
 * makes one call at a time, for the next sandbox without a call.
 *
 *	callers SOCKET METHOD PREFIX FIRST COUNT AT-ONCE [BODY]
 *
 * calls METHOD on /v1/sandboxes/PREFIX-N for N from FIRST, COUNT times. Prints "done=N failed=N seconds=S", and on a second line
 * the duration of each call in microseconds, in the order of the answers. The first refusal goes to stderr.
 */
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER = 64 * 1024, WAKE_UPS = 64 };

struct caller {
	int fd;
	size_t got;
	uint64_t asked_ns;
	char answer[ANSWER];
};

static struct {
	const char *socket, *method, *prefix, *body;
	unsigned long first, count, at_once;
} options;

static unsigned long begun, done, failed;
static uint64_t *samples_ns;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int connect_to_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(options.socket) >= sizeof(address.sun_path))
		errx(64, "%s: too long for a socket's path", options.socket);
	strcpy(address.sun_path, options.socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "%s", options.socket);
	return fd;
}

/* Sends the next call. Returns false if there is none left. */
static bool call(struct caller *caller)
{
	char text[4096];

	if (begun == options.count)
		return false;
	int length = snprintf(
	    text, sizeof(text), "%s /v1/sandboxes/%s-%lu HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
	    options.method, options.prefix, options.first + begun, strlen(options.body), options.body);
	begun++;
	caller->got = 0;
	caller->asked_ns = now_ns();
	if (send(caller->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
		err(1, "send");
	return true;
}

/* Whether the bytes so far are a complete answer. */
static bool answer_is_whole(const struct caller *caller)
{
	const char *end = strstr(caller->answer, "\r\n\r\n");
	const char *length = strcasestr(caller->answer, "\r\nContent-Length:");

	if (!end)
		return false;
	size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
	return caller->got >= (size_t)(end + 4 - caller->answer) + body;
}

static void hear(struct caller *caller)
{
	ssize_t got = recv(caller->fd, caller->answer + caller->got, ANSWER - 1 - caller->got, 0);

	if (got <= 0)
		errx(1, "the daemon closed a connection");
	caller->got += (size_t)got;
	caller->answer[caller->got] = '\0';
	if (!answer_is_whole(caller))
		return;
	samples_ns[done + failed] = now_ns() - caller->asked_ns;
	if (strncmp(caller->answer, "HTTP/1.1 2", 10) == 0) {
		done++;
	} else {
		if (!failed++)
			fprintf(stderr, "%s\n", caller->answer);
	}
	call(caller);
}

static void run(void)
{
	struct caller *callers = calloc(options.at_once, sizeof(*callers));
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (!callers || epoll_fd < 0)
		err(1, "start");
	for (unsigned long i = 0; i < options.at_once; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &callers[i] };

		callers[i].fd = connect_to_socket();
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, callers[i].fd, &event) < 0)
			err(1, "epoll_ctl");
	}

	uint64_t start_ns = now_ns();
	for (unsigned long i = 0; i < options.at_once; i++)
		call(&callers[i]);
	while (done + failed < options.count) {
		struct epoll_event events[WAKE_UPS];
		int count = epoll_wait(epoll_fd, events, WAKE_UPS, 60000);

		if (count == 0)
			errx(1, "no answer for a minute, after %lu", done);
		for (int i = 0; i < count; i++)
			hear(events[i].data.ptr);
	}
	printf("done=%lu failed=%lu seconds=%.6f\n", done, failed, (double)(now_ns() - start_ns) / 1e9);
	for (unsigned long i = 0; i < done + failed; i++)
		printf("%.1f ", (double)samples_ns[i] / 1e3);
	puts("");
	for (unsigned long i = 0; i < options.at_once; i++)
		close(callers[i].fd);
	close(epoll_fd);
	free(callers);
}

int main(int argc, char **argv)
{
	if (argc < 7)
		errx(64, "usage: callers SOCKET METHOD PREFIX FIRST COUNT AT-ONCE [BODY]");
	options.socket = argv[1];
	options.method = argv[2];
	options.prefix = argv[3];
	options.first = strtoul(argv[4], NULL, 10);
	options.count = strtoul(argv[5], NULL, 10);
	options.at_once = strtoul(argv[6], NULL, 10);
	options.body = argc > 7 ? argv[7] : "";
	if (options.at_once > options.count)
		options.at_once = options.count;
	samples_ns = calloc(options.count, sizeof(*samples_ns));
	if (!options.count || !samples_ns)
		errx(64, "nothing to do");
	run();
	free(samples_ns);
	return failed ? 1 : 0;
}
