/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each key has one record of what should be there, and at most one command under way; what is wanted meanwhile is sent after its answer.
 * So the last state wins, and what waits is bounded by the number of keys. At most WINDOW commands are under way, which bounds what
 * hiredis buffers for a Redis that hangs.
 *
 * A start SETs. All else compares: Redis runs a script that looks whose entry it is and writes or deletes in one step. A server may deny
 * EVAL to our user. Then a renewal looks first and writes after (E2B's own way, with its gap), and removals are left to the time to live.
 *
 * Renewals are spread: in each third of the time to live, the resting records are sent once around, as many in each tick as it takes.
 */
#include "catalog/catalog.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "catalog/records.h"
#include "catalog/redis_link.h"
#include "catalog/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 256,
	TICK_MS = 250,
	ROUNDS = 3, /* of renewals in the time to live */
	ERROR_SIZE = 192,
};

/* KEYS[1] is the key, ARGV the mark of our execution, the value and the time to live in ms. 0: it is another's. */
static const char renew_script[] = "local v=redis.call('GET',KEYS[1]) "
				   "if v and not string.find(v,ARGV[1],1,true) then return 0 end "
				   "redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) return 1";
static const char remove_script[] = "local v=redis.call('GET',KEYS[1]) "
				    "if v and string.find(v,ARGV[1],1,true) then return redis.call('DEL',KEYS[1]) end "
				    "return 0";

struct catalog {
	const struct config *config;
	struct catalog_host host;
	struct catalog_link *link;
	struct catalog_records records;
	struct timer tick;
	uint64_t ticked_ms;
	double due;         /* renewals that the ticks so far owe */
	bool script_denied; /* on this connection */
	uint64_t failures;
	char error[ERROR_SIZE]; /* the last one about a record */
};

/* ---- Sending ---- */

static const char *catalog_key(const struct catalog *catalog, const struct catalog_record *record, char *key,
			       size_t size)
{
	snprintf(key, size, "%s%s", catalog->config->catalog.key_prefix ? catalog->config->catalog.key_prefix : "",
		 record->key);
	return key;
}

static enum catalog_command catalog_choose(const struct catalog *catalog, const struct catalog_record *record)
{
	if (record->gone)
		return CATALOG_COMMAND_REMOVE;
	if (record->claim || record->looked)
		return CATALOG_COMMAND_CLAIM;
	return catalog->script_denied ? CATALOG_COMMAND_LOOK : CATALOG_COMMAND_RENEW;
}

/* 0, or -1: not now. */
static int catalog_send_command(struct catalog *catalog, struct catalog_record *record)
{
	const struct catalog_entry entry = { .execution = record->execution, .started_ms = record->started_ms };
	char key[256], value[CATALOG_VALUE_SIZE], mark[CATALOG_MARK_SIZE], ttl[16];

	catalog_key(catalog, record, key, sizeof(key));
	catalog_value_format(&catalog->host, &entry, value);
	catalog_value_mark(record->execution, mark);
	snprintf(ttl, sizeof(ttl), "%u", catalog->config->catalog.ttl_ms);
	switch (record->command) {
	case CATALOG_COMMAND_CLAIM: {
		const char *const words[] = { "SET", key, value, "PX", ttl };

		return catalog_link_send(catalog->link, record, 5, words);
	}
	case CATALOG_COMMAND_RENEW: {
		const char *const words[] = { "EVAL", renew_script, "1", key, mark, value, ttl };

		return catalog_link_send(catalog->link, record, 7, words);
	}
	case CATALOG_COMMAND_LOOK: {
		const char *const words[] = { "GETRANGE", key, "0", "1023" };

		return catalog_link_send(catalog->link, record, 4, words);
	}
	case CATALOG_COMMAND_REMOVE: {
		const char *const words[] = { "EVAL", remove_script, "1", key, mark };

		return catalog_link_send(catalog->link, record, 5, words);
	}
	}
	return -1;
}

