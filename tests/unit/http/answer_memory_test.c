/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exchanges over one end of a pair of sockets, while there is no memory for them: for the answer alone, or at any place between the
 * connection's begin and its end. A client that gets neither an answer nor the end of its connection lets the test time out.
 */
#include "base/err.h"
#include "http/exchange.h"
#include "http/gate.h"
#include "unit/faults.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* libevent's allocations are made here, to be among those that can fail. */
static void *lean_malloc(size_t size)
{
	return malloc(size);
}

static void *lean_realloc(void *memory, size_t size)
{
	return realloc(memory, size);
}

static char body[3000];
static unsigned failing; /* the number of the allocation that fails; 0: none */
static bool memory_failed, fail_once;

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
	faults_arm_memory(failing, !fail_once);
	http_exchange_start(exchange, "text/plain", on_drained, NULL);
	http_exchange_on_gone(exchange, on_stream_gone, context);
	http_exchange_write(exchange, data[0]);
	memory_failed = faults_disarm();
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
	faults_arm_memory(failing, !fail_once);
	http_exchange_answer(
	    exchange, &(struct http_answer){
			  .status = 200, .content_type = "text/plain", .body = body, .body_length = strlen(body) });
	memory_failed = faults_disarm();
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
	static const struct http_gate_ops ops = { handle, describe, "text/plain", NULL };
	static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: ";
	static const char end[] = "\r\nContent-Length: 2999\r\nConnection: close\r\n\r\n";
	static char received[8192];
	struct event_base *base = event_base_new();
	struct err err;
	struct http_gate *gate = http_gate_new(base, &ops, NULL, &err);

	ck_assert_ptr_nonnull(gate);
	for (failing = 1;; failing++) {
		exchange_with(base, gate, received, sizeof(received));
		if (!memory_failed)
			break;
		ck_assert_str_eq(received, "");
	}
	ck_assert_uint_gt(failing, 1);
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
	static const struct http_gate_ops ops = { handle_stream, describe, "text/plain", NULL };
	static char received[8192];
	struct event_base *base = event_base_new();
	struct err err;
	bool gone;
	struct http_gate *gate = http_gate_new(base, &ops, &gone, &err);

	ck_assert_ptr_nonnull(gate);
	for (failing = 1;; failing++) {
		gone = false;
		exchange_with(base, gate, received, sizeof(received));
		if (!memory_failed)
			break;
		ck_assert(gone);
		ck_assert_ptr_null(strstr(received, "second"));
		ck_assert_ptr_null(strstr(received, "\r\n0\r\n"));
	}
	ck_assert_uint_gt(failing, 1);
	ck_assert_ptr_nonnull(strstr(received, "\r\n\r\n6\r\nfirst\n\r\n7\r\nsecond\n\r\n0\r\n\r\n"));
	http_gate_free(gate);
	event_base_free(base);
}
END_TEST

/* ---- Whole exchanges ---- */

static char long_body[30000];
static struct evbuffer *chunk; /* of a stream */

