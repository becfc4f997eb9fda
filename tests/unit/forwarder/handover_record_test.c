/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of a handover, whole and damaged in each way: only the connections concerned are lost. */
#include "forwarder/handover_record.h"
#include "forwarder/record_part.h"
#include "unit/run_suite.h"

#include <check.h>
#include <endian.h>
#include <string.h>

/* The writer of the next version, beside that of this one. */
int next_record_write(const struct frozen_list *routes, const struct frozen_list *more, const struct record_head *head,
		      struct record_bytes *bytes, struct record_fds *fds);
#define WEFT_HANDOVER_NEXT
#define fwd_record_write next_record_write
#include "../../../src/forwarder/handover_write.c"
#undef fwd_record_write

/* Two are of guests that asked for a service; the last came through the door, from nobody knows where. */
enum { HELD, OPEN, PIPED, LINGERING, ASKING, ASKED, VISITING, CONNECTIONS, FDS = 13, FIRST_FD = 1000 };

static struct record_bytes bytes;
static struct record_fds fds;
static struct frozen_list routes, read_routes;
static struct record_finding finding;
static char rest[] = "not sent yet";

/* SOURCE: it is dialed from an address that was chosen. */
static void add_target(struct frozen *frozen, struct fwd_target target, bool source)
{
	frozen->kind = FROZEN_SERVICE;
	frozen->target = target;
	if (source)
		frozen->target.source = addr_from_ipv4(0x0a0c0003, 0);
}

static void add_visit(struct frozen *frozen)
{
	frozen->kind = FROZEN_DOOR;
	frozen->door_kind = DOOR_GRPC;
	frozen->door_token.given = true;
	memset(frozen->door_token.sha256, 7, sizeof(frozen->door_token.sha256));
	frozen->client = (struct addr){ 0 };
	frozen->listen = addr_from_ipv4(INADDR_ANY, frozen->guest_port);
}

static void add_connection(struct frozen_route *route, int which)
{
	struct frozen *frozen = vec_push(route);

	fwd_frozen_init(frozen);
	frozen->phase = which == HELD                          ? FROZEN_HELD
			: which == LINGERING || which == ASKED ? FROZEN_LINGERING
							       : FROZEN_OPEN;
	frozen->id = 100 + (uint64_t)which;
	ck_assert_int_eq(addr_parse(which == OPEN ? "[fe80::1]:80" : "127.0.0.1:80", &frozen->listen), 0);
	ck_assert_int_eq(addr_parse(which == OPEN ? "[fe80::2]:81" : "127.0.0.2:81", &frozen->client), 0);
	frozen->guest_port = 8080;
	frozen->proxy_protocol = which == OPEN;
	frozen->leaving = which == HELD;
	frozen->dials = 3;
	frozen->error = 111;
	frozen->age_us = 9000 * 1000;
	frozen->connect_ms = 20;
	frozen->idle_ms = 30;
	frozen->half_closed_ms = which == OPEN ? 40 : FROZEN_NEVER;
	frozen->settle_ms = 50;
	frozen->deadline_ms = 60;
	frozen->refused_ms = which == HELD ? 70 : FROZEN_NEVER;
	if (which == ASKING)
		add_target(frozen, fwd_target_path("/run/events.sock", true), false);
	if (which == ASKED)
		add_target(frozen, fwd_target_address(&frozen->client, false), true);
	if (which == VISITING)
		add_visit(frozen);
	if (which != LINGERING)
		frozen->peers[CLIENT] =
		    (struct frozen_peer){ .fd = FIRST_FD + 10 * which, .cookie = 5, .special = true };
	if (which != HELD && which != ASKED)
		frozen->peers[SERVER] =
		    (struct frozen_peer){ .fd = FIRST_FD + 10 * which + 1, .cookie = 6, .ended = true };
	if (which == OPEN) {
		frozen->streams[CLIENT].rest = rest;
		frozen->streams[CLIENT].rest_size = sizeof(rest);
		frozen->streams[SERVER].finished = true;
	}
	if (which == PIPED) {
		frozen->streams[SERVER].pipe_read = FIRST_FD + 10 * which + 2;
		frozen->streams[SERVER].pipe_write = FIRST_FD + 10 * which + 3;
		frozen->streams[SERVER].pipe_filled = 77;
		frozen->streams[SERVER].pipe_inode = 88;
		frozen->streams[SERVER].bulk = frozen->streams[SERVER].bounded = true;
	}
	frozen->streams[CLIENT].bytes = 12345678901;
}

