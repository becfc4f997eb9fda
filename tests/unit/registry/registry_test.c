/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry/registry.h"

#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config *config;
static struct registry *registry;
static struct problem problem;

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	ck_assert_ptr_nonnull(config);
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
}

static void teardown(void)
{
	registry_free(registry);
	config_free(config);
}

static struct spec *empty_spec(void)
{
	struct spec *spec = spec_new(config);

	ck_assert_ptr_nonnull(spec);
	return spec;
}

static struct spec_port *add_port(struct spec *spec, uint16_t guest_port)
{
	struct spec_port *port;

	spec->ports = realloc(spec->ports, (spec->port_count + 1) * sizeof(*spec->ports));
	ck_assert_ptr_nonnull(spec->ports);
	port = &spec->ports[spec->port_count++];
	*port = (struct spec_port){ .guest_port = guest_port, .automatic = true };
	return port;
}

static struct spec_port *add_listen(struct spec *spec, uint16_t guest_port, const char *text)
{
	struct spec_port *port = add_port(spec, guest_port);

	port->automatic = false;
	ck_assert_int_eq(addr_parse(text, &port->listen[port->listen_count++]), 0);
	return port;
}

static struct sandbox *added(const char *id, struct spec *spec)
{
	struct sandbox *sandbox = registry_add(registry, id, spec, &problem);

	ck_assert_msg(sandbox != NULL, "%s: %s", id, problem.detail);
	return sandbox;
}

static void refused(const char *id, struct spec *spec, enum problem_kind kind, const char *field, const char *detail)
{
	size_t count = registry_count(registry);

	ck_assert_ptr_null(registry_add(registry, id, spec, &problem));
	ck_assert_int_eq(problem.kind, kind);
	ck_assert_str_eq(problem.field, field);
	ck_assert_msg(strstr(problem.detail, detail) != NULL, "\"%s\" lacks \"%s\"", problem.detail, detail);
	ck_assert_uint_eq(registry_count(registry), count);
	ck_assert_ptr_null(registry_find(registry, id));
	spec_free(spec);
}

static struct spec *with_listen(const char *text)
{
	struct spec *spec = empty_spec();

	add_listen(spec, 8080, text);
	return spec;
}

static struct spec *with_automatic(size_t count)
{
	struct spec *spec = empty_spec();

	for (size_t i = 0; i < count; i++)
		add_port(spec, (uint16_t)(8000 + i));
	return spec;
}

static const char *listens_on(const struct sandbox *sandbox, size_t endpoint, size_t index)
{
	static char text[ADDR_TEXT_SIZE];

	ck_assert_uint_lt(endpoint, sandbox->endpoint_count);
	ck_assert_uint_lt(index, sandbox->endpoints[endpoint].listen_count);
	return addr_format(&sandbox->endpoints[endpoint].listen[index], text);
}

/* ---- Slots ---- */

START_TEST(the_lowest_free_slot_is_given)
{
	struct sandbox *a = added("a", empty_spec()), *b = added("b", empty_spec()), *c = added("c", empty_spec());

	ck_assert_uint_eq(a->slot, 1);
	ck_assert_uint_eq(b->slot, 2);
	ck_assert_uint_eq(c->slot, 3);
	registry_remove(registry, b);
	registry_remove(registry, a);
	ck_assert_uint_eq(added("d", empty_spec())->slot, 1);
	ck_assert_uint_eq(added("e", empty_spec())->slot, 2);
	ck_assert_uint_eq(added("f", empty_spec())->slot, 4);
}
END_TEST

START_TEST(a_blocked_slot_is_skipped_until_it_is_unblocked)
{
	struct sandbox *a = added("a", empty_spec());

	registry_block_slot(registry, 2, "veth-2 is not ours");
	registry_block_slot(registry, 2, "veth-2 is not ours");
	ck_assert_uint_eq(added("b", empty_spec())->slot, 3);
	registry_block_slot(registry, 1, "being taken apart");
	registry_remove(registry, a);
	ck_assert_uint_eq(added("c", empty_spec())->slot, 4);
	registry_unblock_slot(registry, 2);
	ck_assert_uint_eq(added("d", empty_spec())->slot, 2);
	registry_unblock_slot(registry, 1);
	ck_assert_uint_eq(added("e", empty_spec())->slot, 1);
}
END_TEST

