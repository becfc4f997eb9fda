/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate over one end of a pair of sockets. The test is the client at the other end, and turns the loop by hand.
 */
#include "http/gate.h"

#include "base/err.h"
#include "http/exchange.h"
#include "http/intake.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELD_MAX = 8, BIG = 4 * 1024 * 1024, QUIET = 3 };

static struct event_base *base;
static struct http_gate *gate;
static int client = -1;
static char received[2 * BIG + 1]; /* by the client */
static size_t received_length;
static bool ended; /* the client has read the end */

/* The handler: what it was asked, one request a line, and the exchanges that it owes an answer. */
static char asked[8192];
static size_t asked_body_length;
static struct http_exchange *held[HELD_MAX];
static size_t held_count;
static unsigned gone, drained;

static void on_gone(void *context)
{
	(void)context;
	gone++;
}

static void on_drained(void *context)
{
	(void)context;
	drained++;
}

static void answer(struct http_exchange *exchange, const char *body)
{
	http_exchange_answer(
	    exchange, &(struct http_answer){
			  .status = 200, .content_type = "text/plain", .body = body, .body_length = strlen(body) });
}

static void handle(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	char line[512];

	ck_assert_ptr_eq(context, &gate);
	ck_assert(request->has_creds && request->uid == getuid() && request->pid == getpid());
	snprintf(line, sizeof(line), "%d %.*s %.*s\n", request->method, (int)request->target_length, request->target,
		 (int)(request->body_length < 100 ? request->body_length : 100), request->body);
	strcat(asked, line);
	asked_body_length = request->body_length;
	if (request->target_length == 6 && !memcmp(request->target, "/later", 6)) {
		http_exchange_on_gone(exchange, on_gone, NULL);
		held[held_count++] = exchange;
	} else {
		answer(exchange, "ok\n");
	}
}

static char *describe(int status, const char *detail)
{
	char *text;

	return asprintf(&text, "%d: %s", status, detail) < 0 ? NULL : text;
}

static void connect_client(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	client = pair[0];
	http_gate_serve(gate, pair[1]);
}

static void setup(void)
{
	static const struct http_gate_ops ops = { handle, describe, "text/refusal", NULL };
	struct err err;

	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	gate = http_gate_new(base, &ops, &gate, &err);
	ck_assert_ptr_nonnull(gate);
	connect_client();
}

static void teardown(void)
{
	http_gate_free(gate);
	while (held_count)
		answer(held[--held_count], "nobody reads this");
	event_base_free(base);
	if (client >= 0)
		close(client);
}

/* Whether anything came. */
static bool client_read(void)
{
	ssize_t got = recv(client, received + received_length, sizeof(received) - 1 - received_length, 0);

	if (got > 0) {
		received_length += (size_t)got;
		received[received_length] = '\0';
	} else if (got == 0) {
		ended = true;
	}
	return got > 0;
}

/* Turns the loop until nothing happens any more; the client reads meanwhile, if READING. */
static void settle(bool reading)
{
	for (unsigned quiet = 0; quiet < QUIET; quiet++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (reading && client_read())
			quiet = 0;
	}
}