/* What a client sends: a second part when the first one was taken. */
static const struct exchange_case {
	const char *parts[2];
	bool has_long_body;
	int status;
} cases[] = {
	{ { "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" }, false, 200 },
	{ { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" },
	  false,
	  200 },
	{ { "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 29999\r\n\r\n" },
	  true,
	  200 },
	{ { "GET / HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n" }, false, 400 },
	{ { "GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" }, false, 200 },
};

static void on_whole_stream_drained(void *context)
{
	struct http_exchange **exchange = context;
	struct http_exchange *ending = *exchange;

	*exchange = NULL;
	if (ending)
		http_exchange_end(ending);
}

static void on_whole_stream_gone(void *context)
{
	on_whole_stream_drained(context);
}

static void handle_whole(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	struct http_exchange **streaming = context;

	if (request->target_length == 1) {
		http_exchange_answer(exchange,
				     &(struct http_answer){ .status = 200, .body = body, .body_length = strlen(body) });
		return;
	}
	*streaming = exchange;
	http_exchange_start(exchange, "text/plain", on_whole_stream_drained, streaming);
	http_exchange_on_gone(exchange, on_whole_stream_gone, streaming);
	http_exchange_write(exchange, chunk);
}

/* Takes all that came. True: this was the end. */
static bool take(int fd, char *received, size_t *length, size_t size)
{
	ssize_t got;

	while ((got = recv(fd, received + *length, size - 1 - *length, 0)) > 0)
		*length += (size_t)got;
	return !got || errno != EAGAIN;
}

static void send_part(int fd, struct event_base *base, const char *text)
{
	if (!text)
		return;
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Makes the exchange, while the allocation FAILING fails. */
static void undergo(struct event_base *base, struct http_gate *gate, const struct exchange_case *one, char *received,
		    size_t size)
{
	size_t length = 0;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	chunk = evbuffer_new();
	evbuffer_add(chunk, "first\n", 6);
	faults_arm_memory(failing, !fail_once);
	http_gate_serve(gate, pair[1]);
	send_part(pair[0], base, one->parts[0]);
	send_part(pair[0], base, one->parts[1]);
	send_part(pair[0], base, one->has_long_body ? long_body : NULL);
	while (!take(pair[0], received, &length, size))
		event_base_loop(base, EVLOOP_ONCE);
	received[length] = '\0';
	close(pair[0]);
	while (http_gate_peers(gate))
		event_base_loop(base, EVLOOP_ONCE);
	memory_failed = faults_disarm();
	evbuffer_free(chunk);
}

/* Goes over one answer, which must be whole, and its status one of WANTED and 503. */
static const char *skip_answer(const char *text, int wanted)
{
	static const char length_name[] = "Content-Length: ", go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!strncmp(text, go_on, strlen(go_on)))
		text += strlen(go_on);
	if (!*text)
		return text;
	const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, length_name);
	int status = atoi(text + strlen("HTTP/1.1 "));

	ck_assert_ptr_nonnull(end);
	ck_assert_msg(status == wanted || status == 503, "%s", text);
	if (!length || length > end) {
		static const char whole[] = "6\r\nfirst\n\r\n0\r\n\r\n";

		ck_assert_msg(!strncmp(whole, end + 4, strlen(end + 4)), "%s", text);
		return end + strlen(end);
	}
	size_t left = (size_t)atoi(length + strlen(length_name));
	ck_assert_uint_ge(strlen(end + 4), left);
	return end + 4 + left;
}

static void undergo_all(const struct exchange_case *one, bool fresh)
{
	static const struct http_gate_ops ops = { handle_whole, describe, "text/plain", NULL };
	static char received[16384];
	struct http_exchange *streaming = NULL;
	struct event_base *base = NULL;
	struct http_gate *gate = NULL;
	struct err err;

	failing = 0;
	do {
		if (!base) {
			base = event_base_new();
			gate = http_gate_new(base, &ops, &streaming, &err);
			ck_assert_ptr_nonnull(gate);
		}
		undergo(base, gate, one, received, sizeof(received));
		for (const char *at = received; *at;)
			at = skip_answer(at, one->status);
		ck_assert(memory_failed || *received);
		ck_assert_ptr_null(streaming);
		if (fresh) {
			http_gate_free(gate);
			event_base_free(base);
			base = NULL;
		}
		failing++;
	} while (memory_failed || failing == 1);
	ck_assert_uint_gt(failing, 6);
	if (base) {
		http_gate_free(gate);
		event_base_free(base);
	}
}

START_TEST(an_exchange_that_lacks_memory_once_ends)
{
	fail_once = true;
	undergo_all(&cases[_i], true);
}
END_TEST

/* libevent has what it needs of an earlier exchange, its list of timers above all. */
START_TEST(an_exchange_without_memory_ends)
{
	undergo_all(&cases[_i], false);
}
END_TEST

int main(void)
{
	event_set_mem_functions(lean_malloc, lean_realloc, free);
	memset(body, 'x', sizeof(body) - 1);
	memset(long_body, 'y', sizeof(long_body) - 1);

	Suite *suite = suite_create("http/answer_memory");
	TCase *tests = tcase_create("answer_memory");

	tcase_add_test(tests, an_answer_without_memory_is_none);
	tcase_add_test(tests, a_stream_that_finds_no_memory_ends);
	tcase_add_loop_test(tests, an_exchange_that_lacks_memory_once_ends, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tests, an_exchange_without_memory_ends, 0, sizeof(cases) / sizeof(cases[0]));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
