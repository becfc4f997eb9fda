/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that come through the door, through workers and over restarts. */
#include "base/base64.h"
#include "config/config.h"
#include "unit/forwarder/handover_lab.h"
#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOME = 3000, MUCH = 900 * 1000, HOLD_MS = 20, CROWD = 100, DOOR_CROWD = 300, FEW_DESCRIPTORS = 1024, LEFT = 100, UPLOAD = 8 * 1024 * 1024 };

static struct handover_lab lab;
static struct flow flow, other;
static char folder[] = "/tmp/weft-door-XXXXXX";
static struct sockaddr_un path;
static int door = -1;

static void setup(void)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	path.sun_family = AF_UNIX;
	snprintf(path.sun_path, sizeof(path.sun_path), "%s/door.sock", folder);
	door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(door, 0);
	ck_assert_int_eq(bind(door, (const struct sockaddr *)&path, sizeof(path)), 0);
	ck_assert_int_eq(listen(door, 128), 0);
	lab_open_with_door(&lab, door);
	flow = other = (struct flow){ .client = -1, .guest = -1 };
}

static void teardown(void)
{
	flow_close(&flow);
	flow_close(&other);
	lab_close(&lab);
	close(door);
	unlink(path.sun_path);
	rmdir(folder);
}

/* ---- Clients ---- */

static uint16_t guest_port(void)
{
	struct addr addr = { 0 };
	socklen_t size = sizeof(addr);

	ck_assert_int_eq(getsockname(lab.guest_listening, &addr.any, &size), 0);
	return addr_port(&addr);
}

