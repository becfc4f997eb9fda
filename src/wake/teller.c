/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A post waits for its turn, is on its way, or rests after a failure; then it waits again. WAKE_TELL_AT_ONCE bounds the posts on their
 * way, and so the descriptors that a hanging manager can hold. A new text for the same key replaces the former one, and is sent after the
 * answer to that, if that is on its way.
 *
 * A timer that is due at once starts the attempts. So wake_teller_tell() touches no socket, and a failure to connect never comes back into
 * its caller.
 */
#include "wake/teller.h"

#include "base/assert.h"
#include "base/backoff.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "wake/attempt.h"
#include "wake/wake.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUCKETS = 256, /* a power of 2 */
	PAUSE_MIN_MS = 250,
	PAUSE_MAX_MS = 10000,
	ERROR_SIZE = 256,
};

enum wake_post_place {
	WAKE_POST_WAITING, /* in the queue; then on its way, or resting */
	WAKE_POST_ON_WAY,  /* there is an attempt; then resting, waiting or gone */
	WAKE_POST_RESTING, /* its timer runs; then waiting */
};

TAILQ_HEAD(wake_posts, wake_post);
LIST_HEAD(wake_post_bucket, wake_post);

struct wake_post {
	LIST_ENTRY(wake_post) same; /* of its bucket */
	TAILQ_ENTRY(wake_post) queue;
	struct wake_teller *teller;
	char *key, *path, *body;
	enum wake_post_place place;
	bool changed; /* on its way: path and body are not those that were sent */
	bool untold;  /* on its way: it goes no further than to this answer */
	struct wake_attempt *attempt;
	struct timer rest;
	unsigned pause_ms;
};

struct wake_teller {
	struct event_base *base;
	struct wake_post_bucket buckets[BUCKETS];
	struct wake_posts waiting;
	struct timer turn;
	size_t count, on_way;
	uint64_t told, failures;
	char error[ERROR_SIZE]; /* "": the last post was taken */
};

static void wake_teller_on_turn(void *context);

struct wake_teller *wake_teller_new(struct event_base *base, struct err *err)
{
	struct wake_teller *teller = calloc(1, sizeof(*teller));

	if (!teller) {
		err_set(err, ENOMEM, "posts to the manager");
		return NULL;
	}
	teller->base = base;
	TAILQ_INIT(&teller->waiting);
	if (timer_init(&teller->turn, base, wake_teller_on_turn, teller, err) < 0) {
		free(teller);
		return NULL;
	}
	return teller;
}

/* ---- Posts ---- */

static struct wake_post_bucket *wake_teller_bucket(struct wake_teller *teller, const char *key)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (; *key; key++)
		hash = (hash ^ (uint8_t)*key) * 16777619U;
	return &teller->buckets[hash & (BUCKETS - 1)];
}

static struct wake_post *wake_teller_find(struct wake_teller *teller, const char *key)
{
	struct wake_post *post;

	LIST_FOREACH(post, wake_teller_bucket(teller, key), same)
	if (strcmp(post->key, key) == 0)
		break;
	return post;
}

/* Takes POST out of the queue, its attempt or its rest, whichever it is in. */
static void wake_teller_leave(struct wake_post *post)
{
	struct wake_teller *teller = post->teller;

	switch (post->place) {
	case WAKE_POST_WAITING:
		TAILQ_REMOVE(&teller->waiting, post, queue);
		break;
	case WAKE_POST_ON_WAY:
		wake_attempt_stop(post->attempt);
		post->attempt = NULL;
		teller->on_way--;
		break;
	case WAKE_POST_RESTING:
		timer_stop(&post->rest);
		break;
	}
}

/* Queues POST, which is in no place. */
static void wake_teller_wait(struct wake_post *post)
{
	struct wake_teller *teller = post->teller;

	post->place = WAKE_POST_WAITING;
	TAILQ_INSERT_TAIL(&teller->waiting, post, queue);
	if (!timer_is_armed(&teller->turn))
		timer_start(&teller->turn, 0);
}

static void wake_teller_on_rested(void *context)
{
	wake_teller_wait(context);
}

/* For a POST that is in no place. */
static void wake_teller_free_post(struct wake_post *post)
{
	LIST_REMOVE(post, same);
	post->teller->count -= !post->untold;
	timer_free(&post->rest);
	free(post->key);
	free(post->path);
	free(post->body);
	free(post);
}

static void wake_teller_drop(struct wake_post *post)
{
	wake_teller_leave(post);
	wake_teller_free_post(post);
}

/* ---- Calls ---- */

