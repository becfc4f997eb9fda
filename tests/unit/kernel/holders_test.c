/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has a TAP open: others before this process. */
#include "kernel/holders.h"

#include "base/err.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kern_namespace_key key;
static int tap;

/* A namespace that no process is in: its TAP alone leads to it. */
static void setup(void)
{
	struct ifreq request = { .ifr_name = "tap7", .ifr_flags = IFF_TAP | IFF_NO_PI };
	int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), here;

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	key = kern_namespace_key_of(here);
	tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(tap, 0);
	ck_assert_int_eq(ioctl(tap, TUNSETIFF, &request), 0);
	ck_assert_int_eq(setns(before, CLONE_NEWNET), 0);
	close(before);
	close(here);
}

static void teardown(void)
{
	close(tap);
}

static void assert_names(const char *text, pid_t pid)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "(pid %d)", (int)pid);
	ck_assert_msg(strstr(text, wanted) != NULL, "%s does not name %s", text, wanted);
}

START_TEST(this_process_counts_if_there_is_no_other)
{
	char text[KERN_HOLDERS_TEXT_SIZE];
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (!child)
		for (;;)
			pause();
	ck_assert_int_eq(kern_holders_of_tap(&key, "tap7", text), 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_names(text, child);
	ck_assert_int_eq(kern_holders_of_tap(&key, "tap7", text), 1);
	assert_names(text, getpid());
	ck_assert_int_eq(kern_holders_of_tap(&key, "tap8", text), 0);
}
END_TEST

START_TEST(its_own_tap_leads_to_the_namespace_too)
{
	int fd = kern_holders_find_known(&key, "tap7");
	struct kern_namespace_key found;

	ck_assert_int_ge(fd, 0);
	found = kern_namespace_key_of(fd);
	ck_assert(kern_namespace_key_equal(&found, &key));
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("holders");
	TCase *tests = tcase_create("holders");

	lab_require_root();
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, this_process_counts_if_there_is_no_other);
	tcase_add_test(tests, its_own_tap_leads_to_the_namespace_too);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
