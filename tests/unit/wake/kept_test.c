/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which copies are kept, for how long, and that there is an end to them. */
#include "wake/kept.h"

#include "unit/run_suite.h"
#include "wake/wake.h"

#include <check.h>
#include <string.h>

enum { HOST = 0x0a0b0002, NOW = 1000000 };

static struct wake_kept *kept;
static unsigned taken;
static uint8_t last[8];
static uint16_t last_port;

static void open_kept(void)
{
	kept = wake_kept_new();
	ck_assert_ptr_nonnull(kept);
	ck_assert_int_eq(wake_kept_open(kept, HOST), 0);
	taken = 0;
}

static void free_kept(void)
{
	wake_kept_free(kept);
}

static struct wake_copy *add(uint32_t host_ip, enum proto proto, uint16_t source_port, uint8_t content, uint64_t now_ms)
{
	const struct wake_packet packet = { .proto = proto,
					    .source = 0xc0000209,
					    .destination = host_ip,
					    .source_port = source_port,
					    .dest_port = 8080,
					    .length = sizeof(last),
					    .sendable = true };
	uint8_t bytes[sizeof(last)];

	memset(bytes, content, sizeof(bytes));
	return wake_kept_add(kept, &packet, bytes, now_ms);
}

static void take(void *context, struct wake_copy *copy)
{
	(void)context;
	taken++;
	memcpy(last, copy->bytes, sizeof(last));
	last_port = copy->packet.source_port;
}

static void close_host(uint32_t host_ip)
{
	taken = 0;
	wake_kept_close(kept, host_ip, take, NULL);
}

START_TEST(one_packet_of_each_flow_is_kept)
{
	ck_assert_ptr_nonnull(add(HOST, PROTO_TCP, 1, 'a', NOW));
	ck_assert_ptr_nonnull(add(HOST, PROTO_UDP, 1, 'a', NOW));
	ck_assert_ptr_nonnull(add(HOST, PROTO_TCP, 2, 'a', NOW));
	ck_assert_ptr_null(add(HOST, PROTO_UDP, 1, 'a', NOW));
	ck_assert_ptr_nonnull(add(HOST, PROTO_TCP, 1, 'a', NOW));
	ck_assert_uint_eq(wake_kept_count(kept), 3);
	close_host(HOST);
	ck_assert_uint_eq(taken, 3);
	ck_assert_uint_eq(wake_kept_count(kept), 0);
	/* And none afterwards. */
	ck_assert_ptr_null(add(HOST, PROTO_TCP, 1, 'a', NOW));
	close_host(HOST);
	ck_assert_uint_eq(taken, 0);
}
END_TEST

START_TEST(nothing_is_kept_for_others)
{
	ck_assert_ptr_null(add(HOST + 1, PROTO_TCP, 1, 'a', NOW));
	/* Not even for one of the same bucket. */
	ck_assert_ptr_null(add(HOST + 4096, PROTO_TCP, 1, 'a', NOW));
	ck_assert_uint_eq(wake_kept_count(kept), 0);
}
END_TEST

START_TEST(the_last_syn_and_the_first_datagram_stay)
{
	struct wake_copy *copy = add(HOST, PROTO_TCP, 1, 'a', NOW);

	copy->asked_known = true;
	copy->asked_port = 18080;
	add(HOST, PROTO_TCP, 1, 'b', NOW + 1000);
	close_host(HOST);
	ck_assert_uint_eq(taken, 1);
	ck_assert_int_eq(last[0], 'b');

	ck_assert_int_eq(wake_kept_open(kept, HOST), 0);
	add(HOST, PROTO_UDP, 1, 'a', NOW);
	add(HOST, PROTO_UDP, 1, 'b', NOW + 1000);
	close_host(HOST);
	ck_assert_uint_eq(taken, 1);
	ck_assert_int_eq(last[0], 'a');
}
END_TEST

static void take_asked(void *context, struct wake_copy *copy)
{
	(void)context;
	taken++;
	ck_assert(copy->asked_known);
	ck_assert_uint_eq(copy->asked_port, 18080);
}

