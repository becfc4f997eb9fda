/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hiredis makes the objects of an answer by a table of functions. Ours look before they call its own; NULL ends the connection. What
 * RESP2 does not have, and arrays, no command of this room is answered by.
 */
#include "catalog/reader.h"

#ifdef HAVE_HIREDIS
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#if HIREDIS_MAJOR >= 1
typedef size_t reader_count;
#else
typedef int reader_count;
#endif

static redisReplyObjectFunctions originals, limited; /* the same for all readers */

static void *catalog_reader_refuse(struct catalog_reader *guard, const char *fault)
{
	if (!guard->fault)
		guard->fault = fault;
	return NULL;
}

static bool catalog_reader_may(const redisReadTask *task)
{
	struct catalog_reader *guard = task->privdata;

	if (guard->owed)
		return true;
	catalog_reader_refuse(guard, "an answer that was not asked for");
	return false;
}

static void *catalog_reader_string(const redisReadTask *task, char *text, size_t length)
{
	return catalog_reader_may(task) ? originals.createString(task, text, length) : NULL;
}

static void *catalog_reader_integer(const redisReadTask *task, long long integer)
{
	return catalog_reader_may(task) ? originals.createInteger(task, integer) : NULL;
}

static void *catalog_reader_nil(const redisReadTask *task)
{
	return catalog_reader_may(task) ? originals.createNil(task) : NULL;
}

static void *catalog_reader_array(const redisReadTask *task, reader_count count)
{
	(void)count;
	return catalog_reader_refuse(task->privdata, "an answer of a kind that was not asked for");
}

#if HIREDIS_MAJOR >= 1
static void *catalog_reader_double(const redisReadTask *task, double number, char *text, size_t length)
{
	(void)number;
	(void)text;
	(void)length;
	return catalog_reader_refuse(task->privdata, "an answer of a kind that was not asked for");
}

static void *catalog_reader_bool(const redisReadTask *task, int value)
{
	(void)value;
	return catalog_reader_refuse(task->privdata, "an answer of a kind that was not asked for");
}
#endif

void catalog_reader_limit(struct redisReader *reader, struct catalog_reader *guard)
{
	if (!originals.createString) {
		originals = limited = *reader->fn;
		limited.createString = catalog_reader_string;
		limited.createInteger = catalog_reader_integer;
		limited.createNil = catalog_reader_nil;
		limited.createArray = catalog_reader_array;
#if HIREDIS_MAJOR >= 1
		limited.createDouble = catalog_reader_double;
		limited.createBool = catalog_reader_bool;
#endif
	}
	reader->fn = &limited;
	reader->privdata = guard;
}

int catalog_reader_check(const struct redisReader *reader, struct catalog_reader *guard)
{
	if (reader->len <= CATALOG_ANSWER_MAX)
		return 0;
	catalog_reader_refuse(guard, "an answer that is too long");
	return -1;
}
#endif
