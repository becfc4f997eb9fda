/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"
#include "forwarder/endpoint.h"
#include "forwarder/life.h"
#include "unit/forwarder/side_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct connection_state *const states[] = { &hold_state, &dial_state, &pump_state, &linger_state,
							 &closed_state };

enum { STATES = sizeof(states) / sizeof(states[0]), DEADLINE_MS = 5000 };

static struct side_lab lab;
static struct connection connection;
static int far_client, far_guest; /* the other ends; -1: none */

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	side_lab_open(&lab);
	far_client = far_guest = -1;
}

static void teardown(void)
{
	if (connection.endpoint)
		fwd_connection_close(&connection, CLOSE_SHUTDOWN, 0);
	if (far_client >= 0)
		close(far_client);
	if (far_guest >= 0)
		close(far_guest);
	side_lab_close(&lab);
}

static void join(enum which which, int *far)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	connection.peers[which] = (struct peer){ .fd = pair[0], .which = which, .writable = true };
	*far = pair[1];
}

/* A connection of the lab's side, led to PHASE by allowed moves. */
static void make(enum fwd_connection_phase phase)
{
	struct addr listen = { 0 };

	connection = (struct connection){ .worker = &lab.worker };
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_arrive(lab.side);
	fwd_route_side_add(lab.side, &connection);
	connection.endpoint = fwd_endpoint_new(0, &listen, 80, false);
	connection.accepted_ms = lab.worker.now_ms;
	connection.deadline_ms = lab.worker.now_ms + DEADLINE_MS;
	connection.streams[CLIENT].pipe = connection.streams[SERVER].pipe = PIPE_NONE;
	connection.peers[SERVER] = (struct peer){ .fd = -1, .which = SERVER };
	join(CLIENT, &far_client);
	for (size_t i = 0; fwd_connection_phase(&connection) != phase; i++) {
		if (states[i] == &dial_state)
			join(SERVER, &far_guest);
		fwd_connection_become(&connection, states[i]);
	}
	fwd_connection_wait(&connection, connection.deadline_ms);
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
	ck_assert(LIST_EMPTY(&lab.side->connections));
	ck_assert_ptr_eq(TAILQ_FIRST(&lab.worker.dead), &connection);
	ck_assert_int_eq(connection.peers[CLIENT].fd, -1);
	ck_assert_int_eq(connection.peers[SERVER].fd, -1);
	ck_assert_ptr_null(connection.timer.wheel);
	ck_assert_uint_eq(fwd_tally_held(lab.side), 0);
	ck_assert_int_eq(fwd_tally_descriptors(&lab.forwarder), 0);
}

/* The lab's side reads NOW. */
static void change(const struct route_state *now)
{
	struct route_state before = lab.side->state;

	lab.side->state = *now;
	if (fwd_route_state_pauses(now, &before))
		lab.side->paused_at_ms = lab.worker.now_ms;
	connection.state->route_changed(&connection, &before);
}

/* ---- The table of moves ---- */

START_TEST(each_state_has_a_phase_of_its_own_and_all_operations)
{
	for (size_t i = 0; i < STATES; i++) {
		ck_assert_int_eq(states[i]->phase, CONNECTION_HELD + (int)i);
		ck_assert_ptr_nonnull(states[i]->name);
		ck_assert(states[i]->event && states[i]->expired && states[i]->go_on && states[i]->route_changed);
	}
}
END_TEST

START_TEST(a_connection_may_move_as_its_phases_say_and_no_other_way)
{
	static const bool allowed[][CONNECTION_CLOSED + 1] = {
		[CONNECTION_BORN] = { [CONNECTION_HELD] = true,
				      [CONNECTION_OPEN] = true,
				      [CONNECTION_LINGERING] = true },
		[CONNECTION_HELD] = { [CONNECTION_DIALING] = true, [CONNECTION_CLOSED] = true },
		[CONNECTION_DIALING] = { [CONNECTION_HELD] = true,
					 [CONNECTION_OPEN] = true,
					 [CONNECTION_CLOSED] = true },
		[CONNECTION_OPEN] = { [CONNECTION_LINGERING] = true, [CONNECTION_CLOSED] = true },
		[CONNECTION_LINGERING] = { [CONNECTION_CLOSED] = true },
		[CONNECTION_CLOSED] = { 0 },
	};

	for (int from = CONNECTION_BORN; from <= CONNECTION_CLOSED; from++) {
		for (int to = CONNECTION_BORN; to <= CONNECTION_CLOSED; to++)
			ck_assert_int_eq(
			    fwd_connection_may_become((enum fwd_connection_phase)from, (enum fwd_connection_phase)to),
			    allowed[from][to]);
	}
}
END_TEST