START_TEST(a_preferred_slot_is_given_once_and_only_if_it_is_free)
{
	registry_prefer_slot(registry, 50);
	ck_assert_uint_eq(added("a", empty_spec())->slot, 50);
	ck_assert_uint_eq(added("b", empty_spec())->slot, 1);
	registry_prefer_slot(registry, 50);
	ck_assert_uint_eq(added("c", empty_spec())->slot, 2);
	registry_block_slot(registry, 60, "busy");
	registry_prefer_slot(registry, 60);
	ck_assert_uint_eq(added("d", empty_spec())->slot, 3);
	registry_prefer_slot(registry, 65535);
	ck_assert_uint_eq(added("e", empty_spec())->slot, 4);
}
END_TEST

START_TEST(all_slots_can_be_filled_and_then_it_is_said_why_there_is_none)
{
	unsigned last = config_slot_max(config);
	char id[16];

	registry_block_slot(registry, 7, "veth-7 is not ours");
	for (unsigned i = 1; i < last; i++) {
		snprintf(id, sizeof(id), "s%u", i);
		added(id, empty_spec());
	}
	refused("one-more", empty_spec(), PROBLEM_UNAVAILABLE, "", "veth-7 is not ours");
	registry_unblock_slot(registry, 7);
	ck_assert_uint_eq(added("last", empty_spec())->slot, 7);
	refused("one-more", empty_spec(), PROBLEM_UNAVAILABLE, "", "no slot is free");
	ck_assert_uint_eq(registry_count(registry), last);
	ck_assert_uint_eq(registry_find(registry, "s9")->slot, 10);
}
END_TEST

START_TEST(sandboxes_are_walked_by_slot)
{
	unsigned expected[] = { 1, 3, 40 };
	size_t seen = 0;

	added("a", empty_spec());
	registry_remove(registry, added("b", empty_spec()));
	registry_prefer_slot(registry, 40);
	added("c", empty_spec());
	registry_prefer_slot(registry, 3);
	added("d", empty_spec());
	for (struct sandbox *s = registry_next(registry, 0); s; s = registry_next(registry, s->slot))
		ck_assert_uint_eq(s->slot, expected[seen++]);
	ck_assert_uint_eq(seen, 3);
	ck_assert_ptr_null(registry_at(registry, 2));
	ck_assert_str_eq(registry_at(registry, 40)->id, "c");
}
END_TEST

/* ---- Ports ---- */

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
	ck_assert_str_eq(listens_on(a, 2, 0), "[::1]:18081"); /* asked for alone: whoever opens it says why not */
	registry_remove(registry, a);
	registry_set_ipv6_loopback(registry, true);
	ck_assert_uint_eq(added("b", with_automatic(1))->endpoints[0].listen_count, 2);
}
END_TEST

/* ---- The default ---- */

static struct spec *default_spec(void)
{
	struct spec *spec = empty_spec();

	spec->is_default = true;
	return spec;
}

START_TEST(the_default_is_the_one_registered_so_else_the_only_one)
{
	struct sandbox *a, *b;

	ck_assert_ptr_null(registry_default(registry));
	a = added("a", empty_spec());
	ck_assert_ptr_eq(registry_default(registry), a);
	b = added("b", empty_spec());
	ck_assert_ptr_null(registry_default(registry));
	registry_remove(registry, a);
	ck_assert_ptr_eq(registry_default(registry), b);
	a = added("c", default_spec());
	ck_assert_ptr_eq(registry_default(registry), a);
	refused("d", default_spec(), PROBLEM_CONFLICT, "/default", "sandbox c is");
	registry_remove(registry, a);
	ck_assert_ptr_eq(registry_default(registry), b);
	added("d", default_spec());
}
END_TEST

