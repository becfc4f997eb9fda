/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_REDIS_LINK_H
#define WEFT_CATALOG_REDIS_LINK_H

/*
 * The one connection to Redis: made, proved, watched, and made again after every loss, with growing pauses that are not the same on all
 * hosts. It sends commands and hands their answers on; what they are about is its owner's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog_link;
struct config;
struct err;
struct event_base;

enum catalog_answer_kind {
	CATALOG_ANSWER_TEXT, /* a status, or a string */
	CATALOG_ANSWER_INTEGER,
	CATALOG_ANSWER_NIL,
	CATALOG_ANSWER_ERROR, /* the text begins with its code */
};

struct catalog_answer {
	enum catalog_answer_kind kind;
	long long integer;
	const char *text; /* terminated, and LENGTH bytes before that */
	size_t length;
};

/* None of these may free the link. */
struct catalog_link_owner {
	/* It is up; or it was, and this is another Redis now than before. What was sent before may be lost. */
	void (*up)(void *context);
	/* It was up, or was to be. No answer to what was sent comes any more. */
	void (*down)(void *context);
	/* Redis answered a look at it, every few seconds. */
	void (*checked)(void *context);
	/* Answers come in the order of the commands. */
	void (*answered)(void *context, void *subject, const struct catalog_answer *answer);
	void *context;
};

/* OWNER is copied, CONFIG kept. The first connection is made by the loop. NULL with ERR. */
struct catalog_link *catalog_link_new(struct event_base *base, const struct config *config,
				      const struct catalog_link_owner *owner, struct err *err);
void catalog_link_free(struct catalog_link *link);

bool catalog_link_is_up(const struct catalog_link *link);

/* Answers that are owed. */
unsigned catalog_link_owed(const struct catalog_link *link);

/* What is wrong; NULL while it is up. */
const char *catalog_link_error(const struct catalog_link *link);
uint64_t catalog_link_losses(const struct catalog_link *link);

/* Sends a command of COUNT words about SUBJECT. 0, or -1: it is not up, or there is no memory. */
int catalog_link_send(struct catalog_link *link, void *subject, int count, const char *const words[]);

/* This Redis is of no use, for WHY: the link is lost, soon. For answers. */
void catalog_link_give_up(struct catalog_link *link, const char *why);

/* Reads the password again; see catalog_reload(). */
void catalog_link_reload(struct catalog_link *link);

#endif
