/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One list for all threads. All that wait are closed together, since one wait of the kernel serves all of them. Should there be too many,
 * the caller closes its own.
 */
#include "nft/closer.h"

#include "base/err.h"
#include "base/thread.h"

#include <string.h>
#include <unistd.h>

enum { WAITING_MAX = 64 };

static struct {
	struct base_thread thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	int fds[WAITING_MAX];
	size_t count;
	bool runs, stopping;
} closer = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };

static void *nft_closer_run(void *arg)
{
	int fds[WAITING_MAX];
	size_t count;

	(void)arg;
	do {
		pthread_mutex_lock(&closer.lock);
		while (!closer.count && !closer.stopping)
			pthread_cond_wait(&closer.work, &closer.lock);
		count = closer.count;
		memcpy(fds, closer.fds, count * sizeof(fds[0]));
		closer.count = 0;
		pthread_mutex_unlock(&closer.lock);
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
	} while (count);
	return NULL;
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
	pthread_mutex_lock(&closer.lock);
	closer.runs = true;
	pthread_mutex_unlock(&closer.lock);
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
	pthread_mutex_lock(&closer.lock);
	closer.runs = false;
	pthread_mutex_unlock(&closer.lock);
}

void nft_closer_take(int fd)
{
	bool taken;

	pthread_mutex_lock(&closer.lock);
	taken = closer.runs && !closer.stopping && closer.count < WAITING_MAX;
	if (taken)
		closer.fds[closer.count++] = fd;
	pthread_cond_signal(&closer.work);
	pthread_mutex_unlock(&closer.lock);
	if (!taken)
		close(fd);
}
