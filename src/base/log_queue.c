/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring of bytes under a mutex, which is held for a copy and never for a system call. So the order of lines is that of the calls,
 * a caller never waits for the log's reader, and a line needs no memory. An entry is a head and the bytes of its line, whole and
 * aligned; where the rest of the ring is too short for one, the next begins at the ring's start, and so it does when the ring is
 * empty, so that in quiet times few pages are used.
 *
 * Once a line found no room, all are lost until half of the queue is free. The line that counts them then takes their place in the
 * order, and one count stands for a whole flood.
 *
 * Lines that the reader refuses (a full disk, a pipe whose reader has gone) are lost and counted as well. Their count is written
 * after the first line that is taken again.
 */
#include "base/log_queue.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log_sink.h"
#include "base/thread.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum {
	ALIGNMENT = 8,
	BATCH_SIZE = LOG_TEXT_MAX, /* of lines for stderr: a pipe takes them whole */
	LATE_MS = 1000,            /* a record of the journal says when it was logged, if that is so long ago */
};

struct log_entry {
	uint32_t size; /* of the bytes that follow; 0: nothing follows, go on at the ring's start */
	uint8_t target, level;
	int64_t time_ms;
	uint64_t count; /* of the lost lines that it tells of; 0: another line */
};

enum log_mode {
	QUEUE_CLOSED,    /* no thread: callers write */
	QUEUE_OPEN,      /* then closed, or abandoned */
	QUEUE_ABANDONED, /* the thread waits for its reader for ever: lines are lost */
};

static _Atomic enum log_mode queue_mode = QUEUE_CLOSED;
static atomic_uint_least64_t lost_total;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled;     /* the thread may go on */
	pthread_cond_t ended;      /* the thread has */
	struct base_thread thread; /* main's; all else is under LOCK */
	bool idle;                 /* the thread waits for FILLED */
	bool stopping, has_ended;
	bool writing;          /* a batch is out of the queue, and may not be with the reader yet */
	bool refused;          /* the reader refused the last lines */
	size_t first, next;    /* of the ring: the oldest entry, and the place of the next one */
	size_t used;           /* bytes of entries, and those left free at the ring's end */
	uint64_t lost;         /* lines since the last count */
	int64_t lost_since_ms; /* when the first of them was logged */
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .thread = { .name = "weft-log" } };

static _Alignas(ALIGNMENT) char ring[LOG_QUEUE_SIZE];

/* ---- The ring ---- */

