/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slots prepared ahead: claimed at once, and clean when they come back. */
#include "unit/fabric/fabric_fixture.h"

#include "base/err.h"
#include "base/netns.h"
#include "fabric/pool.h"
#include "fabric/rules/rules.h"
#include "fabric/state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POOL = 3 };

static void on_scanned(void *context, const struct fabric_found *found, size_t count, const struct err *err)
{
	bool *done = context;

	(void)found;
	(void)count;
	ck_assert(!err);
	*done = true;
}

static struct fabric_pool pool(void)
{
	struct fabric_pool state;

	fabric_pool_state(host.fabric, &state);
	return state;
}

static bool is_full(void *context)
{
	(void)context;
	return pool().ready == POOL;
}

static void setup(void)
{
	bool scanned = false;

	fixture_setup_host();
	host.config->pool.size = POOL;
	host.config->pool.quarantine_ms = 0;
	fixture_start_fabric();
	fabric_scan(host.fabric, on_scanned, &scanned);
	fixture_await(&scanned);
	fabric_open(host.fabric);
	fixture_await_that(is_full, NULL, "a full pool");
}

/* A number of the namespace that no other ever has, unlike its inode. */
static uint64_t cookie_of(int netns_fd)
{
	uint64_t cookie;
	socklen_t size = sizeof(cookie);
	struct err err;
	int fd = base_netns_socket(netns_fd, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, &err);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size), 0);
	close(fd);
	return cookie;
}

START_TEST(the_lowest_numbers_are_prepared_and_claimed_first)
{
	struct fabric_slot slot;

	ck_assert_uint_eq(fabric_pool_slot(host.fabric), 1);
	slot = fixture_make(1, "a1");
	ck_assert_uint_eq(fabric_pool_slot(host.fabric), 2);
	ck_assert_uint_eq(pool().cold_total, 0);
	fixture_await_that(is_full, NULL, "a refilled pool");
	ck_assert(fixture_shell_says("ns-4", "ls /run/netns"));
	fixture_destroy(&slot);
}
END_TEST

