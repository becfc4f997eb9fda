/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_CATALOG_H
#define WEFT_CATALOG_CATALOG_H

/*
 * The catalogue: one key in Redis for each sandbox, whose value tells an edge on which host it is. The caller says what should be there;
 * this room brings Redis to it, renews each entry before it lapses, and begins anew after every loss of the connection. No call waits.
 * Main thread only.
 *
 * An entry is ours as long as its value has our execution. One of another writer under the same key is written over by a start
 * alone, never by a renewal, and never removed: the sandbox was started elsewhere since.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;
struct config;
struct err;
struct event_base;

enum { CATALOG_EXECUTION_SIZE = 40, CATALOG_KEY_SIZE = 65 };

enum catalog_claim {
	CATALOG_START, /* the sandbox starts under this key: whoever has the entry, it is ours now */
	CATALOG_KEEP,  /* it was there before: the entry is left alone if it is another's */
};

/* What is told of a sandbox. */
struct catalog_entry {
	const char *execution; /* unique to its registration, on all hosts; copied */
	int64_t started_ms;    /* wall clock */
};

/* The state of all, for people and metrics. */
struct catalog_stats {
	const char *redis; /* as it is configured */
	bool up;           /* connected, and it answers */
	size_t published;  /* entries that it took on this connection, and that have not turned out to be another's */
	size_t pending;    /* those that it has to take or to remove still */
	size_t foreign;    /* those that another writer has */
	uint64_t failures; /* commands that it answered by an error, since the start */
	uint64_t losses;   /* connections that were lost, or did not come about, since the start */
	const char *error; /* what is wrong now; NULL: nothing. Valid until the next call */
};

/*
 * Begins to connect to [catalog] redis. CONFIG is kept, and read anew by catalog_reload(). NULL with ERR: no memory, or weft was built
 * without hiredis. A password file that cannot be used is no failure: it is among the troubles of catalog_stats().
 */
struct catalog *catalog_new(struct event_base *base, const struct config *config, struct err *err);

/* The entries stay in Redis until they lapse, for the next run. Harmless with NULL. */
void catalog_free(struct catalog *catalog);

/* Publishes ENTRY under the configured prefix and KEY. The last call for a key wins. For want of memory it is logged and left out. */
void catalog_set(struct catalog *catalog, const char *key, const struct catalog_entry *entry, enum catalog_claim claim);

/* Removes the entry of KEY if it has EXECUTION, in Redis too. */
void catalog_remove(struct catalog *catalog, const char *key, const char *execution);

void catalog_stats(const struct catalog *catalog, struct catalog_stats *stats);

/* Reads the password file again, and connects anew if it says something else, or if there is no connection. */
void catalog_reload(struct catalog *catalog);

#endif
