/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes from a client of the gate, over a real connection and a real loop. The first byte is the size of the pieces in which
 * they come, the second tells how the handler answers and how the client ends. However the bytes are cut, the handler gets
 * the same requests and the client the same bytes; and however it ends, nothing is left behind.
 */
#include "http/gate.h"

#include "base/err.h"
#include "base/log.h"
#include "fuzz.h"
#include "http/exchange.h"
#include "http/intake.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ANSWER_LATER = 1,  /* in a turn of its own, not by the handler */
	ANSWER_STREAM = 2, /* by a stream of two parts */
	READ_LATE = 4,     /* the client reads nothing before it has sent all */
	END_EARLY = 8,     /* the client closes instead of half-closing, and reads nothing more */
	QUIET = 3,
	PIECES_MAX = 256,
	RECORD_MAX = 1 << 20,
};

/* What was seen of one delivery. */
struct record {
	char text[RECORD_MAX];
	size_t length;
};

static struct event_base *base;
static struct http_gate *gate;
static unsigned how;
static struct record requests[2], replies[2];
static struct record *request_record;
static struct http_exchange *owed;

static void record_add(struct record *record, const void *bytes, size_t length)
{
	fuzz_check(record->length + length <= RECORD_MAX);
	if (length)
		memcpy(record->text + record->length, bytes, length);
	record->length += length;
}

static void write_stream(const char *text)
{
	struct evbuffer *data = evbuffer_new();

	fuzz_check(data);
	evbuffer_add(data, text, strlen(text));
	http_exchange_write(owed, data);
	evbuffer_free(data);
}

static void on_drained(void *context)
{
	(void)context;
}

static void on_gone(void *context)
{
	(void)context;
	http_exchange_answer(owed, &(struct http_answer){ .status = 503 });
	owed = NULL;
}

static void answer(void)
{
	static const char text[] = "answer";

	http_exchange_on_gone(owed, NULL, NULL);
	if (how & ANSWER_STREAM) {
		http_exchange_start(owed, "text/plain", on_drained, NULL);
		write_stream("first");
		write_stream("second");
		http_exchange_end(owed);
	} else {
		http_exchange_answer(owed, &(struct http_answer){ .status = 200,
								  .content_type = "text/plain",
								  .body = text,
								  .body_length = sizeof(text) - 1 });
	}
	owed = NULL;
}

static void handle(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	(void)context;
	fuzz_check(!owed); /* one at a time on a connection */
	fuzz_check(request->target_length && request->body_length <= INTAKE_BODY_MAX);
	record_add(request_record, &request->method, sizeof(request->method));
	record_add(request_record, request->target, request->target_length);
	record_add(request_record, request->host, strlen(request->host) + 1);
	record_add(request_record, request->body, request->body_length);
	record_add(request_record, "\n", 1);
	owed = exchange;
	if (how & ANSWER_LATER)
		http_exchange_on_gone(exchange, on_gone, NULL);
	else
		answer();
}

static char *describe(int status, const char *detail)
{
	char text[256];

	snprintf(text, sizeof(text), "%d %s", status, detail);
	return strdup(text);
}

static void start(void)
{
	static const struct http_gate_ops ops = { handle, describe, "text/plain", NULL };
	struct err err;

	if (base)
		return;
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	base = event_base_new();
	gate = http_gate_new(base, &ops, NULL, &err);
	fuzz_check(base && gate);
}

/* Whether anything came. */
static bool client_read(int client, struct record *record)
{
	char bytes[4096];
	ssize_t got = recv(client, bytes, sizeof(bytes), 0);

	if (got > 0)
		record_add(record, bytes, (size_t)got);
	return got > 0;
}

/* Turns the loop until nothing happens any more. CLIENT -1: it reads nothing. */
static void settle(int client, struct record *record)
{
	for (unsigned quiet = 0; quiet < QUIET; quiet++) {
		size_t before = request_record->length;
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (owed) {
			answer();
			quiet = 0;
		}
		if (request_record->length != before || (client >= 0 && client_read(client, record)))
			quiet = 0;
	}
}

/* Plays the client that sends DATA in pieces of STEP bytes. */
static void deliver(const uint8_t *data, size_t size, size_t step, struct record *asked, struct record *replied)
{
	int pair[2];

	asked->length = replied->length = 0;
	request_record = asked;
	fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
	http_gate_serve(gate, pair[1]);
	for (size_t at = 0; at < size; at += step) {
		size_t piece = size - at < step ? size - at : step;
		if (send(pair[0], data + at, piece, 0) < 0)
			break;
		settle(how & READ_LATE ? -1 : pair[0], replied);
	}
	if (how & END_EARLY) {
		close(pair[0]);
		settle(-1, replied);
	} else {
		shutdown(pair[0], SHUT_WR);
		settle(pair[0], replied);
		close(pair[0]);
	}
	event_base_loop(base, EVLOOP_NONBLOCK);
	fuzz_check(!owed && http_gate_peers(gate) == 0);
}

/* Whether WORD stands in BYTES, whatever the case of its letters. */
static bool has_word(const uint8_t *bytes, size_t size, const char *word)
{
	for (size_t at = 0; at + strlen(word) <= size; at++)
		if (!strncasecmp((const char *)bytes + at, word, strlen(word)))
			return true;
	return false;
}

/* Dates may differ by a second: their digits do not count. */
static void blank_dates(struct record *record)
{
	static const char name[] = "\r\nDate: ";
	char *at = record->text, *end = record->text + record->length;

	while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)))
		for (at += sizeof(name) - 1; at < end && *at != '\r'; at++)
			*at = '-';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	start();
	how = data[1];
	size_t step = (size_t)data[0] + 1;
	data += 2;
	size -= 2;
	if (step < size / PIECES_MAX)
		step = size / PIECES_MAX;

	deliver(data, size, size ? size : 1, &requests[0], &replies[0]);
	deliver(data, size, step, &requests[1], &replies[1]);
	if (how & END_EARLY)
		return 0;
	fuzz_check(requests[0].length == requests[1].length);
	fuzz_check(!memcmp(requests[0].text, requests[1].text, requests[0].length));
	if (has_word(data, size, "100-continue"))
		return 0; /* whether that is answered depends on what has come */
	blank_dates(&replies[0]);
	blank_dates(&replies[1]);
	fuzz_check(replies[0].length == replies[1].length);
	fuzz_check(!memcmp(replies[0].text, replies[1].text, replies[0].length));
	return 0;
}
