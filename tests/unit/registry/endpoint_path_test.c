/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which endpoints get an entry in the kernel's table, and why the others get none. */
#include "registry/endpoint_path.h"
#include "unit/registry/registry_fixture.h"
#include "unit/run_suite.h"

#include "config/config.h"

#include <check.h>
#include <string.h>

static int listener;

/* A sandbox that is ready, whose first port weft listens at and that has answered. */
static struct sandbox *ready(const char *id)
{
	struct sandbox *sandbox = added(id, with_automatic(1));

	sandbox->spec->ready_port = sandbox->endpoints[0].port.guest_port;
	sandbox->carrier = sandbox->was_attached = sandbox->guest_answers = true;
	for (size_t i = 0; i < sandbox->endpoints[0].listen_count; i++)
		sandbox->endpoints[0].handles[i] = &listener;
	registry_sandbox_set_state(registry, sandbox, SANDBOX_WAITING, "test", NULL);
	registry_sandbox_set_state(registry, sandbox, SANDBOX_ATTACHED, "test", NULL);
	registry_sandbox_set_state(registry, sandbox, SANDBOX_READY, "test", NULL);
	return sandbox;
}

static struct path_facts able(void)
{
	struct path_facts facts = registry_path_facts(config);

	facts.there = facts.ipv6 = true;
	return facts;
}

static const char *decided(const struct sandbox *sandbox, const struct path_facts *facts, bool answered)
{
	const struct path_question question = { .sandbox = sandbox,
						.endpoint = &sandbox->endpoints[0],
						.answered = answered };

	sandbox->endpoints[0].path_reason = registry_path_decide(&question, facts);
	if (sandbox->endpoints[0].path_reason == PATH_ENTERED)
		return "entered";
	return registry_path_reason(&sandbox->endpoints[0]);
}

static const char *decides(const struct sandbox *sandbox)
{
	const struct path_facts facts = able();

	return decided(sandbox, &facts, true);
}

START_TEST(the_ready_port_that_answered_is_entered)
{
	ck_assert_str_eq(decides(ready("a")), "entered");
}
END_TEST

START_TEST(what_the_host_lacks_or_the_options_refuse_is_said_first)
{
	struct sandbox *sandbox = ready("a");
	struct path_facts facts = able();

	sandbox->paused = true;
	facts.there = false;
	ck_assert_str_eq(decided(sandbox, &facts, true), "not-there");
	facts.loopback = LOOPBACK_FORWARDER;
	ck_assert_str_eq(decided(sandbox, &facts, true), "off");
	facts = able();
	ck_assert_str_eq(decided(sandbox, &facts, true), "paused");
	facts.local_users = true;
	ck_assert_str_eq(decided(sandbox, &facts, true), "local-users");
	facts.limits_connections = true;
	ck_assert_str_eq(decided(sandbox, &facts, true), "limits");
}
END_TEST

START_TEST(whatever_the_forwarder_does_for_a_connection_keeps_it_there)
{
	struct sandbox *sandbox = ready("a");
	unsigned *limits[] = { &sandbox->spec->limits.connections, &sandbox->spec->limits.idle_ms,
			       &sandbox->spec->limits.half_closed_ms };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		*limits[i] = 1;
		ck_assert_str_eq(decides(sandbox), "limits");
		*limits[i] = 0;
	}
	sandbox->spec->limits.keepalive_ms = sandbox->spec->limits.connect_deadline_ms = 1000;
	ck_assert_str_eq(decides(sandbox), "entered");
	sandbox->endpoints[0].port.proxy_protocol = true;
	ck_assert_str_eq(decides(sandbox), "proxy-protocol");
}
END_TEST

START_TEST(auto_is_for_the_ready_port_and_the_default_endpoint)
{
	struct sandbox *sandbox = ready("a");
	struct path_facts facts = able();
	struct path_question question = { .sandbox = sandbox, .endpoint = &sandbox->endpoints[0], .answered = true };

	facts.loopback = LOOPBACK_AUTO;
	sandbox->spec->ready_port++;
	ck_assert_int_eq(registry_path_decide(&question, &facts), PATH_NOT_READY_PORT);
	question.is_default = true;
	ck_assert_int_eq(registry_path_decide(&question, &facts), PATH_ENTERED);
	question.is_default = false;
	facts.loopback = LOOPBACK_KERNEL;
	ck_assert_int_eq(registry_path_decide(&question, &facts), PATH_ENTERED);
	sandbox->spec->ready_port--;
	facts.loopback = LOOPBACK_AUTO;
	sandbox->endpoints[0].port.proto = PROTO_UDP;
	ck_assert_int_eq(registry_path_decide(&question, &facts), PATH_NOT_READY_PORT);
}
END_TEST