/* ---- Adoption ---- */

START_TEST(an_adopted_sandbox_has_the_slot_and_the_addresses_of_its_file)
{
	struct endpoint endpoint = { .listen_count = 2 };
	struct spec *spec = with_automatic(1), *other = with_automatic(1);
	struct sandbox *a;

	endpoint.listen[0] = addr_from_ipv4(INADDR_LOOPBACK, 20123);
	endpoint.listen[1] = addr_loopback6(20123);
	a = registry_adopt(registry, "a", 9, spec, &endpoint, 1, &problem);
	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(a->slot, 9);
	ck_assert_str_eq(listens_on(a, 0, 1), "[::1]:20123");
	ck_assert_int_eq(a->state, SANDBOX_CREATING);

	ck_assert_ptr_null(registry_adopt(registry, "b", 9, other, &endpoint, 1, &problem));
	ck_assert_int_eq(problem.kind, PROBLEM_CONFLICT);
	ck_assert_ptr_null(registry_adopt(registry, "a", 10, other, &endpoint, 1, &problem));
	ck_assert_str_eq(problem.field, "id");
	ck_assert_ptr_null(registry_adopt(registry, "b", 10, other, &endpoint, 1, &problem));
	ck_assert_ptr_nonnull(strstr(problem.detail, "sandbox a"));
	ck_assert_ptr_null(registry_adopt(registry, "b", 32767, other, &endpoint, 1, &problem));
	ck_assert_ptr_null(registry_adopt(registry, "b", 0, other, &endpoint, 1, &problem));
	ck_assert_ptr_null(registry_adopt(registry, "b", 10, other, &endpoint, 0, &problem));
	spec_free(other);
	ck_assert_uint_eq(added("c", empty_spec())->slot, 1);
}
END_TEST

/* ---- Changes ---- */

static struct spec *wanted_of(const struct sandbox *sandbox)
{
	struct spec *spec = spec_copy(sandbox->spec);

	ck_assert_ptr_nonnull(spec);
	return spec;
}

static struct registry_patch prepared(struct sandbox *sandbox, struct spec *wanted)
{
	struct registry_patch patch;

	ck_assert_msg(registry_patch_prepare(registry, sandbox, wanted, &patch, &problem) == 0, "%s", problem.detail);
	return patch;
}

START_TEST(a_change_keeps_open_what_stays)
{
	struct sandbox *a = added("a", with_automatic(2));
	struct spec *wanted = wanted_of(a);
	struct registry_patch patch;
	int handle;

	a->endpoints[1].handles[0] = &handle;
	wanted->ports[0] = wanted->ports[1]; /* the first goes */
	wanted->port_count = 1;
	add_listen(wanted, 9090, "127.0.0.1:19090");
	patch = prepared(a, wanted);
	ck_assert_ptr_eq(patch.endpoints[0].handles[0], &handle);
	ck_assert_ptr_null(patch.endpoints[1].handles[0]);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20000");
	registry_patch_commit(registry, &patch);
	ck_assert_uint_eq(a->endpoint_count, 2);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20001");
	ck_assert_str_eq(listens_on(a, 1, 0), "127.0.0.1:19090");
	ck_assert_str_eq(listens_on(added("b", with_automatic(1)), 0, 0), "127.0.0.1:20000");
	refused("c", with_listen("127.0.0.1:19090"), PROBLEM_CONFLICT, "/ports/0/listen", "sandbox a");
}
END_TEST

START_TEST(an_aborted_change_leaves_all_as_it_was)
{
	struct sandbox *a = added("a", with_automatic(1));
	struct spec *wanted = wanted_of(a);
	struct registry_patch patch;

	wanted->port_count = 0;
	wanted->is_default = true;
	add_listen(wanted, 9090, "127.0.0.1:19090");
	patch = prepared(a, wanted);
	refused("b", with_listen("127.0.0.1:19090"), PROBLEM_CONFLICT, "/ports/0/listen", "sandbox a");
	refused("b", default_spec(), PROBLEM_CONFLICT, "/default", "sandbox a");
	registry_patch_abort(registry, &patch);
	ck_assert_uint_eq(a->endpoint_count, 1);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20000");
	added("b", with_listen("127.0.0.1:19090"));
	added("c", default_spec());
	refused("d", with_listen("127.0.0.1:20000"), PROBLEM_CONFLICT, "/ports/0/listen", "sandbox a");
}
END_TEST