static struct frozen_route *add_route(const char *id)
{
	struct frozen_route *route = fwd_frozen_route_new();

	strcpy(route->id, id);
	route->slot = 9;
	route->netns_device = 4;
	route->netns_inode = 4026531840;
	route->carrier_downs = 2;
	route->paused = true;
	route->pace = 1 << 20;
	route->limits =
	    (struct limits){ .connect_deadline_ms = 1, .idle_ms = 2, .half_closed_ms = 3, .keepalive_ms = 4 };
	STAILQ_INSERT_TAIL(&routes, route, next);
	return route;
}

static void write_with(int (*write)(const struct frozen_list *, const struct frozen_list *, const struct record_head *,
				    struct record_bytes *, struct record_fds *))
{
	const struct record_head head = { .frozen_ms = 123456, .last_id = 200 };

	bytes.count = fds.count = 0;
	ck_assert_int_eq(write(&routes, NULL, &head, &bytes, &fds), 0);
}

static void setup(void)
{
	struct frozen_route *route;

	STAILQ_INIT(&routes);
	STAILQ_INIT(&read_routes);
	route = add_route("sb-1");
	add_connection(route, HELD);
	add_connection(route, OPEN);
	route = add_route("sb-2");
	add_connection(route, PIPED);
	add_connection(route, LINGERING);
	add_connection(route, ASKING);
	add_connection(route, ASKED);
	add_connection(route, VISITING);
	write_with(fwd_record_write);
	ck_assert_uint_eq(fds.count, FDS);
}

static void forget(struct frozen_list *list, bool owned)
{
	struct frozen_route *route;

	while ((route = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, next);
		for (size_t i = 0; i < route->count && !owned; i++)
			route->items[i].streams[CLIENT].rest = NULL;
		fwd_frozen_route_free(route);
	}
}

static void teardown(void)
{
	forget(&routes, false);
	forget(&read_routes, true);
	vec_free(&bytes);
	vec_free(&fds);
}

/* Reads SIZE bytes with copies of the first COUNT descriptors: how many of these are still there. */
static size_t read_part(size_t size, size_t count)
{
	int copy[FDS];
	size_t left = 0;

	/* Of its own size, so that a sanitizer sees each byte beyond. */
	uint8_t *exact = malloc(size ? size : 1);

	memcpy(exact, bytes.items, size);
	memcpy(copy, fds.items, sizeof(copy));
	forget(&read_routes, true);
	fwd_record_read(exact, size, copy, count, &read_routes, &finding);
	free(exact);
	for (size_t i = 0; i < count; i++)
		left += copy[i] >= 0;
	return left;
}

static void assert_lost(size_t lost)
{
	read_part(bytes.count, fds.count);
	ck_assert_uint_eq(finding.lost, lost);
	ck_assert_uint_eq(finding.read, CONNECTIONS - lost);
	ck_assert(lost == 0 || finding.problem);
}

/* The contents of the NTH part with TAG, wherever it lies. */
static uint8_t *find(uint16_t tag, size_t nth)
{
	for (size_t at = RECORD_HEADER_SIZE; at + PART_HEADER_SIZE <= bytes.count;) {
		uint16_t found;
		uint32_t size;

		memcpy(&found, bytes.items + at, sizeof(found));
		memcpy(&size, bytes.items + at + 4, sizeof(size));
		found = le16toh(found);
		if (found == tag && !nth--)
			return bytes.items + at + PART_HEADER_SIZE;
		/* Into those that hold others, past the rest. */
		at += PART_HEADER_SIZE;
		if (found != TAG_ROUTE && found != TAG_CONNECTION)
			at += le32toh(size);
	}
	ck_abort_msg("no part %u", tag);
}

