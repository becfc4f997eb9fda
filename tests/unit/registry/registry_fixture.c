/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/registry/registry_fixture.h"

#include "base/log.h"
#include "config/config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config *config;
struct registry *registry;
struct problem problem;

void registry_setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	ck_assert_ptr_nonnull(config);
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
}

void registry_teardown(void)
{
	registry_free(registry);
	config_free(config);
}

struct spec *empty_spec(void)
{
	struct spec *spec = registry_spec_new(config);

	ck_assert_ptr_nonnull(spec);
	return spec;
}

struct spec_port *add_port(struct spec *spec, uint16_t guest_port)
{
	struct spec_port *port;

	spec->ports = realloc(spec->ports, (spec->port_count + 1) * sizeof(*spec->ports));
	ck_assert_ptr_nonnull(spec->ports);
	port = &spec->ports[spec->port_count++];
	*port = (struct spec_port){ .guest_port = guest_port, .automatic = true };
	return port;
}

struct spec_port *add_listen(struct spec *spec, uint16_t guest_port, const char *text)
{
	struct spec_port *port = add_port(spec, guest_port);

	port->automatic = false;
	ck_assert_int_eq(addr_parse(text, &port->listen[port->listen_count++]), 0);
	return port;
}

struct sandbox *added(const char *id, struct spec *spec)
{
	struct sandbox *sandbox = registry_add(registry, id, spec, &problem);

	ck_assert_msg(sandbox != NULL, "%s: %s", id, problem.detail);
	return sandbox;
}

void refused(const char *id, struct spec *spec, enum problem_kind kind, const char *field, const char *detail)
{
	size_t count = registry_count(registry);

	ck_assert_ptr_null(registry_add(registry, id, spec, &problem));
	ck_assert_int_eq(problem.kind, kind);
	ck_assert_str_eq(problem.field, field);
	ck_assert_msg(strstr(problem.detail, detail) != NULL, "\"%s\" lacks \"%s\"", problem.detail, detail);
	ck_assert_uint_eq(registry_count(registry), count);
	ck_assert_ptr_null(registry_find(registry, id));
	registry_spec_free(spec);
}

struct spec *with_listen(const char *text)
{
	struct spec *spec = empty_spec();

	add_listen(spec, 8080, text);
	return spec;
}

struct spec *with_automatic(size_t count)
{
	struct spec *spec = empty_spec();

	for (size_t i = 0; i < count; i++)
		add_port(spec, (uint16_t)(8000 + i));
	return spec;
}

const char *listens_on(const struct sandbox *sandbox, size_t endpoint, size_t index)
{
	static char text[ADDR_TEXT_SIZE];

	ck_assert_uint_lt(endpoint, sandbox->endpoint_count);
	ck_assert_uint_lt(index, sandbox->endpoints[endpoint].listen_count);
	return addr_format(&sandbox->endpoints[endpoint].listen[index], text);
}

struct spec *default_spec(void)
{
	struct spec *spec = empty_spec();

	spec->is_default = true;
	return spec;
}
