/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients that make load, for tests and measurements. One thread, epoll. Prints one line, NAME=VALUE...
 *
 *	load connections ADDRESS TOTAL AT-ONCE   each: connect, one small request, its answer, close
 *	load requests ADDRESS SECONDS AT-ONCE    the same request again and again on connections that are kept
 *	load down ADDRESS BYTES STREAMS          reads BYTES by each stream, from a server that never ends
 *	load up ADDRESS BYTES STREAMS            sends BYTES by each stream, to a server that reports when it has all
 *	load get ADDRESS BYTES STREAMS           the same as down, by one request of HTTP
 *	load post ADDRESS BYTES STREAMS          the same as up, by one request of HTTP
 *	load idle ADDRESS COUNT                  connections that do nothing until stdin ends
 *	load kept ADDRESS COUNT                  the same, after one request and its answer on each
 *	load held ADDRESS COUNT                  requests that wait; says "held" when all are sent, and then on one more line when each had
 *	                                         its answer, in ms of the monotonic clock, or -1 for those without one that is 200
 *
 * ADDRESS: 127.0.0.1:80 or [::1]:80. The server of the modes with HTTP is tests/guest/server.c's http. LOAD_HEAD in the environment has
 * further lines for the head of their requests, each with its CRLF.
 */
#include "base/addr.h"
#include "base/clock.h"

#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, WAKE_UPS = 256, SAMPLES_MAX = 4 * 1000 * 1000, STALLED_MS = 60 * 1000 };

enum stream_kind { STREAM_DOWN, STREAM_UP, STREAM_GET, STREAM_POST };

struct client {
	int fd;
	bool connected;
	size_t got;     /* of this answer */
	uint64_t moved; /* by a stream */
	uint64_t asked_us;
	double answered_ms;
};

static struct addr target;
static char request[4096]; /* of every client */
static size_t request_size;
static int epoll_fd;
static char buffer[BUFFER];
static size_t answer_size; /* all are alike: learned from the first */
static uint64_t begun, done, failed;
static uint32_t *samples; /* microseconds */
static size_t sample_count;

