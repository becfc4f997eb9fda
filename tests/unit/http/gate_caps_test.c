/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/gate.h"

#include "base/err.h"
#include "http/exchange.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CAP = 4, CLIENTS = 9 };

static struct event_base *base;
static struct http_gate *gate;
static struct http_exchange *owed; /* the answer to the one request */
static int clients[CLIENTS];
static size_t client_count;

static void handle(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	(void)context;
	(void)request;
	owed = exchange;
}

static char *describe(int status, const char *detail)
{
	(void)status;
	return strdup(detail);
}

static void setup(void)
{
	static const struct http_gate_ops ops = { handle, describe, "text/refusal", NULL };
	struct err err;

	base = event_base_new();
	gate = http_gate_new(base, &ops, NULL, &err);
	ck_assert_ptr_nonnull(gate);
	client_count = 0;
}

static void teardown(void)
{
	http_gate_free(gate);
	if (owed)
		http_exchange_answer(owed, &(struct http_answer){ .status = 204 });
	owed = NULL;
	while (client_count)
		close(clients[--client_count]);
	event_base_free(base);
}

static int connect_client(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	clients[client_count++] = pair[0];
	http_gate_serve(gate, pair[1]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return pair[0];
}

static bool is_closed(int client)
{
	char byte;

	return recv(client, &byte, 1, MSG_DONTWAIT) == 0;
}

START_TEST(the_oldest_connection_without_a_request_makes_room)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	int busy = connect_client();

	http_gate_set_caps(gate, CAP, CAP);
	ck_assert_int_eq(send(busy, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	while (!owed)
		event_base_loop(base, EVLOOP_ONCE);
	while (client_count < CLIENTS) {
		int newest = connect_client();
		ck_assert(!is_closed(newest));
		ck_assert_uint_le(http_gate_peers(gate), CAP);
	}
	ck_assert_uint_eq(http_gate_peers(gate), CAP);
	ck_assert(is_closed(clients[1]));
	ck_assert(!is_closed(busy));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http/gate_caps");
	TCase *tcase = tcase_create("caps");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_oldest_connection_without_a_request_makes_room);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
