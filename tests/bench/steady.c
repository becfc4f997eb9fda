/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients that stay: many connections to an echo server, each with a request now and then, and every byte of the answers compared.
 * Beside them new clients come, one every 10 ms. Their waits show what a restart of the forwarder in between costs. One thread with epoll.
 *
 *	steady ADDRESS PORT COUNT PERIOD-MS
 *
 * A connection sends 1 to 3,000 bytes every PERIOD-MS, at a time of its own. Every hundredth is bulk instead: it keeps 128 KiB under way and
 * reads slowly, so that bytes wait in each buffer. Byte number N of connection C is known, so a byte lost, doubled or moved shows.
 *
 * Reads one command a line from stdin. "ready" is printed when all are connected and had an answer.
 *
 *	begin	a window begins: what follows is counted from here
 *	end	prints one line of NAME=VALUE, see report_window(), and connects anew whoever was lost
 *
 * It ends with its stdin.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	WAKE_UPS = 512,
	REQUEST_MOST = 3000,
	BULK_EACH = 100,
	BULK_AHEAD = 128 * 1024,
	BULK_READ = 8 * 1024,
	BULK_PAUSE_MS = 50,
	KNOCKS_MOST = 4096, /* new clients under way; an idle descriptor is none */
	KNOCK_PAUSE_MS = 10,
	KNOCK_BYTES = 16,
	CONNECTING_MOST = 200, /* at once, while it begins */
};

#define MS           UINT64_C(1000000)
#define SAMPLES_MOST (1 << 21)

struct connection {
	int fd; /* -1: lost */
	uint32_t number;
	bool bulk, connecting, wrong;
	uint64_t sent, received; /* bytes, of its life */
	uint64_t asked_ns;       /* of the request under way; 0: none */
	uint64_t due_ns;         /* its next request, or its next turn */
};

struct knock {
	uint64_t begun_ns;
	int fd; /* -1: free */
	uint32_t got;
};

struct sample {
	uint64_t asked_ns, answered_ns;
};

static struct {
	struct sockaddr_storage address;
	socklen_t length;
	unsigned count;
	uint64_t period_ns;
} options;

static struct connection *connections;
static struct knock knocks[KNOCKS_MOST];
static int epoll_fd;
static uint64_t seed = 1;

/* ---- A window ---- */

static struct sample *samples;
static size_t sample_count;
static uint64_t *knock_waits_ns;
static size_t knock_count, knocks_refused, knocks_reset, knocks_late;
static const uint64_t late_ns = 1000 * MS;
static size_t lost, wrong;
static uint64_t begun_ns, answered_ns; /* answered: the last time, by anybody */
static uint64_t silence_ns, silence_end_ns;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t chance(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % below;
}

static uint8_t byte_at(const struct connection *connection, uint64_t position)
{
	return (uint8_t)(position * 31 + (position >> 8) * 7 + connection->number * 113);
}

static void watch(int fd, uint32_t events, uint64_t data, int how)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	if (epoll_ctl(epoll_fd, how, fd, &event) < 0)
		err(1, "epoll_ctl");
}

static int begin_connect(void)
{
	int one = 1, fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&options.address, options.length) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* ---- Connections that stay ---- */

static void note_answer(uint64_t now)
{
	if (answered_ns && now - answered_ns > silence_ns) {
		silence_ns = now - answered_ns;
		silence_end_ns = now;
	}
	answered_ns = now;
}

static void lose(struct connection *connection)
{
	close(connection->fd);
	connection->fd = -1;
	connection->asked_ns = 0;
	lost++;
}

/* Sends up to LENGTH bytes. */
static void send_some(struct connection *connection, size_t length)
{
	uint8_t data[REQUEST_MOST];

	while (length) {
		size_t piece = length < sizeof(data) ? length : sizeof(data);
		for (size_t i = 0; i < piece; i++)
			data[i] = byte_at(connection, connection->sent + i);
		ssize_t sent = send(connection->fd, data, piece, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			lose(connection);
			return;
		}
		connection->sent += (size_t)sent;
		length -= (size_t)sent;
	}
}

/* Reads up to MOST bytes and compares them. */
static void read_some(struct connection *connection, size_t most)
{
	uint8_t data[16384];
	ssize_t got = recv(connection->fd, data, most < sizeof(data) ? most : sizeof(data), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		lose(connection);
		return;
	}
	for (ssize_t i = 0; i < got && !connection->wrong; i++)
		connection->wrong = data[i] != byte_at(connection, connection->received + (uint64_t)i);
	connection->received += (uint64_t)got;
	if (connection->wrong || connection->received > connection->sent) {
		wrong++;
		lose(connection);
	}
}

static void take_turn(struct connection *connection, uint64_t now)
{
	if (connection->bulk) {
		connection->due_ns = now + BULK_PAUSE_MS * MS;
		read_some(connection, BULK_READ);
		if (connection->fd >= 0 && connection->sent - connection->received < BULK_AHEAD)
			send_some(connection, BULK_AHEAD - (size_t)(connection->sent - connection->received));
		return;
	}
	connection->due_ns += options.period_ns;
	if (connection->due_ns < now)
		connection->due_ns = now + options.period_ns;
	if (connection->asked_ns)
		return;
	connection->asked_ns = now;
	send_some(connection, 1 + chance(REQUEST_MOST));
}