static void open_client(struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client };
	int one = 1;

	*client = (struct client){ .fd = socket(target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	if (client->fd < 0)
		err(1, "socket");
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	client->asked_us = clock_now_us();
	if (connect(client->fd, &target.any, addr_length(&target)) < 0 && errno != EINPROGRESS)
		err(1, "connect");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		err(1, "epoll_ctl");
	begun++;
}

static void make_request(const char *line, uint64_t length)
{
	const char *head = getenv("LOAD_HEAD");
	char body[64] = "";
	int size;

	if (length)
		snprintf(body, sizeof(body), "Content-Length: %llu\r\n", (unsigned long long)length);
	size = snprintf(request, sizeof(request), "%s HTTP/1.1\r\n%s%s%s\r\n", line,
			head && strcasestr(head, "host:") ? "" : "Host: localhost\r\n", head ? head : "", body);
	if (size < 0 || (size_t)size >= sizeof(request))
		errx(2, "LOAD_HEAD is too long");
	request_size = (size_t)size;
}

static bool send_request(struct client *client)
{
	return send(client->fd, request, request_size, MSG_NOSIGNAL) == (ssize_t)request_size;
}

static void ask(struct client *client)
{
	client->got = send_request(client) ? 0 : SIZE_MAX;
}

static void learn_answer_size(ssize_t got)
{
	char *end, *length;

	buffer[got] = '\0';
	end = strstr(buffer, "\r\n\r\n");
	length = strcasestr(buffer, "content-length:");
	if (!end || !length)
		errx(1, "not an answer: %s", buffer);
	answer_size = (size_t)(end + 4 - buffer) + strtoul(length + 15, NULL, 10);
}

static void sample(const struct client *client)
{
	if (sample_count < SAMPLES_MAX)
		samples[sample_count++] = (uint32_t)(clock_now_us() - client->asked_us);
}

/* Returns 1 when the answer is whole, 0 when more is to come, -1 on failure. */
static int hear(struct client *client)
{
	for (;;) {
		ssize_t got = recv(client->fd, buffer, BUFFER - 1, 0);

		if (got < 0 && errno == EAGAIN)
			return 0;
		if (got <= 0)
			return -1;
		if (!answer_size)
			learn_answer_size(got);
		client->got += (size_t)got;
		if (client->got >= answer_size)
			return 1;
	}
}

static int talk(struct client *client, uint32_t events)
{
	if (!client->connected) {
		if (!(events & EPOLLOUT) || events & EPOLLERR)
			return events & EPOLLERR ? -1 : 0;
		client->connected = true;
		ask(client);
		if (client->got == SIZE_MAX)
			return -1;
	}
	return hear(client);
}

static void print_result(double seconds)
{
	printf("done=%llu failed=%llu seconds=%.3f rate=%.1f", (unsigned long long)done, (unsigned long long)failed,
	       seconds, (double)done / seconds);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print_latencies(void)
{
	static const unsigned per_mille[] = { 500, 900, 990, 999 };

	qsort(samples, sample_count, sizeof(samples[0]), compare);
	for (size_t i = 0; sample_count && i < sizeof(per_mille) / sizeof(per_mille[0]); i++)
		printf(" p%u_us=%u", per_mille[i], samples[(sample_count - 1) * per_mille[i] / 1000]);
	puts("");
}

/* ---- Kinds of load ---- */

static void run_connections(uint64_t total, size_t at_once)
{
	struct client *clients = calloc(at_once, sizeof(*clients));
	struct epoll_event events[WAKE_UPS];
	uint64_t start_us = clock_now_us();

	for (size_t i = 0; i < at_once && begun < total; i++)
		open_client(&clients[i]);
	while (done + failed < total) {
		int count = epoll_wait(epoll_fd, events, WAKE_UPS, STALLED_MS);

		if (count == 0)
			errx(1, "stalled after %llu", (unsigned long long)done);
		for (int i = 0; i < count; i++) {
			struct client *client = events[i].data.ptr;
			int result = talk(client, events[i].events);

			if (result == 0)
				continue;
			if (result > 0) {
				done++;
				sample(client);
			} else {
				failed++;
			}
			close(client->fd);
			if (begun < total)
				open_client(client);
		}
	}
	print_result((double)(clock_now_us() - start_us) / 1e6);
	print_latencies();
	free(clients);
}

static void run_requests(double seconds, size_t at_once)
{
	struct client *clients = calloc(at_once, sizeof(*clients));
	struct epoll_event events[WAKE_UPS];
	uint64_t start_us = clock_now_us(), end_us = start_us + (uint64_t)(seconds * 1e6);

	for (size_t i = 0; i < at_once; i++)
		open_client(&clients[i]);
	while (clock_now_us() < end_us) {
		int count = epoll_wait(epoll_fd, events, WAKE_UPS, 100);

		for (int i = 0; i < count; i++) {
			struct client *client = events[i].data.ptr;
			int result = talk(client, events[i].events);

			if (result < 0)
				errx(1, "a connection ended");
			if (result == 0)
				continue;
			done++;
			sample(client);
			client->asked_us = clock_now_us();
			ask(client);
		}
	}
	print_result((double)(clock_now_us() - start_us) / 1e6);
	print_latencies();
	free(clients);
}

/* Sends what is left of BYTES. Returns whether all has gone. */
static bool move_up(struct client *stream, uint64_t bytes)
{
	while (stream->moved < bytes) {
		size_t want = bytes - stream->moved < BUFFER ? (size_t)(bytes - stream->moved) : BUFFER;
		ssize_t size = send(stream->fd, buffer, want, MSG_NOSIGNAL);

		if (size < 0 && errno == EAGAIN)
			return false;
		if (size <= 0)
			err(1, "a stream ended");
		stream->moved += (uint64_t)size;
	}
	return true;
}

/* Returns whether STREAM has read all. */
static bool move_down(struct client *stream, uint64_t bytes)
{
	while (stream->moved < bytes) {
		size_t want = bytes - stream->moved < BUFFER ? (size_t)(bytes - stream->moved) : BUFFER;
		ssize_t size = recv(stream->fd, buffer, want, 0);

		if (size < 0 && errno == EAGAIN)
			return false;
		if (size <= 0)
			err(1, "a stream ended");
		stream->moved += (uint64_t)size;
	}
	return true;
}

static bool move_up_raw(struct client *stream, uint64_t bytes)
{
	if (stream->moved < bytes && move_up(stream, bytes))
		shutdown(stream->fd, SHUT_WR);
	/* Some forwarders lose the server's direction with the client's: an end without an answer, after all bytes have gone. */
	return stream->moved == bytes && recv(stream->fd, buffer, BUFFER, 0) >= 0;
}

/* Reads the head of an answer, and what came with it. Returns false if there is none yet. */
static bool read_head(struct client *stream)
{
	static const char good[] = "HTTP/1.1 200";
	ssize_t size = recv(stream->fd, buffer, BUFFER - 1, 0);

	if (size < 0 && errno == EAGAIN)
		return false;
	buffer[size > 0 ? size : 0] = '\0';
	char *end = size > 0 ? memmem(buffer, (size_t)size, "\r\n\r\n", 4) : NULL;
	if (!end || strncmp(buffer, good, sizeof(good) - 1) != 0)
		errx(1, "not an answer: %.200s", buffer);
	stream->got = (size_t)(end + 4 - buffer);
	stream->moved += (size_t)size - stream->got;
	return true;
}

static bool move_by_http(struct client *stream, uint64_t bytes, bool up)
{
	if (!stream->connected && !send_request(stream))
		err(1, "a request");
	stream->connected = true;
	if (up)
		return move_up(stream, bytes) && read_head(stream);
	return (stream->got || read_head(stream)) && move_down(stream, bytes);
}

/* Returns whether STREAM has moved all. */
static bool move(struct client *stream, uint64_t bytes, enum stream_kind kind)
{
	switch (kind) {
	case STREAM_DOWN:
		return move_down(stream, bytes);
	case STREAM_UP:
		return move_up_raw(stream, bytes);
	case STREAM_GET:
	case STREAM_POST:
		return move_by_http(stream, bytes, kind == STREAM_POST);
	}
	return true;
}

static void run_streams(uint64_t bytes, size_t count, enum stream_kind kind)
{
	struct client *streams = calloc(count, sizeof(*streams));
	struct epoll_event events[WAKE_UPS];
	uint64_t start_us = clock_now_us();

	for (size_t i = 0; i < count; i++)
		open_client(&streams[i]);
	while (done < count) {
		int ready = epoll_wait(epoll_fd, events, WAKE_UPS, STALLED_MS);

		if (ready == 0)
			errx(1, "stalled");
		for (int i = 0; i < ready; i++) {
			struct client *stream = events[i].data.ptr;

			if (stream->fd < 0)
				continue;
			if (kind >= STREAM_GET && !stream->connected && !(events[i].events & EPOLLOUT))
				continue;
			if (move(stream, bytes, kind)) {
				close(stream->fd);
				stream->fd = -1;
				done++;
			}
		}
	}
	double seconds = (double)(clock_now_us() - start_us) / 1e6;
	printf("bytes=%llu seconds=%.3f gb_s=%.3f\n", (unsigned long long)(bytes * count), seconds,
	       (double)bytes * (double)count / 1e9 / seconds);
	free(streams);
}

static void wait_for_stdin(const char *say)
{
	char byte;

	puts(say);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
}

static void run_idle(size_t count)
{
	struct client *clients = calloc(count, sizeof(*clients));

	for (size_t i = 0; i < count; i++)
		open_client(&clients[i]);
	wait_for_stdin("idle");
	free(clients);
}

/* One after the other, so that none waits in a queue behind the rest. */
static void run_kept(size_t count)
{
	struct client *clients = calloc(count, sizeof(*clients));
	struct epoll_event event;

	for (size_t i = 0; i < count; i++) {
		int result = 0;

		open_client(&clients[i]);
		while (result == 0) {
			if (epoll_wait(epoll_fd, &event, 1, STALLED_MS) <= 0)
				errx(1, "stalled after %zu", i);
			if (event.data.ptr == &clients[i])
				result = talk(&clients[i], event.events);
		}
		if (result < 0)
			errx(1, "connection %zu ended", i);
	}
	wait_for_stdin("kept");
	free(clients);
}

/* What came, or the end of the connection. */
static void hear_held(struct client *client)
{
	static const char good[] = "HTTP/1.1 200";
	ssize_t got = recv(client->fd, buffer, BUFFER - 1, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	done++;
	if (got >= (ssize_t)sizeof(good) - 1 && memcmp(buffer, good, sizeof(good) - 1) == 0)
		client->answered_ms = (double)clock_now_us() / 1000;
	close(client->fd);
	client->fd = -1;
}

static void run_held(size_t count)
{
	struct client *clients = calloc(count, sizeof(*clients));
	struct epoll_event events[WAKE_UPS];
	size_t asked = 0;

	for (size_t i = 0; i < count; i++) {
		open_client(&clients[i]);
		clients[i].answered_ms = -1;
	}
	while (done < count) {
		int ready = epoll_wait(epoll_fd, events, WAKE_UPS, STALLED_MS);

		if (ready == 0)
			errx(1, "stalled after %llu", (unsigned long long)done);
		for (int i = 0; i < ready; i++) {
			struct client *client = events[i].data.ptr;

			if (client->fd >= 0 && client->connected) {
				hear_held(client);
			} else if (client->fd >= 0 && events[i].events & (EPOLLOUT | EPOLLERR)) {
				client->connected = true;
				ask(client);
				if (++asked == count) {
					puts("held");
					fflush(stdout);
				}
			}
		}
	}
	for (size_t i = 0; i < count; i++)
		printf("%.3f%c", clients[i].answered_ms, i + 1 < count ? ' ' : '\n');
	free(clients);
}

static void run(const char *mode, double first, size_t second)
{
	static const char *const streams[] = {
		[STREAM_DOWN] = "down",
		[STREAM_UP] = "up",
		[STREAM_GET] = "get",
		[STREAM_POST] = "post",
	};
	char line[64];

	make_request("GET /health", 0);
	if (strcmp(mode, "connections") == 0) {
		run_connections((uint64_t)first, second);
	} else if (strcmp(mode, "requests") == 0) {
		run_requests(first, second);
	} else if (strcmp(mode, "idle") == 0) {
		run_idle((size_t)first);
	} else if (strcmp(mode, "kept") == 0) {
		run_kept((size_t)first);
	} else if (strcmp(mode, "held") == 0) {
		run_held((size_t)first);
	}
	for (enum stream_kind kind = STREAM_DOWN; kind <= STREAM_POST; kind++)
		if (strcmp(mode, streams[kind]) == 0) {
			if (kind == STREAM_GET) {
				snprintf(line, sizeof(line), "GET /bytes/%llu", (unsigned long long)first);
				make_request(line, 0);
			} else if (kind == STREAM_POST) {
				make_request("POST /upload", (uint64_t)first);
			}
			run_streams((uint64_t)first, second, kind);
		}
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc < 4 || addr_parse(argv[2], &target) < 0)
		errx(2, "load connections|requests|down|up|get|post|idle|kept|held ADDRESS N [N]");
	double first = strtod(argv[3], NULL);
	size_t second = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	samples = malloc(SAMPLES_MAX * sizeof(samples[0]));
	run(argv[1], first, second);
	free(samples);
	return failed ? 1 : 0;
}
