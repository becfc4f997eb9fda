/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys are found by a hash. Its seed is no secret: keys are chosen by managers, who have the control socket.
 */
#include "catalog/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

/* FNV-1a. */
static struct catalog_bucket *catalog_records_bucket(const struct catalog_records *records, const char *key)
{
	uint32_t hash = 2166136261U;

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619U;
	return &records->buckets[(hash ^ hash >> 16) % BUCKETS];
}

int catalog_records_init(struct catalog_records *records)
{
	for (unsigned i = 0; i < CATALOG_PLACES; i++)
		TAILQ_INIT(&records->queues[i]);
	records->buckets = calloc(BUCKETS, sizeof(*records->buckets));
	return records->buckets ? 0 : -1;
}

void catalog_records_clear(struct catalog_records *records)
{
	for (unsigned i = 0; i < CATALOG_PLACES; i++)
		while (!TAILQ_EMPTY(&records->queues[i]))
			catalog_records_remove(records, TAILQ_FIRST(&records->queues[i]));
	free(records->buckets);
	records->buckets = NULL;
}

struct catalog_record *catalog_records_find(const struct catalog_records *records, const char *key)
{
	struct catalog_record *record;

	LIST_FOREACH(record, catalog_records_bucket(records, key), same_bucket)
	if (strcmp(record->key, key) == 0)
		return record;
	return NULL;
}

struct catalog_record *catalog_records_add(struct catalog_records *records, const char *key)
{
	struct catalog_record *record = calloc(1, sizeof(*record));

	if (!record)
		return NULL;
	snprintf(record->key, sizeof(record->key), "%s", key);
	LIST_INSERT_HEAD(catalog_records_bucket(records, key), record, same_bucket);
	TAILQ_INSERT_TAIL(&records->queues[record->place], record, queue);
	records->counts[record->place]++;
	records->holders[record->holder]++;
	return record;
}

void catalog_records_remove(struct catalog_records *records, struct catalog_record *record)
{
	LIST_REMOVE(record, same_bucket);
	TAILQ_REMOVE(&records->queues[record->place], record, queue);
	records->counts[record->place]--;
	records->holders[record->holder]--;
	records->gone -= record->gone;
	free(record);
}

void catalog_records_move(struct catalog_records *records, struct catalog_record *record, enum catalog_place place)
{
	TAILQ_REMOVE(&records->queues[record->place], record, queue);
	records->counts[record->place]--;
	record->place = place;
	TAILQ_INSERT_TAIL(&records->queues[place], record, queue);
	records->counts[place]++;
}

void catalog_records_move_all(struct catalog_records *records, enum catalog_place from, enum catalog_place to)
{
	while (!TAILQ_EMPTY(&records->queues[from]))
		catalog_records_move(records, TAILQ_FIRST(&records->queues[from]), to);
}

void catalog_records_set_holder(struct catalog_records *records, struct catalog_record *record,
				enum catalog_holder holder)
{
	records->holders[record->holder]--;
	record->holder = holder;
	records->holders[holder]++;
}

void catalog_records_set_gone(struct catalog_records *records, struct catalog_record *record, bool gone)
{
	records->gone -= record->gone;
	record->gone = gone;
	records->gone += gone;
}
