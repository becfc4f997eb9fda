/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry against a model that is too simple to be wrong: lists, searched from start to end. Random operations are done to
 * both, in a space so small that slots run out, ports collide and wildcards exclude others all the time. After each, both must
 * agree.
 */
#include "registry/registry.h"

#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATIONS = 10000, SEEDS = 4, SLOT_LAST = 13, PORT_FIRST = 20000, PORT_LAST = 20015, LISTS_MAX = 4 };

/* One sandbox as the model knows it. */
struct known {
	bool exists, is_default;
	struct spec_port ports[LISTS_MAX]; /* with the addresses that they got */
	size_t port_count;
};

static struct config *config;
static struct registry *registry;
static struct known known[SLOT_LAST + 1]; /* by slot */
static bool blocked[SLOT_LAST + 1];
static unsigned preferred;
static unsigned state; /* of the random numbers */

static unsigned below(unsigned limit)
{
	state = state * 1103515245 + 12345;
	return (state >> 16) % limit;
}

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	ck_assert_ptr_nonnull(config);
	ck_assert_int_eq(addr_cidr4_parse("10.11.0.0/28", &config->layout.host_cidr), 0);
	config->ports.first = PORT_FIRST;
	config->ports.last = PORT_LAST;
	ck_assert_uint_ge(config_slot_max(&config->layout), SLOT_LAST);
	registry = registry_new(config);
	for (unsigned slot = SLOT_LAST + 1; slot <= config_slot_max(&config->layout); slot++)
		registry_block_slot(registry, slot, "beyond the model");
	memset(known, 0, sizeof(known));
	memset(blocked, 0, sizeof(blocked));
	preferred = 0;
}

static void teardown(void)
{
	registry_free(registry);
	config_free(config);
}

/* ---- The model ---- */

static unsigned model_slot(void)
{
	unsigned wanted = preferred;

	preferred = 0;
	if (wanted >= 1 && wanted <= SLOT_LAST && !known[wanted].exists && !blocked[wanted])
		return wanted;
	for (unsigned slot = 1; slot <= SLOT_LAST; slot++) {
		if (!known[slot].exists && !blocked[slot])
			return slot;
	}
	return 0;
}

static bool ports_hold(const struct spec_port *ports, size_t count, enum proto proto, const struct addr *addr)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < ports[i].listen_count; j++) {
			const struct addr *held = &ports[i].listen[j];

			if (ports[i].proto == proto && held->any.sa_family == addr->any.sa_family &&
			    addr_port(held) == addr_port(addr) &&
			    (addr_is_wildcard(held) || addr_is_wildcard(addr) || addr_equal(held, addr)))
				return true;
		}
	}
	return false;
}

/* Whether ADDR is excluded by a holder. */
static bool model_holds(enum proto proto, const struct addr *addr)
{
	for (unsigned slot = 1; slot <= SLOT_LAST; slot++) {
		if (known[slot].exists && ports_hold(known[slot].ports, known[slot].port_count, proto, addr))
			return true;
	}
	return false;
}

static bool model_default_taken(unsigned but)
{
	for (unsigned slot = 1; slot <= SLOT_LAST; slot++) {
		if (slot != but && known[slot].exists && known[slot].is_default)
			return true;
	}
	return false;
}

/*
 * Gives PORTS from FIRST on their addresses, if they have none yet; all of PORTS are held beside the holdings of the model.
 * Returns the expected refusal.
 */
static enum problem_kind model_ports(struct spec_port *ports, size_t first, size_t count)
{
	for (size_t i = first; i < count; i++) {
		for (size_t j = 0; !ports[i].automatic && j < ports[i].listen_count; j++) {
			if (model_holds(ports[i].proto, &ports[i].listen[j]) ||
			    ports_hold(ports, i, ports[i].proto, &ports[i].listen[j]))
				return PROBLEM_CONFLICT;
		}
	}
	for (size_t i = first; i < count; i++) {
		for (unsigned port = PORT_FIRST; ports[i].automatic && port <= PORT_LAST + 1; port++) {
			struct addr v4 = addr_from_ipv4(INADDR_LOOPBACK, (uint16_t)port);
			struct addr v6 = addr_loopback6((uint16_t)port);

			if (port > PORT_LAST)
				return PROBLEM_UNAVAILABLE;
			if (model_holds(ports[i].proto, &v4) || model_holds(ports[i].proto, &v6) ||
			    ports_hold(ports, count, ports[i].proto, &v4) ||
			    ports_hold(ports, count, ports[i].proto, &v6))
				continue;
			ports[i].listen[0] = v4;
			ports[i].listen[1] = v6;
			ports[i].listen_count = 2;
			break;
		}
	}
	return PROBLEM_NONE;
}

