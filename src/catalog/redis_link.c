/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hiredis calls back from amid its own work, where its context must not be freed. So whoever finds a fault there notes it, and an event of
 * the loop ends the connection (catalog_link_doom()). A context that hiredis itself gives up is gone when that call returns; CONTEXT
 * is NULL from then on, and calls about any other one are none of ours.
 *
 * A connection proves itself by its answer to INFO, which is asked for again every few seconds: it notices a Redis that hangs, and by the
 * run id one that was replaced behind a proxy.
 */
#include "catalog/redis_link.h"

#ifdef HAVE_HIREDIS
#include "base/backoff.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "catalog/adapter.h"
#include "catalog/credentials.h"
#include "catalog/lookup.h"
#include "catalog/reader.h"
#include "config/catalog_place.h"
#include "config/config.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 500, /* a Redis that is back empty has the readers say "not found" until then */
	STEADY_MS = 10000,  /* after so long without a loss the pauses begin anew */
	TICK_MS = 500,      /* of the looks at the clock while there is a connection */
	CHECK_MS = 3000,    /* between two looks at Redis */
	DEADLINE_MS = 3000, /* without an answer that is owed */
	ERROR_SIZE = 256,
	RUN_ID_SIZE = 64,
};

enum link_state {
	LINK_WAITING, /* for the next attempt, or for a password file that can be used; then looking up or connecting */
	LINK_LOOKING_UP, /* then connecting or waiting */
	LINK_CONNECTING, /* Redis has not proved itself yet; then up or waiting */
	LINK_UP,         /* then waiting */
};

struct catalog_link {
	struct event_base *base;
	const struct config *config;
	struct config_catalog_place place;
	struct catalog_credentials credentials;
	bool locked_out; /* the password file cannot be used: nothing is tried */
	struct catalog_link_owner owner;
	enum link_state state;
	struct timer retry, tick;
	struct event *doom; /* active: the connection ends for ERROR */
	bool doomed;
	redisAsyncContext *context; /* NULL: none */
	struct catalog_reader guard;
	struct catalog_lookup *lookup;
	unsigned attempts; /* each takes the next of a name's addresses */
	unsigned pause_ms;
	uint64_t up_since_ms, moved_ms, checked_ms;
	char run_id[RUN_ID_SIZE];
	bool check_denied; /* INFO is, to our user; said once */
	char error[ERROR_SIZE];
	uint64_t losses;
};

/* ---- The end of a connection ---- */

/* What a server says may be anything. */
static void catalog_link_note(struct catalog_link *link, const char *what, const char *text)
{
	int length = snprintf(link->error, sizeof(link->error), "%s%s%.200s", what, *what && *text ? ": " : "", text);

	for (int i = 0; i < length && link->error[i]; i++)
		if (link->error[i] < ' ' || link->error[i] > '~')
			link->error[i] = '?';
}

static void catalog_link_doom(struct catalog_link *link, const char *what, const char *text)
{
	if (link->doomed)
		return;
	link->doomed = true;
	catalog_link_note(link, what, text);
	event_active(link->doom, EV_TIMEOUT, 0);
}

static void catalog_link_close(struct catalog_link *link)
{
	redisAsyncContext *context = link->context;

	link->context = NULL;
	timer_stop(&link->tick);
	catalog_lookup_stop(link->lookup);
	link->lookup = NULL;
	if (context)
		redisAsyncFree(context);
	link->doomed = false;
	event_del(link->doom);
}

/* A pause that other hosts, which lost the same Redis at the same moment, do not have. */
static uint64_t catalog_link_pause(struct catalog_link *link)
{
	uint32_t number;

	link->pause_ms = base_backoff_next(link->pause_ms, PAUSE_MIN_MS, PAUSE_MAX_MS);
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = (uint32_t)clock_now_us();
	return link->pause_ms / 2 + number % (link->pause_ms / 2 + 1);
}

/* For ERROR, which is noted. */
static void catalog_link_lose(struct catalog_link *link)
{
	link->losses++;
	log_seldom(LOG_WARNING_LEVEL, link->state == LINK_UP ? "catalogue lost" : "catalogue not reached",
		   F_STR("redis", link->config->catalog.redis), F_STR("error", link->error));
	catalog_link_close(link);
	link->state = LINK_WAITING;
	timer_start(&link->retry, catalog_link_pause(link));
	link->owner.down(link->owner.context);
}

static void catalog_link_on_doom(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	catalog_link_lose(arg);
}

/* ---- What hiredis calls ---- */