static void put16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static void assert_same_connection(const struct frozen *a, const struct frozen *b)
{
	ck_assert_int_eq(a->phase, b->phase);
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert(fwd_target_equal(&a->target, &b->target));
	ck_assert_int_eq(a->door_kind, b->door_kind);
	ck_assert_mem_eq(&a->door_token, &b->door_token, sizeof(a->door_token));
	ck_assert_uint_eq(a->id, b->id);
	ck_assert(addr_equal(&a->listen, &b->listen) &&
		  (a->client.any.sa_family ? addr_equal(&a->client, &b->client) : !b->client.any.sa_family));
	ck_assert_uint_eq(a->guest_port, b->guest_port);
	ck_assert(a->proxy_protocol == b->proxy_protocol && a->leaving == b->leaving);
	ck_assert(a->dials == b->dials && a->error == b->error && a->age_us == b->age_us);
	ck_assert(a->connect_ms == b->connect_ms && a->idle_ms == b->idle_ms && a->settle_ms == b->settle_ms);
	ck_assert(a->half_closed_ms == b->half_closed_ms && a->deadline_ms == b->deadline_ms);
	ck_assert_uint_eq(a->refused_ms, b->refused_ms);
	for (size_t i = 0; i < 2; i++) {
		const struct frozen_stream *x = &a->streams[i], *y = &b->streams[i];

		ck_assert(a->peers[i].fd == b->peers[i].fd && a->peers[i].cookie == b->peers[i].cookie);
		ck_assert(a->peers[i].special == b->peers[i].special && a->peers[i].ended == b->peers[i].ended);
		ck_assert(x->bytes == y->bytes && x->rest_size == y->rest_size && x->pipe_filled == y->pipe_filled);
		ck_assert(!x->rest == !y->rest && (!x->rest || !memcmp(x->rest, y->rest, x->rest_size)));
		ck_assert(x->pipe_read == y->pipe_read && x->pipe_write == y->pipe_write);
		ck_assert(x->pipe_inode == y->pipe_inode && x->bulk == y->bulk && x->bounded == y->bounded);
		ck_assert(x->finished == y->finished);
	}
}

static void assert_same(void)
{
	const struct frozen_route *a = STAILQ_FIRST(&routes), *b = STAILQ_FIRST(&read_routes);

	for (; a; a = STAILQ_NEXT(a, next), b = STAILQ_NEXT(b, next)) {
		ck_assert_ptr_nonnull(b);
		ck_assert_str_eq(a->id, b->id);
		ck_assert(a->slot == b->slot && a->netns_device == b->netns_device && a->netns_inode == b->netns_inode);
		ck_assert(a->carrier_downs == b->carrier_downs && a->paused == b->paused && a->pace == b->pace);
		ck_assert(!memcmp(&a->limits, &b->limits, sizeof(a->limits)));
		ck_assert_uint_eq(a->count, b->count);
		for (size_t i = 0; i < a->count; i++)
			assert_same_connection(&a->items[i], &b->items[i]);
	}
	ck_assert_ptr_null(b);
}

START_TEST(a_record_reads_back_as_it_was_written)
{
	ck_assert_uint_eq(read_part(bytes.count, fds.count), 0);
	ck_assert_ptr_null(finding.problem);
	ck_assert_uint_eq(finding.lost, 0);
	ck_assert_uint_eq(finding.head.frozen_ms, 123456);
	ck_assert_uint_eq(finding.head.last_id, 200);
	assert_same();
}
END_TEST

START_TEST(of_the_next_minor_version_all_is_read_that_is_known)
{
	write_with(next_record_write);
	ck_assert_uint_eq(read_part(bytes.count, fds.count), 0);
	ck_assert_ptr_null(finding.problem);
	assert_same();
}
END_TEST

START_TEST(of_another_major_version_nothing_is_read)
{
	put16(bytes.items + RECORD_MAGIC_SIZE, RECORD_MAJOR + 1);
	ck_assert_uint_eq(read_part(bytes.count, fds.count), FDS);
	ck_assert_uint_eq(finding.read, 0);
	ck_assert_ptr_nonnull(finding.problem);
}
END_TEST

