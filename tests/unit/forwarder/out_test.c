/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The states of a connection that a guest opened, to a service of the host: on a worker without a thread. */
#include "base/log.h"
#include "forwarder/endpoint.h"
#include "forwarder/life.h"
#include "forwarder/pipe_pool.h"
#include "forwarder/proxy_header.h"
#include "unit/forwarder/side_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEADLINE_MS = 5000, GRACE_MS = 1000, PAUSE_MS = 200 };

static struct side_lab lab;
static struct connection connection;
static char folder[] = "/tmp/weft-out-XXXXXX", path[64];
static int guest, service, listening; /* the far ends, and the service's socket; -1: none */

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	side_lab_open(&lab);
	lab.worker.buffer = malloc(COPY_SIZE);
	lab.side->state.up = true;
	lab.side->state.refused_grace_ms = GRACE_MS;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	guest = service = listening = -1;
}

static void close_far(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void teardown(void)
{
	if (connection.endpoint)
		fwd_connection_close(&connection, CLOSE_SHUTDOWN, 0);
	close_far(&guest);
	close_far(&service);
	close_far(&listening);
	unlink(path);
	rmdir(folder);
	free(lab.worker.buffer);
	side_lab_close(&lab);
}

/* ---- The service ---- */

static void bind_at(const struct fwd_target *target, int type)
{
	listening = socket(target->to.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listening, 0);
	ck_assert_int_eq(bind(listening, &target->to.any, fwd_target_length(target)), 0);
}

static void serve(int backlog)
{
	struct fwd_target target = fwd_target_path(path, false);

	bind_at(&target, SOCK_STREAM);
	ck_assert_int_eq(listen(listening, backlog), 0);
}

static void accept_service(void)
{
	service = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(service, 0);
}

/* ---- The connection ---- */

/* HELD, with a guest that has said nothing yet. */
static void ask(const struct fwd_target *target)
{
	struct addr listen;
	int pair[2];

	ck_assert_int_eq(addr_parse("192.0.2.1:80", &listen), 0);
	connection = (struct connection){ .worker = &lab.worker, .direction = DIRECTION_OUT };
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_OUT, 0, 0));
	fwd_tally_arrive(lab.side);
	fwd_route_side_add(lab.side, &connection);
	connection.endpoint = fwd_endpoint_new_out(0, &listen, target);
	ck_assert_int_eq(addr_parse("10.11.0.1:5000", &connection.client), 0);
	connection.accepted_ms = lab.worker.now_ms;
	connection.deadline_ms = lab.worker.now_ms + DEADLINE_MS;
	connection.streams[CLIENT].pipe = connection.streams[SERVER].pipe = PIPE_NONE;
	connection.peers[SERVER] = (struct peer){ .fd = -1, .which = SERVER };
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	connection.peers[CLIENT] = (struct peer){ .fd = pair[0], .which = CLIENT, .writable = true };
	guest = pair[1];
	fwd_connection_become(&connection, &hold_state);
}

static void ask_path(bool proxy_protocol)
{
	struct fwd_target target = fwd_target_path(path, proxy_protocol);

	ask(&target);
}

static void go_on(void)
{
	connection.state->go_on(&connection);
}

static void open_one(void)
{
	serve(1);
	ask_path(false);
	go_on();
	ck_assert_ptr_eq(connection.state, &pump_state);
	accept_service();
}

/* MS later, its timer. */
static void later(uint64_t ms)
{
	ck_assert_ptr_nonnull(connection.timer.wheel);
	lab.worker.now_ms += ms;
	connection.state->expired(&connection);
}

/* What its peers have to say is looked at. */
static void look(enum which which, uint32_t events)
{
	struct peer *peer = &connection.peers[which];

	fwd_stream_note_events(peer, events);
	connection.state->event(&connection, peer, events);
}

static uint64_t ended(enum fwd_close_reason reason)
{
	struct fwd_stats stats;

	fwd_stats(&lab.forwarder, &stats);
	return stats.ended[reason];
}

static void assert_ended(enum fwd_close_reason reason)
{
	ck_assert_ptr_eq(connection.state, &closed_state);
	ck_assert_uint_eq(ended(reason), 1);
	ck_assert_int_eq(connection.peers[CLIENT].fd, -1);
	ck_assert_int_eq(connection.peers[SERVER].fd, -1);
	ck_assert_ptr_null(connection.timer.wheel);
	ck_assert_uint_eq(fwd_tally_held(lab.side), 0);
	ck_assert_int_eq(fwd_tally_descriptors(&lab.forwarder), 0);
	/* The place is free again, of its direction. */
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_OUT, 0, 1));
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 1));
}

