/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Servers of the kinds that tests need inside guests, all in one process: a listening socket belongs to the namespace in which
 * it was made, so one epoll loop serves hundreds of guests.
 *
 *	server [--report] NETNS-PATH,PORT,KIND[,ARGUMENT]...
 *
 *	http,NAME   HTTP/1.1 with keep-alive. GET /health tells NAME; GET /bytes/N sends N bytes; a body sent is counted
 *	echo        sends back what comes; at the client's FIN closes when all is sent
 *	sink        throws away all; at the client's FIN tells how many bytes came and closes
 *	sum         the same, and tells their CRC-32 too, in hex
 *	source,N    sends N bytes at once and closes; without N, never ends
 *	half,MS     reads until the client's FIN, and MS later sends all that came and closes
 *	reset,N     reads N bytes and resets the connection
 *	silent      accepts and never reads
 *
 * Byte number i of what is sent is ((j * 31) + (j >> 8)) & 255 with j = i modulo 65521: a prime, so that a block that is lost,
 * doubled or moved shows.
 *
 * "ready" is printed when all listen; the server lives as long as its stdin is open. With --report each end of a connection is
 * a line, "end NETNS-PATH PORT fin|reset|closed BYTES", by what the client did first (closed: it was the server that ended it).
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	PERIOD = 65521,
	PATTERN = 16 * PERIOD, /* so that one send() can be large */
	HEAD = 8192,           /* the longest head of an HTTP request */
	BUFFER = 256 * 1024,
	WAKE_UPS = 256,
	READS_A_WAKE_UP = 16,
};

#define ENDLESS UINT64_MAX

struct connection;

struct kind {
	const char *name;
	/* Takes LENGTH bytes that came. */
	void (*data)(struct connection *connection, const char *bytes, size_t length);
	void (*started)(struct connection *connection); /* may be NULL */
	void (*fin)(struct connection *connection);     /* may be NULL: then closes at once */
};

/* What an epoll event points to begins with its descriptor's role. */
enum role { ROLE_LISTENER, ROLE_CONNECTION, ROLE_STDIN };

struct listener {
	enum role role;
	int fd;
	const char *path;
	unsigned port;
	const struct kind *kind;
	const char *argument; /* "" without one */
};

struct connection {
	enum role role;
	int fd; /* -1 once it has ended */
	const struct listener *listener;
	char *out; /* queued, from out_start to out_end */
	size_t out_start, out_end, out_size;
	uint64_t pattern_left; /* to be sent after what is queued */
	uint64_t pattern_sent;
	uint64_t received;
	uint32_t crc;
	uint64_t body_left; /* http: of the request whose head was read */
	char *head;         /* http: HEAD bytes */
	size_t head_used;
	uint64_t due_ms; /* half: when to answer; 0: not yet */
	bool read_shut;  /* the client's FIN came */
	bool finishing;  /* closes when all is sent */
	bool corked;     /* nothing is sent before due_ms */
	uint32_t interest;
	LIST_ENTRY(connection) waiting; /* linked while due_ms is set */
};

static LIST_HEAD(, connection) waiting = LIST_HEAD_INITIALIZER(waiting);
static char pattern[PATTERN + PERIOD];
static char buffer[BUFFER];
static uint32_t crc_table[256];
static int epoll_fd;
static bool report;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void make_tables(void)
{
	for (unsigned i = 0; i < sizeof(pattern); i++) {
		unsigned j = i % PERIOD;

		pattern[i] = (char)(j * 31 + (j >> 8));
	}
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? 0xedb88320 ^ (value >> 1) : value >> 1;
		crc_table[i] = value;
	}
}

static uint32_t crc_add(uint32_t crc, const char *bytes, size_t length)
{
	crc = ~crc;
	for (size_t i = 0; i < length; i++)
		crc = crc_table[(crc ^ (unsigned char)bytes[i]) & 255] ^ (crc >> 8);
	return ~crc;
}

/* HOW: what the client did first. The struct lives until the caller frees it. */
static void end(struct connection *connection, const char *how)
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

static void queue(struct connection *connection, const char *bytes, size_t length)
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

/* One send of what comes next. Bytes sent, 0 if there is nothing, -1 with errno. */
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

