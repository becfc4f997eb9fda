/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection is described and revived on a worker without a thread: the times, and states that no real traffic makes at will. */
#include "base/err.h"
#include "base/log.h"
#include "base/slab.h"
#include "forwarder/endpoint.h"
#include "forwarder/freeze.h"
#include "forwarder/proxy_header.h"
#include "forwarder/thaw.h"
#include "forwarder/thaw_wait.h"
#include "unit/forwarder/side_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENT = 10, IDLE_MS = 1500, HALF_CLOSED_MS = 700, SETTLE_MS = 900, LEFT_MS = 4000, GAP_MS = 300 };

static struct side_lab lab;
static struct connection *connection;
static struct fwd_endpoint *endpoint;
static struct frozen_list routes;
static struct thaw_letter letter;
static struct frozen copied;
static int far[2];

static void on_answer(struct mail *mail)
{
	(void)mail;
}

static void setup(void)
{
	struct addr listen;
	struct err err;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	side_lab_open(&lab);
	lab.worker.now_ms = clock_now_ms();
	fwd_wheel_init(&lab.worker.fine, FINE_STEP_MS, lab.worker.now_ms, fwd_connection_expired);
	fwd_wheel_init(&lab.worker.coarse, COARSE_STEP_MS, lab.worker.now_ms, fwd_connection_expired);
	lab.worker.buffer = malloc(COPY_SIZE);
	lab.worker.slab = base_slab_new(sizeof(struct connection));
	lab.forwarder.mailbox = base_mailbox_new(NULL, &err);
	lab.worker.mailbox = base_mailbox_new(NULL, &err);
	ck_assert_ptr_nonnull(lab.worker.slab);
	ck_assert_ptr_nonnull(lab.forwarder.mailbox);
	ck_assert_ptr_nonnull(lab.worker.mailbox);
	ck_assert_int_eq(addr_parse("127.0.0.1:80", &listen), 0);
	endpoint = fwd_endpoint_new(0, &listen, 80, true);
	STAILQ_INIT(&routes);
	letter = (struct thaw_letter){ .side = lab.side, .answer = on_answer };
}

static void free_dead(void)
{
	struct connection *dead;

	while ((dead = TAILQ_FIRST(&lab.worker.dead))) {
		TAILQ_REMOVE(&lab.worker.dead, dead, queue);
		base_slab_free(lab.worker.slab, dead);
	}
}

static void teardown(void)
{
	while (!LIST_EMPTY(&lab.side->connections))
		fwd_connection_close(LIST_FIRST(&lab.side->connections), CLOSE_SHUTDOWN, 0);
	free_dead();
	close(far[CLIENT]);
	close(far[SERVER]);
	fwd_freeze_forget(&routes);
	vec_free(&letter);
	base_mailbox_free(lab.forwarder.mailbox);
	base_mailbox_free(lab.worker.mailbox);
	fwd_endpoint_release(endpoint);
	base_slab_destroy(lab.worker.slab);
	free(lab.worker.buffer);
	side_lab_close(&lab);
}

static struct peer make_peer(enum which which)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	far[which] = pair[1];
	return (struct peer){ .fd = pair[0], .which = which };
}

/* An open connection that is half closed, has been idle, and is not settled. */
static void make(void)
{
	uint64_t now_ms = lab.worker.now_ms;

	connection = base_slab_alloc(lab.worker.slab);
	connection->worker = &lab.worker;
	fwd_route_side_add(lab.side, connection);
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_arrive(lab.side);
	connection->endpoint = fwd_endpoint_reference(endpoint);
	connection->id = 4711;
	connection->client = connection->endpoint->listen;
	connection->accepted_us = clock_now_us() - 20000 * 1000;
	connection->accepted_ms = connection->accepted_us / 1000;
	connection->connected_ms = connection->accepted_ms + 5;
	connection->active_ms = now_ms - IDLE_MS;
	connection->half_closed_ms = now_ms - HALF_CLOSED_MS;
	connection->settle_ms = now_ms + SETTLE_MS;
	connection->deadline_ms = now_ms + LEFT_MS;
	connection->peers[CLIENT] = make_peer(CLIENT);
	connection->peers[SERVER] = make_peer(SERVER);
	connection->streams[CLIENT].pipe = connection->streams[SERVER].pipe = PIPE_NONE;
	fwd_connection_become(connection, &pump_state);
}

