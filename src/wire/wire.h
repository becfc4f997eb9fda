/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_WIRE_H
#define WEFT_WIRE_WIRE_H

/*
 * JSON of requests and sandboxes, for the control socket and the state directory alike. Strict readers name the field at fault
 * by its JSON pointer (RFC 6901). No I/O; main thread.
 */

#include "registry/registry.h"
#include "registry/spec_patch.h"

#include <jansson.h>
#include <stddef.h>

/*
 * Parses BODY (not terminated; empty means {}) into a JSON object. NULL with PROBLEM: BAD_REQUEST if it is malformed, not an object,
 * or has a duplicate key or a NUL character; UNAVAILABLE for want of memory. The caller json_decref()s.
 */
json_t *wire_parse_body(const char *body, size_t length, struct problem *problem);

/* The body of a registration over the defaults of CONFIG. NULL with PROBLEM. The caller owns the spec. */
struct spec *wire_read_spec(const json_t *body, const struct config *config, struct problem *problem);

/*
 * The same for a document of wire_write_spec(), from a file. The sandbox exists already, so it is not checked against the
 * configuration. NULL with PROBLEM.
 */
struct spec *wire_read_stored_spec(const json_t *body, const struct config *config, struct problem *problem);

/* The body of a PATCH. 0, or -1 with PROBLEM. registry_spec_patch_clear() afterwards, in both cases. */
int wire_read_patch(const json_t *body, const struct config *config, struct spec_patch *patch, struct problem *problem);

/* The body of a request that asks by its path alone: an object without members. 0, or -1 with PROBLEM. */
int wire_read_nothing(const json_t *body, struct problem *problem);

/* The specification as the body of a registration with all fields explicit, which is what the store keeps. */
json_t *wire_write_spec(const struct spec *spec);

/* "default is true, not false; limits.idle_ms is 5, not 0": where B differs from A. The caller frees; NULL for lack of memory. */
char *wire_write_difference(const struct spec *a, const struct spec *b);

/* The sandbox as the API shows it. */
json_t *wire_write_sandbox(const struct sandbox *sandbox, const struct config *config);

/* Takes the hash of the door's token out of such a SANDBOX, which may be NULL, for readers who might guess tokens by it. */
void wire_hide_token(json_t *sandbox);

/* The door of SANDBOX as an event has it: "public", whether there is a "token", and "ports". NULL for lack of memory. */
json_t *wire_write_door_change(const struct sandbox *sandbox);

/* RFC 9457: type, title, status, detail, and field where there is one. */
json_t *wire_write_problem(const struct problem *problem);

#endif
