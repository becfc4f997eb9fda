/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_SPEC_PATCH_H
#define WEFT_REGISTRY_SPEC_PATCH_H

/*
 * A PATCH as it was asked for: commands, which have a table of their own, and fields of the specification, which replace the
 * stored ones whole.
 */

#include "registry/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct problem;
struct sandbox;

struct spec_unpublish {
	uint16_t guest_port; /* 0: by address */
	bool any_proto;      /* of the guest port; else that of PROTO */
	enum proto proto;
	struct addr listen;
};

struct spec_patch {
	struct spec_port *publish;
	size_t publish_count;
	struct spec_unpublish *unpublish;
	size_t unpublish_count;
	bool has_paused, paused;
	bool has_flows, reset_flows; /* goes with paused = false alone */
	bool takes_default;          /* "default": "take" */
	struct spec *given;          /* has the fields given, over the defaults; NULL if none */
	uint64_t given_fields;       /* one bit for each field given, by its place in spec_table */
};

/* The commands. spec_table marks the fields that a PATCH may give. */
extern const struct spec_table spec_patch_table;

/* Whether PATCH gives the field NAME of the specification. */
bool registry_spec_patch_gives(const struct spec_patch *patch, const char *name);

/* Whether PATCH takes ports back, and asks for nothing else. */
bool registry_spec_patch_is_unpublish(const struct spec_patch *patch);

/* 0, or -1 with PROBLEM: commands that do not agree with each other, ports given twice. */
int registry_spec_patch_check(const struct spec_patch *patch, struct problem *problem);

/*
 * The specification of SANDBOX with PATCH applied, as a new object. Ports to unpublish go first (an address removes its whole
 * port, an automatic one too), then the new ports come. The fields given are moved out of PATCH. NULL with PROBLEM: CONFLICT (a
 * port is published already, or one to unpublish is not), BAD_REQUEST (too many ports in all).
 */
struct spec *registry_spec_patch_apply(const struct sandbox *sandbox, struct spec_patch *patch,
				       struct problem *problem);

/* Frees what PATCH owns; it is empty then. */
void registry_spec_patch_clear(struct spec_patch *patch);

#endif