static void want(struct connection *connection, uint32_t interest)
{
	struct epoll_event event = { .events = interest, .data.ptr = connection };

	if (connection->interest == interest)
		return;
	connection->interest = interest;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* Sends while the kernel takes it (a few rounds at a time), and says to epoll what to wait for. */
static void flush(struct connection *connection)
{
	bool blocked = false;

	for (int round = 0; !connection->corked && !blocked && round < READS_A_WAKE_UP; round++) {
		ssize_t sent = send_some(connection);

		if (sent == 0 && connection->finishing) {
			end(connection, connection->read_shut ? "fin" : "closed");
			return;
		}
		if (sent == 0)
			break;
		if (sent < 0 && errno != EAGAIN) {
			end(connection, "reset");
			return;
		}
		blocked = sent < 0;
	}
	bool more = connection->out_start < connection->out_end || connection->pattern_left || connection->finishing;
	bool read = !connection->read_shut && connection->listener->kind->data && connection->out_end < 8 * BUFFER;
	want(connection, (read ? EPOLLIN : 0) | (more && !connection->corked ? EPOLLOUT : 0));
}

static void echo_data(struct connection *connection, const char *bytes, size_t length)
{
	queue(connection, bytes, length);
}

static void finish(struct connection *connection)
{
	connection->finishing = true;
}

static void sink_data(struct connection *connection, const char *bytes, size_t length)
{
	(void)connection, (void)bytes, (void)length;
}

static void sink_fin(struct connection *connection)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)connection->received);

	queue(connection, text, (size_t)length);
	finish(connection);
}

static void sum_data(struct connection *connection, const char *bytes, size_t length)
{
	connection->crc = crc_add(connection->crc, bytes, length);
}

static void sum_fin(struct connection *connection)
{
	char text[64];
	int length =
	    snprintf(text, sizeof(text), "%llu %08x\n", (unsigned long long)connection->received, connection->crc);

	queue(connection, text, (size_t)length);
	finish(connection);
}

static void source_started(struct connection *connection)
{
	const char *argument = connection->listener->argument;

	connection->pattern_left = *argument ? strtoull(argument, NULL, 10) : ENDLESS;
	connection->finishing = true;
}

static void half_started(struct connection *connection)
{
	connection->corked = true;
}

static void half_fin(struct connection *connection)
{
	connection->due_ms = now_ms() + strtoull(connection->listener->argument, NULL, 10);
	LIST_INSERT_HEAD(&waiting, connection, waiting);
	finish(connection);
}

static void reset_now(struct connection *connection)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	end(connection, "closed");
}

static void reset_data(struct connection *connection, const char *bytes, size_t length)
{
	(void)bytes, (void)length;
	if (connection->received >= strtoull(connection->listener->argument, NULL, 10))
		reset_now(connection);
}

static void reset_started(struct connection *connection)
{
	reset_data(connection, NULL, 0);
}

static void answer(struct connection *connection, const char *status, const char *body, uint64_t length)
{
	char text[512];
	int head = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %llu\r\n\r\n%s",
			    status, body ? "application/json" : "application/octet-stream", (unsigned long long)length,
			    body ? body : "");

	queue(connection, text, (size_t)head);
}

static void http_answer(struct connection *connection, const char *path, uint64_t body_length)
{
	const struct listener *listener = connection->listener;
	char body[256];

	if (strncmp(path, "/bytes/", 7) == 0) {
		uint64_t length = strtoull(path + 7, NULL, 10);

		answer(connection, "200 OK", NULL, length);
		connection->pattern_sent = 0;
		connection->pattern_left = length;
	} else if (strcmp(path, "/health") == 0 || body_length) {
		int length = snprintf(body, sizeof(body), "{\"guest\": \"%s\", \"port\": %u, \"body\": %llu}\n",
				      listener->argument, listener->port, (unsigned long long)body_length);
		answer(connection, "200 OK", body, (uint64_t)length);
	} else {
		answer(connection, "404 Not Found", "{}\n", 3);
	}
}