START_TEST(only_the_state_ready_has_entries)
{
	static const enum sandbox_state states[] = { SANDBOX_CREATING, SANDBOX_WAITING,  SANDBOX_ATTACHED,
						     SANDBOX_DETACHED, SANDBOX_DRAINING, SANDBOX_FAILED };
	static const char *const reasons[] = { "waiting", "waiting", "waiting", "waiting", "draining", "failed" };
	struct sandbox *sandbox = ready("a");

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		sandbox->state = states[i];
		ck_assert_str_eq(decides(sandbox), reasons[i]);
	}
	sandbox->state = SANDBOX_READY;
	sandbox->carrier = false;
	ck_assert_str_eq(decides(sandbox), "waiting");
}
END_TEST

START_TEST(a_port_that_never_answered_or_that_nobody_holds_has_none)
{
	struct sandbox *sandbox = ready("a");
	const struct path_facts facts = able();

	ck_assert_str_eq(decided(sandbox, &facts, false), "not-answered-yet");
	memset(sandbox->endpoints[0].handles, 0, sizeof(sandbox->endpoints[0].handles));
	ck_assert_str_eq(decides(sandbox), "closed");
}
END_TEST

START_TEST(a_stop_removes_all)
{
	struct path_facts facts = able();

	facts.stopping = true;
	ck_assert_str_eq(decided(ready("a"), &facts, true), "stopping");
}
END_TEST

START_TEST(addresses_are_taken_each_by_itself)
{
	struct sandbox *sandbox = ready("a");
	struct endpoint *endpoint = &sandbox->endpoints[0];
	struct path_facts facts = able();

	ck_assert(registry_path_takes(endpoint, 0, &facts));
	ck_assert(registry_path_takes(endpoint, 1, &facts));
	facts.ipv6 = false;
	ck_assert(registry_path_takes(endpoint, 0, &facts));
	ck_assert(!registry_path_takes(endpoint, 1, &facts));
	ck_assert_str_eq(decided(sandbox, &facts, true), "entered");
	endpoint->handles[0] = NULL;
	ck_assert_str_eq(decided(sandbox, &facts, true), "closed");
	endpoint->listen[0] = addr_from_ipv4(0xc0a80105, 80);
	endpoint->listen_count = 1;
	ck_assert_str_eq(decided(sandbox, &facts, true), "not-loopback");
}
END_TEST

START_TEST(what_is_shown_is_what_is_entered)
{
	struct sandbox *sandbox = ready("a");
	struct endpoint *endpoint = &sandbox->endpoints[0];

	ck_assert_str_eq(decides(sandbox), "entered");
	ck_assert_str_eq(registry_path_name(endpoint), "forwarder");
	ck_assert_str_eq(registry_path_reason(endpoint), "trouble");
	endpoint->entered[1] = true;
	ck_assert_str_eq(registry_path_name(endpoint), "kernel");
	ck_assert_ptr_null(registry_path_reason(endpoint));
	endpoint->entered[1] = false;
	endpoint->port.via = VIA_NAT;
	ck_assert_str_eq(registry_path_name(endpoint), "kernel");
	ck_assert_ptr_null(registry_path_reason(endpoint));
}
END_TEST

int main(void)
{
	TCase *deciding = tcase_create("deciding");
	Suite *suite = suite_create("endpoint_path");

	tcase_add_checked_fixture(deciding, registry_setup, registry_teardown);
	tcase_add_test(deciding, the_ready_port_that_answered_is_entered);
	tcase_add_test(deciding, what_the_host_lacks_or_the_options_refuse_is_said_first);
	tcase_add_test(deciding, whatever_the_forwarder_does_for_a_connection_keeps_it_there);
	tcase_add_test(deciding, auto_is_for_the_ready_port_and_the_default_endpoint);
	tcase_add_test(deciding, only_the_state_ready_has_entries);
	tcase_add_test(deciding, a_port_that_never_answered_or_that_nobody_holds_has_none);
	tcase_add_test(deciding, a_stop_removes_all);
	tcase_add_test(deciding, addresses_are_taken_each_by_itself);
	tcase_add_test(deciding, what_is_shown_is_what_is_entered);
	suite_add_tcase(suite, deciding);
	return run_suite(suite);
}