static void catalog_pump(struct catalog *catalog)
{
	struct catalog_records *records = &catalog->records;
	struct catalog_record *record;

	while (records->counts[CATALOG_SENT] < WINDOW && (record = TAILQ_FIRST(&records->queues[CATALOG_WAITING]))) {
		record->command = catalog_choose(catalog, record);
		if (record->command == CATALOG_COMMAND_REMOVE && catalog->script_denied) {
			catalog_records_remove(records, record);
			continue;
		}
		if (catalog_send_command(catalog, record) < 0)
			return;
		record->tried = true;
		record->changed = record->looked = false;
		catalog_records_move(records, record, CATALOG_SENT);
	}
}

/* What is wanted of RECORD changed. */
static void catalog_want(struct catalog *catalog, struct catalog_record *record)
{
	record->looked = false;
	if (record->place == CATALOG_SENT)
		record->changed = true;
	else
		catalog_records_move(&catalog->records, record, CATALOG_WAITING);
	catalog_pump(catalog);
}

/* ---- Answers ---- */

static bool catalog_begins(const struct catalog_answer *answer, const char *word)
{
	return strncmp(answer->text, word, strlen(word)) == 0;
}

/* Whether Redis itself is of no use as it is now: a connection made later may be to another one. */
static bool catalog_is_useless(const struct catalog_answer *answer)
{
	static const char *const codes[] = { "READONLY", "NOAUTH", "LOADING", "MASTERDOWN" };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (catalog_begins(answer, codes[i]))
			return true;
	return false;
}

static bool catalog_denies_scripts(const struct catalog_record *record, const struct catalog_answer *answer)
{
	if (record->command != CATALOG_COMMAND_RENEW && record->command != CATALOG_COMMAND_REMOVE)
		return false;
	return catalog_begins(answer, "NOPERM") || catalog_begins(answer, "ERR unknown command");
}

