/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/registry/registry_fixture.h"

#include "config/config.h"
#include "unit/run_suite.h"

#include <check.h>

START_TEST(automatic_ports_are_the_lowest_free_on_both_loopbacks)
{
	struct sandbox *a = added("a", with_automatic(2)), *b = added("b", with_automatic(1));

	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20000");
	ck_assert_str_eq(listens_on(a, 0, 1), "[::1]:20000");
	ck_assert_str_eq(listens_on(a, 1, 0), "127.0.0.1:20001");
	ck_assert_str_eq(listens_on(b, 0, 1), "[::1]:20002");
	registry_remove(registry, a);
	ck_assert_str_eq(listens_on(added("c", with_automatic(1)), 0, 0), "127.0.0.1:20000");
}
END_TEST

START_TEST(an_automatic_port_avoids_what_is_held_on_either_loopback)
{
	struct spec *spec = with_listen("127.0.0.1:20000");

	add_listen(spec, 1, "[::1]:20001");
	add_listen(spec, 2, "127.0.0.2:20002"); /* in nobody's way */
	added("a", spec);
	ck_assert_str_eq(listens_on(added("b", with_automatic(1)), 0, 0), "127.0.0.1:20002");
}
END_TEST

START_TEST(an_automatic_port_leaves_alone_what_the_same_request_names_later)
{
	struct spec *spec = with_automatic(1);

	add_listen(spec, 9090, "127.0.0.1:20000");
	ck_assert_str_eq(listens_on(added("a", spec), 0, 0), "127.0.0.1:20001");
}
END_TEST

START_TEST(tcp_and_udp_ports_are_apart)
{
	struct spec *spec = with_listen("127.0.0.1:18080");

	added("a", with_listen("127.0.0.1:18080"));
	spec->ports[0].proto = PROTO_UDP;
	added("b", spec);
	spec = with_automatic(1);
	spec->ports[0].proto = PROTO_UDP;
	ck_assert_str_eq(listens_on(added("c", spec), 0, 0), "127.0.0.1:20000");
	ck_assert_str_eq(listens_on(added("d", with_automatic(1)), 0, 0), "127.0.0.1:20000");
}
END_TEST

START_TEST(a_port_published_already_is_refused_and_the_holder_named)
{
	added("holder", with_listen("127.0.0.1:18080"));
	refused("b", with_listen("127.0.0.1:18080"), PROBLEM_CONFLICT, "/ports/0/listen", "holder");
	added("c", with_listen("[::1]:18080"));
	added("d", with_listen("127.0.0.2:18080"));
}
END_TEST

START_TEST(a_wildcard_excludes_every_address_of_its_family)
{
	struct sandbox *b;

	added("holder", with_listen("127.0.0.3:18080"));
	refused("b", with_listen("0.0.0.0:18080"), PROBLEM_CONFLICT, "/ports/0/listen",
		"127.0.0.3:18080, by sandbox holder");
	b = added("b", with_listen("0.0.0.0:18081"));
	refused("c", with_listen("127.0.0.3:18081"), PROBLEM_CONFLICT, "/ports/0/listen",
		"0.0.0.0:18081, by sandbox b");
	added("d", with_listen("[::]:18081"));
	registry_remove(registry, b);
	added("e", with_listen("127.0.0.3:18081"));
}
END_TEST

START_TEST(the_addresses_of_weftd_itself_are_nobodys)
{
	refused("a", with_listen("127.0.0.1:49983"), PROBLEM_CONFLICT, "/ports/0/listen", "the default endpoint");
	refused("a", with_listen("0.0.0.0:49983"), PROBLEM_CONFLICT, "/ports/0/listen", "the default endpoint");
}
END_TEST

START_TEST(an_endpoint_is_open_when_all_addresses_that_the_host_has_are)
{
	struct endpoint *endpoint = &added("a", with_automatic(1))->endpoints[0];

	ck_assert_uint_eq(endpoint->listen_count, 2);
	ck_assert(!registry_endpoint_is_open(endpoint));
	endpoint->handles[0] = endpoint;
	ck_assert(!registry_endpoint_is_open(endpoint));
	endpoint->absent[1] = true;
	ck_assert(registry_endpoint_is_open(endpoint));
	endpoint->absent[1] = false;
	endpoint->handles[1] = endpoint;
	ck_assert(registry_endpoint_is_open(endpoint));
	endpoint->handles[0] = endpoint->handles[1] = NULL;
	endpoint->port.via = VIA_NAT;
	ck_assert(registry_endpoint_is_open(endpoint));
}
END_TEST