/* The lab's side reads NOW. */
static void change(struct route_state now)
{
	struct route_state before = lab.side->state;

	now.refused_grace_ms = GRACE_MS;
	lab.side->state = now;
	if (fwd_route_state_pauses(&now, &before))
		lab.side->paused_at_ms = lab.worker.now_ms;
	connection.state->route_changed(&connection, &before);
}

/* ---- The way to the service ---- */

START_TEST(a_guest_is_led_to_a_unix_socket_and_back)
{
	char got[8];

	serve(1);
	ask_path(false);
	ck_assert_int_eq(write(guest, "ping", 4), 4);
	go_on();
	accept_service();
	look(CLIENT, EPOLLIN);
	ck_assert_int_eq(read(service, got, sizeof(got)), 4);
	ck_assert_int_eq(write(service, "pong!", 5), 5);
	look(SERVER, EPOLLIN);
	ck_assert_int_eq(read(guest, got, sizeof(got)), 5);
	ck_assert_uint_eq(fwd_connection_bytes_to_guest(&connection), 5);
	ck_assert_uint_eq(fwd_connection_bytes_from_guest(&connection), 4);
	ck_assert_uint_eq(lab.side->tally.bytes_to_guest, 5);
	ck_assert_uint_eq(lab.side->tally.bytes_from_guest, 4);
}
END_TEST

START_TEST(a_service_learns_who_asks)
{
	char expected[PROXY_HEADER_MAX], got[PROXY_HEADER_MAX];
	size_t size;

	strcpy(lab.side->state.name, "template-7");
	serve(1);
	ask_path(true);
	go_on();
	accept_service();
	size = fwd_proxy_header_write(&connection.client, &connection.endpoint->listen, expected);
	size = fwd_proxy_header_add_sandbox(expected, size, "sb-1", "template-7");
	ck_assert_int_eq(read(service, got, sizeof(got)), (int)size);
	ck_assert_mem_eq(got, expected, size);
}
END_TEST

START_TEST(a_target_is_dialed_from_the_address_that_it_names)
{
	struct fwd_target target = fwd_target_address(&(struct addr){ 0 }, false);
	struct addr from = { 0 };
	socklen_t size = sizeof(from);

	target.to.addr = addr_from_ipv4(0x7f000001, 0);
	bind_at(&target, SOCK_STREAM);
	ck_assert_int_eq(listen(listening, 1), 0);
	size = sizeof(target.to);
	ck_assert_int_eq(getsockname(listening, &target.to.any, &size), 0);
	target.source = addr_from_ipv4(0x7f000009, 0);
	ask(&target);
	go_on();
	ck_assert_int_eq(fwd_connection_phase(&connection), CONNECTION_DIALING);
	look(SERVER, EPOLLOUT);
	ck_assert_ptr_eq(connection.state, &pump_state);
	size = sizeof(from);
	service = accept4(listening, &from.any, &size, SOCK_CLOEXEC);
	ck_assert_int_ge(service, 0);
	ck_assert_uint_eq(ntohl(from.in.sin_addr.s_addr), 0x7f000009);
}
END_TEST

/* ---- No service ---- */

START_TEST(a_service_that_is_away_is_tried_again_for_its_grace)
{
	ask_path(false);
	go_on();
	ck_assert_ptr_eq(connection.state, &hold_state);
	later(PAUSE_MS);
	ck_assert_ptr_eq(connection.state, &hold_state);
	serve(1);
	later(PAUSE_MS);
	ck_assert_ptr_eq(connection.state, &pump_state);
}
END_TEST

START_TEST(a_service_that_stays_away_ends_it)
{
	ask_path(false);
	go_on();
	later(GRACE_MS);
	assert_ended(CLOSE_PROXY_REFUSED);
	ck_assert_int_eq(connection.error, ENOENT);
}
END_TEST

START_TEST(a_socket_that_nobody_serves_or_that_is_none_ends_it)
{
	struct fwd_target target = fwd_target_path(path, false);

	if (_i)
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	else
		bind_at(&target, SOCK_STREAM);
	close_far(&listening);
	ask_path(false);
	go_on();
	ck_assert_ptr_eq(connection.state, &hold_state);
	later(GRACE_MS);
	assert_ended(CLOSE_PROXY_REFUSED);
	ck_assert_int_eq(connection.error, ECONNREFUSED);
}
END_TEST

START_TEST(a_socket_of_another_type_ends_it_at_once)
{
	struct fwd_target target = fwd_target_path(path, false);

	bind_at(&target, SOCK_DGRAM);
	ask_path(false);
	go_on();
	assert_ended(CLOSE_PROXY_REFUSED);
	ck_assert_int_eq(connection.error, EPROTOTYPE);
}
END_TEST

