/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/share.h"

#include "http/gate.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOCAL = 20, ROOT_ONLY = 4, REMOTE = 6, EACH = 2 };

static const struct control_share_limits limits = {
	.what = "places", .local = LOCAL, .root_only = ROOT_ONLY, .remote = REMOTE, .remote_each = EACH
};

static struct control_share *share;
static struct control_holder *taken[LOCAL + REMOTE + 1];
static size_t taken_count;
static struct problem problem;

static void setup(void)
{
	share = control_share_new(&limits);
	ck_assert_ptr_nonnull(share);
	taken_count = 0;
}

static void teardown(void)
{
	while (taken_count)
		control_share_give_back(taken[--taken_count]);
	control_share_free(share);
}

static struct control_caller user(uid_t uid)
{
	return (struct control_caller){ .local = true, .uid = uid };
}

static struct control_caller address(uint8_t last)
{
	return (struct control_caller){ .network = { AF_INET, 192, 0, 2, last } };
}

/* How many more CALLER gets, of at most MOST. */
static unsigned take(struct control_caller caller, unsigned most)
{
	unsigned got = 0;

	while (got < most && (taken[taken_count] = control_share_take(share, &caller, &problem))) {
		taken_count++;
		got++;
	}
	return got;
}

START_TEST(root_may_have_all_of_the_socket)
{
	ck_assert_uint_eq(take(user(0), LOCAL + 1), LOCAL);
	ck_assert_int_eq(problem.kind, PROBLEM_UNAVAILABLE);
	ck_assert_str_eq(problem.detail, "there are 20 places already");
	ck_assert_uint_eq(take(user(1000), 1), 0);
	ck_assert_uint_eq(take(address(1), 1), 1);
}
END_TEST

START_TEST(a_user_may_have_half_of_what_is_not_for_root_alone)
{
	ck_assert_uint_eq(take(user(1000), LOCAL), (LOCAL - ROOT_ONLY) / 2);
	ck_assert_int_eq(problem.kind, PROBLEM_UNAVAILABLE);
	ck_assert_str_eq(problem.detail, "the user 1000 has 8 places already");
	ck_assert_uint_eq(take(user(1001), LOCAL), (LOCAL - ROOT_ONLY) / 2);
	ck_assert_uint_eq(take(user(1002), LOCAL), 0);
	ck_assert_str_eq(problem.detail, "there are 16 places of users other than root already");
	ck_assert_uint_eq(take(user(0), LOCAL), ROOT_ONLY);
}
END_TEST

START_TEST(what_is_given_back_can_be_taken_again)
{
	ck_assert_uint_eq(take(user(1000), LOCAL), 8);
	control_share_give_back(taken[--taken_count]);
	ck_assert_uint_eq(take(user(1000), LOCAL), 1);
	ck_assert_uint_eq(take(address(1), EACH), EACH);
	control_share_give_back(taken[--taken_count]);
	ck_assert_uint_eq(take(address(1), EACH), 1);
}
END_TEST

START_TEST(tcp_has_a_part_of_its_own_and_each_address_a_part_of_that)
{
	ck_assert_uint_eq(take(address(1), LOCAL), EACH);
	ck_assert_int_eq(problem.kind, PROBLEM_TOO_MANY);
	ck_assert_str_eq(problem.detail, "this address has 2 places already");
	ck_assert_uint_eq(take(address(2), LOCAL), EACH);
	ck_assert_uint_eq(take(address(3), LOCAL), EACH);
	ck_assert_uint_eq(take(address(4), LOCAL), 0);
	ck_assert_int_eq(problem.kind, PROBLEM_TOO_MANY);
	ck_assert_str_eq(problem.detail, "there are 6 places over TCP already");
	ck_assert_uint_eq(take(user(0), LOCAL), LOCAL);
}
END_TEST

/* The caller of a request over a connection of FAMILY's loopback. */
static struct control_caller caller_by(int family, const struct sockaddr *any, socklen_t size)
{
	struct sockaddr_storage bound;
	socklen_t bound_size = sizeof(bound);
	int listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listening, any, size), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&bound, &bound_size), 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&bound, bound_size), 0);
	int served = accept(listening, NULL, NULL);
	ck_assert_int_ge(served, 0);
	struct control_caller caller = control_caller_of(&(struct http_request){ .fd = served });
	close(served);
	close(client);
	close(listening);
	return caller;
}

START_TEST(an_ipv4_client_is_known_by_its_address)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct control_caller caller = caller_by(AF_INET, (struct sockaddr *)&any, sizeof(any));

	ck_assert(!caller.local);
	ck_assert_mem_eq(caller.network, ((uint8_t[]){ AF_INET, 127, 0, 0, 1, 0, 0, 0, 0 }), sizeof(caller.network));
}
END_TEST

/* ::1 and ::2 are of one network: all bits but the first 64 are left out. */
START_TEST(an_ipv6_client_is_known_by_its_network)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;

	if (fd >= 0)
		close(fd);
	if (!has_ipv6)
		return;
	struct control_caller caller = caller_by(AF_INET6, (struct sockaddr *)&any, sizeof(any));
	ck_assert(!caller.local);
	ck_assert_mem_eq(caller.network, ((uint8_t[]){ AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0 }), sizeof(caller.network));
}
END_TEST

START_TEST(a_client_of_the_socket_is_known_by_its_uid)
{
	struct control_caller caller =
	    control_caller_of(&(struct http_request){ .has_creds = true, .uid = 7, .fd = -1 });

	ck_assert(caller.local);
	ck_assert_uint_eq(caller.uid, 7);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control/share");
	TCase *sharing = tcase_create("sharing");
	TCase *callers = tcase_create("callers");

	tcase_add_checked_fixture(sharing, setup, teardown);
	tcase_add_test(sharing, root_may_have_all_of_the_socket);
	tcase_add_test(sharing, a_user_may_have_half_of_what_is_not_for_root_alone);
	tcase_add_test(sharing, what_is_given_back_can_be_taken_again);
	tcase_add_test(sharing, tcp_has_a_part_of_its_own_and_each_address_a_part_of_that);
	suite_add_tcase(suite, sharing);
	tcase_add_test(callers, an_ipv4_client_is_known_by_its_address);
	tcase_add_test(callers, an_ipv6_client_is_known_by_its_network);
	tcase_add_test(callers, a_client_of_the_socket_is_known_by_its_uid);
	suite_add_tcase(suite, callers);
	return run_suite(suite);
}
