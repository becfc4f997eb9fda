/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Posts to a stand-in manager of this file, which runs in the same loop and answers as each test wants it to. */
#include "wake/teller.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/log.h"
#include "unit/run_suite.h"
#include "wake/wake.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 256, REQUEST_MAX = 1 << 20, REQUESTS_KEPT = 16 };

#define TAKEN "HTTP/1.1 204 No Content\r\n\r\n"

struct client {
	int fd; /* -1: free */
	struct event *event;
	char *request;
	size_t length;
	bool complete;
};

static struct event_base *base;
static struct wake_teller *teller;
static struct err err;
static char folder[] = "/tmp/weft-teller.XXXXXX", path[64];
static struct {
	int fd; /* -1: it does not listen */
	struct event *event;
	const char *answer; /* NULL: none ever */
	bool closes;        /* after the answer */
	struct client clients[CLIENTS_MAX];
	unsigned open, most_open, requests;
	char bodies[REQUESTS_KEPT][128]; /* of the last ones */
	char head[512];                  /* of the last one */
} manager;

/* ---- The manager ---- */

static void drop_client(struct client *client)
{
	event_free(client->event);
	close(client->fd);
	free(client->request);
	*client = (struct client){ .fd = -1 };
	manager.open--;
}

static void answer_client(struct client *client)
{
	if (manager.answer)
		ck_assert_int_eq(send(client->fd, manager.answer, strlen(manager.answer), MSG_NOSIGNAL),
				 (ssize_t)strlen(manager.answer));
	if (manager.closes)
		drop_client(client);
}

static void take_request(struct client *client, const char *head_end)
{
	size_t head = (size_t)(head_end - client->request) + 4;
	const char *length = strstr(client->request, "Content-Length: ");

	ck_assert_ptr_nonnull(length);
	if (client->length < head + strtoul(length + 16, NULL, 10))
		return;
	ck_assert_uint_eq(client->length, head + strtoul(length + 16, NULL, 10));
	client->complete = true;
	snprintf(manager.head, sizeof(manager.head), "%.*s", (int)head, client->request);
	snprintf(manager.bodies[manager.requests++ % REQUESTS_KEPT], sizeof(manager.bodies[0]), "%.100s",
		 client->request + head);
	answer_client(client);
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;
	ssize_t got = read(fd, client->request + client->length, REQUEST_MAX - client->length - 1);
	const char *end;

	(void)what;
	if (got <= 0) {
		drop_client(client);
		return;
	}
	ck_assert(!client->complete);
	client->length += (size_t)got;
	client->request[client->length] = '\0';
	end = strstr(client->request, "\r\n\r\n");
	if (end)
		take_request(client, end);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = manager.clients;

	(void)what;
	(void)arg;
	while (client->fd >= 0)
		client++;
	ck_assert(client < manager.clients + CLIENTS_MAX);
	client->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(client->fd, 0);
	client->request = malloc(REQUEST_MAX);
	client->event = event_new(base, client->fd, EV_READ | EV_PERSIST, on_request, client);
	event_add(client->event, NULL);
	if (++manager.open > manager.most_open)
		manager.most_open = manager.open;
}

static void start_manager(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	manager.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(manager.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(manager.fd, 128), 0);
	manager.event = event_new(base, manager.fd, EV_READ | EV_PERSIST, on_client, NULL);
	event_add(manager.event, NULL);
}

static void stop_manager(void)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (manager.clients[i].fd >= 0)
			drop_client(&manager.clients[i]);
	if (manager.fd < 0)
		return;
	event_free(manager.event);
	close(manager.fd);
	unlink(path);
	manager.fd = -1;
}

/* ---- The loop ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* Runs the loop until CONDITION holds; Check ends a test in which it never does. */
#define run_until(condition)                                                                                           \
	while (!(condition))                                                                                           \
	event_base_loop(base, EVLOOP_ONCE)

static struct event *tick;