START_TEST(a_refused_sandbox_leaves_nothing_behind)
{
	struct spec *spec = with_automatic(3);

	added("holder", with_listen("127.0.0.1:18080"));
	add_listen(spec, 1, "127.0.0.1:18081");
	add_listen(spec, 2, "127.0.0.1:18080");
	spec->is_default = true;
	refused("b", spec, PROBLEM_CONFLICT, "/ports/4/listen", "holder");
	added("c", with_listen("127.0.0.1:18081"));
	ck_assert_str_eq(listens_on(added("d", with_automatic(1)), 0, 0), "127.0.0.1:20000");
	spec = empty_spec();
	spec->is_default = true;
	added("e", spec);
}
END_TEST

START_TEST(a_range_that_is_used_up_is_said_to_be)
{
	registry_free(registry);
	config->ports.last = 20003;
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
	added("a", with_automatic(3));
	refused("b", with_automatic(2), PROBLEM_UNAVAILABLE, "/ports/1", "20000-20003, 4 are published");
	added("c", with_automatic(1));
	refused("d", with_automatic(1), PROBLEM_UNAVAILABLE, "/ports/0", "20000-20003, 4 are published");
}
END_TEST

START_TEST(a_port_that_another_program_has_is_not_tried_again_at_once)
{
	registry_avoid_port(registry, 20000);
	registry_avoid_port(registry, 20001);
	registry_avoid_port(registry, 20000);
	ck_assert_str_eq(listens_on(added("a", with_automatic(1)), 0, 0), "127.0.0.1:20002");
	added("b", with_listen("127.0.0.1:20000")); /* by name it may be tried */
}
END_TEST

START_TEST(without_ipv6_endpoints_have_their_other_addresses_alone)
{
	struct spec *spec = with_automatic(1);
	struct spec_port *both = add_listen(spec, 1, "[::1]:18080");
	struct sandbox *a;

	ck_assert_int_eq(addr_parse("127.0.0.1:18080", &both->listen[both->listen_count++]), 0);
	add_listen(spec, 2, "[::1]:18081");
	registry_set_ipv6_loopback(registry, false);
	a = added("a", spec);
	ck_assert_uint_eq(a->endpoints[0].listen_count, 1);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20000");
	ck_assert_uint_eq(a->endpoints[1].listen_count, 1);
	ck_assert_str_eq(listens_on(a, 1, 0), "127.0.0.1:18080");
	ck_assert_str_eq(listens_on(a, 2, 0),
			 "[::1]:18081"); /* the only address asked for: opening it reports the fault */
	registry_remove(registry, a);
	registry_set_ipv6_loopback(registry, true);
	ck_assert_uint_eq(added("b", with_automatic(1))->endpoints[0].listen_count, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoints");
	TCase *tcase = tcase_create("endpoints");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, registry_setup, registry_teardown);
	tcase_add_test(tcase, automatic_ports_are_the_lowest_free_on_both_loopbacks);
	tcase_add_test(tcase, an_automatic_port_avoids_what_is_held_on_either_loopback);
	tcase_add_test(tcase, an_automatic_port_leaves_alone_what_the_same_request_names_later);
	tcase_add_test(tcase, tcp_and_udp_ports_are_apart);
	tcase_add_test(tcase, a_port_published_already_is_refused_and_the_holder_named);
	tcase_add_test(tcase, a_wildcard_excludes_every_address_of_its_family);
	tcase_add_test(tcase, the_addresses_of_weftd_itself_are_nobodys);
	tcase_add_test(tcase, an_endpoint_is_open_when_all_addresses_that_the_host_has_are);
	tcase_add_test(tcase, a_refused_sandbox_leaves_nothing_behind);
	tcase_add_test(tcase, a_range_that_is_used_up_is_said_to_be);
	tcase_add_test(tcase, a_port_that_another_program_has_is_not_tried_again_at_once);
	tcase_add_test(tcase, without_ipv6_endpoints_have_their_other_addresses_alone);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