START_TEST(a_forbidden_move_aborts)
{
	make(CONNECTION_HELD);
	fwd_connection_become(&connection, &pump_state);
}
END_TEST

START_TEST(a_connection_counts_as_held_until_the_guest_answers)
{
	make(CONNECTION_HELD);
	ck_assert_uint_eq(fwd_tally_held(lab.side), 1);
	fwd_connection_become(&connection, &dial_state);
	ck_assert_uint_eq(fwd_tally_held(lab.side), 1);
	fwd_connection_become(&connection, &hold_state);
	ck_assert_uint_eq(fwd_tally_held(lab.side), 1);
	fwd_connection_become(&connection, &dial_state);
	fwd_connection_become(&connection, &pump_state);
	ck_assert_uint_eq(fwd_tally_held(lab.side), 0);
}
END_TEST

/* ---- A change of the route ---- */

START_TEST(a_namespace_that_goes_ends_all_but_a_lingering_one_in_order)
{
	enum fwd_connection_phase phase = (enum fwd_connection_phase)(CONNECTION_HELD + _i);
	struct route_state now = { .netns_fd = -1, .gone = true };

	make(phase);
	change(&now);
	assert_ended(phase == CONNECTION_LINGERING ? CLOSE_DONE : CLOSE_NO_NAMESPACE);
}
END_TEST

START_TEST(the_end_of_a_route_gives_its_reason_except_to_a_lingering_one)
{
	enum fwd_connection_phase phase = (enum fwd_connection_phase)(CONNECTION_HELD + _i);
	struct route_state now = { .netns_fd = -1, .closing = true, .reset_all = true, .reason = CLOSE_UNREGISTERED };

	/* Reported already: the lab's forwarder has no mailbox. */
	lab.side->empty_reported = true;
	make(phase);
	change(&now);
	assert_ended(phase == CONNECTION_LINGERING ? CLOSE_DONE : CLOSE_UNREGISTERED);
}
END_TEST

START_TEST(a_lost_carrier_leaves_a_held_connection_held)
{
	struct route_state now = { .netns_fd = -1, .carrier_losses = 1 };

	make(CONNECTION_HELD);
	change(&now);
	ck_assert_ptr_eq(connection.state, &hold_state);
	ck_assert_ptr_nonnull(connection.timer.wheel);
}
END_TEST

START_TEST(a_lost_carrier_ends_an_attempt_and_the_client_is_held)
{
	struct route_state now = { .netns_fd = -1, .carrier_losses = 1 };

	make(CONNECTION_DIALING);
	change(&now);
	ck_assert_ptr_eq(connection.state, &hold_state);
	ck_assert_int_eq(connection.peers[SERVER].fd, -1);
	ck_assert_int_eq(fwd_tally_descriptors(&lab.forwarder), 2);
	ck_assert(connection.peers[CLIENT].watched);
}
END_TEST

START_TEST(a_lost_carrier_resets_an_open_connection)
{
	struct route_state now = { .netns_fd = -1, .carrier_losses = 1 };

	make(CONNECTION_OPEN);
	change(&now);
	assert_ended(CLOSE_CARRIER_LOST);
}
END_TEST

START_TEST(an_isolated_guest_keeps_its_clients)
{
	struct route_state now = { .netns_fd = -1, .isolated = true };
	enum fwd_connection_phase phase = (enum fwd_connection_phase)(CONNECTION_HELD + _i);

	make(phase);
	change(&now);
	ck_assert_int_eq(fwd_connection_phase(&connection), phase);
}
END_TEST

START_TEST(a_resume_without_flows_resets_open_and_lingering_ones)
{
	struct route_state now = { .netns_fd = -1, .flow_resets = 1 };

	lab.side->state.paused = true;
	make(_i ? CONNECTION_LINGERING : CONNECTION_OPEN);
	change(&now);
	assert_ended(CLOSE_PAUSED_RESET);
}
END_TEST