static struct wake_teller_counts counts(void)
{
	return wake_teller_counts(teller);
}

static const char *last_body(void)
{
	return manager.bodies[(manager.requests - 1) % REQUESTS_KEPT];
}

static void open_all(void)
{
	const struct timeval often = { .tv_usec = 5000 };

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/manager.sock", folder);
	base = event_base_new();
	tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	event_add(tick, &often);
	teller = wake_teller_new(base, &err);
	ck_assert_ptr_nonnull(teller);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		manager.clients[i].fd = -1;
	manager.fd = -1;
	manager.answer = TAKEN;
	manager.closes = true;
	start_manager();
}

static void close_all(void)
{
	wake_teller_free(teller);
	stop_manager();
	event_free(tick);
	event_base_free(base);
	rmdir(folder);
}

/* ---- Tests ---- */

START_TEST(a_post_reaches_the_manager_once)
{
	wake_teller_tell(teller, path, "a1", "{\"sandbox\": \"a1\"}");
	ck_assert_uint_eq(counts().telling, 1);
	run_until(counts().told == 1);
	ck_assert_uint_eq(manager.requests, 1);
	ck_assert_str_eq(last_body(), "{\"sandbox\": \"a1\"}");
	ck_assert_ptr_eq(strstr(manager.head, "POST /wake HTTP/1.1\r\n"), manager.head);
	ck_assert_ptr_nonnull(strstr(manager.head, "\r\nHost: localhost\r\n"));
	ck_assert_ptr_nonnull(strstr(manager.head, "\r\nContent-Type: application/json\r\n"));
	ck_assert_uint_eq(counts().telling, 0);
	ck_assert_ptr_null(counts().error);
}
END_TEST

static const char *const takings[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\nyes",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
	/* The head says it; nobody waits for the rest. */
	"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{",
};

START_TEST(an_answer_of_2xx_is_enough)
{
	manager.answer = takings[_i / 2];
	manager.closes = _i % 2;
	wake_teller_tell(teller, path, "a1", "{}");
	run_until(counts().telling == 0);
	ck_assert_uint_eq(counts().told, 1);
	ck_assert_uint_eq(counts().failures, 0);
	ck_assert_uint_eq(manager.requests, 1);
}
END_TEST

