/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A dump that something changes under is told, and the next can be asked for at once. */
#include "kernel/rtnl.h"

#include "base/err.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

/* More than one packet of the kernel's. */
enum { ADDRESSES = 3000 };

struct seen {
	unsigned count;
	bool meddle; /* changes an address in the midst */
};

static int take(const struct nlmsghdr *header, void *data)
{
	struct seen *seen = data;

	(void)header;
	if (seen->meddle)
		lab_run("ip addr add 10.99.0.1/32 dev lo");
	seen->meddle = false;
	seen->count++;
	return MNL_CB_OK;
}

static int dump(struct rtnl *rtnl, struct seen *seen, struct err *err)
{
	struct rtnl_request request;
	struct ifaddrmsg *address = rtnl_begin(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(*address));

	address->ifa_family = AF_INET;
	return rtnl_ask(rtnl, &request, take, seen, err, "addresses");
}

START_TEST(an_interrupted_dump_says_so_and_can_be_taken_again)
{
	struct lab lab = lab_open();
	struct rtnl rtnl = RTNL_CLOSED;
	struct seen seen = { .meddle = true };
	struct err err;

	lab_run("for i in $(seq 12); do for j in $(seq 250); do echo addr add 10.9.$i.$j/32 dev lo; done; done | ip "
		"-batch -");
	ck_assert_int_eq(rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err), 0);
	ck_assert_int_lt(dump(&rtnl, &seen, &err), 0);
	ck_assert_int_eq(err.code, EINTR);
	seen.count = 0;
	ck_assert_msg(dump(&rtnl, &seen, &err) == 0, "%s", err.text);
	ck_assert_uint_ge(seen.count, ADDRESSES);
	rtnl_close(&rtnl);
	config_free(lab.config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rtnl");
	TCase *tests = tcase_create("dump");

	lab_require_root();
	tcase_add_test(tests, an_interrupted_dump_says_so_and_can_be_taken_again);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