static void hear(struct connection *connection)
{
	uint64_t now = now_ns();

	if (connection->bulk) {
		/* Only its end is watched; bytes that came before it are compared at its turns. */
		lose(connection);
		return;
	}
	read_some(connection, SIZE_MAX);
	if (connection->fd < 0 || connection->received < connection->sent || !connection->asked_ns)
		return;
	note_answer(now);
	if (sample_count < SAMPLES_MOST)
		samples[sample_count++] = (struct sample){ connection->asked_ns, now };
	connection->asked_ns = 0;
}

/* ---- New clients ---- */

static void end_knock(struct knock *knock)
{
	close(knock->fd);
	knock->fd = -1;
}

/* It had its answer, or is given up. */
static void note_knock(struct knock *knock, uint64_t now)
{
	uint64_t wait_ns = now - knock->begun_ns;

	knocks_late += wait_ns > late_ns;
	if (knock_count < SAMPLES_MOST)
		knock_waits_ns[knock_count++] = wait_ns;
	end_knock(knock);
}

static void begin_knock(uint64_t now)
{
	size_t i = 0;

	while (i < KNOCKS_MOST && knocks[i].fd >= 0)
		i++;
	if (i == KNOCKS_MOST)
		return;
	knocks[i] = (struct knock){ .fd = begin_connect(), .begun_ns = now };
	if (knocks[i].fd < 0)
		knocks_refused++;
	else
		watch(knocks[i].fd, EPOLLOUT, options.count + i, EPOLL_CTL_ADD);
}