static const struct {
	const char *answer, *error;
} refusals[] = {
	{ "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", "it answers with status 500" },
	{ "HTTP/1.1 404 Not Found\r\n\r\n", "it answers with status 404" },
	{ "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "it answers with status 302" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "the answer was cut off" },
	{ "HTTP/1.1 20", "the answer was cut off" },
	{ "SSH-2.0-OpenSSH_9.2\r\n", "what answers is not HTTP/1.1" },
	{ "", "the connection was closed without an answer" },
};

START_TEST(any_other_answer_has_it_tried_again)
{
	manager.answer = refusals[_i].answer;
	wake_teller_tell(teller, path, "a1", "{}");
	run_until(counts().failures == 1);
	ck_assert_str_eq(counts().error, refusals[_i].error);
	ck_assert_uint_eq(counts().telling, 1);
	manager.answer = TAKEN;
	run_until(counts().told == 1);
	ck_assert_ptr_null(counts().error);
	ck_assert_uint_eq(counts().telling, 0);
	ck_assert_uint_eq(manager.requests, counts().failures + 1);
}
END_TEST

START_TEST(a_manager_that_is_not_there_is_told_when_it_comes)
{
	stop_manager();
	wake_teller_tell(teller, path, "a1", "{}");
	run_until(counts().failures == 2);
	ck_assert_ptr_nonnull(strstr(counts().error, "No such file or directory"));
	start_manager();
	run_until(counts().told == 1);
	ck_assert_uint_eq(manager.requests, 1);
}
END_TEST

START_TEST(a_manager_that_hangs_is_asked_again_by_a_new_connection)
{
	uint64_t begun_ms = clock_now_ms();

	/* It had begun to. */
	manager.answer = "HTTP/1.1 200 OK\r\n";
	manager.closes = false;
	wake_teller_tell(teller, path, "a1", "{}");
	run_until(counts().failures == 1);
	ck_assert_uint_ge(clock_now_ms() - begun_ms, WAKE_TELL_MS - 100);
	ck_assert_str_eq(counts().error, "it does not answer");
	manager.answer = TAKEN;
	run_until(counts().told == 1);
	ck_assert_uint_eq(manager.requests, 2);
}
END_TEST

START_TEST(what_is_told_while_a_post_is_on_its_way_follows_it)
{
	manager.answer = NULL;
	manager.closes = false;
	wake_teller_tell(teller, path, "a1", "1");
	run_until(manager.requests == 1);
	wake_teller_tell(teller, path, "a1", "2");
	wake_teller_tell(teller, path, "a1", "3");
	ck_assert_uint_eq(counts().telling, 1);
	manager.answer = TAKEN;
	answer_client(&manager.clients[0]);
	run_until(counts().told == 2);
	ck_assert_uint_eq(manager.requests, 2);
	ck_assert_str_eq(last_body(), "3");
	ck_assert_uint_eq(manager.most_open, 1);
	ck_assert_uint_eq(counts().telling, 0);
}
END_TEST

START_TEST(what_is_told_while_a_post_waits_takes_its_place)
{
	manager.answer = refusals[0].answer;
	wake_teller_tell(teller, path, "a1", "0");
	wake_teller_tell(teller, path, "a1", "1");
	run_until(counts().failures == 1);
	ck_assert_str_eq(last_body(), "1");
	wake_teller_tell(teller, path, "a1", "2");
	manager.answer = TAKEN;
	run_until(counts().told == 1);
	ck_assert_str_eq(last_body(), "2");
	ck_assert_uint_eq(counts().telling, 0);
	ck_assert_uint_eq(manager.requests, counts().failures + 1);
}
END_TEST

/* Waiting, on its way, resting. */
START_TEST(an_untold_post_is_given_up_wherever_it_is)
{
	manager.answer = _i == 2 ? refusals[0].answer : NULL;
	manager.closes = _i == 2;
	wake_teller_tell(teller, path, "a1", "{}");
	if (_i == 1)
		run_until(manager.requests == 1);
	if (_i == 2)
		run_until(counts().failures == 1);
	wake_teller_untell(teller, "a1");
	wake_teller_untell(teller, "a1");
	ck_assert_uint_eq(counts().telling, 0);
	/* The next one is not held up by it, and nothing else comes. */
	manager.answer = TAKEN;
	manager.closes = true;
	wake_teller_tell(teller, path, "a2", "2");
	run_until(counts().told == 1 && manager.open == (_i == 1));
	ck_assert_str_eq(last_body(), "2");
	ck_assert_uint_eq(manager.requests, _i ? 2 : 1);
	ck_assert_uint_eq(counts().failures, _i == 2);
}
END_TEST

/* As when it resumes the sandbox within its handler. It may be wanted again by then. */
START_TEST(a_manager_whose_post_is_untold_before_it_answers_may_answer)
{
	manager.answer = NULL;
	manager.closes = false;
	wake_teller_tell(teller, path, "a1", "1");
	run_until(manager.requests == 1);
	wake_teller_untell(teller, "a1");
	if (_i)
		wake_teller_tell(teller, path, "a1", "2");
	ck_assert_uint_eq(counts().telling, _i);
	manager.answer = TAKEN;
	answer_client(&manager.clients[0]);
	run_until(counts().told == 1U + (unsigned)_i);
	ck_assert_uint_eq(manager.requests, 1 + _i);
	ck_assert_uint_eq(counts().telling, 0);
	ck_assert_uint_eq(counts().failures, 0);
}
END_TEST

START_TEST(many_posts_to_a_manager_that_hangs_hold_few_connections)
{
	char key[16];

	manager.answer = NULL;
	manager.closes = false;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "s%u", i);
		wake_teller_tell(teller, path, key, "{}");
	}
	run_until(manager.requests == WAKE_TELL_AT_ONCE);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(manager.most_open, WAKE_TELL_AT_ONCE);
	ck_assert_uint_eq(counts().telling, 1000);
	/* It comes back: all are told. */
	manager.answer = TAKEN;
	manager.closes = true;
	run_until(counts().told == 1000);
	ck_assert_uint_eq(counts().telling, 0);
}
END_TEST