static void catalog_note_error(struct catalog *catalog, const struct catalog_record *record,
			       const struct catalog_answer *answer)
{
	char key[256];

	snprintf(catalog->error, sizeof(catalog->error), "%.180s",
		 answer->kind == CATALOG_ANSWER_ERROR ? answer->text : "not an answer of Redis to this command");
	for (char *c = catalog->error; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	log_seldom(LOG_WARNING_LEVEL, "catalogue refuses an entry",
		   F_STR("key", catalog_key(catalog, record, key, sizeof(key))), F_STR("error", catalog->error));
}

static void catalog_on_error(struct catalog *catalog, struct catalog_record *record,
			     const struct catalog_answer *answer)
{
	struct catalog_records *records = &catalog->records;

	catalog->failures++;
	if (answer->kind == CATALOG_ANSWER_ERROR && catalog_is_useless(answer)) {
		catalog_records_move(records, record, CATALOG_WAITING);
		catalog_link_give_up(catalog->link, answer->text);
		return;
	}
	if (answer->kind == CATALOG_ANSWER_ERROR && catalog_denies_scripts(record, answer)) {
		if (!catalog->script_denied)
			log_warning(
			    "EVAL is denied to weft by Redis: entries of sandboxes that are gone stay for [catalog] "
			    "ttl",
			    F_STR("redis", catalog->config->catalog.redis), F_STR("error", answer->text));
		catalog->script_denied = true;
		catalog_records_move(records, record, CATALOG_WAITING);
		return;
	}
	catalog_note_error(catalog, record, answer);
	if (record->command == CATALOG_COMMAND_REMOVE && !record->changed) {
		catalog_records_remove(records, record); /* the time to live does it */
		return;
	}
	catalog_records_set_holder(records, record, CATALOG_REFUSED);
	catalog_records_move(records, record, CATALOG_TROUBLED);
}

/* The entry is ours, or another's. */
static void catalog_settle(struct catalog *catalog, struct catalog_record *record, bool ours)
{
	struct catalog_records *records = &catalog->records;
	char key[256];

	if (!ours && record->holder != CATALOG_FOREIGN)
		log_seldom(LOG_WARNING_LEVEL, "another writer has the entry of a sandbox; it is left to it",
			   F_STR("key", catalog_key(catalog, record, key, sizeof(key))),
			   F_STR("fix", "unregister the sandbox here if it runs elsewhere"));
	catalog_records_set_holder(records, record, ours ? CATALOG_OURS : CATALOG_FOREIGN);
	if (!record->changed && record->command == CATALOG_COMMAND_CLAIM)
		record->claim = false;
	catalog_records_move(records, record, record->changed ? CATALOG_WAITING : CATALOG_RESTING);
}

static void catalog_on_looked(struct catalog *catalog, struct catalog_record *record,
			      const struct catalog_answer *answer)
{
	char mark[CATALOG_MARK_SIZE];
	const char *found;

	catalog_value_mark(record->execution, mark);
	found = memmem(answer->text, answer->length, mark, strlen(mark));
	if (!record->changed && answer->length && !found) {
		catalog_settle(catalog, record, false);
		return;
	}
	record->looked = !record->changed;
	catalog_records_move(&catalog->records, record, CATALOG_WAITING);
}

static void catalog_on_removed(struct catalog *catalog, struct catalog_record *record)
{
	if (!record->changed) {
		catalog_records_remove(&catalog->records, record);
		return;
	}
	catalog_records_set_holder(&catalog->records, record, CATALOG_UNKNOWN);
	catalog_records_move(&catalog->records, record, CATALOG_WAITING);
}

static void catalog_take(struct catalog *catalog, struct catalog_record *record, const struct catalog_answer *answer)
{
	bool fits = answer->kind == CATALOG_ANSWER_INTEGER;

	if (record->command == CATALOG_COMMAND_CLAIM || record->command == CATALOG_COMMAND_LOOK)
		fits = answer->kind == CATALOG_ANSWER_TEXT;
	if (!fits) {
		catalog_on_error(catalog, record, answer);
		return;
	}
	switch (record->command) {
	case CATALOG_COMMAND_CLAIM:
		catalog_settle(catalog, record, true);
		return;
	case CATALOG_COMMAND_RENEW:
		catalog_settle(catalog, record, answer->integer == 1);
		return;
	case CATALOG_COMMAND_LOOK:
		catalog_on_looked(catalog, record, answer);
		return;
	case CATALOG_COMMAND_REMOVE:
		catalog_on_removed(catalog, record);
		return;
	}
}

static void catalog_on_answered(void *context, void *subject, const struct catalog_answer *answer)
{
	struct catalog *catalog = context;
	struct catalog_record *record = subject;

	base_assert(record->place == CATALOG_SENT);
	catalog_take(catalog, record, answer);
	catalog_pump(catalog);
}

/* ---- The link's other reports ---- */

/* Nothing is known of what Redis has: all is sent, in the order in which it waited before. */
static void catalog_begin_anew(struct catalog *catalog)
{
	struct catalog_records *records = &catalog->records;
	struct catalog_record *record;

	catalog_records_move_all(records, CATALOG_TROUBLED, CATALOG_WAITING);
	catalog_records_move_all(records, CATALOG_RESTING, CATALOG_WAITING);
	TAILQ_FOREACH(record, &records->queues[CATALOG_WAITING], queue)
	{
		record->looked = false;
		catalog_records_set_holder(records, record, CATALOG_UNKNOWN);
	}
	catalog->due = 0;
}

static void catalog_on_up(void *context)
{
	struct catalog *catalog = context;
	struct catalog_record *record;

	/* Another Redis behind the same connection may have lost what is under way. */
	TAILQ_FOREACH(record, &catalog->records.queues[CATALOG_SENT], queue)
	record->changed = true;
	catalog->script_denied = false;
	catalog_begin_anew(catalog);
	catalog_pump(catalog);
}

static void catalog_on_down(void *context)
{
	struct catalog *catalog = context;

	/* What was under way came before what waits. */
	catalog_records_move_all(&catalog->records, CATALOG_WAITING, CATALOG_SENT);
	catalog_records_move_all(&catalog->records, CATALOG_SENT, CATALOG_WAITING);
	catalog_begin_anew(catalog);
}

static void catalog_on_checked(void *context)
{
	struct catalog *catalog = context;

	catalog_records_move_all(&catalog->records, CATALOG_TROUBLED, CATALOG_WAITING);
	catalog_pump(catalog);
}

static void catalog_on_tick(void *context)
{
	struct catalog *catalog = context;
	struct catalog_records *records = &catalog->records;
	size_t resting = records->counts[CATALOG_RESTING];
	uint64_t now = clock_now_ms(), passed = now - catalog->ticked_ms;

	timer_start(&catalog->tick, TICK_MS);
	catalog->ticked_ms = now;
	if (!catalog_link_is_up(catalog->link))
		return;
	catalog->due += (double)resting * (double)passed * ROUNDS / catalog->config->catalog.ttl_ms;
	if (catalog->due > (double)resting)
		catalog->due = (double)resting;
	for (; catalog->due >= 1; catalog->due--)
		catalog_records_move(records, TAILQ_FIRST(&records->queues[CATALOG_RESTING]), CATALOG_WAITING);
	catalog_pump(catalog);
}

/* ---- What the daemon calls ---- */

struct catalog *catalog_new(struct event_base *base, const struct config *config, struct err *err)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	const struct catalog_link_owner owner = { .up = catalog_on_up,
						  .down = catalog_on_down,
						  .checked = catalog_on_checked,
						  .answered = catalog_on_answered,
						  .context = catalog };

	if (!catalog || catalog_records_init(&catalog->records) < 0) {
		err_set(err, ENOMEM, "catalogue");
		free(catalog);
		return NULL;
	}
	catalog->config = config;
	catalog->ticked_ms = clock_now_ms();
	catalog_host_of(config, &catalog->host);
	catalog->link = catalog_link_new(base, config, &owner, err);
	if (!catalog->link || timer_init(&catalog->tick, base, catalog_on_tick, catalog, err) < 0) {
		catalog_free(catalog);
		return NULL;
	}
	timer_start(&catalog->tick, TICK_MS);
	return catalog;
}

void catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return;
	catalog_link_free(catalog->link);
	timer_free(&catalog->tick);
	catalog_records_clear(&catalog->records);
	free(catalog);
}

void catalog_set(struct catalog *catalog, const char *key, const struct catalog_entry *entry, enum catalog_claim claim)
{
	struct catalog_record *record = catalog_records_find(&catalog->records, key);

	if (!record && !(record = catalog_records_add(&catalog->records, key))) {
		log_seldom(LOG_ERROR_LEVEL, "no memory for an entry of the catalogue", F_STR("key", key));
		return;
	}
	snprintf(record->execution, sizeof(record->execution), "%s", entry->execution);
	record->started_ms = entry->started_ms;
	record->claim = claim == CATALOG_START;
	catalog_records_set_gone(&catalog->records, record, false);
	catalog_want(catalog, record);
}

void catalog_remove(struct catalog *catalog, const char *key, const char *execution)
{
	struct catalog_records *records = &catalog->records;
	struct catalog_record *record = catalog_records_find(records, key);

	if (record && strcmp(record->execution, execution) != 0)
		return;
	if (record && !record->tried) {
		catalog_records_remove(records, record);
		return;
	}
	/* The time to live removes what is too much to be kept in mind while Redis is away. */
	if (records->gone >= CATALOG_GONE_MAX && (!record || record->place != CATALOG_SENT)) {
		if (record)
			catalog_records_remove(records, record);
		return;
	}
	if (!record && !(record = catalog_records_add(records, key)))
		return;
	snprintf(record->execution, sizeof(record->execution), "%s", execution);
	record->tried = true;
	record->claim = false;
	catalog_records_set_gone(records, record, true);
	catalog_want(catalog, record);
}

void catalog_stats(const struct catalog *catalog, struct catalog_stats *stats)
{
	const struct catalog_records *records = &catalog->records;
	const char *error = catalog_link_error(catalog->link);

	*stats = (struct catalog_stats){
		.redis = catalog->config->catalog.redis,
		.up = catalog_link_is_up(catalog->link),
		.published = records->holders[CATALOG_OURS],
		.pending = records->counts[CATALOG_WAITING] + records->counts[CATALOG_SENT] +
			   records->counts[CATALOG_TROUBLED],
		.foreign = records->holders[CATALOG_FOREIGN],
		.failures = catalog->failures,
		.losses = catalog_link_losses(catalog->link),
		.error = error                               ? error
			 : records->holders[CATALOG_REFUSED] ? catalog->error
							     : NULL,
	};
}

void catalog_reload(struct catalog *catalog)
{
	catalog_link_reload(catalog->link);
}
