/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_READING_H
#define WEFT_WIRE_READING_H

/*
 * Reading along the tables of the registry, and the items with a reader of their own, because they may be text or a number as
 * well as an object. For the files of this room, and for the check of docs/openapi.yaml.
 */

#include "registry/fields.h"
#include "registry/spec.h"
#include "wire/json_read.h"

/* ---- All of these: 0, or -1 with the problem set ---- */

/* One field of STRUCTURE. The caller has checked that its document may have it. */
int wire_read_field(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct spec_field *field, void *structure);

/* An object with the fields of TABLE that have the flag IN (0: all of them) and no others. */
int wire_read_fields(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct spec_table *table, unsigned in, void *structure);

/* ITEM: struct spec_port, struct spec_unpublish, struct egress_rule, struct wake_port. */
int wire_read_published(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item);
int wire_read_unpublish(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item);
int wire_read_rule(const struct wire_reader *reader, const struct wire_place *place, const json_t *value, void *item);

int wire_read_wake_port(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item);

/* The ports that wake a sandbox, or a word for them: a field of STRUCTURE. */
int wire_read_wake(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		   const struct spec_field *field, void *structure);

/* *LABELS, NULL before, is allocated and sorted; set also on failure, when it has *LABEL_COUNT labels. */
int wire_read_labels(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     struct label **labels, size_t *label_count);

/* The hash of a token, in base64 or null, and the ports of a door: fields of STRUCTURE. */
int wire_read_token(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct spec_field *field, void *structure);
int wire_read_access(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct spec_field *field, void *structure);

/* Whether DOOR, which was read from the member "door" of BODY, if that has one, has a token where it was told to ask for one. */
int wire_check_door(const struct wire_reader *reader, const json_t *body, const struct door_policy *door);

/* The members of a port and of a rule, where these are objects. */
extern const struct wire_object wire_port_object, wire_rule_object;

#endif
