/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_READING_H
#define WEFT_WIRE_READING_H

/*
 * Reading along the registry's tables, and the items that have a reader of their own: they may be written as text, as a number
 * or as an object. For the files of this room, and for the check of docs/openapi.yaml.
 */

#include "registry/fields.h"
#include "registry/spec.h"
#include "wire/json_read.h"

/* ---- All of these: 0, or -1 with the problem set ---- */

/* One field of STRUCTURE. Whether its document may give it has been asked before. */
int wire_read_field(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct spec_field *field, void *structure);

/* An object whose keys are the fields of TABLE that have the flag IN; 0: all of them. */
int wire_read_fields(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct spec_table *table, unsigned in, void *structure);

/* ITEM: struct spec_port, struct wire_unpublish, struct egress_rule. */
int wire_read_published(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item);
int wire_read_unpublish(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			void *item);
int wire_read_rule(const struct wire_reader *reader, const struct wire_place *place, const json_t *value, void *item);

/* *LABELS, NULL before, is allocated and sorted; set also on failure, when it has *LABEL_COUNT labels. */
int wire_read_labels(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     struct label **labels, size_t *label_count);

/* The members of a port and of a rule that are objects. */
extern const struct wire_object wire_port_object, wire_rule_object;

#endif