START_TEST(what_a_client_had_asked_for_is_known_of_its_next_syn_too)
{
	struct wake_copy *copy = add(HOST, PROTO_TCP, 1, 'a', NOW);

	copy->asked_known = true;
	copy->asked_port = 18080;
	add(HOST, PROTO_TCP, 1, 'b', NOW + 1000);
	wake_kept_close(kept, HOST, take_asked, NULL);
	ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(a_copy_is_dropped_when_it_is_old)
{
	add(HOST, PROTO_TCP, 1, 'a', NOW);
	add(HOST, PROTO_TCP, 2, 'b', NOW + 500);
	ck_assert_uint_eq(wake_kept_expire(kept, NOW + WAKE_KEPT_MS - 1), NOW + WAKE_KEPT_MS);
	ck_assert_uint_eq(wake_kept_count(kept), 2);
	ck_assert_uint_eq(wake_kept_expire(kept, NOW + WAKE_KEPT_MS), NOW + 500 + WAKE_KEPT_MS);
	close_host(HOST);
	ck_assert_uint_eq(taken, 1);
	ck_assert_uint_eq(last_port, 2);
	ck_assert_uint_eq(wake_kept_expire(kept, NOW), 0);
}
END_TEST

START_TEST(a_client_that_still_asks_is_not_old)
{
	add(HOST, PROTO_TCP, 1, 'a', NOW);
	add(HOST, PROTO_UDP, 1, 'a', NOW);
	add(HOST, PROTO_TCP, 1, 'b', NOW + 31000);
	wake_kept_expire(kept, NOW + WAKE_KEPT_MS);
	ck_assert_uint_eq(wake_kept_count(kept), 1);
}
END_TEST

START_TEST(a_flood_to_one_address_leaves_the_first_who_came)
{
	for (unsigned port = 1; port <= 60000; port++)
		add(HOST, PROTO_TCP, (uint16_t)port, 'a', NOW);
	ck_assert_uint_eq(wake_kept_count(kept), WAKE_KEPT_FLOWS);
	close_host(HOST);
	ck_assert_uint_eq(taken, WAKE_KEPT_FLOWS);
	ck_assert_uint_eq(last_port, WAKE_KEPT_FLOWS);
}
END_TEST

START_TEST(a_flood_to_all_has_an_end)
{
	for (uint32_t host = 0; host < 4000; host++) {
		ck_assert_int_eq(wake_kept_open(kept, HOST + host), 0);
		for (unsigned port = 1; port <= 3; port++)
			add(HOST + host, PROTO_TCP, (uint16_t)port, 'a', NOW);
	}
	ck_assert_uint_eq(wake_kept_count(kept), WAKE_KEPT_ALL);
	/* There is room again when one woke up, and all of its memory is there when all are old. */
	close_host(HOST);
	ck_assert_uint_eq(taken, 3);
	ck_assert_ptr_nonnull(add(HOST + 3999, PROTO_TCP, 1, 'a', NOW));
	wake_kept_expire(kept, NOW + WAKE_KEPT_MS);
	ck_assert_uint_eq(wake_kept_count(kept), 0);
}
END_TEST

START_TEST(sleeping_twice_keeps_what_is_kept)
{
	add(HOST, PROTO_TCP, 1, 'a', NOW);
	ck_assert_int_eq(wake_kept_open(kept, HOST), 0);
	close_host(HOST);
	ck_assert_uint_eq(taken, 1);
}
END_TEST

/* What the TAP's queue has the guest gets from there, unless the TAP is closed before. */
START_TEST(it_is_known_which_datagrams_got_into_the_tap)
{
	const struct wake_copy *lost = add(HOST, PROTO_UDP, 1, 'a', NOW), *syn;

	ck_assert(!lost->reached);
	wake_kept_note_tap(kept, HOST + 1, true);
	ck_assert(!add(HOST, PROTO_UDP, 2, 'a', NOW)->reached);
	wake_kept_note_tap(kept, HOST, true);
	const struct wake_copy *got = add(HOST, PROTO_UDP, 3, 'a', NOW);
	syn = add(HOST, PROTO_TCP, 3, 'a', NOW);
	ck_assert(got->reached);
	ck_assert(!syn->reached);
	ck_assert(!lost->reached);
	wake_kept_note_tap(kept, HOST, false);
	ck_assert(!got->reached);
	wake_kept_note_tap(kept, HOST, true);
	ck_assert(!got->reached);
}
END_TEST

START_TEST(copies_that_came_by_another_address_can_be_dropped)
{
	struct wake_copy *copy = add(HOST, PROTO_TCP, 1, 'a', NOW);

	copy->asked_known = true;
	copy->asked_ip = 0xc0000201;
	copy = add(HOST, PROTO_TCP, 2, 'a', NOW);
	copy->asked_known = true;
	copy->asked_ip = HOST;
	add(HOST, PROTO_TCP, 3, 'a', NOW);
	wake_kept_forget_led(kept, HOST + 1);
	ck_assert_uint_eq(wake_kept_count(kept), 3);
	wake_kept_forget_led(kept, HOST);
	close_host(HOST);
	ck_assert_uint_eq(taken, 2);
	ck_assert_uint_eq(last_port, 3);
}
END_TEST

START_TEST(copies_can_be_dropped_unsent)
{
	add(HOST, PROTO_TCP, 1, 'a', NOW);
	wake_kept_close(kept, HOST, NULL, NULL);
	ck_assert_uint_eq(wake_kept_count(kept), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wake_kept");
	TCase *keeping = tcase_create("keeping");

	tcase_add_checked_fixture(keeping, open_kept, free_kept);
	tcase_add_test(keeping, one_packet_of_each_flow_is_kept);
	tcase_add_test(keeping, nothing_is_kept_for_others);
	tcase_add_test(keeping, the_last_syn_and_the_first_datagram_stay);
	tcase_add_test(keeping, what_a_client_had_asked_for_is_known_of_its_next_syn_too);
	tcase_add_test(keeping, a_copy_is_dropped_when_it_is_old);
	tcase_add_test(keeping, a_client_that_still_asks_is_not_old);
	tcase_add_test(keeping, a_flood_to_one_address_leaves_the_first_who_came);
	tcase_add_test(keeping, a_flood_to_all_has_an_end);
	tcase_add_test(keeping, sleeping_twice_keeps_what_is_kept);
	tcase_add_test(keeping, it_is_known_which_datagrams_got_into_the_tap);
	tcase_add_test(keeping, copies_that_came_by_another_address_can_be_dropped);
	tcase_add_test(keeping, copies_can_be_dropped_unsent);
	suite_add_tcase(suite, keeping);
	return run_suite(suite);
}
