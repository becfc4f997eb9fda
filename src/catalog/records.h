/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_RECORDS_H
#define WEFT_CATALOG_RECORDS_H

/*
 * What should be in Redis, by key, and how far each is. The number of records is that of the sandboxes, and of removals that Redis does not
 * know of yet, of which there are at most CATALOG_GONE_MAX. Pure.
 */

#include "base/queue.h"
#include "catalog/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CATALOG_GONE_MAX = 16384 };

/* A record is in the queue of its place. */
enum catalog_place {
	CATALOG_WAITING, /* to be sent, in this order; then sent */
	CATALOG_SENT,    /* its command is under way; then resting, troubled, waiting, or freed */
	CATALOG_RESTING, /* Redis has what it should have; the one that was renewed longest ago comes first. Then waiting */
	CATALOG_TROUBLED, /* Redis answered by an error; then waiting */
};
enum { CATALOG_PLACES = CATALOG_TROUBLED + 1 };

/* Whose entry Redis has, by its last answer on this connection. */
enum catalog_holder {
	CATALOG_UNKNOWN, /* there was none */
	CATALOG_OURS,
	CATALOG_FOREIGN,
	CATALOG_REFUSED, /* it was an error */
};
enum { CATALOG_HOLDERS = CATALOG_REFUSED + 1 };

enum catalog_command {
	CATALOG_COMMAND_CLAIM,  /* SET */
	CATALOG_COMMAND_RENEW,  /* set unless it is another's, by EVAL */
	CATALOG_COMMAND_LOOK,   /* where EVAL is denied: whose is it? */
	CATALOG_COMMAND_REMOVE, /* delete if it is ours, by EVAL */
};

struct catalog_record {
	LIST_ENTRY(catalog_record) same_bucket;
	TAILQ_ENTRY(catalog_record) queue;
	enum catalog_place place;
	enum catalog_holder holder;
	char key[CATALOG_KEY_SIZE];
	char execution[CATALOG_EXECUTION_SIZE];
	int64_t started_ms;
	bool gone;                    /* wanted: no entry of this execution; else wanted: this entry */
	bool claim;                   /* whoever has the entry, it becomes ours */
	bool looked;                  /* the entry was just found to be ours, or nobody's */
	bool tried;                   /* Redis may have it */
	bool changed;                 /* what is wanted is not what was sent */
	enum catalog_command command; /* the one under way */
};

TAILQ_HEAD(catalog_queue, catalog_record);
LIST_HEAD(catalog_bucket, catalog_record);

struct catalog_records {
	struct catalog_bucket *buckets;
	struct catalog_queue queues[CATALOG_PLACES];
	size_t counts[CATALOG_PLACES];
	size_t holders[CATALOG_HOLDERS];
	size_t gone;
};

/* 0, or -1 for want of memory. */
int catalog_records_init(struct catalog_records *records);
void catalog_records_clear(struct catalog_records *records);

/* NULL: none. */
struct catalog_record *catalog_records_find(const struct catalog_records *records, const char *key);

/* A new one, at the end of those that wait; NULL for want of memory. KEY must have none. */
struct catalog_record *catalog_records_add(struct catalog_records *records, const char *key);
void catalog_records_remove(struct catalog_records *records, struct catalog_record *record);

/* To the end of the queue of PLACE. */
void catalog_records_move(struct catalog_records *records, struct catalog_record *record, enum catalog_place place);

/* All of FROM, in their order. */
void catalog_records_move_all(struct catalog_records *records, enum catalog_place from, enum catalog_place to);

void catalog_records_set_holder(struct catalog_records *records, struct catalog_record *record,
				enum catalog_holder holder);
void catalog_records_set_gone(struct catalog_records *records, struct catalog_record *record, bool gone);

#endif
