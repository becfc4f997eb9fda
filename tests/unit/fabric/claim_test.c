/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests that a claim sends to the kernel before its reply, seen at sendto(), which this program has instead of the C
 * library's. The claim waits for no other work: meanwhile the builder stands still, in the middle of a slot for the pool.
 */
#include "unit/fabric/fabric_fixture.h"

#include "base/addr.h"
#include "fabric/slot/fault.h"
#include "fabric/state.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { POOL = 4 };

static atomic_bool noting;
static atomic_uint routing_requests, batches, additions, others;

/* Dumps and questions are not counted, for they change nothing and hold no thread up. */
static void note_rules(const struct nlmsghdr *header, size_t size)
{
	bool in_batch = header->nlmsg_type == NFNL_MSG_BATCH_BEGIN;

	batches += in_batch;
	for (; in_batch && size >= sizeof(*header) && NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
		switch (header->nlmsg_type) {
		case NFNL_MSG_BATCH_BEGIN:
		case NFNL_MSG_BATCH_END:
			break;
		case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET:
		case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM:
		case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE:
		case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWOBJ:
			additions++;
			break;
		default:
			others++;
		}
	}
}

static void note(int fd, const void *data, size_t size)
{
	int domain = 0, protocol = 0;
	socklen_t length = sizeof(int);

	if (!noting || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || domain != AF_NETLINK ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0)
		return;
	if (protocol == NETLINK_ROUTE)
		routing_requests++;
	else if (protocol == NETLINK_NETFILTER && size >= sizeof(struct nlmsghdr))
		note_rules(data, size);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length)
{
	note(fd, data, size);
	return syscall(SYS_sendto, fd, data, size, flags, address, length);
}

/* ---- the builder stands still ---- */

static sem_t released;
static atomic_bool stands_still;

static bool stand_still(const char *step)
{
	if (strcmp(step, "name") == 0) {
		stands_still = true;
		sem_wait(&released);
	}
	return false;
}

static bool is_full(void *context)
{
	struct fabric_pool state;

	(void)context;
	fabric_pool_state(host.fabric, &state);
	return state.ready == POOL;
}

static bool builder_stands_still(void *context)
{
	(void)context;
	return stands_still;
}

static bool former_is_named(void *context)
{
	(void)context;
	return fixture_shell_says("former", "ip netns exec ns-1 nft list ruleset");
}

static void on_scanned(void *context, const struct fabric_found *found, size_t count, const struct err *err)
{
	(void)found;
	(void)count;
	ck_assert(!err);
	*(bool *)context = true;
}

static struct fabric_slot former;

static void setup(void)
{
	bool scanned = false;

	fixture_setup_host();
	host.config->pool.size = POOL;
	fixture_start_fabric();
	fabric_scan(host.fabric, on_scanned, &scanned);
	fixture_await(&scanned);
	fabric_open(host.fabric);
	fixture_await_that(is_full, NULL, "a full pool");
	sem_init(&released, 0, 0);
	slot_fault_set(stand_still);
	former = fixture_make(1, "former");
	fixture_await_that(builder_stands_still, NULL, "the builder at the next slot");
	fixture_await_that(former_is_named, NULL, "the comment on the slot claimed before");
	batches = additions = others = 0;
	routing_requests = 0;
	noting = true;
}

static void teardown(void)
{
	noting = false;
	slot_fault_set(NULL);
	sem_post(&released);
	fixture_destroy(&former);
	fixture_teardown();
}

static void claim(const struct fabric_plan *plan)
{
	struct result result = { 0 };

	fabric_make(host.fabric, plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	noting = false;
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert_uint_eq(routing_requests, 0);
	close(result.slot.netns_fd);
}

START_TEST(without_a_policy_a_claim_asks_nothing_of_the_kernel)
{
	struct fabric_plan plan = fixture_plan(2, "plain");

	claim(&plan);
	ck_assert_uint_eq(batches, 0);
}
END_TEST

START_TEST(with_a_policy_a_claim_is_one_batch_that_only_adds)
{
	struct egress_rule allow = { .cidr = { .ip = 0x08080808, .length = 32 }, .any_proto = true };
	struct egress_rule deny = { .cidr = { .ip = 0x01010000, .length = 16 },
				    .ip_proto = IPPROTO_TCP,
				    .ports = { { 80, 80 }, { 443, 443 } },
				    .port_count = 2 };
	struct egress egress = { .allow = &allow, .deny = &deny, .allow_count = 1, .deny_count = 1 };
	struct fabric_plan plan = fixture_plan(2, "policy");

	plan.egress = &egress;
	claim(&plan);
	ck_assert_uint_eq(batches, 1);
	ck_assert_uint_gt(additions, 0);
	ck_assert_uint_eq(others, 0);
}
END_TEST

static bool is_looked_at_again(void *context)
{
	(void)context;
	return fabric_slot_find(host.fabric, 2)->look_more;
}

static bool is_gone, carrier_was_reported;

static void on_gone(void *context, const struct err *err)
{
	(void)context;
	ck_assert(!err);
	carrier_was_reported = host.seen[2].carrier;
	is_gone = true;
}

START_TEST(a_vm_that_comes_at_once_is_seen_before_anything_is_removed)
{
	struct fabric_slot quick = fixture_make(2, "quick"), leaving = fixture_make(3, "leaving");
	int tap = fixture_open_tap(&quick);

	fixture_await_that(is_looked_at_again, NULL, "the event of the carrier");
	close(leaving.netns_fd);
	fabric_destroy(host.fabric, leaving.slot, NULL, on_gone, NULL);
	sem_post(&released);
	fixture_await(&is_gone);
	ck_assert(carrier_was_reported);
	close(tap);
	close(quick.netns_fd);
}
END_TEST

START_TEST(what_is_made_for_the_pool_is_seen_to_ask)
{
	/* Shows that the first two tests look at the right place. */
	slot_fault_set(NULL);
	sem_post(&released);
	fixture_await_that(is_full, NULL, "a refilled pool");
	ck_assert_uint_gt(routing_requests, 0);
	ck_assert_uint_gt(batches, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric claim");
	TCase *tests = tcase_create("claim");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, without_a_policy_a_claim_asks_nothing_of_the_kernel);
	tcase_add_test(tests, with_a_policy_a_claim_is_one_batch_that_only_adds);
	tcase_add_test(tests, a_vm_that_comes_at_once_is_seen_before_anything_is_removed);
	tcase_add_test(tests, what_is_made_for_the_pool_is_seen_to_ask);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