START_TEST(cut_off_anywhere_it_gives_what_lies_whole_before)
{
	size_t most = 0;

	for (size_t size = 0; size < bytes.count; size++) {
		size_t left = read_part(size, fds.count), held = 0;
		const struct frozen_route *route;

		ck_assert_ptr_nonnull(finding.problem);
		ck_assert_uint_ge(finding.read, most);
		ck_assert(finding.read + finding.lost == CONNECTIONS || !finding.head.connections);
		most = finding.read;
		STAILQ_FOREACH(route, &read_routes, next)
		held += route->count;
		ck_assert_uint_eq(held, finding.read);
		ck_assert(left > 0);
	}
	ck_assert_uint_eq(most, CONNECTIONS - 1);
}
END_TEST

START_TEST(bytes_in_excess_are_told_and_cost_nothing)
{
	memset(vec_push(&bytes), 1, 1);
	assert_lost(0);
	ck_assert_ptr_nonnull(finding.problem);
}
END_TEST

static size_t count_fds(void)
{
	const struct frozen_route *route;
	size_t count = 0;

	STAILQ_FOREACH(route, &read_routes, next)
	{
		for (size_t i = 0; i < route->count; i++) {
			for (size_t side = 0; side < 2; side++) {
				count += route->items[i].peers[side].fd >= FIRST_FD;
				count += route->items[i].streams[side].pipe_read >= FIRST_FD;
				count += route->items[i].streams[side].pipe_write >= FIRST_FD;
			}
		}
	}
	return count;
}

START_TEST(whatever_bit_changes_each_descriptor_is_one_connections_or_left)
{
	for (size_t at = 0; at < bytes.count; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			size_t left;

			bytes.items[at] ^= (uint8_t)(1 << bit);
			left = read_part(bytes.count, fds.count);
			if (finding.read > CONNECTIONS || left + count_fds() != FDS)
				ck_abort_msg("byte %zu, bit %u", at, bit);
			bytes.items[at] ^= (uint8_t)(1 << bit);
		}
	}
	assert_lost(0);
}
END_TEST

START_TEST(a_count_of_connections_that_is_wrong_is_told)
{
	uint8_t *head = find(TAG_HEAD, 0);

	head[16] = CONNECTIONS + 2;
	read_part(bytes.count, fds.count);
	ck_assert_uint_eq(finding.read, CONNECTIONS);
	ck_assert_uint_eq(finding.lost, 2);
	ck_assert_ptr_nonnull(finding.problem);
	head[18] = 1; /* more than there are descriptors */
	read_part(bytes.count, fds.count);
	ck_assert_uint_eq(finding.lost, fds.count - CONNECTIONS);
	head[18] = 0;
	head[16] = 1;
	read_part(bytes.count, fds.count);
	ck_assert_uint_eq(finding.read, CONNECTIONS);
	ck_assert_ptr_nonnull(finding.problem);
}
END_TEST

START_TEST(descriptors_that_did_not_come_cost_their_connections)
{
	/* Its other one is nobody's. */
	ck_assert_uint_eq(read_part(bytes.count, fds.count - 1), 1);
	ck_assert_uint_eq(finding.lost, 1);
	ck_assert_ptr_nonnull(finding.problem);
	fds.items[0] = -1;
	assert_lost(1);
}
END_TEST

START_TEST(a_descriptor_of_two_connections_goes_to_the_first)
{
	/* The second peer's index becomes the first's. */
	memcpy(find(TAG_PEER, 1) + 4, find(TAG_PEER, 0) + 4, 4);
	assert_lost(1);
}
END_TEST

START_TEST(an_unknown_part_that_must_be_known_costs_what_it_lies_in)
{
	uint8_t *part;

	write_with(next_record_write);
	part = find(TAG_UNKNOWN, _i) - PART_HEADER_SIZE;
	put16(part + 2, PART_NEEDED);
	/* The file's, the first route's, the first connection's. */
	assert_lost(_i == 0 ? CONNECTIONS : _i == 1 ? 2 : 1);
}
END_TEST

struct fault {
	uint16_t tag;
	size_t nth, offset;
	uint64_t value;
};

