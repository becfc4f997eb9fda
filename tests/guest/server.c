/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Servers of the kinds that tests need inside guests, all in one process. A listening socket belongs to the namespace in which it
 * was made, so one epoll loop serves hundreds of guests.
 *
 *	server [--report] NETNS-PATH,PORT,KIND[,ARGUMENT]...
 *
 *	http,NAME   HTTP/1.1 with keep-alive. GET /health answers NAME; GET /bytes/N sends N bytes; a body sent is counted, and answered
 *	            at once, but at /upload when all of it is there
 *	echo        sends back all bytes; closes after the client's FIN when all is sent
 *	sink        discards all bytes; at the client's FIN answers with their number and closes
 *	sum         the same, and answers with their CRC-32 too, in hex
 *	source,N    sends N bytes at once and closes; without N, never ends
 *	half,MS     reads until the client's FIN, and MS later sends all bytes back and closes
 *	reset,N     reads N bytes and resets the connection
 *	silent      accepts and never reads
 *
 * Byte number i of a source is ((j * 31) + (j >> 8)) & 255 with j = i modulo 65521. That is a prime, so that a lost, doubled
 * or moved block shows.
 *
 * "ready" is printed when all listen; the server runs until its stdin ends. With --report each end of a connection is a
 * line, "end NETNS-PATH PORT fin|reset|closed BYTES", by the client's first action (closed means that the server ended it).
 */
#include "guest/server.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	PERIOD = 65521,
	PATTERN = 16 * PERIOD, /* so that one send() can be large */
	BUFFER = 256 * 1024,
	WAKE_UPS = 256,
	READS_A_WAKE_UP = 16,
};

static LIST_HEAD(, connection) waiting = LIST_HEAD_INITIALIZER(waiting);
static char pattern[PATTERN + PERIOD];
static char buffer[BUFFER];
static int epoll_fd;
static bool report;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void make_pattern(void)
{
	for (unsigned i = 0; i < sizeof(pattern); i++) {
		unsigned j = i % PERIOD;

		pattern[i] = (char)(j * 31 + (j >> 8));
	}
}

void connection_end(struct connection *connection, const char *how)
{
	if (connection->fd < 0)
		return;
	if (report) {
		printf("end %s %u %s %llu\n", connection->listener->path, connection->listener->port, how,
		       (unsigned long long)connection->received);
		fflush(stdout);
	}
	close(connection->fd);
	connection->fd = -1;
	if (connection->due_ms)
		LIST_REMOVE(connection, waiting);
}

static void free_connection(struct connection *connection)
{
	free(connection->out);
	free(connection->head);
	free(connection);
}

void connection_queue(struct connection *connection, const char *bytes, size_t length)
{
	if (connection->out_end + length > connection->out_size) {
		size_t used = connection->out_end - connection->out_start;
		size_t size = (used + length) * 2;
		char *grown = malloc(size);

		if (!grown)
			err(1, "malloc");
		if (used)
			memcpy(grown, connection->out + connection->out_start, used);
		free(connection->out);
		connection->out = grown;
		connection->out_start = 0;
		connection->out_end = used;
		connection->out_size = size;
	}
	memcpy(connection->out + connection->out_end, bytes, length);
	connection->out_end += length;
}

/* Sends once. Bytes sent, 0 if there is nothing to send, -1 with errno. */
static ssize_t send_some(struct connection *connection)
{
	ssize_t sent;

	if (connection->out_start < connection->out_end) {
		sent = send(connection->fd, connection->out + connection->out_start,
			    connection->out_end - connection->out_start, MSG_NOSIGNAL);
		if (sent > 0)
			connection->out_start += (size_t)sent;
		if (connection->out_start == connection->out_end)
			connection->out_start = connection->out_end = 0;
		return sent;
	}
	if (!connection->pattern_left)
		return 0;
	size_t length = connection->pattern_left < PATTERN ? (size_t)connection->pattern_left : (size_t)PATTERN;
	sent = send(connection->fd, pattern + connection->pattern_sent % PERIOD, length, MSG_NOSIGNAL);
	if (sent > 0) {
		connection->pattern_sent += (uint64_t)sent;
		if (connection->pattern_left != ENDLESS)
			connection->pattern_left -= (uint64_t)sent;
	}
	return sent;
}

void connection_send_pattern(struct connection *connection, uint64_t length)
{
	connection->pattern_sent = 0;
	connection->pattern_left = length;
}

void connection_answer_in(struct connection *connection, uint64_t delay_ms)
{
	connection->due_ms = now_ms() + delay_ms;
	LIST_INSERT_HEAD(&waiting, connection, waiting);
}