START_TEST(a_text_larger_than_the_sockets_buffer_arrives)
{
	size_t size = REQUEST_MAX / 2;
	char *body = malloc(size + 1);

	memset(body, 'x', size);
	body[size] = '\0';
	wake_teller_tell(teller, path, "a1", body);
	free(body);
	run_until(counts().told == 1);
	ck_assert_uint_eq(manager.requests, 1);
}
END_TEST

START_TEST(a_post_that_rests_goes_to_the_managers_new_socket)
{
	char nowhere[80];

	snprintf(nowhere, sizeof(nowhere), "%s/nowhere", folder);
	wake_teller_tell(teller, nowhere, "a1", "{}");
	run_until(counts().failures == 1);
	wake_teller_redirect(teller, path);
	run_until(counts().told == 1);
	wake_teller_tell(teller, nowhere, "a1", "{}");
	wake_teller_tell(teller, nowhere, "a2", "{}");
	run_until(counts().failures >= 3);
	wake_teller_redirect(teller, NULL);
	ck_assert_uint_eq(counts().telling, 0);
}
END_TEST

START_TEST(a_shortage_of_descriptors_is_waited_for)
{
	struct rlimit before, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	wake_teller_tell(teller, path, "a1", "{}");
	run_until(counts().failures == 1);
	ck_assert_ptr_nonnull(strstr(counts().error, strerror(EMFILE)));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	run_until(counts().told == 1);
}
END_TEST

START_TEST(a_path_that_is_too_long_is_an_error_like_others)
{
	char longer[200];

	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	wake_teller_tell(teller, longer, "a1", "{}");
	run_until(counts().failures == 1);
	ck_assert_uint_eq(counts().telling, 1);
	/* A path that is right by now is taken at the next attempt. */
	wake_teller_tell(teller, path, "a1", "{}");
	run_until(counts().told == 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wake_teller");
	TCase *telling = tcase_create("telling");

	tcase_set_timeout(telling, 120);
	tcase_add_checked_fixture(telling, open_all, close_all);
	tcase_add_test(telling, a_post_reaches_the_manager_once);
	tcase_add_loop_test(telling, an_answer_of_2xx_is_enough, 0, 2 * sizeof(takings) / sizeof(takings[0]));
	tcase_add_loop_test(telling, any_other_answer_has_it_tried_again, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(telling, a_manager_that_is_not_there_is_told_when_it_comes);
	tcase_add_test(telling, a_manager_that_hangs_is_asked_again_by_a_new_connection);
	tcase_add_test(telling, what_is_told_while_a_post_is_on_its_way_follows_it);
	tcase_add_test(telling, what_is_told_while_a_post_waits_takes_its_place);
	tcase_add_loop_test(telling, an_untold_post_is_given_up_wherever_it_is, 0, 3);
	tcase_add_loop_test(telling, a_manager_whose_post_is_untold_before_it_answers_may_answer, 0, 2);
	tcase_add_test(telling, many_posts_to_a_manager_that_hangs_hold_few_connections);
	tcase_add_test(telling, a_text_larger_than_the_sockets_buffer_arrives);
	tcase_add_test(telling, a_post_that_rests_goes_to_the_managers_new_socket);
	tcase_add_test(telling, a_shortage_of_descriptors_is_waited_for);
	tcase_add_test(telling, a_path_that_is_too_long_is_an_error_like_others);
	suite_add_tcase(suite, telling);
	return run_suite(suite);
}
