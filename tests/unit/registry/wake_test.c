/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry_fixture.h"

#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct spec *waking(enum wake_which which)
{
	struct spec *spec = empty_spec();

	spec->wake.which = which;
	return spec;
}

static void list(struct spec *spec, uint16_t port, enum proto proto)
{
	struct spec_wake *wake = &spec->wake;

	wake->ports = realloc(wake->ports, (wake->port_count + 1) * sizeof(*wake->ports));
	wake->ports[wake->port_count++] = (struct wake_port){ .proto = proto, .port = port };
}

START_TEST(listed_ports_wake_whether_published_or_not)
{
	struct spec *spec = waking(WAKE_LISTED);
	struct wake_port ports[4];

	add_port(spec, 22);
	list(spec, 8080, PROTO_TCP);
	list(spec, 5353, PROTO_UDP);
	struct sandbox *sandbox = added("a", spec);
	ck_assert_uint_eq(registry_wake_ports(sandbox, ports, 4), 2);
	ck_assert_uint_eq(ports[0].port, 8080);
	ck_assert_uint_eq(ports[1].port, 5353);
	ck_assert_int_eq(ports[1].proto, PROTO_UDP);
	ck_assert(registry_wakes_at(sandbox, PROTO_TCP, 8080) && registry_wakes_at(sandbox, PROTO_UDP, 5353));
	ck_assert(!registry_wakes_at(sandbox, PROTO_UDP, 8080) && !registry_wakes_at(sandbox, PROTO_TCP, 22));
}
END_TEST

START_TEST(published_ports_are_those_of_the_guest_each_once)
{
	struct spec *spec = waking(WAKE_PUBLISHED);
	struct wake_port ports[4];

	add_listen(spec, 80, "127.0.0.1:18080");
	add_listen(spec, 80, "127.0.0.1:18081");
	add_port(spec, 53)->proto = PROTO_UDP;
	struct sandbox *sandbox = added("a", spec);
	ck_assert_uint_eq(registry_wake_ports(sandbox, ports, 4), 2);
	ck_assert_uint_eq(ports[0].port, 80);
	ck_assert_uint_eq(ports[1].port, 53);
	ck_assert_int_eq(ports[1].proto, PROTO_UDP);
	ck_assert(registry_wakes_at(sandbox, PROTO_TCP, 80) && registry_wakes_at(sandbox, PROTO_UDP, 53));
	ck_assert(!registry_wakes_at(sandbox, PROTO_TCP, 53) && !registry_wakes_at(sandbox, PROTO_TCP, 18080));
}
END_TEST

START_TEST(no_more_is_written_than_there_is_room_for)
{
	struct spec *published = waking(WAKE_PUBLISHED), *listed = waking(WAKE_LISTED);
	struct wake_port ports[2] = { { PROTO_TCP, 7 }, { PROTO_TCP, 7 } };

	for (uint16_t port = 1; port <= 3; port++) {
		add_port(published, port);
		list(listed, port, PROTO_TCP);
	}
	ck_assert_uint_eq(registry_wake_ports(added("a", published), ports, 1), 3);
	ck_assert_uint_eq(ports[0].port, 1);
	ck_assert_uint_eq(registry_wake_ports(added("b", listed), ports, 1), 3);
	ck_assert_uint_eq(ports[1].port, 7);
	ck_assert_uint_eq(registry_wake_ports(registry_find(registry, "a"), NULL, 0), 3);
}
END_TEST

START_TEST(what_wakes_it_is_told_and_cut_with_the_number_of_the_others)
{
	struct spec *spec = waking(WAKE_LISTED);
	char text[64];

	list(spec, 8080, PROTO_TCP);
	list(spec, 53, PROTO_UDP);
	struct sandbox *sandbox = added("a", spec);
	ck_assert_str_eq(registry_wake_format(sandbox, text, sizeof(text)), "8080/tcp, 53/udp");
	ck_assert_str_eq(registry_wake_format(sandbox, text, 26), "8080/tcp and 1 more");
	ck_assert_str_eq(registry_wake_format(added("b", waking(WAKE_ANY)), text, sizeof(text)), "any port");
	ck_assert_str_eq(registry_wake_format(added("c", waking(WAKE_PUBLISHED)), text, sizeof(text)), "no port");
}
END_TEST

START_TEST(any_port_is_no_list_and_never_is_none)
{
	struct spec *never = waking(WAKE_NEVER);

	add_port(never, 80);
	struct sandbox *any = added("a", waking(WAKE_ANY)), *none = added("b", never);
	ck_assert_uint_eq(registry_wake_ports(any, NULL, 0), 0);
	ck_assert(registry_wakes_at(any, PROTO_UDP, 1) && registry_wakes_at(any, PROTO_TCP, 65535));
	ck_assert_uint_eq(registry_wake_ports(none, NULL, 0), 0);
	ck_assert(!registry_wakes_at(none, PROTO_TCP, 80));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registry_wake");
	TCase *tcase = tcase_create("registry_wake");

	tcase_add_checked_fixture(tcase, registry_setup, registry_teardown);
	tcase_add_test(tcase, listed_ports_wake_whether_published_or_not);
	tcase_add_test(tcase, published_ports_are_those_of_the_guest_each_once);
	tcase_add_test(tcase, no_more_is_written_than_there_is_room_for);
	tcase_add_test(tcase, what_wakes_it_is_told_and_cut_with_the_number_of_the_others);
	tcase_add_test(tcase, any_port_is_no_list_and_never_is_none);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
