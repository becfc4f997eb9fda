/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hiredis 0.14 takes these allocations for granted: two tables of each connection and two iterators over them at its end (hi_malloc(), of 64
 * bytes at most; it aborts), and an empty string in place of one that was used up (sdsempty(), one in a read or a write). The program's own
 * functions of these names come before the library's, as for malloc(3). A copy of hiredis that was linked so that it calls itself directly
 * does not notice, and dies as ever; that of Debian was not. From version 1.0 on hiredis checks all by itself.
 *
 * A connection takes BLOCKS / 2 of the store when it is made and as many at its end. It is made of a full store alone, and what is taken
 * later is put back before the next call, or there is none. So the end always finds its part.
 */
#include "catalog/adapter.h"

#ifdef HAVE_HIREDIS
#include "base/cleanup.h"

#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct adapter {
	redisAsyncContext *redis;
	struct event *readable, *writable;
	struct catalog_adapter_owner owner;
};

/* ---- The store ---- */

#if HIREDIS_MAJOR < 1
#include <hiredis/sds.h>

enum { BLOCK_SIZE = 64, BLOCKS = 4, STRINGS = 2 };

static void *blocks[BLOCKS];
static sds strings[STRINGS];

static void *catalog_adapter_take_block(size_t size)
{
	for (size_t i = 0; size <= BLOCK_SIZE && i < BLOCKS; i++)
		if (blocks[i])
			return steal_ptr(&blocks[i]);
	return NULL;
}

/* In place of hiredis' own. */
void *catalog_adapter_malloc(size_t size) __asm__("hi_malloc");
char *catalog_adapter_strdup(const char *text) __asm__("hi_strdup");
sds catalog_adapter_sdsempty(void) __asm__("sdsempty");

void *catalog_adapter_malloc(size_t size)
{
	void *made = malloc(size);

	return made ? made : catalog_adapter_take_block(size);
}

/* NULL: the name of a host or a path, which only a reconnection would need. */
char *catalog_adapter_strdup(const char *text)
{
	return strdup(text);
}

sds catalog_adapter_sdsempty(void)
{
	sds made = sdsnewlen("", 0);

	for (size_t i = 0; !made && i < STRINGS; i++)
		made = steal_ptr(&strings[i]);
	return made;
}

bool catalog_adapter_is_ready(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		if (!blocks[i] && !(blocks[i] = malloc(BLOCK_SIZE)))
			return false;
	for (size_t i = 0; i < STRINGS; i++)
		if (!strings[i] && !(strings[i] = sdsnewlen("", 0)))
			return false;
	return true;
}

void catalog_adapter_release(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		free(steal_ptr(&blocks[i]));
	for (size_t i = 0; i < STRINGS; i++)
		sdsfree(steal_ptr(&strings[i]));
}
#else
bool catalog_adapter_is_ready(void)
{
	return true;
}

void catalog_adapter_release(void)
{
}
#endif

/* ---- What the loop calls ---- */

static void catalog_adapter_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct adapter *adapter = arg;

	(void)fd;
	(void)what;
	if (catalog_adapter_is_ready())
		redisAsyncHandleRead(adapter->redis);
	else
		adapter->owner.starved(adapter->owner.context);
}

static void catalog_adapter_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct adapter *adapter = arg;

	(void)fd;
	(void)what;
	if (catalog_adapter_is_ready())
		redisAsyncHandleWrite(adapter->redis);
	else
		adapter->owner.starved(adapter->owner.context);
}

/* ---- What hiredis calls ---- */

static void catalog_adapter_add_read(void *data)
{
	struct adapter *adapter = data;

	if (event_add(adapter->readable, NULL) < 0)
		adapter->owner.starved(adapter->owner.context);
	adapter->owner.reading(adapter->owner.context);
}

static void catalog_adapter_add_write(void *data)
{
	struct adapter *adapter = data;

	if (event_add(adapter->writable, NULL) < 0)
		adapter->owner.starved(adapter->owner.context);
}

static void catalog_adapter_del_read(void *data)
{
	event_del(((struct adapter *)data)->readable);
}

static void catalog_adapter_del_write(void *data)
{
	event_del(((struct adapter *)data)->writable);
}

static void catalog_adapter_cleanup(void *data)
{
	struct adapter *adapter = data;

	if (adapter->readable)
		event_free(adapter->readable);
	if (adapter->writable)
		event_free(adapter->writable);
	free(adapter);
}

int catalog_adapter_attach(redisAsyncContext *redis, struct event_base *base, const struct catalog_adapter_owner *owner)
{
	struct adapter *adapter = calloc(1, sizeof(*adapter));

	if (!adapter)
		return -1;
	*adapter = (struct adapter){ .redis = redis, .owner = *owner };
	adapter->readable = event_new(base, redis->c.fd, EV_READ, catalog_adapter_on_readable, adapter);
	adapter->writable = event_new(base, redis->c.fd, EV_WRITE, catalog_adapter_on_writable, adapter);
	if (!adapter->readable || !adapter->writable) {
		catalog_adapter_cleanup(adapter);
		return -1;
	}
	redis->ev.addRead = catalog_adapter_add_read;
	redis->ev.delRead = catalog_adapter_del_read;
	redis->ev.addWrite = catalog_adapter_add_write;
	redis->ev.delWrite = catalog_adapter_del_write;
	redis->ev.cleanup = catalog_adapter_cleanup;
	redis->ev.data = adapter;
	return 0;
}
#endif