static void catalog_link_on_connect(const redisAsyncContext *context, int status)
{
	struct catalog_link *link = context->data;

	if (context != link->context || status == REDIS_OK)
		return;
	link->context = NULL;
	catalog_link_doom(link, "", context->c.errstr);
}

static void catalog_link_on_disconnect(const redisAsyncContext *context, int status)
{
	struct catalog_link *link = context->data;

	if (context != link->context)
		return;
	link->context = NULL;
	if (link->guard.fault)
		catalog_link_doom(link, "not Redis", link->guard.fault);
	else
		catalog_link_doom(link, "", status == REDIS_OK ? "closed" : context->c.errstr);
}

/* After each read: the buffer of an answer that does not end is seen to grow. */
static void catalog_link_on_reading(void *context)
{
	struct catalog_link *link = context;

	if (link->context && catalog_reader_check(link->context->c.reader, &link->guard) < 0)
		catalog_link_doom(link, "not Redis", link->guard.fault);
}

static void catalog_link_on_starved(void *context)
{
	catalog_link_doom(context, "", strerror(ENOMEM));
}

/* The answer REPLY, for which somebody waits; false: it does not count, because the connection is at its end. */
static bool catalog_link_take(struct catalog_link *link, const redisAsyncContext *context, const redisReply *reply)
{
	if (!reply || context != link->context || link->doomed)
		return false;
	link->guard.owed--;
	link->moved_ms = clock_now_ms();
	return true;
}

static struct catalog_answer catalog_link_answer(const redisReply *reply)
{
	struct catalog_answer answer = { .kind = CATALOG_ANSWER_NIL, .text = "" };

	switch (reply->type) {
	case REDIS_REPLY_ERROR:
	case REDIS_REPLY_STATUS:
	case REDIS_REPLY_STRING:
		answer.kind = reply->type == REDIS_REPLY_ERROR ? CATALOG_ANSWER_ERROR : CATALOG_ANSWER_TEXT;
		answer.text = reply->str;
		answer.length = (size_t)reply->len;
		break;
	case REDIS_REPLY_INTEGER:
		answer.kind = CATALOG_ANSWER_INTEGER;
		answer.integer = reply->integer;
		break;
	}
	return answer;
}

static void catalog_link_on_answer(redisAsyncContext *context, void *reply, void *subject)
{
	struct catalog_link *link = context->data;

	if (!catalog_link_take(link, context, reply))
		return;
	struct catalog_answer answer = catalog_link_answer(reply);
	link->owner.answered(link->owner.context, subject, &answer);
}

/* An error to AUTH may repeat the words of the command: its code alone is shown. */
static void catalog_link_on_auth(redisAsyncContext *context, void *data, void *subject)
{
	struct catalog_link *link = context->data;
	const redisReply *reply = data;
	char code[24];

	(void)subject;
	if (!catalog_link_take(link, context, reply) || reply->type == REDIS_REPLY_STATUS)
		return;
	size_t length = reply->type == REDIS_REPLY_ERROR ? strspn(reply->str, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;
	snprintf(code, sizeof(code), "%.*s", (int)(length < 20 ? length : 20), length ? reply->str : "");
	catalog_link_doom(link, "Redis refuses the password ([catalog] password_file)", code);
}

/* ---- Proving it ---- */

static void catalog_link_read_run_id(const redisReply *reply, char run_id[static RUN_ID_SIZE])
{
	static const char label[] = "run_id:";
	const char *found = memmem(reply->str, (size_t)reply->len, label, sizeof(label) - 1);
	size_t length;

	run_id[0] = '\0';
	if (!found)
		return;
	found += sizeof(label) - 1;
	length = strcspn(found, "\r\n");
	snprintf(run_id, RUN_ID_SIZE, "%.*s", (int)(length < RUN_ID_SIZE ? length : RUN_ID_SIZE - 1), found);
}

/* Whether Redis may be used, as far as its answer to INFO says; else the connection is doomed. */
static bool catalog_link_is_fit(struct catalog_link *link, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_STRING)
		return true;
	if (reply->type != REDIS_REPLY_ERROR) {
		catalog_link_doom(link, "not Redis", "INFO is not answered by a text");
		return false;
	}
	if (strncmp(reply->str, "NOPERM", 6) != 0) {
		catalog_link_doom(link, "", reply->str);
		return false;
	}
	if (!link->check_denied)
		log_info("INFO is denied to weft by Redis: one that is replaced behind a proxy is not noticed",
			 F_STR("redis", link->config->catalog.redis));
	link->check_denied = true;
	return true;
}