static struct frozen *describe(void)
{
	ck_assert_int_eq(fwd_freeze_describe(&lab.worker, &routes), 0);
	ck_assert_uint_eq(STAILQ_FIRST(&routes)->count, 1);
	return &STAILQ_FIRST(&routes)->items[0];
}

/* As main does, with copies of what the connection lends; the connection itself leaves. */
static struct connection *revive(const struct frozen *frozen)
{
	struct thaw_item *item = vec_push(&letter);

	copied = *frozen;
	item->frozen = &copied;
	item->endpoint = fwd_endpoint_reference(endpoint);
	for (size_t i = 0; i < 2; i++) {
		struct frozen_stream *stream = &copied.streams[i];

		copied.peers[i].fd = fcntl(frozen->peers[i].fd, F_DUPFD_CLOEXEC, 3);
		if (!stream->rest)
			continue;
		stream->rest = malloc(stream->rest_size);
		memcpy(stream->rest, frozen->streams[i].rest, stream->rest_size);
	}
	fwd_connection_leave(connection);
	free_dead();
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_return(lab.side);
	fwd_tally_send(lab.side);
	letter.gap_us = GAP_MS * 1000;
	letter.mail.deliver = fwd_thaw_on_letter;
	letter.mail.deliver(&letter.mail);
	ck_assert_uint_eq(letter.taken, 1);
	return LIST_FIRST(&lab.side->connections);
}

/* The poller reports both sockets. */
static void run(void)
{
	fwd_poller_wait(lab.worker.poller, 0);
	fwd_poller_dispatch(lab.worker.poller);
}

START_TEST(a_proxy_header_that_is_half_sent_is_sent_to_its_end)
{
	char header[PROXY_HEADER_MAX], got[PROXY_HEADER_MAX];
	size_t size;

	make();
	size = fwd_proxy_header_write(&connection->client, &endpoint->listen, header);
	ck_assert_int_eq(fwd_stream_keep_rest(&connection->streams[CLIENT], header, size), 0);
	connection->streams[CLIENT].rest_at = SENT;
	connection->streams[CLIENT].bytes = SENT;
	connection = revive(describe());
	lab.side->state.up = true;
	ck_assert_int_eq(write(far[CLIENT], "hello", 5), 5);
	run();
	ck_assert_int_eq(recv(far[SERVER], got, sizeof(got), MSG_DONTWAIT), (int)(size - SENT) + 5);
	ck_assert_int_eq(memcmp(got, header + SENT, size - SENT), 0);
	ck_assert_int_eq(memcmp(got + size - SENT, "hello", 5), 0);
	ck_assert_uint_eq(connection->streams[CLIENT].bytes, size + 5);
}
END_TEST

static void assert_about(uint64_t value, uint64_t wanted)
{
	/* Between the two looks at the clock the machine may stand still. */
	ck_assert_uint_ge(value, wanted);
	ck_assert_uint_le(value, wanted + 60000);
}

START_TEST(timers_go_on_with_what_was_left_and_age_includes_the_gap)
{
	make();
	connection = revive(describe());

	uint64_t now_ms = lab.worker.now_ms;

	ck_assert_uint_eq(now_ms - connection->active_ms, IDLE_MS);
	ck_assert_uint_eq(now_ms - connection->half_closed_ms, HALF_CLOSED_MS);
	ck_assert_uint_eq(connection->settle_ms - now_ms, SETTLE_MS);
	assert_about(fwd_connection_age_ms(connection), 20000 + GAP_MS - 1);
	ck_assert_int_eq(fwd_connection_connect_ms(connection), 5);
	ck_assert_uint_eq(connection->id, 4711);
	ck_assert_ptr_nonnull(connection->timer.wheel);
}
END_TEST