START_TEST(a_pause_stops_the_clock_and_a_resume_shifts_the_deadline)
{
	struct route_state paused = { .netns_fd = -1, .paused = true }, resumed = { .netns_fd = -1 };
	uint64_t deadline_ms;

	make(_i ? CONNECTION_LINGERING : CONNECTION_HELD);
	deadline_ms = connection.deadline_ms;
	change(&paused);
	ck_assert_ptr_null(connection.timer.wheel);
	lab.worker.now_ms += 60000;
	change(&resumed);
	ck_assert_uint_eq(connection.deadline_ms, deadline_ms + 60000);
	ck_assert_ptr_nonnull(connection.timer.wheel);
	ck_assert_int_eq(fwd_connection_phase(&connection), _i ? CONNECTION_LINGERING : CONNECTION_HELD);
}
END_TEST

START_TEST(a_pause_ends_an_attempt_and_stops_the_clock)
{
	struct route_state paused = { .netns_fd = -1, .paused = true };

	make(CONNECTION_DIALING);
	change(&paused);
	ck_assert_ptr_eq(connection.state, &hold_state);
	ck_assert_ptr_null(connection.timer.wheel);
}
END_TEST

START_TEST(where_the_guest_may_be_woken_a_pause_has_a_time_of_its_own)
{
	struct route_state paused = { .netns_fd = -1, .paused = true, .wake_timeout_ms = 7000 };
	uint64_t paused_at_ms = lab.worker.now_ms;

	if (_i) {
		lab.side->state = paused;
		lab.side->paused_at_ms = paused_at_ms;
		lab.worker.now_ms += 3000;
		make(CONNECTION_HELD);
		connection.state->go_on(&connection);
	} else {
		make(CONNECTION_HELD);
		change(&paused);
	}
	lab.worker.now_ms = connection.accepted_ms + 6999;
	connection.state->expired(&connection);
	ck_assert_ptr_eq(connection.state, &hold_state);
	lab.worker.now_ms++;
	connection.state->expired(&connection);
	assert_ended(CLOSE_ASLEEP);
}
END_TEST

START_TEST(a_client_of_the_door_waits_as_long_where_the_guest_may_be_woken)
{
	struct route_state paused = {
		.netns_fd = -1, .paused = true, .wake_timeout_ms = _i ? 7000 : 0, .door.is_public = true
	};
	struct route_state resumed = { .netns_fd = -1, .door.is_public = true };

	make(CONNECTION_HELD);
	connection.endpoint->door = true;
	fwd_tally_door_begin(&lab.forwarder);
	fwd_tally_door_hold(&lab.forwarder);
	change(&paused);
	lab.worker.now_ms += DEADLINE_MS + 1000;
	if (!_i) {
		connection.state->expired(&connection);
		assert_ended(CLOSE_CONNECT_DEADLINE);
		return;
	}
	connection.state->expired(&connection);
	change(&resumed);
	ck_assert_ptr_eq(connection.state, &hold_state);
	ck_assert_uint_eq(connection.deadline_ms, lab.worker.now_ms + DEADLINE_MS);
}
END_TEST

START_TEST(an_open_connection_does_not_age_in_a_pause_and_goes_on_after_it)
{
	struct route_state paused = { .netns_fd = -1, .paused = true }, resumed = { .netns_fd = -1 };
	uint64_t active_ms = lab.worker.now_ms;

	make(CONNECTION_OPEN);
	connection.active_ms = active_ms;
	change(&paused);
	ck_assert_ptr_null(connection.timer.wheel);
	lab.worker.now_ms += 60000;
	change(&resumed);
	ck_assert_uint_eq(connection.active_ms, active_ms + 60000);
	ck_assert(connection.queued);
	ck_assert_ptr_nonnull(connection.timer.wheel);
}
END_TEST

START_TEST(the_deadline_of_one_that_waits_follows_the_limit)
{
	struct route_state now = { .netns_fd = -1, .limits.connect_deadline_ms = 1000 };
	uint64_t deadline_ms;

	lab.side->state.limits.connect_deadline_ms = DEADLINE_MS;
	make(_i ? CONNECTION_DIALING : CONNECTION_HELD);
	deadline_ms = connection.deadline_ms;
	change(&now);
	ck_assert_uint_eq(connection.deadline_ms, deadline_ms - DEADLINE_MS + 1000);
	connection.leaving = true;
	now.limits.connect_deadline_ms = 60000;
	change(&now);
	ck_assert_uint_eq(connection.deadline_ms, deadline_ms - DEADLINE_MS + 1000);
}
END_TEST

