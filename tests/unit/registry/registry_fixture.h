/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_REGISTRY_FIXTURE_H
#define WEFT_TESTS_UNIT_REGISTRY_FIXTURE_H

/*
 * A registry over the default configuration, and requests for it.
 */

#include "registry/problem.h"
#include "registry/registry.h"

extern struct config *config;
extern struct registry *registry;
extern struct problem problem;

void registry_setup(void);
void registry_teardown(void);

/* Specifications: nothing; one port on the address TEXT; COUNT automatic ports; the default. */
struct spec *empty_spec(void);
struct spec *with_listen(const char *text);
struct spec *with_automatic(size_t count);
struct spec *default_spec(void);

/* One port more, automatic, or on the address TEXT. */
struct spec_port *add_port(struct spec *spec, uint16_t guest_port);
struct spec_port *add_listen(struct spec *spec, uint16_t guest_port, const char *text);

/* Registers SPEC as ID, which must succeed; or which must be refused so, with DETAIL in the sentence, and frees SPEC. */
struct sandbox *added(const char *id, struct spec *spec);
void refused(const char *id, struct spec *spec, enum problem_kind kind, const char *field, const char *detail);

/* The address of an endpoint, as text until the next call. */
const char *listens_on(const struct sandbox *sandbox, size_t endpoint, size_t index);

#endif