/* A header for 192.0.2.7:5555 with the unique id ID. Returns its size. */
static size_t write_header(const char *id, char header[static 256])
{
	static const char head[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";
	static const uint8_t ends[] = { 192, 0, 2, 7, 127, 0, 0, 1, 0x15, 0xb3, 0, 80 };
	size_t size = 16;
	uint16_t length = (uint16_t)strlen(id), rest = htons((uint16_t)(sizeof(ends) + 3 + length));

	memcpy(header, head, 14);
	memcpy(header + 14, &rest, 2);
	memcpy(header + size, ends, sizeof(ends));
	size += sizeof(ends);
	header[size++] = 0x05;
	header[size++] = (char)(length >> 8);
	header[size++] = (char)length;
	memcpy(header + size, id, length);
	return size + length;
}

static int knock(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&path, sizeof(path)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void ask_whole(struct flow *asking, const char *id)
{
	static unsigned salt;
	char header[256];
	size_t size = write_header(id, header);

	*asking = (struct flow){ .client = knock(), .guest = -1, .salt = salt++ };
	ck_assert_int_eq(send(asking->client, header, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void ask_port(struct flow *asking, char kind, const char *name, unsigned port, const char *token)
{
	char id[128];

	snprintf(id, sizeof(id), kind == 't' ? "%c/%s/%u" : "%c/%s/%u/%s", kind, name, port, token);
	ask_whole(asking, id);
}

static void ask(struct flow *asking, const char *name)
{
	ask_port(asking, 'h', name, guest_port(), "");
}

static void open_one(struct flow *asking)
{
	ask(asking, "sb-1");
	flow_accept(&lab, asking);
}

/* Reads the reply up to the end, and finds TEXT in it. */
static void expect_reply(struct flow *asking, const char *text)
{
	char reply[1024];
	size_t have = 0;
	ssize_t size;

	while ((size = recv(asking->client, reply + have, sizeof(reply) - 1 - have, 0)) != 0) {
		if (size < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			lab_turn(&lab);
			continue;
		}
		have += (size_t)size;
	}
	reply[have] = '\0';
	ck_assert_msg(strstr(reply, text) != NULL, "%s", reply);
	close(asking->client);
	asking->client = -1;
}

static struct fwd_door_stats stats(void)
{
	struct fwd_door_stats all;

	fwd_door_stats(lab.forwarder, &all);
	return all;
}

/* A port of the guest's that is bound, so that nobody has it, and does not listen. */
static uint16_t closed_port(int *fd)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	socklen_t size = sizeof(addr);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(*fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(getsockname(*fd, &addr.any, &size), 0);
	return addr_port(&addr);
}

/* ---- Ways in ---- */

START_TEST(a_client_reaches_the_sandbox_that_it_names)
{
	static const char *const names[] = { "sb-1", "blue" };
	struct fwd_connection_info info;
	char endpoint[32];

	fwd_route_set_name(lab.route, "blue");
	ask(&flow, names[_i]);
	flow_accept(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	flow_pass(&lab, &flow, FROM_GUEST, 2 * SOME);
	info = lab_listed(&lab, 0);
	snprintf(endpoint, sizeof(endpoint), "door:%u", guest_port());
	ck_assert_str_eq(info.endpoint, endpoint);
	ck_assert_str_eq(info.client, "192.0.2.7:5555");
	ck_assert_str_eq(info.state, "open");
	ck_assert_uint_eq(stats().open, 1);
	ck_assert_uint_eq(stats().held, 0);
	ck_assert_uint_eq(stats().served, 1);
	flow_expect_whole(&lab, &flow);
	lab_expect_end(&lab, CLOSE_DONE);
	ck_assert_uint_eq(stats().open, 0);
}
END_TEST

START_TEST(a_header_may_come_byte_by_byte)
{
	char header[256], id[64];
	size_t size;

	snprintf(id, sizeof(id), "h/sb-1/%u/", guest_port());
	size = write_header(id, header);
	flow = (struct flow){ .client = knock(), .guest = -1 };
	for (size_t i = 0; i < size; i++) {
		ck_assert_int_eq(send(flow.client, header + i, 1, MSG_NOSIGNAL), 1);
		for (int turn = 0; turn < 3; turn++)
			lab_turn(&lab);
	}
	flow_accept(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	flow_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(much_goes_both_ways)
{
	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, MUCH);
	flow_pass(&lab, &flow, FROM_GUEST, MUCH);
	flow_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(a_former_name_leads_nowhere)
{
	fwd_route_set_name(lab.route, "blue");
	fwd_route_set_name(lab.route, "green");
	ask(&flow, "blue");
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
	ask(&other, "green");
	flow_accept(&lab, &other);
	flow_expect_whole(&lab, &other);
}
END_TEST

/* ---- Refusals ---- */

START_TEST(an_unknown_sandbox_is_not_found)
{
	ask(&flow, "sb-2");
	expect_reply(&flow, "HTTP/1.1 502 ");
	ask(&flow, "sb-2");
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
	ck_assert_uint_eq(stats().refused[DOOR_REFUSAL_NOT_FOUND], 2);
	ask_port(&flow, 't', "sb-2", 80, "");
	expect_reply(&flow, "");
}
END_TEST

START_TEST(a_reply_reaches_who_is_still_sending)
{
	static char chunk[64 * 1024];
	size_t sent = 0;

	ask(&flow, "sb-2");
	while (sent < UPLOAD) {
		ssize_t size = send(flow.client, chunk, sizeof(chunk), MSG_NOSIGNAL);

		ck_assert_msg(size > 0 || errno == EAGAIN, "%s", strerror(errno));
		if (size > 0)
			sent += (size_t)size;
		else
			lab_turn(&lab);
	}
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
}
END_TEST

START_TEST(a_port_that_refuses_is_closed)
{
	int fd;

	lab.config->forwarder.refused_grace_ms = 20;
	fwd_reconfigure(lab.forwarder);
	fwd_route_set_ready(lab.route, true);
	ask_port(&flow, 'h', "sb-1", closed_port(&fd), "");
	expect_reply(&flow, "Weft-Refused: port-closed\r\n");
	lab_expect_end(&lab, CLOSE_GUEST_REFUSED);
	close(fd);
}
END_TEST

/* Nobody says of this sandbox when it is ready. */
START_TEST(one_that_refuses_to_the_end_has_started)
{
	int fd;

	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	ask_port(&flow, 'h', "sb-1", closed_port(&fd), "");
	expect_reply(&flow, "Weft-Refused: port-closed\r\n");
	lab_expect_end(&lab, CLOSE_CONNECT_DEADLINE);
	close(fd);
}
END_TEST

START_TEST(one_that_never_starts_is_told_so)
{
	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	fwd_route_set_up(lab.route, false);
	if (_i)
		fwd_route_pause(lab.route);
	ask(&flow, "sb-1");
	expect_reply(&flow, _i ? "Weft-Refused: paused\r\n" : "Weft-Refused: starting\r\n");
	lab_expect_end(&lab, CLOSE_CONNECT_DEADLINE);
}
END_TEST

START_TEST(beyond_the_limit_the_number_is_told)
{
	lab.state.limits.connections = 1;
	fwd_route_set_limits(lab.route, &lab.state.limits);
	open_one(&flow);
	ask(&other, "sb-1");
	expect_reply(&other, "Weft-Limit: 1\r\n");
	lab_expect_end(&lab, CLOSE_LIMIT);
	ck_assert_uint_eq(stats().refused[DOOR_REFUSAL_LIMIT], 1);
}
END_TEST

START_TEST(what_is_no_header_is_closed_without_a_word)
{
	static const char *const bytes[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n", "" };
	char byte;

	flow = (struct flow){ .client = knock(), .guest = -1 };
	if (bytes[_i][0])
		ck_assert_int_gt(send(flow.client, bytes[_i], strlen(bytes[_i]), MSG_NOSIGNAL), 0);
	while (recv(flow.client, &byte, 1, 0) < 0 && errno == EAGAIN)
		lab_turn(&lab);
	ck_assert_uint_eq(stats().broken, 1);
	ck_assert_uint_eq(lab_count(&lab), 0);
}
END_TEST

/* ---- A shortage ---- */

/* So that LEFT descriptors are left to the clients of sandboxes, and a loan. */
static void leave_descriptors(uint64_t left)
{
	struct rlimit limit;
	struct fwd_stats all;
	size_t fixed = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = FEW_DESCRIPTORS;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	do {
		fwd_set_descriptors(lab.forwarder, fixed++);
		fwd_stats(lab.forwarder, &all);
	} while (all.usable_free > left);
}

/* COUNT clients with no whole header, or who are refused and never close. */
static void crowd_the_door(int *fds, size_t count, bool refused)
{
	char header[256];
	size_t size = write_header("h/sb-2/80/", header);

	for (size_t i = 0; i < count; i++) {
		fds[i] = knock();
		if (!refused)
			size = 1;
		ck_assert_int_eq(send(fds[i], header, size, MSG_NOSIGNAL), (ssize_t)size);
		lab_turn(&lab);
	}
}

static uint64_t descriptors_left(void)
{
	struct fwd_stats all;

	fwd_stats(lab.forwarder, &all);
	return all.usable_free;
}

START_TEST(a_crowd_at_the_door_leaves_the_sandboxes_theirs)
{
	int fds[DOOR_CROWD];

	leave_descriptors(LEFT);
	crowd_the_door(fds, DOOR_CROWD, _i);
	ck_assert_uint_ge(descriptors_left(), LEFT / 4);
	open_one(&flow);
	flow_expect_whole(&lab, &flow);
	for (size_t i = 0; i < DOOR_CROWD; i++)
		close(fds[i]);
	while (descriptors_left() < LEFT)
		lab_turn(&lab);
}
END_TEST

/* ---- The policy ---- */

static const char right[] = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
static const char wrong[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

static struct door_policy policy_with_token(bool is_public)
{
	struct door_policy policy = { .is_public = is_public, .has_token = true };

	ck_assert_int_eq(base_base64_read(right, strlen(right), policy.token_sha256, DOOR_TOKEN_SIZE), DOOR_TOKEN_SIZE);
	return policy;
}

START_TEST(a_token_is_wanted_where_the_policy_says_so)
{
	struct door_policy policy = policy_with_token(false);

	fwd_route_set_door(lab.route, &policy);
	ask_port(&flow, 'h', "sb-1", guest_port(), "");
	expect_reply(&flow, "Weft-Refused: token-missing\r\n");
	ask_port(&flow, 'h', "sb-1", guest_port(), wrong);
	expect_reply(&flow, "Weft-Refused: token-invalid\r\n");
	ask_port(&flow, 'h', "sb-1", guest_port(), right);
	flow_accept(&lab, &flow);
	flow_expect_whole(&lab, &flow);
	ck_assert_uint_eq(lab_ended(&lab, CLOSE_DOOR_TOKEN), 2);
}
END_TEST

START_TEST(a_change_ends_what_it_would_refuse_and_no_more)
{
	struct door_policy policy = policy_with_token(false);

	ask_port(&flow, 'h', "sb-1", guest_port(), "");
	flow_accept(&lab, &flow);
	ask_port(&other, 'h', "sb-1", guest_port(), right);
	flow_accept(&lab, &other);
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_TOKEN);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
	flow_pass(&lab, &other, FROM_CLIENT, SOME);
	policy.ports[0] = (struct door_port){ .port = guest_port(), .access = DOOR_ACCESS_CLOSED };
	policy.port_count = 1;
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_CLOSED);
	ask_port(&flow, 'h', "sb-1", guest_port(), right);
	expect_reply(&flow, "Weft-Refused: port-closed\r\n");
}
END_TEST

START_TEST(a_change_answers_who_is_held)
{
	struct door_policy policy = policy_with_token(false);

	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	ck_assert_uint_eq(stats().held, 1);
	fwd_route_set_door(lab.route, &policy);
	expect_reply(&flow, "Weft-Refused: token-missing\r\n");
	ck_assert_uint_eq(stats().held, 0);
}
END_TEST

/* ---- Waiting ---- */

START_TEST(who_is_held_is_served_once_the_guest_is_there)
{
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	fwd_route_set_up(lab.route, true);
	flow_accept(&lab, &flow);
	flow_expect_whole(&lab, &flow);
}
END_TEST

/* Its bytes are still there, which a TCP client might want answered; nobody reads the answer of a unix socket that is closed. */
START_TEST(who_leaves_while_held_is_held_no_longer)
{
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	ck_assert_int_eq(flow_send(&flow, FROM_CLIENT, SOME, SOME), SOME);
	close(flow.client);
	flow.client = -1;
	lab_expect_end(&lab, CLOSE_CLIENT_RESET);
}
END_TEST

START_TEST(a_shorter_hold_is_that_of_who_waits_too)
{
	lab.config->door.hold_ms = 60 * 60 * 1000;
	fwd_reconfigure(lab.forwarder);
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	expect_reply(&flow, "Weft-Refused: starting\r\n");
}
END_TEST

static void on_closed(void *context)
{
	*(bool *)context = true;
}

START_TEST(with_its_sandbox_it_ends)
{
	bool closed = false;
	int fd;

	open_one(&flow);
	/* The guest's kernel has accepted, which the worker may not know yet: then it would dial anew. */
	lab_wait_for_state(&lab, "open");
	fwd_route_set_up(lab.route, false);
	fwd_route_set_up(lab.route, true);
	lab_expect_end(&lab, CLOSE_CARRIER_LOST);
	ask_port(&other, 'h', "sb-1", closed_port(&fd), "");
	lab_wait_for_state(&lab, "held");
	fwd_route_close(lab.route, CLOSE_UNREGISTERED, 0, on_closed, &closed);
	expect_reply(&other, "Weft-Refused: not-found\r\n");
	while (!closed)
		lab_turn(&lab);
	ask(&other, "sb-1");
	expect_reply(&other, "Weft-Refused: not-found\r\n");
	close(fd);
}
END_TEST

/* ---- Over a restart ---- */

/* With sanitizers it shows whether anybody goes to a worker that has ended. */
START_TEST(who_says_whom_he_wants_at_the_end_is_let_go)
{
	struct flow flows[CROWD];
	char header[256], id[64];
	size_t size;

	snprintf(id, sizeof(id), "h/sb-%d/%u/", 1 + _i % 2, guest_port());
	size = write_header(id, header);
	for (size_t i = 0; i < CROWD; i++) {
		flows[i] = (struct flow){ .client = knock(), .guest = -1 };
		ck_assert_int_eq(send(flows[i].client, header, size - 1, MSG_NOSIGNAL), (ssize_t)size - 1);
		lab_turn(&lab);
	}
	for (size_t i = 0; i < CROWD; i++)
		ck_assert_int_eq(send(flows[i].client, header + size - 1, 1, MSG_NOSIGNAL), 1);
	lab_close(&lab);
	for (size_t i = 0; i < CROWD; i++)
		flow_close(&flows[i]);
	lab_open_with_door(&lab, door);
}
END_TEST

START_TEST(it_goes_on_after_a_restart)
{
	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	if (_i)
		flow_fill(&lab, &flow, FROM_GUEST, 32 * 1024);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_uint_eq(stats().open, 1);
	flow_drain(&lab, &flow, FROM_GUEST);
	ck_assert_int_eq(strncmp(lab_listed(&lab, 0).endpoint, "door:", 5), 0);
	ck_assert_str_eq(lab_listed(&lab, 0).client, "192.0.2.7:5555");
	flow_expect_whole(&lab, &flow);
	lab_expect_end(&lab, CLOSE_DONE);
}
END_TEST

START_TEST(one_that_is_held_is_held_on)
{
	lab.state.up = false;
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_uint_eq(stats().held, 1);
	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	expect_reply(&flow, "Weft-Refused: starting\r\n");
}
END_TEST

START_TEST(its_token_goes_along)
{
	struct door_policy policy = policy_with_token(false);

	fwd_route_set_door(lab.route, &policy);
	ask_port(&flow, 'h', "sb-1", guest_port(), right);
	flow_accept(&lab, &flow);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	fwd_route_set_door(lab.route, &policy);
	flow_pass(&lab, &flow, FROM_GUEST, SOME);
	memset(policy.token_sha256, 1, sizeof(policy.token_sha256));
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_TOKEN);
}
END_TEST

/* A socket of ADDR that listens beside others at its port. */
static int listen_beside(const struct addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	ck_assert_int_eq(bind(fd, &addr->any, addr_length(addr)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

/* The published port is the guest's own, at all addresses, and the guest listens at one: both on one host. */
static void publish_same_port(void)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);

	fwd_listener_close(lab.listener, false);
	close(lab.guest_listening);
	close(lab.listening);
	lab.guest_listening = listen_beside(&addr);
	addr = addr_from_ipv4(INADDR_ANY, guest_port());
	lab.listening = listen_beside(&addr);
	lab_listen(&lab);
}

START_TEST(a_published_port_that_is_gone_is_not_taken_for_the_door)
{
	struct door_policy policy = { .port_count = 1 };
	struct addr published;

	lab.config->daemon.workers = 1;
	lab_hand_over(&lab);
	publish_same_port();
	published = addr_from_ipv4(0x7f000002, guest_port());
	flow = (struct flow){ .client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .guest = -1 };
	ck_assert_int_eq(connect(flow.client, &published.any, addr_length(&published)), 0);
	fcntl(flow.client, F_SETFL, O_NONBLOCK);
	flow_accept(&lab, &flow);
	open_one(&other);
	lab.no_listener = true;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 2, 0);
	policy.ports[0] = (struct door_port){ .port = guest_port(), .access = DOOR_ACCESS_CLOSED };
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_CLOSED);
	flow_expect_whole(&lab, &flow);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("forwarder/door");
	TCase *ways = add_case(suite, "ways"), *refusals = add_case(suite, "refusals"),
	      *policy = add_case(suite, "policy"), *waiting = add_case(suite, "waiting"),
	      *restart = add_case(suite, "restart");

	if (geteuid() != 0) {
		fputs("needs root: network namespaces\n", stderr);
		return 77;
	}
	tcase_add_loop_test(ways, a_client_reaches_the_sandbox_that_it_names, 0, 2);
	tcase_add_test(ways, a_header_may_come_byte_by_byte);
	tcase_add_test(ways, much_goes_both_ways);
	tcase_add_test(ways, a_former_name_leads_nowhere);
	tcase_add_test(refusals, an_unknown_sandbox_is_not_found);
	tcase_add_test(refusals, a_reply_reaches_who_is_still_sending);
	tcase_add_test(refusals, a_port_that_refuses_is_closed);
	tcase_add_test(refusals, one_that_refuses_to_the_end_has_started);
	tcase_add_loop_test(refusals, one_that_never_starts_is_told_so, 0, 2);
	tcase_add_test(refusals, beyond_the_limit_the_number_is_told);
	tcase_add_loop_test(refusals, what_is_no_header_is_closed_without_a_word, 0, 3);
	tcase_add_loop_test(refusals, a_crowd_at_the_door_leaves_the_sandboxes_theirs, 0, 2);
	tcase_add_test(policy, a_token_is_wanted_where_the_policy_says_so);
	tcase_add_test(policy, a_change_ends_what_it_would_refuse_and_no_more);
	tcase_add_test(policy, a_change_answers_who_is_held);
	tcase_add_test(waiting, who_is_held_is_served_once_the_guest_is_there);
	tcase_add_test(waiting, who_leaves_while_held_is_held_no_longer);
	tcase_add_test(waiting, a_shorter_hold_is_that_of_who_waits_too);
	tcase_add_test(waiting, with_its_sandbox_it_ends);
	tcase_add_loop_test(restart, who_says_whom_he_wants_at_the_end_is_let_go, 0, 4);
	tcase_add_loop_test(restart, it_goes_on_after_a_restart, 0, 2);
	tcase_add_test(restart, one_that_is_held_is_held_on);
	tcase_add_test(restart, its_token_goes_along);
	tcase_add_test(restart, a_published_port_that_is_gone_is_not_taken_for_the_door);
	return run_suite(suite);
}
