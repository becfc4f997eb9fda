/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes with a parcel, and with what a killed run left of one, goes when it should, whatever a fake service manager still has. */
#include "daemon/inherited.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/fd_message.h"
#include "daemon/fd_parcel.h"
#include "daemon/fd_store.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int stored = -1;   /* the service manager's copy of the queue */
static int burden[2];     /* the near end lies behind the parcel */
static unsigned removals; /* that the service manager was asked for */
static struct err err;

void daemon_fd_store_receive(int *first, size_t *count, char ***names)
{
	*first = fcntl(stored, F_DUPFD_CLOEXEC, 3);
	*count = 1;
	*names = calloc(2, sizeof(**names));
	(*names)[0] = strdup("weft-connections");
}

void daemon_fd_store_free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}

void daemon_fd_store_remove(const char *name)
{
	ck_assert_str_eq(name, "weft-connections");
	removals++;
}

static void setup(void)
{
	static uint8_t memory[] = "state";
	struct fd_parcel parcel = {
		.connections = 1, .memory = memory, .size = 5, .burden = burden, .burden_count = 1
	};
	struct fd_queue queue;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, burden), 0);
	ck_assert_msg(daemon_fd_parcel_pack(&parcel, 7, &queue, &err) == 0, "%s", err.text);
	close(queue.in);
	close(burden[0]);
	stored = queue.out;
}

static void teardown(void)
{
	close(stored);
	close(burden[1]);
}

/* Whether anybody has the near end. */
static bool burden_is_there(void)
{
	char byte;
	ssize_t size = recv(burden[1], &byte, 1, MSG_DONTWAIT);

	ck_assert(size == 0 || (size < 0 && errno == EAGAIN));
	return size < 0;
}

static struct inherited *receive_and_take(void)
{
	struct inherited *inherited = daemon_inherited_receive();
	struct fd_parcel parcel;

	ck_assert_ptr_nonnull(inherited);
	ck_assert_int_eq(daemon_inherited_take_parcel(inherited, &parcel, &err), 1);
	ck_assert_uint_eq(removals, 1);
	daemon_fd_parcel_free(&parcel);
	ck_assert_int_eq(daemon_inherited_take_parcel(inherited, &parcel, &err), 0);
	return inherited;
}

START_TEST(a_burden_goes_when_it_is_dropped_though_the_store_has_the_queue)
{
	struct inherited *inherited = receive_and_take();

	ck_assert(burden_is_there());
	daemon_inherited_drop_burdens(inherited);
	ck_assert(!burden_is_there());
	daemon_inherited_free(inherited);
}
END_TEST

START_TEST(a_run_that_ends_before_drops_it)
{
	daemon_inherited_free(receive_and_take());
	ck_assert(!burden_is_there());
}
END_TEST

START_TEST(a_burden_that_a_killed_run_left_goes_at_the_next_start)
{
	struct inherited *inherited;
	struct fd_parcel parcel;
	char byte;

	ck_assert_int_gt(recv(stored, &byte, 1, MSG_DONTWAIT), 0);
	ck_assert(burden_is_there());
	inherited = daemon_inherited_receive();
	ck_assert(!burden_is_there());
	ck_assert_int_eq(daemon_inherited_take_parcel(inherited, &parcel, &err), 0);
	daemon_inherited_forget_former(inherited);
	ck_assert_uint_eq(removals, 1);
	daemon_inherited_free(inherited);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("inherited");
	Suite *suite = suite_create("inherited");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_burden_goes_when_it_is_dropped_though_the_store_has_the_queue);
	tcase_add_test(cases, a_run_that_ends_before_drops_it);
	tcase_add_test(cases, a_burden_that_a_killed_run_left_goes_at_the_next_start);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