START_TEST(a_service_that_accepts_nobody_has_until_the_deadline)
{
	struct fwd_target target = fwd_target_path(path, false);
	int others[8];
	size_t count = 0;

	serve(0);
	do {
		others[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	} while (connect(others[count++], &target.to.any, fwd_target_length(&target)) == 0 && count < 8);
	ask_path(false);
	go_on();
	ck_assert_ptr_eq(connection.state, &hold_state);
	later(GRACE_MS);
	ck_assert_ptr_eq(connection.state, &hold_state);
	later(DEADLINE_MS);
	assert_ended(CLOSE_PROXY_REFUSED);
	ck_assert_int_eq(connection.error, EAGAIN);
	while (count)
		close(others[--count]);
}
END_TEST

/* DIALING: a port whose queue is full answers nobody. */
static void dial_in_vain(int others[static 2])
{
	struct fwd_target target = fwd_target_address(&(struct addr){ 0 }, false);
	socklen_t size = sizeof(target.to);

	target.to.addr = addr_from_ipv4(0x7f000001, 0);
	bind_at(&target, SOCK_STREAM);
	ck_assert_int_eq(listen(listening, 0), 0);
	ck_assert_int_eq(getsockname(listening, &target.to.any, &size), 0);
	for (size_t i = 0; i < 2; i++) {
		others[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(others[i], &target.to.any, fwd_target_length(&target));
	}
	ask(&target);
	go_on();
	ck_assert_int_eq(fwd_connection_phase(&connection), CONNECTION_DIALING);
}

START_TEST(a_guest_that_leaves_is_heard_while_nobody_answers)
{
	int others[2];

	dial_in_vain(others);
	ck_assert(connection.peers[CLIENT].watched);
	close_far(&guest);
	look(CLIENT, EPOLLIN | EPOLLRDHUP);
	later(GRACE_MS);
	assert_ended(CLOSE_DONE);
	close(others[0]);
	close(others[1]);
}
END_TEST

START_TEST(an_attempt_that_nobody_answers_stands_until_the_deadline_and_follows_it)
{
	struct route_state now = lab.side->state;
	uint64_t due_ms;
	int others[2];

	lab.side->state.limits.connect_deadline_ms = DEADLINE_MS;
	now.limits.connect_deadline_ms = GRACE_MS;
	dial_in_vain(others);
	due_ms = connection.timer.due_ms;
	change(now);
	ck_assert_uint_lt(connection.timer.due_ms, due_ms);
	later(GRACE_MS);
	assert_ended(CLOSE_PROXY_REFUSED);
	ck_assert_int_eq(connection.error, ETIMEDOUT);
	close(others[0]);
	close(others[1]);
}
END_TEST

START_TEST(a_guest_that_leaves_meanwhile_ends_it)
{
	ask_path(false);
	go_on();
	close_far(&guest);
	look(CLIENT, EPOLLIN | EPOLLRDHUP);
	later(GRACE_MS);
	ck_assert_ptr_eq(connection.state, &closed_state);
}
END_TEST

/* ---- Its sandbox ---- */

START_TEST(a_guest_that_goes_waits_for_no_service)
{
	ask_path(false);
	go_on();
	change((struct route_state){ .netns_fd = -1, .carrier_losses = 1 });
	assert_ended(CLOSE_CARRIER_LOST);
}
END_TEST

START_TEST(a_pause_freezes_it_and_a_resume_lets_it_go_on)
{
	const struct route_state paused = { .netns_fd = -1, .up = true, .paused = true };
	char got[8];

	open_one();
	change(paused);
	ck_assert_int_eq(write(service, "late", 4), 4);
	look(SERVER, EPOLLIN);
	ck_assert_int_eq(read(guest, got, sizeof(got)), -1);
	ck_assert_ptr_null(connection.timer.wheel);
	change((struct route_state){ .netns_fd = -1, .up = true });
	ck_assert(connection.queued);
	go_on();
	ck_assert_int_eq(read(guest, got, sizeof(got)), 4);
}
END_TEST

START_TEST(in_a_pause_no_service_is_dialed)
{
	serve(1);
	ask_path(false);
	lab.side->state.paused = true;
	lab.side->paused_at_ms = lab.worker.now_ms;
	go_on();
	ck_assert_ptr_eq(connection.state, &hold_state);
	ck_assert_ptr_null(connection.timer.wheel);
	lab.worker.now_ms += DEADLINE_MS;
	change((struct route_state){ .netns_fd = -1, .up = true });
	ck_assert_ptr_eq(connection.state, &pump_state);
}
END_TEST

START_TEST(a_resume_without_flows_resets_it_in_each_state)
{
	if (_i)
		open_one();
	else
		ask_path(false);
	lab.side->state.paused = true;
	change((struct route_state){ .netns_fd = -1, .up = true, .flow_resets = 1 });
	assert_ended(CLOSE_PAUSED_RESET);
}
END_TEST

START_TEST(an_isolated_guest_reaches_no_service_any_more)
{
	const struct route_state isolated = { .netns_fd = -1, .up = true, .isolated = true };

	if (_i)
		open_one();
	else
		ask_path(false);
	change(isolated);
	assert_ended(CLOSE_UNREGISTERED);
}
END_TEST

/* ---- The end ---- */

START_TEST(a_service_that_resets_is_told_apart_from_the_guest)
{
	bool guests = _i;

	open_one();
	/* A socket that is closed before it was read to its end resets. */
	ck_assert_int_eq(write(connection.peers[guests ? CLIENT : SERVER].fd, "x", 1), 1);
	close_far(guests ? &guest : &service);
	look(guests ? CLIENT : SERVER, EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP);
	assert_ended(guests ? CLOSE_GUEST_RESET : CLOSE_CLIENT_RESET);
}
END_TEST

/* Both have said all that they had to say, the guest first where GUEST_FIRST. */
static void finish(bool guest_first)
{
	const enum which first = guest_first ? CLIENT : SERVER;

	shutdown(guest_first ? guest : service, SHUT_WR);
	look(first, EPOLLIN | EPOLLRDHUP);
	ck_assert_ptr_eq(connection.state, &pump_state);
	shutdown(guest_first ? service : guest, SHUT_WR);
	look(guest_first ? SERVER : CLIENT, EPOLLIN | EPOLLRDHUP);
}

START_TEST(it_ends_in_order_whoever_is_first)
{
	char byte;

	open_one();
	finish(_i);
	assert_ended(CLOSE_DONE);
	ck_assert_int_eq(read(guest, &byte, 1), 0);
	ck_assert_int_eq(read(service, &byte, 1), 0);
}
END_TEST

START_TEST(it_lingers_until_the_guest_has_everything)
{
	char byte;

	open_one();
	ck_assert_int_eq(write(connection.peers[CLIENT].fd, "x", 1), 1);
	finish(_i);
	ck_assert_ptr_eq(connection.state, &linger_state);
	ck_assert_int_eq(connection.peers[SERVER].fd, -1);
	ck_assert_int_ge(connection.peers[CLIENT].fd, 0);
	ck_assert_int_eq(read(guest, &byte, 1), 1);
	look(CLIENT, EPOLLOUT);
	assert_ended(CLOSE_DONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/out");
	TCase *way = tcase_create("way"), *none = tcase_create("none"), *sandbox = tcase_create("sandbox"),
	      *end = tcase_create("end");

	tcase_add_checked_fixture(way, setup, teardown);
	tcase_add_test(way, a_guest_is_led_to_a_unix_socket_and_back);
	tcase_add_test(way, a_service_learns_who_asks);
	tcase_add_test(way, a_target_is_dialed_from_the_address_that_it_names);
	suite_add_tcase(suite, way);

	tcase_add_checked_fixture(none, setup, teardown);
	tcase_add_test(none, a_service_that_is_away_is_tried_again_for_its_grace);
	tcase_add_test(none, a_service_that_stays_away_ends_it);
	tcase_add_loop_test(none, a_socket_that_nobody_serves_or_that_is_none_ends_it, 0, 2);
	tcase_add_test(none, a_socket_of_another_type_ends_it_at_once);
	tcase_add_test(none, a_service_that_accepts_nobody_has_until_the_deadline);
	tcase_add_test(none, a_guest_that_leaves_meanwhile_ends_it);
	tcase_add_test(none, a_guest_that_leaves_is_heard_while_nobody_answers);
	tcase_add_test(none, an_attempt_that_nobody_answers_stands_until_the_deadline_and_follows_it);
	suite_add_tcase(suite, none);

	tcase_add_checked_fixture(sandbox, setup, teardown);
	tcase_add_test(sandbox, a_guest_that_goes_waits_for_no_service);
	tcase_add_test(sandbox, a_pause_freezes_it_and_a_resume_lets_it_go_on);
	tcase_add_test(sandbox, in_a_pause_no_service_is_dialed);
	tcase_add_loop_test(sandbox, a_resume_without_flows_resets_it_in_each_state, 0, 2);
	tcase_add_loop_test(sandbox, an_isolated_guest_reaches_no_service_any_more, 0, 2);
	suite_add_tcase(suite, sandbox);

	tcase_add_checked_fixture(end, setup, teardown);
	tcase_add_loop_test(end, a_service_that_resets_is_told_apart_from_the_guest, 0, 2);
	tcase_add_loop_test(end, it_ends_in_order_whoever_is_first, 0, 2);
	tcase_add_loop_test(end, it_lingers_until_the_guest_has_everything, 0, 2);
	suite_add_tcase(suite, end);
	return run_suite(suite);
}
