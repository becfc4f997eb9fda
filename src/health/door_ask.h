/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_DOOR_ASK_H
#define WEFT_HEALTH_DOOR_ASK_H

/*
 * Asks the front door for a sandbox, as a client does, and weftd behind it, as HAProxy does. Any thread; blocks until the answer or its
 * deadline.
 */

#include "base/addr.h"
#include "base/sandbox_name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HEALTH_DOOR_ASK_MS = 2000,     /* patience with one answer */
	HEALTH_DOOR_REQUEST_MAX = 768, /* bytes of a request */
	HEALTH_DOOR_ANSWER_MAX = 4096, /* bytes of an answer that are read */
};

/* What became of the question. */
enum health_door_result {
	HEALTH_DOOR_NOT_ASKED,
	HEALTH_DOOR_ANSWERED,  /* see STATUS */
	HEALTH_DOOR_SILENT,    /* accepted, and no answer in time */
	HEALTH_DOOR_CLOSED,    /* accepted, and closed or answered otherwise than in HTTP */
	HEALTH_DOOR_UNREACHED, /* see ERROR */
};

struct health_door_answer {
	enum health_door_result result;
	int error;        /* errno of UNREACHED */
	unsigned status;  /* of ANSWERED */
	char reason[24];  /* its header Weft-Refused; "": none */
	char body[256];   /* its beginning; of text without NUL */
	uint64_t took_us; /* until the answer */
};

/* Whom to ask for what. The texts go into the request as they are, so none may have blanks or control characters. */
struct health_door_question {
	const char *host; /* for the header Host: "127.0.0.1:3002" */
	const char *id;   /* of the sandbox, for the routing headers; NULL: HOST says it */
	uint16_t port;    /* of the guest */
	const char *path; /* "/" */
};

/* The request in HTTP/1.1 with which QUESTION is asked. Returns TEXT. */
char *health_door_request(const struct health_door_question *question, char text[static HEALTH_DOOR_REQUEST_MAX]);

/* Reads the LENGTH bytes of TEXT, of an answer that has ended; not TOOK_US. */
void health_door_read_answer(const char *text, size_t length, struct health_door_answer *answer);

/* Asks at TO, without TLS. */
void health_door_ask(const struct addr *to, const struct health_door_question *question,
		     struct health_door_answer *answer);

/* Only connects to TO: ANSWER is HEALTH_DOOR_UNREACHED with its error, or HEALTH_DOOR_NOT_ASKED. */
void health_door_reach(const struct addr *to, struct health_door_answer *answer);

/* Asks weftd itself, by its door socket PATH, for BASE_NAME_OF_CHECKS: its answer is refused as not-found. */
void health_door_knock(const char *path, struct health_door_answer *answer);

/* The version "2.6.12" of the HAProxy with the stats socket PATH into TEXT, which stays as it was if that does not tell. */
void health_door_ask_version(const char *path, char *text, size_t size);

/* Whether ANSWER is the one that a door gives to who asks for BASE_NAME_OF_CHECKS, and weftd to who knocks. */
bool health_door_is_right(const struct health_door_answer *answer);
bool health_door_is_weftd(const struct health_door_answer *answer);

enum { HEALTH_DOOR_TEXT_SIZE = 320 };

/* "no answer within 2 s", "status 503, and not 502 with ...": what ANSWER is instead of the right one. Returns TEXT. */
char *health_door_describe(const struct health_door_answer *answer, char text[static HEALTH_DOOR_TEXT_SIZE]);

#endif
