/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 2,000 connections under traffic, of which every byte is checked, go through 20 handovers in a row: some copy, some splice, some have
 * readers that stand still for a while, some are half closed, some have sent urgent bytes.
 */
#include "unit/forwarder/handover_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOWS = 2000, HANDOVERS = 20, SMALL_MAX = 3000, LARGE_MAX = 60000 };

enum kind { KIND_SMALL, KIND_LARGE, KIND_BLOCKED, KIND_CLIENT_SHUT, KIND_GUEST_SHUT, KIND_URGENT, KIND_QUIET, KINDS };

static struct handover_lab lab;
static struct flow flows[FLOWS];
static unsigned dice = 1;

static unsigned roll(unsigned limit)
{
	dice = dice * 1103515245 + 12345;
	return (dice >> 8) % limit;
}

static enum kind kind_of(size_t index)
{
	return (enum kind)(index % KINDS);
}

static void setup(void)
{
	lab_open(&lab);
	for (size_t i = 0; i < FLOWS; i++) {
		flow_open(&lab, &flows[i]);
		if (kind_of(i) == KIND_CLIENT_SHUT)
			shutdown(flows[i].client, SHUT_WR);
		if (kind_of(i) == KIND_GUEST_SHUT)
			shutdown(flows[i].guest, SHUT_WR);
	}
}

static void teardown(void)
{
	for (size_t i = 0; i < FLOWS; i++)
		flow_close(&flows[i]);
	lab_close(&lab);
}

static bool may_send(enum kind kind, int from)
{
	return kind != KIND_QUIET && !(kind == KIND_CLIENT_SHUT && from == FROM_CLIENT) &&
	       !(kind == KIND_GUEST_SHUT && from == FROM_GUEST);
}

static void move_some(struct flow *flow, enum kind kind, bool reads)
{
	size_t size = 1 + roll(kind == KIND_LARGE || kind == KIND_BLOCKED ? LARGE_MAX : SMALL_MAX);

	for (int from = FROM_CLIENT; from <= FROM_GUEST; from++) {
		if (may_send(kind, from))
			flow_send(flow, from, size, size);
		if (reads && may_send(kind, from))
			flow_take(flow, from);
	}
}

/* Once for each: of two urgent bytes that wait, TCP makes the first an ordinary one. */
static void send_urgent(struct flow *flow)
{
	send(flow->client, "!", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void move_all(unsigned round, bool frozen)
{
	for (size_t i = 0; i < FLOWS; i++) {
		enum kind kind = kind_of(i);

		if (roll(3))
			move_some(&flows[i], kind, kind != KIND_BLOCKED || round % 4 == 3);
		if (kind == KIND_URGENT && frozen && round == i % HANDOVERS)
			send_urgent(&flows[i]);
	}
}

START_TEST(two_thousand_connections_survive_twenty_handovers)
{
	for (unsigned round = 0; round < HANDOVERS; round++) {
		move_all(round, false);
		lab_freeze(&lab);
		ck_assert_uint_eq(lab.kept.connections, FLOWS);
		move_all(round, true);
		lab_leave(&lab);
		lab_start(&lab);
		lab_thaw(&lab);
		ck_assert_uint_eq(lab.result.taken, FLOWS);
		ck_assert_uint_eq(lab.result.lost, 0);
	}
	for (size_t i = 0; i < FLOWS; i++) {
		flow_drain(&lab, &flows[i], FROM_CLIENT);
		flow_drain(&lab, &flows[i], FROM_GUEST);
		if (kind_of(i) != KIND_CLIENT_SHUT)
			shutdown(flows[i].client, SHUT_WR);
		flow_expect_end(&lab, &flows[i], FROM_CLIENT);
		if (kind_of(i) != KIND_GUEST_SHUT)
			shutdown(flows[i].guest, SHUT_WR);
		flow_expect_end(&lab, &flows[i], FROM_GUEST);
	}
	while (lab_ended(&lab, CLOSE_DONE) < FLOWS)
		lab_turn(&lab);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/handover_many");
	TCase *tcase = tcase_create("many");

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root may enter namespaces\n");
		return 77;
	}
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 600);
	tcase_add_test(tcase, two_thousand_connections_survive_twenty_handovers);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
