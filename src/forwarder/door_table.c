/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ids and names are chosen by the manager, whom weftd trusts not to make them collide. As with sources.h, a worker looks a route up
 * under its own lock, and main waits for each worker to let go of that once before a route ends.
 */
#include "forwarder/door_table.h"

#include "forwarder/core.h"
#include "forwarder/route.h"

#include <stdio.h>
#include <string.h>

enum { FNV_BASIS = 0x811c9dc5, FNV_PRIME = 0x01000193 };

/* FNV-1a, 32 bits. */
static size_t fwd_door_table_place(const char *text)
{
	uint32_t hash = FNV_BASIS;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * FNV_PRIME;
	return hash % DOOR_LISTS;
}

void fwd_door_table_init(struct door_table *table)
{
	pthread_mutex_init(&table->lock, NULL);
	for (size_t i = 0; i < DOOR_LISTS; i++) {
		LIST_INIT(&table->by_id[i]);
		LIST_INIT(&table->by_name[i]);
	}
}

void fwd_door_table_free(struct door_table *table)
{
	pthread_mutex_destroy(&table->lock);
}

/* Under the table's lock. */
static void fwd_door_table_set_name(struct door_table *table, struct fwd_route *route, const char *name)
{
	if (route->door_name[0])
		LIST_REMOVE(route, of_door_name);
	snprintf(route->door_name, sizeof(route->door_name), "%s", name);
	if (name[0])
		LIST_INSERT_HEAD(&table->by_name[fwd_door_table_place(name)], route, of_door_name);
}

void fwd_door_table_add(struct fwd_route *route)
{
	struct door_table *table = &route->forwarder->door_table;

	pthread_mutex_lock(&table->lock);
	LIST_INSERT_HEAD(&table->by_id[fwd_door_table_place(route->id)], route, of_door_id);
	route->at_door = true;
	pthread_mutex_unlock(&table->lock);
}

void fwd_door_table_rename(struct fwd_route *route, const char *name)
{
	struct door_table *table = &route->forwarder->door_table;

	pthread_mutex_lock(&table->lock);
	if (route->at_door)
		fwd_door_table_set_name(table, route, name);
	pthread_mutex_unlock(&table->lock);
}

void fwd_door_table_remove(struct fwd_route *route)
{
	struct door_table *table = &route->forwarder->door_table;

	pthread_mutex_lock(&table->lock);
	if (route->at_door) {
		fwd_door_table_set_name(table, route, "");
		LIST_REMOVE(route, of_door_id);
	}
	route->at_door = false;
	pthread_mutex_unlock(&table->lock);
}

/* Under the table's lock. */
static struct fwd_route *fwd_door_table_look_up(const struct door_table *table, const char *wanted)
{
	size_t place = fwd_door_table_place(wanted);
	struct fwd_route *route;

	LIST_FOREACH(route, &table->by_id[place], of_door_id)
	{
		if (strcmp(route->id, wanted) == 0)
			return route;
	}
	LIST_FOREACH(route, &table->by_name[place], of_door_name)
	{
		if (strcmp(route->door_name, wanted) == 0)
			return route;
	}
	return NULL;
}

struct fwd_route *fwd_door_table_find(struct forwarder *forwarder, const char *wanted)
{
	struct door_table *table = &forwarder->door_table;
	struct fwd_route *route;

	pthread_mutex_lock(&table->lock);
	route = fwd_door_table_look_up(table, wanted);
	pthread_mutex_unlock(&table->lock);
	return route;
}