/* WHY may quote the manager, whose words may be anything. */
static void wake_teller_note(struct wake_teller *teller, const char *why)
{
	snprintf(teller->error, sizeof(teller->error), "%s", why);
	for (char *c = teller->error; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void wake_teller_fail(struct wake_post *post, const char *why)
{
	struct wake_teller *teller = post->teller;
	char former[ERROR_SIZE];

	teller->failures++;
	memcpy(former, teller->error, sizeof(former));
	wake_teller_note(teller, why);
	if (strcmp(former, teller->error) != 0)
		log_seldom(LOG_WARNING_LEVEL, "manager not told of a wake; trying again", F_STR("sandbox", post->key),
			   F_STR("socket", post->path), F_STR("error", teller->error));
	post->place = WAKE_POST_RESTING;
	post->changed = false;
	post->pause_ms = base_backoff_next(post->pause_ms, PAUSE_MIN_MS, PAUSE_MAX_MS);
	timer_start(&post->rest, post->pause_ms);
}

static void wake_teller_on_done(void *context, const char *why)
{
	struct wake_post *post = context;
	struct wake_teller *teller = post->teller;

	base_assert(post->place == WAKE_POST_ON_WAY);
	post->attempt = NULL;
	teller->on_way--;
	if (!TAILQ_EMPTY(&teller->waiting) && !timer_is_armed(&teller->turn))
		timer_start(&teller->turn, 0);
	if (why && post->untold) {
		wake_teller_free_post(post);
		return;
	}
	if (why) {
		wake_teller_fail(post, why);
		return;
	}
	teller->told++;
	if (teller->error[0])
		log_info("manager is told of wakes again", F_STR("sandbox", post->key), F_STR("socket", post->path));
	teller->error[0] = '\0';
	if (!post->changed) {
		wake_teller_free_post(post);
		return;
	}
	post->changed = false;
	post->pause_ms = 0;
	wake_teller_wait(post);
}

static void wake_teller_on_turn(void *context)
{
	struct wake_teller *teller = context;
	struct wake_post *post;
	struct err err;

	while (teller->on_way < WAKE_TELL_AT_ONCE && (post = TAILQ_FIRST(&teller->waiting))) {
		TAILQ_REMOVE(&teller->waiting, post, queue);
		post->attempt =
		    wake_attempt_start(teller->base, post->path, post->body, wake_teller_on_done, post, &err);
		if (!post->attempt) {
			wake_teller_fail(post, err.text);
			continue;
		}
		post->place = WAKE_POST_ON_WAY;
		teller->on_way++;
	}
}

/* ---- Posting ---- */

/* PATH and BODY are POST's from now on. 0, or -1: no memory, and nothing changed. */
static int wake_teller_set(struct wake_post *post, const char *path, const char *body)
{
	char *new_path = strdup(path), *new_body = strdup(body);

	if (!new_path || !new_body) {
		free(new_path);
		free(new_body);
		return -1;
	}
	free(post->path);
	free(post->body);
	post->path = new_path;
	post->body = new_body;
	return 0;
}

/* Makes a post, which waits. 0, or -1: no memory. */
static int wake_teller_add(struct wake_teller *teller, const char *path, const char *key, const char *body)
{
	struct wake_post *post = calloc(1, sizeof(*post));
	struct err ignored;

	if (!post)
		return -1;
	post->teller = teller;
	post->key = strdup(key);
	if (!post->key || wake_teller_set(post, path, body) < 0 ||
	    timer_init(&post->rest, teller->base, wake_teller_on_rested, post, &ignored) < 0) {
		free(post->key);
		free(post->path);
		free(post->body);
		free(post);
		return -1;
	}
	LIST_INSERT_HEAD(wake_teller_bucket(teller, key), post, same);
	teller->count++;
	wake_teller_wait(post);
	return 0;
}

/* What was sent of POST is out of date. */
static void wake_teller_follow_up(struct wake_post *post)
{
	post->teller->count += post->untold;
	post->untold = false;
	post->changed = true;
}

void wake_teller_tell(struct wake_teller *teller, const char *path, const char *key, const char *body)
{
	struct wake_post *post = wake_teller_find(teller, key);
	int result = post ? wake_teller_set(post, path, body) : wake_teller_add(teller, path, key, body);

	if (result < 0)
		log_seldom(LOG_ERROR_LEVEL, "manager not told of a wake", F_STR("sandbox", key),
			   F_STR("error", strerror(ENOMEM)));
	else if (post && post->place == WAKE_POST_ON_WAY)
		wake_teller_follow_up(post);
}

static void wake_teller_redirect_post(struct wake_post *post, const char *path)
{
	char *copy;

	if (strcmp(post->path, path) == 0)
		return;
	copy = strdup(path);
	if (!copy) {
		log_seldom(LOG_ERROR_LEVEL, "manager not told of a wake at its new socket", F_STR("sandbox", post->key),
			   F_STR("error", strerror(ENOMEM)));
		return;
	}
	free(post->path);
	post->path = copy;
}

void wake_teller_redirect(struct wake_teller *teller, const char *path)
{
	struct wake_post *post, *next;

	for (size_t i = 0; i < BUCKETS; i++)
		LIST_FOREACH_SAFE(post, &teller->buckets[i], same, next)
	if (path)
		wake_teller_redirect_post(post, path);
	else
		wake_teller_drop(post);
}

void wake_teller_untell(struct wake_teller *teller, const char *key)
{
	struct wake_post *post = wake_teller_find(teller, key);

	if (!post || post->untold)
		return;
	if (post->place != WAKE_POST_ON_WAY) {
		wake_teller_drop(post);
		return;
	}
	/* A manager that does first what it is asked for, and answers then, is not cut off. */
	post->untold = true;
	post->changed = false;
	teller->count--;
}

struct wake_teller_counts wake_teller_counts(const struct wake_teller *teller)
{
	return (struct wake_teller_counts){ .told = teller->told,
					    .failures = teller->failures,
					    .telling = teller->count,
					    .error = teller->error[0] ? teller->error : NULL };
}

void wake_teller_free(struct wake_teller *teller)
{
	if (!teller)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (!LIST_EMPTY(&teller->buckets[i]))
			wake_teller_drop(LIST_FIRST(&teller->buckets[i]));
	timer_free(&teller->turn);
	free(teller);
}