static const struct fault faults[] = {
	{ TAG_FACTS, 0, 0, FROZEN_INSPECTED },                       /* a kind of the future, and phase 0 */
	{ TAG_FACTS, 0, 8, 0 },                                      /* no id */
	{ TAG_FACTS, 0, 16, UINT64_MAX },                            /* of an age beyond all */
	{ TAG_FACTS, 1, 24, UINT64_MAX - 1 },                        /* connected in a far future */
	{ TAG_FACTS, 1, 48, UINT64_MAX - 1 },                        /* settled in one */
	{ TAG_CLIENT, 0, 0, 5 },                                     /* a family, and port 0 */
	{ TAG_ENDPOINT, 1, 24, 0 },                                  /* no guest port */
	{ TAG_PEER, 0, 0, 2 },                                       /* a third side */
	{ TAG_PEER, 0, 0, 0x80000000 },                              /* an unknown flag */
	{ TAG_STREAM, 5, 12, 0xffffffff00000000 | UINT32_MAX },      /* a pipe that is filled and not there */
	{ TAG_STREAM, 2, 0, 0x40000 },                               /* bytes to be sent behind a FIN */
	{ TAG_STREAM, 2, 0, 1 },                                     /* the other side's once more */
	{ TAG_REST, 0, 0, 1 },                                       /* the rest of a stream that is finished */
	{ TAG_FACTS, 0, 0, FROZEN_SERVICE | FROZEN_HELD << 8 },      /* a service without a target */
	{ TAG_FACTS, 4, 0, FROZEN_ENDPOINT | FROZEN_OPEN << 8 },     /* a target that is not its guest's */
	{ TAG_FACTS, 4, 0, FROZEN_SERVICE | FROZEN_LINGERING << 8 }, /* lingering, and the service is there */
	{ TAG_TARGET, 0, 0, 2 },                                     /* a third place */
	{ TAG_TARGET, 0, 0, 1 | 4 << 16 },                           /* an unknown flag */
	{ TAG_TARGET, 0, 0, 1 | 1ULL << 40 },                        /* a path beyond all */
	{ TAG_TARGET, 0, 8, 0 },                                     /* no path */
	{ TAG_TARGET, 0, 8, '/' },                                   /* a path that ends before */
	{ TAG_TARGET, 1, 8, 5 },                                     /* a family, and port 0 */
	{ TAG_FACTS, 0, 0, FROZEN_DOOR | FROZEN_HELD << 8 }, /* it came through the door, and nothing more is known */
	{ TAG_FACTS, 6, 0, FROZEN_ENDPOINT | FROZEN_OPEN << 8 }, /* it did not come through the door */
	{ TAG_DOOR, 0, 0, 'x' },                                 /* an unknown way to be refused */
	{ TAG_DOOR, 0, 0, 'h' | 2 << 8 },                        /* an unknown flag */
};

START_TEST(a_value_out_of_range_costs_its_connection)
{
	const struct fault *fault = &faults[_i];

	put64(find(fault->tag, fault->nth) + fault->offset, fault->value);
	assert_lost(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/handover_record");
	TCase *tcase = tcase_create("record");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_record_reads_back_as_it_was_written);
	tcase_add_test(tcase, of_the_next_minor_version_all_is_read_that_is_known);
	tcase_add_test(tcase, of_another_major_version_nothing_is_read);
	tcase_add_test(tcase, cut_off_anywhere_it_gives_what_lies_whole_before);
	tcase_add_test(tcase, bytes_in_excess_are_told_and_cost_nothing);
	tcase_add_test(tcase, whatever_bit_changes_each_descriptor_is_one_connections_or_left);
	tcase_add_test(tcase, a_count_of_connections_that_is_wrong_is_told);
	tcase_add_test(tcase, descriptors_that_did_not_come_cost_their_connections);
	tcase_add_test(tcase, a_descriptor_of_two_connections_goes_to_the_first);
	tcase_add_loop_test(tcase, an_unknown_part_that_must_be_known_costs_what_it_lies_in, 0, 3);
	tcase_add_loop_test(tcase, a_value_out_of_range_costs_its_connection, 0,
			    (int)(sizeof(faults) / sizeof(faults[0])));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
