/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients of an echo server that check every byte. They write and read random bytes in random chunks, 1 byte to 1 MB, with random
 * pauses, and end with a half-close. One thread, epoll. Prints one line, NAME=VALUE...
 *
 *	flows ADDRESS TOTAL AT-ONCE SEED
 *
 * All bytes of a flow follow from its number, so the reader knows which have to come.
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
#include <unistd.h>

enum { CHUNK_MAX = 1024 * 1024, PATTERN = 4 * 1024 * 1024, WAKE_UPS = 64, PAUSE_MS = 20, STALLED_MS = 60 * 1000 };

struct flow {
	int fd;
	unsigned number;
	uint64_t dice;
	size_t start; /* of its bytes in the pattern */
	size_t size, sent, got;
	bool shut;
	uint64_t write_ms, read_ms; /* not before */
};

static struct addr target;
static int epoll_fd;
static char *pattern; /* random, PATTERN bytes */
static char buffer[CHUNK_MAX];
static unsigned begun, done;
static uint64_t bytes, seed;

static uint64_t roll(uint64_t *dice)
{
	*dice += 0x9e3779b97f4a7c15;
	uint64_t x = *dice;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static size_t roll_size(struct flow *flow)
{
	static const size_t most[] = { 1, 1, 50, 5000, 5000, 5000, 40000, 40000, 200 * 1000, 2000 * 1000 };

	return roll(&flow->dice) % (most[roll(&flow->dice) % (sizeof(most) / sizeof(most[0]))] + 1);
}

static size_t roll_chunk(struct flow *flow)
{
	static const size_t most[] = { 1, 7, 100, 1500, 9000, 70000, CHUNK_MAX, CHUNK_MAX };

	return roll(&flow->dice) % most[roll(&flow->dice) % (sizeof(most) / sizeof(most[0]))] + 1;
}

static uint64_t roll_pause(struct flow *flow)
{
	return roll(&flow->dice) % 16 ? 0 : clock_now_ms() + roll(&flow->dice) % PAUSE_MS;
}

static void open_flow(struct flow *flow)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = flow };
	int one = 1;

	*flow = (struct flow){ .fd = socket(target.any.sa_family, SOCK_STREAM, 0), .number = begun };
	if (flow->fd < 0)
		err(1, "socket");
	flow->dice = seed + begun++;
	flow->size = roll_size(flow);
	flow->start = roll(&flow->dice) % (PATTERN - flow->size);
	setsockopt(flow->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(flow->fd, &target.any, addr_length(&target)) < 0)
		err(1, "connect");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, flow->fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* One chunk. Whether more may be written at once. */
static bool write_some(struct flow *flow)
{
	size_t chunk = roll_chunk(flow), left = flow->size - flow->sent;
	ssize_t size;

	if (!left) {
		if (!flow->shut && shutdown(flow->fd, SHUT_WR) < 0)
			err(1, "flow %u, its end", flow->number);
		flow->shut = true;
		return false;
	}
	size = send(flow->fd, pattern + flow->start + flow->sent, chunk < left ? chunk : left,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (size < 0 && errno != EAGAIN)
		err(1, "flow %u, %zu of %zu sent", flow->number, flow->sent, flow->size);
	if (size < 0)
		return false;
	flow->sent += (size_t)size;
	flow->write_ms = roll_pause(flow);
	return !flow->write_ms;
}

/* The same of reading. 1: the flow has ended in order. */
static int read_some(struct flow *flow, bool *more)
{
	ssize_t size = recv(flow->fd, buffer, roll_chunk(flow), MSG_DONTWAIT);

	*more = false;
	if (size < 0 && errno == EAGAIN)
		return 0;
	if (size < 0)
		err(1, "flow %u, %zu of %zu read", flow->number, flow->got, flow->size);
	if (size == 0 && (!flow->shut || flow->got < flow->size))
		errx(1, "flow %u ended after %zu of %zu", flow->number, flow->got, flow->size);
	if (size == 0)
		return 1;
	if (flow->got + (size_t)size > flow->sent ||
	    memcmp(buffer, pattern + flow->start + flow->got, (size_t)size) != 0)
		errx(1, "flow %u: other bytes than were sent, from %zu on", flow->number, flow->got);
	flow->got += (size_t)size;
	flow->read_ms = roll_pause(flow);
	*more = !flow->read_ms;
	return 0;
}

/* Whether FLOW has ended. */
static bool go_on(struct flow *flow, uint64_t now_ms)
{
	bool write = now_ms >= flow->write_ms, read = now_ms >= flow->read_ms;

	while (write || read) {
		if (write)
			write = write_some(flow);
		if (read && read_some(flow, &read))
			return true;
	}
	return false;
}

static void run(unsigned total, unsigned at_once)
{
	struct flow *flows = calloc(at_once, sizeof(*flows));
	struct epoll_event events[WAKE_UPS];
	uint64_t progress_ms = clock_now_ms();

	for (unsigned i = 0; i < at_once && begun < total; i++)
		open_flow(&flows[i]);
	while (done < total) {
		/* All flows are looked at each time: no event ends a pause. */
		epoll_wait(epoll_fd, events, WAKE_UPS, 2);
		for (unsigned i = 0; i < at_once && i < begun; i++) {
			uint64_t now_ms = clock_now_ms();

			if (flows[i].fd < 0 || !go_on(&flows[i], now_ms))
				continue;
			bytes += flows[i].size;
			close(flows[i].fd);
			flows[i].fd = -1;
			done++;
			progress_ms = now_ms;
			if (begun < total)
				open_flow(&flows[i]);
		}
		if (clock_now_ms() > progress_ms + STALLED_MS)
			errx(1, "stalled after %u", done);
	}
	free(flows);
}

int main(int argc, char **argv)
{
	uint64_t start_ms = clock_now_ms();

	if (argc < 5 || addr_parse(argv[1], &target) < 0)
		errx(2, "flows ADDRESS TOTAL AT-ONCE SEED");
	seed = strtoull(argv[4], NULL, 10) << 32;
	pattern = malloc(PATTERN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!pattern || epoll_fd < 0)
		err(1, "start");
	uint64_t dice = seed;
	for (size_t i = 0; i < PATTERN; i += sizeof(dice)) {
		uint64_t value = roll(&dice);

		memcpy(pattern + i, &value, sizeof(value));
	}
	run((unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
	printf("done=%u bytes=%llu seconds=%.3f\n", done, (unsigned long long)bytes,
	       (double)(clock_now_ms() - start_ms) / 1e3);
	free(pattern);
	return 0;
}