START_TEST(an_open_connection_follows_the_limits)
{
	struct route_state now = { .netns_fd = -1, .limits.idle_ms = 700 };

	make(CONNECTION_OPEN);
	connection.active_ms = lab.worker.now_ms;
	connection.settle_ms = WHEEL_NEVER;
	fwd_wheel_cancel(&connection.timer);
	change(&now);
	ck_assert_ptr_nonnull(connection.timer.wheel);
	lab.worker.now_ms += 700;
	connection.state->expired(&connection);
	assert_ended(CLOSE_IDLE);
}
END_TEST

START_TEST(limits_that_change_in_a_pause_set_no_timer)
{
	struct route_state now = { .netns_fd = -1, .paused = true };

	make(CONNECTION_OPEN);
	change(&now);
	now.limits.idle_ms = 700;
	change(&now);
	ck_assert_ptr_null(connection.timer.wheel);
}
END_TEST

/* ---- The end ---- */

START_TEST(a_held_client_that_leaves_ends_the_hold)
{
	make(CONNECTION_HELD);
	close(far_client);
	far_client = -1;
	connection.state->event(&connection, &connection.peers[CLIENT], EPOLLIN | EPOLLRDHUP);
	assert_ended(CLOSE_DONE);
}
END_TEST

START_TEST(a_held_client_that_has_spoken_and_closed_stays)
{
	make(CONNECTION_HELD);
	ck_assert_int_eq(write(far_client, "x", 1), 1);
	close(far_client);
	far_client = -1;
	connection.state->event(&connection, &connection.peers[CLIENT], EPOLLIN | EPOLLRDHUP);
	ck_assert_ptr_eq(connection.state, &hold_state);
	ck_assert(!connection.leaving);
}
END_TEST

START_TEST(a_hold_ends_at_its_deadline)
{
	make(CONNECTION_HELD);
	lab.worker.now_ms += DEADLINE_MS;
	connection.state->expired(&connection);
	assert_ended(CLOSE_CONNECT_DEADLINE);
}
END_TEST

START_TEST(a_done_connection_lingers_until_the_guest_has_everything)
{
	char byte;

	make(CONNECTION_OPEN);
	ck_assert_int_eq(write(connection.peers[SERVER].fd, "x", 1), 1);
	fwd_connection_close(&connection, CLOSE_DONE, 0);
	ck_assert_ptr_eq(connection.state, &linger_state);
	ck_assert_int_eq(connection.peers[CLIENT].fd, -1);
	connection.state->event(&connection, &connection.peers[SERVER], EPOLLOUT);
	ck_assert_ptr_eq(connection.state, &linger_state);

	ck_assert_int_eq(read(far_guest, &byte, 1), 1);
	connection.state->event(&connection, &connection.peers[SERVER], EPOLLOUT);
	assert_ended(CLOSE_DONE);
}
END_TEST

/* The guest's end becomes one of TCP, and the guest takes no more than fits into its buffer. */
static void fill_guest(void)
{
	static const char data[64 * 1024];
	struct addr address = addr_from_ipv4(INADDR_LOOPBACK, 0);
	socklen_t size = sizeof(address);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listening, &address.any, addr_length(&address)), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, &address.any, &size), 0);
	ck_assert_int_eq(connect(fd, &address.any, size), 0);
	close(far_guest);
	far_guest = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	close(listening);
	close(connection.peers[SERVER].fd);
	connection.peers[SERVER].fd = fd;
	while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	ck_assert_int_eq(errno, EAGAIN);
}

START_TEST(a_guest_that_resets_keeps_nobody_lingering)
{
	struct pollfd guest = { 0 };

	make(CONNECTION_OPEN);
	fill_guest();
	guest.fd = connection.peers[SERVER].fd;
	fwd_connection_close(&connection, CLOSE_DONE, 0);
	ck_assert_ptr_eq(connection.state, &linger_state);
	close(far_guest);
	far_guest = -1;
	ck_assert_int_eq(poll(&guest, 1, -1), 1);
	connection.state->event(&connection, &connection.peers[SERVER], (uint32_t)guest.revents);
	assert_ended(CLOSE_DONE);
}
END_TEST