/* ---- Random requests ---- */

static struct addr random_addr(void)
{
	static const uint32_t hosts[] = { INADDR_LOOPBACK, INADDR_LOOPBACK + 1, INADDR_ANY, 0xc0000201 };
	uint16_t port = (uint16_t)(PORT_FIRST + below(PORT_LAST - PORT_FIRST + 4));
	struct addr any6 = { .in6 = { .sin6_family = AF_INET6 } };

	addr_set_port(&any6, port);
	switch (below(12)) {
	case 0:
		return any6;
	case 1:
	case 2:
	case 3:
		return addr_loopback6(port);
	case 4:
		return addr_from_ipv4(INADDR_ANY, port);
	}
	return addr_from_ipv4(hosts[below(4) == 0 ? 3 : below(2)], port);
}

static struct spec_port random_port(void)
{
	struct spec_port port = { .guest_port = (uint16_t)(1 + below(60000)),
				  .proto = below(4) ? PROTO_TCP : PROTO_UDP };

	port.automatic = below(2) == 0;
	if (port.automatic)
		return port;
	port.listen[port.listen_count++] = random_addr();
	if (below(3) == 0) {
		port.listen[1] = port.listen[0];
		addr_set_port(&port.listen[1], addr_port(&port.listen[0]) + 1);
		port.listen_count = 2;
	}
	return port;
}

static struct spec *spec_with(const struct spec_port *ports, size_t count, bool is_default)
{
	struct spec *spec = registry_spec_new(config);

	ck_assert_ptr_nonnull(spec);
	spec->is_default = is_default;
	if (count)
		spec->ports = calloc(count, sizeof(*ports));
	for (size_t i = 0; i < count; i++) {
		spec->ports[i] = ports[i];
		if (ports[i].automatic)
			spec->ports[i].listen_count = 0;
	}
	spec->port_count = count;
	return spec;
}

static unsigned random_known(void)
{
	unsigned slot = 1 + below(SLOT_LAST);

	return known[slot].exists ? slot : 0;
}

/* ---- Operations on both ---- */

static void operation_add(void)
{
	struct known next = { .exists = true, .is_default = below(6) == 0, .port_count = below(LISTS_MAX) };
	struct problem problem = { 0 };
	enum problem_kind expected = PROBLEM_NONE;
	unsigned slot = model_slot();
	struct sandbox *sandbox;
	struct spec *spec;
	char id[16];

	for (size_t i = 0; i < next.port_count; i++)
		next.ports[i] = random_port();
	spec = spec_with(next.ports, next.port_count, next.is_default);
	if (slot == 0)
		expected = PROBLEM_UNAVAILABLE;
	else if (next.is_default && model_default_taken(0))
		expected = PROBLEM_CONFLICT;
	else
		expected = model_ports(next.ports, 0, next.port_count);
	snprintf(id, sizeof(id), "s%u", slot);
	sandbox = registry_add(registry, id, spec, &problem);
	ck_assert_msg((sandbox ? PROBLEM_NONE : problem.kind) == expected, "expected %d: %s", expected, problem.detail);
	if (!sandbox) {
		registry_spec_free(spec);
		return;
	}
	ck_assert_uint_eq(sandbox->slot, slot);
	known[slot] = next;
}

static void operation_remove(void)
{
	unsigned slot = random_known();

	if (!slot)
		return;
	registry_remove(registry, registry_at(registry, slot));
	known[slot].exists = false;
}

static void operation_block(void)
{
	unsigned slot = 1 + below(SLOT_LAST);

	blocked[slot] = below(3) == 0;
	if (blocked[slot])
		registry_block_slot(registry, slot, "for a while");
	else
		registry_unblock_slot(registry, slot);
}

static void operation_prefer(void)
{
	preferred = below(SLOT_LAST + 1);
	registry_prefer_slot(registry, preferred);
}