static void catalog_link_on_check(redisAsyncContext *context, void *data, void *subject)
{
	struct catalog_link *link = context->data;
	const redisReply *reply = data;
	char run_id[RUN_ID_SIZE] = "";

	(void)subject;
	if (!catalog_link_take(link, context, reply) || !catalog_link_is_fit(link, reply))
		return;
	if (reply->type == REDIS_REPLY_STRING)
		catalog_link_read_run_id(reply, run_id);
	bool was_up = link->state == LINK_UP, same = strcmp(run_id, link->run_id) == 0;
	memcpy(link->run_id, run_id, sizeof(run_id));
	if (!was_up) {
		link->state = LINK_UP;
		link->up_since_ms = clock_now_ms();
		link->error[0] = '\0';
	}
	if (!was_up || !same) {
		log_info(was_up ? "catalogue is on another Redis" : "catalogue reached",
			 F_STR("redis", link->config->catalog.redis));
		link->owner.up(link->owner.context);
	}
	link->owner.checked(link->owner.context);
}

/* 0, or -1: no memory, or hiredis is about to end the connection. */
static int catalog_link_command(struct catalog_link *link, redisCallbackFn *done, void *subject, int count,
				const char *const words[])
{
	const redisCallback *last = link->context->replies.tail;
	char *command;
	int length = redisFormatCommandArgv(&command, count, (const char **)words, NULL);

	if (length < 0)
		return -1;
	int status = redisAsyncFormattedCommand(link->context, done, subject, command, (size_t)length);
	redisFreeCommand(command);
	if (status != REDIS_OK)
		return -1;
	/* For want of memory hiredis 0.14 goes on without the command, or without whom it is to answer. The answers would be others'. */
	if (link->context->replies.tail == last || link->context->c.err) {
		catalog_link_on_starved(link);
		return -1;
	}
	if (!link->guard.owed++)
		link->moved_ms = clock_now_ms();
	return 0;
}

static void catalog_link_check(struct catalog_link *link)
{
	static const char *const words[] = { "INFO", "server" };

	link->checked_ms = clock_now_ms();
	if (catalog_link_command(link, catalog_link_on_check, NULL, 2, words) < 0)
		catalog_link_doom(link, "INFO", strerror(ENOMEM));
}

static void catalog_link_authenticate(struct catalog_link *link)
{
	const struct catalog_credentials *credentials = &link->credentials;
	const char *words[] = { "AUTH", credentials->user, credentials->password };
	const char *without_user[] = { "AUTH", credentials->password };
	bool user = credentials->user[0];

	if (!credentials->password[0])
		return;
	if (catalog_link_command(link, catalog_link_on_auth, NULL, user ? 3 : 2, user ? words : without_user) < 0)
		catalog_link_doom(link, "AUTH", strerror(ENOMEM));
}

static void catalog_link_on_tick(void *arg)
{
	struct catalog_link *link = arg;
	uint64_t now = clock_now_ms();

	timer_start(&link->tick, TICK_MS);
	if (!link->context)
		return;
	if (link->guard.owed && now - link->moved_ms >= DEADLINE_MS)
		catalog_link_doom(link, "Redis does not answer",
				  link->state == LINK_UP ? "for 3 s" : "a new connection, for 3 s");
	else if (link->state == LINK_UP && now - link->checked_ms >= CHECK_MS)
		catalog_link_check(link);
	if (link->state == LINK_UP && now - link->up_since_ms >= STEADY_MS)
		link->pause_ms = 0;
}

/* ---- Connecting ---- */

static void catalog_link_adopt(struct catalog_link *link, redisAsyncContext *context)
{
	fcntl(context->c.fd, F_SETFD, FD_CLOEXEC);
	context->data = link;
	link->context = context;
	link->guard = (struct catalog_reader){ 0 };
	catalog_reader_limit(context->c.reader, &link->guard);
	redisAsyncSetDisconnectCallback(context, catalog_link_on_disconnect);
	redisAsyncSetConnectCallback(context, catalog_link_on_connect);
	link->state = LINK_CONNECTING;
	catalog_link_authenticate(link);
	catalog_link_check(link);
	timer_start(&link->tick, TICK_MS);
}

/* HOST is an address. */
static void catalog_link_open(struct catalog_link *link, const char *host)
{
	const struct catalog_adapter_owner owner = { .reading = catalog_link_on_reading,
						     .starved = catalog_link_on_starved,
						     .context = link };
	redisAsyncContext *context = NULL;

	if (catalog_adapter_is_ready())
		context = link->place.is_unix ? redisAsyncConnectUnix(link->place.path)
					      : redisAsyncConnect(host, link->place.port);
	if (context && !context->err && catalog_adapter_attach(context, link->base, &owner) == 0) {
		catalog_link_adopt(link, context);
		return;
	}
	catalog_link_note(link, "", context && context->err ? context->c.errstr : strerror(ENOMEM));
	if (context)
		redisAsyncFree(context);
	catalog_link_lose(link);
}