START_TEST(in_a_pause_the_clock_stands_where_the_pause_began)
{
	make();
	lab.side->state.paused = true;
	lab.side->paused_at_ms = lab.worker.now_ms - 200;
	letter.before.paused = true;
	connection = revive(describe());
	ck_assert_uint_eq(lab.side->paused_at_ms - connection->active_ms, IDLE_MS - 200);
	ck_assert_ptr_null(connection->timer.wheel);
}
END_TEST

START_TEST(a_pause_that_began_before_the_thaw_keeps_its_beginning)
{
	uint64_t began_ms = lab.worker.now_ms - 200;
	struct frozen *frozen;

	make();
	frozen = describe();
	lab.side->state.paused = true;
	lab.side->paused_at_ms = began_ms;
	connection = revive(frozen);
	ck_assert_uint_eq(lab.side->paused_at_ms, began_ms);
	ck_assert_uint_eq(began_ms - connection->active_ms, IDLE_MS);
	ck_assert_ptr_null(connection->timer.wheel);
}
END_TEST

/* How a socket ends when its last copy is closed. */
static bool ends_by_reset(int fd)
{
	struct linger linger;
	socklen_t size = sizeof(linger);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size), 0);
	return linger.l_onoff && !linger.l_linger;
}

START_TEST(a_described_socket_ends_by_reset_and_a_revived_one_in_order)
{
	int copies[2];

	make();

	struct frozen *frozen = describe();

	ck_assert(ends_by_reset(connection->peers[CLIENT].fd) && ends_by_reset(connection->peers[SERVER].fd));
	connection = revive(frozen);
	ck_assert(ends_by_reset(connection->peers[CLIENT].fd) && ends_by_reset(connection->peers[SERVER].fd));
	for (size_t i = 0; i < 2; i++)
		copies[i] = fcntl(connection->peers[i].fd, F_DUPFD_CLOEXEC, 3);
	fwd_connection_close(connection, CLOSE_DONE, 0);
	ck_assert(LIST_EMPTY(&lab.side->connections));
	for (size_t i = 0; i < 2; i++) {
		ck_assert(!ends_by_reset(copies[i]));
		close(copies[i]);
	}
}
END_TEST

START_TEST(connections_are_prepared_a_part_at_a_time)
{
	enum { MANY = 600, LEAST = 256 };
	unsigned turns = 1;

	for (size_t i = 0; i < MANY; i++) {
		make();
		close(far[CLIENT]);
		close(far[SERVER]);
	}
	while (fwd_freeze_prepare(&lab.worker)) {
		size_t prepared = 0;

		LIST_FOREACH(connection, &lab.side->connections, of_side)
		prepared += ends_by_reset(connection->peers[CLIENT].fd);
		ck_assert_uint_ge(prepared, turns * LEAST);
		ck_assert_uint_lt(prepared, MANY);
		turns++;
	}
	ck_assert_uint_ge(turns, 2);
	LIST_FOREACH(connection, &lab.side->connections, of_side)
	{
		ck_assert(connection->peers[SERVER].cookie && connection->peers[CLIENT].cookie);
		ck_assert(ends_by_reset(connection->peers[SERVER].fd));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/thaw");
	TCase *tcase = tcase_create("thaw");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_proxy_header_that_is_half_sent_is_sent_to_its_end);
	tcase_add_test(tcase, timers_go_on_with_what_was_left_and_age_includes_the_gap);
	tcase_add_test(tcase, in_a_pause_the_clock_stands_where_the_pause_began);
	tcase_add_test(tcase, a_pause_that_began_before_the_thaw_keeps_its_beginning);
	tcase_add_test(tcase, a_described_socket_ends_by_reset_and_a_revived_one_in_order);
	tcase_add_test(tcase, connections_are_prepared_a_part_at_a_time);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