/* Reads one head if all of it is there; false if not. What follows it stays in head[]. */
static bool http_head(struct connection *connection)
{
	char *head = connection->head;

	head[connection->head_used] = '\0';
	char *over = strstr(head, "\r\n\r\n");
	if (!over) {
		if (connection->head_used == HEAD - 1)
			reset_now(connection);
		return false;
	}
	*over = '\0';
	size_t length = (size_t)(over + 4 - head);
	char *field = strcasestr(head, "\r\nContent-Length:");
	char path[1024] = "";
	connection->body_left = field ? strtoull(field + 17, NULL, 10) : 0;
	sscanf(head, "%*s %1023s", path);
	http_answer(connection, path, connection->body_left);
	memmove(head, head + length, connection->head_used - length);
	connection->head_used -= length;
	return true;
}

static void http_data(struct connection *connection, const char *bytes, size_t length)
{
	if (!connection->head && !(connection->head = malloc(HEAD)))
		err(1, "malloc");
	while (length && connection->fd >= 0) {
		size_t room = HEAD - 1 - connection->head_used;
		size_t part = length < room ? length : room;

		if (connection->body_left) {
			part = length < connection->body_left ? length : (size_t)connection->body_left;
			connection->body_left -= part;
			bytes += part;
			length -= part;
			continue;
		}
		memcpy(connection->head + connection->head_used, bytes, part);
		connection->head_used += part;
		bytes += part;
		length -= part;
		while (connection->fd >= 0 && connection->head_used && http_head(connection)) {
			size_t body = connection->head_used < connection->body_left ? connection->head_used
										    : (size_t)connection->body_left;
			connection->body_left -= body;
			memmove(connection->head, connection->head + body, connection->head_used - body);
			connection->head_used -= body;
		}
	}
}

static const struct kind kinds[] = {
	{ .name = "http", .data = http_data },
	{ .name = "echo", .data = echo_data, .fin = finish },
	{ .name = "sink", .data = sink_data, .fin = sink_fin },
	{ .name = "sum", .data = sum_data, .fin = sum_fin },
	{ .name = "source", .data = sink_data, .started = source_started, .fin = finish },
	{ .name = "half", .data = echo_data, .started = half_started, .fin = half_fin },
	{ .name = "reset", .data = reset_data, .started = reset_started },
	{ .name = "silent" },
};

/* The sink does not even copy: the test's time is the forwarder's. */
static ssize_t read_some(struct connection *connection)
{
	if (connection->listener->kind->data == sink_data)
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
			end(connection, "reset");
		if (length < 0)
			return;
		connection->read_shut = true;
		if (kind->fin)
			kind->fin(connection);
		else
			end(connection, "fin");
		return;
	}
}

static void act_on(struct connection *connection, uint32_t events)
{
	if (events & EPOLLERR)
		end(connection, "reset");
	else if (events & (EPOLLIN | EPOLLHUP) && !connection->read_shut && connection->listener->kind->data)
		readable(connection);
	else if (events & EPOLLHUP)
		end(connection, "reset");
	if (connection->fd >= 0)
		flush(connection);
	if (connection->fd < 0)
		free_connection(connection);
}

static void accept_from(const struct listener *listener)
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

/* Lets those answer whose time has come. Returns how long epoll may wait: -1 for ever. */
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
				accept_from((struct listener *)role);
			else if (*role == ROLE_CONNECTION)
				act_on((struct connection *)role, events[i].events);
			else if (read(STDIN_FILENO, buffer, sizeof(buffer)) <= 0)
				return;
		}
	}
}

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	errx(64, "no kind of server: %s", name);
}

/* Splits "PATH,PORT,KIND,ARGUMENT" in place. */
static void parse(char *text, struct listener *listener)
{
	char *rest = text;
	char *path = strsep(&rest, ",");
	char *port = strsep(&rest, ",");
	char *kind = strsep(&rest, ",");

	if (!port || !kind)
		errx(64, "usage: server [--report] NETNS-PATH,PORT,KIND[,ARGUMENT]...");
	*listener = (struct listener){
		.path = path, .port = (unsigned)atoi(port), .kind = find_kind(kind), .argument = rest ? rest : ""
	};
}

static void listen_at(struct listener *listener)
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
	make_tables();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	struct listener *listeners = calloc((size_t)argc, sizeof(*listeners));
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
	exit(0); /* with all connections: the kernel closes them */
}