static void want(struct connection *connection, uint32_t interest)
{
	struct epoll_event event = { .events = interest, .data.ptr = connection };

	if (connection->interest == interest)
		return;
	connection->interest = interest;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* Sends while the kernel takes it (a few rounds at a time), and sets the events to wait for. */
static void flush(struct connection *connection)
{
	bool blocked = false;

	for (int round = 0; !connection->corked && !blocked && round < READS_A_WAKE_UP; round++) {
		ssize_t sent = send_some(connection);

		if (sent == 0 && connection->finishing) {
			connection_end(connection, connection->read_shut ? "fin" : "closed");
			return;
		}
		if (sent == 0)
			break;
		if (sent < 0 && errno != EAGAIN) {
			connection_end(connection, "reset");
			return;
		}
		blocked = sent < 0;
	}
	bool more = connection->out_start < connection->out_end || connection->pattern_left || connection->finishing;
	bool read = !connection->read_shut && connection->listener->kind->data && connection->out_end < 8 * BUFFER;
	want(connection, (read ? EPOLLIN : 0) | (more && !connection->corked ? EPOLLOUT : 0));
}

/* Avoids the copy where the kind discards, so that the test's time is the forwarder's. */
static ssize_t read_some(struct connection *connection)
{
	if (connection->listener->kind->discards)
		return recv(connection->fd, NULL, 16 * BUFFER, MSG_TRUNC);
	return recv(connection->fd, buffer, sizeof(buffer), 0);
}

static void readable(struct connection *connection)
{
	const struct kind *kind = connection->listener->kind;

	for (int round = 0; round < READS_A_WAKE_UP && connection->fd >= 0; round++) {
		ssize_t length = read_some(connection);

		if (length > 0) {
			connection->received += (uint64_t)length;
			kind->data(connection, buffer, (size_t)length);
			if ((size_t)length < sizeof(buffer))
				return;
			continue;
		}
		if (length < 0 && errno != EAGAIN)
			connection_end(connection, "reset");
		if (length < 0)
			return;
		connection->read_shut = true;
		if (kind->fin)
			kind->fin(connection);
		else
			connection_end(connection, "fin");
		return;
	}
}

static void act_on(struct connection *connection, uint32_t events)
{
	if (events & EPOLLERR)
		connection_end(connection, "reset");
	else if (events & (EPOLLIN | EPOLLHUP) && !connection->read_shut && connection->listener->kind->data)
		readable(connection);
	else if (events & EPOLLHUP)
		connection_end(connection, "reset");
	if (connection->fd >= 0)
		flush(connection);
	if (connection->fd < 0)
		free_connection(connection);
}

static void accept_from(const struct fwd_listener *listener)
{
	for (int round = 0; round < READS_A_WAKE_UP; round++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct connection *connection = fd < 0 ? NULL : calloc(1, sizeof(*connection));
		struct epoll_event event = { .data.ptr = connection };

		if (!connection)
			return;
		*connection = (struct connection){ .role = ROLE_CONNECTION, .fd = fd, .listener = listener };
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			err(1, "epoll_ctl");
		if (listener->kind->started)
			listener->kind->started(connection);
		if (connection->fd >= 0)
			flush(connection);
		if (connection->fd < 0)
			free_connection(connection);
	}
}

/* Lets connections answer whose time has come. Returns how long epoll may wait, -1 for ever. */
static int wake_the_waiting(void)
{
	struct connection *next;
	uint64_t soonest = UINT64_MAX, now = now_ms();

	for (struct connection *connection = LIST_FIRST(&waiting); connection; connection = next) {
		next = LIST_NEXT(connection, waiting);
		if (connection->due_ms > now) {
			soonest = connection->due_ms < soonest ? connection->due_ms : soonest;
			continue;
		}
		LIST_REMOVE(connection, waiting);
		connection->due_ms = 0;
		connection->corked = false;
		act_on(connection, 0);
	}
	return soonest == UINT64_MAX ? -1 : (int)(soonest - now);
}

static void run(void)
{
	struct epoll_event events[WAKE_UPS];

	for (;;) {
		int count = epoll_wait(epoll_fd, events, WAKE_UPS, wake_the_waiting());

		for (int i = 0; i < count; i++) {
			enum role *role = events[i].data.ptr;

			if (*role == ROLE_LISTENER)
				accept_from((struct fwd_listener *)role);
			else if (*role == ROLE_CONNECTION)
				act_on((struct connection *)role, events[i].events);
			else if (read(STDIN_FILENO, buffer, sizeof(buffer)) <= 0)
				return;
		}
	}
}

/* Splits "PATH,PORT,KIND,ARGUMENT" in place. */
static void parse(char *text, struct fwd_listener *listener)
{
	char *rest = text;
	char *path = strsep(&rest, ",");
	char *port = strsep(&rest, ",");
	char *kind = strsep(&rest, ",");

	if (!port || !kind)
		errx(64, "usage: server [--report] NETNS-PATH,PORT,KIND[,ARGUMENT]...");
	*listener = (struct fwd_listener){
		.path = path, .port = (unsigned)atoi(port), .kind = kind_find(kind), .argument = rest ? rest : ""
	};
}

static void listen_at(struct fwd_listener *listener)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)listener->port) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = listener };
	int ns = open(listener->path, O_RDONLY | O_CLOEXEC);

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		err(1, "%s", listener->path);
	close(ns);
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener->fd, SOMAXCONN) < 0)
		err(1, "listen on port %u of %s", listener->port, listener->path);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) < 0)
		err(1, "epoll_ctl");
}

int main(int argc, char **argv)
{
	enum role role = ROLE_STDIN;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &role };
	struct rlimit limit;

	report = argc > 1 && strcmp(argv[1], "--report") == 0;
	int first = report ? 2 : 1;
	make_pattern();
	kinds_prepare();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	struct fwd_listener *listeners = calloc((size_t)argc, sizeof(*listeners));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!listeners || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		err(1, "start");
	for (int i = first; i < argc; i++) {
		parse(argv[i], &listeners[i]);
		listen_at(&listeners[i]);
	}
	printf("ready\n");
	fflush(stdout);

	run();
	exit(0); /* the kernel closes all connections */
}
