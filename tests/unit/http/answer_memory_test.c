/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An answer over one end of a pair of sockets, while libevent has no memory for it.
 */
#include "base/err.h"
#include "http/exchange.h"
#include "http/gate.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The allocation after the next MEMORY_LEFT fails, and all later ones. */
static size_t memory_left = SIZE_MAX;
static bool memory_failed;

static bool has_memory(void)
{
	if (memory_left == SIZE_MAX)
		return true;
	if (memory_left)
		memory_left--;
	else
		memory_failed = true;
	return !memory_failed;
}

static void *lean_malloc(size_t size)
{
	return has_memory() ? malloc(size) : NULL;
}

static void *lean_realloc(void *memory, size_t size)
{
	return has_memory() ? realloc(memory, size) : NULL;
}

static char body[3000];
static size_t allowed; /* allocations for the answer */

static struct http_exchange *stream;

static void on_stream_gone(void *context)
{
	bool *gone = context;

	*gone = true;
	http_exchange_end(stream);
}

static void on_drained(void *context)
{
	(void)context;
}

/* Two chunks; the second one is there only to follow the first. */
static void handle_stream(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	struct evbuffer *data[2] = { evbuffer_new(), evbuffer_new() };

	(void)request;
	stream = exchange;
	evbuffer_add(data[0], "first\n", 6);
	evbuffer_add(data[1], "second\n", 7);
	memory_failed = false;
	memory_left = allowed;
	http_exchange_start(exchange, "text/plain", on_drained, NULL);
	http_exchange_on_gone(exchange, on_stream_gone, context);
	http_exchange_write(exchange, data[0]);
	memory_left = SIZE_MAX;
	http_exchange_write(exchange, data[1]);
	evbuffer_free(data[0]);
	evbuffer_free(data[1]);
	/* One that was lost ends by itself. */
	if (!memory_failed)
		http_exchange_end(exchange);
}

static void handle(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	(void)context;
	(void)request;
	memory_failed = false;
	memory_left = allowed;
	http_exchange_answer(
	    exchange, &(struct http_answer){
			  .status = 200, .content_type = "text/plain", .body = body, .body_length = strlen(body) });
	memory_left = SIZE_MAX;
}

static char *describe(int status, const char *detail)
{
	(void)status;
	return strdup(detail);
}

/* Asks, and gathers all that comes until the connection ends. */
static void exchange_with(struct event_base *base, struct http_gate *gate, char *received, size_t size)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int pair[2];
	size_t length = 0;
	ssize_t got;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	http_gate_serve(gate, pair[1]);
	ck_assert_int_eq(send(pair[0], request, sizeof(request) - 1, MSG_NOSIGNAL), (ssize_t)sizeof(request) - 1);
	do {
		event_base_loop(base, EVLOOP_ONCE);
		got = recv(pair[0], received + length, size - 1 - length, 0);
		length += got > 0 ? (size_t)got : 0;
	} while (got);
	received[length] = '\0';
	close(pair[0]);
}

/* Never one that lacks a line or its body. */
START_TEST(an_answer_without_memory_is_none)
{
	static const struct http_gate_ops ops = { handle, describe, "text/plain" };
	static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: ";
	static const char end[] = "\r\nContent-Length: 2999\r\nConnection: close\r\n\r\n";
	static char received[8192];
	struct event_base *base = event_base_new();
	struct err err;
	struct http_gate *gate = http_gate_new(base, &ops, NULL, &err);

	ck_assert_ptr_nonnull(gate);
	memset(body, 'x', sizeof(body) - 1);
	for (allowed = 0;; allowed++) {
		exchange_with(base, gate, received, sizeof(received));
		if (!memory_failed)
			break;
		ck_assert_str_eq(received, "");
	}
	ck_assert_uint_gt(allowed, 0);
	ck_assert(!strncmp(received, begin, strlen(begin)));
	const char *rest = strstr(received, end);
	ck_assert_ptr_nonnull(rest);
	ck_assert_str_eq(rest + strlen(end), body);
	http_gate_free(gate);
	event_base_free(base);
}
END_TEST

/* Its client never takes data for a frame, nor a frame for data. */
START_TEST(a_stream_that_finds_no_memory_ends)
{
	static const struct http_gate_ops ops = { handle_stream, describe, "text/plain" };
	static char received[8192];
	struct event_base *base = event_base_new();
	struct err err;
	bool gone;
	struct http_gate *gate = http_gate_new(base, &ops, &gone, &err);

	ck_assert_ptr_nonnull(gate);
	for (allowed = 0;; allowed++) {
		gone = false;
		exchange_with(base, gate, received, sizeof(received));
		if (!memory_failed)
			break;
		ck_assert(gone);
		ck_assert_ptr_null(strstr(received, "second"));
		ck_assert_ptr_null(strstr(received, "\r\n0\r\n"));
	}
	ck_assert_uint_gt(allowed, 0);
	ck_assert_ptr_nonnull(strstr(received, "\r\n\r\n6\r\nfirst\n\r\n7\r\nsecond\n\r\n0\r\n\r\n"));
	http_gate_free(gate);
	event_base_free(base);
}
END_TEST

int main(void)
{
	event_set_mem_functions(lean_malloc, lean_realloc, free);

	Suite *suite = suite_create("http/answer_memory");
	TCase *tests = tcase_create("answer_memory");

	tcase_add_test(tests, an_answer_without_memory_is_none);
	tcase_add_test(tests, a_stream_that_finds_no_memory_ends);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