START_TEST(lingering_has_an_end)
{
	make(CONNECTION_LINGERING);
	connection.state->expired(&connection);
	assert_ended(CLOSE_ERROR);
}
END_TEST

START_TEST(an_abnormal_end_lingers_never)
{
	make(CONNECTION_OPEN);
	ck_assert_int_eq(write(connection.peers[SERVER].fd, "x", 1), 1);
	fwd_connection_close(&connection, CLOSE_IDLE, 0);
	assert_ended(CLOSE_IDLE);
}
END_TEST

START_TEST(a_closed_connection_follows_nothing_any_more)
{
	struct route_state now = { .netns_fd = -1, .gone = true, .carrier_losses = 1 };

	make(CONNECTION_HELD);
	fwd_connection_close(&connection, CLOSE_LIMIT, 0);
	connection.state->event(&connection, &connection.peers[CLIENT], EPOLLIN | EPOLLERR);
	connection.state->expired(&connection);
	connection.state->go_on(&connection);
	change(&now);
	assert_ended(CLOSE_LIMIT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/states");
	TCase *moves = tcase_create("moves"), *route = tcase_create("route"), *end = tcase_create("end");

	tcase_add_checked_fixture(moves, setup, teardown);
	tcase_add_test(moves, each_state_has_a_phase_of_its_own_and_all_operations);
	tcase_add_test(moves, a_connection_may_move_as_its_phases_say_and_no_other_way);
	tcase_add_test_raise_signal(moves, a_forbidden_move_aborts, SIGABRT);
	tcase_add_test(moves, a_connection_counts_as_held_until_the_guest_answers);
	suite_add_tcase(suite, moves);

	tcase_add_checked_fixture(route, setup, teardown);
	tcase_add_loop_test(route, a_namespace_that_goes_ends_all_but_a_lingering_one_in_order, 0, 4);
	tcase_add_loop_test(route, the_end_of_a_route_gives_its_reason_except_to_a_lingering_one, 0, 4);
	tcase_add_test(route, a_lost_carrier_leaves_a_held_connection_held);
	tcase_add_test(route, a_lost_carrier_ends_an_attempt_and_the_client_is_held);
	tcase_add_test(route, a_lost_carrier_resets_an_open_connection);
	tcase_add_loop_test(route, an_isolated_guest_keeps_its_clients, 0, 4);
	tcase_add_loop_test(route, a_resume_without_flows_resets_open_and_lingering_ones, 0, 2);
	tcase_add_loop_test(route, a_pause_stops_the_clock_and_a_resume_shifts_the_deadline, 0, 2);
	tcase_add_test(route, a_pause_ends_an_attempt_and_stops_the_clock);
	tcase_add_loop_test(route, where_the_guest_may_be_woken_a_pause_has_a_time_of_its_own, 0, 2);
	tcase_add_loop_test(route, a_client_of_the_door_waits_as_long_where_the_guest_may_be_woken, 0, 2);
	tcase_add_loop_test(route, the_deadline_of_one_that_waits_follows_the_limit, 0, 2);
	tcase_add_test(route, an_open_connection_follows_the_limits);
	tcase_add_test(route, limits_that_change_in_a_pause_set_no_timer);
	tcase_add_test(route, an_open_connection_does_not_age_in_a_pause_and_goes_on_after_it);
	suite_add_tcase(suite, route);

	tcase_add_checked_fixture(end, setup, teardown);
	tcase_add_test(end, a_held_client_that_leaves_ends_the_hold);
	tcase_add_test(end, a_held_client_that_has_spoken_and_closed_stays);
	tcase_add_test(end, a_hold_ends_at_its_deadline);
	tcase_add_test(end, a_done_connection_lingers_until_the_guest_has_everything);
	tcase_add_test(end, a_guest_that_resets_keeps_nobody_lingering);
	tcase_add_test(end, lingering_has_an_end);
	tcase_add_test(end, an_abnormal_end_lingers_never);
	tcase_add_test(end, a_closed_connection_follows_nothing_any_more);
	suite_add_tcase(suite, end);
	return run_suite(suite);
}