/* Some ports go, some come, all or nothing; now and then a prepared change is aborted. */
static void operation_patch(void)
{
	unsigned slot = random_known();
	struct registry_patch patch;
	struct known next = { 0 };
	struct problem problem = { 0 };
	enum problem_kind expected;
	struct sandbox *sandbox;
	struct spec *wanted;
	size_t kept;

	if (!slot)
		return;
	next.exists = true;
	next.is_default = below(4) ? known[slot].is_default : !known[slot].is_default;
	for (size_t i = 0; i < known[slot].port_count; i++) {
		if (below(2))
			next.ports[next.port_count++] = known[slot].ports[i];
	}
	kept = next.port_count;
	while (next.port_count < LISTS_MAX && below(2))
		next.ports[next.port_count++] = random_port();
	for (size_t i = kept; i < next.port_count; i++) {
		for (size_t j = 0; j < known[slot].port_count; j++) {
			if (registry_spec_port_equal(&next.ports[i], &known[slot].ports[j]))
				return; /* would stay, whatever its place; other tests cover that */
		}
	}
	wanted = spec_with(next.ports, next.port_count, next.is_default);
	if (next.is_default && model_default_taken(slot))
		expected = PROBLEM_CONFLICT;
	else
		expected = model_ports(next.ports, kept, next.port_count);
	sandbox = registry_at(registry, slot);
	if (registry_patch_prepare(registry, sandbox, wanted, false, &patch, &problem) < 0) {
		ck_assert_msg(problem.kind == expected, "expected %d: %s", expected, problem.detail);
		registry_spec_free(wanted);
		return;
	}
	ck_assert_int_eq(expected, PROBLEM_NONE);
	if (below(3) == 0) {
		registry_patch_abort(registry, &patch);
		return;
	}
	registry_patch_commit(registry, &patch);
	known[slot] = next;
}

/* ---- Comparison ---- */

static void compare_ports(const struct sandbox *sandbox, const struct known *expected)
{
	ck_assert_uint_eq(sandbox->endpoint_count, expected->port_count);
	for (size_t i = 0; i < expected->port_count; i++) {
		const struct endpoint *endpoint = &sandbox->endpoints[i];

		ck_assert_uint_eq(endpoint->port.guest_port, expected->ports[i].guest_port);
		ck_assert_uint_eq(endpoint->listen_count, expected->ports[i].listen_count);
		for (size_t j = 0; j < endpoint->listen_count; j++)
			ck_assert(addr_equal(&endpoint->listen[j], &expected->ports[i].listen[j]));
	}
}

static void compare(void)
{
	struct sandbox *only = NULL, *chosen = NULL, *next = registry_next(registry, 0);
	size_t count = 0;

	for (unsigned slot = 1; slot <= SLOT_LAST; slot++) {
		struct sandbox *sandbox = registry_at(registry, slot);

		ck_assert_int_eq(sandbox != NULL, known[slot].exists);
		if (!sandbox)
			continue;
		ck_assert_ptr_eq(next, sandbox);
		ck_assert_ptr_eq(registry_find(registry, sandbox->id), sandbox);
		compare_ports(sandbox, &known[slot]);
		if (known[slot].is_default)
			chosen = sandbox;
		only = sandbox;
		next = registry_next(registry, slot);
		count++;
	}
	ck_assert_ptr_null(next);
	ck_assert_uint_eq(registry_count(registry), count);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_CREATING), count);
	ck_assert_ptr_eq(registry_default(registry), chosen ? chosen : (count == 1 ? only : NULL));
}

START_TEST(the_registry_does_what_its_model_does)
{
	state = (unsigned)_i + 1;
	for (int i = 0; i < OPERATIONS; i++) {
		switch (below(8)) {
		case 0:
		case 1:
		case 2:
			operation_add();
			break;
		case 3:
		case 4:
			operation_remove();
			break;
		case 5:
			operation_block();
			break;
		case 6:
			operation_prefer();
			break;
		case 7:
			operation_patch();
			break;
		}
		compare();
	}
	for (unsigned slot = 1; slot <= SLOT_LAST; slot++) {
		if (known[slot].exists)
			registry_remove(registry, registry_at(registry, slot));
		known[slot].exists = false;
		registry_unblock_slot(registry, slot);
		blocked[slot] = false;
	}
	compare();
	preferred = 0;
	registry_prefer_slot(registry, 0);
	for (unsigned slot = 1; slot <= SLOT_LAST; slot++)
		operation_add(); /* nothing was left held */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registry_model");
	TCase *tcase = tcase_create("registry_model");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, the_registry_does_what_its_model_does, 0, SEEDS);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