static void client_send(const char *bytes, size_t length)
{
	ck_assert_int_eq(send(client, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
	settle(true);
}

static void say(const char *text)
{
	client_send(text, strlen(text));
}

static void say_byte_by_byte(const char *text)
{
	for (; *text; text++)
		client_send(text, 1);
}

/* What each answer says to browsers; not "100 Continue". */
static const char protection[] = "Cache-Control: no-store\r\n"
				 "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
				 "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
				 "Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n";

/* Puts a fixed date for each Date, leaves out the protection, and empties the buffer. */
static const char *take(void)
{
	static char text[8192];
	size_t length = 0, heads = 0, protected = 0;

	ck_assert_uint_lt(received_length, sizeof(text));
	for (const char *at = received; *at;) {
		if (!strncmp(at, "Date: ", 6)) {
			length = (size_t)(stpcpy(text + length, "Date: D") - text);
			at = strchr(at, '\r');
		} else if (!strncmp(at, protection, sizeof(protection) - 1)) {
			protected++;
			at += sizeof(protection) - 1;
		} else {
			heads += !strncmp(at, "HTTP/1.", 7) && strncmp(at + 9, "100", 3) != 0;
			text[length++] = *at++;
		}
	}
	text[length] = '\0';
	ck_assert_uint_eq(heads, protected);
	received_length = 0;
	*received = '\0';
	return text;
}

#define OK                                                                                                             \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: D\r\nContent-Length: 3\r\n"                              \
	"\r\nok\n"
#define OK_CLOSE                                                                                                       \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: D\r\nContent-Length: 3\r\nConnection: close\r\n"         \
	"\r\nok\n"
#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

START_TEST(a_request_is_answered_and_the_connection_stays)
{
	say(GET("/a"));
	ck_assert_str_eq(take(), OK);
	say_byte_by_byte(GET("/b"));
	ck_assert_str_eq(take(), OK);
	ck_assert_str_eq(asked, "0 /a \n0 /b \n");
	ck_assert(!ended);
	ck_assert_uint_eq(http_gate_peers(gate), 1);
}
END_TEST

START_TEST(requests_in_one_segment_are_answered_in_order)
{
	say(GET("/a") GET("/later") GET("/b"));
	ck_assert_str_eq(take(), OK);
	ck_assert_str_eq(asked, "0 /a \n0 /later \n");
	answer(held[--held_count], "now");
	settle(true);
	ck_assert_str_eq(take(),
			 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: D\r\nContent-Length: 3\r\n\r\nnow" OK);
	ck_assert_str_eq(asked, "0 /a \n0 /later \n0 /b \n");
}
END_TEST

/* However the bytes, the end of the client's side and the replies interleave. */
START_TEST(a_half_closed_client_gets_all_its_replies)
{
	static const char requests[] = GET("/a") GET("/b") GET("/c");

	for (size_t cut = 0; cut < strlen(requests); cut += 7) {
		send(client, requests, cut, 0);
		for (int i = 0; i < _i; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		send(client, requests + cut, strlen(requests) - cut, 0);
		shutdown(client, SHUT_WR);
		settle(true);
		ck_assert_str_eq(take(), OK OK OK);
		ck_assert(ended);
		ck_assert_uint_eq(http_gate_peers(gate), 0);
		close(client);
		connect_client();
		ended = false;
	}
}
END_TEST

START_TEST(a_half_closed_client_gets_a_reply_that_is_given_later)
{
	say(GET("/later"));
	shutdown(client, SHUT_WR);
	settle(true);
	ck_assert(!ended && !gone);
	answer(held[--held_count], "ok\n");
	settle(true);
	ck_assert_str_eq(take(), OK);
	ck_assert(ended);
}
END_TEST

START_TEST(half_a_request_is_not_answered)
{
	say("GET / HTTP/1.1\r\nHo");
	shutdown(client, SHUT_WR);
	settle(true);
	ck_assert(ended);
	ck_assert_str_eq(take(), "");
	ck_assert_str_eq(asked, "");
}
END_TEST

START_TEST(head_gets_the_length_alone)
{
	say("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	ck_assert_str_eq(take(), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nDate: D\r\n"
				 "Connection: close\r\n\r\n");
	ck_assert(ended);
}
END_TEST

START_TEST(close_ends_the_connection)
{
	say("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/b"));
	ck_assert_str_eq(take(), OK_CLOSE);
	ck_assert_str_eq(asked, "0 /a \n");
	ck_assert_uint_eq(http_gate_peers(gate), 0);
}
END_TEST

START_TEST(http_1_0_is_ended_by_the_connection)
{
	say_byte_by_byte("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert_str_eq(take(), "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nok\n");
	ck_assert(ended);
}
END_TEST

START_TEST(a_chunked_body_is_put_together)
{
	static const char text[] = "PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n" GET("/b");

	if (_i)
		say_byte_by_byte(text);
	else
		say(text);
	ck_assert_str_eq(take(), OK OK);
	ck_assert_str_eq(asked, "2 /a abcdefg\n0 /b \n");
}
END_TEST

/* One byte a chunk: the framing is five times the body, and most of it waits while another request is served. */
START_TEST(the_largest_body_passes_however_it_is_framed)
{
	size_t length = (size_t)sprintf(received, GET("/later") "PUT /a HTTP/1.1\r\nHost: x\r\n"
								"Transfer-Encoding: chunked\r\n\r\n");
	char *text = strdup(received);

	text = realloc(text, length + (size_t)INTAKE_BODY_MAX * 6 + 6);
	for (size_t i = 0; i < INTAKE_BODY_MAX; i++)
		length += (size_t)sprintf(text + length, "1\r\nx\r\n");
	length += (size_t)sprintf(text + length, "0\r\n\r\n");
	*received = '\0';
	for (size_t sent = 0, stuck = 0; sent < length && stuck < 10;) {
		ssize_t put = send(client, text + sent, length - sent, 0);
		sent += put > 0 ? (size_t)put : 0;
		stuck = put > 0 ? 0 : stuck + 1;
		settle(true);
		if (held_count && stuck == 5)
			answer(held[--held_count], "ok\n");
	}
	settle(true);
	ck_assert_str_eq(take(), OK OK);
	ck_assert_uint_eq(asked_body_length, INTAKE_BODY_MAX);
	free(text);
}
END_TEST

START_TEST(a_client_that_waits_for_100_gets_it_once)
{
	say_byte_by_byte("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	ck_assert_str_eq(take(), "HTTP/1.1 100 Continue\r\n\r\n");
	say("a");
	say("bc");
	ck_assert_str_eq(take(), OK);
	say("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	ck_assert_str_eq(take(), "HTTP/1.1 100 Continue\r\n\r\n");
}
END_TEST

START_TEST(bytes_that_are_not_http_get_a_bare_400)
{
	say(GET("/a") "hello\r\n");
	ck_assert_str_eq(take(), OK "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	ck_assert(ended); /* and yet the gate goes on reading, lest the client be reset */
	ck_assert_uint_eq(http_gate_peers(gate), 1);
	say(GET("/b"));
	ck_assert_str_eq(asked, "0 /a \n");
	shutdown(client, SHUT_WR);
	settle(true);
	ck_assert_uint_eq(http_gate_peers(gate), 0);
}
END_TEST

START_TEST(a_refusal_is_described)
{
	say_byte_by_byte("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
	ck_assert_str_eq(take(), "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type: text/refusal\r\n"
				 "Content-Length: 35\r\n\r\n413: the body is longer than 64 KiB");
	ck_assert(ended);
}
END_TEST

START_TEST(the_handler_learns_that_its_client_is_gone)
{
	say(GET("/later"));
	close(client);
	client = -1;
	settle(false);
	ck_assert_uint_eq(gone, 1);
	ck_assert_uint_eq(http_gate_peers(gate), 0);
	ck_assert(!http_exchange_has_client(held[0]));
	ck_assert_uint_eq(http_exchange_pending(held[0]), 0);
}
END_TEST

/* ---- streams ---- */

static void write_stream(struct http_exchange *exchange, const char *text)
{
	struct evbuffer *data = evbuffer_new();

	evbuffer_add(data, text, strlen(text));
	http_exchange_write(exchange, data);
	ck_assert_uint_eq(evbuffer_get_length(data), 0);
	evbuffer_free(data);
}

START_TEST(a_stream_is_chunked_and_another_request_follows)
{
	say(GET("/later") GET("/b"));
	http_exchange_start(held[0], "text/stream", on_drained, NULL);
	write_stream(held[0], "sixteen letters!");
	write_stream(held[0], "");
	write_stream(held[0], "end");
	ck_assert_uint_gt(http_exchange_pending(held[0]), 19);
	ck_assert_uint_eq(drained, 0);
	settle(true);
	ck_assert_uint_eq(http_exchange_pending(held[0]), 0);
	ck_assert_uint_eq(drained, 1);
	ck_assert_str_eq(take(), "HTTP/1.1 200 OK\r\nContent-Type: text/stream\r\nTransfer-Encoding: chunked\r\n"
				 "Date: D\r\n\r\n10\r\nsixteen letters!\r\n3\r\nend\r\n");
	http_exchange_end(held[--held_count]);
	settle(true);
	ck_assert_str_eq(take(), "0\r\n\r\n" OK);
}
END_TEST

/* Whether all was taken before the end or not. */
START_TEST(a_stream_of_http_1_0_is_ended_by_the_connection)
{
	say("GET /later HTTP/1.0\r\n\r\n");
	http_exchange_start(held[0], "text/stream", on_drained, NULL);
	write_stream(held[0], "data");
	if (_i)
		settle(true);
	http_exchange_end(held[--held_count]);
	settle(true);
	ck_assert_str_eq(take(), "HTTP/1.0 200 OK\r\nContent-Type: text/stream\r\n\r\ndata");
	ck_assert(ended);
	ck_assert_uint_eq(http_gate_peers(gate), 0);
}
END_TEST

START_TEST(a_slow_reader_is_seen_by_what_is_pending)
{
	char *big = malloc(BIG + 1);

	memset(big, 'x', BIG);
	big[BIG] = '\0';
	say("GET /later HTTP/1.0\r\n\r\n");
	http_exchange_start(held[0], "text/stream", on_drained, NULL);
	write_stream(held[0], big);
	settle(false);
	size_t pending = http_exchange_pending(held[0]);
	ck_assert_uint_gt(pending, BIG / 2);
	settle(false);
	ck_assert_uint_eq(http_exchange_pending(held[0]), pending);
	ck_assert_uint_eq(drained, 0);
	settle(true);
	ck_assert_uint_eq(http_exchange_pending(held[0]), 0);
	ck_assert_uint_eq(drained, 1);
	ck_assert_uint_gt(received_length, BIG);
	free(big);
}
END_TEST

START_TEST(a_client_that_never_stops_sending_is_held_back)
{
	static char junk[65536];
	size_t sent = 0;

	memset(junk, 'x', sizeof(junk));
	say(GET("/later"));
	for (unsigned stuck = 0; stuck < 5; settle(true)) {
		ssize_t put = send(client, junk, sizeof(junk), 0);
		sent += put > 0 ? (size_t)put : 0;
		stuck = put > 0 ? 0 : stuck + 1;
	}
	ck_assert_uint_lt(sent, 2 * 1024 * 1024);
	answer(held[--held_count], "ok\n");
	settle(true);
	ck_assert_str_eq(take(), OK "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}
END_TEST

/* Each reply makes room for one request, not for another reading of the socket. */
START_TEST(a_client_that_pipelines_without_end_is_held_back)
{
	static const char request[] = GET("/later");
	static char burst[1024 * (sizeof(request) - 1)];
	size_t sent = 0;

	for (size_t at = 0; at < sizeof(burst); at += sizeof(request) - 1)
		memcpy(burst + at, request, sizeof(request) - 1);
	for (unsigned round = 0; round < 300; round++) {
		for (unsigned i = 0; i < 40; i++) {
			ssize_t put =
			    send(client, burst + sent % sizeof(burst), sizeof(burst) - sent % sizeof(burst), 0);
			sent += put > 0 ? (size_t)put : 0;
		}
		settle(true);
		*asked = '\0';
		answer(held[--held_count], "ok\n");
		settle(true);
		ck_assert_uint_eq(held_count, 1);
	}
	ck_assert_uint_lt(sent, 2 * 1024 * 1024);
}
END_TEST

/* ---- the end ---- */

START_TEST(an_answer_that_no_loop_sends_any_more_is_flushed)
{
	say(GET("/later"));
	answer(held[--held_count], "ok\n");
	http_gate_free(gate);
	event_base_loop(base, EVLOOP_NONBLOCK); /* closes the socket */
	while (client_read())
		;
	ck_assert_str_eq(take(), OK);
	gate = NULL;
}
END_TEST

START_TEST(the_end_of_the_gate_is_the_end_of_its_clients)
{
	say(GET("/later"));
	http_gate_free(gate);
	gate = NULL;
	settle(true);
	ck_assert(ended);
	ck_assert_uint_eq(gone, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/gate");
	TCase *tests = tcase_create("gate");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_request_is_answered_and_the_connection_stays);
	tcase_add_test(tests, requests_in_one_segment_are_answered_in_order);
	tcase_add_loop_test(tests, a_half_closed_client_gets_all_its_replies, 0, 5);
	tcase_add_test(tests, a_half_closed_client_gets_a_reply_that_is_given_later);
	tcase_add_test(tests, half_a_request_is_not_answered);
	tcase_add_test(tests, head_gets_the_length_alone);
	tcase_add_test(tests, close_ends_the_connection);
	tcase_add_test(tests, http_1_0_is_ended_by_the_connection);
	tcase_add_loop_test(tests, a_chunked_body_is_put_together, 0, 2);
	tcase_add_test(tests, the_largest_body_passes_however_it_is_framed);
	tcase_add_test(tests, a_client_that_waits_for_100_gets_it_once);
	tcase_add_test(tests, bytes_that_are_not_http_get_a_bare_400);
	tcase_add_test(tests, a_refusal_is_described);
	tcase_add_test(tests, the_handler_learns_that_its_client_is_gone);
	tcase_add_test(tests, a_stream_is_chunked_and_another_request_follows);
	tcase_add_loop_test(tests, a_stream_of_http_1_0_is_ended_by_the_connection, 0, 2);
	tcase_add_test(tests, a_slow_reader_is_seen_by_what_is_pending);
	tcase_add_test(tests, a_client_that_never_stops_sending_is_held_back);
	tcase_add_test(tests, a_client_that_pipelines_without_end_is_held_back);
	tcase_add_test(tests, an_answer_that_no_loop_sends_any_more_is_flushed);
	tcase_add_test(tests, the_end_of_the_gate_is_the_end_of_its_clients);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