static size_t log_queue_room_for(size_t size)
{
	return (sizeof(struct log_entry) + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static bool log_queue_has_head(size_t place)
{
	return LOG_QUEUE_SIZE - place >= sizeof(struct log_entry);
}

/* Leaves the rest of the ring free if an entry of NEED bytes does not fit there. Whether one has room now. */
static bool log_queue_make_room(size_t need)
{
	size_t rest = LOG_QUEUE_SIZE - queue.next;

	if (!queue.used)
		queue.first = queue.next = 0;
	else if (need > rest) {
		if (queue.used + rest + need > LOG_QUEUE_SIZE)
			return false;
		if (log_queue_has_head(queue.next))
			memcpy(ring + queue.next, &(struct log_entry){ .size = 0 }, sizeof(struct log_entry));
		queue.used += rest;
		queue.next = 0;
	}
	return queue.used + need <= LOG_QUEUE_SIZE;
}

static bool log_queue_append(const struct log_line *line, uint64_t count)
{
	const struct log_entry entry = {
		.size = (uint32_t)line->size,
		.target = (uint8_t)line->target,
		.level = (uint8_t)line->level,
		.time_ms = line->time_ms,
		.count = count,
	};
	size_t need = log_queue_room_for(line->size);

	if (!log_queue_make_room(need))
		return false;
	memcpy(ring + queue.next, &entry, sizeof(entry));
	memcpy(ring + queue.next + sizeof(entry), line->bytes, line->size);
	queue.next += need;
	queue.used += need;
	return true;
}

/* The oldest entry. Whether there is one. */
static bool log_queue_peek(struct log_entry *entry)
{
	if (!queue.used)
		return false;
	if (log_queue_has_head(queue.first))
		memcpy(entry, ring + queue.first, sizeof(*entry));
	if (!log_queue_has_head(queue.first) || !entry->size) {
		queue.used -= LOG_QUEUE_SIZE - queue.first;
		queue.first = 0;
		memcpy(entry, ring, sizeof(*entry));
	}
	return true;
}

static void log_queue_drop_first(const struct log_entry *entry)
{
	size_t need = log_queue_room_for(entry->size);

	queue.first += need;
	queue.used -= need;
}

/* ---- Lost lines ---- */

static void log_queue_count_lost(uint64_t count, int64_t time_ms)
{
	if (!queue.lost)
		queue.lost_since_ms = time_ms;
	queue.lost += count;
}

/* When the reader takes lines again and the queue has room, their count goes in, before all lines that are logged from now on. */
static void log_queue_tell_lost(struct log_line *line)
{
	char since[CLOCK_TEXT_SIZE];

	if (!queue.lost || queue.refused || queue.used > LOG_QUEUE_SIZE / 2)
		return;
	const struct log_field fields[] = { F_UINT("count", queue.lost),
					    F_STR("since", clock_format_ms(queue.lost_since_ms, since)),
					    { 0 } };
	log_line_compose(line, LOG_WARNING_LEVEL, "log lines lost", fields);
	if (log_queue_append(line, queue.lost))
		queue.lost = 0;
}

bool log_queue_put(const struct log_line *line)
{
	enum log_mode mode = atomic_load(&queue_mode);
	bool kept, idle;

	if (mode != QUEUE_OPEN) {
		if (mode == QUEUE_ABANDONED)
			atomic_fetch_add(&lost_total, 1);
		return mode == QUEUE_ABANDONED;
	}
	pthread_mutex_lock(&queue.lock);
	kept = (!queue.lost || queue.used <= LOG_QUEUE_SIZE / 2) && log_queue_append(line, 0);
	if (!kept)
		log_queue_count_lost(1, line->time_ms);
	idle = queue.idle;
	queue.idle = false;
	pthread_mutex_unlock(&queue.lock);
	/* Woken under the lock, the thread would only wait for it. */
	if (idle)
		pthread_cond_signal(&queue.filled);
	if (!kept)
		atomic_fetch_add(&lost_total, 1);
	return true;
}

uint64_t log_queue_lost(void)
{
	return atomic_load(&lost_total);
}

/* ---- The thread ---- */

/* What leaves with one system call: a record of the journal, a count of lost lines, or as many lines as a pipe takes whole. */
struct log_batch {
	struct log_entry entry; /* the first */
	struct log_line line;   /* its bytes */
};

static void log_queue_read_first(struct log_batch *batch, const struct log_entry *entry)
{
	memcpy(batch->line.bytes + batch->line.size, ring + queue.first + sizeof(*entry), entry->size);
	batch->line.size += entry->size;
	log_queue_drop_first(entry);
}

/* Takes the next batch out of the queue. Whether there is one. */
static bool log_queue_take(struct log_batch *batch)
{
	struct log_entry entry;

	if (!log_queue_peek(&batch->entry))
		return false;
	batch->line.size = 0;
	log_queue_read_first(batch, &batch->entry);
	if (batch->entry.target != LOG_TO_STDERR || batch->entry.count)
		return true;
	while (log_queue_peek(&entry) && entry.target == LOG_TO_STDERR && !entry.count &&
	       batch->line.size + entry.size <= BATCH_SIZE)
		log_queue_read_first(batch, &entry);
	return true;
}

static uint64_t log_queue_lines_of(const char *bytes, size_t size)
{
	uint64_t count = 0;

	for (size_t i = 0; i < size; i++)
		count += bytes[i] == '\n';
	return count;
}

/* Writes a batch; without the lock. Returns how many lines were lost. */
static uint64_t log_queue_write(struct log_batch *batch)
{
	enum log_target target = (enum log_target)batch->entry.target;
	char time[CLOCK_TEXT_SIZE];
	size_t left;

	if (target == LOG_TO_JOURNAL && clock_wall_ms() - batch->entry.time_ms > LATE_MS)
		log_line_add_journal(&batch->line, "WEFT_TIME", clock_format_ms(batch->entry.time_ms, time));
	if (log_sink_write(target, (enum log_level)batch->entry.level, batch->line.bytes, batch->line.size, &left) == 0)
		return 0;
	if (batch->entry.count)
		return batch->entry.count;
	return log_queue_lines_of(batch->line.bytes + batch->line.size - left, left);
}

/* Waits until there is a batch. False: there will be none any more. */
static bool log_queue_await(struct log_batch *batch)
{
	static struct log_line count;

	for (;;) {
		bool taken = log_queue_take(batch);

		/* Before the lock is left: a line that is logged then would precede the count of those lost before it. */
		log_queue_tell_lost(&count);
		if (taken || log_queue_take(batch))
			return true;
		if (queue.stopping)
			return false;
		queue.idle = true;
		pthread_cond_wait(&queue.filled, &queue.lock);
		queue.idle = false;
	}
}

static void *log_queue_run(void *arg)
{
	static struct log_batch batch;

	pthread_mutex_lock(&queue.lock);
	while (log_queue_await(&batch)) {
		uint64_t refused;

		queue.writing = true;
		pthread_mutex_unlock(&queue.lock);
		refused = log_queue_write(&batch);
		/* A count that did not get through counts its lines again, and they are in the total already. */
		if (!batch.entry.count)
			atomic_fetch_add(&lost_total, refused);
		pthread_mutex_lock(&queue.lock);
		queue.writing = false;
		queue.refused = refused > 0;
		if (refused)
			log_queue_count_lost(refused, batch.entry.time_ms);
	}
	queue.has_ended = true;
	pthread_cond_signal(&queue.ended);
	pthread_mutex_unlock(&queue.lock);
	return arg;
}

int log_queue_start(struct err *err)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&queue.filled, NULL);
	pthread_cond_init(&queue.ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	queue.stopping = queue.has_ended = false;
	if (base_thread_start(&queue.thread, log_queue_run, NULL, err) < 0)
		return -1;
	atomic_store(&queue_mode, QUEUE_OPEN);
	return 0;
}

/* Whether the thread has ended. */
static bool log_queue_await_end(unsigned patience_ms)
{
	uint64_t until_ms = clock_now_ms() + patience_ms;
	const struct timespec until = { .tv_sec = (time_t)(until_ms / 1000),
					.tv_nsec = (long)(until_ms % 1000) * 1000000 };
	bool ended;

	pthread_mutex_lock(&queue.lock);
	queue.stopping = true;
	pthread_cond_signal(&queue.filled);
	while (!queue.has_ended && pthread_cond_timedwait(&queue.ended, &queue.lock, &until) == 0)
		;
	ended = queue.has_ended;
	pthread_mutex_unlock(&queue.lock);
	return ended;
}

void log_queue_stop(unsigned patience_ms)
{
	if (atomic_load(&queue_mode) != QUEUE_OPEN)
		return;
	if (log_queue_await_end(patience_ms)) {
		base_thread_join(&queue.thread);
		atomic_store(&queue_mode, QUEUE_CLOSED);
		pthread_cond_destroy(&queue.filled);
		pthread_cond_destroy(&queue.ended);
	} else {
		base_thread_abandon(&queue.thread);
		atomic_store(&queue_mode, QUEUE_ABANDONED);
	}
}

/*
 * Takes the lock when the thread is not amid a write, so that its lines come first; after PATIENCE_MS, amid one too, as its reader
 * stands still. False: another thread, or this one, holds the lock all the time, amid a copy. poll(2) is the one way to wait that
 * a signal handler has besides sleeping.
 */
static bool log_queue_lock_patiently(unsigned patience_ms)
{
	for (unsigned waited_ms = 0;; waited_ms++) {
		if (pthread_mutex_trylock(&queue.lock) == 0) {
			if (!queue.writing || waited_ms >= patience_ms)
				return true;
			pthread_mutex_unlock(&queue.lock);
		} else if (waited_ms >= patience_ms)
			return false;
		poll(NULL, 0, 1);
	}
}

void log_queue_offer_all(unsigned patience_ms)
{
	static struct log_batch batch;

	if (atomic_load(&queue_mode) != QUEUE_OPEN || !log_queue_lock_patiently(patience_ms))
		return;
	while (log_queue_take(&batch) &&
	       log_sink_offer((enum log_target)batch.entry.target, (enum log_level)batch.entry.level, batch.line.bytes,
			      batch.line.size))
		;
	pthread_mutex_unlock(&queue.lock);
}
