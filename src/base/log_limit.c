/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table for all limits, under a mutex that is held for a look-up and never for a line. A sandbox and a message have an entry
 * from their first line until an interval has passed without one being swallowed.
 *
 * The table does not grow. While it is full, all that has no entry shares one, with a limit of its own: a host where a thousand
 * sandboxes are in trouble within a minute has lines enough.
 */
#include "base/log_limit.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
	LOG_LIMIT_BUCKETS = 256,
	LOG_LIMIT_SUBJECT_SIZE = 80, /* an id has 64 characters */
};

struct log_limited {
	struct log_limited *next;      /* of its bucket, or free */
	const struct log_limit *limit; /* NULL: free */
	const char *message;           /* a literal */
	char sandbox[LOG_LIMIT_SUBJECT_SIZE];
	uint64_t slot;
	enum log_level level;
	unsigned written;     /* in the interval */
	uint64_t started_ms;  /* of the interval */
	uint64_t suppressed;  /* since that was told */
	uint64_t silenced_ms; /* the first of these */
};

static const struct log_limit others_limit = { .burst = 100, .interval_ms = 60000 };

static struct {
	pthread_mutex_t lock;
	bool begun;
	struct log_limited *buckets[LOG_LIMIT_BUCKETS], *free;
	struct log_limited entries[LOG_LIMIT_ENTRIES];
	struct log_limited others; /* all for which there is no entry */
} limited = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.others = { .limit = &others_limit, .message = "lines of other sandboxes", .level = LOG_WARNING_LEVEL },
};

static void log_limit_begin(void)
{
	if (limited.begun)
		return;
	for (size_t i = 0; i < LOG_LIMIT_ENTRIES; i++) {
		limited.entries[i].next = limited.free;
		limited.free = &limited.entries[i];
	}
	limited.begun = true;
}

/* FNV-1a. The ids are those of managers, who may do worse than to make a list longer. */
static struct log_limited **log_limit_bucket(const char *message, const char *sandbox, uint64_t slot)
{
	uint32_t hash = 2166136261u ^ (uint32_t)slot;

	for (const char *c = message; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	for (const char *c = sandbox; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	return &limited.buckets[hash % LOG_LIMIT_BUCKETS];
}

static struct log_limited *log_limit_find(const struct log_limit *limit, const char *message, const char *sandbox,
					  uint64_t slot)
{
	struct log_limited **bucket = log_limit_bucket(message, sandbox, slot);
	struct log_limited *entry = *bucket;

	while (entry && !(entry->limit == limit && entry->slot == slot && !strcmp(entry->message, message) &&
			  !strcmp(entry->sandbox, sandbox)))
		entry = entry->next;
	if (entry)
		return entry;
	if (!limited.free)
		return &limited.others;
	entry = limited.free;
	limited.free = entry->next;
	*entry = (struct log_limited){ .next = *bucket, .limit = limit, .message = message, .slot = slot };
	snprintf(entry->sandbox, sizeof(entry->sandbox), "%s", sandbox);
	*bucket = entry;
	return entry;
}

static void log_limit_forget(struct log_limited *entry)
{
	struct log_limited **at = log_limit_bucket(entry->message, entry->sandbox, entry->slot);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	entry->limit = NULL;
	entry->next = limited.free;
	limited.free = entry;
}

/* Takes over what was swallowed, to be told without the lock. */
static struct log_limited log_limit_take(struct log_limited *entry)
{
	struct log_limited taken = *entry;

	entry->suppressed = 0;
	return taken;
}

static void log_limit_say(const struct log_limited *taken)
{
	if (!taken->suppressed)
		return;
	log_at(taken->level, "log lines suppressed", F_STR("sandbox", taken->sandbox[0] ? taken->sandbox : NULL),
	       F_SOME("slot", taken->slot), F_STR("of", taken->message), F_UINT("suppressed", taken->suppressed));
}

bool log_limit_admits(const struct log_limit *limit, enum log_level level, const char *message, const char *sandbox,
		      uint64_t slot, uint64_t now_ms)
{
	struct log_limited taken = { 0 };
	struct log_limited *entry;
	bool admitted;

	if (!log_enabled(level))
		return false;
	pthread_mutex_lock(&limited.lock);
	log_limit_begin();
	entry = log_limit_find(limit, message, sandbox ? sandbox : "", sandbox ? 0 : slot);
	if (!entry->started_ms || now_ms - entry->started_ms >= entry->limit->interval_ms) {
		taken = log_limit_take(entry);
		entry->started_ms = now_ms;
		entry->written = 0;
	}
	admitted = entry->written < entry->limit->burst;
	if (admitted)
		entry->written++;
	else if (!entry->suppressed++)
		entry->silenced_ms = now_ms;
	if (entry != &limited.others)
		entry->level = level;
	pthread_mutex_unlock(&limited.lock);
	log_limit_say(&taken);
	return admitted;
}

bool log_limit_allows(const struct log_limit *limit, enum log_level level, const char *message, const char *sandbox)
{
	return log_limit_admits(limit, level, message, sandbox, 0, clock_now_ms());
}

void log_write_limited(const struct log_limit *limit, enum log_level level, const char *message,
		       const struct log_field *fields)
{
	const char *sandbox = NULL;
	uint64_t slot = 0;

	for (const struct log_field *field = fields; field->key; field++) {
		if (field->type == LOG_FIELD_STRING && field->string && !strcmp(field->key, "sandbox"))
			sandbox = field->string;
		else if (field->type == LOG_FIELD_UINT && !strcmp(field->key, "slot"))
			slot = field->natural;
	}
	if (log_limit_admits(limit, level, message, sandbox, slot, clock_now_ms()))
		log_write(level, message, fields);
}

/* ---- Telling ---- */

/* What ENTRY, which is in use, has to tell at NOW_MS; it is forgotten where that is nothing and its interval is over. */
static struct log_limited log_limit_look(struct log_limited *entry, uint64_t now_ms, bool all)
{
	bool over = now_ms - entry->started_ms >= entry->limit->interval_ms;

	if (entry->suppressed && (all || over || now_ms - entry->silenced_ms >= LOG_LIMIT_TELL_MS))
		return log_limit_take(entry);
	if (over && !entry->suppressed && entry != &limited.others)
		log_limit_forget(entry);
	return (struct log_limited){ 0 };
}

static void log_limit_look_over(uint64_t now_ms, bool all)
{
	for (size_t i = 0; i <= LOG_LIMIT_ENTRIES; i++) {
		struct log_limited *entry = i < LOG_LIMIT_ENTRIES ? &limited.entries[i] : &limited.others;
		struct log_limited taken = { 0 };

		pthread_mutex_lock(&limited.lock);
		if (entry->limit)
			taken = log_limit_look(entry, now_ms, all);
		pthread_mutex_unlock(&limited.lock);
		log_limit_say(&taken);
	}
}

void log_limit_tell(uint64_t now_ms)
{
	log_limit_look_over(now_ms, false);
}

void log_limit_tell_all(void)
{
	log_limit_look_over(clock_now_ms(), true);
}