static void hear_knock(struct knock *knock, uint64_t data, uint32_t events)
{
	char bytes[KNOCK_BYTES] = "a new client....";
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(knock->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error == ECONNREFUSED) {
		knocks_refused++;
		end_knock(knock);
		return;
	}
	if (events & EPOLLOUT && !error && send(knock->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == sizeof(bytes)) {
		watch(knock->fd, EPOLLIN, data, EPOLL_CTL_MOD);
		return;
	}
	ssize_t got = error ? -1 : recv(knock->fd, bytes, sizeof(bytes), 0);
	if (got <= 0) {
		knocks_reset++;
		end_knock(knock);
		return;
	}
	knock->got += (uint32_t)got;
	if (knock->got < KNOCK_BYTES)
		return;
	note_knock(knock, now_ns());
}

/* ---- The beginning, and between two windows ---- */

static void await_connected(struct connection *connection)
{
	struct pollfd pollfd = { .fd = connection->fd, .events = POLLOUT };
	int error = 0;
	socklen_t size = sizeof(error);

	if (poll(&pollfd, 1, 60000) != 1 || getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ||
	    error)
		errx(1, "connection %u: %s", connection->number, strerror(error ? error : ETIMEDOUT));
	watch(connection->fd, connection->bulk ? EPOLLRDHUP | EPOLLHUP | EPOLLERR : EPOLLIN, connection->number,
	      EPOLL_CTL_ADD);
}

/* Connects all that are not, a few at a time. */
static void connect_all(void)
{
	unsigned first = 0;

	while (first < options.count) {
		unsigned number = first, begun = 0;
		for (; number < options.count && begun < CONNECTING_MOST; number++) {
			struct connection *connection = &connections[number];
			if (connection->fd >= 0)
				continue;
			*connection = (struct connection){ .fd = begin_connect(),
							   .number = number,
							   .bulk = number % BULK_EACH == BULK_EACH - 1,
							   .connecting = true };
			if (connection->fd < 0)
				err(1, "connect");
			begun++;
		}
		for (unsigned i = first; i < number; i++)
			if (connections[i].connecting) {
				await_connected(&connections[i]);
				connections[i].connecting = false;
				connections[i].due_ns = now_ns() + options.period_ns * chance(1000) / 1000;
			}
		first = number;
	}
}

static void begin_window(void)
{
	sample_count = knock_count = knocks_refused = knocks_reset = knocks_late = lost = wrong = 0;
	silence_ns = 0;
	begun_ns = answered_ns = now_ns();
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* In milliseconds, of COUNT values that are sorted; -1: there are none. */
static double share_ms(const uint64_t *values, size_t count, double share)
{
	size_t at = (size_t)((double)count * share);

	return count ? (double)values[at < count ? at : count - 1] / 1e6 : -1;
}

/* New clients that still wait have waited for so long at least. */
static void end_knocks(uint64_t now)
{
	for (size_t i = 0; i < KNOCKS_MOST; i++)
		if (knocks[i].fd >= 0 && now - knocks[i].begun_ns > late_ns)
			note_knock(&knocks[i], now);
}

/*
 * silence_ms: the longest time in which no connection got an answer. met: the requests that were under way at its end; a second line has
 * how long each of them waited, in milliseconds. unanswered: requests that wait for longer than a second. new: clients that came.
 */
static void report_window(void)
{
	uint64_t now = now_ns(), *waits = malloc((sample_count + 1) * sizeof(*waits));
	size_t met = 0, unanswered = 0;

	if (!waits)
		err(1, "report");
	if (lost < options.count)
		note_answer(now); /* a silence may last still */
	for (size_t i = 0; i < sample_count; i++)
		if (samples[i].asked_ns < silence_end_ns && samples[i].answered_ns >= silence_end_ns)
			waits[met++] = samples[i].answered_ns - samples[i].asked_ns;
	for (unsigned i = 0; i < options.count; i++)
		unanswered += connections[i].asked_ns && now - connections[i].asked_ns > late_ns;
	end_knocks(now);
	qsort(knock_waits_ns, knock_count, sizeof(*knock_waits_ns), compare);
	printf("lost=%zu wrong=%zu unanswered=%zu requests=%zu silence_ms=%.3f met=%zu new=%zu new_refused=%zu "
	       "new_reset=%zu "
	       "new_late=%zu new_p50_ms=%.3f new_p99_ms=%.3f new_max_ms=%.3f seconds=%.3f\n",
	       lost, wrong, unanswered, sample_count, (double)silence_ns / 1e6, met,
	       knock_count + knocks_refused + knocks_reset, knocks_refused, knocks_reset, knocks_late,
	       share_ms(knock_waits_ns, knock_count, 0.5), share_ms(knock_waits_ns, knock_count, 0.99),
	       share_ms(knock_waits_ns, knock_count, 1), (double)(now - begun_ns) / 1e9);
	for (size_t i = 0; i < met; i++)
		printf("%.3f ", (double)waits[i] / 1e6);
	puts("");
	fflush(stdout);
	free(waits);
}

/* ---- The loop ---- */

/* False: stdin ended. */
static bool obey(void)
{
	char text[256];
	ssize_t got = read(STDIN_FILENO, text, sizeof(text) - 1);

	if (got <= 0)
		return false;
	text[got] = '\0';
	if (strcmp(text, "begin\n") == 0) {
		begin_window();
		puts("begun");
		fflush(stdout);
	} else if (strcmp(text, "end\n") == 0) {
		report_window();
		connect_all();
		begin_window();
	} else {
		errx(64, "no command: %s", text);
	}
	return true;
}

/* Handles what happened within a millisecond. False: stdin ended. */
static bool turn(void)
{
	struct epoll_event events[WAKE_UPS];
	int count = epoll_wait(epoll_fd, events, WAKE_UPS, 1);
	bool goes_on = true;

	for (int i = 0; i < count; i++) {
		uint64_t data = events[i].data.u64;
		if (data == UINT64_MAX)
			goes_on = obey();
		else if (data < options.count && connections[data].fd >= 0)
			hear(&connections[data]);
		else if (data >= options.count && knocks[data - options.count].fd >= 0)
			hear_knock(&knocks[data - options.count], data, events[i].events);
	}
	return goes_on;
}

static void take_turns(uint64_t now)
{
	for (unsigned i = 0; i < options.count; i++)
		if (connections[i].fd >= 0 && connections[i].due_ns <= now)
			take_turn(&connections[i], now);
}

static bool all_had_an_answer(void)
{
	for (unsigned i = 0; i < options.count; i++)
		if (!connections[i].received)
			return false;
	return true;
}

static void run(void)
{
	uint64_t knock_due_ns = 0;
	bool ready = false;

	connect_all();
	begin_window();
	while (turn()) {
		uint64_t now = now_ns();
		take_turns(now);
		if (ready && now >= knock_due_ns) {
			knock_due_ns = now + KNOCK_PAUSE_MS * MS;
			begin_knock(now);
		}
		if (!ready && lost)
			errx(1, "%zu connections ended before all had an answer, %zu of them by a wrong byte", lost,
			     wrong);
		if (!ready && all_had_an_answer()) {
			ready = true;
			puts("ready");
			fflush(stdout);
		}
	}
}

static void read_address(const char *host, const char *port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&options.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&options.address;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		options.length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		options.length = sizeof(*v6);
	} else {
		errx(64, "%s: no address", host);
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc != 5)
		errx(64, "usage: steady ADDRESS PORT COUNT PERIOD-MS");
	read_address(argv[1], argv[2]);
	options.count = (unsigned)strtoul(argv[3], NULL, 10);
	options.period_ns = strtoul(argv[4], NULL, 10) * MS;
	connections = calloc(options.count + 1, sizeof(*connections));
	samples = calloc(SAMPLES_MOST, sizeof(*samples));
	knock_waits_ns = calloc(SAMPLES_MOST, sizeof(*knock_waits_ns));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!options.count || !options.period_ns || !connections || !samples || !knock_waits_ns || epoll_fd < 0)
		errx(64, "nothing to do, or no memory for it");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (unsigned i = 0; i < options.count; i++)
		connections[i].fd = -1;
	for (size_t i = 0; i < KNOCKS_MOST; i++)
		knocks[i].fd = -1;
	watch(STDIN_FILENO, EPOLLIN, UINT64_MAX, EPOLL_CTL_ADD);
	run();
	free(connections);
	free(samples);
	free(knock_waits_ns);
	return 0;
}