START_TEST(a_claimed_slot_is_whole_and_has_its_policy)
{
	struct egress egress = { .internet = false };
	struct fabric_plan plan = fixture_plan(2, "a2");
	struct result result = { 0 };
	bool intact = false;

	plan.egress = &egress;
	plan.has_tap_owner = true;
	plan.tap_uid = 123;
	plan.tap_gid = 100;
	fabric_make(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(fixture_shell_says("user 123", "ip -n ns-2 -d link show tap0"));
	ck_assert(fixture_shell_says("10.11.0.2 via", "ip route show 10.11.0.2"));
	ck_assert_uint_eq(host.seen[2].carrier_up, 0);
	ck_assert_int_eq(rules_slot_check(result.slot.netns_fd, host.config, &plan, &intact, &result.err), 0);
	ck_assert(intact);
	fixture_destroy(&result.slot);
}
END_TEST

static bool is_free(void *context)
{
	(void)context;
	return host.seen[1].slot_free > 0;
}

/* Slot 1, with room for it to come back: a full pool would let it go. */
static struct fabric_slot claim_first(void)
{
	host.config->pool.refill = 1;
	return fixture_make(1, "a1");
}

START_TEST(a_released_slot_falls_silent_and_is_used_again)
{
	struct fabric_slot slot = claim_first();
	uint64_t cookie = cookie_of(slot.netns_fd);

	fixture_destroy(&slot);
	fixture_await_that(is_free, NULL, "a free number");
	ck_assert(!fixture_shell_says("weft:", "ip link show veth-1"));
	slot = fixture_make(1, "b1");
	ck_assert_uint_eq(cookie_of(slot.netns_fd), cookie);
	ck_assert(fixture_shell_says("10.11.0.1 via", "ip route show 10.11.0.1"));
	fixture_destroy(&slot);
}
END_TEST

static bool all_are_free(void *context)
{
	(void)context;
	return host.seen[1].slot_free && host.seen[2].slot_free && host.seen[3].slot_free;
}

START_TEST(no_more_are_made_ready_again_than_are_wanted)
{
	struct fabric_slot slots[POOL];
	struct result gone[POOL] = { 0 };

	host.config->pool.refill = 1;
	for (unsigned i = 0; i < POOL; i++)
		slots[i] = fixture_make(i + 1, "a");
	host.config->pool.size = 1;
	for (unsigned i = 0; i < POOL; i++) {
		close(slots[i].netns_fd);
		fabric_destroy(host.fabric, slots[i].slot, NULL, fixture_done, &gone[i]);
	}
	fixture_await_that(all_are_free, NULL, "free numbers");
	/* Nothing was renewed only to be given up again. */
	for (unsigned i = 0; i < POOL; i++)
		ck_assert_uint_eq(host.seen[i + 1].slot_going, 0);
}
END_TEST

START_TEST(only_a_few_are_renewed_at_a_time)
{
	unsigned begun = 0;

	host.config->pool.refill = 1;
	host.config->pool.size = 100;
	while (fabric_pool_wants_renewed(host.fabric->pool)) {
		host.fabric->states.counts[SLOT_RENEWING]++;
		begun++;
	}
	ck_assert_uint_ge(begun, 1);
	ck_assert_uint_le(begun, 10);
	ck_assert(fabric_pool_wants(host.fabric->pool));
	host.config->pool.size = POOL;
	host.fabric->states.counts[SLOT_RENEWING] -= begun;
}
END_TEST

START_TEST(the_address_is_silent_during_the_quarantine)
{
	struct fabric_slot slot = fixture_make(1, "a1");

	host.config->pool.quarantine_ms = 3600 * 1000;
	fixture_destroy(&slot);
	ck_assert_uint_eq(pool().quarantined, 1);
	ck_assert_uint_eq(host.seen[1].slot_free, 0);
	ck_assert(!fixture_shell_says("10.11.0.1", "ip route show 10.11.0.1"));
}
END_TEST

static const char *const traces[] = {
	"ip -n ns-1 link add left type veth peer name behind",
	"ip -n ns-1 addr flush dev eth0",
	"ip -n ns-1 link set tap0 down",
	"ip -n ns-1 link set tap0 mtu 1400",
	"ip netns exec ns-1 nft add table ip left",
	"ip -n ns-1 neigh add 169.254.0.23 lladdr 02:00:00:00:00:07 dev tap0 nud permanent",
	"ip -n ns-1 neigh add 10.0.0.9 lladdr 02:00:00:00:00:07 dev eth0 nud permanent",
	"ip -n ns-1 -6 rule add pref 9 prohibit",
	/* Not every kernel has IPsec; another trace does then. */
	"ip netns exec ns-1 ip xfrm policy add dir fwd action block || ip -n ns-1 addr add 192.0.2.8/32 dev lo",
	"ip netns exec ns-1 nft add table arp weft",
	"ip -n ns-1 route add 192.0.2.0/24 via 10.12.0.2",
	"ip -n ns-1 route add blackhole 192.0.2.1 table 9",
	"ip -n ns-1 rule add pref 9 lookup 9",
	"ip -n ns-1 addr add 192.0.2.7/32 dev lo",
	"ip -n ns-1 neigh del 169.254.0.21 dev tap0",
	"tc -n ns-1 qdisc replace dev eth0 root tbf rate 1mbit burst 2000 latency 50ms",
	"tc qdisc add dev veth-1 root tbf rate 1mbit burst 2000 latency 50ms",
	"ip netns exec ns-1 sysctl -qw net.ipv4.conf.tap0.rp_filter=1",
	"ip netns exec ns-1 sysctl -qw net.ipv4.ip_default_ttl=9",
	"ip netns exec ns-1 sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0",
};

START_TEST(a_slot_that_is_not_clean_is_not_used_again)
{
	struct fabric_slot slot = claim_first();
	uint64_t cookie = cookie_of(slot.netns_fd);

	host.config->pool.quarantine_ms = 300;
	fixture_destroy(&slot);
	free(fixture_shell("%s", traces[_i]));
	fixture_await_that(is_free, NULL, "a free number");
	slot = fixture_make(1, "b1");
	ck_assert_uint_ne(cookie_of(slot.netns_fd), cookie);
	fixture_destroy(&slot);
}
END_TEST

START_TEST(a_slot_with_a_vm_on_it_is_not_used_again)
{
	struct fabric_slot slot = claim_first();
	int tap = fixture_open_tap(&slot);

	fixture_destroy(&slot);
	fixture_await_that(is_free, NULL, "a free number");
	close(tap);
	slot = fixture_make(1, "b1");
	ck_assert(!slot.carrier);
	fixture_destroy(&slot);
}
END_TEST

static bool was_replaced(void *context)
{
	(void)context;
	return host.seen[2].slot_free && is_full(NULL);
}

START_TEST(a_ready_slot_that_somebody_opened_is_replaced)
{
	struct fabric_slot other = { .slot = 2 };
	int tap;

	other.netns_fd = open("/run/netns/ns-2", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(other.netns_fd, 0);
	tap = fixture_open_tap(&other);
	close(other.netns_fd);
	fixture_await_that(was_replaced, NULL, "another slot in its place");
	close(tap);
}
END_TEST

START_TEST(a_claim_of_what_is_being_made_waits_for_it)
{
	enum { COUNT = 12 };
	struct result made[COUNT] = { 0 };

	/* More than the pool has, by the numbers that it would take next. */
	for (unsigned i = 0; i < COUNT; i++) {
		struct fabric_plan plan = fixture_plan(i + 1, "burst");

		fabric_make(host.fabric, &plan, fixture_slot_done, &made[i]);
		fixture_iterate();
	}
	for (unsigned i = 0; i < COUNT; i++) {
		fixture_await(&made[i].done);
		ck_assert_msg(!made[i].failed, "%s", made[i].err.text);
	}
	fixture_await_that(is_full, NULL, "a refilled pool");
	for (unsigned i = 0; i < COUNT; i++)
		fixture_destroy(&made[i].slot);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric pool");
	TCase *ready = tcase_create("pool");

	tcase_add_checked_fixture(ready, setup, fixture_teardown);
	tcase_set_timeout(ready, 120);
	tcase_add_test(ready, the_lowest_numbers_are_prepared_and_claimed_first);
	tcase_add_test(ready, a_claimed_slot_is_whole_and_has_its_policy);
	tcase_add_test(ready, a_released_slot_falls_silent_and_is_used_again);
	tcase_add_test(ready, no_more_are_made_ready_again_than_are_wanted);
	tcase_add_test(ready, only_a_few_are_renewed_at_a_time);
	tcase_add_test(ready, the_address_is_silent_during_the_quarantine);
	tcase_add_loop_test(ready, a_slot_that_is_not_clean_is_not_used_again, 0,
			    (int)(sizeof(traces) / sizeof(traces[0])));
	tcase_add_test(ready, a_slot_with_a_vm_on_it_is_not_used_again);
	tcase_add_test(ready, a_ready_slot_that_somebody_opened_is_replaced);
	tcase_add_test(ready, a_claim_of_what_is_being_made_waits_for_it);
	suite_add_tcase(suite, ready);
	return fixture_run(suite);
}