START_TEST(a_refused_change_names_the_place_in_publish)
{
	struct sandbox *a = added("a", with_automatic(2));
	struct spec *wanted = wanted_of(a);
	struct registry_patch patch;

	added("holder", with_listen("127.0.0.1:18080"));
	add_port(wanted, 9000);
	add_listen(wanted, 9001, "127.0.0.1:18080");
	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, a, wanted, &patch, &problem), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_CONFLICT);
	ck_assert_str_eq(problem.field, "/publish/1/listen");
	ck_assert_ptr_nonnull(strstr(problem.detail, "sandbox holder"));
	spec_free(wanted);
	added("b", default_spec());
	ck_assert_str_eq(listens_on(added("c", with_automatic(1)), 0, 0), "127.0.0.1:20002");
}
END_TEST

START_TEST(an_address_changes_its_guest_port_by_two_changes)
{
	struct sandbox *a = added("a", with_listen("127.0.0.1:18080"));
	struct spec *wanted = empty_spec();
	struct registry_patch patch;

	add_listen(wanted, 9090, "127.0.0.1:18080");
	ck_assert_int_eq(registry_patch_prepare(registry, a, wanted, &patch, &problem), -1);
	ck_assert_str_eq(problem.field, "/publish/0/listen");
	ck_assert_ptr_nonnull(strstr(problem.detail, "by this sandbox"));
	wanted->port_count = 0;
	patch = prepared(a, wanted);
	registry_patch_commit(registry, &patch);
	wanted = empty_spec();
	add_listen(wanted, 9090, "127.0.0.1:18080");
	patch = prepared(a, wanted);
	registry_patch_commit(registry, &patch);
	ck_assert_uint_eq(a->endpoints[0].port.guest_port, 9090);
}
END_TEST

START_TEST(the_default_moves_by_two_changes)
{
	struct sandbox *a = added("a", default_spec()), *b = added("b", empty_spec());
	struct spec *wanted = wanted_of(b);
	struct registry_patch patch;

	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, b, wanted, &patch, &problem), -1);
	ck_assert_str_eq(problem.field, "/default");
	spec_free(wanted);

	wanted = wanted_of(a);
	wanted->is_default = false;
	patch = prepared(a, wanted);
	ck_assert_ptr_eq(registry_default(registry), a);
	registry_patch_commit(registry, &patch);
	ck_assert_ptr_null(registry_default(registry));

	wanted = wanted_of(b);
	wanted->is_default = true;
	patch = prepared(b, wanted);
	ck_assert_ptr_null(registry_default(registry));
	registry_patch_commit(registry, &patch);
	ck_assert_ptr_eq(registry_default(registry), b);
}
END_TEST

/* ---- States ---- */

struct told {
	unsigned times;
	enum sandbox_state from, to;
	char cause[32];
};

static void remember(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
		     uint64_t previous_ms)
{
	struct told *told = context;

	(void)previous_ms;
	told->times++;
	told->from = from;
	told->to = sandbox->state;
	snprintf(told->cause, sizeof(told->cause), "%s", cause);
}

