/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_WRITE_H
#define WEFT_WIRE_WRITE_H

/*
 * Parts of documents that are written in more than one place. All return a new reference, or NULL for
 * lack of memory.
 */

#include "registry/registry.h"

#include <jansson.h>

struct spec_table;

/* TEXT as UTF-8: each byte that is not, such as after a cut within a character, becomes "?". */
json_t *wire_write_text(const char *text);

/* COUNT items of SIZE bytes, each by WRITE. */
json_t *wire_write_array(const void *items, size_t count, size_t size, json_t *(*write)(const void *item));

json_t *wire_write_addresses(const struct addr *addrs, size_t count);

/*
 * Adds the fields of STRUCTURE that have the flag IN (0: all of them) to OBJECT. A field that was not given is null if IN is
 * SPEC_SHOWN, and left out otherwise. 0, or -1 for lack of memory.
 */
int wire_put_fields(json_t *object, const struct spec_table *table, unsigned in, const void *structure);

const char *wire_via_name(enum via via);

/* By enum wake_which; NULL for those that have no word. */
extern const char *const wire_wake_names[WAKE_ANY + 1];

/* By enum door_access. */
enum { WIRE_ACCESSES = DOOR_ACCESS_CLOSED + 1 };
extern const char *const wire_access_names[WIRE_ACCESSES];

#endif
