/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stack of empty pipes: the one given back last is lent first, because its pages are the likeliest to be warm.
 */
#include "pipe_pool.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct pipe_pool {
	size_t capacity;     /* bytes to ask for */
	size_t keep;         /* length of idle[] */
	size_t count;        /* pipes in idle[] */
	atomic_size_t *open; /* with those of other pools */
	struct pipe idle[];
};

static void fwd_pipe_close(struct pipe_pool *pool, struct pipe *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	*pipe = PIPE_NONE;
	atomic_fetch_sub_explicit(pool->open, 1, memory_order_relaxed);
}

static int fwd_pipe_make(struct pipe_pool *pool, struct pipe *pipe, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, errno, "pipe for splicing");

	/* Refused beyond the user's budget (EPERM): the pipe then keeps the size that it has. */
	int granted = fcntl(fds[1], F_SETPIPE_SZ, (int)pool->capacity);
	if (granted < 0)
		granted = fcntl(fds[1], F_GETPIPE_SZ);

	*pipe = (struct pipe){ .read_fd = fds[0], .write_fd = fds[1], .capacity = (size_t)granted };
	atomic_fetch_add_explicit(pool->open, 1, memory_order_relaxed);
	return 0;
}

struct pipe_pool *fwd_pipe_pool_new(size_t keep, size_t capacity, atomic_size_t *open)
{
	struct pipe_pool *pool = calloc(1, sizeof(*pool) + keep * sizeof(pool->idle[0]));

	if (pool) {
		pool->keep = keep;
		pool->capacity = capacity;
		pool->open = open;
	}
	return pool;
}

void fwd_pipe_pool_free(struct pipe_pool *pool)
{
	if (!pool)
		return;
	fwd_pipe_pool_trim(pool);
	free(pool);
}

void fwd_pipe_pool_trim(struct pipe_pool *pool)
{
	while (pool->count)
		fwd_pipe_close(pool, &pool->idle[--pool->count]);
}

int fwd_pipe_pool_borrow(struct pipe_pool *pool, struct pipe *pipe, struct err *err)
{
	if (!pool->count)
		return fwd_pipe_make(pool, pipe, err);

	*pipe = pool->idle[--pool->count];
	return 0;
}

void fwd_pipe_pool_adopt(struct pipe_pool *pool, struct pipe *pipe)
{
	int capacity = fcntl(pipe->write_fd, F_GETPIPE_SZ);

	pipe->capacity = capacity > 0 ? (size_t)capacity : pipe->filled;
	atomic_fetch_add_explicit(pool->open, 1, memory_order_relaxed);
}

void fwd_pipe_pool_give_back(struct pipe_pool *pool, struct pipe *pipe)
{
	if (pipe->read_fd < 0)
		return;
	if (pipe->filled || pool->count == pool->keep) {
		fwd_pipe_close(pool, pipe);
		return;
	}
	pool->idle[pool->count++] = *pipe;
	*pipe = PIPE_NONE;
}

size_t fwd_pipe_pool_idle(const struct pipe_pool *pool)
{
	return pool->count;
}