START_TEST(a_change_of_state_is_counted_and_told_once)
{
	struct told told = { 0 };
	struct registry_watcher watcher = { .state_changed = remember, .context = &told };
	struct sandbox *a = added("a", empty_spec());

	registry_watch(registry, &watcher);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_CREATING), 1);
	sandbox_set_state(registry, a, SANDBOX_WAITING, "registered", NULL);
	sandbox_set_state(registry, a, SANDBOX_WAITING, "registered", NULL);
	ck_assert_uint_eq(told.times, 1);
	ck_assert_int_eq(told.from, SANDBOX_CREATING);
	ck_assert_int_eq(told.to, SANDBOX_WAITING);
	ck_assert_str_eq(told.cause, "registered");
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_CREATING), 0);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_WAITING), 1);
	sandbox_set_state(registry, a, SANDBOX_FAILED, "fabric", "veth-1 is gone");
	ck_assert_str_eq(a->reason, "veth-1 is gone");
	sandbox_set_state(registry, a, SANDBOX_WAITING, "repaired", NULL);
	ck_assert_str_eq(a->reason, "");
	registry_remove(registry, a);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_WAITING), 0);
}
END_TEST

START_TEST(the_state_follows_from_what_is_known)
{
	struct sandbox *a = added("a", empty_spec());

	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_WAITING);
	a->carrier = a->was_attached = true;
	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_READY);
	a->spec->ready_port = 49983;
	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_ATTACHED);
	a->guest_answers = true;
	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_READY);
	a->paused = true;
	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_PAUSED);
	a->carrier = false;
	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_PAUSED);
	a->paused = false;
	ck_assert_int_eq(sandbox_settled_state(a), SANDBOX_DETACHED);
}
END_TEST

START_TEST(states_are_read_by_their_names)
{
	enum sandbox_state state;

	for (int i = 0; i < SANDBOX_STATES; i++) {
		ck_assert_int_eq(sandbox_state_parse(sandbox_state_name((enum sandbox_state)i), &state), 0);
		ck_assert_int_eq(state, i);
	}
	ck_assert_int_eq(sandbox_state_parse("Ready", &state), -1);
	ck_assert_int_eq(sandbox_state_parse("", &state), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registry");
	TCase *tcase = tcase_create("registry");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_lowest_free_slot_is_given);
	tcase_add_test(tcase, a_blocked_slot_is_skipped_until_it_is_unblocked);
	tcase_add_test(tcase, a_preferred_slot_is_given_once_and_only_if_it_is_free);
	tcase_add_test(tcase, all_slots_can_be_filled_and_then_it_is_said_why_there_is_none);
	tcase_add_test(tcase, sandboxes_are_walked_by_slot);
	tcase_add_test(tcase, automatic_ports_are_the_lowest_free_on_both_loopbacks);
	tcase_add_test(tcase, an_automatic_port_avoids_what_is_held_on_either_loopback);
	tcase_add_test(tcase, an_automatic_port_leaves_alone_what_the_same_request_names_later);
	tcase_add_test(tcase, tcp_and_udp_ports_are_apart);
	tcase_add_test(tcase, a_port_published_already_is_refused_and_the_holder_named);
	tcase_add_test(tcase, a_wildcard_excludes_every_address_of_its_family);
	tcase_add_test(tcase, the_addresses_of_weftd_itself_are_nobodys);
	tcase_add_test(tcase, a_refused_sandbox_leaves_nothing_behind);
	tcase_add_test(tcase, a_range_that_is_used_up_is_said_to_be);
	tcase_add_test(tcase, a_port_that_another_program_has_is_not_tried_again_at_once);
	tcase_add_test(tcase, without_ipv6_endpoints_have_their_other_addresses_alone);
	tcase_add_test(tcase, the_default_is_the_one_registered_so_else_the_only_one);
	tcase_add_test(tcase, an_adopted_sandbox_has_the_slot_and_the_addresses_of_its_file);
	tcase_add_test(tcase, a_change_keeps_open_what_stays);
	tcase_add_test(tcase, an_aborted_change_leaves_all_as_it_was);
	tcase_add_test(tcase, a_refused_change_names_the_place_in_publish);
	tcase_add_test(tcase, an_address_changes_its_guest_port_by_two_changes);
	tcase_add_test(tcase, the_default_moves_by_two_changes);
	tcase_add_test(tcase, a_change_of_state_is_counted_and_told_once);
	tcase_add_test(tcase, the_state_follows_from_what_is_known);
	tcase_add_test(tcase, states_are_read_by_their_names);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