static void catalog_link_on_looked_up(void *arg, const char addresses[][CATALOG_ADDRESS_SIZE], unsigned count,
				      const char *why)
{
	struct catalog_link *link = arg;

	link->lookup = NULL;
	if (count) {
		catalog_link_open(link, addresses[link->attempts++ % count]);
		return;
	}
	catalog_link_note(link, link->place.host, why);
	catalog_link_lose(link);
}

static void catalog_link_on_retry(void *arg)
{
	struct catalog_link *link = arg;
	struct err err;

	if (link->place.is_unix || link->place.is_numeric) {
		catalog_link_open(link, link->place.host);
		return;
	}
	link->state = LINK_LOOKING_UP;
	link->lookup = catalog_lookup_start(link->base, link->place.host, catalog_link_on_looked_up, link, &err);
	if (link->lookup)
		return;
	catalog_link_note(link, "", err.text);
	catalog_link_lose(link);
}

/* Whether the password may have changed. */
static bool catalog_link_read_password(struct catalog_link *link)
{
	struct catalog_credentials fresh;
	struct err err;
	bool was_locked_out = link->locked_out;

	link->locked_out = catalog_credentials_read(link->config->catalog.password_file, &fresh, &err) < 0;
	if (link->locked_out) {
		catalog_link_note(link, "", err.text);
		log_error("the catalogue's password cannot be read", F_STR("error", err.text),
			  F_STR("fix", "mend the file, and reload weftd"));
	}
	bool changed = was_locked_out != link->locked_out || !catalog_credentials_equal(&fresh, &link->credentials);
	link->credentials = fresh;
	catalog_credentials_clear(&fresh);
	return changed;
}

void catalog_link_reload(struct catalog_link *link)
{
	bool changed = catalog_link_read_password(link);

	if (link->state == LINK_UP && !changed)
		return;
	catalog_link_close(link);
	timer_stop(&link->retry);
	link->state = LINK_WAITING;
	link->owner.down(link->owner.context);
	link->pause_ms = 0;
	if (!link->locked_out)
		timer_start(&link->retry, 0);
}

struct catalog_link *catalog_link_new(struct event_base *base, const struct config *config,
				      const struct catalog_link_owner *owner, struct err *err)
{
	struct catalog_link *link = calloc(1, sizeof(*link));

	if (!link) {
		err_set(err, ENOMEM, "catalogue");
		return NULL;
	}
	*link = (struct catalog_link){ .base = base, .config = config, .owner = *owner };
	snprintf(link->error, sizeof(link->error), "not connected yet");
	link->doom = event_new(base, -1, 0, catalog_link_on_doom, link);
	if (config_catalog_place_parse(config->catalog.redis, &link->place)) {
		err_set(err, EINVAL, "[catalog] redis");
		goto fail;
	}
	if (!link->doom) {
		err_set(err, ENOMEM, "catalogue");
		goto fail;
	}
	if (timer_init(&link->retry, base, catalog_link_on_retry, link, err) < 0 ||
	    timer_init(&link->tick, base, catalog_link_on_tick, link, err) < 0)
		goto fail;
	catalog_link_read_password(link);
	if (!link->locked_out)
		timer_start(&link->retry, 0);
	return link;

fail:
	catalog_link_free(link);
	return NULL;
}

void catalog_link_free(struct catalog_link *link)
{
	if (!link)
		return;
	if (link->doom)
		catalog_link_close(link);
	timer_free(&link->retry);
	timer_free(&link->tick);
	if (link->doom)
		event_free(link->doom);
	catalog_credentials_clear(&link->credentials);
	catalog_adapter_release();
	free(link);
}

/* ---- Questions ---- */

bool catalog_link_is_up(const struct catalog_link *link)
{
	return link->state == LINK_UP && link->context && !link->doomed;
}

unsigned catalog_link_owed(const struct catalog_link *link)
{
	return link->guard.owed;
}

const char *catalog_link_error(const struct catalog_link *link)
{
	return link->state == LINK_UP ? NULL : link->error;
}

uint64_t catalog_link_losses(const struct catalog_link *link)
{
	return link->losses;
}

int catalog_link_send(struct catalog_link *link, void *subject, int count, const char *const words[])
{
	if (!catalog_link_is_up(link))
		return -1;
	return catalog_link_command(link, catalog_link_on_answer, subject, count, words);
}

void catalog_link_give_up(struct catalog_link *link, const char *why)
{
	catalog_link_doom(link, "", why);
}
#endif
