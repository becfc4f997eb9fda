/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One ring for all threads, in the order in which the sockets came. Should there be too many, the caller closes its own.
 */
#include "nft/closer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAITING_MAX = 512 };

static struct {
	struct base_thread thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct {
		int fd;
		uint64_t due_ms;
	} waiting[WAITING_MAX];
	size_t first, count;
	bool runs, stopping;
} closer = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

/* Waits until the first one is due, or all are. Returns whether there is one. The caller holds the lock, which is free meanwhile. */
static bool nft_closer_await(void)
{
	for (;;) {
		uint64_t due = closer.waiting[closer.first].due_ms;
		struct timespec end;

		if (closer.stopping || (closer.count && due <= clock_now_ms()))
			return closer.count > 0;
		if (!closer.count) {
			pthread_cond_wait(&closer.work, &closer.lock);
			continue;
		}
		end.tv_sec = (time_t)(due / 1000);
		end.tv_nsec = (long)(due % 1000) * 1000000;
		pthread_cond_clockwait(&closer.work, &closer.lock, CLOCK_MONOTONIC, &end);
	}
}

static void *nft_closer_run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&closer.lock);
	while (nft_closer_await()) {
		int fd = closer.waiting[closer.first].fd;

		closer.first = (closer.first + 1) % WAITING_MAX;
		closer.count--;
		pthread_mutex_unlock(&closer.lock);
		close(fd);
		pthread_mutex_lock(&closer.lock);
	}
	pthread_mutex_unlock(&closer.lock);
	return NULL;
}

static void nft_closer_set_runs(bool runs)
{
	pthread_mutex_lock(&closer.lock);
	closer.runs = runs;
	pthread_mutex_unlock(&closer.lock);
}

int nft_closer_start(struct err *err)
{
	if (closer.runs)
		return 0;
	memset(&closer.thread, 0, sizeof(closer.thread));
	closer.thread.name = "weft-closer";
	closer.stopping = false;
	if (base_thread_start(&closer.thread, nft_closer_run, NULL, err) < 0)
		return -1;
	nft_closer_set_runs(true);
	return 0;
}

void nft_closer_stop(void)
{
	if (!closer.runs)
		return;
	pthread_mutex_lock(&closer.lock);
	closer.stopping = true;
	pthread_cond_signal(&closer.work);
	pthread_mutex_unlock(&closer.lock);
	base_thread_join(&closer.thread);
	nft_closer_set_runs(false);
}

void nft_closer_take(int fd)
{
	bool taken;

	pthread_mutex_lock(&closer.lock);
	taken = closer.runs && !closer.stopping && closer.count < WAITING_MAX;
	if (taken) {
		size_t place = (closer.first + closer.count++) % WAITING_MAX;

		closer.waiting[place].fd = fd;
		closer.waiting[place].due_ms = clock_now_ms() + NFT_CLOSER_MS;
		if (closer.count == 1)
			pthread_cond_signal(&closer.work);
	}
	pthread_mutex_unlock(&closer.lock);
	if (!taken)
		close(fd);
}
