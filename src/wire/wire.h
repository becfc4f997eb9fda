/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_WIRE_H
#define WEFT_WIRE_WIRE_H

/*
 * JSON of requests and sandboxes, for the control socket and for the state directory alike: strict readers that name the field
 * at fault by its JSON pointer (RFC 6901), and writers. No I/O; main thread.
 */

#include "registry/registry.h"

#include <jansson.h>
#include <stddef.h>

/* A PATCH as it was asked for. */
struct wire_patch {
	struct spec_port *publish;
	size_t publish_count;
	struct wire_unpublish {
		uint16_t guest_port; /* 0: by address */
		struct addr listen;
	} * unpublish;
	size_t unpublish_count;
	bool has_default, is_default;
	bool has_paused, paused;
	bool reset_flows; /* with paused = false: "flows": "reset" */
	bool has_egress, has_bandwidth, has_limits, has_labels;
	struct spec *given; /* holds the objects given; NULL if none */
};

/*
 * Parses BODY (not terminated; empty means {}) into a JSON object. NULL with PROBLEM (BAD_REQUEST): malformed, not an object, a
 * duplicate key, a NUL character. The caller json_decref()s.
 */
json_t *wire_parse_body(const char *body, size_t length, struct problem *problem);

/* The body of a registration over the defaults of CONFIG. NULL with PROBLEM. The caller owns the spec. */
struct spec *wire_read_spec(const json_t *body, const struct config *config, struct problem *problem);

/*
 * The same for what wire_write_spec() wrote, from a file: what the configuration allows today is not asked, since the sandbox
 * exists already. NULL with PROBLEM.
 */
struct spec *wire_read_stored_spec(const json_t *body, const struct config *config, struct problem *problem);

/* The body of a PATCH. 0, or -1 with PROBLEM. wire_patch_clear() afterwards, in both cases. */
int wire_read_patch(const json_t *body, const struct config *config, struct wire_patch *patch, struct problem *problem);
void wire_patch_clear(struct wire_patch *patch);

/*
 * SANDBOX's specification with PATCH applied, as a new object: first what is unpublished goes (an address takes its whole port
 * with it, automatic ones too), then what is published comes. NULL with PROBLEM: CONFLICT (a port published already, or one
 * to unpublish that is not there).
 */
struct spec *wire_apply_patch(const struct sandbox *sandbox, const struct wire_patch *patch, struct problem *problem);

/* The request as a registration's body would have it, all fields explicit: what is stored. */
json_t *wire_write_spec(const struct spec *spec);

/* The sandbox as the API shows it. */
json_t *wire_write_sandbox(const struct sandbox *sandbox, const struct config *config);

/* RFC 9457: type, title, status, detail, and field where there is one. */
json_t *wire_write_problem(const struct problem *problem);

#endif
